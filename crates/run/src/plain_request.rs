//! A short request for an instruction, which a small model can follow.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::program::Predictor;
use promptopt_core::trace::TraceText;
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::{Assignment, Run};

/// So many examples are shown, each of its values cut to so many characters.
const EXAMPLES: usize = 6;
const MAX_VALUE_CHARS: usize = 300;

/// What is asked, as far as it is the same for every draw.
pub(crate) struct PlainRequest {
    task: String,
    fields: Vec<String>,
    examples: Vec<Arc<Example>>,
}

const BEGINNING: &str = "A language model does this task:";
const RULES: &str = "Write a better instruction for that model, in two to six sentences. Tell it what to look for in the \
                     input, how to decide, and in what form to answer. State rules that hold for all inputs, and do not \
                     answer the examples.";
const END: &str = "Reply with the instruction and nothing else.";

impl PlainRequest {
    /// The texts that are the same for every task.
    pub(crate) const FIXED: [&str; 3] = [BEGINNING, RULES, END];
    /// Upper bound on what is written, in tokens.
    pub(crate) const MAX_TOKENS: u32 = 300;

    pub(crate) fn of(run: &Run<'_>, predictor: &dyn Predictor) -> Self {
        let signature = predictor.signature();
        let mut task = run.base().instruction(predictor.path()).unwrap_or_default().trim().to_owned();
        task.extend(predictor.about().map(|about| format!("\n{about}")));
        let fields = signature.fields().map(|field| field.name.clone()).collect();
        let has_output = |example: &&Arc<Example>| {
            signature.outputs().iter().any(|output| example.get(&output.name).is_some())
        };
        Self { task, fields, examples: run.train().iter().filter(has_output).cloned().collect() }
    }

    /// One draw, with examples of its own.
    pub(crate) fn assignment(&self, run: &Run<'_>, draw: u64) -> Assignment {
        let mut rng = ChaCha8Rng::seed_from_u64(run.options().seed ^ 0x9_1A17 ^ (draw << 32));
        let drawn = self.examples.sample(&mut rng, EXAMPLES);
        let examples: Vec<(ContentHash, String)> =
            drawn.map(|row| (row.content_hash(), self.shown(row))).collect();
        let task = self.task.clone();
        Assignment::prompt_of(examples, move |examples| {
            let examples = match examples {
                [] => String::new(),
                some => format!("Examples of inputs and right answers:\n\n{}\n\n", some.join("\n\n")),
            };
            format!("{BEGINNING}\n{task}\n\n{examples}{RULES} {END}")
        })
        .with_draw(draw)
    }

    /// A row as far as it is about the predictor.
    fn shown(&self, example: &Example) -> String {
        let mut text = TraceText::new(MAX_VALUE_CHARS);
        let known = self.fields.iter().filter_map(|name| Some((name.clone(), example.get(name)?.clone())));
        text.fields("", &known.collect());
        text.finish()
    }
}
