//! Tools in the text of the messages, for models without tools (Yao et al. 2023, ReAct).

use promptopt_core::lm::{ToolCall, ToolDefinition};
use serde_json::{Deserializer, Value};

use crate::adapter::{emphasis_at_end, is_decoration, undecorated};

const ACTION: &str = "action";
const INPUT: &str = "action input";
const RESULT: &str = "Observation";

/// Where a model that goes on writes results of its own.
pub(super) const RESULT_FOLLOWS: &str = "\nObservation:";

/// What the system message says of the tools.
pub(super) fn introduction(definitions: &[ToolDefinition]) -> String {
    let tool = |tool: &ToolDefinition| format!("- {}({}): {}", tool.name, parameters(tool), tool.description);
    let tools: Vec<String> = definitions.iter().map(tool).collect();
    format!(
        "You may use these tools first, several times if need be:\n{}\n\nTo use one, write these two lines and nothing \
         behind them:\nAction: the name of the tool\nAction Input: its arguments, as a JSON object\n\nYou are told its result \
         as an Observation. Once you know enough, answer in the form above, without an Action.",
        tools.join("\n")
    )
}

/// The arguments of a tool in short: `query: string, limit?: integer`, with what is said of them.
pub(super) fn parameters(definition: &ToolDefinition) -> String {
    let Some(Value::Object(properties)) = definition.parameters.get("properties") else {
        return String::new();
    };
    let required = definition.parameters.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let mark = if is_required(name) { "" } else { "?" };
        let kind = match (schema.get("enum"), schema.get("type")) {
            (Some(Value::Array(values)), _) => {
                values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
            }
            (_, Some(Value::String(kind))) => kind.clone(),
            (_, Some(kind)) => kind.to_string(),
            _ => schema.to_string(),
        };
        let said = schema.get("description").and_then(Value::as_str);
        format!("{name}{mark}: {kind}{}", said.map(|said| format!(" ({said})")).unwrap_or_default())
    };
    properties.iter().map(parameter).collect::<Vec<_>>().join(", ")
}

/// The calls in a text: none where it has no action.
pub(super) fn calls(text: &str, turn: u32) -> Vec<ToolCall> {
    let text = text.split(RESULT_FOLLOWS).next().unwrap_or_default();
    let Some((name, rest)) = behind(text, ACTION) else { return Vec::new() };
    let name = name.trim_matches(|mark: char| mark.is_whitespace() || "`\"'*[]".contains(mark));
    let arguments = behind(rest, INPUT).map(|(line, rest)| format!("{line}\n{rest}")).unwrap_or_default();
    // Some write the call as one: search({"query": "tea"}).
    let (name, inside) = match name.split_once('(') {
        Some((name, inside)) => (name.trim(), inside.trim_end().trim_end_matches(')')),
        None => (name, ""),
    };
    let arguments = if arguments.trim().is_empty() { inside } else { arguments.as_str() };
    vec![ToolCall::new(format!("call_{turn}_1"), name, json_in(arguments))]
}

/// What a model says before it calls a tool.
pub(super) fn thought(text: &str) -> String {
    text.lines().take_while(|line| opened(line, ACTION).is_none()).collect::<Vec<_>>().join("\n")
}

/// The first line that opens with a name, without the name, and what is behind that line.
fn behind<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some(value) = opened(line, name) {
            return Some((value, behind));
        }
        rest = behind;
    }
    None
}

/// What stands behind a name and a colon at the start of a line, also where it is decorated as in `**Action:** search`.
fn opened<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(|letter: char| letter.is_alphabetic())?;
    let (lead, rest) = line.split_at_checked(start).filter(|(lead, _)| is_decoration(lead))?;
    let (word, rest) = rest.split_at_checked(name.len())?;
    let marks = |mark: char| mark == ' ' || emphasis_at_end(lead).contains(mark);
    let is_it = word.eq_ignore_ascii_case(name) && rest.trim_start_matches(marks).starts_with(':');
    let value = undecorated(lead, rest);
    is_it.then(|| value.strip_prefix(':').unwrap_or(value).trim())
}

/// The JSON object that a text begins with or holds; the text itself where it holds none.
fn json_in(text: &str) -> String {
    let text = text.trim();
    let start = text.find('{').unwrap_or_default();
    let from = text.get(start..).unwrap_or_default();
    match Deserializer::from_str(from).into_iter::<Value>().next() {
        Some(Ok(value @ Value::Object(_))) => value.to_string(),
        _ => text.trim_matches('`').trim().to_owned(),
    }
}

/// What the model is told of the calls of a turn.
pub(super) fn results(results: &[String]) -> String {
    results.iter().map(|result| format!("{RESULT}: {result}")).collect::<Vec<_>>().join("\n")
}

/// A call as a model writes it.
pub(super) fn written(thought: &str, call: &ToolCall) -> String {
    let thought = if thought.is_empty() { String::new() } else { format!("{thought}\n") };
    format!("{thought}Action: {}\nAction Input: {}", call.name, call.arguments)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_are_found_however_they_are_decorated() {
        let wanted = [ToolCall::new("call_1_1", "search", r#"{"query":"tea"}"#)];
        for text in [
            "Action: search\nAction Input: {\"query\": \"tea\"}",
            "I should look.\n\n**Action:** `search`\n**Action Input:** {\"query\": \"tea\"}",
            "Thought: look\naction: search\naction input:\n```json\n{\"query\": \"tea\"}\n```",
            "Action: search({\"query\": \"tea\"})",
            "1. Action: search\nAction Input: {\"query\": \"tea\"}\nObservation: I made this up.\nAction: other",
            "### Action: [search]\nAction Input: {\"query\": \"tea\"} That should do.",
        ] {
            assert_eq!(calls(text, 1), wanted, "{text}");
        }
        assert_eq!(calls("Action: search\nAction Input: tea", 1)[0].arguments, "tea");
        assert_eq!(calls("Action: now", 2), [ToolCall::new("call_2_1", "now", "")]);
        for answer in ["The best action: none", "[[ ## answer ## ]]\ntea", "", "Actions: two"] {
            assert!(calls(answer, 1).is_empty(), "{answer}");
        }
    }

    #[test]
    fn parameters_are_told_in_short() {
        let schema = json!({"properties": {
            "query": {"type": "string", "description": "In a few words."},
            "order": {"enum": ["new", "old"]},
            "limit": {"type": ["integer", "null"]},
        }, "required": ["query"]});
        assert_eq!(
            parameters(&ToolDefinition::new("search", "", schema)),
            "query: string (In a few words.), order?: \"new\" or \"old\", limit?: [\"integer\",\"null\"]"
        );
        assert_eq!(parameters(&ToolDefinition::new("now", "", json!({"type": "object"}))), "");
    }
}
