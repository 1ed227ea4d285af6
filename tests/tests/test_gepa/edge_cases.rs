//! Bad input and bad luck: each is a clear error or a recorded failure, and nothing paid for is lost.

use promptopt_core::data::{Prediction, Score};
use promptopt_core::lm::LmError;
use promptopt_core::program::{CallContext, Metric, async_metric_fn};
use promptopt_run::StopReason;

use super::*;
use crate::support::nothing;

/// A metric that fails, or gives no number, on every question that ends in `digit`.
fn flawed(digit: char, error: bool) -> impl Metric {
    async_metric_fn(move |_: CallContext, example: Example, prediction: Prediction| async move {
        if example.get_str("question").is_some_and(|text| text.ends_with(digit)) {
            anyhow::ensure!(!error, "the judge is out");
            return Ok(Score::new(f64::NAN));
        }
        Ok(Score::from(example.get("answer") == prediction.get("answer")))
    })
}

#[tokio::test]
async fn a_metric_that_fails_now_and_then_is_recorded_and_stops_nothing() {
    for error in [true, false] {
        let model = Arc::new(reflecting("always", vec![fenced("always say yes")]));
        let mut program = toy::answerer().with_model(model).with_metric(flawed('7', error));
        let optimizer = GEPA::builder().max_metric_calls(200).max_errors(100).build();
        let outcome = optimizer.compile(&mut program, same_answer(40)).await.unwrap();
        assert!(outcome.failures.metric > 0);
        assert_eq!(outcome.selected.mean, 1.0, "what has no score is no evidence");
        assert!(outcome.selected.missing > 0);
    }
}

#[tokio::test]
async fn a_metric_that_always_fails_is_a_clear_error() {
    let model = Arc::new(reflecting("always", Vec::new()));
    let mut program = toy::answerer().with_model(model).with_metric(flawed('0', true));
    let examples = (0..30)
        .map(|number| {
            Example::new(
                [("question", format!("question {number}0")), ("answer", "yes".to_owned())],
                ["question"],
            )
        })
        .collect();
    let error = GEPA::builder().max_errors(100).build().compile(&mut program, examples).await.unwrap_err();
    assert!(
        matches!(&error, Error::TooEarly { reason, .. } if reason.contains("the judge is out")),
        "{error}"
    );
}

#[tokio::test]
async fn too_many_errors_end_the_run_with_the_best_so_far() {
    let model =
        Arc::new(reflecting("always", vec![fenced("always say yes"), fenced("always"), fenced("always so")]));
    let mut program = toy::answerer().with_model(model).with_metric(flawed('7', true));
    let optimizer = GEPA::builder().max_metric_calls(500).max_errors(7).build();
    let outcome = optimizer.compile(&mut program, same_answer(40)).await.unwrap();
    assert!(matches!(outcome.stop, StopReason::MaxErrors { .. }), "{:?}", outcome.stop);
    assert_eq!(outcome.failures.metric, 8);
}

/// Answers the program, and gives the reflection what the closure says.
fn refusing(error: impl Fn() -> LmError + Send + Sync + 'static) -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::new(move |request| match request.messages.len() {
        1 => Err(error()),
        _ => Ok(ScriptedLm::chat_reply([("answer", "no")])),
    }))
}

#[tokio::test]
async fn a_reflection_model_that_refuses_ends_the_run_with_what_is_known() {
    let model = refusing(|| LmError::Unauthorized { status: 401, message: "key expired".to_owned() });
    let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().max_metric_calls(200).build().compile(&mut program, same_answer(40)).await.unwrap();
    assert!(
        matches!(&outcome.stop, StopReason::Provider { message } if message.contains("key expired")),
        "{:?}",
        outcome.stop
    );
    assert_eq!(outcome.baseline.n, 24);
}

#[tokio::test]
async fn a_reflection_model_that_breaks_off_is_a_failed_proposal() {
    let model = refusing(|| LmError::Timeout {
        after: std::time::Duration::from_secs(1),
        message: "no reply".to_owned(),
    });
    let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().max_metric_calls(200).build().compile(&mut program, same_answer(40)).await.unwrap();
    assert!(!outcome.improved());
    assert_eq!(outcome.candidates.len(), 1);
}

#[tokio::test]
async fn a_program_without_predictors_is_refused() {
    let error = GEPA::default().compile(&mut nothing(), same_answer(10)).await.unwrap_err();
    assert!(matches!(error, Error::Core(promptopt_core::Error::Program { .. })), "{error}");
}

#[tokio::test]
async fn with_nothing_to_reflect_on_it_says_so() {
    let model = Arc::new(reflecting("always", Vec::new()));
    let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().valset(same_answer(10)).build().compile(&mut program, Vec::new()).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Completed);
    assert!(outcome.notes.iter().any(|note| note.contains("no training examples")), "{:?}", outcome.notes);
}
