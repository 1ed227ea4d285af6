//! The chat of a request, in the terms of `genai`: messages, what they show, and tools.

use genai::chat::{
    ChatMessage, ChatRequest, ChatRole, ContentPart, MessageContent, ReasoningEffort, Tool, Verbosity,
};
use promptopt_core::lm::{
    Audio, File, Image, LmError, LmRequest, Message, Part, Role, ToolCall, ToolChoice, ToolDefinition,
};
use serde_json::Value;

use crate::body::unsent;

/// The messages and the tools of `request`.
///
/// # Errors
///
/// What of it has no form here. Nothing is sent then.
pub(super) fn chat(request: &LmRequest) -> Result<ChatRequest, LmError> {
    check(request)?;
    let messages =
        request.messages.iter().map(|one| message(one, &request.messages)).collect::<Result<_, _>>()?;
    let mut chat = ChatRequest::new(messages);
    if !request.tools.is_empty() {
        chat.tools = Some(request.tools.iter().map(tool).collect::<Result<_, _>>()?);
    }
    Ok(chat)
}

/// What a request may ask for that has no form here.
fn check(request: &LmRequest) -> Result<(), LmError> {
    let sampling = &request.sampling;
    let is_known = |name: &Option<String>, known: fn(&str) -> bool| name.as_deref().is_none_or(known);
    let refused =
        if !is_known(&sampling.reasoning_effort, |name| ReasoningEffort::from_keyword(name).is_some()) {
            "this `reasoning_effort`"
        } else if !is_known(&sampling.verbosity, |name| Verbosity::from_keyword(name).is_some()) {
            "this `verbosity`"
        } else if request.logprobs.is_some() {
            "log-probabilities"
        } else if request.parallel_tool_calls == Some(false) {
            "`parallel_tool_calls = false`"
        } else if request.tool_choice.as_ref().is_some_and(|choice| tool_choice(choice).is_none()) {
            "this `tool_choice`"
        } else {
            return Ok(());
        };
    Err(cannot(refused))
}

fn cannot(what: &str) -> LmError {
    unsent(format!("{what} cannot be sent to this provider"))
}

fn message(message: &Message, all: &[Message]) -> Result<ChatMessage, LmError> {
    let role = match message.role {
        Role::System | Role::Developer => ChatRole::System,
        Role::Assistant => ChatRole::Assistant,
        Role::Tool | Role::Function => return Ok(tool_result(message, all)),
        _ => ChatRole::User,
    };
    let shown = message.content.as_slice();
    let mut parts = match (shown, message.text()) {
        ([], "") => Vec::new(),
        ([], text) => vec![ContentPart::from_text(text)],
        (shown, _) => shown.iter().map(part).collect::<Result<_, _>>()?,
    };
    parts.extend(message.tool_calls.iter().map(tool_call));
    if parts.is_empty() {
        parts.push(ContentPart::from_text(""));
    }
    Ok(ChatMessage::new(role, MessageContent::from_parts(parts)))
}

fn tool_result(message: &Message, all: &[Message]) -> ChatMessage {
    let id = message.tool_call_id.clone().unwrap_or_default();
    let call = all.iter().flat_map(|message| &message.tool_calls).find(|call| call.id == id);
    let mut result = genai::chat::ToolResponse::new(id, message.text());
    result.fn_name = call.map(|call| call.name.clone());
    ChatMessage::new(ChatRole::Tool, MessageContent::from_parts(vec![result.into()]))
}

fn part(part: &Part) -> Result<ContentPart, LmError> {
    let of_url = |url: &str, name: Option<String>, media_type: &str| match split(url) {
        Some((media_type, data)) => ContentPart::from_binary_base64(media_type, data, name),
        None => ContentPart::from_binary_url(media_type, url, name),
    };
    Ok(match part {
        Part::Text(text) => ContentPart::from_text(text.as_str()),
        Part::Image(Image { url, .. }) => of_url(url, None, media_type(url)),
        Part::Audio(Audio { data, format, .. }) => {
            ContentPart::from_binary_base64(format!("audio/{format}"), data.clone(), None)
        }
        Part::File(File { data: Some(data), name, .. }) => of_url(data, name.clone(), "application/pdf"),
        Part::Other(other) => match part.text() {
            Some(text) => ContentPart::from_text(text),
            None => {
                let kind = other.get("type").and_then(Value::as_str).unwrap_or("without a type");
                return Err(cannot(&format!("a part of the kind `{kind}`")));
            }
        },
        _ => return Err(cannot("a file that is named by its id")),
    })
}

/// The media type and the base64 data of an address that holds them.
fn split(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// The media type that the end of an image's address tells.
fn media_type(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    match path.rsplit('.').next() {
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        _ => "image/jpeg",
    }
}

fn tool_call(call: &ToolCall) -> ContentPart {
    // A provider takes an object alone: what the model wrote amiss goes back as it was.
    let arguments = match call.read_arguments() {
        Ok(arguments) => Value::Object(arguments),
        Err(_) => serde_json::json!({"arguments": call.arguments}),
    };
    let signatures = call.extra.get(SIGNATURES).and_then(|texts| serde_json::from_value(texts.clone()).ok());
    ContentPart::ToolCall(genai::chat::ToolCall {
        call_id: call.id.clone(),
        fn_name: call.name.clone(),
        fn_arguments: arguments,
        thought_signatures: signatures,
    })
}

/// Where a call has the signatures of what the model thought before, which the provider wants back.
const SIGNATURES: &str = "thought_signatures";

/// A call that came.
pub(super) fn called(call: genai::chat::ToolCall) -> ToolCall {
    let arguments = match call.fn_arguments {
        Value::String(text) => text,
        value => value.to_string(),
    };
    let mut own = ToolCall::new(call.call_id, call.fn_name, arguments);
    if let Some(signatures) = call.thought_signatures {
        own.extra.insert(SIGNATURES.to_owned(), signatures.into());
    }
    own
}

fn tool(tool: &ToolDefinition) -> Result<Tool, LmError> {
    if tool.name.is_empty() {
        let kind = tool.extra.get("type").and_then(Value::as_str).unwrap_or("without a type");
        return Err(cannot(&format!("a tool of the kind `{kind}`")));
    }
    let mut own = Tool::new(tool.name.as_str());
    own.description = Some(tool.description.clone()).filter(|text| !text.is_empty());
    own.schema = Some(tool.parameters.clone()).filter(|schema| !schema.is_null());
    own.strict = tool.strict;
    Ok(own)
}

/// A choice that has a form here.
pub(super) fn tool_choice(choice: &ToolChoice) -> Option<genai::chat::ToolChoice> {
    Some(match choice {
        ToolChoice::Auto => genai::chat::ToolChoice::Auto,
        ToolChoice::None => genai::chat::ToolChoice::None,
        ToolChoice::Required => genai::chat::ToolChoice::Required,
        ToolChoice::Tool(name) => genai::chat::ToolChoice::tool(name.as_str()),
        _ => return None,
    })
}
