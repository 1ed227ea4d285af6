//! A metric that calls a language model is paid from the run's budget.

use std::sync::Arc;

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_core::{
    Budget, CallContext, Example, FailureKind, LanguageModel, LmError, LmRequest, Message, Metric,
    ModuleExt as _, Optimizer, Prediction, Score, run_once,
};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

use super::support::Auditor;
use crate::support::text;

/// Compares as it is, and asks a model what it thinks of the answer.
struct Judge(Arc<dyn LanguageModel>);

#[async_trait]
impl Metric for Judge {
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        self.score_in(&CallContext::new(Arc::clone(&self.0)), example, prediction).await
    }

    async fn score_in(
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

    fn max_calls(&self) -> u64 {
        1
    }
}

#[tokio::test]
async fn a_judges_calls_count_and_never_overshoot() {
    let task = HiddenRules::new(6, 5);
    let limits = [
        Budget::calls(150),
        Budget { tokens: Some(30_000), ..Budget::default() },
        Budget { money: Some("$0.01".parse().unwrap()), ..Budget::default() },
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
            assert_eq!((spent.calls, spent.tokens()), (total.calls, total.total_tokens()), "{budget:?}");
            assert!(outcome.exhausted.is_some(), "{budget:?}: {:?}", outcome.stop);
            outcomes.push(text(&outcome));
        }
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{budget:?}");
    }
}

#[tokio::test]
async fn a_judge_without_a_price_refuses_to_start_under_a_limit_of_money() {
    struct Unpriced;

    #[async_trait]
    impl LanguageModel for Unpriced {
        fn id(&self) -> String {
            "somewhere judge-1".to_owned()
        }

        async fn complete(&self, _: &LmRequest) -> Result<promptopt_core::LmReply, LmError> {
            Err(LmError::Cancelled)
        }
    }

    let task = HiddenRules::new(6, 5);
    let mut program =
        toy::answerer().with_model(Arc::new(task.model(5))).with_metric(Judge(Arc::new(Unpriced)));
    let budget = Budget { money: Some("$1".parse().unwrap()), ..Budget::default() };
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
