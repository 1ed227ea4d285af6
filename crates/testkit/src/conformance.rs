//! What every optimizer promises, whatever its algorithm: checks that take any
//! `Box<dyn Optimizer>`.
//!
//! [`optimizer_conformance!`](crate::optimizer_conformance) makes a test of each.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use promptopt_core::{
    Cancellation, ContentHash, Error, Evaluator, Event, Example, LanguageModel, LmError, LmReply, LmRequest,
    Message, ModuleExt as _, NoObserver, Observer, Optimizer, Outcome, RolloutJob, RolloutRunner, StopReason,
    metric_fn,
};

use crate::{HiddenRules, ScriptedLm, SimulatedLm, toy};

/// What a check wants of an optimizer. All else is for whoever builds it to choose; small sizes keep
/// the checks fast.
#[derive(Clone)]
pub struct Settings {
    /// The model of the program, which also writes instructions.
    pub model: Arc<dyn LanguageModel>,
    /// The seed.
    pub seed: u64,
    /// Language-model calls under way at once.
    pub concurrency: usize,
    /// The budget.
    pub max_calls: Option<u64>,
    /// The flag that ends the run.
    pub cancellation: Cancellation,
    /// Who hears of what happens.
    pub observer: Arc<dyn Observer>,
}

impl Settings {
    /// Seed 3, eight calls at once, no budget.
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self {
            model,
            seed: 3,
            concurrency: 8,
            max_calls: None,
            cancellation: Cancellation::new(),
            observer: Arc::new(NoObserver),
        }
    }
}

/// Builds the optimizer to check.
pub type Build = dyn Fn(&Settings) -> Box<dyn Optimizer>;

/// A check: `Err` says which promise was broken, and how.
pub type Checked = Result<(), String>;

/// Drives a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// A simulated model that answers out of order, and counts how often each request comes.
pub struct OutOfOrder {
    model: SimulatedLm,
    seen: Mutex<HashMap<ContentHash, u64>>,
}

impl OutOfOrder {
    /// Around a simulated model.
    pub fn new(model: SimulatedLm) -> Self {
        Self { model, seen: Mutex::default() }
    }

    /// How many requests it was sent.
    pub fn calls(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// The most often that one and the same question was asked under the same prompt.
    pub fn most_repeated(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().copied().max().unwrap_or(0)
    }
}

#[async_trait]
impl LanguageModel for OutOfOrder {
    fn id(&self) -> String {
        self.model.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let key = ContentHash::of(request);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        let turns = request.messages.last().map_or(0, |message| message.content.len() * 7 % 13);
        for _ in 0..turns {
            Yield(false).await;
        }
        self.model.complete(request).await
    }
}

/// Lets others go first once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn text(outcome: &Outcome) -> String {
    serde_json::to_string_pretty(outcome).unwrap_or_else(|error| error.to_string())
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(broken()) }
}

fn program(model: &Arc<dyn LanguageModel>) -> impl Evaluator + use<> {
    toy::answerer().with_model(Arc::clone(model)).with_metric(toy::exact_answer())
}

async fn compiled(
    build: &Build,
    settings: &Settings,
    examples: Vec<Example>,
) -> Result<(Outcome, impl Evaluator + use<>), Error> {
    let mut program = program(&settings.model);
    let outcome = build(settings).compile(&mut program, examples).await?;
    Ok((outcome, program))
}

/// Same seed, same outcome, byte for byte, at concurrency 1, 3 and 32.
///
/// # Errors
///
/// When it is not so.
pub async fn same_outcome_at_any_concurrency(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let mut first: Option<String> = None;
    for concurrency in [1, 3, 32] {
        let model = Arc::new(OutOfOrder::new(task.model(5)));
        let settings = Settings { concurrency, ..Settings::new(model) };
        let (outcome, program) =
            compiled(build, &settings, task.examples(60)).await.map_err(|error| error.to_string())?;
        let told = format!("{}\n{:?}", text(&outcome), program.candidate());
        let expected = first.get_or_insert_with(|| told.clone());
        ensure(*expected == told, || {
            format!("the outcome at concurrency {concurrency} is another than at 1")
        })?;
    }
    Ok(())
}

/// A budget is not overshot by a single call, and means the same at concurrency 1 and 32.
///
/// # Errors
///
/// When it is not so.
pub async fn budget_holds(build: &Build, budget: u64) -> Checked {
    let task = HiddenRules::new(6, 5);
    let mut ends = Vec::new();
    for concurrency in [1, 32] {
        let model = Arc::new(OutOfOrder::new(task.model(5)));
        let shared = Arc::clone(&model) as Arc<dyn LanguageModel>;
        let settings = Settings { concurrency, max_calls: Some(budget), ..Settings::new(shared) };
        let end = compiled(build, &settings, task.examples(60)).await;
        ensure(model.calls() <= budget, || {
            format!("{} calls were made of a budget of {budget}", model.calls())
        })?;
        if let Ok((outcome, _)) = &end {
            let counted = outcome.spending.total().calls;
            ensure(counted == model.calls(), || {
                format!("{} calls were made, {counted} counted", model.calls())
            })?;
        }
        ends.push(end.map(|(outcome, _)| text(&outcome)).map_err(|error| error.to_string()));
    }
    let same = ends.first() == ends.last();
    ensure(same, || format!("a budget of {budget} means one thing at concurrency 1 and another at 32"))
}

/// A call budget holds for a program that calls its model several times in a rollout, too.
///
/// # Errors
///
/// When it does not.
pub async fn budget_holds_for_two_predictors(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 9).in_two_stages();
    for budget in [1, 40, 73, 74, 111, 250, 500] {
        let model = Arc::new(OutOfOrder::new(task.model(9)));
        let shared = Arc::clone(&model) as Arc<dyn LanguageModel>;
        let settings = Settings { max_calls: Some(budget), concurrency: 32, ..Settings::new(shared) };
        let mut program = toy::TwoStage::default().with_metric(toy::exact_answer());
        // It may be too small to begin with; what counts is what was sent.
        let _ = build(&settings).compile(&mut program, task.examples(60)).await;
        ensure(model.calls() <= budget, || {
            format!("{} calls were made of a budget of {budget}", model.calls())
        })?;
    }
    Ok(())
}

/// Never worse than the start on the selection set; the prompts installed are those of the winner.
///
/// # Errors
///
/// When it is not so.
pub async fn never_worse_than_the_start(build: &Build) -> Checked {
    for seed in 0..6 {
        let task = HiddenRules::new(8, seed);
        let model: Arc<dyn LanguageModel> = Arc::new(task.model(seed));
        let settings = Settings { seed, max_calls: Some(300), ..Settings::new(model) };
        let (outcome, program) =
            compiled(build, &settings, task.examples(70)).await.map_err(|error| error.to_string())?;
        let (before, after) = (outcome.baseline.mean, outcome.selected.mean);
        ensure(after >= before, || format!("seed {seed}: {before} before, {after} after"))?;
        let installed = outcome.winner().is_some_and(|winner| winner.prompts == program.candidate().prompts);
        ensure(installed, || format!("seed {seed}: the program does not have the winner's prompts"))?;
    }
    Ok(())
}

/// The same question under the same prompt is never bought twice.
///
/// # Errors
///
/// When it is not so.
pub async fn nothing_is_bought_twice(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let model = Arc::new(OutOfOrder::new(task.model(5)));
    let settings = Settings::new(Arc::clone(&model) as Arc<dyn LanguageModel>);
    compiled(build, &settings, task.examples(60)).await.map_err(|error| error.to_string())?;
    ensure(model.most_repeated() == 1, || format!("one request was sent {} times", model.most_repeated()))
}

/// An example that fails every time stops nothing and is counted as what it is.
///
/// # Errors
///
/// When it is not so.
pub async fn a_failing_example_stops_nothing(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let examples = task.examples(60);
    let poisoned: Vec<String> = examples
        .iter()
        .step_by(10)
        .filter_map(|example| example.get("question").map(promptopt_core::plain_text))
        .collect();
    let inner = task.model(5);
    let scripted = ScriptedLm::new(move |request| {
        let question = request.messages.last().map_or("", |message: &Message| &message.content);
        let asks = request.messages.first().is_some_and(|system| system.content.contains("`answer`"));
        if asks
            && request.messages.len() < 20
            && poisoned.iter().any(|poison| question.contains(poison.as_str()))
        {
            return Ok("This is no reply that could be used.".to_owned());
        }
        block_on(inner.complete(request)).map(|reply| reply.first_text().to_owned())
    });
    let settings = Settings::new(Arc::new(scripted));
    let (outcome, _) = compiled(build, &settings, examples).await.map_err(|error| error.to_string())?;
    let counted = outcome.failures.reply;
    ensure(counted > 0, || "failures were not counted".to_owned())?;
    ensure(outcome.failures.errors() == 0, || format!("counted as errors: {:?}", outcome.failures))?;
    ensure(matches!(outcome.stop, StopReason::Completed | StopReason::Budget), || {
        format!("the run ended because {}", outcome.stop)
    })
}

/// Cancellation ends the run soon, with the best so far installed.
///
/// # Errors
///
/// When it is not so.
pub async fn cancellation_gives_the_best_so_far(build: &Build) -> Checked {
    for after in [1, 5] {
        let task = HiddenRules::new(6, 5);
        let model = Arc::new(OutOfOrder::new(task.model(5)));
        let cancellation = Cancellation::new();
        let (flag, trials) = (cancellation.clone(), AtomicU64::new(0));
        let (counted, by_then) = (Arc::clone(&model), Arc::new(AtomicU64::new(0)));
        let noted = Arc::clone(&by_then);
        let observer = move |event: &Event| {
            if matches!(event, Event::Trial(_)) && trials.fetch_add(1, Ordering::SeqCst) + 1 == after {
                noted.store(counted.calls(), Ordering::SeqCst);
                flag.cancel();
            }
        };
        let shared = Arc::clone(&model) as Arc<dyn LanguageModel>;
        let settings = Settings { cancellation, observer: Arc::new(observer), ..Settings::new(shared) };
        let (outcome, program) =
            compiled(build, &settings, task.examples(80)).await.map_err(|error| error.to_string())?;
        ensure(outcome.stop == StopReason::Cancelled, || format!("it ended because {}", outcome.stop))?;
        let more = model.calls().saturating_sub(by_then.load(Ordering::SeqCst));
        ensure(more <= settings.concurrency as u64, || format!("{more} calls were sent after cancelling"))?;
        let installed = outcome.winner().is_some_and(|winner| winner.prompts == program.candidate().prompts);
        ensure(installed, || "the best so far is not installed".to_owned())?;
    }
    Ok(())
}

/// A program of two predictors improves in both of them.
///
/// # Errors
///
/// When it is not so.
pub async fn two_predictors_improve_both(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 9).in_two_stages();
    let model: Arc<dyn LanguageModel> = Arc::new(task.model(9).with_untaught(0.5));
    let mut examples = task.examples(300);
    let test = examples.split_off(150);
    let mut program = toy::TwoStage::default().with_metric(toy::exact_answer());
    let before = score(&program, &model, &test).await?;
    let outcome = build(&Settings { seed: 1, ..Settings::new(Arc::clone(&model)) })
        .compile(&mut program, examples)
        .await
        .map_err(|error| error.to_string())?;
    let after = score(&program, &model, &test).await?;
    ensure(after > before + 0.15, || format!("sealed test {before:.3} -> {after:.3}"))?;
    for path in ["classify", "answer"] {
        let of = |at: usize| outcome.candidates.get(at).and_then(|one| one.prompts.get(path));
        ensure(of(outcome.best) != of(0), || format!("`{path}` was not changed"))?;
    }
    Ok(())
}

async fn score(
    program: &dyn Evaluator,
    model: &Arc<dyn LanguageModel>,
    test: &[Example],
) -> Result<f64, String> {
    let runner = RolloutRunner::new(program, Arc::clone(model));
    let prompts = Arc::new(program.candidate().prompts);
    let jobs: Vec<RolloutJob> =
        test.iter().map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::new(example.clone()))).collect();
    let batch = runner.run(&jobs).await.map_err(|error| error.to_string())?;
    let scores: Vec<f64> = batch.traces.iter().flatten().filter_map(|trace| trace.evidence()).collect();
    Ok(scores.iter().sum::<f64>() / scores.len().max(1) as f64)
}

/// No examples, one example, all right and all wrong each end cleanly.
///
/// # Errors
///
/// When one does not.
pub async fn edge_cases_end_cleanly(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let simulated = || Settings::new(Arc::new(task.model(5)));
    match compiled(build, &simulated(), Vec::new()).await {
        Err(Error::Data { reason }) => {
            ensure(reason.contains("no training examples"), || format!("without examples: {reason}"))?;
        }
        Err(other) => return Err(format!("without examples: {other}")),
        Ok(_) => return Err("it ran without a single example".to_owned()),
    }
    let (single, _) = compiled(build, &simulated(), task.examples(1))
        .await
        .map_err(|error| format!("one example: {error}"))?;
    ensure(single.baseline.n == 1, || format!("one example, but n = {}", single.baseline.n))?;

    for (reply, expected) in [("right", 1.0), ("wrong", 0.0)] {
        let examples: Vec<Example> = (0..40)
            .map(|number| {
                Example::new(
                    [("question", format!("Question {number}?")), ("answer", "right".into())],
                    ["question"],
                )
            })
            .collect();
        // As a prompt model it writes the same poor text over and over.
        let text = ScriptedLm::chat_reply([("answer", reply)]);
        let settings = Settings::new(Arc::new(ScriptedLm::new(move |_| Ok(text.clone()))));
        let mut program = toy::answerer().with_model(Arc::clone(&settings.model)).with_metric(metric_fn(
            |example: &Example, prediction: &promptopt_core::Prediction| {
                example.get("answer") == prediction.get("answer")
            },
        ));
        let before = program.candidate();
        let outcome = build(&settings)
            .compile(&mut program, examples)
            .await
            .map_err(|error| format!("all {reply}: {error}"))?;
        ensure(outcome.baseline.mean == expected, || format!("all {reply}: {}", outcome.baseline.mean))?;
        let reason = matches!(
            outcome.stop,
            StopReason::Completed | StopReason::Budget | StopReason::NoImprovement { .. }
        );
        ensure(reason && !outcome.choice.is_empty(), || {
            format!("all {reply}: ended because {}", outcome.stop)
        })?;
        ensure(!outcome.improved(), || format!("all {reply}, yet something else won"))?;
        ensure(program.candidate().prompts == before.prompts, || {
            format!("all {reply}: the prompts changed")
        })?;
    }
    Ok(())
}

/// Makes a module `$name` with a test for every promise, of the optimizer that `$build` makes.
///
/// `$build` takes a [`Settings`](crate::conformance::Settings) and gives a `Box<dyn Optimizer>` that follows
/// them, as in `tests/tests/conformance.rs`.
#[macro_export]
macro_rules! optimizer_conformance {
    ($name:ident, $build:expr) => {
        mod $name {
            use super::*;
            use $crate::conformance;

            fn run(checked: conformance::Checked) {
                if let Err(broken) = checked {
                    panic!("{broken}");
                }
            }

            $crate::optimizer_conformance!(@tests $build;
                same_outcome_at_any_concurrency
                budget_holds_for_two_predictors
                never_worse_than_the_start
                nothing_is_bought_twice
                a_failing_example_stops_nothing
                cancellation_gives_the_best_so_far
                two_predictors_improve_both
                edge_cases_end_cleanly
            );

            #[test]
            fn no_budget_is_overshot_and_it_means_the_same_at_any_concurrency() {
                // All small budgets, where the stages begin and end, and then ever larger steps.
                let budgets = (0..60).step_by(3).chain((60..400).step_by(17)).chain([600, 1000]);
                for budget in budgets {
                    run(conformance::block_on(conformance::budget_holds(&$build, budget)));
                }
            }
        }
    };
    (@tests $build:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                run(conformance::block_on(conformance::$check(&$build)));
            }
        )*
    };
}
