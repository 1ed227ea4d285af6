//! The stored model: single flight, replay, failures, secrets.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use promptopt_core::lm::{
    Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Sampling, lm_fn,
};
use promptopt_core::money::{Price, Usage};
use promptopt_store::{Journal, MAX_REPLY_BYTES, Redactor, RunDirectory, StoredModel};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{Echo, MODEL, answer, any_file_holds, ask, block_on, key, manifest, request};

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path().join("journal.redb")).unwrap();
    (folder, journal)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_requests_in_flight_share_one_call() {
    let (_folder, journal) = journal();
    let echo = Echo::slow(50);
    let model = Arc::new(StoredModel::new(echo.clone(), Some(journal), None));
    let tasks = (0..32).map(|_| {
        let model = Arc::clone(&model);
        tokio::spawn(async move { ask(&model, &request("same")).await })
    });
    for reply in join_all(tasks).await {
        assert_eq!(reply.unwrap().unwrap(), answer(&request("same")));
    }
    assert_eq!(echo.calls(), 1);
    let stats = model.stats();
    assert_eq!(stats.paid.calls, 1);
    assert_eq!(stats.shared.calls + stats.replayed.calls, 31);
}

#[tokio::test]
async fn models_on_one_journal_share_a_call_and_different_requests_do_not() {
    let (_folder, journal) = journal();
    let echo = Echo::slow(20);
    let task = StoredModel::new(echo.clone(), Some(journal.clone()), None);
    let prompt = StoredModel::new(echo.clone(), Some(journal), None);
    let same = request("same");
    let warm = same.clone().with_sampling(Sampling::default().with_temperature(1.0));
    let second = same.clone().with_sample_index(1);
    let calls = [ask(&task, &same), ask(&prompt, &same), ask(&task, &warm), ask(&task, &second)];
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(echo.calls(), 3);
}

#[tokio::test]
async fn followers_carry_on_when_the_leader_is_dropped() {
    let (_folder, journal) = journal();
    let echo = Echo::slow(50);
    let model = Arc::new(StoredModel::new(echo.clone(), Some(journal), None));
    let leader = tokio::spawn({
        let model = Arc::clone(&model);
        async move { ask(&model, &request("same")).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let follower = tokio::spawn({
        let model = Arc::clone(&model);
        async move { ask(&model, &request("same")).await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    leader.abort();
    assert_eq!(follower.await.unwrap().unwrap(), answer(&request("same")));
    assert_eq!(echo.calls(), 1);
}

#[tokio::test]
async fn a_call_that_all_gave_up_is_made_again() {
    let (_folder, journal) = journal();
    let echo = Echo::slow(300);
    let model = StoredModel::new(echo.clone(), Some(journal.clone()), None);
    let given_up = tokio::time::timeout(Duration::from_millis(20), ask(&model, &request("same"))).await;
    assert!(given_up.is_err());
    assert!(journal.is_empty().await.unwrap());
    ask(&model, &request("same")).await.unwrap();
    assert_eq!(echo.calls(), 2);
}

#[tokio::test]
async fn errors_go_to_all_who_wait_and_are_not_kept() {
    let (_folder, journal) = journal();
    let echo = Arc::new(Echo { failing: 1, delay: Duration::from_millis(20), ..Echo::default() });
    let model = StoredModel::new(echo.clone(), Some(journal.clone()), None);
    let same = request("same");
    let errors = join_all((0..8).map(|_| ask(&model, &same))).await;
    assert!(errors.iter().all(|error| matches!(error, Err(LmError::Server { status: 500, .. }))));
    assert_eq!(echo.calls(), 1);
    assert!(journal.is_empty().await.unwrap());
    assert_eq!(ask(&model, &same).await.unwrap(), answer(&same));
    assert_eq!(echo.calls(), 2);
}

#[test]
fn a_replay_costs_nothing_and_says_what_it_cost_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let echo = Arc::new(Echo::default());
    let mut replies = Vec::new();
    for life in 0..2 {
        let journal = if life == 0 { Journal::create(&path) } else { Journal::open(&path) };
        let model = StoredModel::new(echo.clone(), Some(journal.unwrap()), None);
        assert_eq!(model.profile().id, "echo");
        let texts = ["a", "b", "a"];
        replies.push(block_on(async {
            let mut replies = Vec::new();
            for text in texts {
                replies.push(ask(&model, &request(text)).await.unwrap());
            }
            replies
        }));
        let stats = model.stats();
        let (paid, replayed) = if life == 0 { (2, 1) } else { (0, 3) };
        assert_eq!((stats.paid.calls, stats.replayed.calls), (paid, replayed));
        assert_eq!(stats.paid + stats.replayed, replies[0].iter().map(|reply| reply.usage).sum());
    }
    assert_eq!(replies[0], replies[1]);
    assert_eq!(echo.calls(), 2);
}

#[test]
fn a_paid_reply_is_kept_even_if_nobody_waits_for_it_any_more() {
    let (folder, journal) = journal();
    let answered = Arc::new(Notify::new());
    let told = Arc::clone(&answered);
    let instantly = lm_fn(MODEL, move |request| {
        told.notify_one();
        ready(Ok(answer(&request)))
    });
    block_on(async {
        let model = StoredModel::new(Arc::new(instantly), Some(journal), None);
        let same = request("same");
        tokio::select! {
            biased;
            () = answered.notified() => {}
            _ = ask(&model, &same) => {}
        }
    });
    let journal = Journal::open(folder.path().join("journal.redb")).unwrap();
    assert_eq!(block_on(journal.get(&key("same"))).unwrap(), Some(answer(&request("same"))));
}

/// Answers with a text of its own.
fn says(text: String) -> impl LanguageModel {
    lm_fn("says", move |_| ready(Ok(LmReply::text(text.clone(), Usage::call(1, 1)))))
}

#[test]
fn a_reply_too_large_to_keep_is_an_error_of_this_call_alone() {
    let (_folder, journal) = journal();
    let model = StoredModel::new(Arc::new(says("x".repeat(MAX_REPLY_BYTES))), Some(journal.clone()), None);
    let error = block_on(ask(&model, &request("a"))).unwrap_err();
    assert!(matches!(error, LmError::TooLarge { limit: MAX_REPLY_BYTES }), "{error}");
    assert_eq!(model.stats().paid.calls, 1);
    let model = StoredModel::new(Arc::new(Echo::default()), Some(journal), None);
    assert!(block_on(ask(&model, &request("b"))).is_ok());
}

#[test]
fn a_model_without_a_store_still_works() {
    let echo = Arc::new(Echo::default());
    let model = StoredModel::new(echo.clone(), None, None);
    let same = request("same");
    assert!(ask(&model, &same).now_or_never().unwrap().is_ok());
    assert!(ask(&model, &same).now_or_never().unwrap().is_ok());
    assert_eq!(echo.calls(), 2);
    // Draws are as many at the same time as they are one after the other.
    let slow = Echo::slow(5);
    let model = StoredModel::new(slow.clone(), None, None);
    let replies = block_on(join_all((0..3).map(|_| ask(&model, &same))));
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!((slow.calls(), model.stats().paid.calls), (3, 3));
}

#[test]
fn a_secret_that_a_provider_echoes_lands_nowhere() {
    const CANARY: &str = "sk-canary-\"4711\"-\\";
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let redactor = Redactor::new([SecretString::from(CANARY)]);
    let said = Arc::new(says(format!("your key is {CANARY}, isn't it?")));
    let mut manifest = manifest(1);
    manifest.configuration = json!({"header": CANARY, CANARY: [CANARY]});
    let same = request("same");
    let first = {
        let run = RunDirectory::create(&place, &manifest, redactor.clone()).unwrap();
        let model = StoredModel::new(said.clone(), Some(run.journal().clone()), None);
        let reply = block_on(ask(&model, &same)).unwrap();
        run.events().append(&json!({"message": CANARY, CANARY: 1})).unwrap();
        run.write_result("outcome.json", &json!({"message": CANARY})).unwrap();
        run.write_text("report.html", &format!("<p>{CANARY}</p>{}", json!(CANARY))).unwrap();
        reply
    };
    assert_eq!(first.first_text(), "your key is [redacted], isn't it?");
    let run = RunDirectory::open(&place, redactor).unwrap();
    run.check(&manifest).unwrap();
    let model = StoredModel::new(said, Some(run.journal().clone()), None);
    assert_eq!(block_on(ask(&model, &same)).unwrap(), first);
    assert_eq!(model.stats().paid.calls, 0);
    drop((model, run));
    assert!(!any_file_holds(folder.path(), "canary"));
    assert!(any_file_holds(folder.path(), "your key is [redacted]"));
}

/// Asks whether it may try again, as a client with retries does.
struct Retrying;

#[async_trait]
impl LanguageModel for Retrying {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("retrying")
            .with_price(Price::FREE)
            .with_max_tokens(17)
            .with_max_attempts_billed(2)
            .with_token_counter(|_| 4)
    }

    async fn complete(&self, _request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let calls = if attempts.another() { 2 } else { 1 };
        Ok(LmReply::text("done", Usage::calls(calls)))
    }
}

#[test]
fn what_is_known_of_the_model_and_the_permission_to_try_again_are_handed_on() {
    let (_folder, journal) = journal();
    for journal in [None, Some(journal)] {
        let model = StoredModel::new(Arc::new(Retrying), journal, None);
        let profile = model.profile();
        assert_eq!((profile.id.as_str(), profile.price), ("retrying", Some(Price::FREE)));
        assert_eq!((profile.max_tokens, profile.max_attempts_billed), (Some(17), 2));
        assert_eq!(profile.count_tokens(&request("a")), Some(4));
        let none = Attempts::asking(|| false);
        assert_eq!(block_on(model.complete(&request("a"), &none)).unwrap().usage.calls, 1);
        assert_eq!(block_on(ask(&model, &request("b"))).unwrap().usage.calls, 2);
    }
}
