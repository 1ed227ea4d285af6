//! From messages to tokens: the model's chat template, and where the shared part ends.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use promptopt_core::lm::{LmError, Message, Role};

/// A prompt as tokens. `shared` of them come before the last user message: the instruction and
/// the demos, which other requests are likely to have in common with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) all: Vec<LlamaToken>,
    pub(super) shared: usize,
}

/// The template in the model's file, or ChatML where there is none.
pub(super) fn template_of(model: &LlamaModel) -> Result<LlamaChatTemplate, String> {
    model.chat_template(None).or_else(|_| LlamaChatTemplate::new("chatml")).map_err(|error| error.to_string())
}

/// Applies the template and splits the text into tokens.
pub(super) fn tokenize(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[Message],
) -> Result<Tokens, LmError> {
    let (before, continued) = split_continuation(messages);
    let mut text = apply(model, template, before, true)?;
    text.push_str(continued);
    let all = model.vocab().tokenize(text.as_bytes(), true, true);

    let shared_messages = before.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let head = before.get(..shared_messages).unwrap_or_default();
    let shared = if head.is_empty() {
        0
    } else {
        let head = apply(model, template, head, false)?;
        common_prefix(&all, &model.vocab().tokenize(head.as_bytes(), true, true))
    };
    Ok(Tokens { all, shared })
}

/// The messages to be closed, and the text of a last assistant message, which stays open.
fn split_continuation(messages: &[Message]) -> (&[Message], &str) {
    match messages.split_last() {
        Some((last, before)) if last.role == Role::Assistant => (before, last.text()),
        _ => (messages, ""),
    }
}

fn common_prefix(left: &[LlamaToken], right: &[LlamaToken]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

fn apply(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    messages: &[Message],
    open_assistant: bool,
) -> Result<String, LmError> {
    let engine = |message: String| LmError::Engine { message };
    let chat = messages
        .iter()
        .map(|message| {
            // Templates know no other name for it.
            let role = if message.role == Role::Developer { Role::System } else { message.role };
            // A zero byte ends a text in C, so it goes over as the sign for what cannot be shown.
            LlamaChatMessage::new(role.as_str().to_owned(), message.text().replace('\0', "\u{fffd}"))
                .map_err(|error| engine(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    model
        .apply_chat_template(template, &chat, open_assistant)
        .map_err(|error| engine(format!("the model's chat template cannot be applied: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_assistant_message_is_continued() {
        let messages = [Message::user("question"), Message::assistant("[[ ## answer")];
        let (before, continued) = split_continuation(&messages);
        assert_eq!((before.len(), continued), (1, "[[ ## answer"));
        let (before, continued) = split_continuation(&messages[..1]);
        assert_eq!((before.len(), continued), (1, ""));
        assert_eq!(split_continuation(&[]), (&[][..], ""));
    }
}
