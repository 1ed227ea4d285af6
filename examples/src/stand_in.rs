//! What a stand-in for a model needs: what a request asks for, what it says, and a reply in its form.

use promptopt::prelude::*;
use promptopt_testkit::{ScriptedLm, requested_fields};

/// Whether a request asks for an output.
pub fn asks_for(request: &LmRequest, output: &str) -> bool {
    requested_fields(request).iter().any(|field| field == output)
}

/// An input of a request; empty where there is none.
pub fn input<'r>(request: &'r LmRequest, name: &str) -> &'r str {
    let text = request.messages.last().map_or("", |message| message.text());
    let behind = text.split_once(&format!("[[ ## {name} ## ]]\n")).map_or("", |(_, behind)| behind);
    let ends = ["\n\n[[ ## ", "\n\nRespond with "];
    ends.iter().fold(behind, |text, end| text.split(end).next().unwrap_or_default()).trim()
}

/// Whether a request has these words.
pub fn says(request: &LmRequest, words: &str) -> bool {
    request.messages.iter().any(|message| message.text().contains(words))
}

/// Whether the prompt shows demos.
pub fn has_demos(request: &LmRequest) -> bool {
    request.messages.iter().any(|message| message.role == Role::Assistant)
}

/// A reply with these outputs.
pub fn outputs<'a>(request: &LmRequest, outputs: impl IntoIterator<Item = (&'a str, &'a str)>) -> LmReply {
    said(request, ScriptedLm::chat_reply(outputs))
}

/// A reply with one text in all outputs that a request asks for, and between fences where it names none.
pub fn text(request: &LmRequest, text: &str) -> LmReply {
    let fields = requested_fields(request);
    match fields.is_empty() {
        true => said(request, format!("```\n{text}\n```")),
        false => outputs(request, fields.iter().map(|field| (field.as_str(), text))),
    }
}

/// A reply with the tokens that it may have taken, four bytes each.
fn said(request: &LmRequest, reply: String) -> LmReply {
    let usage = Usage::call(tokens(request), reply.len() as u64 / 4);
    LmReply::text(reply, usage)
}

/// How many tokens a request may have.
pub fn tokens(request: &LmRequest) -> u64 {
    request.messages.iter().map(|message| message.text().len() as u64 / 4).sum()
}
