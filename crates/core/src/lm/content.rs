//! What a message says and shows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{Audio, File, Image};

/// What a message says and shows: a text, or parts in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// The text, or the texts of all parts.
    text: String,
    /// Empty where the content is a text and nothing else.
    parts: Vec<Part>,
}

impl Content {
    /// Parts in order. Only a text: the same content as the text itself.
    pub fn parts(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::as_parts(parts).simplified()
    }

    /// Parts, also where they could be a text.
    pub fn as_parts(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts: Vec<Part> = parts.into_iter().collect();
        Self { text: parts.iter().filter_map(Part::text).collect(), parts }
    }

    fn simplified(self) -> Self {
        if self.parts.iter().all(|part| matches!(part, Part::Text(_))) { self.text.into() } else { self }
    }

    /// All that is said, without what is shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nothing is said or shown.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.parts.is_empty()
    }

    /// The parts; none where the content is a text and nothing else.
    pub fn as_slice(&self) -> &[Part] {
        &self.parts
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self { text, parts: Vec::new() }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Content {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::parts(parts)
    }
}

impl fmt::Display for Content {
    /// The text, with a word in the place of what is shown: `[image]`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parts.is_empty() {
            return formatter.write_str(&self.text);
        }
        self.parts.iter().try_for_each(|part| match part.text() {
            Some(text) => formatter.write_str(text),
            None => write!(formatter, "[{}]", part.kind()),
        })
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.parts.is_empty() { self.text.serialize(serializer) } else { self.parts.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            Parts(Vec<Part>),
            Part(Part),
        }
        // Parts stay parts: a server may treat them differently.
        Ok(match Given::deserialize(deserializer)? {
            Given::Text(text) => text.into(),
            Given::Parts(parts) => Self::as_parts(parts),
            Given::Part(part) => Self::as_parts([part]),
        })
    }
}

/// One part of a content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
#[non_exhaustive]
pub enum Part {
    /// A text.
    Text(String),
    /// An image.
    Image(Image),
    /// A sound.
    Audio(Audio),
    /// A file, such as a PDF.
    File(File),
    /// A part that is not known here, or has fields that are not. It goes over the wire as it is.
    Other(Value),
}

impl Part {
    /// A text.
    pub fn said(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The text of it, if it has one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(Value::String(text)) => Some(text),
            Self::Other(part) => part.get("text").and_then(Value::as_str),
            _ => None,
        }
    }

    /// What it is, in a word: `text`, `image`, `audio`, `file`, or the type that it says.
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Audio(_) => "audio",
            Self::File(_) => "file",
            Self::Other(part) => part.get("type").and_then(Value::as_str).unwrap_or("part"),
        }
    }

    fn known(value: &Value) -> Option<Self> {
        let kind = value.get("type")?.as_str()?;
        let field = |name: &str| value.get(kind)?.get(name)?.as_str();
        match kind {
            "text" => Some(Self::Text(value.get("text")?.as_str()?.to_owned())),
            "image_url" => Some(Self::Image(Image {
                url: field("url")?.into(),
                detail: field("detail").map(str::to_owned),
            })),
            "input_audio" => {
                Some(Self::Audio(Audio { data: field("data")?.into(), format: field("format")?.to_owned() }))
            }
            "file" => Some(Self::File(File {
                name: field("filename").map(str::to_owned),
                id: field("file_id").map(str::to_owned),
                data: field("file_data").map(Into::into),
            })),
            _ => None,
        }
    }
}

impl From<Image> for Part {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<Part> for Value {
    fn from(part: Part) -> Self {
        match part {
            Part::Text(text) => json!({"type": "text", "text": text}),
            Part::Image(Image { url, detail: None }) => {
                json!({"type": "image_url", "image_url": {"url": *url}})
            }
            Part::Image(Image { url, detail }) => {
                json!({"type": "image_url", "image_url": {"url": *url, "detail": detail}})
            }
            Part::Audio(Audio { data, format }) => {
                json!({"type": "input_audio", "input_audio": {"data": *data, "format": format}})
            }
            Part::File(file) => {
                let fields = [("filename", file.name), ("file_id", file.id)];
                let named =
                    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
                let data = file.data.map(|data| ("file_data".to_owned(), Value::from(&*data)));
                json!({"type": "file", "file": named.chain(data).collect::<Map<_, _>>()})
            }
            Part::Other(part) => part,
        }
    }
}

impl From<Value> for Part {
    /// A part that would not be written again as it is stays as it is.
    fn from(value: Value) -> Self {
        let known = Self::known(&value).filter(|part| Value::from(part.clone()) == value);
        known.unwrap_or(Self::Other(value))
    }
}

#[cfg(test)]
pub(in crate::lm) mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_alone_are_a_text() {
        let content = Content::parts([Part::said("a"), Part::said("b")]);
        assert_eq!(content, Content::from("ab"));
        let shown = Content::parts([Part::said("What is "), Image::at("https://example.org/a.png").into()]);
        assert_eq!((shown.as_str(), shown.to_string().as_str()), ("What is ", "What is [image]"));
    }

    pub(in crate::lm) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,6}", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    pub(in crate::lm) fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            ".{0,8}".prop_map(Part::Text),
            (".{0,8}", prop::option::of("[a-z]{1,4}"))
                .prop_map(|(url, detail)| Part::Image(Image { url: url.into(), detail })),
            (".{0,8}", "[a-z]{1,4}")
                .prop_map(|(data, format)| Part::Audio(Audio { data: data.into(), format })),
            (prop::option::of(".{0,8}"), prop::option::of(".{0,8}"), prop::option::of(".{0,8}"))
                .prop_map(|(name, id, data)| Part::File(File { name, id, data: data.map(Into::into) })),
            value().prop_map(Part::from),
        ]
    }

    proptest! {
        #[test]
        fn any_json_is_a_part_that_comes_back(value in value()) {
            prop_assert_eq!(Value::from(Part::from(value.clone())), value);
        }
    }
}
