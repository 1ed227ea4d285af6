//! A message of a chat: who speaks, and what is said, shown or called.
//!
//! Serialized, a message has the form of the OpenAI chat dialect. Journals, requests and the requests of other clients
//! are all read by the same rules, and what is not known here is kept as it came.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Content, Extra, ToolCall};

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
        self.content.as_str()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{from_value, json, to_value};

    use super::*;
    use crate::lm::content::tests::{part, value};

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
    fn a_part_that_is_nested_without_end_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for part in [&deep, "{\"type\": \"x\", \"data\": DEEP}"] {
            let text = format!("{{\"role\": \"user\", \"content\": [{}]}}", part.replace("DEEP", &deep));
            assert!(serde_json::from_str::<Message>(&text).is_err());
        }
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
    }
}
