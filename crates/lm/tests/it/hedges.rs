//! A second request for a straggler: when it goes out, what it brings and what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use promptopt_core::lm::{Attempts, LanguageModel};
use promptopt_core::money::Usage;
use promptopt_lm::{ChatClient, Concurrency, RateControl, Timer};

use crate::support::{Answer, StoppedClock, ask, serve};

/// How the server deals with one request.
#[derive(Clone)]
enum Deal {
    /// It never answers.
    Hang,
    /// It answers so once another request has come.
    AfterNext(Answer),
    /// It answers so.
    Now(Answer),
}

/// A server that deals with one request after the other so; counts them.
async fn dealing(deals: Vec<Deal>) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let base_url = serve(move |_| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        let (deal, seen) = (deals.get(number).cloned().unwrap(), Arc::clone(&seen));
        async move {
            match deal {
                Deal::Hang => std::future::pending().await,
                Deal::AfterNext(answer) => {
                    while seen.load(Ordering::SeqCst) == number + 1 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    answer
                }
                Deal::Now(answer) => answer,
            }
        }
    })
    .await;
    (base_url, count)
}

/// A client for which `hedge_after` has always passed.
fn hedging(base_url: &str, concurrency: usize) -> ChatClient {
    let clock = Arc::new(StoppedClock::default()) as Arc<dyn Timer>;
    let rate =
        RateControl::builder().concurrency(Concurrency::Fixed(concurrency)).clock(clock).build().unwrap();
    ChatClient::builder()
        .base_url(base_url)
        .model("tiny")
        .rate_control(rate)
        .hedge_after(Duration::from_secs(5))
        .build()
        .unwrap()
}

/// The reply's text and usage, and the requests that the server saw, for each way to deal with them.
async fn check(deals: Vec<Deal>, concurrency: usize, text: &str, usage: Usage) {
    let count = deals.len();
    let (base_url, seen) = dealing(deals).await;
    let client = hedging(&base_url, concurrency);
    let reply = client.complete(&ask(), &Attempts::any()).await.unwrap();
    assert_eq!((reply.first_text(), reply.usage), (text, usage));
    assert_eq!(seen.load(Ordering::SeqCst), count);
    assert!(usage.calls <= u64::from(client.max_attempts_billed()));
    assert_eq!(client.rate_control().in_flight(), 0);
}

fn now(text: &str) -> Deal {
    Deal::Now(Answer::text(text))
}

/// Two calls, of which one cost the 11 and 5 tokens of every reply, and the other as many or nothing.
fn two_calls(of_cost: u64) -> Usage {
    let mut usage = Usage::call(11 * of_cost, 5 * of_cost);
    usage.calls = 2;
    usage
}

#[tokio::test]
async fn a_straggler_is_overtaken_and_both_are_counted() {
    check(vec![Deal::Hang, now("second")], 2, "second", two_calls(2)).await;
    check(vec![Deal::AfterNext(Answer::text("first")), Deal::Hang], 2, "first", two_calls(2)).await;
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_its_chance() {
    let broken = Deal::Now(Answer::error(500, "no"));
    check(vec![Deal::AfterNext(Answer::text("first")), broken], 2, "first", two_calls(1)).await;
}

#[tokio::test]
async fn one_call_has_one_hedge_whatever_is_tried_again() {
    let broken = || Answer::error(500, "no");
    let deals = vec![Deal::AfterNext(broken()), Deal::Now(broken()), now("third")];
    check(deals, 2, "third", two_calls(1)).await;
}

#[tokio::test]
async fn without_room_there_is_no_hedge() {
    check(vec![now("alone")], 1, "alone", Usage::call(11, 5)).await;
}

#[tokio::test]
async fn one_attempt_more_with_a_hedge() {
    let client = ChatClient::builder().model("tiny").build().unwrap();
    assert_eq!(client.max_attempts_billed(), 6);
    let client = ChatClient::builder().model("tiny").hedge_after(Duration::MAX).build().unwrap();
    assert_eq!(client.max_attempts_billed(), 7);
}
