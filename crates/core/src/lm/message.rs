//! A message of a chat: who speaks, and what is said, shown or called.
//!
//! Serialized, a message has the form of the OpenAI chat dialect. Journals, requests and the requests of other clients
//! are all read by the same rules, and what is not known here is kept as it came.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{Extra, ToolCall};

/// Who speaks in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// The standing instruction.
    System,
    /// The standing instruction of whoever built the application, as OpenAI's reasoning models name it.
    Developer,
    /// The person, or the program that asks.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
    /// The older name for a tool.
    Function,
}

impl Role {
    /// Its name, as in files and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "WireMessage")]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, as it goes over the wire.
    pub content: Content,
    /// The tools that the model calls.
    pub tool_calls: Vec<ToolCall>,
    /// The call that this message is the result of.
    pub tool_call_id: Option<String>,
    /// Fields that are not known here. They go over the wire as they are.
    pub extra: Extra,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            extra: Extra::default(),
        }
    }

    /// A system message.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// What a tool gave back for the call of this id.
    pub fn tool_result(call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::Tool, content) }
    }

    /// With tools that the model calls.
    #[must_use]
    pub fn with_tool_calls(mut self, tool_calls: Vec<ToolCall>) -> Self {
        self.tool_calls = tool_calls;
        self
    }

    /// With one more field that is not known here.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }

    /// All that is said, without what is shown.
    pub fn text(&self) -> &str {
        &self.content.text
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { role, content, tool_calls, tool_call_id, extra } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", role)?;
        // A message that only calls tools has no content, and says so.
        let has_content = !content.is_empty() || tool_calls.is_empty();
        map.serialize_entry("content", &has_content.then_some(content))?;
        if !tool_calls.is_empty() {
            map.serialize_entry("tool_calls", tool_calls)?;
        }
        if let Some(id) = tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        extra.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// A message as it comes over the wire.
#[derive(Deserialize)]
struct WireMessage {
    role: Role,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default, deserialize_with = "or_none")]
    tool_calls: Vec<ToolCall>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A list that may be null.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl From<WireMessage> for Message {
    fn from(wire: WireMessage) -> Self {
        Self {
            role: wire.role,
            content: wire.content.unwrap_or_default(),
            tool_calls: wire.tool_calls,
            tool_call_id: wire.tool_call_id,
            extra: wire.extra.into(),
        }
    }
}

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
    fn as_parts(parts: impl IntoIterator<Item = Part>) -> Self {
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

impl Part {
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

/// An image, at an address or with its bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Image {
    /// An address (`https://…`), or the bytes (`data:image/png;base64,…`).
    pub url: Arc<str>,
    /// How closely the model is to look, in the provider's words: `low`, `high` or `auto`.
    pub detail: Option<String>,
}

impl Image {
    /// The image at an address.
    pub fn at(url: impl Into<Arc<str>>) -> Self {
        Self { url: url.into(), detail: None }
    }

    /// An image from its bytes and their media type, such as `image/png`.
    pub fn of_bytes(media_type: &str, bytes: &[u8]) -> Self {
        Self::at(data_url(media_type, bytes))
    }

    /// With how closely the model is to look: `low`, `high` or `auto`.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// A sound with its bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Audio {
    /// The bytes in base64.
    pub data: Arc<str>,
    /// Their format, such as `wav` or `mp3`.
    pub format: String,
}

impl Audio {
    /// A sound from its bytes and their format, such as `wav`.
    pub fn of_bytes(format: impl Into<String>, bytes: &[u8]) -> Self {
        Self { data: BASE64.encode(bytes).into(), format: format.into() }
    }
}

/// A file: with its bytes, or one that the provider has. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct File {
    /// Its name.
    pub name: Option<String>,
    /// Under which the provider has it.
    pub id: Option<String>,
    /// The bytes, as `data:application/pdf;base64,…`.
    pub data: Option<Arc<str>>,
}

impl File {
    /// A file from its name, its media type, such as `application/pdf`, and its bytes.
    pub fn of_bytes(name: impl Into<String>, media_type: &str, bytes: &[u8]) -> Self {
        Self { name: Some(name.into()), id: None, data: Some(data_url(media_type, bytes).into()) }
    }

    /// A file that the provider has under this id.
    pub fn with_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }
}

/// Bytes as an address that holds them.
pub fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64.encode(bytes))
}

/// The media type and the bytes of an address that holds them; `None` where it holds none, or is broken.
pub fn data_of_url(url: &str) -> Option<(&str, Vec<u8>)> {
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some((media_type, BASE64.decode(data.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{from_value, to_value};

    use super::*;

    /// A wire form comes back as it was.
    fn check(wire: Value) {
        let message: Message = from_value(wire.clone()).unwrap();
        assert_eq!(to_value(&message).unwrap(), wire);
    }

    #[test]
    fn messages_of_other_clients_pass_unharmed() {
        check(json!({"role": "user", "content": "hi"}));
        check(json!({"role": "user", "content": [{"type": "text", "text": "hi"}]}));
        check(json!({"role": "developer", "content": "Be brief.", "name": "house"}));
        check(json!({"role": "user", "content": [
            {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "max_pixels": 9}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
            "a bare text",
        ]}));
        check(json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{\"q\": 1"}},
            {"id": "call_2", "type": "custom", "custom": {"name": "run", "input": "print(1)"}},
            {"id": "call_3", "type": "function", "function": {"name": "f", "arguments": "{}", "x": 1},
             "extra_content": {"google": {"thought_signature": "abc"}}},
        ]}));
        check(json!({"role": "assistant", "content": "", "reasoning_content": "I see.", "refusal": null}));
        check(json!({"role": "tool", "content": "42", "tool_call_id": "call_1"}));
        check(json!({"role": "function", "content": "42", "name": "search"}));
    }

    #[test]
    fn what_servers_write_differently_is_read() {
        let read = |wire: Value| from_value::<Message>(wire).unwrap();
        assert_eq!(read(json!({"role": "assistant"})), Message::assistant(""));
        assert_eq!(
            read(json!({"role": "assistant", "content": null, "tool_calls": null})),
            Message::assistant("")
        );
        let call = read(json!({"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": {"a": 1}}}
        ]}));
        assert_eq!(call.tool_calls, [ToolCall::new("", "f", "{\"a\":1}")]);
        let one = read(json!({"role": "user", "content": {"type": "text", "text": "hi"}}));
        assert_eq!(one.text(), "hi");
        assert!(
            from_value::<Message>(json!({"role": "user", "content": 3})).is_ok_and(|it| it.text().is_empty())
        );
    }

    #[test]
    fn texts_alone_are_a_text() {
        let content = Content::parts([Part::said("a"), Part::said("b")]);
        assert_eq!(content, Content::from("ab"));
        let shown = Content::parts([Part::said("What is "), Image::at("https://example.org/a.png").into()]);
        assert_eq!((shown.as_str(), shown.to_string().as_str()), ("What is ", "What is [image]"));
    }

    #[test]
    fn bytes_become_an_address_and_come_back() {
        let image = Image::of_bytes("image/png", &[1, 2, 3]);
        assert_eq!(data_of_url(&image.url), Some(("image/png", vec![1, 2, 3])));
        assert_eq!(data_of_url("https://example.org/a.png"), None);
        assert_eq!(data_of_url("data:image/png;base64,?"), None);
    }

    fn value() -> impl Strategy<Value = Value> {
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

    fn part() -> impl Strategy<Value = Part> {
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

    fn call() -> impl Strategy<Value = ToolCall> {
        (".{0,4}", ".{0,4}", ".{0,8}", any::<bool>()).prop_map(|(id, name, arguments, is_custom)| ToolCall {
            is_custom,
            ..ToolCall::new(id, name, arguments)
        })
    }

    prop_compose! {
        fn message()(
            role in prop::sample::select(vec![Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool]),
            text in ".{0,12}",
            parts in prop::collection::vec(part(), 0..4),
            tool_calls in prop::collection::vec(call(), 0..3),
            tool_call_id in prop::option::of("[a-z]{1,4}"),
            extra in prop::collection::btree_map("x_[a-z]{1,4}", value(), 0..3),
        ) -> Message {
            let content = if parts.is_empty() { text.into() } else { Content::as_parts(parts) };
            Message { role, content, tool_calls, tool_call_id, extra: extra.into_iter().collect() }
        }
    }

    proptest! {
        #[test]
        fn any_message_comes_back_from_its_wire_form(message in message()) {
            let wire = serde_json::to_string(&message).unwrap();
            let read: Message = serde_json::from_str(&wire).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), wire);
            prop_assert_eq!(read.content.as_slice().len(), message.content.as_slice().len());
            prop_assert_eq!(read, message);
        }

        #[test]
        fn any_json_is_a_part_that_comes_back(value in value()) {
            prop_assert_eq!(Value::from(Part::from(value.clone())), value);
        }

        #[test]
        fn any_arguments_are_read_or_refused(text in ".{0,40}") {
            let _ = ToolCall::new("", "", text).read_arguments();
        }
    }
}
