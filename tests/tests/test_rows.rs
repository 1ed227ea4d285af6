//! Rows that fail, and runs that go on: refusals of the provider, scores that are no numbers, calls that nobody counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::data::{Example, Fields, Prediction, plain_text};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{CallContext, ModuleExt as _, Text, metric_fn, module_fn};
use promptopt_core::trace::FailureKind;
use promptopt_run::{Error, Optimizer, Outcome, RunOptions, StopReason};
use promptopt_testkit::conformance::{OutOfOrder, block_on};
use promptopt_testkit::{HiddenRules, toy};
use proptest::prelude::*;

use crate::conformance::ALL;
use crate::support::text;

type Refuse = dyn Fn(&LmRequest, &[String]) -> Option<LmError> + Send + Sync;

/// Refuses some requests, and counts how often it refused each row.
struct Refusing {
    model: OutOfOrder,
    rows: Vec<String>,
    refuse: Box<Refuse>,
    refused: Mutex<BTreeMap<String, u64>>,
}

#[async_trait]
impl LanguageModel for Refusing {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        if let Some(error) = (self.refuse)(request, &self.rows) {
            let asked = request.messages.last().unwrap().text();
            for row in self.rows.iter().filter(|row| asked.contains(row.as_str())) {
                *self.refused.lock().unwrap().entry(row.clone()).or_default() += 1;
            }
            return Err(error);
        }
        self.model.complete(request, attempts).await
    }
}

fn flagged() -> LmError {
    LmError::InvalidRequest { status: 400, message: "your prompt was flagged".into() }
}

/// Refuses whatever holds one of the rows, as input or as demo.
fn refuses_rows(request: &LmRequest, rows: &[String]) -> Option<LmError> {
    let holds = |row: &String| request.messages.iter().any(|message| message.text().contains(row.as_str()));
    rows.iter().any(holds).then(flagged)
}

fn run(
    build: fn(RunOptions) -> Box<dyn Optimizer>,
    concurrency: usize,
    refuse: impl Fn(&LmRequest, &[String]) -> Option<LmError> + Send + Sync + 'static,
) -> (Result<Outcome, Error>, BTreeMap<String, u64>) {
    let task = HiddenRules::new(6, 5);
    let examples = task.examples(60);
    let rows = examples.iter().step_by(20).map(|row| plain_text(row.get("question").unwrap())).collect();
    let (model, refused) = (OutOfOrder::new(task.model(5)), Mutex::default());
    let model = Arc::new(Refusing { model, rows, refuse: Box::new(refuse), refused });
    let options = RunOptions::builder()
        .seed(3)
        .concurrency(concurrency)
        .task_model(Arc::clone(&model) as Arc<dyn LanguageModel>)
        .build();
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let outcome = block_on(build(options).compile(&mut program, examples));
    let refused = model.refused.lock().unwrap().clone();
    (outcome, refused)
}

#[test]
fn a_row_that_the_provider_refuses_is_left_out_once_and_for_all() {
    for (name, build) in ALL {
        let (outcome, refused) = run(build, 1, refuses_rows);
        let outcome = outcome.unwrap();
        assert!(
            matches!(outcome.stop, StopReason::Completed | StopReason::Budget),
            "{name}: {}",
            outcome.stop
        );
        let left_out = outcome.rows_left_out;
        assert!((1..=3).contains(&left_out), "{name}: {:?}", outcome.reasons);
        assert!(outcome.reasons.iter().any(|reason| reason.message.contains("flagged")), "{name}");
        assert_eq!(outcome.failures.provider, left_out, "{name}: each is counted once");
        for (row, times) in refused {
            assert!(times <= 8, "{name}: {row} was sent {times} times");
        }
        assert_eq!(outcome.baseline.failed, 0, "{name}: a row that is left out is no zero");
        for concurrency in [4, 32] {
            let (again, _) = run(build, concurrency, refuses_rows);
            assert_eq!(text(&again.unwrap()), text(&outcome), "{name} at {concurrency}");
        }
    }
}

#[test]
fn whatever_a_provider_says_of_one_row_ends_no_run() {
    let (_, build) = ALL[0];
    let words = || "no".to_owned();
    let errors = [
        LmError::Unauthorized { status: 403, message: words() },
        LmError::Refused { message: words() },
        LmError::ContextLength { message: words() },
    ];
    let statuses = [400, 413, 415, 422, 431, 451];
    let rejected = statuses.map(|status| LmError::InvalidRequest { status, message: words() });
    for error in errors.into_iter().chain(rejected) {
        let said = error.clone();
        let (outcome, _) =
            run(build, 8, move |request, rows| refuses_rows(request, rows).map(|_| said.clone()));
        let outcome = outcome.unwrap();
        assert!(outcome.rows_left_out > 0, "{error}: {:?}", outcome.reasons);
        assert_eq!(outcome.stop, StopReason::Completed, "{error}");
    }
}

#[test]
fn where_every_row_is_refused_the_run_fails_with_the_words() {
    for (name, build) in ALL {
        for error in [flagged(), LmError::Refused { message: "your prompt was flagged".into() }] {
            let said = error.clone();
            let (outcome, _) = run(build, 8, move |_, _| Some(said.clone()));
            let Err(Error::Model { message }) = outcome else { panic!("{name}, {error}: {outcome:?}") };
            assert!(message.contains("your prompt was flagged"), "{name}: {message}");
        }
    }
}

#[test]
fn a_key_or_a_model_that_is_no_more_ends_the_run_at_once() {
    let gone = [
        LmError::Unauthorized { status: 401, message: "key revoked".into() },
        LmError::InvalidRequest { status: 402, message: "no credit".into() },
        LmError::InvalidRequest { status: 404, message: "no such model".into() },
        LmError::InvalidRequest { status: 429, message: "insufficient_quota".into() },
    ];
    for error in gone {
        for (name, build) in ALL {
            let said = error.clone();
            let refuse =
                move |request: &LmRequest, rows: &[String]| refuses_rows(request, rows).map(|_| said.clone());
            match run(build, 1, refuse).0 {
                Ok(outcome) => {
                    assert!(matches!(outcome.stop, StopReason::Provider { .. }), "{name}: {}", outcome.stop);
                }
                Err(found) => assert!(matches!(found, Error::Model { .. }), "{name}: {found}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn an_outcome_that_is_written_can_be_read_whatever_the_metric_says(
        values in prop::collection::vec(
            prop_oneof![any::<f64>(), Just(f64::NAN), Just(1e308), Just(f64::MAX), 0.0..2.0, Just(1e12), Just(0.0)],
            40..60,
        ),
        optimizer in 0..ALL.len(),
    ) {
        let task = HiddenRules::new(4, 1);
        let scores: BTreeMap<String, f64> = task
            .examples(values.len())
            .iter()
            .zip(&values)
            .map(|(row, value)| (plain_text(row.get("question").unwrap()), *value))
            .collect();
        let examples = task.examples(values.len());
        let metric = metric_fn(move |example: &Example, _: &Prediction| {
            let value = scores[&plain_text(example.get("question").unwrap())];
            promptopt_core::data::Score::new(value).with_objective("other", -value)
        });
        let mut program = toy::answerer().with_metric(metric);
        let model: Arc<dyn LanguageModel> = Arc::new(task.model(1));
        let options = RunOptions::builder().task_model(model).max_calls(200).max_errors(1000).build();
        let outcome = block_on((ALL[optimizer].1)(options).compile(&mut program, examples));
        match outcome {
            Ok(outcome) => {
                let read: Outcome = serde_json::from_str(&text(&outcome)).unwrap();
                prop_assert_eq!(text(&read), text(&outcome));
            }
            Err(error) => prop_assert!(matches!(error, Error::TooEarly { .. }), "{}", error),
        }
    }
}

#[test]
fn a_program_that_calls_by_itself_is_told_of_and_its_outage_is_no_evidence() {
    let run = |fails: bool| {
        let calls_by_itself = move |_: CallContext, _: Arc<[Text]>, _: Fields| async move {
            if fails {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
            }
            Ok(Prediction::from_iter([("answer", "yes")]))
        };
        let rows = (0..5).map(|row| Example::new([("question", row)], ["question"])).collect();
        let program = module_fn("hidden caller", [Text::new("answer", "Answer.")], calls_by_itself);
        let mut program = program.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
        let model: Arc<dyn LanguageModel> = Arc::new(HiddenRules::new(4, 1).model(1));
        let options = RunOptions::builder().task_model(model).build();
        block_on(ALL[0].1(options).compile(&mut program, rows))
    };
    let notes = run(false).unwrap().notes;
    let told = notes.iter().filter(|note| note.contains("made no call that promptopt could count")).count();
    assert_eq!(told, 1, "{notes:?}");
    let Err(Error::Model { message }) = run(true) else { panic!("nothing went through") };
    assert!(message.contains("connection refused"), "{message}");
    assert_eq!(FailureKind::Provider, promptopt_core::trace::Failure::from_program(&flagged().into()).kind);
}
