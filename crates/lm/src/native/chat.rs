//! The chat of a request, in the terms of `genai`: messages, what they show, and tools.

use genai::chat::{ChatMessage, ChatRequest, ChatRole, ContentPart, MessageContent, ReasoningEffort, Tool};
use promptopt_core::lm::{
    Audio, File, Image, LmError, LmRequest, Message, Part, Role, Sampling, ToolCall, ToolChoice,
    ToolDefinition, split_data_url,
};
use serde_json::{Map, Value, json};

use crate::body::{check_size, unsent};
use crate::forms::made_id;
use crate::provider::Dialect;

/// The messages and the tools of `request`.
///
/// # Errors
///
/// What of it has no form here. Nothing is sent then.
pub(super) fn chat(
    request: &LmRequest,
    sampling: &Sampling,
    dialect: Dialect,
) -> Result<ChatRequest, LmError> {
    check(request, sampling, dialect)?;
    check_size(request.messages.iter().map(size).sum())?;
    let messages = request.messages.iter().enumerate();
    let messages = messages
        .map(|(at, one)| message(one, request.messages.get(..at).unwrap_or_default(), dialect))
        .collect::<Result<_, _>>()?;
    let mut chat = ChatRequest::new(messages);
    if !request.tools.is_empty() {
        chat.tools = Some(request.tools.iter().map(tool).collect::<Result<_, _>>()?);
    }
    Ok(chat)
}

/// What a request may ask for that has no form here.
fn check(request: &LmRequest, sampling: &Sampling, dialect: Dialect) -> Result<(), LmError> {
    let effort = sampling.reasoning_effort.as_deref();
    let refused = if effort.is_some_and(|name| ReasoningEffort::from_keyword(name).is_none()) {
        "this `reasoning_effort`"
    } else if request.logprobs.is_some() {
        "log-probabilities"
    } else if dialect == Dialect::Ollama && !request.extra.is_empty() {
        "a parameter of its own"
    } else if request.tool_choice.as_ref().is_some_and(|choice| tool_choice(choice).is_none()) {
        "this `tool_choice`"
    } else {
        return Ok(());
    };
    Err(cannot(refused))
}

/// About how many bytes a message takes: its texts and what it shows.
fn size(message: &Message) -> usize {
    let shown = |part: &Part| match part {
        Part::Image(image) => image.url.len(),
        Part::Audio(audio) => audio.data.len(),
        Part::File(file) => file.data.as_ref().map_or(0, |data| data.len()),
        _ => 0,
    };
    message.text().len() + message.content.as_slice().iter().map(shown).sum::<usize>()
}

fn cannot(what: &str) -> LmError {
    unsent(format!("{what} cannot be sent to this provider"))
}

/// A message; `before` are those before it.
fn message(message: &Message, before: &[Message], dialect: Dialect) -> Result<ChatMessage, LmError> {
    let role = match message.role {
        Role::System | Role::Developer => ChatRole::System,
        Role::Assistant => ChatRole::Assistant,
        Role::Tool | Role::Function => return tool_result(message, before),
        _ => ChatRole::User,
    };
    let shown = message.content.as_slice();
    if role != ChatRole::User && shown.iter().any(|part| part.text().is_none()) {
        return Err(cannot(&format!("what is shown by the role `{}`", message.role.as_str())));
    }
    let mut parts = thoughts(message, dialect);
    match (shown, message.text()) {
        ([], "") => {}
        ([], text) => parts.push(ContentPart::from_text(text)),
        (shown, _) => {
            for one in shown {
                parts.push(part(one, dialect)?);
            }
        }
    }
    parts.extend(message.tool_calls.iter().map(|call| tool_call(call, dialect)));
    if parts.is_empty() {
        parts.push(ContentPart::from_text(""));
    }
    Ok(ChatMessage::new(role, MessageContent::from_parts(parts)))
}

/// Where a message has what a model of Anthropic thought, with the signatures that it wants back with the results of tools.
const THINKING_BLOCKS: &str = "thinking_blocks";

/// What the model thought before it called the tools of a message, as far as the provider wants it back.
fn thoughts(message: &Message, dialect: Dialect) -> Vec<ContentPart> {
    let blocks = message
        .extra
        .get(THINKING_BLOCKS)
        .and_then(Value::as_array)
        .filter(|_| dialect == Dialect::Anthropic);
    blocks.into_iter().flatten().map(|block| ContentPart::from_custom(block.clone(), None)).collect()
}

/// What came of it, for [`thoughts`] of the next request.
pub(super) fn thought(content: &MessageContent) -> Map<String, Value> {
    let (mut blocks, mut signature) = (Vec::new(), None);
    for part in content {
        match part {
            ContentPart::ThoughtSignature(text) => signature = Some(text),
            ContentPart::ReasoningContent(words) => blocks.extend(
                signature
                    .take()
                    .map(|signature| json!({"type": "thinking", "thinking": words, "signature": signature})),
            ),
            ContentPart::Custom(custom) if custom.data.get("type") == Some(&json!("redacted_thinking")) => {
                blocks.push(custom.data.clone());
            }
            _ => {}
        }
    }
    let kept = (!blocks.is_empty()).then(|| (THINKING_BLOCKS.to_owned(), Value::from(blocks)));
    kept.into_iter().collect()
}

fn tool_result(message: &Message, before: &[Message]) -> Result<ChatMessage, LmError> {
    if message.content.as_slice().iter().any(|part| part.text().is_none()) {
        return Err(cannot("what is shown in the result of a tool"));
    }
    let id = message.tool_call_id.clone().unwrap_or_default();
    let call = before.iter().rev().flat_map(|message| &message.tool_calls).find(|call| call.id == id);
    let mut result = genai::chat::ToolResponse::new(id, message.text());
    result.fn_name = call.map(|call| call.name.clone());
    Ok(ChatMessage::new(ChatRole::Tool, MessageContent::from_parts(vec![result.into()])))
}

fn part(part: &Part, dialect: Dialect) -> Result<ContentPart, LmError> {
    let of_url =
        |url: &str, name: Option<String>, media_type: fn(&str) -> &'static str| match split_data_url(url) {
            Some((media_type, data)) => ContentPart::from_binary_base64(media_type, data, name),
            None => ContentPart::from_binary_url(media_type(url), url, name),
        };
    Ok(match (part, dialect) {
        (Part::Text(text), _) => ContentPart::from_text(text.as_str()),
        // The library writes no image at an address for Anthropic, and none for Ollama, which takes none.
        (Part::Image(Image { url, .. }), Dialect::Anthropic) if split_data_url(url).is_none() => {
            let image = json!({"type": "image", "source": {"type": "url", "url": *url}});
            ContentPart::from_custom(image, None)
        }
        (Part::Image(Image { url, .. }), Dialect::Ollama) if split_data_url(url).is_none() => {
            return Err(cannot("an image at an address: give its bytes;"));
        }
        (Part::Image(Image { url, .. }), _) => of_url(url, None, media_type),
        (Part::Audio(_) | Part::File(_), Dialect::Ollama) | (Part::Audio(_), Dialect::Anthropic) => {
            return Err(cannot(&format!("a part of the kind `{}`", part.kind())));
        }
        (Part::Audio(Audio { data, format, .. }), _) => {
            ContentPart::from_binary_base64(format!("audio/{format}"), data.clone(), None)
        }
        (Part::File(File { data: Some(data), name, .. }), _) => {
            of_url(data, name.clone(), |_| "application/pdf")
        }
        (Part::Other(_), _) => match part.text() {
            Some(text) => ContentPart::from_text(text),
            None => return Err(cannot(&format!("a part of the kind `{}`", part.kind()))),
        },
        _ => return Err(cannot("a file that is named by its id")),
    })
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

fn tool_call(call: &ToolCall, dialect: Dialect) -> ContentPart {
    // A provider takes an object alone: what the model wrote amiss goes back as it was.
    let arguments = match call.read_arguments() {
        Ok(arguments) => Value::Object(arguments),
        Err(_) => json!({"arguments": call.arguments}),
    };
    // Anthropic's are beside the words that they sign.
    let signatures = call.extra.get(SIGNATURES).filter(|_| dialect != Dialect::Anthropic);
    let signatures = signatures.and_then(|texts| serde_json::from_value(texts.clone()).ok());
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
pub(super) fn called(call: genai::chat::ToolCall, number: usize, dialect: Dialect) -> ToolCall {
    let arguments = match call.fn_arguments {
        Value::String(text) => text,
        Value::Null => String::new(),
        value => value.to_string(),
    };
    let mut own = ToolCall::new(call.call_id, call.fn_name, arguments);
    if dialect == Dialect::Ollama {
        // It does without ids, and the library draws one at random.
        own.id = made_id(&own, number);
    }
    if let Some(signatures) = call.thought_signatures.filter(|_| dialect != Dialect::Anthropic) {
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
    // A tool without arguments still has a schema: Anthropic refuses one that has none.
    own.schema = Some(match &tool.parameters {
        Value::Null => json!({"type": "object", "properties": {}}),
        schema => schema.clone(),
    });
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
