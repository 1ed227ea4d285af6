//! A metric that calls a language model is paid from the run's budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::lm::{LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, lm_fn};
use promptopt_core::money::{Budget, Money, Price, Prices, Usage};
use promptopt_core::program::{CallContext, Metric, ModuleExt as _};
use promptopt_core::trace::FailureKind;
use promptopt_run::{Optimizer, run_once};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

use super::support::{Auditor, price};
use crate::support::{counted, peaking, text};

/// Compares as it is, and asks a model what it thinks of the answer.
struct Judge(Arc<dyn LanguageModel>);

#[async_trait]
impl Metric for Judge {
    async fn score(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let answer = prediction.get_str("answer").unwrap_or_default();
        let request = LmRequest::new(vec![Message::user(format!("Is this right? {answer}"))]);
        context.aside(Arc::clone(&self.0)).complete(request).await?;
        Ok(Score::from(example.get_str("answer") == Some(answer)))
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        vec![Arc::clone(&self.0)]
    }

    fn calls_per_score(&self) -> u64 {
        1
    }
}

#[tokio::test]
async fn a_judges_calls_count_and_never_overshoot() {
    let task = HiddenRules::new(6, 5);
    let limits = [
        Budget::calls(150),
        Budget::default().with_tokens(30_000),
        Budget::default().with_money("$0.01".parse().unwrap()),
    ];
    for budget in limits {
        let mut outcomes = Vec::new();
        for concurrency in [1, 8, 32] {
            let model = Auditor::new(task.model(5), budget);
            let judge = Judge(Arc::clone(&model) as _);
            let mut program = toy::answerer().with_model(Arc::clone(&model) as _).with_metric(judge);
            let optimizer = MIPROv2::builder()
                .num_candidates(4)
                .num_trials(6)
                .minibatch_size(5)
                .budget(budget)
                .concurrency(concurrency)
                .build();
            let outcome = optimizer.compile(&mut program, task.examples(60)).await.unwrap();
            let spent = model.audit().unwrap();
            let total = outcome.spending.total();
            assert_eq!(
                (spent.calls, spent.total_tokens()),
                (total.calls, total.total_tokens()),
                "{budget:?}"
            );
            assert!(outcome.exhausted.is_some(), "{budget:?}: {:?}", outcome.stop);
            outcomes.push(text(&outcome));
        }
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{budget:?}");
    }
}

/// Says the same after some turns of the runtime.
fn slow() -> impl LanguageModel {
    lm_fn(ModelProfile::new("slow").with_max_tokens(50), |request: LmRequest| async move {
        for _ in 0..request.messages[0].text().len() % 7 + 3 {
            tokio::task::yield_now().await;
        }
        Ok(LmReply::text("Yes.", Usage::call(40, 2)))
    })
}

#[tokio::test]
async fn a_dear_judge_keeps_no_rollout_waiting_and_the_order_out_of_the_outcome() {
    let task = HiddenRules::new(6, 5);
    let dear = Price::new(Money::from_nanos(20_000_000_000), Money::from_nanos(60_000_000_000));
    for program_price in [Price::FREE, price()] {
        let model: Arc<dyn LanguageModel> = Arc::new(task.model(5));
        let cap: Money = "$0.3".parse().unwrap();
        let mut outcomes = Vec::new();
        for concurrency in [1, 8, 32] {
            let (slow, peak) = peaking(slow());
            let mut program = toy::answerer().with_model(Arc::clone(&model)).with_metric(Judge(slow));
            let optimizer = MIPROv2::builder()
                .num_candidates(4)
                .num_trials(30)
                .budget(Budget::default().with_money(cap))
                .prices(Prices::new().with(model.profile().id, program_price).with("slow", dear))
                .concurrency(concurrency)
                .build();
            let outcome = optimizer.compile(&mut program, task.examples(60)).await.unwrap();
            assert!(outcome.spending.total().money.unwrap() <= cap);
            assert!(outcome.exhausted.is_some(), "{:?}", outcome.stop);
            let peak = peak.load(Ordering::SeqCst);
            assert!(concurrency == 1 || peak >= 3, "{peak} at once of {concurrency}");
            outcomes.push(text(&outcome));
        }
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    }
}

#[tokio::test]
async fn a_teachers_answers_are_judged_at_the_runs_expense() {
    let task = HiddenRules::new(6, 5);
    let (judge, calls) = counted(slow());
    let mut program = toy::answerer().with_model(Arc::new(task.model(5))).with_metric(Judge(judge));
    let teacher = toy::answerer().with_model(Arc::new(task.model(7)));
    let optimizer = MIPROv2::builder()
        .teacher(Arc::new(teacher))
        .num_candidates(4)
        .num_trials(4)
        .budget(Budget::calls(300))
        .build();
    let outcome = optimizer.compile(&mut program, task.examples(60)).await.unwrap();
    // Every rollout is one call of the program or the teacher, and one of the judge.
    let judged = calls.load(Ordering::SeqCst);
    assert_eq!(outcome.spending.task.calls, 2 * judged);
    assert!(judged > 0 && outcome.spending.total().calls <= 300);
}

#[tokio::test]
async fn a_judge_without_a_price_refuses_to_start_under_a_limit_of_money() {
    let task = HiddenRules::new(6, 5);
    let unpriced = lm_fn("somewhere judge-1", |_| async { Err(LmError::Cancelled) });
    let mut program =
        toy::answerer().with_model(Arc::new(task.model(5))).with_metric(Judge(Arc::new(unpriced)));
    let budget = Budget::default().with_money("$1".parse().unwrap());
    let error =
        MIPROv2::builder().budget(budget).build().compile(&mut program, task.examples(60)).await.unwrap_err();
    assert!(error.to_string().contains("`somewhere judge-1`"), "{error}");
}

#[tokio::test]
async fn what_a_judge_asks_is_no_step_and_its_provider_is_told_apart_from_it() {
    let task = HiddenRules::new(6, 5);
    let example = Arc::new(task.examples(1).remove(0));
    let run = async |judge: ScriptedLm| {
        let program = toy::answerer().with_metric(Judge(Arc::new(judge)));
        run_once(&program, &CallContext::new(Arc::new(task.model(5))), Arc::clone(&example)).await
    };
    let trace = run(ScriptedLm::new(|_| Ok("Yes.".to_owned()))).await;
    assert_eq!((trace.steps.len(), trace.usage.calls), (1, 2));
    assert!(trace.score.is_some());
    let refused = LmError::Unauthorized { status: 401, message: "bad key".into() };
    let trace = run(ScriptedLm::new(move |_| Err(refused.clone()))).await;
    let failure = trace.error.unwrap();
    assert_eq!((failure.kind, failure.fatal), (FailureKind::Provider, true), "{}", failure.message);
    assert!(failure.message.starts_with("the metric failed"), "{}", failure.message);
}
