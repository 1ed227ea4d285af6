//! How far a fleet goes: slots that are kept busy, what a rollout costs its coordinator, work that scales with cores, and a
//! simulation of more workers than there are here.
//!
//! Needs a nats-server on the path. Workers are processes of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use promptopt_core::data::{ContentHash, Example, Fields, Prediction};
use promptopt_core::lm::{LanguageModel, LmReply, LmRequest, lm_fn};
use promptopt_core::program::{
    CallContext, Cancellation, Evaluator, ModuleExt as _, Text, metric_fn, module_fn,
};
use promptopt_core::prompt::Prompts;
use promptopt_fleet::nats::{NatsCoordinator, NatsOptions, NatsWorker};
use promptopt_fleet::{Fleet, Identity, Worker};
use promptopt_run::{RolloutJob, RolloutRunner};
use promptopt_testkit::NatsServer;

use crate::options::Options;
use crate::simulated_fleet::{Shape, simulated};
use crate::table::{Goal, Row};
use crate::{child, cpu};

/// Workers, slots of each, and how long a rollout waits for a tool.
const WORKERS: usize = 32;
const SLOTS: usize = 8;
const WAIT: Duration = Duration::from_millis(500);
/// CPU time of a rollout that computes, in rounds of a hash.
const ROUNDS: usize = 60_000;

/// The rows of this part. What is timed has no goal with `--quick`, where others use the machine as well.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let timed = |row: Row, goal: Goal| if options.quick { row } else { row.goal(goal) };
    let server = NatsServer::start("127.0.0.1", &["-js"])?;
    let (workers, waves) = if options.quick { (4, 3) } else { (WORKERS, 12) };
    let slots = workers * SLOTS;
    let took = rollouts(&server, "wait", workers, SLOTS, slots * waves, "wait").await?;
    let most = slots as f64 / WAIT.as_secs_f64();
    let case = format!("{workers} workers × {SLOTS} slots, {} ms each", WAIT.as_millis());
    let share = took.each_second / most;
    let mut rows =
        vec![timed(Row::new("fleet", case, "of slots ÷ wait", share).predicted(0.96), Goal::AtLeast(0.95))];

    let sizes: &[usize] = if options.quick { &[1000] } else { &[5_000, 20_000, 100_000] };
    let mut costs = Vec::new();
    for size in sizes {
        let took = rollouts(&server, "quick", 2, 16, *size, "none").await?;
        let case = format!("{size} rollouts that do nothing");
        let cost = Row::new("coordinator", &case, "µs CPU a rollout", took.micros).predicted(220.0);
        rows.push(timed(cost, Goal::AtMost(300.0)));
        rows.push(Row::new(
            "coordinator",
            &case,
            "rollouts a second, 2 workers on this machine",
            took.each_second,
        ));
        let [received, sent] = took.bytes;
        rows.push(Row::new("coordinator", &case, "bytes received a rollout", received));
        rows.push(Row::new("coordinator", &case, "bytes sent a rollout", sent));
        costs.push(took.micros);
    }
    if let [first, .., last] = costs.as_slice() {
        let grown = Row::new("coordinator", "largest to smallest", "× the cost a rollout", last / first);
        rows.push(timed(grown.predicted(1.0), Goal::AtMost(1.2)));
    }

    let count = if options.quick { 40 } else { 400 };
    let alone = rollouts(&server, "alone", 1, 1, count, "compute").await?;
    let both = rollouts(&server, "both", 2, 1, count, "compute").await?;
    let scale = Row::new("fleet", "work for two cores", "× one worker", both.each_second / alone.each_second);
    rows.push(timed(scale.predicted(1.9), Goal::AtLeast(1.8)));

    // What more workers would see, by the cost that was measured: a simulation and no measurement.
    let cost = Duration::from_secs_f64(costs.iter().copied().fold(0.0, f64::max) / 1e6);
    for workers in [32, 100, 300, 1000] {
        let shape = Shape { workers, slots: SLOTS, wait: WAIT, cost, latency: Duration::from_millis(1) };
        let case = format!("{workers} workers × {SLOTS} slots, 1 ms of network (simulated)");
        rows.push(Row::new("simulation", case, "of slots ÷ wait", simulated(&shape)));
    }
    Ok(rows)
}

/// What so many rollouts took.
struct Took {
    each_second: f64,
    /// CPU time of this process for each.
    micros: f64,
    /// Bytes that this process received and sent for each.
    bytes: [f64; 2],
}

/// Makes rollouts of a kind of work on workers of their own.
async fn rollouts(
    server: &NatsServer,
    run: &str,
    workers: usize,
    slots: usize,
    count: usize,
    work: &str,
) -> Result<Took> {
    let options = NatsOptions::new(server.url());
    let transport = Arc::new(NatsCoordinator::connect(options, identity(work), run.to_owned()).await?);
    let fleet = Arc::new(Fleet::of_run(transport.clone(), run.to_owned()));
    let arguments = [server.url(), slots.to_string(), work.to_owned()];
    let started: Result<Vec<_>> = (0..workers).map(|_| child::start("fleet", &arguments)).collect();
    let started = started?;
    let program = program(work);
    let runner =
        RolloutRunner::new(&*program, model()).concurrency(2 * workers * slots).executor(Some(fleet.clone()));
    let prompts = Arc::<Prompts>::default();
    let job = |number: usize| {
        let example = Example::new([("number", number.to_string())], ["number"]);
        RolloutJob::new(Arc::clone(&prompts), Arc::new(example))
    };
    // The first wave opens connections.
    let warm: Vec<_> = (0..workers * slots).map(job).collect();
    runner.run(&warm).await?;
    let jobs: Vec<_> = (0..count).map(|number| job(workers * slots + number)).collect();
    let (start, before, (received, sent)) = (Instant::now(), cpu::spent(), transport.traffic());
    let traces = runner.run(&jobs).await?;
    let took = start.elapsed().as_secs_f64();
    let micros = cpu::micros_each(before, count);
    let (all_received, all_sent) = transport.traffic();
    let bytes = [all_received - received, all_sent - sent].map(|bytes| bytes as f64 / count as f64);
    ensure!(traces.iter().all(|trace| trace.score.is_some()), "a rollout failed: {:?}", traces.first());
    fleet.close().await;
    drop(started);
    Ok(Took { each_second: count as f64 / took, micros, bytes })
}

fn identity(work: &str) -> Identity {
    Identity::new([("program".to_owned(), ContentHash::of(work))])
}

fn model() -> Arc<dyn LanguageModel> {
    Arc::new(lm_fn("none", |_: LmRequest| async { Ok(LmReply::default()) }))
}

/// A program that calls no model and does a kind of work.
fn program(work: &str) -> Box<dyn Evaluator> {
    let work = work.to_owned();
    let module = module_fn(
        "work",
        [Text::new("text", "A text.")],
        move |_: CallContext, _: Arc<[Text]>, inputs: Fields| {
            let work = work.clone();
            async move {
                match work.as_str() {
                    "wait" => tokio::time::sleep(WAIT).await,
                    "compute" => {
                        let mut hash = ContentHash::of(&inputs);
                        for _ in 0..ROUNDS {
                            hash = ContentHash::of(&hash);
                        }
                        ensure!(hash != ContentHash::of(&inputs), "the work was left out");
                    }
                    _ => {}
                }
                Ok(Prediction::new(inputs))
            }
        },
    );
    Box::new(module.with_metric(metric_fn(|_: &Example, _: &Prediction| 1.0)))
}

/// Plays a worker until its parent ends.
pub(crate) fn work(arguments: &[String]) -> Result<()> {
    let [url, slots, work] = arguments else { anyhow::bail!("a worker is given an address, slots and work") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let transport = NatsWorker::connect(NatsOptions::new(url), identity(work)).await?;
        let worker = Worker::new(program(work), model(), Arc::new(transport)).with_slots(slots.parse()?);
        child::answer("ready");
        let leave = Cancellation::new();
        let left = leave.clone();
        std::thread::spawn(move || {
            child::wait_for_parent();
            left.cancel();
        });
        worker.run(&leave).await?;
        Ok(())
    })
}
