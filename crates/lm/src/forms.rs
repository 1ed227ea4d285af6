//! Messages and tools in a form that a server takes, where it refuses the one that they have.

use std::borrow::Cow;

use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LmReply, LmRequest, Message, Role, ToolCall, ToolChoice};

use crate::draft::Draft;
use crate::parameter_support::Parameter;

/// The longest name of a tool that nearly every provider takes, in characters.
const MAX_NAME: usize = 64;

/// The letters and digits of an id that every provider takes. Mistral takes no other number.
const ID_LENGTH: usize = 9;

/// What vLLM, Ollama and OpenRouter call the thoughts of a model.
pub(crate) const REASONING: &str = "reasoning";

/// The fields of a message that hold what its model thought. Some providers want it back with the results of the tools that
/// it called.
pub(crate) const THOUGHTS: [&str; 4] =
    ["reasoning_content", "reasoning_details", REASONING, "thinking_blocks"];

/// What of the messages and tools of a request a server may refuse.
pub(crate) fn offered(request: &LmRequest, parallel_tool_calls: Option<bool>) -> Vec<Parameter> {
    let has_tools = !request.tools.is_empty();
    let messages = &request.messages;
    let calls = || messages.iter().flat_map(|message| &message.tool_calls);
    let ids =
        || calls().map(|call| &call.id).chain(messages.iter().filter_map(|it| it.tool_call_id.as_ref()));
    let is_in_it = |parameter: &Parameter| match parameter {
        Parameter::ParallelToolCalls => {
            request.parallel_tool_calls.is_some() || (has_tools && parallel_tool_calls.is_some())
        }
        Parameter::ToolChoice => request.tool_choice.is_some(),
        Parameter::Strict => request.tools.iter().any(|tool| tool.strict.is_some()),
        Parameter::Developer => messages.iter().any(|message| message.role == Role::Developer),
        Parameter::Reasoning => {
            messages.iter().any(|message| THOUGHTS.iter().any(|name| message.extra.contains_key(*name)))
        }
        Parameter::NullContent => messages.iter().any(only_calls),
        Parameter::CallIds => ids().any(|id| !is_short(id)),
        Parameter::ToolNames => request
            .tools
            .iter()
            .map(|tool| &tool.name)
            .chain(calls().map(|call| &call.name))
            .any(|name| !is_plain(name)),
        _ => false,
    };
    let named = [Parameter::ParallelToolCalls, Parameter::ToolChoice, Parameter::Strict];
    named.into_iter().chain(Parameter::FORMS).filter(is_in_it).collect()
}

/// The request as far as the server takes it.
pub(crate) fn formed<'a>(request: &'a LmRequest, draft: &Draft) -> Cow<'a, LmRequest> {
    if draft.refused().is_empty() {
        return Cow::Borrowed(request);
    }
    let mut formed = request.clone();
    for parameter in draft.refused() {
        match parameter {
            Parameter::ParallelToolCalls => formed.parallel_tool_calls = None,
            Parameter::ToolChoice => formed.tool_choice = None,
            Parameter::Strict => formed.tools.iter_mut().for_each(|tool| tool.strict = None),
            Parameter::Developer => developers(&mut formed).for_each(|message| message.role = Role::System),
            Parameter::Reasoning => formed
                .messages
                .iter_mut()
                .filter(|message| !message.extra.is_empty())
                .for_each(|message| message.extra.retain(|name, _| !THOUGHTS.contains(&name.as_str()))),
            Parameter::CallIds => short_ids(&mut formed),
            Parameter::ToolNames => plain_names(&mut formed),
            _ => {}
        }
    }
    Cow::Owned(formed)
}

/// The calls of a reply under the names that its request has.
pub(crate) fn own_names(reply: &mut LmReply, request: &LmRequest, draft: &Draft) {
    if !draft.refused().contains(&Parameter::ToolNames) {
        return;
    }
    let names = names(request);
    for call in reply.completions.iter_mut().flat_map(|completion| &mut completion.tool_calls) {
        if let Some((own, _)) = names.iter().find(|(_, sent)| *sent == call.name) {
            call.name.clone_from(own);
        }
    }
}

/// An id for a call that came without one.
pub(crate) fn made_id(call: &ToolCall, number: usize) -> String {
    short_id(&format!("{number} {} {}", call.name, call.arguments))
}

fn developers(request: &mut LmRequest) -> impl Iterator<Item = &mut Message> {
    request.messages.iter_mut().filter(|message| message.role == Role::Developer)
}

/// Whether a message calls tools and says nothing.
fn only_calls(message: &Message) -> bool {
    message.content.is_empty() && !message.tool_calls.is_empty()
}

fn is_short(id: &str) -> bool {
    id.len() == ID_LENGTH && id.chars().all(|letter| letter.is_ascii_alphanumeric())
}

fn short_id(id: &str) -> String {
    let mut hash = ContentHash::of(id).to_string();
    hash.truncate(ID_LENGTH);
    hash
}

fn short_ids(request: &mut LmRequest) {
    for message in &mut request.messages {
        let calls = message.tool_calls.iter_mut().map(|call| &mut call.id);
        calls.chain(&mut message.tool_call_id).filter(|id| !is_short(id)).for_each(|id| *id = short_id(id));
    }
}

fn is_plain(name: &str) -> bool {
    name.len() <= MAX_NAME
        && !name.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-')
        && name.chars().all(is_plain_letter)
}

fn is_plain_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

/// Each name of a tool in the request, and the plain one that is sent for it. No two are the same.
fn names(request: &LmRequest) -> Vec<(String, String)> {
    let called = request.messages.iter().flat_map(|message| &message.tool_calls).map(|call| &call.name);
    let all: Vec<&String> = request.tools.iter().map(|tool| &tool.name).chain(called).collect();
    let mut names: Vec<(String, String)> = Vec::new();
    // Those that can stay as they are go first, so that no other takes their place.
    for wants_plain in [true, false] {
        for name in all.iter().filter(|name| is_plain(name) == wants_plain) {
            if names.iter().any(|(own, _)| own == *name) {
                continue;
            }
            let is_taken = |sent: &str| names.iter().any(|(_, taken)| taken == sent);
            let mut sent = if wants_plain { (*name).clone() } else { plain(name) };
            if is_taken(&sent) {
                sent.truncate(MAX_NAME - ID_LENGTH - 1);
                sent = format!("{sent}_{}", short_id(name));
            }
            names.push(((*name).clone(), sent));
        }
    }
    names
}

fn plain(name: &str) -> String {
    let mut plain: String =
        name.chars().map(|letter| if is_plain_letter(letter) { letter } else { '_' }).collect();
    if plain.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') {
        plain.insert(0, '_');
    }
    plain.truncate(MAX_NAME);
    plain
}

fn plain_names(request: &mut LmRequest) {
    let names = names(request);
    let rename = |name: &mut String| {
        if let Some((_, sent)) = names.iter().find(|(own, _)| own == name) {
            name.clone_from(sent);
        }
    };
    // A tool of a kind that is not known has no name.
    request.tools.iter_mut().filter(|tool| !tool.name.is_empty()).for_each(|tool| rename(&mut tool.name));
    if let Some(ToolChoice::Tool(name)) = &mut request.tool_choice {
        rename(name);
    }
    request.messages.iter_mut().flat_map(|it| &mut it.tool_calls).for_each(|call| rename(&mut call.name));
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{Completion, Sampling, ToolDefinition};
    use promptopt_core::money::Usage;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::MaxTokensField;

    fn refusing(request: &LmRequest, parameter: Parameter) -> Draft {
        let draft = Draft::new(Sampling::default(), MaxTokensField::MaxTokens, false);
        let mut draft = draft.with_offered(offered(request, None));
        assert!(draft.give_up(parameter), "{parameter:?} is not in it");
        draft
    }

    fn with_calls(calls: &[(&str, &str)]) -> LmRequest {
        let calls: Vec<_> = calls.iter().map(|(id, name)| ToolCall::new(*id, *name, "{}")).collect();
        let results: Vec<_> = calls.iter().map(|call| Message::tool_result(&call.id, "1")).collect();
        LmRequest::new([vec![Message::assistant("").with_tool_calls(calls)], results].concat())
    }

    #[test]
    fn nothing_of_a_plain_request_can_be_refused() {
        let plain = LmRequest::new(vec![Message::system("a"), Message::user("b"), Message::assistant("c")]);
        assert_eq!(offered(&plain, Some(true)), []);
        let draft = Draft::new(Sampling::default(), MaxTokensField::MaxTokens, false);
        assert!(matches!(formed(&plain, &draft), Cow::Borrowed(_)));
    }

    #[test]
    fn calls_and_results_keep_together_under_other_ids() {
        let request = with_calls(&[("call_1", "f"), ("call_2", "f"), ("abcDEF123", "f")]);
        let formed = formed(&request, &refusing(&request, Parameter::CallIds)).into_owned();
        let calls: Vec<_> = formed.messages[0].tool_calls.iter().map(|call| call.id.clone()).collect();
        let results: Vec<_> = formed.messages[1..].iter().filter_map(|it| it.tool_call_id.clone()).collect();
        assert_eq!(calls, results);
        assert!(calls.iter().all(|id| is_short(id)) && calls[0] != calls[1]);
        assert_eq!(calls[2], "abcDEF123", "an id that is taken is left alone");
    }

    proptest! {
        #[test]
        fn any_names_are_sent_apart_and_come_back(names in prop::collection::btree_set(".{1,80}", 1..6)) {
            let tools = names.iter().map(|name| ToolDefinition::new(name, "", json!({}))).collect();
            let request = LmRequest::new(Vec::new()).with_tools(tools);
            prop_assume!(names.iter().any(|name| !is_plain(name)));
            let draft = refusing(&request, Parameter::ToolNames);
            let formed = formed(&request, &draft);
            let sent: Vec<_> = formed.tools.iter().map(|tool| tool.name.clone()).collect();
            prop_assert!(sent.iter().all(|name| is_plain(name)), "{:?}", sent);
            let calls = sent.iter().map(|name| ToolCall::new("", name, "")).collect();
            let completion = Completion::new("").with_tool_calls(calls);
            let mut reply = LmReply::new(vec![completion], Usage::default());
            own_names(&mut reply, &request, &draft);
            let back: Vec<_> = reply.completions[0].tool_calls.iter().map(|call| call.name.clone()).collect();
            prop_assert_eq!(back, names.into_iter().collect::<Vec<_>>());
        }
    }
}
