//! Tools in the text of the messages, for models without tools (Yao et al. 2023, ReAct).

use promptopt_core::lm::{Message, Role, ToolCall, ToolDefinition};
use serde_json::{Deserializer, Value};

use crate::adapter::{emphasis_at_end, is_decoration, undecorated};

const ACTION: &str = "action";
const INPUT: &str = "action input";
const RESULT: &str = "Observation";

/// The most calls that are read from a reply.
const MAX_CALLS: usize = 128;

/// Where a model that goes on writes results of its own.
pub(super) const RESULT_FOLLOWS: &str = "\nObservation:";

/// What the system message says of the tools.
pub(super) fn introduction(definitions: &[ToolDefinition], several_at_once: bool) -> String {
    let tool = |tool: &ToolDefinition| format!("- {}({}): {}", tool.name, parameters(tool), tool.description);
    let tools: Vec<String> = definitions.iter().map(tool).collect();
    let several =
        if several_at_once { " To use several at once, write these two lines for each." } else { "" };
    format!(
        "You may use these tools first, several times if need be:\n{}\n\nTo use one, write these two lines and nothing \
         behind them:\nAction: the name of the tool\nAction Input: its arguments, as a JSON object\n\nYou are told its result \
         as an Observation.{several} Once you know enough, answer in the form above, without an Action.",
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

/// The calls in a text, in their order: none where it has no action.
pub(super) fn calls(text: &str, turn: u32) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    let mut rest = text.split(RESULT_FOLLOWS).next().unwrap_or_default().to_owned();
    while calls.len() < MAX_CALLS
        && let Some((name, behind)) = behind(&rest, ACTION)
    {
        let name = name.trim_matches(|mark: char| mark.is_whitespace() || "`\"'*[]".contains(mark));
        let (arguments, after) = arguments(behind);
        // Some write the call as one: search({"query": "tea"}).
        let (name, inside) = match name.split_once('(') {
            Some((name, inside)) => (name.trim(), inside.trim_end().trim_end_matches(')')),
            None => (name, ""),
        };
        let arguments = if arguments.is_empty() { read_object(inside).0 } else { arguments };
        calls.push(ToolCall::new(format!("call_{turn}_{}", calls.len() + 1), name, arguments));
        rest = after;
    }
    calls
}

/// The arguments of an action, and the text behind them. They stand before the next action.
fn arguments(text: &str) -> (String, String) {
    let (own, next) = before_next_action(text);
    let Some((line, more)) = behind(own, INPUT) else { return (String::new(), next.to_owned()) };
    // An object may hold a line that looks like an action, so it is read from the whole text.
    let whole = format!("{line}\n{more}{next}");
    let begins = whole.find('{').filter(|start| *start < line.len() + 1 + more.len());
    match begins.map(|_| read_object(&whole)) {
        Some((object, Some(end))) => (object, whole.get(end..).unwrap_or_default().to_owned()),
        _ => (read_object(&format!("{line}\n{more}")).0, next.to_owned()),
    }
}

/// A text up to its next action, and from there on.
fn before_next_action(text: &str) -> (&str, &str) {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if opened(line.trim_end_matches('\n'), ACTION).is_some() {
            break;
        }
        end += line.len();
    }
    text.split_at_checked(end).unwrap_or((text, ""))
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

/// The JSON object that a text begins with or holds, and where it ends; the text itself where it holds none.
fn read_object(text: &str) -> (String, Option<usize>) {
    let start = text.find('{').unwrap_or_default();
    let mut values = Deserializer::from_str(text.get(start..).unwrap_or_default()).into_iter::<Value>();
    match values.next() {
        Some(Ok(value @ Value::Object(_))) => (value.to_string(), Some(start + values.byte_offset())),
        _ => (text.trim().trim_matches('`').trim().to_owned(), None),
    }
}

/// What the model is told of the calls of a turn.
pub(super) fn results(results: &[String]) -> String {
    results.iter().map(|result| format!("{RESULT}: {result}")).collect::<Vec<_>>().join("\n")
}

/// The calls of a turn as a model writes them.
pub(super) fn written(thought: &str, calls: &[ToolCall]) -> String {
    let calls = calls.iter().map(|call| format!("Action: {}\nAction Input: {}", call.name, call.arguments));
    let thought = Some(thought.to_owned()).filter(|thought| !thought.is_empty());
    thought.into_iter().chain(calls).collect::<Vec<_>>().join("\n")
}

/// Messages in which calls of tools and their results are words, for a model without tools.
pub(super) fn in_words(messages: Vec<Message>) -> Vec<Message> {
    let mut worded: Vec<Message> = Vec::with_capacity(messages.len());
    let mut is_behind_result = false;
    for message in messages {
        let is_result = message.role == Role::Tool;
        if is_result {
            let result = results(&[message.text().to_owned()]);
            match worded.last_mut().filter(|_| is_behind_result) {
                Some(last) => *last = Message::user(format!("{}\n{result}", last.text())),
                None => worded.push(Message::user(result)),
            }
        } else if message.tool_calls.is_empty() {
            worded.push(message);
        } else {
            worded.push(Message::assistant(written(message.text(), &message.tool_calls)));
        }
        is_behind_result = is_result;
    }
    worded
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
        let several = "Both.\nAction: search\nAction Input: {\n  \"query\": \"tea\",\n  \"note\": \"x\"\n}\nAction: now\n\n\
                       **Action:** look(\"up\")\nAction: search\nAction Input: tea\nAction: search\nAction Input: {\"a\": {}}";
        let found: Vec<(String, String)> =
            calls(several, 3).into_iter().map(|call| (call.id + " " + &call.name, call.arguments)).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, given)| (&**name, &**given)).collect();
        assert_eq!(
            found,
            [
                ("call_3_1 search", r#"{"query":"tea","note":"x"}"#),
                ("call_3_2 now", ""),
                ("call_3_3 look", "\"up\""),
                ("call_3_4 search", "tea"),
                ("call_3_5 search", r#"{"a":{}}"#),
            ]
        );
        // A broken object ends where the next action begins.
        let broken = calls("Action: a\nAction Input: {\"x\": \nAction: b\nAction Input: {}", 1);
        assert_eq!((broken[0].arguments.as_str(), broken[1].arguments.as_str()), ("{\"x\":", "{}"));
        for answer in ["The best action: none", "[[ ## answer ## ]]\ntea", "", "Actions: two"] {
            assert!(calls(answer, 1).is_empty(), "{answer}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_and_what_is_written_reads_back(
            text in "(Action: ?|Action Input: ?|[{}\":,a\u{e9}]{0,4}|\n){0,40}",
            given in proptest::collection::vec("[a-z]{1,8}", 1..6),
        ) {
            proptest::prop_assert!(calls(&text, 1).len() <= MAX_CALLS);
            let call = |(number, name): (usize, &String)| {
                let arguments = json!({"action": name, "note": "Action: x\nAction Input: {}"});
                ToolCall::new(format!("call_2_{}", number + 1), name, arguments.to_string())
            };
            let made: Vec<ToolCall> = given.iter().enumerate().map(call).collect();
            proptest::prop_assert_eq!(calls(&written("I act.", &made), 2), made);
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
