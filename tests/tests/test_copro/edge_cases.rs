//! Little data, bad data, bad models, bad metrics.

use promptopt_core::program::{CallContext, async_metric_fn};
use promptopt_testkit::around;

use super::*;
use crate::support::nothing;

fn small() -> COPRO {
    COPRO::builder().breadth(3).depth(2).build()
}

#[tokio::test]
async fn no_examples_is_a_clear_error() {
    let error = compile(&small(), Stage::answering("yes"), vec![]).await.unwrap_err();
    assert!(error.to_string().contains("no training examples"), "{error}");
}

#[tokio::test]
async fn one_example_is_enough_to_run() {
    let outcome = compile(&small(), Stage::answering("yes"), same_answer(1)).await.unwrap();
    assert_eq!((outcome.baseline.n, outcome.best, outcome.stop), (1, 0, StopReason::Completed));
    assert!(outcome.notes.iter().any(|note| note.contains("no mistakes are shown")), "{:?}", outcome.notes);
}

#[tokio::test]
async fn a_program_without_predictors_is_refused() {
    let error = small().compile(&mut nothing(), same_answer(10)).await.unwrap_err();
    assert!(error.to_string().contains("no predictors"), "{error}");
}

#[tokio::test]
async fn scores_that_are_no_numbers_are_failures_of_the_metric() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let mut module = toy::answerer()
            .with_model(Arc::new(Stage::answering("yes")))
            .with_metric(metric_fn(move |_: &Example, _: &Prediction| bad));
        let optimizer = COPRO::builder().max_errors(1000).build();
        let error = optimizer.compile(&mut module, same_answer(10)).await.unwrap_err();
        assert!(error.to_string().contains("no selection example got a score"), "{error}");
    }
}

#[tokio::test]
async fn a_metric_that_fails_ends_the_run_with_the_best_so_far_or_an_error() {
    let run = async |works: usize| {
        let asked = AtomicUsize::new(0);
        let metric = async_metric_fn(move |_: CallContext, _: Example, _: Prediction| {
            let is_out = asked.fetch_add(1, Ordering::SeqCst) >= works;
            async move {
                anyhow::ensure!(!is_out, "the judge is out");
                Ok(0.5)
            }
        });
        let model = Arc::new(Stage::answering("yes"));
        let mut module = toy::answerer().with_model(model).with_metric(metric);
        COPRO::builder().max_errors(3).concurrency(1).build().compile(&mut module, same_answer(50)).await
    };
    let error = run(0).await.unwrap_err();
    assert!(error.to_string().contains("the judge is out"), "{error}");
    let outcome = run(70).await.unwrap();
    assert!(
        matches!(&outcome.stop, StopReason::MaxErrors { last } if last.contains("the judge is out")),
        "{:?}",
        outcome.stop
    );
    assert_eq!((outcome.best, outcome.baseline.n, outcome.failures.metric), (0, 30, 4));
}

#[tokio::test]
async fn failing_examples_are_counted_apart_and_stop_nothing() {
    // Some questions break the provider, whatever the prompt.
    let flaky = around(Stage::answering("yes"), |next, request| async move {
        if is_task(&request) && question(&request).ends_with("5.") {
            return Err(LmError::Connection { message: "reset by peer".into() });
        }
        next.complete(&request).await
    });
    let optimizer = COPRO::builder().breadth(4).max_errors(1000).build();
    let outcome = compile(&optimizer, flaky, same_answer(60)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Completed);
    assert!(outcome.failures.provider > 0 && outcome.baseline.missing > 0);
    assert_eq!(outcome.baseline.mean, 1.0, "a failure of the provider is no zero");
}

#[tokio::test]
async fn all_right_and_all_wrong_end_with_the_original() {
    for (answer, score) in [("yes", 1.0), ("no", 0.0)] {
        let model = Arc::new(Stage::answering(answer));
        let outcome = COPRO::default().compile(&mut program(model.clone()), same_answer(60)).await.unwrap();
        assert_eq!((outcome.best, outcome.stop.clone()), (0, StopReason::Completed));
        assert_eq!((outcome.baseline.mean, outcome.selected.mean), (score, score));
        let shown = model.written_requests().iter().any(|request| told(request, "mistakes").is_some());
        assert_eq!(shown, score < 1.0, "where nothing is wrong there is nothing to show");
    }
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once_with_the_providers_words() {
    let model = Arc::new(ScriptedLm::new(|_| {
        Err(LmError::Unauthorized { status: 401, message: "Incorrect API key provided".into() })
    }));
    let optimizer = COPRO::builder().concurrency(1).build();
    let error = optimizer.compile(&mut program(model.clone()), same_answer(50)).await.unwrap_err();
    assert!(error.to_string().contains("Incorrect API key provided"), "{error}");
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn a_prompt_model_whose_key_is_refused_ends_the_run_with_the_original() {
    let prompt_model = Arc::new(ScriptedLm::new(|_| {
        Err(LmError::Unauthorized { status: 401, message: "Incorrect API key provided".into() })
    }));
    let optimizer = COPRO::builder().prompt_model(prompt_model.clone()).build();
    let outcome = compile(&optimizer, Stage::answering("no"), same_answer(30)).await.unwrap();
    assert!(
        matches!(&outcome.stop, StopReason::Provider { message } if message.contains("Incorrect API key")),
        "{:?}",
        outcome.stop
    );
    assert_eq!((outcome.best, prompt_model.calls()), (0, 1));
}

#[tokio::test]
async fn a_prompt_model_that_breaks_off_now_and_then_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let prompt_model = Arc::new(ScriptedLm::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        number if number % 2 == 0 => Err(LmError::Connection { message: "reset by peer".into() }),
        number => Ok(ScriptedLm::chat_reply([("proposed_instruction", distinct(number).as_str())])),
    }));
    let optimizer = COPRO::builder().breadth(5).depth(1).prompt_model(prompt_model).build();
    let outcome = compile(&optimizer, Stage::answering("no"), same_answer(30)).await.unwrap();
    assert_eq!(outcome.candidates.len(), 5, "{:?}", outcome.notes);
}

#[tokio::test]
async fn it_works_behind_a_trait_object() {
    let task = HiddenRules::new(4, 1);
    let optimizer: Box<dyn promptopt_run::Optimizer> = Box::new(small());
    let mut module: Box<dyn promptopt_core::program::Evaluator> = Box::new(program(Arc::new(task.model(1))));
    let outcome = optimizer.compile(&mut module, task.examples(40)).await.unwrap();
    assert!(outcome.improved());
}

/// Where nothing new comes, the model is not asked at each further depth, and one note says so.
#[tokio::test]
async fn a_writer_that_has_nothing_new_is_not_asked_for_ever() {
    let model = Arc::new(Stage::new(|_, _| "no".to_owned(), |_| "Say no.".to_owned()).on(Server::Ignores));
    let optimizer = COPRO::builder().breadth(30).depth(30).build();
    let outcome = optimizer.compile(&mut program(model.clone()), same_answer(30)).await.unwrap();
    assert_eq!((outcome.candidates.len(), &outcome.stop), (2, &StopReason::Completed));
    let short = outcome.notes.iter().filter(|note| note.contains("came out"));
    assert_eq!(short.count(), 2, "{:?}", outcome.notes);
    assert!(outcome.notes.iter().any(|note| note.contains("none is asked for again")), "{:?}", outcome.notes);
    assert!(model.written_requests().len() < 5 * 30, "{}", model.written_requests().len());
}
