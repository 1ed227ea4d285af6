//! Rollouts: the one way in which every stage runs a program.
//!
//! It needs no runtime: all rollouts of a batch are futures of one task.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::pin::pin;

use promptopt_core::data::{ContentHash, Example, shorten};
use promptopt_core::lm::{LanguageModel, Refusal};
use promptopt_core::money::{Limit, Price, Usage};
use promptopt_core::program::{CallContext, Cancellation, Evaluator, ModuleExt as _};
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::{Failure, FailureCounts, FailureKind, Trace};

use crate::layer::{Account, DEFAULT_MAX_TOKENS, Known};
use crate::outcome::FailureReason;
use crate::refusals::{self, Refusals};
use crate::turns::{Others, Seat, Turns};
use crate::{
    Error, Event, Halt, Ledger, MemoryStore, NoObserver, Observer, RolloutKey, RolloutStore, StopReason,
};

/// One rollout to be made: an example under the prompts of a candidate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RolloutJob {
    /// The prompts in force.
    pub prompts: Arc<Prompts>,
    /// The example.
    pub example: Arc<Example>,
    /// Which draw this is, for repeated sampling of one example.
    pub sample: u64,
}

impl RolloutJob {
    /// The first draw of an example under some prompts.
    pub fn new(prompts: Arc<Prompts>, example: Arc<Example>) -> Self {
        Self { prompts, example, sample: 0 }
    }

    /// As another draw of the same example.
    #[must_use]
    pub fn with_sample(mut self, sample: u64) -> Self {
        self.sample = sample;
        self
    }
}

/// What a runner has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutTotals {
    /// What the rollouts cost.
    pub usage: Usage,
    /// Rollouts made.
    pub made: u64,
    /// Rollouts that were known already.
    pub reused: u64,
    /// Failures among those made.
    pub failures: FailureCounts,
    /// Calls that the steps of the program made. The metric made the others.
    pub calls_of_steps: u64,
}

/// Runs a program on examples: concurrently within a bound, through a store, within a budget, and
/// with results that do not depend on what finishes first.
///
/// # Under a budget
///
/// No request leaves before the most it may cost is reserved in the [`Ledger`], so no limit is ever
/// overshot, as far as that most is true. Which rollouts are made is
/// what it would be if they were made one after the other: one begins only when all its calls fit, and
/// every request of it leaves only when it fits beside what was spent before. The first that does not ends
/// the batch, and is in it neither as a failure nor as evidence. For calls this holds at any concurrency.
/// For tokens and money it holds as long as no rollout needs more than [`RolloutRunner::calls_per_rollout`] times what
/// its first request may cost; one that does may be refused, when the budget is nearly used up, what it would have
/// got at another concurrency.
///
/// Where time is limited, nothing is begun when it is up, and what is under way is dropped.
pub struct RolloutRunner<'a> {
    program: &'a dyn Evaluator,
    program_hash: ContentHash,
    model: Arc<dyn LanguageModel>,
    known: Known,
    store: Option<Arc<dyn RolloutStore>>,
    /// What a run remembers where it has no store. It is written to in the order of the jobs, so that what it forgets
    /// does not depend on timing.
    memory: Option<Arc<MemoryStore>>,
    ledger: Arc<Ledger>,
    concurrency: usize,
    max_errors: Option<u64>,
    /// Whether its rollouts are those whose number is limited.
    counts: bool,
    /// The calls that must be left for a rollout to begin, where that is less than the most it may make.
    pub(crate) least_calls: Option<u64>,
    /// The most calls that one rollout made.
    most_calls: AtomicU64,
    cancellation: Cancellation,
    observer: Arc<dyn Observer>,
    totals: Mutex<RolloutTotals>,
    /// What the rollouts were settled with, and the most that was reserved for a request of theirs.
    paid: Mutex<(Usage, Usage)>,
    refusals: Arc<Mutex<Refusals>>,
    /// Why rollouts failed, each reason once.
    reasons: Arc<Mutex<Vec<FailureReason>>>,
}

/// So many reasons of failures are told apart.
const MOST_REASONS: usize = 20;
/// A reason is cut to so many characters.
const LONGEST_REASON: usize = 500;

impl<'a> RolloutRunner<'a> {
    /// A runner of `program` on `model`: eight rollouts at once, no store, no budget.
    pub fn new(program: &'a dyn Evaluator, model: Arc<dyn LanguageModel>) -> Self {
        let predictors = program.predictors();
        let shape: Vec<_> =
            predictors.iter().map(|one| (one.path(), one.signature(), one.settings())).collect();
        let others: Vec<String> = program.other_models().iter().map(|model| model.profile().id).collect();
        let profile = Arc::new(model.profile());
        Self {
            program_hash: ContentHash::of(&(program.name(), shape, others)),
            program,
            known: Known { price: profile.price, profile },
            model,
            store: None,
            memory: None,
            ledger: Arc::default(),
            concurrency: 8,
            max_errors: None,
            counts: true,
            least_calls: None,
            most_calls: AtomicU64::new(program.calls_per_rollout().max(1)),
            cancellation: Cancellation::new(),
            observer: Arc::new(NoObserver),
            totals: Mutex::default(),
            paid: Mutex::default(),
            refusals: Arc::default(),
            reasons: Arc::default(),
        }
    }

    /// How many rollouts may be under way at once; at least one.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Where rollouts are kept and found again.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn RolloutStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// What is remembered where there is no store.
    pub(crate) fn memory(mut self, memory: Arc<MemoryStore>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// The ledger that every rollout is reserved in.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<Ledger>) -> Self {
        self.known.price = ledger.price_of(&self.known.profile);
        self.ledger = ledger;
        self
    }

    /// How many errors of program, provider or metric end the run when one more comes. `None`:
    /// any number is tolerated.
    #[must_use]
    pub fn max_errors(mut self, max_errors: Option<u64>) -> Self {
        self.max_errors = max_errors;
        self
    }

    /// Its rollouts are none of the program, such as texts to be written: a limit on their number does not count
    /// them.
    pub(crate) fn uncounted(mut self) -> Self {
        self.counts = false;
        self
    }

    /// What failed is known together with another runner; what the provider refuses only where both run the same
    /// program.
    pub(crate) fn beside(mut self, other: &RolloutRunner<'_>) -> Self {
        self.reasons = Arc::clone(&other.reasons);
        if std::ptr::addr_eq(self.program, other.program) {
            self.refusals = Arc::clone(&other.refusals);
        }
        self
    }

    /// The flag that ends the run.
    #[must_use]
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Who hears of finished rollouts.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The program.
    pub fn program(&self) -> &'a dyn Evaluator {
        self.program
    }

    /// The most calls of one rollout: what the program says, or what one made that made more.
    pub fn calls_per_rollout(&self) -> u64 {
        self.most_calls.load(Ordering::SeqCst)
    }

    /// What the rollouts were settled with, and the most that was reserved for a request of theirs.
    pub(crate) fn paid(&self) -> (Usage, Usage) {
        *self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Language-model calls that the budget has left; `None` without a limit of calls, tokens or money.
    /// What is left of tokens and money counts in calls that cost what this runner's did so far.
    pub fn remaining_calls(&self) -> Option<u64> {
        let (spent, largest) = self.paid();
        self.ledger.remaining_by(spent, largest)
    }

    /// Rollouts that may still be made; `None` without any limit. A call budget counts with the
    /// most calls that a rollout may take.
    pub fn affordable_rollouts(&self) -> Option<u64> {
        let by_calls = self.remaining_calls().map(|calls| calls / self.calls_per_rollout());
        let by_count = self.ledger.remaining_rollouts().filter(|_| self.counts);
        match (by_calls, by_count) {
            (Some(calls), Some(count)) => Some(calls.min(count)),
            (calls, count) => calls.or(count),
        }
    }

    /// What was done so far.
    pub fn totals(&self) -> RolloutTotals {
        self.with_totals(|totals| *totals)
    }

    /// Whether any rollout got its replies: where none did, model or set-up is at fault.
    pub fn anything_went_through(&self) -> bool {
        self.with_refusals(|refusals| refusals.anything_went_through())
    }

    /// Why rollouts failed: each reason once, in the order in which they came, with the rows that the provider
    /// refuses and that are not sent again. At most 20 reasons.
    pub fn reasons(&self) -> Vec<FailureReason> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.with_refusals(|refusals| {
            for reason in reasons.iter_mut().filter(|reason| reason.kind == FailureKind::Provider) {
                let is_same = |message: &str| shorten(message, LONGEST_REASON) == reason.message;
                reason.rows_left_out = refusals.rows_left_out(is_same);
            }
        });
        reasons
    }

    /// Makes the rollouts of `jobs`, and gives their traces in the order of the jobs.
    ///
    /// A predictor that a job has no prompt for uses its own. Equal jobs are made once.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all of them are made, or the store fails.
    pub async fn run(&self, jobs: &[RolloutJob]) -> Result<Vec<Arc<Trace>>, Halt> {
        let mut traces = Vec::with_capacity(jobs.len());
        self.run_into(jobs, &mut traces).await?;
        Ok(traces.into_iter().flatten().collect())
    }

    /// The same for whoever wants to keep what was made before the run ended: `traces` gets one place a job, `None`
    /// where the run ended before it.
    ///
    /// The budget goes to jobs in their order, and an error that ends the run counts in that order, too, so `traces`
    /// does not depend on timing. A refused job and all behind it that had to be made have no trace.
    ///
    /// # Errors
    ///
    /// As [`RolloutRunner::run`].
    pub async fn run_into(
        &self,
        jobs: &[RolloutJob],
        traces: &mut Vec<Option<Arc<Trace>>>,
    ) -> Result<(), Halt> {
        self.run_as(jobs, traces, self.memory.as_deref()).await
    }

    /// The same where whoever asks remembers what the traces say, so that only a store of the user's keeps them.
    pub(crate) async fn run_once_into(
        &self,
        jobs: &[RolloutJob],
        traces: &mut Vec<Option<Arc<Trace>>>,
    ) -> Result<(), Halt> {
        self.run_as(jobs, traces, None).await
    }

    async fn run_as(
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
        let first = plan.units.iter().filter(|unit| !unit.known).take(refusals::FIRST);
        let refused = first.filter(|unit| {
            unit.refusal().is_some_and(|_| unit.failure().is_some_and(|failure| failure.fatal))
        });
        !self.anything_went_through() && refused.count() == refusals::FIRST
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
        );
        // What a rollout that is dropped or refused did cost counts all the same.
        let mut unfinished = Unfinished { runner: self, context: &context, account, counts: true };
        let trace = run_once(self.program, &context, Arc::clone(&job.example)).await;
        let refused = unfinished.account.seat().refused();
        unfinished.counts = refused.is_some();
        match refused {
            None => Made::Run(Box::new(trace), context.calls()),
            Some(_) => Made::Refused,
        }
    }

    fn key(&self, prompts: ContentHash, example: ContentHash, sample: u64) -> RolloutKey {
        ContentHash::join([
            self.program_hash.as_bytes(),
            self.known.profile.id.as_bytes(),
            prompts.as_bytes(),
            example.as_bytes(),
            &sample.to_le_bytes(),
        ])
    }

    /// What the models that rollouts call besides the runner's own may cost, where there are any.
    fn others(&self) -> Option<Others> {
        let others: Vec<_> = self.program.other_models().iter().map(|model| model.profile()).collect();
        let longest = others.iter().map(|model| model.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)).max()?;
        let max_tokens = u64::from(longest);
        let prices: Option<Vec<Price>> = others.iter().map(|model| self.ledger.price_of(model)).collect();
        let price = prices.and_then(|prices| {
            Some(Price::new(
                prices.iter().map(|price| price.prompt).max()?,
                prices.iter().map(|price| price.completion).max()?,
            ))
        });
        Some(Others { price, max_tokens })
    }

    async fn known(&self, key: &RolloutKey) -> Result<Option<Arc<Trace>>, Error> {
        let store =
            self.store.as_deref().or(self.memory.as_deref().map(|memory| memory as &dyn RolloutStore));
        let Some(store) = store else { return Ok(None) };
        store.get(key).await.map_err(|source| Error::Store { doing: "looking up a rollout".into(), source })
    }

    async fn keep(
        &self,
        store: Option<&dyn RolloutStore>,
        key: RolloutKey,
        trace: &Arc<Trace>,
    ) -> Result<(), Error> {
        let Some(store) = store else { return Ok(()) };
        // What the provider or the metric failed at may succeed another time, so it is not known.
        if trace.evidence().is_none() {
            return Ok(());
        }
        store
            .put(key, Arc::clone(trace))
            .await
            .map_err(|source| Error::Store { doing: "keeping a rollout".into(), source })
    }

    fn note(&self, trace: &Trace, reused: bool) {
        let failure = trace.error.as_ref().map(|failure| failure.kind);
        self.with_totals(|totals| {
            if reused {
                totals.reused += 1;
            } else {
                totals.made += 1;
                totals.usage += trace.usage;
                totals.calls_of_steps += trace.steps.iter().map(|step| step.usage.calls).sum::<u64>();
            }
        });
        if self.counts && !reused {
            self.ledger.note_rollout();
        }
        let calls = if reused { 0 } else { trace.usage.calls };
        self.observer.observe(&Event::Rollout { score: trace.score_value(), failure, reused, calls });
    }

    fn note_reason(&self, failure: &Failure) {
        let message = shorten(&failure.message, LONGEST_REASON);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reasons.iter_mut().find(|one| one.kind == failure.kind && one.message == message);
        if let Some(known) = known {
            known.rollouts += 1;
        } else if reasons.len() < MOST_REASONS {
            reasons.push(FailureReason::new(failure.kind, message, 1));
        }
    }

    fn with_refusals<T>(&self, work: impl FnOnce(&mut Refusals) -> T) -> T {
        work(&mut self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_totals<T>(&self, work: impl FnOnce(&mut RolloutTotals) -> T) -> T {
        work(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a program once on one example and judges what it answers. Never fails: what goes wrong is
/// part of the trace, which takes over the steps that the context has recorded.
pub async fn run_once(program: &dyn Evaluator, context: &CallContext, example: Arc<Example>) -> Trace {
    let answered = program.run(context, &example.inputs()).await;
    let mut trace = Trace::new(example);
    match answered {
        Err(error) => trace.error = Some(Failure::from_program(&error)),
        Ok(prediction) => {
            match program.metric().score(context, &trace.example, &prediction).await {
                Ok(score) => match score.flaw() {
                    None => trace.score = Some(score),
                    Some(flaw) => trace.error = Some(Failure::metric(format!("the metric {flaw}"))),
                },
                Err(error) => trace.error = Some(Failure::from_metric(&error)),
            }
            trace.prediction = Some(prediction);
        }
    }
    (trace.steps, trace.usage) = context.take_record();
    trace
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
