//! Rollouts: the one way in which every stage runs a program.
//!
//! It needs no runtime: all rollouts of a batch are futures of one task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use promptopt_core::data::{ContentHash, Example, shorten};
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Price, Usage};
use promptopt_core::program::{CallContext, Cancellation, Evaluator};
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::{Failure, FailureCounts, FailureKind, Trace};

use crate::layer::{Known, default_max_tokens};
use crate::outcome::FailureReason;
use crate::refusals::Refusals;
use crate::turns::Others;
use crate::{
    Error, Event, Executor, Halt, Ledger, MemoryStore, NoObserver, Observer, RolloutKey, RolloutStore,
};

mod batch;

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
    /// Those in which the program answered.
    pub answered: u64,
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
    /// The ledger's time, for the steps.
    now: Arc<dyn Fn() -> Duration + Send + Sync>,
    concurrency: usize,
    max_errors: Option<u64>,
    /// Whether its rollouts are those whose number is limited.
    counts: bool,
    /// The calls that must be left for a rollout to begin, where that is less than the most it may make.
    pub(crate) least_calls: Option<u64>,
    /// The most calls that one rollout made.
    most_calls: AtomicU64,
    /// Who makes them, if not this process.
    executor: Option<Arc<dyn Executor>>,
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
        let ledger = Arc::<Ledger>::default();
        Self {
            program_hash: ContentHash::of(&(program.name(), shape, others)),
            program,
            known: Known { price: profile.price, profile },
            model,
            store: None,
            memory: None,
            now: time_of(&ledger),
            ledger,
            concurrency: 8,
            max_errors: None,
            counts: true,
            least_calls: None,
            most_calls: AtomicU64::new(program.calls_per_rollout().max(1)),
            executor: None,
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
        self.now = time_of(&ledger);
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

    /// Who makes the rollouts; `None`: this process.
    #[must_use]
    pub fn executor(mut self, executor: Option<Arc<dyn Executor>>) -> Self {
        self.executor = executor;
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

    /// Takes what rollouts took for the most that others will take, and half as much again: further requests may be
    /// longer than the first. One that needs more gets it where there is room.
    pub(crate) fn learn_calls(&self, traces: &[Option<Arc<Trace>>]) {
        let most = traces.iter().flatten().map(|trace| trace.usage.calls).max().unwrap_or_default();
        if most > 0 {
            let learnt = most + most.div_ceil(2);
            self.most_calls.store(learnt.min(self.calls_per_rollout()), Ordering::SeqCst);
        }
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

    /// Rollouts that the budget of rollouts alone leaves; `None` where they are not limited or do not count.
    pub fn remaining_rollouts(&self) -> Option<u64> {
        self.ledger.remaining_rollouts().filter(|_| self.counts)
    }

    /// What was done so far.
    pub fn totals(&self) -> RolloutTotals {
        self.with_totals(|totals| *totals)
    }

    /// Whether any rollout got its replies: where none did, model or set-up is at fault.
    pub fn anything_went_through(&self) -> bool {
        self.with_refusals(|refusals| refusals.anything_went_through())
    }

    /// How many rows the provider refuses or never answers, and that are not sent again.
    pub fn rows_left_out(&self) -> u64 {
        self.with_refusals(|refusals| refusals.rows_left_out(|_| true))
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
        let longest =
            others.iter().map(|model| model.max_tokens.unwrap_or_else(|| default_max_tokens(model))).max()?;
        let max_tokens = u64::from(longest);
        let prices: Option<Vec<Price>> = others.iter().map(|model| self.ledger.price_of(model)).collect();
        let price = prices.and_then(|prices| {
            Some(Price::new(
                prices.iter().map(Price::dearest_prompt).max()?,
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
                totals.answered += u64::from(trace.prediction.is_some());
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

fn time_of(ledger: &Arc<Ledger>) -> Arc<dyn Fn() -> Duration + Send + Sync> {
    let ledger = Arc::clone(ledger);
    Arc::new(move || ledger.elapsed())
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
