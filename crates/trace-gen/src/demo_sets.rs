//! Demo sets: what the demos of a whole program may be.

use indexmap::IndexMap;
use promptopt_core::data::fields_of;
use promptopt_core::program::Evaluator;
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::trace::{Step, Trace};
use serde::{Deserialize, Serialize};

/// How a demo set was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DemoSetKind {
    /// No demos.
    Empty,
    /// Examples of the data set as they are.
    Labeled,
    /// Steps of the first rollouts that passed, filled up with labelled examples.
    Bootstrapped,
    /// Steps of random rollouts that passed, of random number, filled up with labelled examples.
    Shuffled,
}

/// Demos for every predictor of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DemoSet {
    /// How it was put together.
    pub kind: DemoSetKind,
    /// Predictor path -> demos, in the program's order; empty lists included.
    pub demos: IndexMap<String, Vec<Demo>>,
}

impl DemoSet {
    /// The demos of a predictor.
    pub fn of(&self, predictor: &str) -> &[Demo] {
        self.demos.get(predictor).map_or(&[], Vec::as_slice)
    }

    /// The demos that one run gives: of every predictor that takes demos and answered, its last call. An example that
    /// was run never sees them.
    pub fn of_trace(trace: &Trace, program: &dyn Evaluator) -> Self {
        let source = Some(trace.example.content_hash());
        let demo = |path: &str| {
            let answered = |step: &&Step| step.predictor == path && step.error.is_none();
            let call = trace.steps.iter().rev().find(answered);
            let fields = call.map(|call| call.inputs.iter().chain(&call.outputs));
            fields.map(|fields| Demo::new(fields_of(fields)).augmented().with_source(source))
        };
        let predictors = program.predictors().into_iter().filter(|predictor| predictor.takes_demos());
        let demos = predictors.map(|one| (one.path().to_owned(), demo(one.path()).into_iter().collect()));
        Self { kind: DemoSetKind::Bootstrapped, demos: demos.collect() }
    }

    /// These prompts with the demos of the set behind their own.
    #[must_use]
    pub fn added_to(&self, prompts: &Prompts) -> Prompts {
        let with_demos = |(path, prompt): (&str, &Prompt)| {
            let demos = prompt.demos.iter().chain(self.of(path)).cloned().collect();
            (path.to_owned(), prompt.clone().with_demos(demos))
        };
        prompts.iter().map(with_demos).collect()
    }

    /// These prompts with the demos of the set in place of their own.
    #[must_use]
    pub fn put_into(&self, prompts: &Prompts) -> Prompts {
        let with_demos = |(path, prompt): (&str, &Prompt)| {
            (path.to_owned(), prompt.clone().with_demos(self.of(path).to_vec()))
        };
        prompts.iter().map(with_demos).collect()
    }

    /// Whether no predictor has a demo.
    pub fn is_empty(&self) -> bool {
        self.demos.values().all(Vec::is_empty)
    }
}
