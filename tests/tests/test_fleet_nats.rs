//! A fleet over a real nats-server with JetStream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promptopt_core::data::{ContentHash, Example, Fields, Prediction};
use promptopt_core::lm::{LmReply, LmRequest, Message, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Cancellation, ModuleExt as _, Text, module_fn};
use promptopt_fleet::nats::{NatsCoordinator, NatsCredentials, NatsOptions, NatsWorker};
use promptopt_fleet::{Error, Fleet, Identity, Worker};
use promptopt_run::Executor as _;
use promptopt_testkit::{NatsServer, toy};

use crate::test_fleet::{identity, outcome, work};

/// A server with JetStream and what the arguments say; `None` where the test is skipped.
pub(crate) fn server(arguments: &[&str]) -> Option<NatsServer> {
    NatsServer::start_or_skip("127.0.0.1", arguments).unwrap()
}

pub(crate) fn options(server: &NatsServer) -> NatsOptions {
    NatsOptions::new(server.url()).with_lease(Duration::from_secs(2))
}

async fn fleet(server: &NatsServer, run: &str) -> Arc<Fleet> {
    let transport = NatsCoordinator::connect(options(server), identity(), run.to_owned()).await.unwrap();
    Arc::new(Fleet::of_run(Arc::new(transport), run.to_owned()))
}

async fn worker(server: &NatsServer, name: &str, slots: usize) -> tokio::task::JoinHandle<()> {
    let transport = NatsWorker::connect(options(server), identity()).await.unwrap();
    work(Arc::new(transport), name, slots)
}

/// How many jobs are in the queue.
async fn left(server: &NatsServer) -> u64 {
    let client = async_nats::connect(format!("127.0.0.1:{}", server.port())).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream("promptopt_jobs").await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_over_a_server_are_those_of_one_process() {
    let Some(server) = server(&["-js"]) else { return };
    let name = "rules in two stages";
    for (kind, workers) in [("miprov2", 1), ("copro", 3), ("gepa", 8)] {
        let alone = outcome(name, kind, None, Some(300)).await;
        let fleet = fleet(&server, kind).await;
        let mut working = Vec::new();
        for _ in 0..workers {
            working.push(worker(&server, name, 2).await);
        }
        let together = outcome(name, kind, Some(fleet.clone()), Some(300)).await;
        assert_eq!(together, alone, "{kind}");
        fleet.close().await;
        assert_eq!(left(&server).await, 0, "{kind}");
        working.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_forgets_changes_nothing() {
    let Some(mut server) = server(&["-js"]) else { return };
    let name = "rules in two stages";
    let alone = outcome(name, "copro", None, Some(300)).await;
    let fleet = fleet(&server, "faults").await;
    let one = worker(&server, name, 2).await;
    let other = worker(&server, name, 2).await;
    let asked = fleet.clone();
    let together = tokio::spawn(async move { outcome(name, "copro", Some(asked), Some(300)).await });
    let mut kills = 0;
    while !together.is_finished() && kills < 3 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.begin().unwrap();
        kills += 1;
        if kills == 2 {
            one.abort();
        }
    }
    assert_eq!(together.await.unwrap(), alone, "after {kills} kills");
    assert!(kills > 0);
    other.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_larger_than_the_server_takes_travel_too() {
    let Some(server) = server(&["-js"]) else { return };
    large_messages_travel(options(&server), options(&server)).await;
}

/// A rollout whose request and reply are larger than a message may be. The worker is there before the coordinator.
pub(crate) async fn large_messages_travel(of_coordinator: NatsOptions, of_worker: NatsOptions) {
    // Nothing that could be compressed.
    let noise = |seed: u64| -> String {
        let words = (0..120_000_u64).map(|at| ContentHash::of(&(seed, at)).to_string());
        words.collect::<Vec<_>>().concat()
    };
    let program = move || {
        let module = module_fn(
            "large",
            [Text::new("t", "T")],
            move |context: CallContext, _: Arc<[Text]>, inputs: Fields| async move {
                let sent = noise(1);
                let reply = context.complete(LmRequest::new(vec![Message::user(sent.clone())])).await?;
                assert_eq!(reply.first_text(), sent);
                Ok(Prediction::new(inputs))
            },
        );
        module.with_metric(toy::exact_answer())
    };
    let echo = lm_fn("echo", |request: LmRequest| async move {
        Ok(LmReply::text(request.messages[0].text(), Usage::call(1, 1)))
    });
    let model = Arc::new(echo);
    let transport = NatsWorker::connect(of_worker, identity()).await.unwrap();
    let worker = Worker::new(Box::new(program()), model.clone(), Arc::new(transport));
    let leave = Cancellation::new();
    let leaving = leave.clone();
    let working = tokio::spawn(async move { worker.run(&leaving).await });
    let transport = NatsCoordinator::connect(of_coordinator, identity(), "large".to_owned()).await.unwrap();
    let fleet = Fleet::of_run(Arc::new(transport), "large".to_owned());
    let example = Arc::new(Example::new([("question", "q"), ("answer", "q")], ["question"]));
    let trace = fleet.rollout(&program(), &CallContext::new(model), example).await;
    assert!(trace.error.is_none() || trace.prediction.is_some(), "{:?}", trace.error);
    assert_eq!(trace.usage.calls, 1);
    leave.cancel();
    working.await.unwrap().unwrap();
}

/// A worker on a thread of its own, with no thread besides.
fn lone_worker(
    server: &NatsServer,
    program: impl promptopt_core::program::Evaluator + 'static,
    leave: Cancellation,
) -> std::thread::JoinHandle<()> {
    let options = options(server);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let transport = NatsWorker::connect(options, identity()).await.unwrap();
            let silent = lm_fn("silent", |_| async { Ok(LmReply::text("", Usage::default())) });
            let worker = Worker::new(Box::new(program), Arc::new(silent), Arc::new(transport));
            worker.run(&leave).await.unwrap();
        });
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_computes_for_longer_than_its_lease_keeps_it() {
    let Some(server) = server(&["-js"]) else { return };
    let made = Arc::new(AtomicU64::new(0));
    let program = || {
        let made = Arc::clone(&made);
        let module = module_fn(
            "busy",
            [Text::new("t", "T")],
            move |_: CallContext, _: Arc<[Text]>, inputs: Fields| {
                let made = Arc::clone(&made);
                async move {
                    made.fetch_add(1, Ordering::SeqCst);
                    // No task of the worker's runtime goes on meanwhile; the lease is 2 s.
                    std::thread::sleep(Duration::from_secs(5));
                    Ok(Prediction::new(inputs))
                }
            },
        );
        module.with_metric(toy::exact_answer())
    };
    let fleet = fleet(&server, "busy").await;
    let leave = Cancellation::new();
    // The second one would get what the first one loses.
    let workers = [(); 2].map(|()| lone_worker(&server, program(), leave.clone()));
    let example = Arc::new(Example::new([("question", "q"), ("answer", "q")], ["question"]));
    let silent = Arc::new(lm_fn("silent", |_| async { Ok(LmReply::text("", Usage::default())) }));
    fleet.rollout(&program(), &CallContext::new(silent), example).await;
    leave.cancel();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(made.load(Ordering::SeqCst), 1);
    let figures = fleet.figures();
    assert_eq!((figures.made, figures.offered_again, figures.dropped), (1, 0, 0));
    assert_eq!(left(&server).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_said() {
    let refused = async |options: NatsOptions, words: &str| {
        let error = NatsWorker::connect(options, identity()).await.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("canary"), "{error}");
    };
    let away = NatsOptions::new("nats://user:canary@127.0.0.1:9");
    refused(away.clone(), "nats://127.0.0.1:9 cannot be used").await;
    refused(away, "start one with `nats-server -js`").await;
    refused(NatsOptions::new("nats://x").with_prefix("a.b"), "`prefix` may have").await;
    let Some(plain) = server(&[]) else { return };
    refused(options(&plain), "JetStream").await;
    let guarded = server(&["-js", "--auth", "canary"]).unwrap();
    refused(options(&guarded), "refuses the credentials").await;
    let with = options(&guarded).with_credentials(NatsCredentials::Token("canary".into()));
    NatsWorker::connect(with, identity()).await.unwrap();

    let server = server(&["-js"]).unwrap();
    let _fleet = fleet(&server, "skew").await;
    let other = Identity::new([("program".to_owned(), ContentHash::of("another"))]);
    let error = NatsWorker::connect(options(&server), other).await.err().unwrap();
    assert!(matches!(&error, Error::Differs { difference } if difference == "another program"), "{error}");
    let mut older = identity();
    older.release = "0.0.1".to_owned();
    let error = NatsWorker::connect(options(&server), older).await.err().unwrap().to_string();
    assert!(error.contains("(promptopt 0.0.1 and 0."), "{error}");
    NatsWorker::connect(options(&server), identity()).await.unwrap();
}
