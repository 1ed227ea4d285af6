//! What every stage relies on when it has rollouts made: order, budget, store, failures.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mockall::predicate::{always, function};
use mockall::{Sequence, mock};
use promptopt_core::{
    Batch, Budget, CallContext, Cancellation, ContentHash, Demo, Error, Evaluator, Example, FailureKind,
    Fields, LanguageModel, Ledger, LmError, LmReply, LmRequest, Message, Metric, Module, ModuleExt as _,
    Prediction, Predictor, Prompt, Prompts, RolloutJob, RolloutKey, RolloutRunner, RolloutStore, Score,
    Signature, StopReason, Trace, Usage, metric_fn,
};
use proptest::prelude::*;

mock! {
    Model {}

    #[async_trait]
    impl LanguageModel for Model {
        fn id(&self) -> String;
        async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError>;
    }
}

mock! {
    Judge {}

    #[async_trait]
    impl Metric for Judge {
        async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score>;
    }
}

mock! {
    Store {}

    #[async_trait]
    impl RolloutStore for Store {
        async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>>;
        async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()>;
    }
}

/// A store without any durability.
#[derive(Default)]
struct Shelf(Mutex<HashMap<RolloutKey, Arc<Trace>>>);

#[async_trait]
impl RolloutStore for Shelf {
    async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()> {
        self.0.lock().unwrap().insert(key, trace);
        Ok(())
    }
}

/// Shouts the last message back, after a number of turns of the runtime that differs from request
/// to request, so that what is asked first is not what is answered first.
#[derive(Default)]
struct Restless {
    asked: Mutex<Vec<LmRequest>>,
    answered: Mutex<Vec<String>>,
}

impl Restless {
    fn calls(&self) -> u64 {
        self.asked.lock().unwrap().len() as u64
    }
}

#[async_trait]
impl LanguageModel for Restless {
    fn id(&self) -> String {
        "restless".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.asked.lock().unwrap().push(request.clone());
        for _ in 0..ContentHash::of(&request.messages).as_u64() % 17 {
            tokio::task::yield_now().await;
        }
        let text = request.messages.last().unwrap().content.clone();
        self.answered.lock().unwrap().push(text.clone());
        Ok(LmReply::text(text.to_uppercase(), Usage::call(1, 1)))
    }
}

/// Asks the model as often as the example's `calls` says, under one prompt with demos.
struct Asker {
    signature: Signature,
    prompt: Prompt,
    max_calls: u64,
}

impl Asker {
    fn new(max_calls: u64) -> Self {
        let signature = Signature::parse("question, calls: int -> shout").unwrap();
        Self { prompt: Prompt::new("Shout."), signature, max_calls }
    }
}

impl Predictor for Asker {
    fn path(&self) -> &str {
        "ask"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.prompt = prompt;
    }
}

#[async_trait]
impl Module for Asker {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![self]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![self]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let prompt = context.prompt("ask").unwrap_or(&self.prompt);
        let mut shout = String::new();
        for _ in 0..inputs["calls"].as_u64().unwrap() {
            let mut messages = vec![Message::system(&prompt.instruction)];
            for demo in &prompt.demos {
                messages.push(Message::user(serde_json::to_string(&demo.fields)?));
            }
            messages.push(Message::user(inputs["question"].as_str().unwrap()));
            shout = context.complete(LmRequest::new(messages)).await?.first_text().to_owned();
        }
        Ok(Prediction::from_iter([("shout", shout)]))
    }

    fn max_calls(&self) -> u64 {
        self.max_calls
    }
}

fn question(text: &str, calls: u64) -> Arc<Example> {
    let fields = [("question", text.into()), ("calls", serde_json::Value::from(calls))];
    Example::new(fields, ["question", "calls"]).into()
}

fn jobs(count: usize) -> Vec<RolloutJob> {
    let prompts: Arc<Prompts> = Arc::default();
    (0..count)
        .map(|number| RolloutJob::new(Arc::clone(&prompts), question(&format!("question {number}"), 1)))
        .collect()
}

fn always_right() -> impl Metric {
    metric_fn(|_: &Example, _: &Prediction| true)
}

fn questions(batch: &Batch) -> Vec<Option<String>> {
    let of = |trace: &Arc<Trace>| trace.example.get_str("question").unwrap().to_owned();
    batch.traces.iter().map(|trace| trace.as_ref().map(of)).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn traces_come_in_the_order_of_the_jobs_whatever_is_answered_first() {
    let program = Asker::new(1).with_metric(always_right());
    let jobs = jobs(40);
    let mut batches = Vec::new();
    for concurrency in [1, 32] {
        let model = Arc::new(Restless::default());
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _).concurrency(concurrency);
        let batch = runner.run(&jobs).await.unwrap();
        let asked: Vec<_> =
            jobs.iter().map(|job| job.example.get_str("question").unwrap().to_owned()).collect();
        assert_eq!(questions(&batch), asked.iter().cloned().map(Some).collect::<Vec<_>>());
        assert_eq!(*model.answered.lock().unwrap() == asked, concurrency == 1, "the model was not restless");
        batches.push(batch.traces);
    }
    assert_eq!(batches[0], batches[1]);
}

#[tokio::test]
async fn no_more_rollouts_are_under_way_than_allowed() {
    #[derive(Default)]
    struct Crowded(AtomicUsize, AtomicUsize);

    #[async_trait]
    impl LanguageModel for Crowded {
        fn id(&self) -> String {
            "crowded".to_owned()
        }

        async fn complete(&self, _: &LmRequest) -> Result<LmReply, LmError> {
            let inside = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.1.fetch_max(inside, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.0.fetch_sub(1, Ordering::SeqCst);
            Ok(LmReply::text("", Usage::call(1, 1)))
        }
    }

    let program = Asker::new(1).with_metric(always_right());
    for concurrency in [1, 3] {
        let model = Arc::new(Crowded::default());
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _).concurrency(concurrency);
        runner.run(&jobs(20)).await.unwrap();
        assert_eq!(model.1.load(Ordering::SeqCst), concurrency);
    }
}

#[tokio::test]
async fn equal_jobs_are_made_once_and_other_samples_are_other_jobs() {
    let program = Asker::new(1).with_metric(always_right());
    let model = Arc::new(Restless::default());
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as _);
    let mut jobs = [jobs(2), jobs(2)].concat();
    jobs.push(RolloutJob { sample: 7, ..jobs[0].clone() });
    let batch = runner.run(&jobs).await.unwrap();
    assert_eq!(model.calls(), 3);
    assert_eq!(batch.traces[0], batch.traces[2]);
    assert_eq!(model.asked.lock().unwrap().iter().filter(|request| request.sample_index == 7).count(), 1);
}

#[tokio::test]
async fn what_a_store_knows_is_not_run_again() {
    let program = Asker::new(1).with_metric(always_right());
    let store = Arc::new(Shelf::default());
    let model = Arc::new(Restless::default());
    let runner = || RolloutRunner::new(&program, Arc::clone(&model) as _).store(Arc::clone(&store) as _);
    let first = runner();
    let bought = first.run(&jobs(5)).await.unwrap();
    let second = runner();
    let known = second.run(&jobs(8)).await.unwrap();
    assert_eq!(model.calls(), 8);
    assert_eq!(bought.traces[..], known.traces[..5]);
    let totals = second.totals();
    assert_eq!((totals.made, totals.reused, totals.usage.calls), (3, 5, 3));

    // Another instruction is another rollout, even where the reply is the same.
    let prompts: Prompts = [("ask", Prompt::new("Shout louder."))].into_iter().collect();
    let job = RolloutJob { prompts: prompts.into(), ..jobs(1)[0].clone() };
    runner().run(&[job]).await.unwrap();
    assert_eq!(model.calls(), 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The reference is one rollout after the other, each admitted when its bound still fits.
    #[test]
    fn a_budget_is_never_exceeded_and_ends_at_the_same_job_at_any_concurrency(
        costs in proptest::collection::vec(1_u64..=3, 0..12),
        budget in 0_u64..=30,
        concurrency in prop::sample::select(vec![1_usize, 2, 3, 8, 32]),
    ) {
        let jobs: Vec<_> = costs
            .iter()
            .enumerate()
            .map(|(number, calls)| RolloutJob::new(Arc::default(), question(&format!("q{number}"), *calls)))
            .collect();
        let (mut spent, mut made) = (0, 0);
        for cost in &costs {
            if spent + 3 > budget {
                break;
            }
            (spent, made) = (spent + cost, made + 1);
        }

        let program = Asker::new(3).with_metric(always_right());
        let model = Arc::new(Restless::default());
        let ledger = Arc::new(Ledger::new(Budget::calls(budget)));
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _)
            .concurrency(concurrency)
            .ledger(Arc::clone(&ledger));
        let batch = block_on(runner.run(&jobs)).unwrap();

        prop_assert!(model.calls() <= budget);
        let done: Vec<bool> = batch.traces.iter().map(Option::is_some).collect();
        let expected: Vec<bool> = (0..jobs.len()).map(|number| number < made).collect();
        prop_assert_eq!(done, expected);
        prop_assert_eq!(batch.stop, (made < jobs.len()).then_some(StopReason::Budget));
        // Nothing stays reserved.
        prop_assert_eq!((ledger.spent(), ledger.remaining()), (spent, Some(budget - spent)));
    }
}

#[tokio::test]
async fn a_run_that_wants_more_calls_than_its_bound_fails_and_the_budget_holds() {
    let program = Asker::new(2).with_metric(always_right());
    let model = Arc::new(Restless::default());
    let ledger = Arc::new(Ledger::new(Budget::calls(4)));
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as _).ledger(ledger);
    let greedy = RolloutJob::new(Arc::default(), question("too many", 9));
    let batch = runner.run(&[greedy]).await.unwrap();
    let failure = batch.traces[0].as_ref().unwrap().error.clone().unwrap();
    assert!(failure.message.contains("more than 2") && failure.message.contains("max_calls"), "{failure:?}");
    assert_eq!(model.calls(), 2);
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once() {
    let program = Asker::new(1).with_metric(always_right());
    let mut model = MockModel::new();
    model.expect_id().return_const("mock".to_owned());
    model
        .expect_complete()
        .times(1)
        .returning(|_| Err(LmError::Unauthorized { status: 401, message: "no such key".into() }));
    let runner = RolloutRunner::new(&program, Arc::new(model)).concurrency(1);
    let batch = runner.run(&jobs(10)).await.unwrap();
    assert!(
        matches!(&batch.stop, Some(StopReason::Provider { message }) if message.contains("no such key")),
        "{:?}",
        batch.stop
    );
    assert_eq!(batch.traces.iter().flatten().count(), 1);
}

#[tokio::test]
async fn a_passing_failure_of_the_provider_is_no_evidence_and_is_tried_again() {
    let program = Asker::new(1).with_metric(always_right());
    let mut model = MockModel::new();
    let mut order = Sequence::new();
    model.expect_id().return_const("mock".to_owned());
    model.expect_complete().times(1).in_sequence(&mut order).returning(|_| {
        Err(LmError::Server { status: 503, message: "overloaded".into(), retry_after: None })
    });
    model
        .expect_complete()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| Ok(LmReply::text("HERE", Usage::call(1, 1))));
    let runner =
        RolloutRunner::new(&program, Arc::new(model)).store(Arc::new(Shelf::default())).max_errors(Some(3));
    let failed = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(failed.stop, None);
    assert_eq!(failed.traces[0].as_ref().unwrap().evidence(), None);
    let again = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(again.traces[0].as_ref().unwrap().evidence(), Some(1.0));
    assert_eq!(runner.totals().failures.provider, 1);
}

#[tokio::test]
async fn more_errors_than_allowed_end_the_run() {
    let check = async |max_errors: Option<u64>, expected: usize| {
        let broken = metric_fn(|_: &Example, _: &Prediction| f64::NAN);
        let program = Asker::new(1).with_metric(broken);
        let runner = RolloutRunner::new(&program, Arc::new(Restless::default()))
            .concurrency(1)
            .max_errors(max_errors);
        let batch = runner.run(&jobs(6)).await.unwrap();
        assert_eq!(batch.traces.iter().flatten().count(), expected, "{max_errors:?}");
        let is_full = expected == 6;
        assert_eq!(matches!(batch.stop, Some(StopReason::MaxErrors { .. })), !is_full, "{max_errors:?}");
    };
    check(Some(0), 1).await;
    check(Some(2), 3).await;
    check(None, 6).await;
}

/// Cancels the run at a call, and lets later calls wait for ever.
struct Canceller {
    flag: Cancellation,
    at: usize,
    calls: AtomicUsize,
}

#[async_trait]
impl LanguageModel for Canceller {
    fn id(&self) -> String {
        "canceller".to_owned()
    }

    async fn complete(&self, _: &LmRequest) -> Result<LmReply, LmError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == self.at {
            self.flag.cancel();
        }
        if call > self.at {
            std::future::pending::<()>().await;
        }
        Ok(LmReply::text("", Usage::call(1, 1)))
    }
}

async fn cancelled_at(call: usize, calls_each: u64, concurrency: usize) -> (Batch, Arc<Ledger>) {
    let flag = Cancellation::new();
    let program = Asker::new(calls_each).with_metric(always_right());
    let ledger = Arc::new(Ledger::new(Budget::calls(1000)));
    let model = Canceller { flag: flag.clone(), at: call, calls: AtomicUsize::new(0) };
    let runner = RolloutRunner::new(&program, Arc::new(model))
        .concurrency(concurrency)
        .ledger(Arc::clone(&ledger))
        .cancellation(flag);
    let jobs: Vec<_> = (0..20)
        .map(|number| RolloutJob::new(Arc::default(), question(&format!("q{number}"), calls_each)))
        .collect();
    (runner.run(&jobs).await.unwrap(), ledger)
}

#[tokio::test]
async fn a_cancelled_run_returns_and_gives_its_reservations_back() {
    for concurrency in [1, 8] {
        let (batch, ledger) = cancelled_at(5, 1, concurrency).await;
        assert_eq!(batch.stop, Some(StopReason::Cancelled));
        assert!(batch.traces.iter().flatten().count() <= 5, "concurrency {concurrency}");
        assert_eq!(ledger.remaining(), Some(1000 - ledger.spent()));
        assert!(ledger.spent() <= 5);
    }
}

#[tokio::test]
async fn a_rollout_that_meets_the_cancellation_is_not_a_failure_of_the_provider() {
    let (batch, ledger) = cancelled_at(1, 3, 1).await;
    assert_eq!(batch.stop, Some(StopReason::Cancelled));
    assert_eq!(batch.traces.iter().flatten().count(), 0);
    assert_eq!((ledger.spent(), ledger.remaining()), (1, Some(999)));
}

#[tokio::test]
async fn a_metric_that_gives_no_number_is_a_failure_and_not_a_zero() {
    let check = async |score: fn() -> anyhow::Result<Score>, words: &str| {
        let mut judge = MockJudge::new();
        judge.expect_score().times(1).returning(move |_, _| score());
        let program = Asker::new(1).with_metric(judge);
        let store = Arc::new(Shelf::default());
        let runner =
            RolloutRunner::new(&program, Arc::new(Restless::default())).store(Arc::clone(&store) as _);
        let batch = runner.run(&jobs(1)).await.unwrap();
        let trace = batch.traces[0].as_ref().unwrap();
        let failure = trace.error.as_ref().unwrap();
        assert_eq!(failure.kind, FailureKind::Metric);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!((trace.score.as_ref(), trace.evidence()), (None, None));
        // The answer itself is kept for whoever looks for the reason.
        assert!(trace.prediction.is_some());
        assert_eq!(runner.totals().failures.metric, 1);
        assert!(store.0.lock().unwrap().is_empty(), "the metric may work another time");
    };
    check(|| Ok(Score::new(f64::NAN)), "NaN").await;
    check(|| Ok(Score::new(f64::INFINITY)), "inf").await;
    check(|| Ok(Score::new(f64::NEG_INFINITY)), "-inf").await;
    check(|| anyhow::bail!("the judge is out"), "the judge is out").await;
}

#[tokio::test]
async fn a_metric_judges_each_answered_rollout_once_with_its_own_example() {
    let mut judge = MockJudge::new();
    for number in 0..4 {
        let asked = format!("question {number}");
        let shouted = asked.to_uppercase();
        judge
            .expect_score()
            .with(
                function(move |example: &Example| example.get_str("question") == Some(&asked)),
                function(move |prediction: &Prediction| prediction.get_str("shout") == Some(&shouted)),
            )
            .times(1)
            .returning(move |_, _| Ok(Score::new(f64::from(number))));
    }
    let program = Asker::new(1).with_metric(judge);
    let runner = RolloutRunner::new(&program, Arc::new(Restless::default()));
    let batch = runner.run(&jobs(4)).await.unwrap();
    let scores: Vec<_> =
        batch.traces.iter().map(|trace| trace.as_ref().unwrap().score_value().unwrap()).collect();
    assert_eq!(scores, [0.0, 1.0, 2.0, 3.0]);
}

#[tokio::test]
async fn a_metric_is_not_asked_about_what_was_not_answered() {
    let mut judge = MockJudge::new();
    judge.expect_score().never();
    let mut model = MockModel::new();
    model.expect_id().return_const("mock".to_owned());
    model.expect_complete().returning(|_| Err(LmError::ContextLength { message: "too long".into() }));
    let program = Asker::new(1).with_metric(judge);
    let batch = RolloutRunner::new(&program, Arc::new(model)).run(&jobs(2)).await.unwrap();
    for trace in &batch.traces {
        // A prompt that does not fit the window is the prompt's own failure.
        assert_eq!(trace.as_ref().unwrap().evidence(), Some(0.0));
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_run_with_its_words() {
    let program = Asker::new(1).with_metric(always_right());
    let check = async |store: MockStore, doing: &str| {
        let runner =
            RolloutRunner::new(&program, Arc::new(Restless::default())).store(Arc::new(store) as _);
        let error = runner.run(&jobs(3)).await.unwrap_err();
        assert!(error.to_string().contains(doing), "{error}");
        let Error::Store { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.to_string(), "disk full");
    };
    let mut unreadable = MockStore::new();
    unreadable.expect_get().times(1).returning(|_| anyhow::bail!("disk full"));
    unreadable.expect_put().never();
    check(unreadable, "looking up").await;
    let mut unwritable = MockStore::new();
    unwritable.expect_get().returning(|_| Ok(None));
    unwritable.expect_put().with(always(), always()).times(1).returning(|_, _| anyhow::bail!("disk full"));
    check(unwritable, "keeping").await;
}

#[tokio::test]
async fn an_example_never_sees_the_demo_that_was_made_from_it() {
    let program = Asker::new(1).with_metric(always_right());
    let examples: Vec<_> = (0..4).map(|number| question(&format!("question {number}"), 1)).collect();
    let demos = examples
        .iter()
        .map(|example| Demo {
            fields: example.fields().clone(),
            augmented: true,
            source: Some(example.content_hash()),
        })
        .collect();
    let prompts: Prompts = [("ask", Prompt { instruction: "Shout.".into(), demos })].into_iter().collect();
    let prompts = Arc::new(prompts);
    let model = Arc::new(Restless::default());
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as _);
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example))).collect();
    runner.run(&jobs).await.unwrap();
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    for request in asked.iter() {
        let (last, before) = request.messages.split_last().unwrap();
        let shown: Vec<_> = before[1..].iter().map(|message| message.content.as_str()).collect();
        assert_eq!(shown.len(), 3, "all other demos are shown");
        assert!(shown.iter().all(|demo| !demo.contains(&last.content)), "{shown:?}");
    }
}

#[tokio::test]
async fn an_evaluator_behind_a_box_is_the_same_evaluator() {
    let boxed: Box<dyn Evaluator> = Box::new(Asker::new(3).with_metric(always_right()));
    assert_eq!(Module::max_calls(&boxed), 3);
    let runner = RolloutRunner::new(&boxed, Arc::new(Restless::default()));
    let batch = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(batch.traces[0].as_ref().unwrap().score_value(), Some(1.0));
}
