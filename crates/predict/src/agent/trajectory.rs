//! The trajectory of an agent: what it called and what came back, as a field and as messages of a demo.

use promptopt_core::data::{Fields, plain_text, shorten};
use promptopt_core::lm::{Completion, Message, Role, ToolCall};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::Signature;
use promptopt_core::trace::TRAJECTORY;
use serde_json::{Map, Value, json};

use super::text_form;
use crate::adapter::{message_of_turn, shown_demos};

/// The longest thought or result that is kept, in characters.
pub(super) const MAX_CHARS: usize = 2000;
/// The longest arguments that are kept, in bytes. A metric judges them, and a demo or a history shows them as JSON.
const MAX_ARGUMENT_BYTES: usize = 20_000;

/// One turn: what the model wrote, and what the tools gave.
pub(super) struct Turn {
    thought: String,
    calls: Vec<(ToolCall, String)>,
}

impl Turn {
    pub(super) fn new(completion: Completion, results: Vec<String>, is_native: bool) -> Self {
        let thought = if is_native { completion.text } else { text_form::thought(&completion.text) };
        Self {
            thought: thought.trim().to_owned(),
            calls: completion.tool_calls.into_iter().zip(results).collect(),
        }
    }
}

/// Turns as a value, each text of them bounded.
pub(super) fn value(turns: &[Turn]) -> Value {
    let call = |(call, result): &(ToolCall, String)| {
        let arguments = match call.read_arguments() {
            Ok(arguments) if call.arguments.len() <= MAX_ARGUMENT_BYTES => Value::Object(arguments),
            _ => shorten(&call.arguments, MAX_CHARS).into(),
        };
        json!({"tool": call.name, "arguments": arguments, "result": shorten(result, MAX_CHARS)})
    };
    let turn = |turn: &Turn| {
        let mut fields = Map::new();
        if !turn.thought.is_empty() {
            fields.insert("thought".to_owned(), shorten(&turn.thought, MAX_CHARS).into());
        }
        fields.insert("calls".to_owned(), turn.calls.iter().map(call).collect());
        Value::Object(fields)
    };
    turns.iter().map(turn).collect()
}

/// Puts the calls of each demo, and of each turn of the history, between its question and its answer.
pub(super) fn insert_into(
    messages: &mut Vec<Message>,
    signature: &Signature,
    prompt: &Prompt,
    inputs: &Fields,
    is_native: bool,
) {
    let answers = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
    let places: Vec<usize> = answers.map(|(place, _)| place).collect();
    let demos = shown_demos(signature, prompt).map(|demo| demo.fields.get(TRAJECTORY));
    let history = signature.history().and_then(|history| inputs.get(&history.name)?.as_array());
    let turns = history.into_iter().flatten().filter_map(|turn| match message_of_turn(signature, turn) {
        // A message stands for itself.
        Some(message) => (message.role == Role::Assistant).then_some(None),
        None => turn.as_object().map(|fields| fields.get(TRAJECTORY)),
    });
    let shown: Vec<_> = places.into_iter().zip(demos.chain(turns)).collect();
    for (number, (place, trajectory)) in shown.into_iter().enumerate().rev() {
        let turns = trajectory.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let turns = turns.iter().enumerate();
        let told: Vec<Message> = turns
            .flat_map(|(turn, value)| told(value, &format!("demo_{number}_{turn}"), is_native))
            .collect();
        messages.splice(place..place, told);
    }
}

/// One turn of a trajectory as messages. What has not the form of one is not shown.
fn told(turn: &Value, id: &str, is_native: bool) -> Vec<Message> {
    let thought = turn.get("thought").and_then(Value::as_str).unwrap_or_default();
    let calls = turn.get("calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let call = |(number, call): (usize, &Value)| {
        let name = call.get("tool")?.as_str()?;
        // Servers read the arguments of earlier calls as JSON, so a broken call is not shown.
        let arguments = Value::Object(call.get("arguments")?.as_object()?.clone()).to_string();
        let result = plain_text(call.get("result")?);
        Some((ToolCall::new(format!("{id}_{number}"), name, arguments), result))
    };
    let calls: Vec<(ToolCall, String)> = calls.iter().enumerate().filter_map(call).collect();
    if calls.is_empty() {
        return Vec::new();
    }
    let (calls, results): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    if !is_native {
        let said = Message::assistant(text_form::written(thought, &calls));
        return vec![said, Message::user(text_form::results(&results))];
    }
    let ids: Vec<String> = calls.iter().map(|call| call.id.clone()).collect();
    let results = ids.into_iter().zip(results).map(|(id, result)| Message::tool_result(id, result));
    std::iter::once(Message::assistant(thought).with_tool_calls(calls)).chain(results).collect()
}
