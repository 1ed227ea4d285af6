//! What a predictor asks, for people and for files.

use std::fmt::Write as _;

use promptopt_core::lm::{Message, ToolDefinition};
use promptopt_core::program::Predictor;
use serde_json::{Map, Value, json};

/// A message for people: who says what, with the calls of tools.
pub(crate) fn message_text(message: &Message) -> String {
    let mut text = format!("--- {}\n", message.role.as_str());
    if message.tool_calls.is_empty() || !message.content.is_empty() {
        let _ = writeln!(text, "{}", message.content);
    }
    for call in &message.tool_calls {
        let _ = writeln!(text, "[calls {}({})]", call.name, call.arguments);
    }
    text
}

/// What a predictor asks.
pub(crate) struct Chat<'a> {
    pub(crate) predictor: &'a dyn Predictor,
    pub(crate) messages: Vec<Message>,
    pub(crate) tools: Vec<ToolDefinition>,
}

impl Chat<'_> {
    /// The tools, a paragraph each; nothing without tools.
    pub(crate) fn tools_text(&self) -> String {
        let tool =
            |tool: &ToolDefinition| format!("{}: {}\n{}\n", tool.name, tool.description, tool.parameters);
        if self.tools.is_empty() {
            return String::new();
        }
        format!("--- tools\n{}", self.tools.iter().map(tool).collect::<String>())
    }

    /// It as an object, without tools where there are none.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("predictor".to_owned(), self.predictor.path().into());
        fields.insert("messages".to_owned(), json!(self.messages));
        if !self.tools.is_empty() {
            fields.insert("tools".to_owned(), json!(self.tools));
        }
        fields
    }
}
