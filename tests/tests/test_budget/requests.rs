//! What a budget does to single requests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{
    Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, lm_fn,
};
use promptopt_core::money::{Budget, Limit, Money, Price, Usage};
use promptopt_core::program::{CallContext, Evaluator, ModuleExt as _, Text, metric_fn, module_fn};
use promptopt_run::{DEFAULT_MAX_TOKENS, Ledger, RolloutJob, RolloutRunner, StopReason};

use super::interleavings::is_nothing;
use crate::support;

/// Asks as often as its input says, all the same, and does not mind errors.
fn repeats() -> impl Evaluator {
    let run = |context: CallContext, _: Arc<[Text]>, inputs: Fields| async move {
        for _ in 0..inputs["times"].as_u64().unwrap_or(0) {
            let _ = context.complete(LmRequest::new(vec![Message::user("again")])).await;
        }
        Ok(Prediction::default())
    };
    module_fn("repeats", [], run)
        .with_calls_per_rollout(3)
        .with_metric(metric_fn(|_: &Example, _: &Prediction| true))
}

type Answer = dyn Fn(&LmRequest, &Attempts) -> Result<LmReply, LmError> + Send + Sync;

/// Answers what a closure says, which may ask for further attempts.
struct Told {
    seen: Mutex<Vec<LmRequest>>,
    profile: ModelProfile,
    answer: Box<Answer>,
}

impl Told {
    fn new(
        profile: ModelProfile,
        answer: impl Fn(&LmRequest, &Attempts) -> Result<LmReply, LmError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), profile, answer: Box::new(answer) })
    }
}

#[async_trait]
impl LanguageModel for Told {
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        self.seen.lock().unwrap().push(request.clone());
        (self.answer)(request, attempts)
    }
}

fn told() -> ModelProfile {
    ModelProfile::new("told")
}

fn ok(_: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
    Ok(LmReply::text("fine", Usage::call(10, 2)))
}

async fn run(
    model: Arc<Told>,
    budget: Budget,
    jobs: &[(u64, u64)],
) -> (Option<StopReason>, Arc<Ledger>, usize) {
    let program = repeats();
    let ledger = Arc::new(Ledger::new(budget));
    let runner = RolloutRunner::new(&program, model as Arc<dyn LanguageModel>).ledger(Arc::clone(&ledger));
    let jobs: Vec<_> = jobs
        .iter()
        .map(|(times, sample)| {
            let example = Example::new([("times", *times)], ["times"]);
            RolloutJob::new(Arc::default(), Arc::new(example)).with_sample(*sample)
        })
        .collect();
    let batch = support::run(&runner, &jobs).await.unwrap();
    assert!(is_nothing(ledger.reserved()));
    (batch.stop.clone(), ledger, batch.made())
}

#[tokio::test]
async fn a_completion_that_nothing_bounds_gets_a_bound_where_one_is_needed() {
    let check = async |own: Option<u32>, budget: Budget, expected: Option<u32>| {
        let model = Told::new(told().with_max_tokens(own), ok);
        run(Arc::clone(&model), budget, &[(1, 0)]).await;
        assert_eq!(model.seen.lock().unwrap()[0].sampling.max_tokens, expected, "{budget:?}");
    };
    let tokens = Budget::default().with_tokens(100_000);
    check(None, tokens, Some(DEFAULT_MAX_TOKENS)).await;
    check(Some(50), tokens, None).await;
    check(None, Budget::calls(10), None).await;
    check(None, Budget::default().with_prompt_tokens(100_000), None).await;
}

#[tokio::test]
async fn a_model_that_counts_gets_more_out_of_a_budget() {
    let budget = Budget::default().with_prompt_tokens(35);
    let (stop, ledger, made) = run(Told::new(told(), ok), budget, &[(1, 0), (1, 1)]).await;
    assert_eq!((stop, ledger.spent(), made), (Some(StopReason::Budget), 0, 0));
    let counting = Told::new(told().with_token_counter(|_| 10), ok);
    let (stop, ledger, made) = run(counting, budget, &[(1, 0), (1, 1), (1, 2), (1, 3)]).await;
    assert_eq!((stop, ledger.spending().prompt_tokens, made), (Some(StopReason::Budget), 30, 3));
    assert_eq!(ledger.exhausted(), Some(Limit::PromptTokens));
}

#[tokio::test]
async fn a_rollout_that_is_refused_half_way_is_neither_failure_nor_evidence() {
    let counting = Told::new(told().with_token_counter(|_| 10), ok);
    let budget = Budget::default().with_prompt_tokens(45);
    // The second has room for one of its three requests only, and does not mind.
    let (stop, ledger, made) = run(counting, budget, &[(3, 0), (3, 1), (1, 2)]).await;
    assert_eq!((stop, made), (Some(StopReason::Budget), 1));
    assert_eq!(ledger.spending().prompt_tokens, 40);
}

#[tokio::test]
async fn a_reply_without_usage_and_a_failure_that_may_be_billed_count_in_full() {
    let budget = Budget::default().with_tokens(100_000);
    let spent = async |answer: fn(&LmRequest, &Attempts) -> Result<LmReply, LmError>| {
        let model = Told::new(told().with_token_counter(|_| 10).with_max_tokens(5), answer);
        let (_, ledger, _) = run(model, budget, &[(1, 0)]).await;
        (ledger.spent(), ledger.spending().total_tokens())
    };
    assert_eq!(spent(ok).await, (1, 12));
    assert_eq!(spent(|_, _| Ok(LmReply::text("", Usage::call(0, 0)))).await, (1, 15));
    assert_eq!(spent(|_, _| Err(LmError::MalformedReply { message: String::new() })).await, (1, 15));
    assert_eq!(spent(|_, _| Err(LmError::ContextLength { message: String::new() })).await, (1, 0));
}

#[tokio::test]
async fn a_number_that_a_reply_does_not_tell_counts_with_its_bound() {
    let price = Price::new(Money::from_nanos(1_000_000_000), Money::from_nanos(10_000_000_000));
    let spent = async |usage: Usage| {
        let profile = told().with_token_counter(|_| 10).with_max_tokens(5).with_price(price);
        let model = Told::new(profile, move |_, _| Ok(LmReply::text("fine", usage)));
        let (_, ledger, _) = run(model, Budget::default().with_tokens(100_000), &[(1, 0)]).await;
        let spent = ledger.spending();
        (spent.prompt_tokens, spent.completion_tokens, spent.money)
    };
    let priced = |prompt, completion| (prompt, completion, Some(price.of(prompt, completion)));
    assert_eq!(spent(Usage::call(7, 2)).await, priced(7, 2));
    assert_eq!(spent(Usage::call(7, 0)).await, priced(7, 5));
    assert_eq!(spent(Usage::call(0, 2)).await, priced(10, 2));
    assert_eq!(spent(Usage::call(0, 0)).await, priced(10, 5));
    // Of a call with attempts that were billed as well, each counts.
    assert_eq!(spent(Usage::call(0, 0).with_calls(2)).await.0, 10, "a second attempt was never reserved");
}

#[tokio::test]
async fn further_attempts_are_paid_before_they_are_made() {
    let stubborn = |_: &LmRequest, attempts: &Attempts| {
        let mut calls = 1;
        while calls < 4 && attempts.another() {
            calls += 1;
        }
        Ok(LmReply::text("", Usage::call(10 * calls, calls).with_calls(calls)))
    };
    let spent = async |budget: u64, attempts: u32| {
        let model = Told::new(told().with_max_attempts_billed(attempts), stubborn);
        run(model, Budget::calls(budget), &[(1, 0)]).await.1.spent()
    };
    // Three calls are set aside for the rollout, so two stay for retries.
    assert_eq!(spent(5, 9).await, 3);
    assert_eq!(spent(3, 9).await, 1);
    assert_eq!(spent(99, 9).await, 4);
    assert_eq!(spent(99, 2).await, 2);
    // Without a budget a model makes all it wants.
    assert!(Attempts::any().another());
}

#[tokio::test]
async fn the_same_request_made_twice_in_a_run_is_two_draws() {
    let model = Told::new(told(), ok);
    run(Arc::clone(&model), Budget::default(), &[(3, 0), (3, 7)]).await;
    let indices: Vec<u64> = model.seen.lock().unwrap().iter().map(|request| request.sample_index).collect();
    assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), 6, "{indices:?}");
    assert!(indices.contains(&0) && indices.contains(&7), "the first is the draw of the run");
    let again = Told::new(told(), ok);
    run(Arc::clone(&again), Budget::default(), &[(3, 0), (3, 7)]).await;
    let repeated: BTreeSet<u64> = again.seen.lock().unwrap().iter().map(|one| one.sample_index).collect();
    assert_eq!(repeated, indices.into_iter().collect());
}

/// Asks three things at once, each longer than the one before, and then one thing more.
fn at_once() -> impl Evaluator {
    let run = |context: CallContext, _: Arc<[Text]>, inputs: Fields| async move {
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
    };
    module_fn("at once", [], run)
        .with_calls_per_rollout(4)
        .with_metric(metric_fn(|_: &Example, _: &Prediction| true))
}

/// Takes a few turns of the runtime for every answer.
fn patient() -> Arc<dyn LanguageModel> {
    Arc::new(lm_fn(ModelProfile::new("patient").with_max_tokens(10), |request: LmRequest| async move {
        let bytes = request.messages.iter().map(|message| message.text().len() as u64).sum::<u64>();
        for _ in 0..bytes * 7 % 13 {
            tokio::task::yield_now().await;
        }
        Ok(LmReply::text("fine", Usage::call(bytes / 4, 1)))
    }))
}

#[tokio::test]
async fn requests_that_need_more_than_the_first_neither_hang_nor_overshoot() {
    for tokens in [0, 500, 2_000, 5_000, 8_000, 12_000, 20_000, 1_000_000] {
        for concurrency in [1, 3, 32] {
            let program = at_once();
            let budget = Budget::default().with_tokens(tokens);
            let ledger = Arc::new(Ledger::new(budget));
            let runner =
                RolloutRunner::new(&program, patient()).concurrency(concurrency).ledger(Arc::clone(&ledger));
            let jobs: Vec<_> = (0..20_u64)
                .map(|number| {
                    let example = Example::new([("size", number * 11 % 17)], ["size"]);
                    let job = RolloutJob::new(Arc::default(), Arc::new(example));
                    job.with_sample(number)
                })
                .collect();
            let run = tokio::time::timeout(std::time::Duration::from_secs(20), support::run(&runner, &jobs));
            let batch = run.await.expect("it does not hang").unwrap();
            assert!(ledger.spending().total_tokens() <= tokens);
            assert!(is_nothing(ledger.reserved()), "{tokens} at {concurrency}");
            let made = batch.made();
            assert_eq!(made == 20, batch.stop.is_none(), "{tokens} at {concurrency}");
            assert!(if tokens < 1_000 { made < 20 } else { tokens < 1_000_000 || made == 20 });
        }
    }
}
