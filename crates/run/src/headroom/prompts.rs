//! Deliberately different prompts of a program, made of its own ones. Nobody is asked for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::program::{Evaluator, Predictor};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::{Field, FieldType, Signature};

use super::ProbedPrompt;

pub(super) const BARE: &str = "bare";
pub(super) const STRICT: &str = "strict";
pub(super) const DEMOS: &str = "demos";

/// Demos of a predictor: as many as MIPROv2 shows at most by default.
const MOST_DEMOS: usize = 8;

/// The original, and others that differ from it in one thing each: without demos, strict about the form, with labelled
/// demos, and long. What would be the original again is left out.
pub(crate) fn deliberate(
    program: &dyn Evaluator,
    original: &Prompts,
    train: &[Arc<Example>],
) -> Vec<ProbedPrompt> {
    let predictors = program.predictors();
    let changed = |change: &dyn Fn(&dyn Predictor, Prompt) -> Prompt| -> Prompts {
        let prompts = predictors.iter().filter_map(|predictor| {
            let path = predictor.path();
            Some((path.to_owned(), change(*predictor, original.get(path)?.clone())))
        });
        prompts.collect::<Prompts>().completed_by(original)
    };
    let all = [
        ("original", "the prompts as they are", original.clone()),
        (BARE, "without demos", changed(&|_, prompt| prompt.with_demos(Vec::new()))),
        (
            STRICT,
            "asks for nothing but the outputs, in their form",
            changed(&|predictor, prompt| said(prompt, &strict(predictor.signature()))),
        ),
        (
            DEMOS,
            "with labelled demos from the training examples",
            changed(&|predictor, prompt| match demos(predictor.signature(), train) {
                demos if demos.is_empty() => prompt,
                demos => prompt.with_demos(demos),
            }),
        ),
        (
            "long",
            "asks to work step by step, and describes every field",
            changed(&|predictor, prompt| said(prompt, &long(predictor.signature()))),
        ),
    ];
    let mut probed: Vec<ProbedPrompt> = Vec::new();
    for (name, about, prompts) in all {
        if !probed.iter().any(|known| known.prompts == prompts) {
            let (name, about) = (name.to_owned(), about.to_owned());
            probed.push(ProbedPrompt { name, about, prompts, ..ProbedPrompt::default() });
        }
    }
    probed
}

/// A prompt with something added to its instruction.
fn said(mut prompt: Prompt, text: &str) -> Prompt {
    prompt.instruction = format!("{}\n\n{text}", prompt.instruction.trim_end());
    prompt
}

fn strict(signature: &Signature) -> String {
    // A predictor that reasons goes on doing so.
    let outputs: Vec<&Field> = signature.outputs().iter().filter(|field| field.name != "reasoning").collect();
    let names: Vec<String> = outputs.iter().map(|field| format!("`{}`", field.name)).collect();
    let mut text = format!(
        "Give nothing but the value of {}, exactly in the form that is asked for: no explanation, no quotes, no other \
         words.",
        names.join(" and ")
    );
    for field in outputs {
        if let FieldType::Enum(values) = &field.kind {
            text.push_str(&format!(" `{}` is one of: {}.", field.name, values.join(", ")));
        }
    }
    text
}

fn long(signature: &Signature) -> String {
    let line = |field: &Field| match field.description.trim() {
        "" => format!("- `{}`", field.name),
        description => format!("- `{}`: {description}", field.name),
    };
    let lines = |fields: &[Field]| fields.iter().map(line).collect::<Vec<_>>().join("\n");
    format!(
        "Read every input to the end before you answer. Work step by step: say to yourself what is asked for, find what \
         decides it in the inputs, settle on an answer, and check it against the instruction before you write it \
         down.\n\nYou are given:\n{}\n\nYou give:\n{}",
        lines(signature.inputs()),
        lines(signature.outputs())
    )
}

/// Labelled demos with outputs as different as there are. An inner predictor of which no row has the fields gets none.
fn demos(signature: &Signature, train: &[Arc<Example>]) -> Vec<Demo> {
    let mut rest: Vec<Demo> = train.iter().filter_map(|row| Demo::labeled(row, signature)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < MOST_DEMOS && !rest.is_empty() {
        let mut shown = BTreeSet::new();
        let (new, known): (Vec<Demo>, Vec<Demo>) =
            rest.into_iter().partition(|demo| shown.insert(demo.output_key(signature)));
        chosen.extend(new);
        rest = known;
    }
    chosen.truncate(MOST_DEMOS);
    chosen
}
