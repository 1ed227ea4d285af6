//! Limits that the provider keeps to itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use promptopt_core::program::ModuleExt as _;
use promptopt_lm::{AdaptiveConcurrency, ChatClient, Concurrency, RateControl};
use promptopt_run::{Run, RunOptions, evaluate};
use promptopt_testkit::{Answer, FaultPlan, FaultServer, ScriptedLm, Seen, around, toy};

use super::support::{Setup, Which};
use crate::support::{numbered, text};

const HIDDEN: usize = 24;
const REQUESTS: usize = 1600;

fn count(log: &[Seen], answer: Answer) -> usize {
    log.iter().filter(|seen| seen.answer == answer).count()
}

fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_hidden_limit_on_requests_at_once_the_controller_settles() {
    let model = Arc::new(ScriptedLm::new(|_| Ok(ScriptedLm::chat_reply([("answer", "yes")]))));
    let plan = FaultPlan::new(0).latency(Duration::from_millis(50)).hidden_concurrency(HIDDEN);
    let server = FaultServer::start(model, plan).await.unwrap();
    let adaptive = AdaptiveConcurrency::default().with_cool_down(Duration::from_millis(100));
    let rate = RateControl::builder().concurrency(Concurrency::Adaptive(adaptive)).build().unwrap();
    let client = ChatClient::builder()
        .base_url(server.base_url())
        .model("simulated")
        .rate_control(rate.clone())
        .jitter_seed(1)
        .build()
        .unwrap();
    // The limit at the moment of every reply.
    let limits = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&limits);
    let watched = around(client, move |next, request| {
        let (noted, rate) = (Arc::clone(&noted), rate.clone());
        async move {
            let reply = next.complete(&request).await;
            noted.lock().unwrap().push(rate.limit());
            reply
        }
    });
    let program = toy::answerer().with_metric(toy::exact_answer());
    let options = RunOptions::builder().task_model(Arc::new(watched)).concurrency(64).build();
    let mut run = Run::of(&program, options).unwrap();
    let examples: Vec<_> = numbered(REQUESTS).into_iter().map(Arc::new).collect();
    let evaluation = evaluate(&mut run, &Arc::default(), &examples).await.unwrap();
    let log = server.log().await;
    assert_eq!((evaluation.estimate.n, evaluation.estimate.missing), (REQUESTS, 0));

    let limits = limits.lock().unwrap().split_off(REQUESTS / 2);
    let seen = log[log.len() / 2..].iter().map(|seen| seen.under_way).collect();
    let refused = count(&log, Answer::TooManyAtOnce);
    let (limit, seen) = (median(limits), median(seen));
    println!("limit {limit}, seen {seen}; {refused} refused");
    assert!((20..=28).contains(&limit), "{limit}");
    assert!((1..REQUESTS / 10).contains(&refused), "{refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_hidden_limit_per_minute_the_run_ends_as_without() {
    const A_MINUTE: usize = 30;
    for which in Which::ALL {
        let expected = Setup::new(FaultPlan::new(0)).run(which).await;
        let plan = FaultPlan::new(0).hidden_rate(A_MINUTE, Duration::from_secs(60));
        let run = Setup { concurrency: 32, ..Setup::new(plan) }.run(which).await;
        assert_eq!(text(run.outcome()), text(expected.outcome()), "{which:?}");
        let (answered, refused) = (count(&run.log, Answer::Reply), count(&run.log, Answer::TooFast));
        println!("{which:?}: {answered} answered, {refused} refused");
        // Each minute ends with one refusal at least, and with some for those under way: fewer than one a request.
        assert!(
            ((answered - 1) / A_MINUTE..answered).contains(&refused),
            "{which:?}: {refused} of {answered}"
        );
    }
}
