//! The coordinator: hands rollouts out, makes their calls of language models, and takes their results.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{LanguageModel, LmError, LmRequest};
use promptopt_core::program::{CallContext, Evaluator};
use promptopt_core::trace::Trace;
use promptopt_run::Executor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::Error;
use crate::member::{Member, Role};
use crate::on_workers::OnWorkers;
use crate::protocol::{Answer, Ask, Job, JobId, RolloutResult};
use crate::replies::{Outcome, Place, Replies};
use crate::transport::{Coordinating, Question};

/// What was not possible at workers so often is not possible. A worker that can make no rollout leaves long before.
const MOST_OUTAGES: u64 = 20;
/// The most reasons of outages that are told.
const MOST_TOLD: usize = 20;

/// Makes rollouts on other machines. Every call of a language model comes back here and goes through the context of its
/// rollout, so budgets, journal, limits and results are those of a run in one process.
pub struct Fleet {
    shared: Arc<Shared>,
    hearing: JoinHandle<()>,
    watching: JoinHandle<()>,
}

struct Shared {
    transport: Arc<dyn Coordinating>,
    run: String,
    next: AtomicU64,
    jobs: Mutex<HashMap<JobId, Arc<Open>>>,
    /// Examples and prompts that jobs which are open name, with the number of these jobs.
    materials: Mutex<HashMap<ContentHash, (Value, usize)>>,
    figures: Figures,
    /// What workers noticed of the program.
    notes: Mutex<BTreeSet<String>>,
    /// Why workers could not make rollouts, each reason once.
    outages: Mutex<BTreeSet<String>>,
}

/// What a fleet did so far.
#[derive(Debug, Default)]
struct Figures {
    made: AtomicU64,
    dropped: AtomicU64,
    offered_again: AtomicU64,
}

/// What a fleet did so far, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FleetFigures {
    /// Rollouts whose result was taken.
    pub made: u64,
    /// Results that came when there was one already.
    pub dropped: u64,
    /// Jobs that were put into the queue once more, because it had lost them.
    pub offered_again: u64,
    /// Rollouts under way or waiting for a worker.
    pub open: u64,
}

/// A rollout that was handed out.
struct Open {
    context: CallContext,
    /// Besides the one that the program runs on.
    models: Vec<Arc<dyn LanguageModel>>,
    payload: Bytes,
    replies: Replies,
    result: Mutex<Option<oneshot::Sender<RolloutResult>>>,
    /// How often it was not possible at a worker.
    outages: AtomicU64,
    /// When a worker was heard of last, and when it was put into the queue.
    heard: Mutex<Instant>,
    offered: Mutex<Instant>,
    /// Calls that go on; `None` when the rollout is over.
    calls: Mutex<Option<JoinSet<()>>>,
}

impl Fleet {
    /// A fleet behind a transport. It begins to listen to workers, so it needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where the system has no randomness for the name of the run.
    pub fn new(transport: Arc<dyn Coordinating>) -> Result<Self, Error> {
        Ok(Self::of_run(transport, Self::new_run()?))
    }

    /// A name for a run that no other has.
    ///
    /// # Errors
    ///
    /// Where the system has no randomness.
    pub fn new_run() -> Result<String, Error> {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| Error::Message(error.to_string()))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The same for a run whose name is known, as a transport may need it.
    pub fn of_run(transport: Arc<dyn Coordinating>, run: String) -> Self {
        let shared = Arc::new(Shared {
            transport,
            run,
            next: AtomicU64::new(0),
            jobs: Mutex::default(),
            materials: Mutex::default(),
            figures: Figures::default(),
            notes: Mutex::default(),
            outages: Mutex::default(),
        });
        // The transport outlives whoever asks it, and must not keep the run alive.
        let told = Arc::downgrade(&shared);
        shared.transport.describe(Arc::new(move || {
            let run = told.upgrade()?;
            Some(Role::Run { run: run.run.clone(), figures: run.figures() })
        }));
        let hearing = tokio::spawn(Shared::hear(Arc::clone(&shared)));
        let watching = tokio::spawn(Shared::watch(Arc::clone(&shared)));
        Self { shared, hearing, watching }
    }

    /// Takes what is left of the run out of the queue, and tells workers that it is over.
    pub async fn close(&self) {
        self.shared.transport.clear().await;
        self.shared.transport.say_over().await;
    }

    /// Workers that are there for this program, and the number of those that are there for another one; `None` where the transport
    /// does not know.
    pub async fn workers(&self) -> Option<(Vec<Member>, usize)> {
        self.shared.transport.workers().await
    }

    /// What it did so far.
    pub fn figures(&self) -> FleetFigures {
        self.shared.figures()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.hearing.abort();
        self.watching.abort();
    }
}

#[async_trait]
impl Executor for Fleet {
    async fn rollout(&self, program: &dyn Evaluator, context: &CallContext, example: Arc<Example>) -> Trace {
        let shared = &self.shared;
        let prompts = context.prompts();
        let (example_hash, prompts_hash) = (example.content_hash(), prompts.content_hash());
        let mut trace = Trace::new(Arc::clone(&example));
        let id = JobId { run: shared.run.clone(), number: shared.next.fetch_add(1, Ordering::Relaxed) };
        let job = Job { id: id.clone(), example: example_hash, prompts: prompts_hash };
        let payload = Bytes::from(serde_json::to_vec(&job).unwrap_or_default());
        let (sender, receiver) = oneshot::channel();
        let open = Open {
            context: context.clone(),
            models: program.other_models(),
            payload: payload.clone(),
            replies: Replies::default(),
            result: Mutex::new(Some(sender)),
            outages: AtomicU64::new(0),
            heard: Mutex::new(Instant::now()),
            offered: Mutex::new(Instant::now()),
            calls: Mutex::new(Some(JoinSet::new())),
        };
        shared.with_jobs(|jobs| jobs.insert(id.clone(), Arc::new(open)));
        let mut handed_out =
            HandedOut { shared, id: &id, materials: [example_hash, prompts_hash], is_done: false };
        shared.hold(example_hash, || serde_json::to_value(&*example));
        shared.hold(prompts_hash, || serde_json::to_value(&*prompts));
        if let Err(error) = shared.transport.offer(&id, payload).await {
            // It is offered again as long as it is open.
            tracing::warn!("a rollout could not be put into the queue, which is tried again: {error}");
        }
        // Nobody can drop the other end while the job is open.
        if let Ok(mut result) = receiver.await {
            handed_out.is_done = true;
            let notes = std::mem::take(&mut result.notes);
            shared.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(notes);
            context.put_steps(result.into_trace(&mut trace));
        }
        (trace.steps, trace.usage) = context.take_record();
        trace
    }

    fn notes(&self) -> Vec<String> {
        self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A rollout that is open; not any more, however it ends.
struct HandedOut<'f> {
    shared: &'f Arc<Shared>,
    id: &'f JobId,
    materials: [ContentHash; 2],
    /// The worker that did it takes it out of the queue.
    is_done: bool,
}

impl Drop for HandedOut<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.shared.with_jobs(|jobs| jobs.remove(self.id)) {
            open.end();
        }
        self.shared.with_materials(|materials| {
            for hash in &self.materials {
                if let Some((_, users)) = materials.get_mut(hash) {
                    *users -= 1;
                    if *users == 0 {
                        materials.remove(hash);
                    }
                }
            }
        });
        if self.is_done {
            return;
        }
        let (shared, id) = (Arc::clone(self.shared), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shared.transport.withdraw(&id).await });
        }
    }
}

impl Shared {
    fn figures(&self) -> FleetFigures {
        let Figures { made, dropped, offered_again } = &self.figures;
        FleetFigures {
            made: made.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            offered_again: offered_again.load(Ordering::Relaxed),
            open: self.with_jobs(|jobs| jobs.len() as u64),
        }
    }

    /// Answers workers until there is nobody to hear.
    async fn hear(self: Arc<Self>) {
        let mut answering = JoinSet::new();
        while let Some(question) = self.transport.next().await {
            let shared = Arc::clone(&self);
            answering.spawn(async move { shared.answer(question).await });
            while answering.try_join_next().is_some() {}
        }
    }

    async fn answer(self: Arc<Self>, question: Question) {
        let Question { payload, reply } = question;
        let Some(payload) = payload.await else { return };
        let answer = match serde_json::from_slice::<Ask>(&payload) {
            Err(error) => {
                // Of a worker of another version, or of nobody we know.
                tracing::warn!("a question of a worker cannot be read: {error}");
                Answer::Gone
            }
            Ok(Ask::Material { hash }) => {
                match self.with_materials(|materials| materials.get(&hash).map(|(value, _)| value.clone())) {
                    Some(value) => Answer::Material { value },
                    None => Answer::Gone,
                }
            }
            Ok(Ask::Complete { job, call, model, request, made }) => match self.open(&job) {
                Some(open) => {
                    let made = made.map(|made| *made);
                    open.complete(call, model, *request, made, self.held_up(&job)).await
                }
                None => Answer::Gone,
            },
            Ok(Ask::Done { job, result }) => self.done(&job, *result),
            Ok(Ask::Again { job }) => {
                if let Some(open) = self.open(&job)
                    && let Err(error) = self.transport.offer(&job, open.payload.clone()).await
                {
                    tracing::debug!("a rollout is put into the queue later: {error}");
                }
                Answer::Noted
            }
        };
        reply.send(written(&answer)).await;
    }

    fn done(&self, job: &JobId, result: RolloutResult) -> Answer {
        let open = self.open(job);
        if let (Some(open), Some(reason)) = (&open, &result.outage)
            && open.outages.fetch_add(1, Ordering::Relaxed) < MOST_OUTAGES
        {
            let mut told = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < MOST_TOLD && told.insert(reason.clone()) {
                tracing::warn!("a worker could not make a rollout, which goes to another one ({reason})");
            }
            return Answer::Again;
        }
        let sender = open.and_then(|open| open.result.lock().unwrap_or_else(PoisonError::into_inner).take());
        match sender {
            Some(sender) => {
                self.figures.made.fetch_add(1, Ordering::Relaxed);
                // The run may have ended meanwhile.
                let _ = sender.send(result);
            }
            None => {
                self.figures.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Answer::Noted
    }

    /// Puts jobs into the queue again for which nobody gives a sign of life: the queue may have been lost.
    async fn watch(self: Arc<Self>) {
        let lease = self.transport.lease();
        loop {
            tokio::time::sleep(lease / 2).await;
            let silent: Vec<(JobId, Bytes)> = self.with_jobs(|jobs| {
                let silent = jobs
                    .iter()
                    .filter(|(_, open)| since(&open.heard) > lease && since(&open.offered) > lease);
                silent.map(|(id, open)| (id.clone(), open.payload.clone())).collect()
            });
            for (id, payload) in silent {
                if self.open(&id).is_none() {
                    continue;
                }
                match self.transport.offer(&id, payload).await {
                    Ok(was_lost) => {
                        self.figures.offered_again.fetch_add(u64::from(was_lost), Ordering::Relaxed);
                        if let Some(open) = self.open(&id) {
                            now(&open.offered);
                        }
                    }
                    Err(error) => {
                        tracing::warn!("the queue cannot be reached, which is tried again: {error}");
                        break;
                    }
                }
            }
        }
    }

    /// Comes back when a call may wait for a rollout that no worker has: for its turn in the budget, or for an equal call.
    async fn held_up(&self, job: &JobId) {
        let lease = self.transport.lease();
        loop {
            tokio::time::sleep(lease / 2).await;
            let is_lost =
                |(id, open): (&JobId, &Arc<Open>)| id.number < job.number && since(&open.heard) > lease;
            if self.with_jobs(|jobs| jobs.iter().any(is_lost)) {
                return;
            }
        }
    }

    /// The rollout, if it is still open.
    fn open(&self, id: &JobId) -> Option<Arc<Open>> {
        self.with_jobs(|jobs| jobs.get(id).cloned())
    }

    /// Keeps an example or prompts for workers as long as a job names them.
    fn hold(&self, hash: ContentHash, value: impl FnOnce() -> serde_json::Result<Value>) {
        self.with_materials(|materials| {
            let place = materials.entry(hash).or_insert_with(|| (value().unwrap_or_default(), 0));
            place.1 += 1;
        });
    }

    fn with_jobs<T>(&self, work: impl FnOnce(&mut HashMap<JobId, Arc<Open>>) -> T) -> T {
        work(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_materials<T>(&self, work: impl FnOnce(&mut HashMap<ContentHash, (Value, usize)>) -> T) -> T {
        work(&mut self.materials.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Open {
    /// Makes a call, or allows the worker to make it, where it has the model itself.
    async fn complete(
        self: Arc<Self>,
        call: (u64, u64),
        model: Option<usize>,
        request: LmRequest,
        made: Option<Outcome>,
        held_up: impl Future<Output = ()>,
    ) -> Answer {
        now(&self.heard);
        let place = self.replies.place(call, model, &request);
        if let Some(made) = made {
            place.made(made);
        }
        // The call belongs to the rollout and not to this question: its answer may be asked for again.
        if place.begin() {
            let (open, place) = (Arc::clone(&self), Arc::clone(&place));
            let work = async move {
                let outcome = open.call(Arc::clone(&place), model, request).await;
                place.end_with(outcome);
            };
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(calls) = calls.as_mut() else { return Answer::Gone };
            while calls.try_join_next().is_some() {}
            calls.spawn(work);
        }
        drop(self);
        tokio::select! {
            biased;
            outcome = place.outcome() => match outcome {
                Some(Ok(reply)) => Answer::Reply { reply: Box::new(reply) },
                Some(Err(error)) => Answer::Failed { error },
                None => Answer::Gone,
            },
            request = place.allowed() => Answer::Allowed { request },
            () = held_up => Answer::Waiting,
        }
    }

    async fn call(&self, place: Arc<Place>, model: Option<usize>, request: LmRequest) -> Outcome {
        let on = match model.map(|model| self.models.get(model)) {
            None => self.context.clone(),
            Some(Some(model)) => self.context.on(Arc::clone(model)),
            // A worker with the same program has no other.
            Some(None) => {
                let message = "a worker asks for a model that the program does not have".to_owned();
                return Err(LmError::Call { message });
            }
        };
        OnWorkers::asked_for(place, on.complete(request)).await
    }

    /// Ends the calls that go on. Whoever takes part in one carries it on.
    fn end(&self) {
        drop(self.calls.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.replies.end();
    }
}

fn now(moment: &Mutex<Instant>) {
    *moment.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

fn since(moment: &Mutex<Instant>) -> Duration {
    moment.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
}

fn written(answer: &Answer) -> Bytes {
    Bytes::from(serde_json::to_vec(answer).unwrap_or_default())
}
