//! A run: what there is, what costs, and what is told.

use std::sync::Arc;

use promptopt_core::data::{Example, Fields};
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Budget, Limit, Usage};
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_core::prompt::PromptCandidate;
use promptopt_core::trace::Trace;
use serde::Serialize;

use crate::records::Withheld;
use crate::reserve::Reserve;
use crate::{
    Board, Event, Halt, Ledger, MemoryStore, NoObserver, Observer, RolloutCost, RolloutJob, RolloutRunner,
    RolloutTotals, RunOptions, StopReason, Trial, TrialKind,
};

mod choice;
mod close;
mod fit;
mod headroom;
mod inputs;
mod open;
mod own_instruction;
mod prune;
mod uncounted;
mod writers;

/// Bytes of traces that a run without a store remembers. Rollouts on selection examples are not among them: the board
/// knows what came of those.
const REMEMBERED: usize = 64 * 1024 * 1024;

/// So many traces of selection examples are held at once.
const AT_ONCE: usize = 16_384;

/// One search for better prompts: a program, its examples, its budget, its scores, and what is reported on the way.
///
/// A strategy gets one from [`Optimizer::compile`](crate::Optimizer::compile). Whoever wants a stage alone makes one
/// in a line:
///
/// ```
/// # use std::sync::Arc;
/// use promptopt_core::program::ModuleExt as _;
/// use promptopt_run::{Run, evaluate};
/// # use promptopt_testkit::{HiddenRules, toy};
/// # pollster::block_on(async {
/// # let task = HiddenRules::new(12, 1);
/// # let examples: Vec<_> = task.examples(50).into_iter().map(Arc::new).collect();
///
/// let program = toy::answerer().with_metric(toy::exact_answer());
/// let mut run = Run::bare(&program, Arc::new(task.model(1)));
/// let evaluation = evaluate(&mut run, &Arc::default(), &examples).await?;
/// assert!(evaluation.estimate.low < evaluation.estimate.mean);
/// # Ok::<(), promptopt_run::Halt>(())
/// # }).unwrap();
/// ```
pub struct Run<'p> {
    options: RunOptions,
    program: &'p dyn Evaluator,
    prompt_model: Arc<dyn LanguageModel>,
    task_model: Arc<dyn LanguageModel>,
    ledger: Arc<Ledger>,
    memory: Arc<MemoryStore>,
    observer: Arc<dyn Observer>,
    runner: RolloutRunner<'p>,
    train: Vec<Arc<Example>>,
    /// Training examples that nothing is run on before the end.
    held_back: Vec<Arc<Example>>,
    board: Board,
    /// The limits of the part that is under way.
    part: Budget,
    /// Rollouts that are kept from the search.
    kept_back: u64,
    /// What is kept back for rollouts that come after the run.
    reserve: Reserve,
    /// The candidate that the part under way began with, and the rollouts that parts before it made.
    base: usize,
    rollouts_before: u64,
    /// The best mean when the last step began, and how many steps did not raise it.
    steps: Option<(f64, usize)>,
    trials: Vec<Trial>,
    pub(crate) notes: Vec<String>,
    details: Fields,
    /// What the texts cost that the prompt model wrote, and what it was not to be shown.
    writing: Usage,
    pub(crate) withheld: Withheld,
    /// The most demos of a predictor, where more did not fit the model's context window.
    most_demos: Option<usize>,
    /// What rollouts of other programs came to, such as a teacher's.
    others: RolloutTotals,
    /// Whether the winner is to be measured once more.
    confirm: bool,
    writers: writers::Writers,
}

/// What there is.
impl<'p> Run<'p> {
    /// A run without data, budget or baseline, for a stage that is used alone.
    pub fn bare(program: &'p dyn Evaluator, model: Arc<dyn LanguageModel>) -> Self {
        Self::with(program, model, RunOptions::default(), Ledger::default())
    }

    /// A run without data and baseline under some options, for a stage that is used alone.
    ///
    /// # Errors
    ///
    /// [`Error::Option`](crate::Error::Option) when there is no model, or an option has a value it cannot have.
    pub fn of(program: &'p dyn Evaluator, options: RunOptions) -> Result<Self, crate::Error> {
        open::bare(program, options)
    }

    fn with(
        program: &'p dyn Evaluator,
        model: Arc<dyn LanguageModel>,
        options: RunOptions,
        ledger: Ledger,
    ) -> Self {
        let observer = options.observer.clone().unwrap_or_else(|| Arc::new(NoObserver));
        let ledger = Arc::new(ledger);
        let prompt_model = options.prompt_model.clone().unwrap_or_else(|| Arc::clone(&model));
        let mut run = Self {
            runner: RolloutRunner::new(program, Arc::clone(&model)),
            program,
            prompt_model,
            task_model: model,
            ledger,
            memory: Arc::new(MemoryStore::of_latest(REMEMBERED)),
            observer,
            train: Vec::new(),
            held_back: Vec::new(),
            board: Board::default(),
            part: Budget::default(),
            kept_back: 0,
            reserve: Reserve::under(&options),
            base: 0,
            rollouts_before: 0,
            steps: None,
            trials: Vec::new(),
            notes: Vec::new(),
            details: Fields::new(),
            writing: Usage::default(),
            withheld: Withheld::default(),
            most_demos: None,
            others: RolloutTotals::default(),
            confirm: false,
            writers: writers::Writers::default(),
            options,
        };
        run.runner = run.runner_of(program, Arc::clone(&run.task_model));
        run
    }

    /// The options.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// The program.
    pub fn program(&self) -> &'p dyn Evaluator {
        self.program
    }

    /// The model the program runs on.
    pub fn task_model(&self) -> &Arc<dyn LanguageModel> {
        &self.task_model
    }

    /// The model that writes instructions.
    pub fn prompt_model(&self) -> &Arc<dyn LanguageModel> {
        &self.prompt_model
    }

    /// Training examples: what instructions and demos are made from.
    pub fn train(&self) -> &[Arc<Example>] {
        &self.train
    }

    /// What is known of every candidate on the selection set.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What was spent, and what may be.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What makes the program's rollouts.
    pub fn runner(&self) -> &RolloutRunner<'p> {
        &self.runner
    }

    /// The calls that the part of the run under way may have made when it is over; `None` where calls are not
    /// limited.
    pub fn calls_allotted(&self) -> Option<u64> {
        self.limits().calls
    }

    /// The candidate that a search begins with: the original, or what the strategy before found.
    pub fn base(&self) -> PromptCandidate {
        self.board.candidates().get(self.base).cloned().unwrap_or_else(|| self.program.candidate())
    }

    /// The candidate with the highest mean on the whole selection set, and that mean. Of equals the first.
    pub fn best(&self) -> (usize, f64) {
        let best = self.board.best().unwrap_or(0);
        (best, self.board.mean(best).unwrap_or(0.0))
    }

    /// Another selection set, on an empty board: for a stage that is used alone.
    pub fn select_on(&mut self, examples: Vec<Arc<Example>>) {
        self.board = Board::new(examples);
    }

    /// A runner of another program in this run, such as a teacher. What it made is booked with
    /// [`Run::note_rollouts`].
    pub fn runner_of<'o>(
        &self,
        program: &'o dyn Evaluator,
        model: Arc<dyn LanguageModel>,
    ) -> RolloutRunner<'o> {
        // Whoever makes the run's rollouts has its program and no other one.
        let is_own = std::ptr::addr_eq(program, self.program);
        let executor = self.options.executor.clone().filter(|_| is_own);
        let runner = RolloutRunner::new(program, model).executor(executor);
        let runner = match &self.options.store {
            Some(store) => runner.store(Arc::clone(store)),
            None => runner.memory(Arc::clone(&self.memory)),
        };
        runner
            .concurrency(self.options.concurrency)
            .ledger(Arc::clone(&self.ledger))
            .max_errors(Some(self.options.max_errors))
            .beside(&self.runner)
            .cancellation(self.options.cancellation.clone())
            .observer(Arc::clone(&self.observer))
    }
}

/// What costs, and what ends the run.
impl Run<'_> {
    /// Makes rollouts of the program, and gives their traces in the order of the jobs.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all are made.
    pub async fn rollouts(&mut self, jobs: &[RolloutJob]) -> Result<Vec<Arc<Trace>>, Halt> {
        let mut traces = Vec::with_capacity(jobs.len());
        self.rollouts_into(jobs, &mut traces).await?;
        Ok(traces.into_iter().flatten().collect())
    }

    /// The same for whoever keeps what was made before the run ended; see [`RolloutRunner::run_into`].
    ///
    /// # Errors
    ///
    /// As [`Run::rollouts`].
    pub async fn rollouts_into(
        &mut self,
        jobs: &[RolloutJob],
        traces: &mut Vec<Option<Arc<Trace>>>,
    ) -> Result<(), Halt> {
        self.make(jobs, traces, true).await
    }

    /// Makes rollouts, and remembers their traces where these may be asked for again.
    async fn make(
        &mut self,
        jobs: &[RolloutJob],
        traces: &mut Vec<Option<Arc<Trace>>>,
        remember: bool,
    ) -> Result<(), Halt> {
        if !self.reserve.is_nothing() {
            let price = self.ledger.price_of(&self.task_model.profile());
            self.reserve.expect(&self.program.candidate().prompts, jobs, price);
            self.restrict();
        }
        let (began, before, paid) = (self.ledger.elapsed(), self.runner.totals().made, self.runner.paid().0);
        let first = traces.len();
        let ended = match remember {
            true => self.runner.run_into(jobs, traces).await,
            false => self.runner.run_once_into(jobs, traces).await,
        };
        let traces = traces.get(first..).unwrap_or_default();
        self.note_fit(jobs, traces.iter().map(Option::as_ref));
        ended?;
        if !self.reserve.is_nothing() {
            let made = self.runner.totals().made - before;
            let paid = self.runner.paid().0.saturating_sub(paid);
            let took = self.ledger.elapsed().saturating_sub(began);
            self.reserve.note(made, paid, took);
            self.reserve.note_traces(jobs, traces);
            self.restrict();
        }
        Ok(())
    }

    /// Enters a candidate. One with the same prompts is the same candidate. One with more demos than fit
    /// ([`Run::most_demos`]) is entered with those that do, and one without texts that must stay ([`Run::bounds`]) with
    /// them.
    pub fn enter(&mut self, candidate: PromptCandidate) -> usize {
        let discovered = (self.ledger.spent(), self.runner.totals().made);
        self.board.enter(self.mended(self.fitted(candidate)), discovered)
    }

    /// Rolls out candidates on selection examples (by index). Pairs that are known are not run again; all others run
    /// at once.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all are made; what was made is on the board.
    pub async fn score(&mut self, wanted: &[(usize, Vec<usize>)]) -> Result<(), Halt> {
        self.score_into(wanted, None).await
    }

    /// The same for whoever wants the first traces, too.
    async fn score_into(
        &mut self,
        wanted: &[(usize, Vec<usize>)],
        mut first: Option<&mut Vec<Option<Arc<Trace>>>>,
    ) -> Result<(), Halt> {
        let mut ended = Ok(());
        for pairs in self.board.unknown(wanted).chunks(AT_ONCE) {
            // The board remembers what they said, and nothing else is asked of them.
            let mut traces = Vec::with_capacity(pairs.len());
            ended = self.make(&self.board.jobs(pairs), &mut traces, false).await;
            self.board.record(pairs, &traces);
            if let Some(first) = first.take() {
                *first = traces;
            }
            if ended.is_err() {
                break;
            }
        }
        self.board.add_up(wanted.iter().map(|(candidate, _)| *candidate));
        ended
    }

    /// The same, and notes a trial of each.
    ///
    /// # Errors
    ///
    /// As [`Run::score`].
    pub async fn try_out(&mut self, kind: TrialKind, wanted: &[(usize, Vec<usize>)]) -> Result<(), Halt> {
        let ended = self.score(wanted).await;
        for (candidate, examples) in wanted {
            self.note_trial(kind.clone(), *candidate, examples);
        }
        ended
    }

    /// Looks whether the run has to end before more is begun.
    ///
    /// # Errors
    ///
    /// [`Halt`] when it was cancelled, the target is reached, the stop file is there, or the time is up.
    pub fn check(&self) -> Result<(), Halt> {
        let options = &self.options;
        let stop = if options.cancellation.is_cancelled() {
            StopReason::Cancelled
        } else if options.target_score.is_some_and(|target| self.best().1 >= target) {
            StopReason::TargetReached
        } else if let Some((_, steps)) = self.steps
            && options.patience.is_some_and(|patience| steps >= patience)
        {
            StopReason::NoImprovement { steps }
        } else if options.stop_file.as_ref().is_some_and(|file| file.exists()) {
            StopReason::StopFile
        } else if self.ledger.is_out_of_time() {
            self.ledger.note_exhausted(Limit::WallTime);
            StopReason::Budget
        } else {
            return Ok(());
        };
        Err(Halt::Stopped(stop))
    }

    /// Begins a step of the search: a stretch of work that could have raised the best mean.
    ///
    /// # Errors
    ///
    /// As [`Run::check`]; also when the last steps brought no improvement and patience is at its end.
    pub fn step(&mut self) -> Result<(), Halt> {
        let best = self.best().1;
        self.steps = Some(match self.steps {
            Some((before, steps)) if best <= before => (before, steps + 1),
            _ => (best, 0),
        });
        self.check()
    }

    /// Begins a part of the run with limits of its own, which starts from the best prompts so far.
    pub(crate) fn begin_part(&mut self, name: &str, limits: Budget) {
        self.part = limits;
        self.base = self.best().0;
        self.rollouts_before = self.ledger.rollouts().saturating_sub(self.board.examples().len() as u64);
        self.steps = None;
        self.restrict();
        self.stage("strategy", name.to_owned());
    }

    /// Allows the part of the run under way no more rollouts than this, the baseline included.
    pub fn limit_rollouts(&mut self, rollouts: u64) {
        let rollouts = self.rollouts_before + rollouts;
        self.part = self.part.tightest(Budget::default().with_rollouts(rollouts));
        self.restrict();
    }

    fn restrict(&self) {
        self.ledger.restrict(self.limits());
    }

    /// The limits of the part under way, without what is kept back.
    fn limits(&self) -> Budget {
        let whole = self.reserve.taken_from(self.options.limits(), self.runner.paid().1);
        let mut limits = whole.tightest(self.part);
        limits.rollouts = limits.rollouts.map(|most| most.saturating_sub(self.kept_back));
        limits
    }

    /// Rollouts that are kept from the search, to measure the winner once more.
    pub fn kept_back(&self) -> u64 {
        self.kept_back
    }

    /// How many rollouts may be made now if so many are to be made later; `None` without any limit.
    pub fn spare(&self, later: usize) -> Option<u64> {
        RolloutCost::spare(&self.runner, later)
    }
}

/// What is told.
impl Run<'_> {
    /// Says that a stage begins.
    pub fn stage(&self, name: &str, detail: String) {
        self.observe(&Event::Stage { name: name.to_owned(), detail });
    }

    /// Tells the observer of something.
    pub fn observe(&self, event: &Event) {
        self.observer.observe(event);
    }

    /// Tells the observer of an instruction that the prompt model wrote, and why it was dropped, if it was.
    pub fn observe_proposal(&self, predictor: &str, instruction: &str, dropped: Option<&str>) {
        self.count_proposal(dropped);
        self.observe_instruction(predictor, instruction, dropped);
    }

    /// The same of an instruction that came from elsewhere, such as a template.
    pub fn observe_instruction(&self, predictor: &str, instruction: &str, dropped: Option<&str>) {
        self.observe(&Event::Proposal {
            predictor: predictor.to_owned(),
            instruction: instruction.to_owned(),
            dropped: dropped.map(str::to_owned),
        });
    }

    /// Notes what a user should know when the run is over.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The same, and says it at once.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.observe(&Event::Warning { message: text.clone() });
        self.note(text);
    }

    /// Puts a detail of the strategy's own into the outcome, in place of what stood there under that name.
    pub fn detail(&mut self, name: &str, value: impl Serialize) {
        self.details.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    /// Notes an evaluation of a candidate on these selection examples, as far as they are known.
    pub fn note_trial(&mut self, kind: TrialKind, candidate: usize, examples: &[usize]) {
        let known: Vec<_> =
            examples.iter().filter_map(|example| self.board.evidence(candidate, *example)).collect();
        let scores: Vec<f64> = known.iter().filter_map(|evidence| evidence.score).collect();
        let score = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
        let failures = known.iter().filter(|evidence| evidence.failed).count();
        self.note_trial_of(kind, candidate, known.len(), score, failures);
    }

    /// Notes an evaluation of a candidate on examples that are not those of the selection set.
    pub fn note_trial_of(
        &mut self,
        kind: TrialKind,
        candidate: usize,
        examples: usize,
        score: Option<f64>,
        failures: usize,
    ) {
        let before = self.trials.last().map_or(0.0, |trial| trial.best_so_far);
        let full = self.board.candidates().get(candidate).and_then(|candidate| candidate.score);
        let trial = Trial {
            kind,
            candidate,
            examples,
            score,
            failures,
            calls_so_far: self.ledger.spent(),
            best_so_far: full.map_or(before, |full| full.max(before)),
        };
        if self.options.track_stats {
            self.observe(&Event::Trial(trial.clone()));
        }
        self.trials.push(trial);
    }

    /// Books what the rollouts of another program came to.
    pub fn note_rollouts(&mut self, totals: RolloutTotals) {
        self.others.usage += totals.usage;
        self.others.reused += totals.reused;
        self.others.failures = self.others.failures + totals.failures;
    }

    pub(crate) fn note_writing(&mut self, usage: Usage) {
        self.writing += usage;
    }
}
