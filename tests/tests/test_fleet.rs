//! Rollouts that others make: whatever makes them, and whatever happens to those who do, the outcome is the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Fields, Prediction};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, lm_fn};
use promptopt_core::program::{CallContext, Cancellation, Module, ModuleExt as _, Predictor, Unavailable};
use promptopt_core::trace::FailureKind;
use promptopt_fleet::{Coordinating, Fleet, Identity, LocalTransport, OnWorkers, Worker, Working};
use promptopt_run::{Executor, Optimizer as _};
use promptopt_store::{Cache, CacheMode, StoredModel};
use serde_json::Value;

use crate::recorded::{Counting, on, task};

pub(crate) fn identity() -> Identity {
    Identity::new([("program".to_owned(), ContentHash::of("p"))])
}

/// What a run of one process or of a fleet comes to, with the number and the sum of its requests.
pub(crate) async fn outcome(
    name: &str,
    kind: &str,
    executor: Option<Arc<dyn Executor>>,
    budget: Option<u64>,
) -> (Value, (u64, u64)) {
    outcome_on(name, kind, executor, budget, |counting| counting).await
}

/// A model that counts its requests, or something around it.
type Around = fn(Arc<Counting>) -> Arc<dyn LanguageModel>;

async fn outcome_on(
    name: &str,
    kind: &str,
    executor: Option<Arc<dyn Executor>>,
    budget: Option<u64>,
    around: Around,
) -> (Value, (u64, u64)) {
    let (program, metric, model, rows) = task(name, 3);
    let counting = Arc::new(Counting { model, requests: Mutex::default() });
    let optimizer = on(kind, around(Arc::clone(&counting)), 3, budget, 8, executor);
    let mut program = program.with_metric(metric);
    let outcome = optimizer.compile(&mut program, rows).await.unwrap();
    let mut outcome = serde_json::to_value(outcome).unwrap();
    forget_times(&mut outcome);
    let requests = *counting.requests.lock().unwrap();
    (outcome, requests)
}

/// When a step was made is no part of a result.
fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("time");
            fields.values_mut().for_each(forget_times);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}

/// A worker of its own, until it is aborted.
fn worker(transport: &LocalTransport, name: &str, slots: usize) -> tokio::task::JoinHandle<()> {
    work(Arc::new(transport.clone()), name, slots)
}

/// The same over any transport.
pub(crate) fn work(transport: Arc<dyn Working>, name: &str, slots: usize) -> tokio::task::JoinHandle<()> {
    work_on(transport, name, slots, |counting| counting).0
}

fn work_on(
    transport: Arc<dyn Working>,
    name: &str,
    slots: usize,
    around: Around,
) -> (tokio::task::JoinHandle<()>, Arc<Counting>) {
    let (program, metric, model, _) = task(name, 3);
    let counting = Arc::new(Counting { model, requests: Mutex::default() });
    let worker = Worker::new(Box::new(program.with_metric(metric)), around(Arc::clone(&counting)), transport);
    let working = tokio::spawn(async move {
        worker.with_slots(slots).run(&Cancellation::new()).await.unwrap();
    });
    (working, counting)
}

fn fleet(transport: &LocalTransport) -> Arc<Fleet> {
    Arc::new(Fleet::new(Arc::new(transport.clone())).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_are_those_of_one_process() {
    for kind in ["miprov2", "copro", "gepa"] {
        for name in ["rules", "rules in two stages"] {
            for budget in [None, Some(300)] {
                let alone = outcome(name, kind, None, budget).await;
                for workers in [1, 3] {
                    let transport = LocalTransport::new();
                    let fleet = fleet(&transport);
                    let workers: Vec<_> = (0..workers).map(|_| worker(&transport, name, 2)).collect();
                    let together = outcome(name, kind, Some(fleet.clone()), budget).await;
                    assert_eq!(together, alone, "{kind} {name} {budget:?}");
                    assert!(fleet.figures().made > 0);
                    // A worker takes its job out once its result was taken.
                    for _ in 0..200 {
                        if transport.is_empty() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    assert!(transport.is_empty(), "{} jobs are left", transport.len());
                    workers.iter().for_each(tokio::task::JoinHandle::abort);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_workers_have_is_called_by_them() {
    let own: Around = |counting| Arc::new(OnWorkers::new(counting));
    for kind in ["miprov2", "copro", "gepa"] {
        for name in ["rules", "rules in two stages"] {
            let alone = outcome(name, kind, None, Some(300)).await;
            let transport = LocalTransport::new();
            let fleet = fleet(&transport);
            let workers: Vec<_> =
                (0..2).map(|_| work_on(Arc::new(transport.clone()), name, 2, own)).collect();
            let (outcome, mut requests) = outcome_on(name, kind, Some(fleet), Some(300), own).await;
            // Whoever writes instructions is with the coordinator.
            assert_eq!(requests.0, outcome["spending"]["prompt"]["calls"].as_u64().unwrap(), "{kind} {name}");
            for (working, counting) in workers {
                working.abort();
                let made = *counting.requests.lock().unwrap();
                assert!(made.0 > 0, "{kind} {name}");
                requests = (requests.0 + made.0, requests.1.wrapping_add(made.1));
            }
            assert_eq!((outcome, requests), alone, "{kind} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_and_a_queue_that_is_lost_change_nothing() {
    for kind in ["miprov2", "copro", "gepa"] {
        let name = "rules in two stages";
        let alone = outcome(name, kind, None, Some(300)).await;
        let transport = LocalTransport::new();
        let fleet = fleet(&transport);
        let deaths = Arc::new(AtomicU64::new(0));
        let trouble = {
            let (transport, deaths) = (transport.clone(), Arc::clone(&deaths));
            tokio::spawn(async move {
                for round in 0_u64.. {
                    let one = worker(&transport, name, 2);
                    tokio::time::sleep(Duration::from_millis(3 + round * 7 % 11)).await;
                    one.abort();
                    deaths.fetch_add(1, Ordering::SeqCst);
                    if round % 9 == 8 {
                        transport.forget();
                    }
                }
            })
        };
        let together = outcome(name, kind, Some(fleet.clone()), Some(300)).await;
        trouble.abort();
        assert_eq!(together, alone, "{kind}");
        assert!(deaths.load(Ordering::SeqCst) > 3, "{kind}: nothing happened");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_several_slots_leaves_when_there_is_nothing_left_to_do() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let (program, metric, model, rows) = task("rules", 3);
    let program = program.with_metric(Arc::clone(&metric));
    let (own, ..) = task("rules", 3);
    let worker = Worker::new(Box::new(own.with_metric(metric)), model.clone(), Arc::new(transport));
    let worker = worker.with_slots(4).leaving_after(Duration::from_millis(200));
    let working = tokio::spawn(async move { worker.run(&Cancellation::new()).await });
    fleet.rollout(&program, &CallContext::new(model), Arc::new(rows[0].clone())).await;
    assert_eq!(fleet.figures().made, 1);
    // It would wait for ever.
    tokio::time::timeout(Duration::from_secs(20), working).await.unwrap().unwrap().unwrap();
}

/// A program that takes its process with it, as far as a test can bear it.
struct Deadly;

#[async_trait]
impl Module for Deadly {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, _: &CallContext, _: &Fields) -> anyhow::Result<Prediction> {
        panic!("the worker dies")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_kills_its_workers_is_a_failure_of_the_program() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let (_, metric, model, rows) = task("rules", 3);
    let deadly = || Deadly.with_metric(Arc::clone(&metric));
    let worker = Worker::new(Box::new(deadly()), Arc::clone(&model), Arc::new(transport.clone()));
    let working = tokio::spawn(async move { worker.run(&Cancellation::new()).await });
    let trace = fleet.rollout(&deadly(), &CallContext::new(model), Arc::new(rows[0].clone())).await;
    let message = trace.error.unwrap().message;
    assert!(message.contains("was given to 4 workers"), "{message}");
    working.abort();
    assert!(transport.lease() > Duration::ZERO);
}

/// A program whose machine lacks what it needs, for all rows or for one.
struct Elsewhere {
    program: Box<dyn Module>,
    row: Option<String>,
}

#[async_trait]
impl Module for Elsewhere {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.program.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.program.predictors_mut()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        if self.row.as_ref().is_none_or(|row| inputs.values().any(|value| value == row)) {
            return Err(Unavailable::new("the compiler is not there").into());
        }
        self.program.run(context, inputs).await
    }
}

fn elsewhere(transport: &LocalTransport, row: Option<String>) -> Worker {
    let (program, metric, model, _) = task("rules", 3);
    let program = Elsewhere { program, row };
    Worker::new(Box::new(program.with_metric(metric)), model, Arc::new(transport.clone())).with_slots(2)
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lacks_something_leaves_its_rollouts_to_others() {
    let alone = outcome("rules", "copro", None, Some(300)).await;
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let broken = elsewhere(&transport, None);
    let leaving = tokio::spawn(async move { broken.run(&Cancellation::new()).await });
    let healthy = {
        // Not before the other one has left.
        let transport = transport.clone();
        tokio::spawn(async move {
            let left = leaving.await.unwrap();
            worker(&transport, "rules", 2);
            left
        })
    };
    assert_eq!(outcome("rules", "copro", Some(fleet), Some(300)).await, alone);
    let error = healthy.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("the compiler is not there"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_no_worker_can_do_is_a_failure_in_the_end() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let (program, metric, model, rows) = task("rules", 3);
    let row = rows[0].inputs().values().next().unwrap().as_str().unwrap().to_owned();
    let worker = elsewhere(&transport, Some(row));
    let working = tokio::spawn(async move { worker.run(&Cancellation::new()).await });
    let program = program.with_metric(metric);
    let rollout = |row: usize| {
        let context = CallContext::new(Arc::clone(&model));
        let (fleet, program, example) = (&fleet, &program, Arc::new(rows[row].clone()));
        async move { fleet.rollout(program, &context, example).await }
    };
    let (first, second) = tokio::join!(rollout(0), async {
        // The others go on, so the worker stays.
        for row in (1..20).cycle().take(60) {
            assert!(rollout(row).await.score.is_some());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        rollout(1).await
    });
    let failure = first.error.unwrap();
    assert_eq!((failure.kind, second.score.is_some()), (FailureKind::Provider, true));
    assert!(!working.is_finished());
    working.abort();
}

/// A model that tells when it is asked, and may never reply.
struct Hanging {
    model: Arc<dyn LanguageModel>,
    hangs: bool,
    asked: Cancellation,
}

#[async_trait]
impl LanguageModel for Hanging {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        self.asked.cancel();
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.model.complete(request, attempts).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollouts_that_wait_for_one_which_no_worker_has_do_not_keep_it_waiting() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let asked = Cancellation::new();
    let own = |hangs: bool| -> Arc<dyn LanguageModel> {
        let (.., model, _) = task("rules", 3);
        Arc::new(OnWorkers::new(Arc::new(Hanging { model, hangs, asked: asked.clone() })))
    };
    let start = |hangs: bool| {
        let (program, metric, ..) = task("rules", 3);
        let worker =
            Worker::new(Box::new(program.with_metric(metric)), own(hangs), Arc::new(transport.clone()));
        tokio::spawn(async move { worker.run(&Cancellation::new()).await })
    };
    let (program, metric, _, rows) = task("rules", 3);
    let program = program.with_metric(metric);
    // Equal calls that are under way are one, where replies are kept.
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, 1 << 20).unwrap();
    let model: Arc<dyn LanguageModel> = Arc::new(StoredModel::new(own(false), None, cache));
    let example = Arc::new(rows[0].clone());
    let rollout = || {
        let (fleet, program, model, example) = (&fleet, &program, Arc::clone(&model), Arc::clone(&example));
        async move { fleet.rollout(program, &CallContext::new(model), example).await }
    };
    let (first, second, ()) = tokio::time::timeout(Duration::from_secs(30), async {
        let hanging = start(true);
        tokio::join!(
            rollout(),
            async {
                asked.cancelled().await;
                rollout().await
            },
            async {
                asked.cancelled().await;
                // The second one is with a worker of one slot, and waits, when the worker of the first one dies.
                start(false);
                tokio::time::sleep(Duration::from_millis(300)).await;
                hanging.abort();
            }
        )
    })
    .await
    .unwrap();
    assert_eq!((first.usage.calls, first.score), (1, second.score));
}

/// A program that notices something where it runs.
struct Noticing(Box<dyn Module>);

#[async_trait]
impl Module for Noticing {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.0.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.0.predictors_mut()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.0.run(context, inputs).await
    }

    fn notes(&self) -> Vec<String> {
        vec!["the compiler is old".to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_workers_notice_reaches_the_run() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let (program, metric, model, _) = task("rules", 3);
    let worker = Worker::new(Box::new(Noticing(program).with_metric(metric)), model, Arc::new(transport));
    let working = tokio::spawn(async move { worker.run(&Cancellation::new()).await });
    let (outcome, _) = outcome("rules", "copro", Some(fleet), Some(100)).await;
    let notes = outcome["notes"].as_array().unwrap();
    assert_eq!(notes.iter().filter(|note| *note == "the compiler is old").count(), 1, "{notes:?}");
    working.abort();
}

/// A program that calls a model which it does not give.
struct Undeclared;

#[async_trait]
impl Module for Undeclared {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, context: &CallContext, _: &Fields) -> anyhow::Result<Prediction> {
        let other = lm_fn("another", |_: LmRequest| async { Ok(LmReply::default()) });
        context.on(Arc::new(other)).complete(LmRequest::new(Vec::new())).await?;
        Ok(Prediction::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_a_program_does_not_give_is_named_and_no_other_is_called() {
    let transport = LocalTransport::new();
    let fleet = fleet(&transport);
    let (_, metric, model, rows) = task("rules", 3);
    let program = || Undeclared.with_metric(Arc::clone(&metric));
    let worker = Worker::new(Box::new(program()), Arc::clone(&model), Arc::new(transport.clone()));
    let working = tokio::spawn(async move { worker.run(&Cancellation::new()).await });
    let began = tokio::time::Instant::now();
    let trace = fleet.rollout(&program(), &CallContext::new(model), Arc::new(rows[0].clone())).await;
    let message = trace.error.unwrap().message;
    assert!(message.contains("calls `another`, which it does not name among its models"), "{message}");
    assert_eq!(trace.usage.calls, 0);
    // It is not tried again, for which a worker rests before.
    assert!(began.elapsed() < Duration::from_secs(1));
    working.abort();
}
