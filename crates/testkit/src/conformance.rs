//! What optimizers promise: checks that take any `Box<dyn Optimizer>`.
//!
//! - [`optimizer_contract!`](crate::optimizer_contract) makes a test of each promise that any optimizer must keep,
//!   whatever its algorithm. It assumes no more than that the optimizer follows the [`RunOptions`] it is built with, and
//!   that it tries something on 60 examples of six hidden rules.
//! - [`optimizer_quality!`](crate::optimizer_quality) makes a test of each that good ones keep: that they find what there
//!   is to find.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile};
use promptopt_core::money::Limit;
use promptopt_core::program::{Cancellation, Evaluator, ModuleExt as _, metric_fn};
use promptopt_run::{Clock, Error, Event, Optimizer, Outcome, Run, RunOptions, StopReason, evaluate};

use crate::{HiddenRules, ScriptedLm, SimulatedLm, toy};

/// Builds the optimizer to check, which follows these options. All else is for whoever builds it to choose; small
/// sizes keep the checks fast.
pub type Build = dyn Fn(RunOptions) -> Box<dyn Optimizer>;

/// Seed 3 and a model of the program, which also writes instructions; changed where a check wants something else.
fn options(model: Arc<dyn LanguageModel>, change: impl FnOnce(&mut RunOptions)) -> RunOptions {
    let mut options = RunOptions::builder().seed(3).task_model(model).build();
    change(&mut options);
    options
}

fn as_given(_: &mut RunOptions) {}

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
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let key = ContentHash::of(request);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        let turns = request.messages.last().map_or(0, |message| message.text().len() * 7 % 13);
        for _ in 0..turns {
            Yield(false).await;
        }
        self.model.complete(request, attempts).await
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

async fn compiled(
    build: &Build,
    options: RunOptions,
    examples: Vec<Example>,
) -> Result<(Outcome, impl Evaluator + use<>), Error> {
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let outcome = build(options).compile(&mut program, examples).await?;
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
        let options = options(model, |options| options.concurrency = concurrency);
        let (outcome, program) =
            compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
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
        let options = options(shared, |options| {
            (options.concurrency, options.max_calls) = (concurrency, Some(budget));
        });
        let end = compiled(build, options, task.examples(60)).await;
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
        let options = options(shared, |options| {
            (options.concurrency, options.max_calls) = (32, Some(budget));
        });
        let mut program = toy::TwoStage::default().with_metric(toy::exact_answer());
        // It may be too small to begin with; what counts is what was sent.
        let _ = build(options).compile(&mut program, task.examples(60)).await;
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
        let options = options(model, |options| (options.seed, options.max_calls) = (seed, Some(300)));
        let (outcome, program) =
            compiled(build, options, task.examples(70)).await.map_err(|error| error.to_string())?;
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
    let options = options(Arc::clone(&model) as Arc<dyn LanguageModel>, as_given);
    compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
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
        .filter_map(|example| example.get("question").map(promptopt_core::data::plain_text))
        .collect();
    let inner = task.model(5);
    let scripted = ScriptedLm::new(move |request| {
        let question = request.messages.last().map_or("", |message: &Message| message.text());
        let asks = request.messages.first().is_some_and(|system| system.text().contains("`answer`"));
        if asks
            && request.messages.len() < 20
            && poisoned.iter().any(|poison| question.contains(poison.as_str()))
        {
            return Ok("This is no reply that could be used.".to_owned());
        }
        block_on(inner.complete(request, &Attempts::any())).map(|reply| reply.first_text().to_owned())
    });
    let options = options(Arc::new(scripted), as_given);
    let (outcome, _) = compiled(build, options, examples).await.map_err(|error| error.to_string())?;
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
        let options = options(shared, |options| {
            options.cancellation = cancellation;
            options.observer = Some(Arc::new(observer));
        });
        let concurrency = options.concurrency as u64;
        let (outcome, program) =
            compiled(build, options, task.examples(80)).await.map_err(|error| error.to_string())?;
        ensure(outcome.stop == StopReason::Cancelled, || format!("it ended because {}", outcome.stop))?;
        let more = model.calls().saturating_sub(by_then.load(Ordering::SeqCst));
        ensure(more <= concurrency, || format!("{more} calls were sent after cancelling"))?;
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
    let outcome = build(options(Arc::clone(&model), |options| options.seed = 1))
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
    let mut run = Run::bare(program, Arc::clone(model));
    let test: Vec<_> = test.iter().cloned().map(Arc::new).collect();
    let evaluation = evaluate(&mut run, &Arc::default(), &test).await.map_err(|error| error.to_string())?;
    Ok(evaluation.estimate.mean)
}

/// No examples, one example, all right and all wrong each end cleanly.
///
/// # Errors
///
/// When one does not.
pub async fn edge_cases_end_cleanly(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let simulated = || options(Arc::new(task.model(5)), as_given);
    match compiled(build, simulated(), Vec::new()).await {
        Err(Error::Data { reason }) => {
            ensure(reason.contains("no training examples"), || format!("without examples: {reason}"))?;
        }
        Err(other) => return Err(format!("without examples: {other}")),
        Ok(_) => return Err("it ran without a single example".to_owned()),
    }
    let (single, _) = compiled(build, simulated(), task.examples(1))
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
        let options = options(Arc::new(ScriptedLm::new(move |_| Ok(text.clone()))), as_given);
        let mut program = toy::answerer().with_metric(metric_fn(
            |example: &Example, prediction: &promptopt_core::data::Prediction| {
                example.get("answer") == prediction.get("answer")
            },
        ));
        let before = program.candidate();
        let outcome = build(options)
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

/// A run with a target ends once the best mean is there, and not before.
///
/// # Errors
///
/// When it is not so.
pub async fn a_target_score_ends_the_run(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let run = |target: Option<f64>| async move {
        let model = Arc::new(HiddenRules::new(6, 5).model(5));
        let options = options(model, |options| options.target_score = target);
        compiled(build, options, HiddenRules::new(6, 5).examples(60)).await.map_err(|error| error.to_string())
    };
    let (free, _) = run(None).await?;
    let start = free.baseline.mean;
    let (at_once, _) = run(Some(start)).await?;
    ensure(at_once.stop == StopReason::TargetReached, || format!("it ended because {}", at_once.stop))?;
    ensure(at_once.candidates.len() == 1, || {
        "something was tried although the original is good enough".to_owned()
    })?;
    let (never, _) = run(Some(2.0)).await?;
    ensure(never.stop == free.stop, || format!("a target out of reach ended it because {}", never.stop))?;
    ensure(task.rules().len() == 6, || "the task has other rules".to_owned())
}

/// Patience ends a run that does not improve.
///
/// # Errors
///
/// When it does not.
pub async fn patience_ends_a_run_that_does_not_improve(build: &Build) -> Checked {
    let examples: Vec<Example> = (0..60).map(|number| numbered(number, "right")).collect();
    let model = ScriptedLm::new({
        let written = AtomicU64::new(0);
        move |request: &LmRequest| {
            let asks = request.messages.first().is_some_and(|system| system.text().contains("`answer`"));
            let number = written.fetch_add(1, Ordering::SeqCst);
            Ok(match asks && request.messages.len() < 20 {
                true => ScriptedLm::chat_reply([("answer", "wrong")]),
                false => format!("Answer the question in manner {number}, word for word."),
            })
        }
    });
    let options = options(Arc::new(model), |options| {
        (options.patience, options.max_calls) = (Some(2), Some(3000));
    });
    let (outcome, _) = compiled(build, options, examples).await.map_err(|error| error.to_string())?;
    ensure(!outcome.improved(), || "it improved on replies that are always wrong".to_owned())?;
    let ended = matches!(outcome.stop, StopReason::NoImprovement { steps } if steps >= 2);
    let exhausted = outcome.stop == StopReason::Completed;
    ensure(ended || exhausted, || format!("it ended because {}", outcome.stop))
}

/// A stop file ends the run before the next step.
///
/// # Errors
///
/// When it does not.
pub async fn a_stop_file_ends_the_run(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    // A file that is surely there.
    let file = std::env::current_exe().map_err(|error| error.to_string())?;
    let options = options(Arc::new(task.model(5)), |options| options.stop_file = Some(file));
    let (outcome, _) =
        compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
    ensure(outcome.stop == StopReason::StopFile, || format!("it ended because {}", outcome.stop))
}

/// The winner is measured once more on held-back examples where that is asked for, and not where it is not.
///
/// # Errors
///
/// When it is not so.
pub async fn the_winner_is_confirmed_where_asked(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    for confirm in [true, false] {
        let options = options(Arc::new(task.model(5)), |options| options.confirm = Some(confirm));
        let (outcome, _) =
            compiled(build, options, task.examples(150)).await.map_err(|error| error.to_string())?;
        ensure(outcome.improved(), || "nothing better was found, so nothing could be confirmed".to_owned())?;
        let confirmed = outcome.confirmation.as_ref();
        ensure(confirmed.is_some() == confirm, || format!("asked: {confirm}, notes: {:?}", outcome.notes))?;
        ensure(confirmed.is_none_or(|confirmed| confirmed.baseline.n == 12), || {
            "the winner was not measured on a fifth of the training examples".to_owned()
        })?;
    }
    Ok(())
}

/// Limits of metric calls and of tokens are not overshot, and end a run with the best so far.
///
/// # Errors
///
/// When it is not so.
pub async fn metric_calls_and_tokens_are_never_overshot(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    for most in [36, 37, 80, 150, 400] {
        let rollouts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rollouts);
        let observer = move |event: &Event| {
            if matches!(event, Event::Rollout { reused: false, .. }) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        };
        let options = options(Arc::new(task.model(5)), |options| {
            options.max_metric_calls = Some(most);
            options.observer = Some(Arc::new(observer));
        });
        compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
        let made = rollouts.load(Ordering::SeqCst);
        ensure(made <= most, || format!("{made} metric calls were made of {most}"))?;
    }
    for most in [400_000, 1_000_000] {
        let options = options(Arc::new(task.model(5)), |options| options.max_tokens = Some(most));
        let (outcome, _) =
            compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
        let spent = outcome.spending.total().total_tokens();
        ensure(spent <= most, || format!("{spent} tokens were spent of {most}"))?;
    }
    Ok(())
}

/// When the time is up the run ends with the best so far.
///
/// # Errors
///
/// When it does not.
pub async fn time_ends_the_run(build: &Build) -> Checked {
    let task = HiddenRules::new(6, 5);
    let clock = Stepping::default();
    let options = options(Arc::new(task.model(5)), |options| {
        options.max_time = Some(Duration::from_secs(60).into());
        options.clock = Some(Arc::new(clock.clone()));
        let told = clock;
        // A second for every rollout: 36 for the original.
        options.observer = Some(Arc::new(move |event: &Event| {
            if matches!(event, Event::Rollout { .. }) {
                told.step();
            }
        }));
    });
    let (outcome, _) =
        compiled(build, options, task.examples(60)).await.map_err(|error| error.to_string())?;
    ensure(outcome.stop == StopReason::Budget, || format!("it ended because {}", outcome.stop))?;
    ensure(outcome.exhausted == Some(Limit::WallTime), || format!("what ran out: {:?}", outcome.exhausted))
}

/// A clock that goes on by a second when it is told to. Clones share it.
#[derive(Clone, Default)]
struct Stepping(Arc<Ticks>);

#[derive(Default)]
struct Ticks {
    seconds: AtomicU64,
    sleepers: Mutex<Vec<(Duration, Waker)>>,
}

impl Stepping {
    fn step(&self) {
        self.0.seconds.fetch_add(1, Ordering::SeqCst);
        let now = self.now();
        let mut sleepers = self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, waker) in sleepers.extract_if(.., |(at, _)| *at <= now) {
            waker.wake();
        }
    }
}

impl Clock for Stepping {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.seconds.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (clock, at) = (self.clone(), self.now() + duration);
        Box::pin(std::future::poll_fn(move |context| {
            if clock.now() >= at {
                return Poll::Ready(());
            }
            let mut sleepers = clock.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            sleepers.push((at, context.waker().clone()));
            Poll::Pending
        }))
    }
}

fn numbered(number: usize, answer: &str) -> Example {
    Example::new([("question", format!("Question {number}?")), ("answer", answer.to_owned())], ["question"])
}

/// Makes a module `$name` with a test for every promise that any optimizer must keep, of the optimizer that `$build`
/// makes.
///
/// `$build` takes [`RunOptions`](promptopt_run::RunOptions) and gives a `Box<dyn Optimizer>` that follows them, as in
/// `tests/tests/conformance.rs`.
#[macro_export]
macro_rules! optimizer_contract {
    ($name:ident, $build:expr) => {
        mod $name {
            use super::*;
            use $crate::conformance;

            $crate::optimizer_contract!(@tests $build;
                same_outcome_at_any_concurrency
                budget_holds_for_two_predictors
                never_worse_than_the_start
                nothing_is_bought_twice
                a_failing_example_stops_nothing
                cancellation_gives_the_best_so_far
                edge_cases_end_cleanly
                a_target_score_ends_the_run
                patience_ends_a_run_that_does_not_improve
                a_stop_file_ends_the_run
                metric_calls_and_tokens_are_never_overshot
                time_ends_the_run
            );

            #[test]
            fn no_budget_is_overshot_and_it_means_the_same_at_any_concurrency() {
                // All small budgets, where the stages begin and end, and then ever larger steps.
                let budgets = (0..60).step_by(3).chain((60..400).step_by(17)).chain([600, 1000]);
                for budget in budgets {
                    conformance::hold(conformance::block_on(conformance::budget_holds(&$build, budget)));
                }
            }
        }
    };
    (@tests $build:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                conformance::hold(conformance::block_on(conformance::$check(&$build)));
            }
        )*
    };
}

/// Makes a module `$name` with a test for everything that a good optimizer does, of the one that `$build` makes; as
/// [`optimizer_contract!`](crate::optimizer_contract).
#[macro_export]
macro_rules! optimizer_quality {
    ($name:ident, $build:expr) => {
        mod $name {
            use super::*;
            use $crate::conformance;

            $crate::optimizer_contract!(@tests $build;
                two_predictors_improve_both
                the_winner_is_confirmed_where_asked
            );
        }
    };
}

/// Fails a test in which a promise was broken.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn hold(checked: Checked) {
    if let Err(broken) = checked {
        panic!("{broken}");
    }
}
