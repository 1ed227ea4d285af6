//! The beginning of a run: options checked, data divided, models chosen, the original evaluated.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::Budget;
use promptopt_core::program::{Evaluator, ModuleExt as _, check_program};
use promptopt_core::prompt::Origin;
use promptopt_core::trace::Trace;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::Run;
use super::inputs::unknown_input;
use crate::division::{Division, check_budget, divide, too_early, unpriced};
use crate::{
    Board, Error, Halt, Ledger, RolloutRunner, RunOptions, Setup, Strategy, SystemClock, TrialKind, bounds,
    calls_of_a_rollout, unfit_formats,
};

/// Of the training examples, this part is held back for the winner's confirmation,
const HELD_BACK: usize = 5;
/// at most so many,
const MOST_HELD_BACK: usize = 50;
/// and none when there would be fewer than these.
const FEWEST_HELD_BACK: usize = 5;
/// What is held back takes at most one part in so many of the run.
const SMALL: u64 = 20;

pub(super) fn bare<'p>(program: &'p dyn Evaluator, options: RunOptions) -> Result<Run<'p>, Error> {
    options.check()?;
    let model = task_model(program, &options)?;
    let ledger = ledger(program, &model, &options, &[])?;
    Ok(Run::with(program, model, options, ledger))
}

impl<'p> Run<'p> {
    /// A run of a strategy, before anything is called: options checked, data divided, models chosen.
    ///
    /// # Errors
    ///
    /// When options, program or data cannot serve.
    pub fn open(
        strategy: &(impl Strategy + ?Sized),
        program: &'p dyn Evaluator,
        trainset: Vec<Example>,
    ) -> Result<Self, Error> {
        check_program(program)?;
        let options = strategy.options();
        options.check()?;
        let model = task_model(program, &options)?;
        let Division { train, selection } = divide(trainset, options.valset.as_deref(), options.seed)?;
        let mut setup = Setup {
            program,
            options: &options,
            train,
            selection,
            models: Vec::new(),
            notes: Vec::new(),
            confirm: false,
            rollouts: None,
        };
        strategy.prepare(&mut setup)?;
        let Setup { mut train, selection, models, mut notes, confirm, rollouts, .. } = setup;
        notes.extend(bounds::check(&options, &program.candidate().prompts)?);
        let limits = options.limits();
        check_budget("max_calls", limits.calls, selection.len())?;
        check_budget("max_metric_calls", limits.rollouts, selection.len())?;
        let ledger = ledger(program, &model, &options, &models)?;
        let confirm = options.confirm.unwrap_or(confirm);
        let held_back = match confirm {
            true => hold_back(&mut train, limits, rollouts, options.seed),
            false => Vec::new(),
        };
        let mut run = Self::with(program, model, options, ledger);
        run.kept_back = 2 * held_back.len() as u64;
        (run.train, run.held_back, run.board, run.notes) = (train, held_back, Board::new(selection), notes);
        run.confirm = confirm;
        run.restrict();
        Ok(run)
    }

    /// Evaluates the original on the whole selection set. Everything else has to beat it. Gives the reason where the
    /// run has to end right after it.
    pub(crate) async fn begin(&mut self) -> Result<Option<Halt>, Error> {
        let selection = self.board.examples().len();
        self.stage("baseline", format!("the original on {selection} selection examples"));
        let mut original = self.program.candidate();
        original.origin = Origin::original();
        // Prompts that are written anew ask as the original does.
        let own = original
            .prompts
            .iter()
            .filter_map(|(path, prompt)| Some((path.to_owned(), prompt.format.clone()?)));
        self.board.ask_in(own.collect());
        let original = self.enter(original);
        let everything = self.board.open(original);
        // Without all of it nothing can be judged, so a cap that is just enough is used to its last call.
        self.runner.least_calls = Some(calls_of_a_rollout(self.program).low);
        let mut traces = Vec::new();
        let ended = self.score_into(&[(original, everything.clone())], Some(&mut traces)).await;
        self.note_trial(TrialKind::BASELINE, original, &everything);
        self.runner.least_calls = None;
        if self.program.calls_vary() {
            self.runner.learn_calls(&traces);
        } else {
            self.tell_of_further_calls();
        }
        self.change_formats(&traces);
        self.note_uncounted();
        self.note_unasked(&traces);
        let elsewhere = self.options.executor.as_ref().map(|executor| executor.notes());
        for note in self.program.notes().into_iter().chain(elsewhere.into_iter().flatten()) {
            self.warn(note);
        }
        let made: Vec<Arc<Trace>> = traces.iter().flatten().cloned().collect();
        if self.board.is_full(original)
            && let Err(error) = self.program.check(&made)
        {
            return Err(Error::Program { reason: format!("{error:#}") });
        }
        if let Some(reason) = unknown_input(self.program, self.board.examples(), &traces) {
            return Err(Error::Data { reason });
        }
        match ended.err() {
            Some(Halt::Failed(error)) => Err(error),
            None if !self.runner.anything_went_through() && self.runner.totals().made > 0 => {
                Err(all_refused(&self.runner))
            }
            halt if self.board.is_full(original) && self.board.mean(original).is_some() => Ok(halt),
            halt => Err(too_early(halt.as_ref().and_then(Halt::stop), self.board.first_failure())),
        }
    }
}

impl Run<'_> {
    /// Lets predictors ask in another format from now on, where the model hardly ever kept to the first one.
    fn change_formats(&mut self, traces: &[Option<Arc<Trace>>]) {
        let formats = unfit_formats(self.program, traces);
        for (path, format) in &formats {
            self.warn(format!(
                "the replies to `{path}` hardly ever fit its format at the first attempt: from now on it asks in \
                 `{format}`, which was read at the second"
            ));
        }
        if !formats.is_empty() {
            self.board.ask_in(formats);
        }
    }

    /// Says so where a rollout made more calls than the program says.
    fn tell_of_further_calls(&mut self) {
        let (said, made) = (self.program.calls_per_rollout().max(1), self.runner.calls_per_rollout());
        if made > said && self.ledger.is_limited() {
            self.warn(format!(
                "a rollout made {made} calls, and the program says that one makes at most {said}; its \
                 `calls_per_rollout` should say {made}, so that the budget is planned by it"
            ));
        }
    }
}

/// The error of a run in which no row got a reply.
fn all_refused(runner: &RolloutRunner<'_>) -> Error {
    let first = runner.reasons().into_iter().next().map(|reason| reason.message);
    Error::Model { message: format!("no row got a reply; the first error: {}", first.unwrap_or_default()) }
}

fn task_model(program: &dyn Evaluator, options: &RunOptions) -> Result<Arc<dyn LanguageModel>, Error> {
    options.task_model.clone().or_else(|| program.language_model()).ok_or_else(|| {
        Error::option("task_model", "the program has no model of its own, so one must be given")
    })
}

/// The ledger of a run. Where money is limited, the price of every model must be known.
fn ledger(
    program: &dyn Evaluator,
    model: &Arc<dyn LanguageModel>,
    options: &RunOptions,
    others: &[Arc<dyn LanguageModel>],
) -> Result<Ledger, Error> {
    let limits = options.limits();
    let clock = options.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::default()));
    let ledger = Ledger::with(limits, options.prices.clone().unwrap_or_default(), clock);
    if limits.money.is_some() {
        let own = program.other_models();
        let models = [Some(model), options.prompt_model.as_ref()].into_iter().flatten();
        for model in models.chain(others).chain(&own) {
            let profile = model.profile();
            if ledger.price_of(&profile).is_none() {
                return Err(Error::option("budget", unpriced(&profile.id)));
            }
        }
    }
    Ok(ledger)
}

/// Takes training examples out that the winner is measured on at the end, where that is small against the run.
fn hold_back(
    train: &mut Vec<Arc<Example>>,
    limits: Budget,
    rollouts: Option<u64>,
    seed: u64,
) -> Vec<Arc<Example>> {
    let count = (train.len() / HELD_BACK).min(MOST_HELD_BACK);
    let sizes = [limits.calls, limits.rollouts, rollouts];
    let is_small = sizes.into_iter().flatten().all(|size| size >= SMALL * count as u64);
    if count < FEWEST_HELD_BACK || !is_small {
        return Vec::new();
    }
    train.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ 0xC0F1));
    train.split_off(train.len() - count)
}
