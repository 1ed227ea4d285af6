//! Programs that mean no good: what they do is bounded, it is said what is wrong, and nobody else is harmed.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the lints exempt test functions, but not the helpers they call")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promptopt_core::data::Fields;
use promptopt_core::lm::{LanguageModel, LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Module as _};
use promptopt_core::signature::Signature;
use promptopt_core::trace::{Failure, FailureKind};
use promptopt_gateway::{App, Component, Door, Gateway, Run, Serve, Url};
use promptopt_process::CommandLine;
use serde_json::{Value, json};

/// A model that takes its time, and the number of its calls.
fn model() -> (Arc<dyn LanguageModel>, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let model = lm_fn("echo", move |request: LmRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(LmReply::text(request.messages.last().unwrap().text(), Usage::call(5, 2)))
        }
    });
    (Arc::new(model), calls)
}

fn command(arguments: &[&str]) -> CommandLine {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile.py");
    CommandLine::new("python3", std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned))
}

fn app(door: Door) -> App {
    App::new("app", Signature::parse("question -> answer").unwrap(), door)
        .with_component(Component::new("tone", "Answer."))
}

fn run(mode: &str) -> App {
    app(Door::Run(Run::new(command(&[mode])).with_timeout(Duration::from_secs(60))))
}

fn serve(mode: &str, seconds: u64) -> App {
    app(Door::Serve(Serve::new(command(&["serve", mode])).with_timeout(Duration::from_secs(seconds))))
}

async fn ask(app: &App, context: &CallContext, question: &str) -> anyhow::Result<String> {
    let inputs: Fields = json!({"question": question}).as_object().unwrap().clone();
    Ok(app.run(context, &inputs).await?.get_str("answer").unwrap_or_default().to_owned())
}

/// The error of a program, which is its own failure.
async fn fails(app: &App, context: &CallContext, question: &str) -> String {
    let error = ask(app, context, question).await.unwrap_err();
    let text = format!("{error:#}");
    assert_eq!(Failure::from_program(&error).kind, FailureKind::Program, "{text}");
    assert!(!text.contains("sk-promptopt-") && text.len() < 2_000, "{text}");
    text
}

#[tokio::test]
async fn a_flood_is_stopped_at_the_most_calls_and_harms_nobody() {
    let (model, calls) = model();
    let gateway = Arc::new(Gateway::start().await.unwrap());
    let seen = tempfile::NamedTempFile::new().unwrap();
    let flood = run("flood").with_calls(7).with_gateway(Arc::clone(&gateway));
    let other = run("deaf").with_gateway(gateway);
    let (ours, others) = (CallContext::new(Arc::clone(&model)), CallContext::new(model));
    let (flooded, answered) = tokio::join!(
        fails(&flood, &ours, seen.path().to_str().unwrap()),
        ask(&other, &others, "Are you there?")
    );
    assert!(flooded.contains("more than 7 calls") && flooded.contains("`max_calls`"), "{flooded}");
    assert_eq!(answered.unwrap(), "Are you there?");
    let seen: Value = serde_json::from_reader(seen).unwrap();
    assert_eq!((&seen[0], &seen[1]), (&json!(2000), &json!(7)), "{seen}");
    let said = seen[2].as_str().unwrap();
    assert!(said.contains("insufficient_quota") && said.contains("`max_calls`"), "{said}");
    // The books are those of the server.
    assert_eq!((ours.record().1, others.record().1), (Usage::call(5, 2).times(7), Usage::call(5, 2)));
    assert_eq!(calls.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_request_of_100_mb_is_refused_with_its_reason() {
    let (model, calls) = model();
    let before = most_memory();
    let said = fails(&run("large"), &CallContext::new(model), "Why?").await;
    assert!(said.contains("the program sent a request of more than 64 MiB: send less"), "{said}");
    assert!(said.contains("HTTP 413"), "{said}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let grown = most_memory().saturating_sub(before);
    assert!(grown < 64 << 20, "it took {grown} bytes");
}

/// The most memory that this process had, in bytes; 0 where the system does not say.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

#[tokio::test]
async fn the_key_of_a_rollout_that_is_over_opens_nothing() {
    let (model, calls) = model();
    let gateway = Arc::new(Gateway::start().await.unwrap());
    let over = gateway.open(CallContext::new(Arc::clone(&model)), []);
    let key = over.key().to_owned();
    over.close().await;
    let context = CallContext::new(model);
    let stranger = run("stranger").with_gateway(gateway);
    for key in [key.as_str(), "sk-promptopt-0", "x"] {
        let said = ask(&stranger, &context, key).await.unwrap();
        assert!(said.starts_with("HTTP 401: this key is of no rollout that is under way"), "{said}");
    }
    assert_eq!((calls.load(Ordering::SeqCst), context.record().1), (0, Usage::default()));
}

#[tokio::test]
async fn connections_that_say_half_a_request_hold_up_nobody() {
    let (model, calls) = model();
    assert_eq!(ask(&run("half-open"), &CallContext::new(model), "Why?").await.unwrap(), "Why?");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_is_seen_through_where_the_program_hangs_up() {
    let (model, calls) = model();
    let context = CallContext::new(model);
    assert_eq!(ask(&run("hang-up"), &context, "Why?").await.unwrap(), "gone");
    assert_eq!((calls.load(Ordering::SeqCst), context.record().1), (1, Usage::call(5, 2)));
}

#[tokio::test]
async fn no_process_outlives_its_rollout() {
    let (model, _) = model();
    let context = CallContext::new(model);
    for mode in ["fork", "fork-away"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let answer = ask(&run(mode), &context, file.path().to_str().unwrap()).await.unwrap();
        assert_eq!(answer, "I have a child");
        let child = std::fs::read_to_string(file.path()).unwrap();
        assert!(is_gone(&child).await, "{mode}: {child} lives");
    }
}

/// Whether a process ends soon, or is but a zombie.
async fn is_gone(id: &str) -> bool {
    let place = Path::new("/proc").join(id).join("stat");
    for _ in 0..200 {
        match std::fs::read_to_string(&place) {
            Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return true,
        }
    }
    false
}

#[tokio::test]
async fn a_program_may_say_much_and_hear_little() {
    let (model, _) = model();
    let context = CallContext::new(model);
    assert_eq!(ask(&run("shout"), &context, "Why?").await.unwrap(), "Why?");
    let deaf = app(Door::Run(Run::new(command(&["deaf", "Why?"]))));
    assert_eq!(ask(&deaf, &context, &"x".repeat(1 << 20)).await.unwrap(), "Why?");
}

#[tokio::test]
async fn programs_that_stay_are_bounded() {
    let (model, _) = model();
    let context = CallContext::new(model);
    let said = fails(&serve("endless", 60), &context, "Why?").await;
    assert!(said.contains("a line of more than 4194304 bytes"), "{said}");
    // A question that is in the pipe already waits until the time is up.
    let said = fails(&serve("closing", 3), &context, "Why?").await;
    assert!(said.contains("closed its standard input") || said.contains("no answer within 3 s"), "{said}");
    let said = fails(&serve("wrong", 2), &context, "Why?").await;
    assert!(said.contains("no answer within 2 s"), "{said}");
    let said = fails(&serve("garbage", 60), &context, "Why?").await;
    assert!(said.contains("`answer`") || said.contains("should be"), "{said}");
    let said = fails(&serve("twice", 60), &context, "mute").await;
    assert!(said.contains("closed its standard input or output"), "{said}");
    let twice = serve("twice", 60);
    for _ in 0..3 {
        assert_eq!(ask(&twice, &context, "Why?").await.unwrap(), "first");
    }
    // A question that is never answered ends the process, and the next one goes to another.
    let late = serve("late", 2);
    assert!(fails(&late, &context, "slow").await.contains("no answer within 2 s"));
    assert_eq!(ask(&late, &context, "Why?").await.unwrap(), "Why?");
}

#[tokio::test]
async fn a_service_that_answers_without_end_is_cut() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let endless = || async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65536]));
        axum::body::Body::from_stream(chunks)
    };
    let router = axum::Router::new().fallback(endless);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (model, _) = model();
    let said = fails(&app(Door::Url(Url::new(&url).unwrap())), &CallContext::new(model), "Why?").await;
    assert!(said.contains("more than 4194304 bytes"), "{said}");
}
