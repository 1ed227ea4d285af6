//! Formats whose messages do not ask for the answer, for agents that call tools in words.

use promptopt_core::data::Fields;
use promptopt_core::lm::{Content, ResponseFormat};
use promptopt_core::signature::{Field, Signature};

use crate::adapter::output_or_missing;
use crate::plain::{opened, pieces_of};
use crate::python::value_text;
use crate::{Adapter, PlainAdapter};

/// A format that says in its system message how to answer, without the request at the end of a message.
pub(crate) struct Unrequested<A>(pub(crate) A);

impl<A: Adapter> Adapter for Unrequested<A> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        self.0.system(signature, instruction)
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, _ask: bool) -> Content {
        self.0.user(signature, inputs, preface, false)
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        self.0.assistant(signature, outputs)
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        self.0.parse(signature, reply)
    }

    fn response_format(&self, signature: &Signature) -> ResponseFormat {
        self.0.response_format(signature)
    }
}

/// The plain format without the name of the first output at the end of a message: an answer names all its fields.
pub(crate) struct NamedPlain;

impl Adapter for NamedPlain {
    fn name(&self) -> &'static str {
        PlainAdapter.name()
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let form = signature.outputs().iter().map(|field| format!("\n{0}: {{{0}}}", field.name));
        let form: String = form.collect();
        format!("{}\nAn answer has this form:{form}", PlainAdapter.system(signature, instruction))
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, _ask: bool) -> Content {
        pieces_of(signature, inputs, preface).finish()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let line = |field: &Field| {
            let value = output_or_missing(outputs, &field.name);
            format!("{}: {}", field.name, value_text(&value, &field.kind))
        };
        signature.outputs().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What a model thinks aloud before its answer is no part of it. Where the first output is not named, the reply begins
    /// with it: the last turn opens it.
    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        let place = |field: &Field| {
            let mut start = 0;
            reply.split_inclusive('\n').find_map(|line| {
                let here = start;
                start += line.len();
                opened(line.trim_start(), field).map(|_| here)
            })
        };
        let places: Vec<Option<usize>> = signature.outputs().iter().map(place).collect();
        let names_first = places.first().is_some_and(Option::is_some);
        let start = places.into_iter().flatten().min().filter(|_| names_first).unwrap_or(0);
        PlainAdapter.parse(signature, reply.get(start..).unwrap_or(reply))
    }
}
