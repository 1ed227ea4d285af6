//! Programs as processes, asked through their doors, with a model behind the gateway.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints exempt test functions, but not the helpers they call"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{LmError, LmReply, LmRequest, lm_fn};
use promptopt_core::money::{Limit, Usage};
use promptopt_core::program::{CallContext, Module as _, ModuleExt as _};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_core::trace::{Failure, FailureKind, Trace};
use promptopt_gateway::{App, Component, Demos, Door, Run, Serve, Url};
use promptopt_process::CommandLine;
use serde_json::json;

const TONE: &str = "Answer with one word.\r\n\r\nThe user is {user}.\n";

/// A model that says what it was told, and a note of all that it was told.
fn model() -> (Arc<dyn promptopt_core::lm::LanguageModel>, Arc<Mutex<Vec<LmRequest>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let model = lm_fn("echo", move |request: LmRequest| {
        seen.lock().unwrap().push(request.clone());
        async move {
            let said = request.messages[0].text().to_owned();
            let asked = request.messages.last().map_or("", |message| message.text());
            if asked == "away" {
                return Err(LmError::Server { status: 503, message: "busy".into(), retry_after: None });
            }
            if asked == "broke" {
                return Err(LmError::Budget { limit: Limit::Calls });
            }
            Ok(LmReply::text(format!("{said} {asked}"), Usage::call(5, 2)))
        }
    });
    (Arc::new(model), requests)
}

fn command(mode: &[&str]) -> CommandLine {
    let app = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/app.py");
    CommandLine::new("python3", std::iter::once(app).chain(mode.iter().copied()).map(str::to_owned))
}

fn app(door: Door) -> App {
    let signature = Signature::parse("question, user: str? -> answer").unwrap();
    App::new("app", signature, door).with_component(Component::new("tone", TONE))
}

fn inputs(question: &str) -> Fields {
    json!({"question": question}).as_object().unwrap().clone()
}

async fn answer(app: &App, context: &CallContext, question: &str) -> anyhow::Result<String> {
    let prediction: Prediction = app.run(context, &inputs(question)).await?;
    Ok(prediction.get_str("answer").unwrap_or_default().to_owned())
}

/// What its rollouts left so far.
fn trace(context: &CallContext) -> Arc<Trace> {
    Arc::new(Trace::new(Example::default()).with_steps(context.record().0))
}

#[tokio::test]
async fn a_process_is_asked_through_the_gateway() {
    let (model, requests) = model();
    let mut app = app(Door::Run(Run::new(command(&[]))));
    let context = CallContext::new(model);
    let own = "Answer with one word.\n\nThe user is Ann.";
    assert_eq!(answer(&app, &context, "Why?").await.unwrap(), format!("{own} Why?"));
    let request = requests.lock().unwrap().remove(0);
    assert_eq!((request.sampling.temperature, request.extra["user"].as_str()), (Some(0.0), Some("u-1")));
    let (steps, usage) = context.take_record();
    assert_eq!(usage, Usage::call(5, 2));
    let step = &steps[0];
    assert_eq!((step.predictor.as_str(), step.usage), ("tone", Usage::call(5, 2)));
    assert_eq!((step.inputs["messages"].as_str(), step.error.as_deref()), (Some("Why?"), None));
    // Another text takes the place of its own, with what the program fills in.
    let text = "Tell {user} in two words.";
    app.install(&Prompts::from_iter([("tone", Prompt::new(text))])).unwrap();
    assert_eq!(answer(&app, &context, "Why?").await.unwrap(), "Tell Ann in two words. Why?");
    // The same in force for one run alone.
    let prompts = Prompts::from_iter([("tone", Prompt::new("Be brief."))]);
    let (model, _) = self::model();
    let run = CallContext::for_run(model, Arc::new(prompts), Default::default(), 0, None);
    assert_eq!(answer(&app, &run, "Why?").await.unwrap(), "Be brief. Why?");
}

#[tokio::test]
async fn inputs_come_as_arguments_and_variables() {
    let (model, _) = model();
    let run = Run::new(command(&["args", "{question}"])).with_variables([("CUSTOMER".into(), "user".into())]);
    let app = app(Door::Run(run));
    let mut inputs = inputs("Why {not}?");
    inputs.insert("user".into(), "Bo".into());
    let given = app.run(&CallContext::new(model), &inputs).await.unwrap();
    assert_eq!(given.get_str("answer"), Some("Answer with one word.\n\nThe user is Bo. Why {not}?"));
}

#[tokio::test]
async fn what_keeps_a_model_from_replying_is_not_the_programs_failure() {
    let (model, _) = model();
    let app = app(Door::Run(Run::new(command(&[]))));
    let context = CallContext::new(model);
    let error = answer(&app, &context, "away").await.unwrap_err();
    assert_eq!(Failure::from_program(&error).kind, FailureKind::Provider);
    let error = answer(&app, &context, "broke").await.unwrap_err();
    assert!(error.chain().any(|cause| matches!(cause.downcast_ref(), Some(LmError::Budget { .. }))));
}

#[tokio::test]
async fn hostile_programs_are_bounded() {
    let (model, _) = model();
    let context = CallContext::new(model);
    let says = async |mode: &str, expected: &str| {
        let run = Run::new(command(&[mode])).with_timeout(Duration::from_secs(3));
        let error = answer(&app(Door::Run(run)), &context, "Why?").await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("sk-promptopt-"), "{text}");
        assert_eq!(Failure::from_program(&error).kind, FailureKind::Program);
    };
    says("flood", "more than 4194304 bytes").await;
    says("hang", "no answer within 3 s; it said: waiting for the clerk at").await;
    says("fail", "exit status: 1; it said: no such customer").await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_outage() {
    let (model, _) = model();
    let context = CallContext::new(model);
    let gone = || CommandLine::new("no-such-program-4711", []);
    for door in [Door::Run(Run::new(gone())), Door::Serve(Serve::new(gone()))] {
        let error = answer(&app(door), &context, "Why?").await.unwrap_err();
        assert_eq!(Failure::from_program(&error).kind, FailureKind::Provider, "{error:#}");
    }
    assert!(Url::new("no address").err().unwrap().to_string().contains("`no address` is no address"));
}

#[tokio::test]
async fn a_text_that_no_request_held_is_an_error() {
    let (model, _) = model();
    let door = || Door::Run(Run::new(command(&[])));
    let context = CallContext::new(model);
    let app = app(door()).with_component(Component::new("rules", "Never say no."));
    app.check(&[]).expect("nothing is known before it was asked");
    answer(&app, &context, "Why?").await.unwrap();
    let error = app.check(&[trace(&context)]).unwrap_err().to_string();
    assert!(error.contains("the text of `rules`"), "{error}");
    assert!(error.contains("system: Answer with one word.\n\nThe user is Ann."), "{error}");
    assert!(app.notes().is_empty(), "it asks the same twice: {:?}", app.notes());
}

#[tokio::test]
async fn a_program_that_keeps_state_between_questions_is_noticed() {
    let (model, requests) = model();
    let app = app(Door::Serve(Serve::new(command(&["serve", "counting"]))));
    let context = CallContext::new(model);
    for _ in 0..2 {
        answer(&app, &context, "Why?").await.unwrap();
    }
    assert!(app.notes()[0].contains("asked the same question twice"), "{:?}", app.notes());
    // The second asking of the first question was answered from memory and cost nothing.
    assert_eq!((requests.lock().unwrap().len(), context.record().1.calls), (2, 2));
}

#[tokio::test]
async fn texts_and_demos_that_a_program_puts_in_itself_are_told_to_it() {
    let (model, _) = model();
    let signature = Signature::parse("question -> answer").unwrap();
    let mut app = App::new("app", signature, Door::Serve(Serve::new(command(&["serve", "installing"]))))
        .with_component(Component::new("tone", "Answer with one word.").with_demos(Demos::Program));
    let context = CallContext::new(model);
    let said = answer(&app, &context, "Why?").await.unwrap();
    assert_eq!(said, "Answer with one word. [] Why?");
    app.check(&[trace(&context)]).unwrap();
    let demo = Demo::new(json!({"question": "Who?", "answer": "Ann"}).as_object().unwrap().clone());
    let mut prompt = Prompt::new("Be brief.");
    prompt.demos.push(demo);
    app.install(&Prompts::from_iter([("tone", prompt)])).unwrap();
    context.take_record();
    let said = answer(&app, &context, "Why?").await.unwrap();
    assert_eq!(said, "Be brief. [{\"question\": \"Who?\", \"answer\": \"Ann\"}] Why?");
    // What the program says of its predictor stands in the place of the call.
    let (steps, _) = context.take_record();
    let paths: Vec<&str> = steps.iter().map(|step| step.predictor.as_str()).collect();
    assert_eq!(paths, ["other", "tone"]);
    assert_eq!(steps[1].inputs["question"], "Why?");
}

#[tokio::test]
async fn demos_stand_in_their_place() {
    let (model, _) = model();
    let mut app = app(Door::Run(Run::new(command(&[]))));
    app = App::new("app", app.predictors()[0].signature().clone(), Door::Run(Run::new(command(&[]))))
        .with_component(Component::new("tone", TONE).with_demos(Demos::Place("{user}".into())));
    let mut prompt = Prompt::new("Like this:\n{user}");
    prompt.demos.push(Demo::new(json!({"messages": "Who?", "reply": "Ann"}).as_object().unwrap().clone()));
    app.install(&Prompts::from_iter([("tone", prompt)])).unwrap();
    let (context, expected) = (CallContext::new(model), "Like this:\nmessages: Who?\nreply: Ann Why?");
    assert_eq!(answer(&app, &context, "Why?").await.unwrap(), expected);
}

#[tokio::test]
async fn the_gateway_listens_where_it_is_told() {
    let (model, _) = model();
    let context = CallContext::new(model);
    let at = |address: &str| app(Door::Run(Run::new(command(&[])))).listening_at(address);
    assert!(answer(&at("localhost:0"), &context, "Why?").await.is_ok());
    for (address, says) in [("0.0.0.0:0", "stands for all addresses"), ("localhost", "needs a port")] {
        let error = answer(&at(address), &context, "Why?").await.unwrap_err();
        assert!(format!("{error:#}").contains(says), "{error:#}");
        assert_eq!(Failure::from_program(&error).kind, FailureKind::Provider);
    }
}

#[tokio::test]
async fn a_program_may_name_models_and_ask_for_embeddings() {
    let named = |name: &'static str| {
        lm_fn(name, move |request: LmRequest| async move {
            assert_eq!(request.extra.get("input").is_some(), name == "vectors");
            let text = if name == "vectors" { r#"{"data": [{"embedding": [1.5]}]}"# } else { name };
            Ok(LmReply::text(text, Usage::call(3, 0)))
        })
    };
    let context = CallContext::new(Arc::new(named("of the run")));
    let app = || app(Door::Run(Run::new(command(&["models"]))));
    assert_eq!(answer(&app(), &context, "small").await.unwrap(), "of the run");
    let app = app()
        .with_model("small", Arc::new(named("small")))
        .with_embeddings("vectors", Arc::new(named("vectors")));
    assert_eq!(app.other_models().len(), 2);
    assert_eq!(answer(&app, &context, "small").await.unwrap(), "small");
    assert_eq!(answer(&app, &context, "vectors").await.unwrap(), "1.5");
    let error = format!("{:#}", answer(&app, &context, "large").await.unwrap_err());
    assert!(error.contains("asked for the model `large`"), "{error}");
    assert!(app.notes()[0].contains("the model `large`, which the gateway does not have"));
}

#[tokio::test]
async fn a_process_that_is_stuck_makes_room_for_another() {
    let (model, _) = model();
    let context = CallContext::new(model);
    let app = app(Door::Serve(Serve::new(command(&["serve"])).with_timeout(Duration::from_secs(2))));
    let error = answer(&app, &context, "stuck").await.unwrap_err();
    assert!(format!("{error:#}").contains("no answer within 2 s"), "{error:#}");
    assert!(answer(&app, &context, "Why?").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stays_answers_many_and_is_started_anew() {
    let (model, requests) = model();
    let serve = Serve::new(command(&["serve"])).with_workers(2);
    let app = Arc::new(app(Door::Serve(serve)));
    let context = CallContext::new(model);
    let ask = |number: usize| {
        let (app, context) = (Arc::clone(&app), context.clone());
        tokio::spawn(async move { answer(&app, &context, &format!("Q{number}")).await.unwrap() })
    };
    let tasks: Vec<_> = (0..40).map(ask).collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), format!("Answer with one word.\n\nThe user is Ann. Q{number}"));
    }
    assert_eq!(requests.lock().unwrap().len(), 40);
    let error = format!("{:#}", answer(&app, &context, "die").await.unwrap_err());
    assert_eq!(
        error,
        "the program ended, or closed its standard input or output, while it was asked; it said: out of patience"
    );
    assert!(answer(&app, &context, "Q1").await.is_ok());
    assert!(answer(&app, &context, "away").await.is_err());
}

#[tokio::test]
async fn a_service_is_asked_over_http() {
    use axum::{Json, Router, routing::post};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/answer", listener.local_addr().unwrap());
    let reply = async |Json(asked): Json<serde_json::Value>| {
        let is_whole =
            asked["base_url"].as_str().is_some_and(|url| url.contains(asked["api_key"].as_str().unwrap()));
        let answer = format!("{} {} {is_whole}", asked["inputs"]["question"], asked["components"]["tone"]);
        match asked["inputs"]["question"].as_str() {
            Some("bad") => Json(json!({"error": "no such customer"})),
            _ => Json(json!({"outputs": {"answer": answer}})),
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/answer", post(reply))).await });
    let (model, _) = model();
    let context = CallContext::new(model);
    let app = app(Door::Url(Url::new(&url).unwrap()));
    let given = answer(&app, &context, "Why?").await.unwrap();
    assert_eq!(given, r#""Why?" "Answer with one word.\n\nThe user is {user}." true"#);
    let error = answer(&app, &context, "bad").await.unwrap_err();
    assert_eq!(format!("{error:#}"), "the program says: no such customer");
    let away = self::app(Door::Url(Url::new("http://127.0.0.1:9/answer").unwrap()));
    let error = answer(&away, &context, "Why?").await.unwrap_err();
    assert_eq!(Failure::from_program(&error).kind, FailureKind::Provider);
}
