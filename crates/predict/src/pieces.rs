//! A message put together piece by piece: what is said, and what is shown where it stands in the text.

use std::borrow::Cow;

use promptopt_core::data::{spaced_json, without_bytes};
use promptopt_core::lm::{Content, Part};
use promptopt_core::signature::FieldType;
use serde_json::{Value, json};

use crate::python::value_text;

/// The pieces of a message so far.
#[derive(Default)]
pub(crate) struct Pieces {
    text: String,
    parts: Vec<Part>,
}

impl Pieces {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.parts.is_empty()
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn show(&mut self, part: Part) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
        self.parts.push(part);
    }

    /// A value as text, an image or a file in it as itself. `write` sees every text before it is said.
    pub(crate) fn value(&mut self, value: &Value, kind: &FieldType, write: fn(String) -> String) {
        if kind.is_shown() {
            self.shown(value, kind, write, false);
        } else if *kind == FieldType::History {
            self.json(&json!({"messages": value}), write);
        } else {
            self.say(&write(value_text(value, kind)));
        }
    }

    fn shown(&mut self, value: &Value, kind: &FieldType, write: fn(String) -> String, is_item: bool) {
        match (kind, value) {
            (FieldType::List(item), Value::Array(items)) => self.list(items, |pieces, one| {
                pieces.shown(one, item, write, true);
            }),
            (FieldType::Optional(item), other) if !other.is_null() => {
                self.shown(other, item, write, is_item);
            }
            _ => match kind.part(value) {
                Some(part) => {
                    // An item of a list is a text of JSON, as in DSPy.
                    let quote = if is_item { "\"" } else { "" };
                    self.say(quote);
                    self.show(part);
                    self.say(quote);
                }
                None if is_item => self.say(&write(spaced_json(value))),
                None => self.say(&write(value_text(value, kind))),
            },
        }
    }

    fn list(&mut self, items: &[Value], mut item: impl FnMut(&mut Self, &Value)) {
        self.say("[");
        for (index, one) in items.iter().enumerate() {
            self.say(if index > 0 { ", " } else { "" });
            item(self, one);
        }
        self.say("]");
    }

    /// JSON, with what holds the bytes of an image or a file shown in its place.
    fn json(&mut self, value: &Value, write: fn(String) -> String) {
        match value {
            Value::Array(items) => self.list(items, |pieces, one| pieces.json(one, write)),
            Value::Object(fields) => {
                self.say("{");
                for (index, (name, one)) in fields.iter().enumerate() {
                    self.say(if index > 0 { ", " } else { "" });
                    self.say(&write(format!("{}: ", Value::from(name.as_str()))));
                    self.json(one, write);
                }
                self.say("}");
            }
            Value::String(url) if matches!(without_bytes(value), Cow::Owned(_)) => {
                let is_image = url.starts_with("data:image/");
                let kind = if is_image { FieldType::Image } else { FieldType::File };
                self.shown(value, &kind, write, true);
            }
            other => self.say(&write(spaced_json(other))),
        }
    }

    /// The message, without white space at its end.
    pub(crate) fn finish(mut self) -> Content {
        self.text.truncate(self.text.trim_end().len());
        if self.parts.is_empty() {
            return self.text.into();
        }
        if !self.text.is_empty() {
            self.parts.push(Part::Text(self.text));
        }
        Content::parts(self.parts)
    }
}
