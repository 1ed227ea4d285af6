//! What a budget does to single requests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::{
    Budget, CallContext, Cost, DEFAULT_MAX_TOKENS, Example, Fields, LanguageModel, Ledger, Limit, LmError,
    LmReply, LmRequest, Message, Module, ModuleExt as _, Prediction, Predictor, RolloutJob, RolloutRunner,
    StopReason, Usage, metric_fn,
};

/// Asks as often as its input says, all the same, and does not mind errors.
struct Repeats;

#[async_trait]
impl Module for Repeats {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        for _ in 0..inputs["times"].as_u64().unwrap_or(0) {
            let _ = context.complete(LmRequest::new(vec![Message::user("again")])).await;
        }
        Ok(Prediction::default())
    }

    fn max_calls(&self) -> u64 {
        3
    }
}

type Answer = dyn Fn(&LmRequest) -> Result<LmReply, LmError> + Send + Sync;

struct Told {
    seen: Mutex<Vec<LmRequest>>,
    max_tokens: Option<u32>,
    tokens: Option<u64>,
    attempts: u32,
    answer: Box<Answer>,
}

impl Told {
    fn new(answer: impl Fn(&LmRequest) -> Result<LmReply, LmError> + Send + Sync + 'static) -> Self {
        Self { seen: Mutex::default(), max_tokens: None, tokens: None, attempts: 1, answer: Box::new(answer) }
    }
}

#[async_trait]
impl LanguageModel for Told {
    fn id(&self) -> String {
        "told".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.seen.lock().unwrap().push(request.clone());
        (self.answer)(request)
    }

    fn max_attempts_billed(&self) -> u32 {
        self.attempts
    }

    fn max_tokens(&self) -> Option<u32> {
        self.max_tokens
    }

    fn count_tokens(&self, _: &LmRequest) -> Option<u64> {
        self.tokens
    }
}

fn ok(_: &LmRequest) -> Result<LmReply, LmError> {
    Ok(LmReply::text("fine", Usage::call(10, 2)))
}

async fn run(
    model: Arc<Told>,
    budget: Budget,
    jobs: &[(u64, u64)],
) -> (Option<StopReason>, Arc<Ledger>, usize) {
    let program = Repeats.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
    let ledger = Arc::new(Ledger::new(budget));
    let runner = RolloutRunner::new(&program, model as Arc<dyn LanguageModel>).ledger(Arc::clone(&ledger));
    let jobs: Vec<_> = jobs
        .iter()
        .map(|(times, sample)| {
            let example = Example::new([("times", *times)], ["times"]);
            RolloutJob { sample: *sample, ..RolloutJob::new(Arc::default(), Arc::new(example)) }
        })
        .collect();
    let batch = runner.run(&jobs).await.unwrap();
    assert_eq!(ledger.reserved(), Cost::default());
    (batch.stop, ledger, batch.traces.iter().flatten().count())
}

#[tokio::test]
async fn a_completion_that_nothing_bounds_gets_a_bound_where_one_is_needed() {
    let check = async |own: Option<u32>, budget: Budget, expected: Option<u32>| {
        let model = Arc::new(Told { max_tokens: own, ..Told::new(ok) });
        run(Arc::clone(&model), budget, &[(1, 0)]).await;
        assert_eq!(model.seen.lock().unwrap()[0].sampling.max_tokens, expected, "{budget:?}");
    };
    let tokens = Budget { tokens: Some(100_000), ..Budget::default() };
    check(None, tokens, Some(DEFAULT_MAX_TOKENS)).await;
    check(Some(50), tokens, None).await;
    check(None, Budget::calls(10), None).await;
    check(None, Budget { prompt_tokens: Some(100_000), ..Budget::default() }, None).await;
}

#[tokio::test]
async fn a_model_that_counts_gets_more_out_of_a_budget() {
    let budget = Budget { prompt_tokens: Some(35), ..Budget::default() };
    let (stop, ledger, made) = run(Arc::new(Told::new(ok)), budget, &[(1, 0), (1, 1)]).await;
    assert_eq!((stop, ledger.spent(), made), (Some(StopReason::Budget), 0, 0));
    let counting = Told { tokens: Some(10), ..Told::new(ok) };
    let (stop, ledger, made) = run(Arc::new(counting), budget, &[(1, 0), (1, 1), (1, 2), (1, 3)]).await;
    assert_eq!((stop, ledger.spending().prompt_tokens, made), (Some(StopReason::Budget), 30, 3));
    assert_eq!(ledger.exhausted(), Some(Limit::PromptTokens));
}

#[tokio::test]
async fn a_rollout_that_is_refused_half_way_is_neither_failure_nor_evidence() {
    let counting = Told { tokens: Some(10), ..Told::new(ok) };
    let budget = Budget { prompt_tokens: Some(45), ..Budget::default() };
    // The second has room for one of its three requests only, and does not mind.
    let (stop, ledger, made) = run(Arc::new(counting), budget, &[(3, 0), (3, 1), (1, 2)]).await;
    assert_eq!((stop, made), (Some(StopReason::Budget), 1));
    assert_eq!(ledger.spending().prompt_tokens, 40);
}

#[tokio::test]
async fn a_reply_without_usage_and_a_failure_that_may_be_billed_count_in_full() {
    let budget = Budget { tokens: Some(100_000), ..Budget::default() };
    let spent = async |answer: fn(&LmRequest) -> Result<LmReply, LmError>| {
        let model = Told { tokens: Some(10), max_tokens: Some(5), ..Told::new(answer) };
        let (_, ledger, _) = run(Arc::new(model), budget, &[(1, 0)]).await;
        (ledger.spent(), ledger.spending().tokens())
    };
    assert_eq!(spent(ok).await, (1, 12));
    assert_eq!(spent(|_| Ok(LmReply::text("", Usage::call(0, 0)))).await, (1, 15));
    assert_eq!(spent(|_| Err(LmError::MalformedReply { message: String::new() })).await, (1, 15));
    assert_eq!(spent(|_| Err(LmError::ContextLength { message: String::new() })).await, (1, 0));
}

#[tokio::test]
async fn further_attempts_are_paid_before_they_are_made() {
    let stubborn = |request: &LmRequest| {
        let mut calls = 1;
        while calls < 4 && request.attempts.another() {
            calls += 1;
        }
        Ok(LmReply::text("", Usage { calls, ..Usage::call(10 * calls, calls) }))
    };
    let spent = async |budget: u64, attempts: u32| {
        let model = Told { attempts, ..Told::new(stubborn) };
        run(Arc::new(model), Budget::calls(budget), &[(1, 0)]).await.1.spent()
    };
    // Three calls are set aside for the rollout, so two stay for retries.
    assert_eq!(spent(5, 9).await, 3);
    assert_eq!(spent(3, 9).await, 1);
    assert_eq!(spent(99, 9).await, 4);
    assert_eq!(spent(99, 2).await, 2);
    // Without a budget a model makes all it wants.
    assert!(LmRequest::new(Vec::new()).attempts.another());
}

#[tokio::test]
async fn the_same_request_made_twice_in_a_run_is_two_draws() {
    let model = Arc::new(Told::new(ok));
    run(Arc::clone(&model), Budget::default(), &[(3, 0), (3, 7)]).await;
    let indices: Vec<u64> = model.seen.lock().unwrap().iter().map(|request| request.sample_index).collect();
    assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), 6, "{indices:?}");
    assert!(indices.contains(&0) && indices.contains(&7), "the first is the draw of the run");
    let again = Arc::new(Told::new(ok));
    run(Arc::clone(&again), Budget::default(), &[(3, 0), (3, 7)]).await;
    let repeated: BTreeSet<u64> = again.seen.lock().unwrap().iter().map(|one| one.sample_index).collect();
    assert_eq!(repeated, indices.into_iter().collect());
}

/// Asks three things at once, each longer than the one before, and then one thing more.
struct AtOnce;

#[async_trait]
impl Module for AtOnce {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let size = inputs["size"].as_u64().unwrap_or(0) as usize;
        let ask = |times: usize| {
            let context = context.clone();
            let request = LmRequest::new(vec![Message::user("x".repeat(size * times))]);
            tokio::spawn(async move { context.complete(request).await })
        };
        let (one, two, three) = (ask(1), ask(5), ask(20));
        let _ = (one.await?, two.await?, three.await?);
        context.complete(LmRequest::new(vec![Message::user("x".repeat(size * 40))])).await?;
        Ok(Prediction::default())
    }

    fn max_calls(&self) -> u64 {
        4
    }
}

/// Takes a few turns of the runtime for every answer.
struct Patient;

#[async_trait]
impl LanguageModel for Patient {
    fn id(&self) -> String {
        "patient".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let bytes = request.messages.iter().map(|message| message.content.len() as u64).sum::<u64>();
        for _ in 0..bytes * 7 % 13 {
            tokio::task::yield_now().await;
        }
        Ok(LmReply::text("fine", Usage::call(bytes / 4, 1)))
    }

    fn max_tokens(&self) -> Option<u32> {
        Some(10)
    }
}

#[tokio::test]
async fn requests_that_need_more_than_the_first_neither_hang_nor_overshoot() {
    for tokens in [0, 500, 2_000, 5_000, 8_000, 12_000, 20_000, 1_000_000] {
        for concurrency in [1, 3, 32] {
            let program = AtOnce.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
            let budget = Budget { tokens: Some(tokens), ..Budget::default() };
            let ledger = Arc::new(Ledger::new(budget));
            let runner = RolloutRunner::new(&program, Arc::new(Patient) as Arc<dyn LanguageModel>)
                .concurrency(concurrency)
                .ledger(Arc::clone(&ledger));
            let jobs: Vec<_> = (0..20_u64)
                .map(|number| {
                    let example = Example::new([("size", number * 11 % 17)], ["size"]);
                    let job = RolloutJob::new(Arc::default(), Arc::new(example));
                    RolloutJob { sample: number, ..job }
                })
                .collect();
            let run = tokio::time::timeout(std::time::Duration::from_secs(20), runner.run(&jobs));
            let batch = run.await.expect("it does not hang").unwrap();
            assert!(ledger.spending().tokens() <= tokens);
            assert_eq!(ledger.reserved(), Cost::default(), "{tokens} at {concurrency}");
            let made = batch.traces.iter().flatten().count();
            assert_eq!(made == 20, batch.stop.is_none(), "{tokens} at {concurrency}");
            assert!(if tokens < 1_000 { made < 20 } else { tokens < 1_000_000 || made == 20 });
        }
    }
}
