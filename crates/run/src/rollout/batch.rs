//! A batch of rollouts: planned, made, and committed in the order of its jobs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use promptopt_core::data::ContentHash;
use promptopt_core::lm::Refusal;
use promptopt_core::money::Limit;
use promptopt_core::program::{CallContext, ModuleExt as _};
use promptopt_core::prompt::Prompts;
use promptopt_core::telemetry::Span;
use promptopt_core::trace::{Failure, FailureCounts, FailureKind, Trace};

use super::{RolloutJob, RolloutRunner, run_once};
use crate::layer::Account;
use crate::refusals;
use crate::turns::{Seat, Turns};
use crate::{Error, Halt, MemoryStore, RolloutKey, RolloutStore, StopReason};

impl RolloutRunner<'_> {
    pub(super) async fn run_as(
        &self,
        jobs: &[RolloutJob],
        traces: &mut Vec<Option<Arc<Trace>>>,
        memory: Option<&MemoryStore>,
    ) -> Result<(), Halt> {
        let mut plan = self.plan(jobs).await?;
        let ended = self.execute(&mut plan).await?;
        let stop = self.commit(&mut plan).or(ended);
        for unit in plan.units.iter().filter(|unit| !unit.known) {
            let Some(trace) = &unit.trace else { continue };
            if unit.refusal().is_some() {
                self.keep(self.store.as_deref(), unit.key, trace).await?;
            }
            self.keep(memory.map(|memory| memory as &dyn RolloutStore), unit.key, trace).await?;
        }
        let made = plan.places.iter().map(|unit| plan.units.get(*unit).and_then(|unit| unit.trace.clone()));
        traces.extend(made);
        stop.map_or(Ok(()), |stop| Err(Halt::Stopped(stop)))
    }

    async fn plan(&self, jobs: &[RolloutJob]) -> Result<Plan, Error> {
        let mut plan = Plan { units: Vec::with_capacity(jobs.len()), places: Vec::with_capacity(jobs.len()) };
        let mut by_key = HashMap::with_capacity(jobs.len());
        let own = self.program.candidate().prompts;
        // Jobs share their prompts, which are long, so each is completed and hashed once.
        let mut completed: HashMap<usize, (Arc<Prompts>, ContentHash)> = HashMap::new();
        for job in jobs {
            let (prompts, hash) = completed.entry(Arc::as_ptr(&job.prompts).addr()).or_insert_with(|| {
                let prompts = job.prompts.completed_by(&own);
                let hash = prompts.content_hash();
                (Arc::new(prompts), hash)
            });
            let example = job.example.content_hash();
            let of_candidate = *hash;
            // Known by what is really in force, so prompts that differ only in this example's own demo share the run.
            let (prompts, hash) = match prompts.without_source(example) {
                Some(prompts) => {
                    let hash = prompts.content_hash();
                    (Arc::new(prompts), hash)
                }
                None => (Arc::clone(prompts), *hash),
            };
            let job = RolloutJob { prompts, ..job.clone() };
            let key = self.key(hash, example, job.sample);
            let place = match by_key.entry(key) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let trace = match self.with_refusals(|known| known.known(&job.example, &job.prompts)) {
                        Some(refused) => Some(refused),
                        None => self.known(&key).await?,
                    };
                    if let Some(trace) = &trace {
                        self.note(trace, true);
                    }
                    plan.units.push(Unit { job, of_candidate, key, known: trace.is_some(), trace, calls: 0 });
                    *new.insert(plan.units.len() - 1)
                }
            };
            plan.places.push(place);
        }
        Ok(plan)
    }

    async fn execute(&self, plan: &mut Plan) -> Result<Option<StopReason>, Error> {
        let waiting: Vec<usize> = plan
            .units
            .iter()
            .enumerate()
            .filter(|(_, unit)| unit.trace.is_none())
            .map(|(index, _)| index)
            .collect();
        let mut waiting = waiting.into_iter().peekable();
        if self.ledger.has_rung() {
            self.ledger.note_exhausted(Limit::WallTime);
            return Ok(waiting.peek().map(|_| StopReason::Budget));
        }
        let mut under_way = FuturesUnordered::new();
        let mut stop = None;
        let mut ending = false;
        let mut errors = self.totals().failures;
        let mut allowed = self.ledger.remaining_rollouts().filter(|_| self.counts);
        let most = self.calls_per_rollout();
        let least = self.least_calls.map_or(most, |least| least.min(most));
        let turns = Turns::new(Arc::clone(&self.ledger), most, least, self.others());
        // Of the job that was refused and those behind it nothing is kept.
        let mut refused_from = None;
        loop {
            while stop.is_none() && !ending && under_way.len() < self.concurrency {
                if self.cancellation.is_cancelled() {
                    stop = Some(StopReason::Cancelled);
                    break;
                }
                let Some(index) = waiting.peek().copied() else { break };
                let met = if allowed == Some(0) {
                    Some(Limit::Rollouts)
                } else {
                    self.ledger.has_rung().then_some(Limit::WallTime)
                };
                if let Some(limit) = met {
                    self.ledger.note_exhausted(limit);
                    stop = Some(StopReason::Budget);
                    break;
                }
                waiting.next();
                allowed = allowed.map(|left| left.saturating_sub(1));
                let Some(unit) = plan.units.get(index) else { break };
                let job = unit.job.clone();
                let seat = turns.enter();
                under_way.push(async move { (index, self.rollout(&job, seat).await) });
            }
            let finished = {
                let cancelled = pin!(self.cancellation.cancelled());
                let out_of_time = pin!(self.ledger.out_of_time());
                match select(under_way.next(), select(cancelled, out_of_time)).await {
                    Either::Left((finished, _)) => finished,
                    // Dropping what is under way ends it; nothing of it was used.
                    Either::Right((Either::Left(_), _)) => return Ok(Some(StopReason::Cancelled)),
                    Either::Right((Either::Right(_), _)) => {
                        self.ledger.note_exhausted(Limit::WallTime);
                        return Ok(Some(StopReason::Budget));
                    }
                }
            };
            let Some((index, made)) = finished else { break };
            let trace = match made {
                Made::Run(trace, calls) => {
                    if let Some(unit) = plan.units.get_mut(index) {
                        unit.calls = calls;
                    }
                    trace
                }
                Made::Refused => {
                    refused_from = refused_from.into_iter().chain([index]).min();
                    stop.get_or_insert(StopReason::Budget);
                    continue;
                }
            };
            if self.cancellation.is_cancelled() && trace.error.as_ref().is_some_and(|failure| failure.fatal) {
                // A rollout cut short by cancellation is not a failure, but it did cost.
                self.with_totals(|totals| totals.usage += trace.usage);
                stop.get_or_insert(StopReason::Cancelled);
                continue;
            }
            let trace: Arc<Trace> = Arc::from(trace);
            self.note(&trace, false);
            let failure = trace.error.clone();
            if let Some(unit) = plan.units.get_mut(index) {
                // Whose fault a refusal is, and so whether it is evidence, is known at the end of the batch.
                if failure.as_ref().is_none_or(|failure| failure.refusal.is_none()) {
                    self.keep(self.store.as_deref(), unit.key, &trace).await?;
                }
                unit.trace = Some(trace);
            }
            // Nothing more is begun after an error that ends the run; which one it was is decided
            // in logical order, when all that was begun has come back.
            match failure {
                Some(Failure { refusal: Some(_), .. }) => ending |= self.is_hopeless(plan),
                Some(failure) => {
                    errors.count(failure.kind);
                    ending |= self.is_end(&failure, errors);
                }
                None => {}
            }
        }
        for unit in plan.units.iter_mut().skip(refused_from.unwrap_or(usize::MAX)).filter(|unit| !unit.known)
        {
            unit.trace = None;
        }
        Ok(stop)
    }

    /// Whether a run ends at a failure that is no refusal, `errors` being all so far.
    fn is_end(&self, failure: &Failure, errors: FailureCounts) -> bool {
        failure.fatal || self.max_errors.is_some_and(|limit| errors.errors() > limit)
    }

    /// Whether nothing ever went through, and the first rows are all refused: neither will the others.
    fn is_hopeless(&self, plan: &Plan) -> bool {
        let is_answered =
            |unit: &Unit| unit.known && unit.trace.as_ref().is_some_and(|trace| trace.error.is_none());
        if self.anything_went_through() || plan.units.iter().any(is_answered) {
            return false;
        }
        let first = plan.units.iter().filter(|unit| !unit.known).take(refusals::FIRST);
        let refused = first.filter(|unit| {
            unit.refusal().is_some_and(|_| unit.failure().is_some_and(|failure| failure.fatal))
        });
        refused.count() == refusals::FIRST
    }

    /// Learns from what was made up to the first error that ends the run whatever it is about: all of that was made
    /// at any concurrency.
    fn judge_refusals(&self, plan: &mut Plan) {
        let mut errors = self.totals().failures;
        let end = plan.units.iter().position(|unit| {
            unit.failure().filter(|failure| failure.refusal.is_none()).is_some_and(|failure| {
                errors.count(failure.kind);
                self.is_end(failure, errors)
            })
        });
        let certain = plan.units.iter_mut().take(end.unwrap_or(usize::MAX));
        // What the store had got its replies once, unless it is a refusal.
        let made = certain.filter_map(|unit| {
            if unit.known && unit.trace.as_ref().is_some_and(|trace| trace.error.is_some()) {
                return None;
            }
            Some(refusals::Made {
                example: unit.job.example.content_hash(),
                of_candidate: unit.of_candidate,
                prompts: &unit.job.prompts,
                trace: unit.trace.as_mut()?,
            })
        });
        self.with_refusals(|refusals| refusals.learn(made));
    }

    /// Counts failures in the order of the jobs. At an error that ends the run everything behind it
    /// is left out, whether or not it was made: what timing added must not show.
    fn commit(&self, plan: &mut Plan) -> Option<StopReason> {
        if !self.is_hopeless(plan) {
            self.judge_refusals(plan);
        }
        let mut stop = None;
        // A row that is left out counts once, under however many candidates it was sent in this batch.
        let mut left_out = HashSet::new();
        for unit in &mut plan.units {
            if stop.is_some() {
                unit.trace = None;
            }
            if unit.trace.is_some() {
                self.most_calls.fetch_max(unit.calls, Ordering::SeqCst);
            }
            let Some(failure) = unit.failure() else { continue };
            if unit.is_left_out() && !left_out.insert(unit.job.example.content_hash()) {
                continue;
            }
            self.note_reason(failure);
            let errors = self.with_totals(|totals| {
                totals.failures.count(failure.kind);
                totals.failures.errors()
            });
            if failure.fatal {
                stop = Some(StopReason::Provider { message: failure.message.clone() });
            } else if self.max_errors.is_some_and(|limit| errors > limit) {
                stop = Some(StopReason::MaxErrors { last: failure.message.clone() });
            }
        }
        stop
    }

    async fn rollout(&self, job: &RolloutJob, seat: Arc<Seat>) -> Made {
        let budget = self.ledger.budget();
        // Where only calls are limited, it is known beforehand what the rollout may need.
        if self.ledger.is_limited() && !budget.limits_requests() && seat.open().await.is_err() {
            seat.leave();
            return Made::Refused;
        }
        let account = Account::new(seat, budget, self.cancellation.clone());
        let context = CallContext::layered(
            account.on(Arc::clone(&self.model), self.known.clone()),
            Arc::clone(&job.prompts),
            self.cancellation.clone(),
            job.sample,
            // The ledger refuses what has no room; a program may make more calls than it said.
            None,
            Arc::new(account.clone()),
        )
        .with_clock(Arc::clone(&self.now));
        // What a rollout that is dropped or refused did cost counts all the same.
        let mut unfinished = Unfinished { runner: self, context: &context, account, counts: true };
        let within = self.observer.span();
        let span = Span::rollout(&within, self.program.name(), &job.example, &job.prompts, job.sample);
        let example = Arc::clone(&job.example);
        let trace = match &self.executor {
            Some(executor) => span.around(executor.rollout(self.program, &context, example)).await,
            None => span.around(run_once(self.program, &context, example)).await,
        };
        tell(&span, &trace);
        let refused = unfinished.account.seat().refused();
        unfinished.counts = refused.is_some();
        match refused {
            None => Made::Run(Box::new(trace), context.calls()),
            Some(_) => Made::Refused,
        }
    }
}

/// Tells the span of a rollout what became of it.
fn tell(span: &Span, trace: &Trace) {
    if let Some(score) = trace.score_value() {
        span.scored(score);
    }
    if let Some(failure) = &trace.error {
        span.failed(match failure.kind {
            FailureKind::Reply => "reply",
            FailureKind::Program => "program",
            FailureKind::Provider => "provider",
            FailureKind::Metric => "metric",
            _ => "other",
        });
    }
}

struct Plan {
    units: Vec<Unit>,
    places: Vec<usize>,
}

struct Unit {
    job: RolloutJob,
    /// The hash of the candidate's prompts, before this example's own demo was left out.
    of_candidate: ContentHash,
    key: RolloutKey,
    /// Whether the store had the trace.
    known: bool,
    trace: Option<Arc<Trace>>,
    /// How many calls it made.
    calls: u64,
}

impl Unit {
    /// Why it failed, if it was made now.
    fn failure(&self) -> Option<&Failure> {
        self.trace.as_ref().filter(|_| !self.known)?.error.as_ref()
    }

    /// Whether the provider refused the row, whatever the prompt.
    fn is_left_out(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.refusal.is_some() && failure.kind == FailureKind::Provider)
            && self.trace.as_ref().is_some_and(|trace| trace.prediction.is_none())
    }

    /// Why the provider refused it, if it was made now.
    fn refusal(&self) -> Option<Refusal> {
        self.failure()?.refusal
    }
}

/// What became of a rollout.
enum Made {
    /// With the calls that it made.
    Run(Box<Trace>, u64),
    /// A request of it had no room in the budget.
    Refused,
}

/// Ends the seat of a rollout however it ends.
struct Unfinished<'r, 'a> {
    runner: &'r RolloutRunner<'a>,
    context: &'r CallContext,
    account: Account,
    /// Whether nobody else counts what it used.
    counts: bool,
}

impl Drop for Unfinished<'_, '_> {
    fn drop(&mut self) {
        if self.counts {
            let (_, usage) = self.context.record();
            self.runner.with_totals(|totals| totals.usage += usage);
        }
        let (settled, largest) = self.account.paid();
        let mut paid = self.runner.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (paid.0 + settled, paid.1.max(largest));
        drop(paid);
        self.account.seat().leave();
    }
}
