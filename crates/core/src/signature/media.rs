//! Images, files and histories as values.
//!
//! As a value an image is a text, its address (`https://…`, `gs://…`) or its bytes (`data:image/png;base64,…`), or, where
//! it says how closely the model is to look, an object of `url` and `detail`. A file is an object with one or more of
//! `filename`, `file_data` (`data:application/pdf;base64,…`) and `file_id`. A history is a list of turns. Other forms
//! that mean the same, those of DSPy and of the parts of a chat among them, are read as these.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::FieldType;
use crate::data::Fields;
use crate::lm::{File, Image, Message, Part, split_data_url};

/// Around the parts that show a value, where DSPy keeps it as a text.
const MARKS: [&str; 2] = ["<<CUSTOM-TYPE-START-IDENTIFIER>>", "<<CUSTOM-TYPE-END-IDENTIFIER>>"];
const FILE_FIELDS: [&str; 3] = ["file_data", "file_id", "filename"];

impl FieldType {
    /// Whether values of this type are, or hold, images or files.
    pub fn is_shown(&self) -> bool {
        match self {
            Self::Image | Self::File => true,
            Self::List(item) | Self::Optional(item) => item.is_shown(),
            Self::Union(kinds) => kinds.iter().any(Self::is_shown),
            _ => false,
        }
    }

    /// Whether this is a history, or a type that holds one.
    pub(super) fn holds_history(&self) -> bool {
        match self {
            Self::History => true,
            Self::List(item) | Self::Optional(item) => item.holds_history(),
            Self::Union(kinds) => kinds.iter().any(Self::holds_history),
            _ => false,
        }
    }

    /// The part of a message that shows a value of this type; `None` for types that are said, and for other values.
    pub fn part(&self, value: &Value) -> Option<Part> {
        match self {
            Self::Image => match value {
                Value::String(url) if is_address(url) => Some(Image::at(url.as_str()).into()),
                other => match read_image(other)? {
                    Value::String(url) => Some(Image::at(url).into()),
                    other => {
                        let field = |name: &str| other.get(name)?.as_str();
                        Some(Image::at(field("url")?).with_detail(field("detail")?).into())
                    }
                },
            },
            Self::File => Some(Part::File(file_of(&read_file(value)?))),
            Self::Optional(item) => item.part(value),
            Self::Union(kinds) => kinds.iter().find_map(|kind| kind.part(value)),
            _ => None,
        }
    }

    /// The parts that show a value of this type, also in a list.
    pub fn parts(&self, value: &Value) -> Vec<Part> {
        match (self, value) {
            (Self::List(item), Value::Array(items)) => items.iter().flat_map(|one| item.parts(one)).collect(),
            (Self::Optional(item), value) => item.parts(value),
            (kind, value) => kind.part(value).into_iter().collect(),
        }
    }

    /// A value as DSPy keeps it in the demos of a program state, where what is shown is a text between marks.
    pub fn dspy_value(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Optional(item), value) => item.dspy_value(value),
            (Self::List(item), Value::Array(items)) if item.is_shown() => {
                items.iter().map(|one| item.dspy_value(one)).collect()
            }
            (Self::Union(kinds), Value::Array(_)) => {
                let list = kinds.iter().find(|kind| matches!(kind, Self::List(_)) && kind.admits(value));
                list.map_or_else(|| value.clone(), |list| list.dspy_value(value))
            }
            _ => self.part(value).map_or_else(|| value.clone(), |part| Value::from(marked(part))),
        }
    }
}

/// A part between the marks, spaced as Python does.
fn marked(part: Part) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let fields = |fields: Vec<(&str, Option<&str>)>| {
        let fields =
            fields.into_iter().filter_map(|(name, text)| Some(format!("\"{name}\": {}", quoted(text?))));
        fields.collect::<Vec<_>>().join(", ")
    };
    let (kind, inner) = match &part {
        Part::Image(image) => {
            ("image_url", fields(vec![("url", Some(&*image.url)), ("detail", image.detail.as_deref())]))
        }
        Part::File(file) => (
            "file",
            fields(vec![
                ("file_data", file.data.as_deref()),
                ("file_id", file.id.as_deref()),
                ("filename", file.name.as_deref()),
            ]),
        ),
        _ => return part.text().unwrap_or_default().to_owned(),
    };
    let [start, end] = MARKS;
    format!("{start}[{{\"type\": \"{kind}\", \"{kind}\": {{{inner}}}}}]{end}")
}

/// What stands between the marks of a text.
fn unmarked(text: &str) -> Option<Value> {
    let [start, end] = MARKS;
    let parts: Vec<Value> = serde_json::from_str(text.trim().strip_prefix(start)?.strip_suffix(end)?).ok()?;
    let [part] = <[Value; 1]>::try_from(parts).ok()?;
    Some(part)
}

/// Whether a text is an address, or holds bytes. A sentence may begin like one.
fn is_address(text: &str) -> bool {
    let is_one_word = |text: &str| !text.contains(char::is_whitespace);
    match split_data_url(text) {
        Some((media_type, _)) => is_one_word(media_type),
        None => ["https://", "http://", "gs://"].iter().any(|it| text.starts_with(it)) && is_one_word(text),
    }
}

/// An object of texts that are among some names, without those that are null.
fn texts(value: &Value, names: &[&str]) -> Option<Fields> {
    let given = value.as_object()?.iter().filter(|(_, value)| !value.is_null());
    let known = |(name, value): (&String, &Value)| {
        (names.contains(&name.as_str()) && value.is_string()).then(|| (name.clone(), value.clone()))
    };
    given.map(known).collect::<Option<Fields>>().filter(|fields| !fields.is_empty())
}

pub(super) fn is_image(value: &Value) -> bool {
    let has = |name| value.get(name).and_then(Value::as_str);
    match value {
        Value::String(url) => is_address(url),
        Value::Object(fields) => {
            fields.len() == 2 && has("detail").is_some() && has("url").is_some_and(is_address)
        }
        _ => false,
    }
}

pub(super) fn is_file(value: &Value) -> bool {
    let known = |(name, value): (&String, &Value)| FILE_FIELDS.contains(&name.as_str()) && value.is_string();
    value.as_object().is_some_and(|fields| !fields.is_empty() && fields.iter().all(known))
}

pub(super) fn is_history(value: &Value) -> bool {
    value.as_array().is_some_and(|turns| turns.iter().all(is_turn))
}

/// A turn is a message with a role, or what went into a program and what came out.
fn is_turn(turn: &Value) -> bool {
    let Value::Object(fields) = turn else { return false };
    let is_message = || Message::deserialize(turn).is_ok();
    !fields.is_empty() && (!(fields.contains_key("role") && fields.contains_key("content")) || is_message())
}

pub(super) fn read_image(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if is_address(text.trim()) => Some(Value::from(text.trim())),
        Value::String(text) => read_image(&unmarked(text)?),
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "image_url") => {
            read_image(fields.get("image_url")?)
        }
        other => {
            let fields = texts(other, &["url", "detail"])?;
            let url = fields.get("url")?.as_str().filter(|url| is_address(url))?;
            Some(if fields.len() == 1 { Value::from(url) } else { Value::Object(fields) })
        }
    }
}

pub(super) fn read_file(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if text.trim().starts_with("data:") => Some(json!({"file_data": text.trim()})),
        Value::String(text) => read_file(&unmarked(text)?),
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "file") => {
            read_file(fields.get("file")?)
        }
        other => texts(other, &FILE_FIELDS).map(Value::Object),
    }
}

pub(super) fn read_history(value: Value) -> Result<Value, Value> {
    let turns = match value {
        Value::String(text) => match serde_json::from_str::<Value>(&text) {
            Ok(read) if !read.is_string() => read_history(read).map_err(|_| Value::from(text))?,
            _ => return Err(Value::from(text)),
        },
        Value::Object(mut fields) if fields.len() == 1 && fields.contains_key("messages") => {
            let turns = fields.remove("messages").unwrap_or_default();
            let whole = |turns| Value::Object(Map::from_iter([("messages".to_owned(), turns)]));
            if is_history(&turns) { turns } else { return Err(whole(turns)) }
        }
        other => other,
    };
    if !is_history(&turns) {
        return Err(turns);
    }
    Ok(shown_in_turns(turns))
}

/// Turns with the values that DSPy keeps between marks in our form.
fn shown_in_turns(mut turns: Value) -> Value {
    for value in
        turns.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).flat_map(Map::values_mut)
    {
        let values =
            if let Value::Array(items) = value { items.as_mut_slice() } else { std::slice::from_mut(value) };
        for value in values {
            let part = value.as_str().and_then(unmarked);
            if let Some(read) = part.and_then(|part| read_image(&part).or_else(|| read_file(&part))) {
                *value = read;
            }
        }
    }
    turns
}

fn file_of(value: &Value) -> File {
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    File {
        name: field("filename").map(str::to_owned),
        id: field("file_id").map(str::to_owned),
        data: field("file_data").map(Into::into),
        ..File::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &FieldType, value: Value, expected: Option<Value>) {
        let read = kind.read(value.clone());
        assert_eq!(read.clone().ok(), expected, "{value} as {kind}");
        match read {
            Ok(read) => {
                assert!(kind.admits(&read), "{read}");
                assert_eq!(kind.read(read.clone()), Ok(read));
            }
            Err(given) => assert_eq!(given, value),
        }
    }

    #[test]
    fn a_sentence_that_begins_like_an_address_is_none() {
        for text in ["https://x.org says it is late", "data: none", "data: a;base64, b", "data:text,a"] {
            check(&FieldType::Image, json!(text), None);
        }
        let list = FieldType::optional(FieldType::list(FieldType::Image));
        let marked = list.dspy_value(&json!(["data:image/png;base64,AAAA"]));
        assert!(marked[0].as_str().unwrap().starts_with(MARKS[0]), "{marked}");
    }

    #[test]
    fn images_have_one_form() {
        let png = "data:image/png;base64,AAAA";
        let detailed = json!({"url": png, "detail": "low"});
        for value in [
            json!(png),
            json!({"url": png}),
            json!({"url": png, "detail": null}),
            json!({"type": "image_url", "image_url": {"url": png}}),
            json!(format!(
                "{}[{{\"type\": \"image_url\", \"image_url\": {{\"url\": \"{png}\"}}}}]{}",
                MARKS[0], MARKS[1]
            )),
        ] {
            check(&FieldType::Image, value.clone(), Some(json!(png)));
            assert_eq!(FieldType::Image.part(&value), Some(Image::at(png).into()));
        }
        check(&FieldType::Image, detailed.clone(), Some(detailed.clone()));
        assert_eq!(FieldType::Image.part(&detailed), Some(Image::at(png).with_detail("low").into()));
        check(&FieldType::Image, json!(" https://x.org/a.png "), Some(json!("https://x.org/a.png")));
        for value in
            [json!("a.png"), json!(""), json!({"url": "a.png"}), json!({"path": png}), json!(3), json!(null)]
        {
            check(&FieldType::Image, value, None);
        }
    }

    #[test]
    fn files_have_one_form() {
        let pdf = "data:application/pdf;base64,AAAA";
        let whole = json!({"filename": "a.pdf", "file_data": pdf});
        check(&FieldType::File, whole.clone(), Some(whole.clone()));
        check(&FieldType::File, json!(pdf), Some(json!({"file_data": pdf})));
        check(
            &FieldType::File,
            json!({"type": "file", "file": {"file_id": "f"}}),
            Some(json!({"file_id": "f"})),
        );
        check(&FieldType::File, FieldType::File.dspy_value(&whole), Some(whole));
        for value in [
            json!("a.pdf"),
            json!("https://x.org/a.pdf"),
            json!({}),
            json!({"path": "a.pdf"}),
            json!({"file_id": 3}),
        ] {
            check(&FieldType::File, value, None);
        }
    }

    #[test]
    fn histories_are_lists_of_turns() {
        let turns = json!([{"role": "user", "content": "hi"}, {"question": "q", "answer": "a"}]);
        for value in [turns.clone(), json!({"messages": turns.clone()}), json!(turns.to_string())] {
            check(&FieldType::History, value, Some(turns.clone()));
        }
        check(&FieldType::History, json!([]), Some(json!([])));
        for value in [
            json!(["hi"]),
            json!([{}]),
            json!([{"role": "nobody", "content": "hi"}]),
            json!({"messages": [1]}),
            json!("hi"),
            json!("\"hi\""),
            json!(null),
        ] {
            check(&FieldType::History, value, None);
        }
    }

    #[test]
    fn dspy_keeps_what_is_shown_between_marks() {
        let kind = FieldType::list(FieldType::Image);
        let images = json!(["https://x.org/ß.png", "data:image/png;base64,AAAA"]);
        let kept = kind.dspy_value(&images);
        assert_eq!(
            kept[0],
            "<<CUSTOM-TYPE-START-IDENTIFIER>>[{\"type\": \"image_url\", \"image_url\": {\"url\": \"https://x.org/ß.png\"}}]\
             <<CUSTOM-TYPE-END-IDENTIFIER>>"
        );
        check(&kind, kept, Some(images.clone()));
        let turns = json!({"messages": [{"photo": kind.dspy_value(&images), "answer": "a"}]});
        check(&FieldType::History, turns, Some(json!([{"photo": images, "answer": "a"}])));
        assert_eq!(FieldType::Integer.dspy_value(&json!(3)), json!(3));
    }
}
