//! The ascent: what was tried, how it scored, and what is best so far.

use promptopt_core::{
    DepthStatistics, Error, Event, Origin, Outcome, Prompt, PromptCandidate, RolloutRunner, Spending,
    StopReason, Trial, TrialKind, Usage,
};
use promptopt_evaluator::{RaceEnd, Raced, Scoreboard, compare, race, session};

use crate::attempts::{self, Attempt};
use crate::author::Authored;
use crate::plan::{Plan, Room};

/// Confidence level of intervals.
const LEVEL: f64 = 0.95;

pub(crate) struct Ascent<'a, 'r, 'p> {
    plan: &'a Plan<'a>,
    board: Scoreboard<'r, 'p>,
    trials: Vec<Trial>,
    depths: Vec<DepthStatistics>,
    /// Candidates that the budget, and no test, kept from being evaluated in full.
    cut_short: usize,
    notes: Vec<String>,
    stop: Option<StopReason>,
}

impl<'a, 'r, 'p> Ascent<'a, 'r, 'p> {
    /// Evaluates the original on the whole selection set.
    ///
    /// # Errors
    ///
    /// When the run ends before that is done, or the rollout store fails.
    pub(crate) async fn begin(
        plan: &'a Plan<'a>,
        runner: &'r RolloutRunner<'p>,
        original: PromptCandidate,
    ) -> Result<Self, Error> {
        plan.session
            .tell_stage("baseline", format!("the original on {} selection examples", plan.selection.len()));
        let mut board = Scoreboard::new(runner, plan.selection.clone()).map_err(evaluation)?;
        let original = board.enter(PromptCandidate { origin: Origin::Original, ..original });
        let open = board.open(original);
        let stop = board.roll_out(&[(original, open)]).await.map_err(evaluation)?;
        if !board.is_full(original) || board.mean(original).is_none() {
            return Err(session::too_early(stop.as_ref(), board.first_failure()));
        }
        let notes = plan.notes.clone();
        let mut ascent =
            Self { plan, board, trials: Vec::new(), depths: Vec::new(), cut_short: 0, notes, stop };
        ascent.note_trial(TrialKind::Baseline, original, runner.spent_calls());
        Ok(ascent)
    }

    /// The candidate with the highest score on the whole selection set; of equals the earlier.
    pub(crate) fn best(&self) -> usize {
        self.board.best().unwrap_or(0)
    }

    pub(crate) fn candidate(&self, index: usize) -> PromptCandidate {
        self.board.candidates().get(index).cloned().unwrap_or_default()
    }

    /// What was tried for a predictor, the worst first, at most as many as the breadth.
    pub(crate) fn attempts(&self, predictor: &str) -> Vec<Attempt> {
        attempts::ranked(&self.board, predictor, self.plan.options.breadth)
    }

    /// Why the run has to end, if it has.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_some()
    }

    /// Ends the run before its time, if there is a reason.
    pub(crate) fn halt(&mut self, reason: Option<StopReason>) {
        self.stop = self.stop.take().or(reason);
    }

    /// Says where fewer instructions came out than were wanted.
    pub(crate) fn note_authored(
        &mut self,
        predictor: &str,
        depth: usize,
        wanted: usize,
        authored: &Authored,
    ) {
        let came = authored.instructions.len();
        if came < wanted && authored.stop.is_none() {
            let failure = authored.failure.as_ref();
            let failure = failure.map(|text| format!("; a request failed: {text}")).unwrap_or_default();
            let note = format!(
                "at depth {depth} only {came} of {wanted} instructions for `{predictor}` came out; {} replies repeated \
                 one or could not serve{failure}",
                authored.dropped
            );
            self.plan.session.warn(&note);
            self.notes.push(note);
        }
    }

    /// Enters candidates: the best so far with other instructions for one predictor.
    pub(crate) fn enter(
        &mut self,
        base: usize,
        predictor: &str,
        depth: usize,
        instructions: Vec<String>,
    ) -> Vec<usize> {
        let from = self.candidate(base);
        let mut entered = Vec::new();
        for instruction in instructions {
            let mut prompts = from.prompts.clone();
            let demos = prompts.get(predictor).map(|prompt| prompt.demos.clone()).unwrap_or_default();
            prompts.insert(predictor, Prompt { instruction, demos });
            let origin = Origin::Refined { predictor: predictor.to_owned(), depth };
            let parents = vec![base];
            entered.push(self.board.enter(PromptCandidate { prompts, score: None, origin, parents }));
        }
        entered
    }

    /// Evaluates new candidates together on the same examples, against the best so far.
    ///
    /// # Errors
    ///
    /// When the rollout store fails.
    pub(crate) async fn race(&mut self, base: usize, new: &[usize], room: Room) -> Result<(), Error> {
        let contenders = [&[base], new].concat();
        let options = self.plan.race_options(room.rollouts);
        let Raced { contenders, stop } =
            race(&mut self.board, &contenders, &options).await.map_err(evaluation)?;
        for contender in contenders.iter().filter(|contender| contender.candidate != base) {
            let kind = if contender.end == RaceEnd::Finished { TrialKind::Full } else { TrialKind::Race };
            self.cut_short += usize::from(contender.end == RaceEnd::Unaffordable);
            if contender.examples > 0 {
                self.note_trial(kind, contender.candidate, contender.calls_so_far);
            }
        }
        self.halt(stop);
        Ok(())
    }

    /// Draws up the statistics of a depth. At the first the instruction that the predictor had is
    /// one of the attempts.
    pub(crate) fn close_depth(&mut self, predictor: &str, depth: usize, base: usize, new: &[usize]) {
        let present = (depth == 0).then_some(base);
        let scores: Vec<f64> =
            present.iter().chain(new).filter_map(|candidate| self.board.mean(*candidate)).collect();
        self.depths.push(DepthStatistics {
            predictor: predictor.to_owned(),
            depth,
            best: self.board.mean(self.best()).unwrap_or_default(),
            calls_so_far: self.board.runner().spent_calls(),
            ..attempts::statistics(&scores)
        });
    }

    /// Chooses the winner and says how it all went. `writing` is what the instructions cost.
    pub(crate) fn finish(mut self, writing: Usage) -> Outcome {
        let leader = self.best();
        let comparison = compare(&self.board.scores(0), &self.board.scores(leader), LEVEL);
        let best = if comparison.difference > 0.0 { leader } else { 0 };
        let judged = (best != 0).then(|| self.board.judge(best, LEVEL)).flatten();
        let full = self.board.candidates().iter().filter(|candidate| candidate.score.is_some()).count();
        if self.cut_short > 0 {
            self.notes.push(format!(
                "the budget was too small to evaluate all candidates in full: {} were dropped on part of the selection \
                 set because they were behind, without a test that says so",
                self.cut_short
            ));
        }
        // Only what was evaluated is reported.
        let reported: Vec<usize> =
            (0..self.board.candidates().len()).filter(|index| self.board.mean(*index).is_some()).collect();
        let place = |index: &mut usize| {
            *index = reported.iter().position(|known| known == index).unwrap_or_default();
        };
        let mut candidates: Vec<PromptCandidate> =
            reported.iter().map(|index| self.candidate(*index)).collect();
        candidates.iter_mut().flat_map(|candidate| &mut candidate.parents).for_each(place);
        self.trials.iter_mut().map(|trial| &mut trial.candidate).for_each(place);
        let mut best_place = best;
        place(&mut best_place);
        let totals = self.board.runner().totals();
        let track = self.plan.options.track_stats;
        let tracked = reported.iter().filter(|_| track);
        Outcome {
            optimizer: "COPRO".to_owned(),
            candidates,
            best: best_place,
            baseline: self.board.estimate(0, LEVEL),
            selected: self.board.estimate(best, LEVEL),
            choice: format!(
                "of {full} candidates that were evaluated on all {} examples of the selection set the one with the \
                 highest mean; a tie keeps the earlier one, and the original above all{}",
                self.board.examples().len(),
                judged.as_ref().map(|judged| format!("; {}", judged.expectation())).unwrap_or_default()
            ),
            comparison: judged.map(|judged| judged.comparison),
            scores: tracked.map(|index| self.board.details(*index)).collect(),
            trials: if track { self.trials } else { Vec::new() },
            depths: if track { self.depths } else { Vec::new() },
            spending: Spending { task: totals.usage, prompt: writing, reused_rollouts: totals.reused },
            failures: totals.failures,
            stop: self.stop.unwrap_or_default(),
            notes: self.notes,
            ..Outcome::default()
        }
    }

    fn note_trial(&mut self, kind: TrialKind, candidate: usize, calls_so_far: u64) {
        let examples = 0..self.board.examples().len();
        let known: Vec<_> = examples.filter_map(|example| self.board.evidence(candidate, example)).collect();
        let score = self.board.mean(candidate);
        // What a race brought is noted when all of it is over; a trial knows only those noted before it.
        let before = self.trials.last().map_or(0.0, |trial| trial.best_so_far);
        let whole = score.filter(|_| matches!(kind, TrialKind::Baseline | TrialKind::Full));
        let trial = Trial {
            kind,
            candidate,
            examples: known.len(),
            score,
            failures: known.iter().filter(|evidence| evidence.failed).count(),
            calls_so_far,
            best_so_far: whole.map_or(before, |score| score.max(before)),
        };
        tracing::debug!(?kind, candidate, score = trial.score, "trial");
        if self.plan.options.track_stats {
            self.plan.session.observer.observe(&Event::Trial(trial.clone()));
        }
        self.trials.push(trial);
    }
}

fn evaluation(error: promptopt_evaluator::Error) -> Error {
    Error::stage("evaluation", error)
}
