//! Tells from a provider's words which form of a message or a tool it does not take, and whether it takes no tools.

use crate::parameter_support::Parameter;

/// What to do where tools are refused.
pub(crate) const NO_TOOLS: &str = "this model takes no tools as it is served: use one that does, or start the server \
    with its tools on (vLLM: `--enable-auto-tool-choice` and `--tool-call-parser`; llama.cpp: `--jinja`)";

/// The forms that `message`, in lower case, may object to. Which of them are in the request is not known here.
pub(crate) fn refused_forms<'a>(
    message: &'a str,
    param: &'a str,
) -> impl Iterator<Item = Parameter> + use<'a> {
    let says = move |words: &[&str]| words.iter().any(|word| message.contains(word));
    let names = move |name: &str| message.contains(name) || param.ends_with(name);
    let is_missing = says(&["missing", "must be passed", "is required", "must include"]);
    let is_form = says(&FORM);
    // `reasoning_content` is another field.
    let is_content = message.replace("reasoning_content", "").contains("content")
        || (param.ends_with("content") && !param.ends_with("reasoning_content"));
    Parameter::FORMS.into_iter().filter(move |parameter| match parameter {
        Parameter::Developer => names("role") || says(&["developer"]),
        Parameter::Reasoning => !is_missing && says(&REASONING),
        Parameter::NullContent => {
            (is_content && (is_missing || says(&NULL))) || (says(&["messages"]) && says(&["null"]))
        }
        Parameter::CallIds => {
            is_form && IDS.iter().any(|name| message.contains(name) || param.contains(name))
        }
        Parameter::ToolNames => is_form && names("name") && !says(&["model name"]),
        _ => false,
    })
}

/// The names of what a model thought.
const REASONING: [&str; 5] =
    ["reasoning_content", "reasoning_details", "thinking_blocks", ".reasoning", "'reasoning'"];

/// Words about a content that is none.
const NULL: [&str; 6] = ["null", "nil", "none", "valid string", "expected", "must be a string"];

/// Words about the id of a call.
const IDS: [&str; 6] = ["tool call id", "tool_call_id", "tool_use_id", "tool_use.id", "].id", "call id"];

/// Words about how a name or an id is to be written.
const FORM: [&str; 8] = [
    "pattern",
    "must be a-z",
    "must start with",
    "alphanumeric",
    "too long",
    "with a length of",
    "maximum length",
    "regular expression",
];

/// Whether `message`, in lower case, says that the model or the server takes no tools.
pub(crate) fn takes_no_tools(message: &str) -> bool {
    let plain = message.replace(['\'', '"', '`'], "");
    WITHOUT_TOOLS.iter().any(|words| plain.contains(words))
}

const WITHOUT_TOOLS: [&str; 14] = [
    "not support tools",
    "n't support tools",
    "not support tool use",
    "not support tool call",
    "not support function call",
    "tools is not supported",
    "tools are not supported",
    "tool use is not supported",
    "tool calling is not supported",
    "function calling is not supported",
    "function calling is not enabled",
    "endpoints found that support tool use",
    "auto tool choice requires",
    "tools param requires",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, param: &str, expected: Parameter) {
        let refused: Vec<_> = refused_forms(&message.to_lowercase(), param).collect();
        assert_eq!(refused.first(), Some(&expected), "{message}: {refused:?}");
    }

    #[test]
    fn forms_are_known_by_the_words_of_servers() {
        use Parameter::{CallIds, Developer, NullContent, Reasoning, ToolNames};
        check(
            "Unsupported value: 'messages[0].role' does not support 'developer'",
            "messages[0].role",
            Developer,
        );
        check("unknown variant `developer`, expected one of `system`, `user`", "", Developer);
        check("Unexpected message role.", "", Developer);
        check("body.messages.1.assistant.reasoning_content: Extra inputs are not permitted", "", Reasoning);
        check(
            "Invalid value for 'content': expected a string, got null.",
            "messages.[1].content",
            NullContent,
        );
        check("messages.1.content: Input should be a valid string", "", NullContent);
        check("invalid message content type: <nil>", "", NullContent);
        check("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.", "", CallIds);
        check(
            "Invalid 'messages[1].tool_calls[0].id': string too long.",
            "messages[1].tool_calls[0].id",
            CallIds,
        );
        check("Invalid 'tools[0].function.name': string does not match pattern.", "", ToolNames);
        check("Invalid function name. Must start with a letter or an underscore.", "", ToolNames);
        let missing = "Missing `reasoning_content` field in the assistant message";
        assert_eq!(refused_forms(&missing.to_lowercase(), "").count(), 0);
        assert_eq!(refused_forms("temperature is not supported", "").count(), 0);
    }

    #[test]
    fn a_server_without_tools_is_known() {
        for words in [
            "registry.ollama.ai/library/gemma:2b does not support tools",
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
            "tools param requires --jinja flag",
            "no endpoints found that support tool use. to learn more",
            "`tool calling` is not supported with this model",
            "'tools' is not supported with this model.",
        ] {
            assert!(takes_no_tools(words), "{words}");
        }
        assert!(!takes_no_tools("'tool_choice' is not supported with this model"));
    }
}
