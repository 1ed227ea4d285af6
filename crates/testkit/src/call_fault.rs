//! Mistakes that models make with tools.

use promptopt_core::lm::ToolCall;
use serde_json::Value;

use crate::Rule;
use crate::tool_caller::Turn;

/// A mistake that models make with tools, and that an instruction can keep them from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallFault {
    /// It calls another tool.
    WrongTool,
    /// It makes the first call alone where several are wanted.
    OneOfSeveral,
    /// It writes a number as a text.
    NumberAsText,
    /// It adds an argument that nobody asked for.
    InventedArgument,
    /// It calls a tool where none fits.
    CallsAnyway,
    /// It ends in the middle of the arguments.
    BrokenJson,
    /// It answers a later turn without the calls that it takes.
    ForgetsTurn,
}

impl CallFault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::WrongTool,
        Self::OneOfSeveral,
        Self::NumberAsText,
        Self::InventedArgument,
        Self::CallsAnyway,
        Self::BrokenJson,
        Self::ForgetsTurn,
    ];

    /// When it happens and what to do instead, and the words of a checker that tell of it.
    pub(crate) fn words(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::WrongTool => (
                "several tools",
                "to the one whose description fits best",
                &["wrong_func_name", "not found in model output", "state_mismatch", "response_mismatch"],
            ),
            Self::OneOfSeveral => (
                "several wishes",
                "one for each of them at once",
                &["Wrong number of functions", "state_mismatch", "response_mismatch"],
            ),
            Self::NumberAsText => {
                ("a number", "with that number as a JSON number", &["Incorrect type for parameter"])
            }
            Self::InventedArgument => (
                "an argument without a value",
                "without that argument",
                &["Unexpected parameter", "state_mismatch", "response_mismatch"],
            ),
            Self::CallsAnyway => ("nothing that a tool does", "left out", &["irrelevance_error"]),
            Self::BrokenJson => ("any arguments", "written to the end of the JSON", &["not valid JSON"]),
            Self::ForgetsTurn => {
                ("a further wish", "made for that wish as well", &["empty_turn_model_response"])
            }
        }
    }

    pub(crate) fn rule(self, tool: Option<&str>) -> Rule {
        let (cue, value, _) = self.words();
        Rule { field: "call".to_owned(), cue: tool.unwrap_or(cue).to_owned(), value: value.to_owned() }
    }

    /// Whether it can happen in a turn.
    pub(crate) fn applies(self, turn: &Turn, number: usize, offered: &[String]) -> bool {
        let mut calls = turn.steps.iter().flatten();
        let count = calls.clone().count();
        match self {
            Self::WrongTool => count > 0 && offered.len() > 1,
            Self::OneOfSeveral => count > 1,
            Self::NumberAsText => calls.next().is_some_and(|call| number_in(call).is_some()),
            Self::InventedArgument | Self::BrokenJson => count > 0,
            Self::CallsAnyway => count == 0 && !offered.is_empty(),
            Self::ForgetsTurn => count > 0 && number > 0,
        }
    }

    /// The steps of a turn with this mistake in them.
    pub(crate) fn spoil(self, mut steps: Vec<Vec<ToolCall>>, offered: &[String]) -> Vec<Vec<ToolCall>> {
        match self {
            Self::ForgetsTurn => return Vec::new(),
            Self::CallsAnyway => {
                let name = offered.first().map_or("", String::as_str);
                return vec![vec![ToolCall::new("", name, "{}")]];
            }
            Self::OneOfSeveral => {
                steps.truncate(1);
                steps.iter_mut().for_each(|step| step.truncate(1));
            }
            _ => {}
        }
        let Some(call) = steps.iter_mut().flatten().next() else { return steps };
        match self {
            Self::WrongTool => {
                let other = offered.iter().find(|name| **name != call.name);
                call.name = other.cloned().unwrap_or_default();
            }
            Self::NumberAsText => {
                if let (Ok(mut arguments), Some(name)) = (call.read_arguments(), number_in(call)) {
                    let text = arguments.get(&name).map(Value::to_string);
                    arguments.insert(name, text.into());
                    call.arguments = Value::Object(arguments).to_string();
                }
            }
            Self::InventedArgument => {
                let mut arguments = call.read_arguments().unwrap_or_default();
                arguments.insert("priority".to_owned(), "high".into());
                call.arguments = Value::Object(arguments).to_string();
            }
            Self::BrokenJson => {
                call.arguments.pop();
            }
            _ => {}
        }
        steps
    }
}

/// The first argument of a call that is a number.
pub(crate) fn number_in(call: &ToolCall) -> Option<String> {
    let arguments = call.read_arguments().ok()?;
    arguments.iter().find(|(_, value)| value.is_number()).map(|(name, _)| name.clone())
}
