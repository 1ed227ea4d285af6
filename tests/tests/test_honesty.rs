//! What a run says about itself: what it adds to requests, what it could not count, and what is misspelt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{Completion, FinishReason, LanguageModel, LmReply, LmRequest, ModelProfile, lm_fn};
use promptopt_core::money::{Money, Price, Prices, Usage};
use promptopt_core::program::{CallContext, Module, ModuleExt as _, Predictor, Text, metric_fn, module_fn};
use promptopt_core::signature::Signature;
use promptopt_predict::{Agent, Predict};
use promptopt_report::Report;
use promptopt_run::{Error, Outcome, RunOptions};
use promptopt_testkit::conformance::block_on;
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

use crate::conformance::ALL;

fn rows(input: &str) -> Vec<Example> {
    (0..8).map(|row| Example::new([(input, format!("{row}?")), ("answer", "yes".into())], [input])).collect()
}

#[test]
fn a_misspelt_input_is_an_error_and_no_run() {
    for (name, build) in ALL {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let model = lm_fn("m", move |_: LmRequest| {
            *count.lock().unwrap() += 1;
            async { Ok(LmReply::text("x", Usage::call(1, 1))) }
        });
        let run = |rows| {
            let mut program = toy::answerer().with_metric(toy::exact_answer());
            let model: Arc<dyn LanguageModel> = Arc::new(model.clone());
            let options = RunOptions::builder().task_model(model).max_calls(400).build();
            block_on(build(options).compile(&mut program, rows))
        };
        let Err(Error::Data { reason }) = run(rows("qestion")) else { panic!("{name}: a run") };
        assert!(
            reason.contains(
                "no example has the input `question` of the predictor `answer`; the first has `qestion`"
            ) && reason.contains("is `qestion` meant?"),
            "{reason}"
        );
        // It is there, and not among the inputs.
        let unnamed = (0..8).map(|row| Example::new([("question", row), ("id", row)], ["id"])).collect();
        let Err(Error::Data { reason }) = run(unnamed) else { panic!("{name}: a run") };
        assert!(reason.contains("it is among their labels"), "{reason}");
        assert_eq!(*asked.lock().unwrap(), 0, "{name}");
    }
}

/// Answers from what another predictor wrote, in a style that the examples name.
struct Styled {
    topic: Predict,
    answer: Predict,
}

#[async_trait]
impl Module for Styled {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![&self.topic, &self.answer]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![&mut self.topic, &mut self.answer]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let mut fields = inputs.clone();
        fields.extend(self.topic.call(context, inputs).await?.into_fields());
        Ok(self.answer.call(context, &fields).await?)
    }
}

fn predict(path: &str, signature: &str) -> Predict {
    Predict::new(path, Signature::parse(signature).unwrap())
}

/// A program, the inputs of its examples, and what is said.
type Misspelt = (fn() -> Box<dyn Module>, Vec<(&'static str, &'static str)>, &'static str);

#[test]
fn a_misspelt_input_of_any_program_is_an_error() {
    let image = "data:image/png;base64,iVBORw0KGgo=";
    let cases: [Misspelt; 4] = [
        (
            || Box::new(Agent::of(predict("desk", "question -> answer"))),
            vec![("qestion", "Where?")],
            "no example has the input `question` of the predictor `desk`; the first has `qestion`",
        ),
        (
            || Box::new(Agent::of(predict("desk", "question, photo: image -> answer"))),
            vec![("question", "Where?"), ("foto", image)],
            "no example has the input `photo` of the predictor `desk`; the first has `question`, `foto`",
        ),
        (
            || Box::new(predict("see", "picture: image -> answer")),
            vec![("pictures", image)],
            "no example has the input `picture` of the predictor `see`; the first has `pictures`",
        ),
        (
            || {
                let answer = predict("answer", "topic, style -> answer");
                Box::new(Styled { topic: predict("topic", "question -> topic"), answer })
            },
            vec![("question", "Where?"), ("stile", "short")],
            "no example has the input `style` of the predictor `answer`; the first has `question`, `stile`",
        ),
    ];
    for (name, build) in ALL {
        for (program, inputs, expected) in &cases {
            let model: Arc<dyn LanguageModel> =
                Arc::new(ScriptedLm::new(|_| Ok(ScriptedLm::chat_reply([("topic", "x"), ("answer", "y")]))));
            let mut program = program().with_metric(metric_fn(|_: &Example, _: &Prediction| true));
            let row = |number: u64| {
                let fields = inputs.iter().map(|(name, value)| (*name, serde_json::Value::from(*value)));
                let names = inputs.iter().map(|(name, _)| *name);
                Example::new(fields.chain([("number", number.into())]), names)
            };
            let options = RunOptions::builder().task_model(model).max_calls(400).build();
            let ended = block_on(build(options).compile(&mut program, (0..8).map(row).collect()));
            let Err(Error::Data { reason }) = ended else { panic!("{name}: a run, not {expected}") };
            assert!(reason.contains(expected), "{name}: {reason}");
        }
    }
}

/// A run of which every reply of the original is cut off; what was asked for as `max_tokens`.
fn cut(
    profile: ModelProfile,
    options: impl Fn(Arc<dyn LanguageModel>) -> RunOptions,
) -> (Outcome, Vec<Option<u32>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bounds = Arc::clone(&seen);
    let model = lm_fn(profile, move |request: LmRequest| {
        bounds.lock().unwrap().push(request.sampling.max_tokens);
        let text = "[[ ## answer ## ]]\nyes";
        let cut = Completion::new(text).with_finish_reason(FinishReason::Length);
        async move { Ok(LmReply::new(vec![cut], Usage::call(9, 9))) }
    });
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let outcome =
        block_on(ALL[3].1(options(Arc::new(model))).compile(&mut program, rows("question"))).unwrap();
    let seen = seen.lock().unwrap().clone();
    (outcome, seen)
}

#[test]
fn a_bound_that_nobody_set_is_told_with_its_number() {
    let tokens = |model| RunOptions::builder().task_model(model).max_tokens(2_000_000).build();
    let price = Price::new(Money::from_nanos(1), Money::from_nanos(1));
    let money =
        |model| RunOptions::builder().task_model(model).max_cost(Money::from_nanos(1_000_000_000)).build();
    let plain = ModelProfile::new("m").with_price(price);
    for (profile, number) in [(plain.clone(), 4096), (plain.clone().with_reasons(true), 16_384)] {
        for options in [&tokens as &dyn Fn(_) -> _, &money] {
            let (outcome, seen) = cut(profile.clone(), options);
            assert!(seen.iter().all(|bound| *bound == Some(number)), "{seen:?}");
            let said = format!("`max_tokens = {number}` was added to requests");
            let notes: Vec<_> = outcome.notes.iter().filter(|note| note.contains(&said)).collect();
            let cut = format!("{} replies were cut off there", seen.len());
            assert!(notes.len() == 1 && notes[0].contains(&cut), "{cut}: {:?}", outcome.notes);
        }
    }
    // Nothing is added, and nothing is said, where somebody set it or where no limit needs it.
    let calls = |model| RunOptions::builder().task_model(model).max_calls(100).build();
    let quiet = [cut(plain.clone().with_max_tokens(50), tokens), cut(plain, calls)];
    for (outcome, seen) in quiet {
        assert!(seen.iter().all(Option::is_none), "{seen:?}");
        assert!(!outcome.notes.iter().any(|note| note.contains("was added")), "{:?}", outcome.notes);
    }
}

#[test]
fn a_limited_run_says_that_it_does_not_count_what_a_program_calls_by_itself() {
    let run = |max_calls: Option<u64>, outage: Option<&'static str>| {
        let calls_by_itself = move |_: CallContext, _: Arc<[Text]>, _: Fields| async move {
            match outage {
                Some(words) => Err(anyhow::anyhow!(words).context("while asking the service")),
                None => Ok(Prediction::from_iter([("answer", "yes")])),
            }
        };
        let program = module_fn("hidden caller", [Text::new("answer", "Answer.")], calls_by_itself);
        let mut program = program.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
        let model: Arc<dyn LanguageModel> = Arc::new(HiddenRules::new(4, 1).model(1));
        let options = RunOptions::builder().task_model(model).maybe_max_calls(max_calls).build();
        block_on(ALL[0].1(options).compile(&mut program, rows("question")))
    };
    let told = |outcome: Outcome| {
        outcome
            .notes
            .into_iter()
            .find(|note| note.contains("made no call that promptopt could count"))
            .unwrap()
    };
    let words = "so max_calls = 100 limits nothing";
    let note = told(run(Some(100), None).unwrap());
    assert!(note.contains(words), "{note}");
    let page = Report::new("hidden", run(Some(100), None).unwrap()).to_html().unwrap();
    assert!(page.contains(words), "the report does not say it");
    assert!(!told(run(None, None).unwrap()).contains(words));
    // An outage of it says nothing about a prompt: nothing was learnt, and that is an error.
    for outage in [
        "HTTP status server error (503 Service Unavailable) for url (https://a.example/)",
        "operation timed out",
    ] {
        let Err(Error::Model { message }) = run(Some(100), Some(outage)) else {
            panic!("{outage}: something went through")
        };
        assert!(message.contains(outage), "{message}");
    }
}

#[test]
fn a_call_by_a_client_of_the_programs_own_is_held_to_the_limits_of_the_run() {
    let made = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&made);
    let program = module_fn(
        "own client",
        [Text::new("answer", "Answer.")],
        move |context: CallContext, texts: Arc<[Text]>, inputs: Fields| {
            let made = Arc::clone(&counted);
            async move {
                let text = texts.first().map_or("", |text| text.in_force(&context));
                let request =
                    serde_json::json!({"model": "m", "system": text, "inputs": inputs, "max_tokens": 9});
                let call = async {
                    made.fetch_add(1, Ordering::SeqCst);
                    Ok(("yes".to_owned(), Usage::call(50, 9)))
                };
                let answer = context.metered("own/m", &request, call).await?;
                Ok(Prediction::from_iter([("answer", answer)]))
            }
        },
    );
    let mut program = program.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
    let model: Arc<dyn LanguageModel> = Arc::new(HiddenRules::new(4, 1).model(1));
    let prices = Prices::default().with("own/m", Price::new(Money::from_nanos(1), Money::from_nanos(2)));
    let options = RunOptions::builder().task_model(model).max_calls(60).prices(prices).build();
    let outcome = block_on(ALL[0].1(options).compile(&mut program, rows("question"))).unwrap();
    let calls = made.load(Ordering::SeqCst);
    assert!(calls > 0 && calls <= 60, "{calls}");
    assert_eq!(outcome.spending.task.calls, calls);
    assert_eq!(outcome.spending.task.prompt_tokens, 50 * calls);
    assert!(outcome.spending.task.money.is_some());
    assert!(!outcome.notes.iter().any(|note| note.contains("could count")), "{:?}", outcome.notes);
}

#[test]
fn a_predictor_that_is_listed_and_never_asked_is_named() {
    let predictor = |path: &str| Predict::new(path, Signature::parse("question -> answer").unwrap());
    let program = module_fn(
        "half",
        [predictor("asked"), predictor("forgotten")],
        |context: CallContext, predictors: Arc<[Predict]>, inputs: Fields| async move {
            Ok(predictors[0].call(&context, &inputs).await?)
        },
    );
    let mut program = program.with_metric(metric_fn(|_: &Example, _: &Prediction| true));
    let model: Arc<dyn LanguageModel> = Arc::new(HiddenRules::new(4, 1).model(1));
    let options = RunOptions::builder().task_model(model).max_calls(200).build();
    let outcome = block_on(ALL[0].1(options).compile(&mut program, rows("question"))).unwrap();
    let note = outcome.notes.iter().find(|note| note.contains("was not asked")).unwrap();
    assert!(note.starts_with("`forgotten` was not asked in any of the "), "{note}");
}
