//! What several tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use miprov2::MIPROv2;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmRequest};
use promptopt_core::program::{CallContext, Evaluator, ModuleExt as _, Text, module_fn};
use promptopt_core::trace::Trace;
use promptopt_run::{
    Error, Halt, Optimizer, Outcome, RolloutJob, RolloutRunner, Run, RunOptions, StopReason, evaluate,
};
use promptopt_testkit::{HiddenRules, around, toy};

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
    let options = RunOptions::builder().task_model(model).concurrency(16).max_errors(u64::MAX).build();
    let mut run = Run::of(program, options).unwrap();
    evaluate(&mut run, &Arc::default(), &examples).await.unwrap().estimate.mean
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

/// What a runner made of jobs, and why it ended before the rest.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) traces: Vec<Option<Arc<Trace>>>,
    pub(crate) stop: Option<StopReason>,
}

impl Batch {
    pub(crate) fn made(&self) -> usize {
        self.traces.iter().flatten().count()
    }
}

pub(crate) async fn run(runner: &RolloutRunner<'_>, jobs: &[RolloutJob]) -> Result<Batch, Error> {
    let mut traces = Vec::new();
    let stop = match runner.run_into(jobs, &mut traces).await {
        Ok(()) => None,
        Err(Halt::Stopped(stop)) => Some(stop),
        Err(Halt::Failed(error)) => return Err(error),
    };
    Ok(Batch { traces, stop })
}

/// What a model that never waits says.
pub(crate) fn said(model: &impl LanguageModel, request: &LmRequest) -> Result<String, LmError> {
    let reply = model.complete(request, &Attempts::any()).now_or_never().unwrap()?;
    Ok(reply.first_text().to_owned())
}

/// A model that counts what it is asked.
pub(crate) fn counted(model: impl LanguageModel + 'static) -> (Arc<dyn LanguageModel>, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let model = around(model, move |next, request| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move { next.complete(&request).await }
    });
    (Arc::new(model), calls)
}

/// A model that remembers the most requests that were under way at once.
pub(crate) fn peaking(model: impl LanguageModel + 'static) -> (Arc<dyn LanguageModel>, Arc<AtomicU64>) {
    let peak = Arc::new(AtomicU64::new(0));
    let (noted, under_way) = (Arc::clone(&peak), Arc::new(AtomicU64::new(0)));
    let model = around(model, move |next, request| {
        noted.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let under_way = Arc::clone(&under_way);
        async move {
            let reply = next.complete(&request).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            reply
        }
    });
    (Arc::new(model), peak)
}

/// A program without predictors, which cannot be optimized.
pub(crate) fn nothing() -> impl Evaluator {
    let run = |_: CallContext, _: Arc<[Text]>, _: Fields| async { Ok(Prediction::default()) };
    module_fn("nothing", [], run).with_metric(toy::exact_answer())
}
