//! Images, files and histories as fields of Rust types.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{FieldType, to_fields};
use crate::Error;
use crate::lm::{File, Image, Message, Part};

/// Earlier turns of a chat, for an input of a typed signature. Each is a message, or what went into the predictor and what
/// came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct History(Vec<Value>);

impl History {
    /// No turns: a chat that begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more message.
    #[must_use]
    pub fn with_message(mut self, message: &Message) -> Self {
        // A message is an object of texts, so it can be written.
        self.0.extend(serde_json::to_value(message));
        self
    }

    /// With what went in and what came out in one more turn, such as a whole `Triage`.
    ///
    /// # Errors
    ///
    /// [`Error::Fields`] where one of them cannot be written as an object.
    pub fn with_turn(mut self, input: &impl Serialize, output: &impl Serialize) -> Result<Self, Error> {
        let mut fields = to_fields(input)?;
        fields.extend(to_fields(output)?);
        self.0.push(Value::Object(fields));
        Ok(self)
    }

    /// How many turns there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'m> FromIterator<&'m Message> for History {
    fn from_iter<I: IntoIterator<Item = &'m Message>>(messages: I) -> Self {
        messages.into_iter().fold(Self::new(), Self::with_message)
    }
}

impl FromIterator<Message> for History {
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Self {
        messages.into_iter().fold(Self::new(), |chat, message| chat.with_message(&message))
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = FieldType::History.read(Value::deserialize(deserializer)?);
        match value {
            Ok(Value::Array(turns)) => Ok(Self(turns)),
            _ => Err(D::Error::custom(
                "expected the turns of a chat: objects of `role` and `content`, or of fields",
            )),
        }
    }
}

/// A value of a field type as the part of a message that shows it.
fn part<'de, D: Deserializer<'de>>(
    kind: &FieldType,
    deserializer: D,
    expected: &str,
) -> Result<Part, D::Error> {
    let value = Value::deserialize(deserializer)?;
    kind.part(&value).ok_or_else(|| D::Error::custom(expected))
}

impl Serialize for Image {
    /// Its address, or an object of `url` and `detail`: the form that an input of type `image` has.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.detail {
            None => serializer.serialize_str(&self.url),
            Some(detail) => serializer.collect_map([("url", &*self.url), ("detail", detail.as_str())]),
        }
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "expected an image: its address, or `data:image/png;base64,…`";
        match part(&FieldType::Image, deserializer, expected)? {
            Part::Image(image) => Ok(image),
            _ => Err(D::Error::custom(expected)),
        }
    }
}

impl Serialize for File {
    /// An object of `filename`, `file_data` and `file_id`: the form that an input of type `file` has.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = [
            ("filename", self.name.as_deref()),
            ("file_data", self.data.as_deref()),
            ("file_id", self.id.as_deref()),
        ];
        serializer.collect_map(fields.into_iter().filter_map(|(name, text)| Some((name, text?))))
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            "expected a file: an object with `file_data` or `file_id`, or `data:application/pdf;base64,…`";
        match part(&FieldType::File, deserializer, expected)? {
            Part::File(file) => Ok(file),
            _ => Err(D::Error::custom(expected)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn images_and_files_have_the_form_of_their_fields() {
        for image in
            [Image::of_bytes("image/png", &[1, 2]), Image::at("https://x.org/a.png").with_detail("low")]
        {
            let value = to_value(&image).unwrap();
            assert!(FieldType::Image.admits(&value), "{value}");
            assert_eq!(from_value::<Image>(value).unwrap(), image);
        }
        for file in [File::of_bytes("a.pdf", "application/pdf", &[1]), File::with_id("f-1")] {
            let value = to_value(&file).unwrap();
            assert!(FieldType::File.admits(&value), "{value}");
            assert_eq!(from_value::<File>(value).unwrap(), file);
        }
        assert!(from_value::<Image>(json!("a.png")).unwrap_err().to_string().contains("expected an image"));
        assert!(from_value::<File>(json!({})).unwrap_err().to_string().contains("expected a file"));
    }

    #[test]
    fn a_history_is_read_as_an_input_is() {
        #[derive(Serialize)]
        struct Said<'a> {
            text: &'a str,
        }
        let history = History::from_iter([&Message::user("hi"), &Message::assistant("hello")]);
        let history = history.with_turn(&json!({"question": "q"}), &Said { text: "a" }).unwrap();
        let value = to_value(&history).unwrap();
        assert!(FieldType::History.admits(&value), "{value}");
        assert_eq!(value[2], json!({"question": "q", "text": "a"}));
        assert_eq!(from_value::<History>(json!({"messages": value})).unwrap(), history);
        assert!(from_value::<History>(json!(["hi"])).is_err());
    }
}
