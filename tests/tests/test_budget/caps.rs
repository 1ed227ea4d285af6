//! Any combination of caps: a run starts, ends as it should, keeps to them, and leaves a later test what it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Budget, Limit, Money, Price, Usage};
use promptopt_core::program::{CallContext, Evaluator, ModuleExt as _, Text, module_fn};
use promptopt_core::prompt::Prompts;
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{
    Clock, Error, Optimizer, Outcome, RolloutJob, Run, RunOptions, StopReason, Strategy as _,
    calls_of_a_rollout,
};
use promptopt_simba::SIMBA;
use promptopt_testkit::{HiddenRules, SimulatedLm, toy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::Instant;

use super::support::{Auditor, price};

const OPTIMIZERS: usize = 6;

/// Tokio's clock, which goes on by itself where everybody waits.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// A model that takes its time.
#[derive(Clone)]
struct Slow {
    model: Arc<Auditor>,
    latency: Duration,
}

#[async_trait]
impl LanguageModel for Slow {
    fn profile(&self) -> ModelProfile {
        self.model.profile().with_max_tokens(60)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let length: usize = request.messages.iter().map(|message| message.text().len()).sum();
        // Longer prompts take longer, some more than others.
        tokio::time::sleep(self.latency + self.latency * (length % 7) as u32 / 7).await;
        self.model.complete(request, attempts).await
    }
}

/// A run to be made.
#[derive(Debug, Clone)]
struct Case {
    optimizer: usize,
    two_stages: bool,
    rows: usize,
    test: usize,
    concurrency: usize,
    latency: u64,
    /// What a token costs, read and written, in nanos.
    price: (u64, u64),
    /// Each limit in parts of what one evaluation of the original takes.
    calls: Option<f64>,
    rollouts: Option<f64>,
    tokens: Option<f64>,
    money: Option<f64>,
    time: Option<f64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let limit = || prop::option::weighted(0.4, prop_oneof![0.0..2.0_f64, 2.0..12.0_f64]);
    let sizes = (0..OPTIMIZERS, any::<bool>(), 6..40_usize, 1..30_usize, 1..12_usize, 20..3000_u64);
    let price = (1..2000_u64, 1..9000_u64);
    (sizes, price, limit(), limit(), limit(), limit(), limit()).prop_map(
        |(
            (optimizer, two_stages, rows, test, concurrency, latency),
            price,
            calls,
            rollouts,
            tokens,
            money,
            time,
        )| {
            Case {
                optimizer,
                two_stages,
                rows,
                test,
                concurrency,
                latency,
                price,
                calls,
                rollouts,
                tokens,
                money,
                time,
            }
        },
    )
}

fn optimizer(which: usize, options: RunOptions) -> Box<dyn Optimizer> {
    let chained = options.clone();
    match which {
        0 => Box::new(MIPROv2::builder().num_candidates(4).num_trials(8).build().with_run_options(options)),
        1 => Box::new(COPRO::builder().breadth(3).depth(2).build().with_run_options(options)),
        2 => Box::new(GEPA::default().with_run_options(options)),
        3 => Box::new(
            SIMBA::builder()
                .minibatch_size(6)
                .num_candidates(3)
                .max_steps(3)
                .build()
                .with_run_options(options),
        ),
        4 => Box::new(RandomSearch::builder().num_sets(4).build().with_run_options(options)),
        _ => Box::new(
            RandomSearch::builder()
                .num_sets(3)
                .build()
                .with_run_options(chained)
                .then(COPRO::builder().breadth(3).depth(2).build()),
        ),
    }
}

impl Case {
    fn budget(&self) -> Budget {
        let selection = (self.rows * 3).div_ceil(5) as f64;
        let calls = selection * if self.two_stages { 2.0 } else { 1.0 };
        let of = |share: Option<f64>, each: f64| share.map(|share| (share * each) as u64);
        let mut budget = Budget::default();
        budget.calls = of(self.calls, calls);
        budget.rollouts = of(self.rollouts, selection);
        budget.tokens = of(self.tokens, calls * 260.0);
        let (read, written) = self.price;
        budget.money = of(self.money, calls * (230 * read + 30 * written) as f64).map(Money::from_nanos);
        let rounds = (selection / self.concurrency as f64).ceil() * calls / selection;
        budget.wall_time = of(self.time, rounds * self.latency as f64 * 1.5).map(Duration::from_millis);
        budget
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        let task = HiddenRules::new(6, 5);
        let mut examples = task.examples(self.rows + self.test);
        let test: Vec<_> = examples.split_off(self.rows).into_iter().map(Arc::new).collect();
        let budget = self.budget();
        // Calls and rollouts are the search's alone.
        let mut shared = budget;
        (shared.calls, shared.rollouts) = (None, None);
        let per_million = |nanos: u64| Money::from_nanos(nanos * 1_000_000);
        let price = Price::new(per_million(self.price.0), per_million(self.price.1));
        let auditor = Auditor::priced(task.model(5), shared, price);
        let slow = Slow { model: Arc::clone(&auditor), latency: Duration::from_millis(self.latency) };
        let mut program: Box<dyn Evaluator> = match self.two_stages {
            true => Box::new(toy::TwoStage::default().with_metric(toy::exact_answer())),
            false => Box::new(toy::answerer().with_metric(toy::exact_answer())),
        };
        let started = Instant::now();
        let options = RunOptions::builder()
            .budget(budget)
            .task_model(Arc::new(slow.clone()))
            .concurrency(self.concurrency)
            .clock(Arc::new(Virtual(started)))
            .rollouts_after(2 * self.test as u64)
            .seed(3)
            .build();
        let optimizer = optimizer(self.optimizer, options.clone());
        if let Err(error) = optimizer.estimate(&*program, &examples) {
            prop_assert!(is_too_small(&error), "{}", error);
        }
        let before = program.candidate().prompts;
        let result = optimizer.compile(&mut *program, examples).await;
        let spent = auditor.audit().map_err(TestCaseError::fail)?;
        prop_assert_eq!(spent.beyond(&budget), None);
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                prop_assert!(is_too_small(&error), "{}", error);
                return Ok(());
            }
        };
        prop_assert!(outcome.stop != StopReason::Budget || outcome.exhausted.is_some());
        prop_assert!(
            budget.wall_time.is_none_or(|limit| started.elapsed() <= limit + Duration::from_millis(2))
        );
        let counted = outcome.spending.counted();
        let mut rest = Budget::default();
        rest.tokens = budget.tokens.map(|cap| cap.saturating_sub(counted.total_tokens()));
        rest.money = budget.money.map(|cap| cap.saturating_sub(counted.money.unwrap_or_default()));
        rest.wall_time = budget.wall_time.map(|cap| cap.saturating_sub(started.elapsed()));
        let mut options = options;
        (options.budget, options.rollouts_after) = (Some(rest), 0);
        let prompts = [&before, &program.candidate().prompts];
        let mut made = tested(&*program, options.clone(), prompts, &test).await;
        auditor.audit().map_err(TestCaseError::fail)?;
        prop_assert!(
            budget.wall_time.is_none_or(|limit| started.elapsed() <= limit + Duration::from_millis(2))
        );
        if made.1 == Some(Limit::WallTime) && rest.limits_spending() {
            // Near the end of its tokens or money a test has fewer requests under way, and its time may run out. A
            // resumed run has the time.
            rest.wall_time = None;
            options.budget = Some(rest);
            options.task_model =
                Some(Arc::new(Slow { model: Auditor::priced(task.model(5), rest, price), ..slow }));
            made = tested(&*program, options, prompts, &test).await;
        }
        // Whatever the search spent, it did not take from the test.
        if searched(&outcome) {
            prop_assert_eq!(made, (2 * self.test, None), "{:?}, {:?}", outcome.spending, rest);
        }
        Ok(())
    }
}

/// Whether anything was bought but the original's evaluation.
fn searched(outcome: &Outcome) -> bool {
    outcome.spending.total().calls > outcome.trials.first().map_or(0, |trial| trial.calls_so_far)
}

/// How many rollouts of a test under two sets of prompts a budget lasts for, and what ended them before the last.
async fn tested(
    program: &dyn Evaluator,
    options: RunOptions,
    prompts: [&Prompts; 2],
    test: &[Arc<Example>],
) -> (usize, Option<Limit>) {
    let mut run = Run::of(program, options).unwrap();
    let prompts = prompts.map(|prompts| Arc::new(prompts.clone()));
    let jobs: Vec<_> = test
        .iter()
        .flat_map(|example| {
            prompts.each_ref().map(|one| RolloutJob::new(Arc::clone(one), Arc::clone(example)))
        })
        .collect();
    let mut traces = Vec::new();
    let _ = run.rollouts_into(&jobs, &mut traces).await;
    (traces.iter().flatten().count(), run.ledger().exhausted())
}

fn is_too_small(error: &Error) -> bool {
    match error {
        Error::Option { reason, .. } => reason.contains("budget is too small"),
        Error::TooEarly { stop, .. } => *stop == Some(StopReason::Budget),
        _ => false,
    }
}

fn virtually<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

#[test]
fn any_caps_are_kept_and_leave_the_test_what_it_takes() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&cases(), |case| virtually(case.check())).unwrap();
}

/// A run of each optimizer on 20 selection examples under a budget.
async fn on_twenty(
    program: &mut dyn Evaluator,
    which: usize,
    model: Arc<dyn LanguageModel>,
    budget: Budget,
) -> Result<Outcome, Error> {
    let task = HiddenRules::new(6, 5);
    let mut train = task.examples(40);
    let valset = train.split_off(20);
    let options = RunOptions::builder().budget(budget).task_model(model).valset(valset).build();
    optimizer(which, options).compile(program, train).await
}

#[test]
fn a_cap_that_is_just_enough_for_the_original_is_enough() {
    for (which, two_stages) in (0..OPTIMIZERS).flat_map(|which| [(which, false), (which, true)]) {
        let calls = if two_stages { 40 } else { 20 };
        for budget in [Budget::calls(calls), Budget::default().with_rollouts(20)] {
            let mut program: Box<dyn Evaluator> = match two_stages {
                true => Box::new(toy::TwoStage::default().with_metric(toy::exact_answer())),
                false => Box::new(toy::answerer().with_metric(toy::exact_answer())),
            };
            assert_eq!(calls_of_a_rollout(&*program).low * 20, calls);
            let model = Arc::new(HiddenRules::new(6, 5).model(5));
            let outcome = virtually(on_twenty(&mut *program, which, Arc::clone(&model) as _, budget));
            let outcome = outcome.unwrap_or_else(|error| panic!("{which}: {error}"));
            assert_eq!(outcome.baseline.n, 20, "{which}");
            assert!(budget.calls.is_none_or(|cap| model.calls() == cap), "{which}: {}", model.calls());
        }
    }
}

/// Asks five times and does not say so.
fn talkative() -> impl Evaluator {
    let run = |context: CallContext, texts: Arc<[Text]>, inputs: Fields| async move {
        let asked = inputs["question"].as_str().unwrap_or_default().to_owned();
        let instruction = texts[0].in_force(&context).to_owned();
        for turn in 0..5 {
            let text = format!("{instruction}\n{asked}\n{turn}");
            context.complete(LmRequest::new(vec![promptopt_core::lm::Message::user(text)])).await?;
        }
        Ok(Prediction::from_iter([("answer", "yes")]))
    };
    module_fn("talkative", [Text::new("ask", "Answer.")], run).with_metric(toy::exact_answer())
}

#[test]
fn a_program_that_does_not_say_how_often_it_calls_works_under_a_budget() {
    for (which, cap) in (0..OPTIMIZERS).flat_map(|which| [(which, 100), (which, 260), (which, 1000)]) {
        let model: Arc<SimulatedLm> = Arc::new(HiddenRules::new(6, 5).model(5));
        let mut program = talkative();
        let outcome = virtually(on_twenty(&mut program, which, Arc::clone(&model) as _, Budget::calls(cap)));
        let outcome = outcome.unwrap_or_else(|error| panic!("{which}, {cap}: {error}"));
        assert_eq!((outcome.baseline.n, outcome.failures.errors()), (20, 0), "{which}, {cap}");
        assert!(model.calls() <= cap, "{which}: {} of {cap}", model.calls());
        let told = outcome.notes.iter().any(|note| note.contains("made 5 calls"));
        assert!(told, "{which}: {:?}", outcome.notes);
    }
}

/// Needs three attempts for every reply, says of no tokens what it took, and does not answer everything.
struct Stammering(SimulatedLm);

#[async_trait]
impl LanguageModel for Stammering {
    fn profile(&self) -> ModelProfile {
        self.0.profile().with_max_attempts_billed(3).with_price(price()).with_max_tokens(50)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        for _ in 0..2 {
            if !attempts.another() {
                return Err(LmError::Budget { limit: Limit::Calls });
            }
        }
        if request.messages.iter().any(|message| message.text().len() % 6 == 5) {
            return Err(LmError::Timeout { after: Duration::from_secs(1), message: "a reply".to_owned() });
        }
        let mut reply = self.0.complete(request, attempts).await?;
        reply.usage = Usage::calls(3);
        Ok(reply)
    }
}

#[test]
fn what_counts_but_no_reply_told_of_is_explained() {
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let model = Arc::new(Stammering(HiddenRules::new(6, 5).model(5)));
    let budget = Budget::calls(2000).with_tokens(2_000_000);
    let outcome = virtually(on_twenty(&mut program, 1, model, budget)).unwrap();
    let (told, counted) = (outcome.spending.total(), outcome.spending.counted());
    assert_eq!(told.total_tokens(), 0);
    let (calls, tokens) = (counted.calls - told.calls, counted.total_tokens());
    assert!(calls > 0 && tokens > 0, "{told:?}, {counted:?}");
    let note = format!(
        "{calls} calls that brought no reply that could be used, and {tokens} tokens that no reply told"
    );
    assert!(outcome.notes.iter().any(|one| one.contains(&note)), "{:?}", outcome.notes);
}
