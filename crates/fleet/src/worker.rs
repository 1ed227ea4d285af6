//! A worker: takes rollouts, makes them, and has their calls of language models made by the coordinator.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{CallContext, Cancellation, Evaluator, Layer};
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::{Failure, FailureKind};
use promptopt_run::run_once;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Error;
use crate::member::{self, WorkerFigures};
use crate::protocol::{Answer, Ask, Job, JobId, RolloutResult};
use crate::transport::{Leased, Working};

/// A rollout that was given out so often without a result kills its workers.
const MOST_DELIVERIES: u64 = 4;
/// So many examples and prompts are remembered.
const REMEMBERED: usize = 4096;
/// How long a coordinator may be away before its rollouts are given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first rest after a rollout that was not possible; each is twice as long as the last.
const REST: Duration = Duration::from_secs(1);
/// Between two attempts to ask.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes rollouts that a coordinator hands out.
pub struct Worker {
    shared: Arc<Shared>,
    slots: usize,
    idle: Option<Duration>,
}

struct Shared {
    /// Besides the one that the program runs on.
    others: Vec<Arc<dyn LanguageModel>>,
    program: Box<dyn Evaluator>,
    model: Arc<dyn LanguageModel>,
    transport: Arc<dyn Working>,
    materials: Mutex<Materials>,
    figures: Arc<WorkerFigures>,
    /// Since when coordinators are away, by their runs.
    away: Mutex<HashMap<String, Instant>>,
    outages: Mutex<Outages>,
    /// Rollouts that wait for others which no worker may have: the worker takes as many more, or all might wait for ever.
    held_up: AtomicUsize,
    has_changed: Notify,
}

/// Rollouts that were not possible here since the last one that was.
#[derive(Default)]
struct Outages {
    count: u32,
    since: Option<Instant>,
    /// The first of them.
    job: Option<JobId>,
    /// No rollout is taken before.
    until: Option<Instant>,
    /// Why the worker cannot go on.
    end: Option<String>,
}

/// Examples and prompts that came once.
#[derive(Default)]
struct Materials {
    values: HashMap<ContentHash, Value>,
    order: VecDeque<ContentHash>,
}

impl Worker {
    /// A worker with a program and its metric. The model says what is known of the one that the program runs on; it is called
    /// only where the coordinator's is [`OnWorkers`](crate::OnWorkers).
    pub fn new(
        program: Box<dyn Evaluator>,
        model: Arc<dyn LanguageModel>,
        transport: Arc<dyn Working>,
    ) -> Self {
        let figures = Arc::<WorkerFigures>::default();
        let told = Arc::clone(&figures);
        transport.describe(Arc::new(move || Some(told.role())));
        let shared = Shared {
            others: program.other_models(),
            program,
            model,
            transport,
            materials: Mutex::default(),
            figures,
            away: Mutex::default(),
            outages: Mutex::default(),
            held_up: AtomicUsize::new(0),
            has_changed: Notify::new(),
        };
        Self { shared: Arc::new(shared), slots: 1, idle: None }
    }

    /// With so many rollouts at once. Default: 1.
    #[must_use]
    pub fn with_slots(mut self, slots: usize) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// Leaving after so long without a rollout. Default: never.
    #[must_use]
    pub fn leaving_after(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// How many rollouts it made so far.
    pub fn made(&self) -> u64 {
        self.shared.figures.made.load(Ordering::Relaxed)
    }

    /// Takes rollouts until it is told to leave; what it has begun then is finished.
    ///
    /// # Errors
    ///
    /// Where the queue cannot be used, and [`Error::Unable`] where no rollout was possible here for a while, as its program cannot
    /// be started or the model that it has gives no replies. They went back into the queue.
    pub async fn run(&self, leave: &Cancellation) -> Result<(), Error> {
        self.shared.figures.slots.store(self.slots as u64, Ordering::Relaxed);
        let mut under_way = JoinSet::new();
        loop {
            // One for each free slot: what is fetched ahead would wait while others have nothing to do.
            while under_way.len() >= self.slots + self.shared.held_up.load(Ordering::Relaxed) {
                tokio::select! {
                    _ = under_way.join_next() => {}
                    () = self.shared.has_changed.notified() => {}
                }
            }
            // What is being fetched is not given up when a rollout ends: it would wait for the end of its lease.
            let taking = async {
                self.shared.rest().await?;
                self.shared.transport.take().await
            };
            let mut taking = std::pin::pin!(taking);
            let job = loop {
                tokio::select! {
                    biased;
                    () = leave.cancelled() => break None,
                    job = &mut taking => break Some(job?),
                    _ = under_way.join_next(), if !under_way.is_empty() => {}
                    () = idle(self.idle), if under_way.is_empty() => break None,
                }
            };
            let Some(job) = job else { break };
            let shared = Arc::clone(&self.shared);
            under_way.spawn(async move {
                let _busy = Busy::begin(&shared.figures);
                Arc::clone(&shared).make(job).await;
            });
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }
}

/// A slot that is busy; not any more, however the rollout ends.
struct Busy(Arc<WorkerFigures>);

impl Busy {
    fn begin(figures: &Arc<WorkerFigures>) -> Self {
        figures.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(figures))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A rollout that waits for another one; not any more, however that ends.
struct HeldUp(Arc<Shared>);

impl HeldUp {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.held_up.fetch_add(1, Ordering::Relaxed);
        shared.has_changed.notify_one();
        Self(Arc::clone(shared))
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        self.0.held_up.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Comes back when no slot was busy for so long.
async fn idle(most: Option<Duration>) {
    match most {
        Some(most) => tokio::time::sleep(most).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// Makes one rollout and hands in its result.
    async fn make(self: Arc<Self>, leased: Leased) {
        let Ok(job) = serde_json::from_slice::<Job>(&leased.payload) else {
            tracing::warn!("a job of the queue cannot be read; it is thrown away");
            leased.finish().await;
            return;
        };
        let result = if leased.deliveries > MOST_DELIVERIES {
            let message = format!(
                "it was given to {MOST_DELIVERIES} workers, and none of them came back with a result: it may kill them, or take \
                 longer than they live"
            );
            Ok(RolloutResult::failed(Failure::new(FailureKind::Program, message)))
        } else {
            self.rollout(&job).await
        };
        let mut answer = Answer::Noted;
        match result {
            Ok(result) => {
                self.note(&job.id, result.outage.as_deref());
                let ask = Ask::Done { job: job.id.clone(), result: Box::new(result) };
                match self.ask(&job.id.run, &ask).await {
                    Ok(said) => answer = said,
                    Err(error) => tracing::warn!("a result could not be handed in: {error}"),
                }
            }
            Err(error) => tracing::debug!("a rollout is given up: {error}"),
        }
        leased.finish().await;
        if answer == Answer::Again {
            // It is in the queue no more, so the coordinator can put it in as one that nobody had.
            let again = self.ask(&job.id.run, &Ask::Again { job: job.id.clone() }).await;
            if let Err(error) = again {
                tracing::debug!("the coordinator finds out by itself: {error}");
            }
        }
    }

    /// Which of the program's other models one is; `None`: the one that it runs on. One that was made around another is known by
    /// its id.
    fn which(&self, model: &Arc<dyn LanguageModel>) -> Result<Option<usize>, LmError> {
        if Arc::ptr_eq(model, &self.model) {
            return Ok(None);
        }
        if let Some(at) = self.others.iter().position(|other| Arc::ptr_eq(model, other)) {
            return Ok(Some(at));
        }
        let id = model.profile().id;
        if id == self.model.profile().id {
            return Ok(None);
        }
        self.others.iter().position(|other| other.profile().id == id).map(Some).ok_or_else(|| LmError::Call {
            message: format!(
                "the program calls `{id}`, which it does not name among its models, so a fleet cannot"
            ),
        })
    }

    /// Takes down how a rollout went: after one that was not possible here the next is not taken at once, and after several none.
    fn note(&self, job: &JobId, outage: Option<&str>) {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = outage else {
            self.figures.made.fetch_add(1, Ordering::Relaxed);
            *outages = Outages::default();
            return;
        };
        let now = Instant::now();
        let since = *outages.since.get_or_insert(now);
        let pause = (REST * 2_u32.saturating_pow(outages.count)).min(PATIENCE / 2);
        outages.count += 1;
        outages.until = Some(now + pause);
        // One alone may be the fault of its row.
        let is_another = outages.job.get_or_insert_with(|| job.clone()) != job;
        if is_another && now.duration_since(since) >= PATIENCE {
            outages.end = Some(reason.to_owned());
        }
    }

    /// Waits until rollouts may be possible again.
    async fn rest(&self) -> Result<(), Error> {
        loop {
            let until = {
                let outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(reason) = &outages.end {
                    return Err(Error::Unable(reason.clone()));
                }
                outages.until.filter(|until| *until > Instant::now())
            };
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return Ok(()),
            }
        }
    }

    async fn rollout(self: &Arc<Self>, job: &Job) -> Result<RolloutResult, Error> {
        let example: Arc<Example> = Arc::new(self.material(job, job.example).await?);
        let prompts: Arc<Prompts> = Arc::new(self.material(job, job.prompts).await?);
        let cancellation = Cancellation::new();
        let delivery = Arc::new(Delivery {
            shared: Arc::clone(self),
            job: job.clone(),
            id: random()?,
            next: AtomicU64::new(0),
            cancellation: cancellation.clone(),
            call_failed: AtomicBool::new(false),
            outage: OnceLock::new(),
        });
        let calls = Arc::new(Calls(Arc::clone(&delivery)));
        let context = CallContext::for_worker(Arc::clone(&self.model), prompts, cancellation.clone(), calls);
        tokio::select! {
            biased;
            () = cancellation.cancelled() => Err(Error::NoCoordinator),
            trace = run_once(&*self.program, &context, example) => match cancellation.is_cancelled() {
                // What comes of a rollout whose calls are not made any more is not its result.
                true => Err(Error::NoCoordinator),
                false => {
                    let outage = delivery.outage(trace.error.as_ref());
                    let outage = outage.map(|reason| format!("{}: {reason}", member::name()));
                    Ok(RolloutResult::of(trace, outage, self.program.notes()))
                }
            },
        }
    }

    /// An example or prompts, which come once.
    async fn material<T: DeserializeOwned>(&self, job: &Job, hash: ContentHash) -> Result<T, Error> {
        let known = self.with_materials(|materials| materials.values.get(&hash).cloned());
        let value = match known {
            Some(value) => value,
            None => match self.ask(&job.id.run, &Ask::Material { hash }).await? {
                Answer::Material { value } => {
                    self.with_materials(|materials| materials.keep(hash, value.clone()));
                    value
                }
                _ => return Err(Error::NoCoordinator),
            },
        };
        serde_json::from_value(value).map_err(|error| Error::Message(error.to_string()))
    }

    /// Asks the coordinator of a run, which may be away for a while.
    async fn ask(&self, run: &str, ask: &Ask) -> Result<Answer, Error> {
        let payload =
            Bytes::from(serde_json::to_vec(ask).map_err(|error| Error::Message(error.to_string()))?);
        loop {
            match self.transport.ask(run, payload.clone()).await {
                Ok(answer) => {
                    self.with_away(|away| away.remove(run));
                    return serde_json::from_slice(&answer)
                        .map_err(|error| Error::Message(error.to_string()));
                }
                // A call may take its time; one that is asked again is the same call.
                Err(Error::NoAnswer) => {
                    self.with_away(|away| away.remove(run));
                }
                Err(error) => {
                    // All rollouts of a run wait together: one that is gone may have left hundreds.
                    let since =
                        self.with_away(|away| *away.entry(run.to_owned()).or_insert_with(Instant::now));
                    if since.elapsed() >= PATIENCE || self.transport.is_over(run) {
                        return Err(error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn with_away<T>(&self, work: impl FnOnce(&mut HashMap<String, Instant>) -> T) -> T {
        work(&mut self.away.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_materials<T>(&self, work: impl FnOnce(&mut Materials) -> T) -> T {
        work(&mut self.materials.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Materials {
    fn keep(&mut self, hash: ContentHash, value: Value) {
        if self.values.insert(hash, value).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }
}

/// Puts the coordinator in the place of every model that a rollout calls.
#[derive(Clone)]
struct Calls(Arc<Delivery>);

/// One delivery of a job.
struct Delivery {
    shared: Arc<Shared>,
    job: Job,
    /// Tells it apart from other deliveries of the job.
    id: u64,
    next: AtomicU64,
    cancellation: Cancellation,
    /// Whether a call failed as it would at any worker.
    call_failed: AtomicBool,
    /// Why the model that the worker has gave none.
    outage: OnceLock<String>,
}

impl Delivery {
    /// Why the rollout was not possible at this worker, if so. A call that fails at any worker is none of its doing.
    fn outage(&self, failure: Option<&Failure>) -> Option<String> {
        if let Some(reason) = self.outage.get() {
            return Some(reason.clone());
        }
        let failure = failure.filter(|failure| failure.kind == FailureKind::Provider)?;
        (!self.call_failed.load(Ordering::Relaxed)).then(|| failure.message.clone())
    }
}

impl Layer for Calls {
    fn around(&self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
        let which = self.0.shared.which(&model);
        Arc::new(Remote { model, which, delivery: Arc::clone(&self.0) })
    }
}

/// A model that the coordinator calls, or allows to call.
struct Remote {
    model: Arc<dyn LanguageModel>,
    /// Which of the program's others it is, if not the one that it runs on.
    which: Result<Option<usize>, LmError>,
    delivery: Arc<Delivery>,
}

#[async_trait]
impl LanguageModel for Remote {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        let Delivery { shared, job, id, next, cancellation, call_failed, outage } = &*self.delivery;
        let model = self.which.clone().inspect_err(|_| call_failed.store(true, Ordering::Relaxed))?;
        let call = (*id, next.fetch_add(1, Ordering::Relaxed));
        let (mut made, mut held_up) = (None, None);
        loop {
            let ask = Ask::Complete {
                job: job.id.clone(),
                call,
                model,
                request: Box::new(request.clone()),
                made: made.take(),
            };
            match shared.ask(&job.id.run, &ask).await {
                Ok(Answer::Reply { reply }) => return Ok(*reply),
                Ok(Answer::Waiting) => {
                    held_up.get_or_insert_with(|| HeldUp::begin(shared));
                }
                Ok(Answer::Failed { error }) => {
                    call_failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                Ok(Answer::Allowed { request }) => {
                    held_up = None;
                    let one = Attempts::asking(|| false);
                    let outcome = self.model.complete(&request, &one).await;
                    // Nothing was paid, and the model of another worker may be there.
                    if let Err(error) = &outcome
                        && !error.is_caused_by_prompt()
                        && !error.may_be_billed()
                        && error.refusal().is_none()
                    {
                        let _ = outage.set(error.to_string());
                        return outcome;
                    }
                    made = Some(Box::new(outcome));
                }
                // The rollout is of no interest any more, or nobody is there to pay for it.
                _ => {
                    cancellation.cancel();
                    return Err(LmError::Cancelled);
                }
            }
        }
    }
}

fn random() -> Result<u64, Error> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::Message(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}
