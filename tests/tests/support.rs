//! What several tests share.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_core::{Evaluator, Example, LanguageModel, ModuleExt as _, Optimizer, Outcome, RolloutRunner};
use promptopt_evaluator::evaluate;
use promptopt_testkit::{HiddenRules, toy};

/// The hidden-rules task of the benchmarks, split into 100 training, 100 selection and 200 sealed
/// test examples.
pub(crate) struct Benchmark {
    pub(crate) task: HiddenRules,
    pub(crate) train: Vec<Example>,
    pub(crate) selection: Vec<Example>,
    pub(crate) test: Vec<Example>,
}

impl Benchmark {
    pub(crate) fn new(seed: u64) -> Self {
        let task = HiddenRules::new(12, 1000 + seed);
        let mut train = task.examples(400);
        let test = train.split_off(200);
        let selection = train.split_off(100);
        Self { task, train, selection, test }
    }

    /// Optimizes the one-predictor program on `model`; returns outcome and sealed test score.
    pub(crate) async fn run(
        &self,
        optimizer: &dyn Optimizer,
        model: Arc<dyn LanguageModel>,
    ) -> (Outcome, f64) {
        let mut program = toy::answerer().with_model(Arc::clone(&model)).with_metric(toy::exact_answer());
        let outcome = optimizer.compile(&mut program, self.train.clone()).await.unwrap();
        (outcome, score(&program, model, &self.test).await)
    }
}

/// The mean score of a program, as it is, on some examples.
pub(crate) async fn score(
    program: &dyn Evaluator,
    model: Arc<dyn LanguageModel>,
    examples: &[Example],
) -> f64 {
    let examples: Vec<_> = examples.iter().cloned().map(Arc::new).collect();
    let runner = RolloutRunner::new(program, model).concurrency(16);
    evaluate(&runner, &Arc::default(), &examples).await.unwrap().estimate.mean
}

/// A one-predictor program with the exact metric on `model`.
pub(crate) fn program(model: Arc<dyn LanguageModel>) -> impl Evaluator {
    toy::answerer().with_model(model).with_metric(toy::exact_answer())
}

/// Examples `question n -> answer n`.
pub(crate) fn numbered(count: usize) -> Vec<Example> {
    (0..count)
        .map(|n| {
            Example::new(
                [("question", format!("question {n}")), ("answer", format!("answer {n}"))],
                ["question"],
            )
        })
        .collect()
}

/// A small optimizer for small tests.
pub(crate) fn small() -> MIPROv2 {
    MIPROv2::builder().num_candidates(4).num_trials(6).minibatch_size(5).build()
}

/// The outcome as text, to compare two outcomes byte for byte.
pub(crate) fn text(outcome: &Outcome) -> String {
    serde_json::to_string_pretty(outcome).unwrap()
}
