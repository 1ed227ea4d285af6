//! The adapter seam: how a signature, a prompt and inputs become a chat, and a reply fields.

use promptopt_core::data::Fields;
use promptopt_core::lm::{Content, Message, ResponseFormat};
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::{Field, FieldType, Signature};
use serde::Deserialize as _;
use serde_json::Value;

use crate::field_reader::FieldReader;
use crate::{ChatAdapter, JsonAdapter, PlainAdapter};

/// Replies longer than this many bytes are not parsed.
pub(crate) const MAX_REPLY_BYTES: usize = 256 * 1024;

const INCOMPLETE: &str =
    "This is an example of the task, though some input or output fields are not supplied.";
pub(crate) const NOT_SUPPLIED: &str = "Not supplied for this particular example. ";

/// Writes chats and reads replies.
pub trait Adapter: Send + Sync {
    /// Name of the format, part of every store key.
    fn name(&self) -> &'static str;

    /// The system message.
    fn system(&self, signature: &Signature, instruction: &str) -> String;

    /// The inputs as a user message; with `ask`, followed by the request to answer. An image or a file is a part of the
    /// message where its value would stand.
    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> Content;

    /// The outputs as an assistant message; missing ones are said to be missing.
    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String;

    /// Reads the outputs from a reply.
    ///
    /// # Errors
    ///
    /// A text that names the field and says what is wrong.
    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String>;

    /// The form the model is asked to reply in.
    fn response_format(&self, _signature: &Signature) -> ResponseFormat {
        ResponseFormat::Text
    }

    /// This format for one that may do something else before it answers, such as to call a tool in words: no message ends
    /// with a request to answer, or with words that open the answer. `None` where that is another adapter's, or nobody's.
    fn without_request(&self) -> Option<&'static dyn Adapter> {
        None
    }

    /// What reads the text fields of a reply while it comes; `None` where they are read with the whole reply.
    fn reader(&self, _signature: &Signature) -> Option<Box<dyn FieldReader>> {
        None
    }

    /// The whole chat: system message, demos (incomplete ones first), the turns of a history, inputs.
    fn chat(&self, signature: &Signature, prompt: &Prompt, inputs: &Fields) -> Vec<Message> {
        let mut messages = vec![Message::system(self.system(signature, &prompt.instruction))];
        for demo in shown_demos(signature, prompt) {
            let preface = if is_complete(demo, signature) { "" } else { INCOMPLETE };
            messages.push(Message::user(self.user(signature, &demo.fields, preface, false)));
            messages.push(Message::assistant(self.assistant(signature, &demo.fields)));
        }
        let Some(history) = signature.history() else {
            messages.push(Message::user(self.user(signature, inputs, "", true)));
            return messages;
        };
        let signature = signature.without_input(&history.name);
        let turns = inputs.get(&history.name).and_then(Value::as_array);
        for turn in turns.into_iter().flatten() {
            add_turn(self, &signature, turn, &mut messages);
        }
        messages.push(Message::user(self.user(&signature, inputs, "", true)));
        messages
    }
}

/// The demos of a prompt that are shown, in that order: incomplete ones first.
pub(crate) fn shown_demos<'a>(
    signature: &'a Signature,
    prompt: &'a Prompt,
) -> impl Iterator<Item = &'a Demo> {
    let has =
        |demo: &Demo, fields: &[Field]| fields.iter().any(|field| demo.fields.contains_key(&field.name));
    let is_usable = move |demo: &&Demo| has(demo, signature.inputs()) && has(demo, signature.outputs());
    let incomplete = prompt.demos.iter().filter(|demo| !is_complete(demo, signature)).filter(is_usable);
    incomplete.chain(prompt.demos.iter().filter(|demo| is_complete(demo, signature)))
}

fn is_complete(demo: &Demo, signature: &Signature) -> bool {
    signature.fields().all(|field| demo.fields.get(&field.name).is_some_and(|value| !value.is_null()))
}

/// The messages of a turn: itself where it has a role, else what went in and what came out.
fn add_turn<A: Adapter + ?Sized>(
    adapter: &A,
    signature: &Signature,
    turn: &Value,
    messages: &mut Vec<Message>,
) {
    let Some(fields) = turn.as_object() else { return };
    if let Some(message) = message_of_turn(signature, turn) {
        messages.push(message);
        return;
    }
    let asks = signature.inputs().iter().any(|field| fields.contains_key(&field.name));
    let content = adapter.user(signature, fields, "", asks);
    if !content.is_empty() {
        messages.push(Message::user(content));
    }
    // What is missing is nothing, as in DSPy.
    let answered = |field: &Field| (field.name.clone(), fields.get(&field.name).cloned().unwrap_or_default());
    let outputs: Fields = signature.outputs().iter().map(answered).collect();
    messages.push(Message::assistant(adapter.assistant(signature, &outputs)));
}

/// The message that a turn of a history is, where it is one and not the fields of a signature.
pub(crate) fn message_of_turn(signature: &Signature, turn: &Value) -> Option<Message> {
    let is_message = turn.get("role").is_some() && signature.field("role").is_none();
    is_message.then(|| Message::deserialize(turn).ok())?
}

/// The adapter of this name: `chat`, `json` or `plain`.
pub fn adapter_of(name: &str) -> Option<&'static dyn Adapter> {
    let all: [&'static dyn Adapter; 3] = [&ChatAdapter, &JsonAdapter, &PlainAdapter];
    all.into_iter().find(|adapter| adapter.name() == name)
}

/// The value of an output in a demo, or the words that say it is missing.
pub(crate) fn output_or_missing(outputs: &Fields, name: &str) -> Value {
    match outputs.get(name) {
        Some(value) => value.clone(),
        None => Value::from(NOT_SUPPLIED),
    }
}

/// Checks that every output is there and puts them in the signature's order. An optional one may be missing beside
/// others.
pub(crate) fn in_order(signature: &Signature, mut found: Fields) -> Result<Fields, String> {
    let mut outputs = Fields::with_capacity(signature.outputs().len());
    let is_empty = found.is_empty();
    for field in signature.outputs() {
        let nothing = || (!is_empty && matches!(field.kind, FieldType::Optional(_))).then_some(Value::Null);
        let value = found
            .remove(&field.name)
            .or_else(nothing)
            .ok_or_else(|| format!("the field `{}` is missing", field.name))?;
        outputs.insert(field.name.clone(), value);
    }
    Ok(outputs)
}

/// The text behind a name or marker on its line, without what decorates that: `lead` is what stood before it, as in
/// `**name:** value` or `### name: value`.
pub(crate) fn undecorated<'a>(lead: &str, rest: &'a str) -> &'a str {
    let bold = emphasis_at_end(lead.trim_end());
    let mut value = rest.trim();
    // Emphasis ends before the colon, behind it, or at the end of the line.
    let mut is_open = !bold.is_empty();
    if is_open && let Some(behind) = value.strip_prefix(bold) {
        (value, is_open) = (behind, false);
    }
    // A colon belongs to the name where it touches it, or stands alone.
    let is_alone = |behind: &&str| {
        behind.is_empty() || behind.starts_with(|next: char| next.is_whitespace() || is_emphasis(next))
    };
    let touches = !rest.starts_with(char::is_whitespace);
    if let Some(behind) = value.strip_prefix(':').filter(|behind| touches || is_alone(behind)) {
        value = behind;
    }
    if is_open {
        value = value.strip_prefix(bold).or_else(|| value.strip_suffix(bold)).unwrap_or(value);
    }
    value.trim()
}

/// The marks of emphasis that a text ends in.
pub(crate) fn emphasis_at_end(text: &str) -> &str {
    text.get(text.trim_end_matches(is_emphasis).len()..).unwrap_or_default()
}

/// Whether a line begins with nothing but what decorates a name: a heading, a list, a quotation, emphasis. A number alone
/// is a value; as the number of a list it has a full stop or a bracket behind it.
pub(crate) fn is_decoration(lead: &str) -> bool {
    let is_mark = |mark: char| mark.is_whitespace() || "#>-+".contains(mark) || is_emphasis(mark);
    let marks = lead.trim_start_matches(is_mark).trim_start_matches(|digit: char| digit.is_ascii_digit());
    let is_numbered = lead.contains(|digit: char| digit.is_ascii_digit());
    let behind = marks.strip_prefix(['.', ')']).filter(|_| is_numbered);
    lead.len() <= 16
        && behind.or(Some(marks).filter(|_| !is_numbered)).is_some_and(|rest| rest.chars().all(is_mark))
}

fn is_emphasis(mark: char) -> bool {
    "*_`".contains(mark)
}

/// Refuses replies over the bound.
pub(crate) fn check_size(reply: &str) -> Result<(), String> {
    if reply.len() > MAX_REPLY_BYTES {
        return Err(format!("the reply has {} bytes; at most {MAX_REPLY_BYTES} are read", reply.len()));
    }
    Ok(())
}
