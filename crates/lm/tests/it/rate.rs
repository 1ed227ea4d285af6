//! Rate control over a real socket: what a server sees of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmRequest};
use promptopt_lm::{AdaptiveConcurrency, ChatClient, Concurrency, RateControl, Timer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Server, StoppedClock, ask, completion, raw_server, serve};

fn fixed(limit: usize, clock: &Arc<StoppedClock>) -> RateControl {
    let clock = Arc::clone(clock) as Arc<dyn Timer>;
    RateControl::builder().concurrency(Concurrency::Fixed(limit)).clock(clock).build().unwrap()
}

fn adaptive(initial: usize, cool_down: Duration) -> Concurrency {
    Concurrency::Adaptive(AdaptiveConcurrency::default().with_initial(initial).with_cool_down(cool_down))
}

fn client(base_url: &str, rate: &RateControl) -> ChatClient {
    ChatClient::builder()
        .base_url(base_url)
        .model("tiny")
        .backoff_base(Duration::from_millis(2))
        .jitter_seed(1)
        .rate_control(rate.clone())
        .build()
        .unwrap()
}

/// Sends `count` requests at once; all must be answered.
async fn send_all(client: &ChatClient, count: usize) {
    let (request, any) = (ask(), Attempts::any());
    for reply in join_all((0..count).map(|_| client.complete(&request, &any))).await {
        assert_eq!(reply.unwrap().first_text(), "ok");
    }
}

/// Requests at a server: now, at most, and refused.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
    refused: AtomicUsize,
}

impl Load {
    fn enter(&self) -> usize {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        now
    }
}

/// A server that takes 5 ms for a request, and refuses those beyond `hidden` at once.
async fn busy_server(hidden: usize, refusal: Answer) -> (String, Arc<Load>) {
    let load = Arc::new(Load::default());
    let shared = Arc::clone(&load);
    let base_url = serve(move |_| {
        let (load, refusal) = (Arc::clone(&shared), refusal.clone());
        async move {
            let answer = if load.enter() > hidden {
                load.refused.fetch_add(1, Ordering::SeqCst);
                refusal
            } else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Answer::text("ok")
            };
            load.now.fetch_sub(1, Ordering::SeqCst);
            answer
        }
    })
    .await;
    (base_url, load)
}

#[tokio::test]
async fn a_hidden_limit_is_found_and_every_request_is_answered() {
    const REQUESTS: usize = 2400;
    const HIDDEN: usize = 24;
    for refusal in [Answer::error(429, "slow"), Answer::error(429, "slow").header("retry-after-ms", "3")] {
        let (base_url, load) = busy_server(HIDDEN, refusal).await;
        let rate = RateControl::builder().concurrency(adaptive(8, Duration::ZERO)).build().unwrap();
        let client = client(&base_url, &rate);
        let request = ask();
        let limits: Vec<usize> = stream::iter(0..REQUESTS)
            .map(|_| async {
                assert_eq!(client.complete(&request, &Attempts::any()).await.unwrap().first_text(), "ok");
                rate.limit()
            })
            .buffer_unordered(100)
            .collect()
            .await;
        let settled = &limits[REQUESTS / 2..];
        let mean = settled.iter().sum::<usize>() as f64 / settled.len() as f64;
        assert!((0.8..=1.2).contains(&(mean / HIDDEN as f64)), "settled at {mean}");
        let refused = load.refused.load(Ordering::SeqCst);
        assert!(refused < REQUESTS / 10, "{refused} refused");
        assert_eq!(rate.in_flight(), 0);
    }
}

#[tokio::test]
async fn two_clients_of_one_endpoint_keep_one_limit() {
    let (base_url, load) = busy_server(usize::MAX, Answer::text("never")).await;
    let rate = RateControl::builder().concurrency(Concurrency::Fixed(3)).build().unwrap();
    let (one, other) = (client(&base_url, &rate), client(&base_url, &rate));
    tokio::join!(send_all(&one, 20), send_all(&other, 20));
    assert_eq!(load.most.load(Ordering::SeqCst), 3);
    assert_eq!(one.rate_control().limit(), 3);
}

#[tokio::test]
async fn a_client_has_a_limit_of_its_own_by_default() {
    let (base_url, load) = busy_server(usize::MAX, Answer::text("never")).await;
    let client = ChatClient::builder().base_url(&base_url).model("tiny").build().unwrap();
    assert_eq!(client.rate_control().limit(), 8);
    send_all(&client, 200).await;
    assert_eq!(client.rate_control().limit(), 64);
    assert!(load.most.load(Ordering::SeqCst) <= 64);
}

#[tokio::test]
async fn nothing_is_sent_while_the_provider_wants_to_be_left_alone() {
    let dialects = [
        Answer::error(429, "slow").header("retry-after", "5"),
        Answer::error(503, "busy").header("retry-after-ms", "5000"),
        Answer::error(429, "slow")
            .header("date", "Sun, 06 Nov 1994 08:49:00 GMT")
            .header("retry-after", "Sun, 06 Nov 1994 08:49:05 GMT"),
        Answer::new(429, json!({"error": {"message": "quota", "details": [{"retryDelay": "5s"}]}})),
    ];
    let clock = Arc::new(StoppedClock::default());
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let (server_clock, log) = (Arc::clone(&clock), Arc::clone(&arrivals));
    let base_url = serve(move |_| {
        let mut log = log.lock().unwrap();
        // Every third request is refused, in one dialect after the other.
        let refusal = (log.len() % 3 == 2).then(|| dialects[log.len() / 3 % dialects.len()].clone());
        log.push((server_clock.monotonic(), refusal.is_some()));
        let answer = refusal.unwrap_or_else(|| Answer::text("ok"));
        async move { answer }
    })
    .await;
    // One at a time: what is under way when a refusal comes can not be called back.
    send_all(&client(&base_url, &fixed(1, &clock)), 24).await;
    let arrivals = arrivals.lock().unwrap();
    assert_eq!(arrivals.iter().filter(|(_, refused)| *refused).count(), 11);
    for pair in arrivals.windows(2).filter(|pair| pair[0].1) {
        assert!(pair[1].0 >= pair[0].0 + Duration::from_secs(5), "{pair:?}");
    }
}

#[tokio::test]
async fn in_a_storm_only_those_under_way_are_refused() {
    let clock = Arc::new(StoppedClock::default());
    let refused = Arc::new(AtomicUsize::new(0));
    let (server_clock, count) = (Arc::clone(&clock), Arc::clone(&refused));
    let base_url = serve(move |_| {
        let is_early = server_clock.monotonic() < Duration::from_secs(30);
        count.fetch_add(usize::from(is_early), Ordering::SeqCst);
        let limited = Answer::error(429, "slow").header("retry-after", "30");
        async move { if is_early { limited } else { Answer::text("ok") } }
    })
    .await;
    send_all(&client(&base_url, &fixed(8, &clock)), 200).await;
    assert!((1..=8).contains(&refused.load(Ordering::SeqCst)), "{refused:?}");
}

#[tokio::test]
async fn a_wait_beyond_the_bound_closes_the_endpoint_for_others() {
    let limited = Answer::error(429, "Daily limit").header("retry-after", "86400");
    let server = Server::start([limited, Answer::text("ok")]).await;
    let clock = Arc::new(StoppedClock::default());
    let rate = fixed(8, &clock);
    let client = client(&server.base_url, &rate);
    client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    assert!(error.to_string().contains("nothing was sent"), "{error}");
    assert_eq!((server.seen().len(), clock.waits().len()), (1, 0));

    clock.sleep(Duration::from_secs(86_400)).await;
    assert_eq!(client.complete(&ask(), &Attempts::any()).await.unwrap().first_text(), "ok");
}

#[tokio::test]
async fn no_minute_sees_more_requests_than_allowed() {
    const ALLOWED: u64 = 60;
    let clock = Arc::new(StoppedClock::default());
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let (server_clock, log) = (Arc::clone(&clock), Arc::clone(&arrivals));
    let base_url = serve(move |_| {
        let mut log = log.lock().unwrap();
        log.push(server_clock.monotonic());
        // Retries count as well.
        let answer = if log.len() % 5 == 0 { Answer::error(500, "no") } else { Answer::text("ok") };
        async move { answer }
    })
    .await;
    let rate = RateControl::builder()
        .concurrency(Concurrency::Fixed(1))
        .requests_per_minute(ALLOWED)
        .clock(Arc::clone(&clock) as Arc<dyn Timer>)
        .build()
        .unwrap();
    send_all(&client(&base_url, &rate), 200).await;
    let arrivals = arrivals.lock().unwrap();
    let minute = Duration::from_secs(60);
    let within = |from: Duration| arrivals.iter().filter(|at| (from..from + minute).contains(at)).count();
    let most = arrivals.iter().map(|from| within(*from)).max().unwrap();
    assert!(most <= ALLOWED as usize, "{most} in a minute");
    let pace = arrivals.len() as f64 / clock.monotonic().as_secs_f64() * 60.0;
    assert!(pace >= 0.9 * ALLOWED as f64, "{pace} a minute on average");
}

#[tokio::test]
async fn a_hidden_limit_per_minute_is_lived_with() {
    const HIDDEN: usize = 50;
    let clock = Arc::new(StoppedClock::default());
    let admitted = Arc::new(Mutex::new(Vec::new()));
    let refused = Arc::new(AtomicUsize::new(0));
    let (server_clock, log, count) = (Arc::clone(&clock), Arc::clone(&admitted), Arc::clone(&refused));
    let base_url = serve(move |_| {
        let (now, minute) = (server_clock.monotonic(), Duration::from_secs(60));
        let mut log = log.lock().unwrap();
        let recent: Vec<_> = log.iter().copied().filter(|at| now < *at + minute).collect();
        let answer = if recent.len() < HIDDEN {
            log.push(now);
            Answer::text("ok")
        } else {
            count.fetch_add(1, Ordering::SeqCst);
            let oldest = recent.first().copied().unwrap_or_default();
            let wait = (oldest + minute).saturating_sub(now).as_secs_f64();
            Answer::error(429, "slow").header("retry-after", wait.ceil().to_string())
        };
        async move { answer }
    })
    .await;
    let rate = RateControl::builder().clock(Arc::clone(&clock) as Arc<dyn Timer>).build().unwrap();
    send_all(&client(&base_url, &rate), 300).await;
    assert_eq!(admitted.lock().unwrap().len(), 300);
    // Each minute ends with a volley of what was under way, at most.
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused < 300 / HIDDEN * 64, "{refused} refused");
}

#[tokio::test]
async fn tokens_are_charged_before_and_settled_after() {
    let elapsed = async |answer: Answer| {
        let server = Server::start([answer]).await;
        let clock = Arc::new(StoppedClock::default());
        let rate = RateControl::builder()
            .tokens_per_minute(600)
            .clock(Arc::clone(&clock) as Arc<dyn Timer>)
            .build()
            .unwrap();
        let client = client(&server.base_url, &rate);
        let mut request = ask();
        request.sampling.max_tokens = Some(1000);
        for _ in 0..100 {
            client.complete(&request, &Attempts::any()).await.unwrap();
        }
        clock.monotonic().as_secs_f64()
    };
    // What the replies say is 16 tokens, and 571 come in a minute beside a burst of 30.
    let counted = elapsed(Answer::text("ok")).await;
    assert!((160.0..175.0).contains(&counted), "{counted}");
    // Without a count, the charge of 30 stays.
    let bare = json!({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]});
    let uncounted = elapsed(Answer::new(200, bare)).await;
    assert!((300.0..325.0).contains(&uncounted), "{uncounted}");
}

#[tokio::test]
async fn a_dropped_request_gives_its_place_back() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let base_url = serve(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            Answer::text("ok")
        }
    })
    .await;
    let rate = RateControl::builder().concurrency(Concurrency::Fixed(1)).build().unwrap();
    let client = Arc::new(client(&base_url, &rate));
    let spawn = || {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.complete(&ask(), &Attempts::any()).await })
    };
    let under_way = spawn();
    while served.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (next, last) = (spawn(), spawn());
    tokio::task::yield_now().await;
    assert_eq!(rate.in_flight(), 1);
    next.abort();
    assert!(next.await.unwrap_err().is_cancelled());
    under_way.abort();
    assert!(under_way.await.unwrap_err().is_cancelled());
    assert_eq!(last.await.unwrap().unwrap().first_text(), "ok");
    assert_eq!((rate.in_flight(), served.load(Ordering::SeqCst)), (0, 2));
}

#[tokio::test]
async fn trouble_pauses_growth_and_refusals_cut_the_limit() {
    for (status, expected) in [(200, 64), (400, 64), (500, 4), (503, 4), (429, 3)] {
        let clock = Arc::new(StoppedClock::default());
        let rate = RateControl::builder()
            .concurrency(adaptive(4, Duration::from_secs(1000)))
            .clock(Arc::clone(&clock) as Arc<dyn Timer>)
            .build()
            .unwrap();
        let first = if status == 200 { Answer::text("ok") } else { Answer::error(status, "no") };
        let server = Server::start([first, Answer::text("ok")]).await;
        let client = client(&server.base_url, &rate);
        let _ = client.complete(&ask(), &Attempts::any()).await;
        send_all(&client, 100).await;
        assert_eq!(rate.limit(), expected, "after HTTP {status}");

        clock.sleep(Duration::from_secs(1000)).await;
        send_all(&client, 100).await;
        assert!(rate.limit() > 4, "after HTTP {status}: {}", rate.limit());
    }
}

#[tokio::test]
async fn no_fault_keeps_a_permit() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let count = Arc::new(AtomicUsize::new(0));
    let base_url = raw_server(move |mut stream| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"}") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            }
            let body = completion("ok").to_string();
            let whole = format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len());
            let cut = whole[..whole.len() - 20].to_owned();
            let (sent, lingers) = match number {
                0 => (String::new(), true),                                 // a slow first byte
                1 => (cut.clone(), true),                                   // a slow body
                2 => (cut, false),                                          // a body cut short
                3 => (String::new(), false),                                // a connection cut at once
                4 => (format!("{HEAD}\r\n{}", " ".repeat(100_000)), false), // a huge body
                5 => (format!("{HEAD}\r\n{{\"choices\": ["), false),        // truncated JSON
                _ => (whole, false),
            };
            let _ = stream.write_all(sent.as_bytes()).await;
            if lingers {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    })
    .await;
    let rate = RateControl::builder().concurrency(adaptive(1, Duration::from_secs(60))).build().unwrap();
    let client = ChatClient::builder()
        .base_url(&base_url)
        .model("tiny")
        .timeout(Duration::from_millis(300))
        .max_reply_bytes(50_000)
        .max_retries(0)
        .rate_control(rate.clone())
        .build()
        .unwrap();
    let request = LmRequest::default();
    let mut errors = Vec::new();
    for _ in 0..6 {
        errors.push(client.complete(&request, &Attempts::any()).await.unwrap_err());
        assert_eq!((rate.in_flight(), rate.limit()), (0, 1), "{errors:?}");
    }
    assert!(matches!(
        errors[..],
        [
            LmError::Timeout { .. },
            LmError::Timeout { .. },
            LmError::Connection { .. },
            LmError::Connection { .. },
            LmError::TooLarge { limit: 50_000 },
            LmError::MalformedReply { .. },
        ]
    ));
    assert_eq!(client.complete(&request, &Attempts::any()).await.unwrap().first_text(), "ok");
}
