//! The end of a run: the winner chosen, measured once more, and what it all came to.

use std::collections::HashSet;
use std::sync::Arc;

use promptopt_core::money::{Budget, Limit};
use promptopt_core::prompt::PromptCandidate;
use promptopt_statistics::compare;

use super::Run;
use super::choice::Choice;
use crate::evaluate::{LEVEL, evaluate};
use crate::{
    CandidateScores, Confirmation, Error, Halt, Outcome, RolloutCost, RulesFinding, Spending, StopReason,
};

/// So many scores of single examples are in an outcome at most.
const MOST_SCORES: usize = 1_000_000;

impl Run<'_> {
    /// Ends the run: chooses the winner, which is measured once more where that was wanted, and says how it went. `ended` is
    /// what the search came to.
    ///
    /// # Errors
    ///
    /// The failure that ended the search, if one did.
    pub async fn close(mut self, strategy: &str, ended: Result<(), Halt>) -> Result<Outcome, Error> {
        let stop = match ended {
            Ok(()) if self.options.cancellation.is_cancelled() => StopReason::Cancelled,
            Ok(()) => StopReason::Completed,
            Err(Halt::Stopped(stop)) => stop,
            Err(Halt::Failed(error)) => return Err(error),
        };
        let exhausted = (stop == StopReason::Budget)
            .then(|| self.ledger.exhausted().or_else(|| self.ledger.tightest()).unwrap_or(Limit::Rollouts));
        let mut choice = self.choose();
        if choice.best() != 0 || !self.held_back.is_empty() {
            let contender = self.with_own_instruction(choice.contender(), may_go_on(&stop)).await?;
            if contender != choice.contender() {
                choice = self.choose_only(contender);
            }
        }
        let (mut choice, rules) = self.without_idle_rules(choice, may_go_on(&stop)).await?;
        let confirmation = self.confirmation(&mut choice, &stop).await?;
        let best = choice.best();
        if let Some(rules) = rules.filter(|_| best != 0) {
            self.detail(RulesFinding::DETAIL, rules);
        }
        let judged = (best != 0).then(|| self.board.judge(best, LEVEL)).flatten();
        let (baseline, selected) = (self.board.estimate(0, LEVEL), self.board.estimate(best, LEVEL));

        if let Some(untold) = self.ledger.untold() {
            self.note(untold);
        }
        self.notes.extend(self.ledger.added());
        let track = self.options.track_stats;
        let (reported, winner) = self.reported(best);
        let scores = if track { self.scores(&reported, best) } else { Vec::new() };
        let candidates = self.renumbered(&reported);
        let totals = self.runner.totals();
        let mut spending = Spending::new(totals.usage + self.others.usage, self.writing)
            .with_reused_rollouts(totals.reused + self.others.reused);
        if self.ledger.is_limited() {
            spending = spending.with_counted(self.ledger.spending());
            self.notes.extend(spending.explanation());
        }
        Ok(Outcome {
            optimizer: strategy.to_owned(),
            candidates,
            best: winner,
            baseline,
            selected,
            comparison: judged.map(|judged| judged.comparison),
            choice: choice.reason(),
            scores,
            trials: if track { self.trials } else { Vec::new() },
            details: self.details,
            confirmation,
            spending,
            failures: totals.failures + self.others.failures,
            reasons: self.runner.reasons(),
            rows_left_out: self.runner.rows_left_out(),
            stop,
            exhausted,
            notes: self.notes,
        })
    }

    /// The candidates that some trial is about, and the place of the winner among them. Those that the run ended
    /// before are left out.
    fn reported(&self, best: usize) -> (Vec<usize>, usize) {
        let mut tried: Vec<bool> = vec![false; self.board.candidates().len()];
        for trial in &self.trials {
            if let Some(tried) = tried.get_mut(trial.candidate) {
                *tried = true;
            }
        }
        let reported: Vec<usize> =
            tried.iter().enumerate().filter(|(_, tried)| **tried).map(|(index, _)| index).collect();
        let winner = reported.iter().position(|index| *index == best).unwrap_or_default();
        (reported, winner)
    }

    /// What is known of the reported candidates: of all of them where that is little, and otherwise of the original,
    /// the winner, and those that most is known of, the best first.
    fn scores(&mut self, reported: &[usize], best: usize) -> Vec<CandidateScores> {
        let board = &self.board;
        let each = board.examples().len() * (1 + board.objective_names().len());
        let most = (MOST_SCORES / each.max(1)).max(2);
        let mut ranked = reported.to_vec();
        ranked.sort_by(|one, other| {
            let rank = |index: usize| (index == 0, index == best, board.count(index));
            let mean = |index: usize| board.mean(index).unwrap_or_default();
            let by_evidence = rank(*other).cmp(&rank(*one));
            by_evidence.then(mean(*other).total_cmp(&mean(*one)))
        });
        let kept: HashSet<usize> = ranked.into_iter().take(most).collect();
        let scores = |index: &usize| {
            let discovery = board.discovery(*index);
            let discovered = || CandidateScores::default().with_discovery(discovery.0, discovery.1);
            if kept.contains(index) { board.details(*index) } else { discovered() }
        };
        let scores = reported.iter().map(scores).collect();
        if kept.len() < reported.len() {
            self.notes.push(format!(
                "the scores example by example are those of {} of the {} candidates, to save memory",
                kept.len(),
                reported.len()
            ));
        }
        scores
    }

    /// The reported candidates, with parents and trials numbered as they are.
    fn renumbered(&mut self, reported: &[usize]) -> Vec<PromptCandidate> {
        let place = |index: &mut usize| {
            *index = reported.iter().position(|known| known == index).unwrap_or_default();
        };
        let known = |index: &usize| self.board.candidates().get(*index).cloned();
        let mut candidates: Vec<PromptCandidate> = reported.iter().filter_map(known).collect();
        if candidates.len() < self.board.candidates().len() {
            candidates.iter_mut().flat_map(|candidate| &mut candidate.parents).for_each(place);
            self.trials.iter_mut().map(|trial| &mut trial.candidate).for_each(place);
        }
        candidates
    }

    /// Measures original and contender on training examples that nothing was run on, before the last word on what is
    /// installed. Where that was wanted and does not come to be, a note says so.
    async fn confirmation(
        &mut self,
        choice: &mut Choice,
        stop: &StopReason,
    ) -> Result<Option<Confirmation>, Error> {
        let contender = choice.contender();
        if contender == 0 || !self.confirm {
            return Ok(None);
        }
        // What was kept back for this may be used now.
        self.kept_back = 0;
        self.part = Budget::default();
        self.restrict();
        let examples = std::mem::take(&mut self.held_back);
        let affords = RolloutCost::is_enough(&self.runner, 2 * examples.len());
        if examples.is_empty() || !may_go_on(stop) || !affords || self.ledger.is_out_of_time() {
            self.note(format!(
                "the winner was not measured once more: {}",
                if examples.is_empty() {
                    "too few training examples, or too small a budget, to hold some back"
                } else {
                    "the run ended before it"
                }
            ));
            return Ok(None);
        }
        self.stage(
            "confirmation",
            format!("original and winner on {} held-back training examples", examples.len()),
        );
        let mut evaluations = Vec::new();
        for candidate in [0, contender] {
            let prompts = self.board.candidates().get(candidate).map(|known| known.prompts.clone());
            match evaluate(self, &Arc::new(prompts.unwrap_or_default()), &examples).await {
                Ok(evaluation) => evaluations.push(evaluation),
                Err(Halt::Failed(error)) => return Err(error),
                Err(Halt::Stopped(_)) => {
                    self.note("the winner was not measured once more: the run ended in the middle");
                    return Ok(None);
                }
            }
        }
        let [baseline, winner] = evaluations.as_slice() else { return Ok(None) };
        choice.confirm(&baseline.evidence(), &winner.evidence())?;
        Ok(Some(Confirmation {
            on: "training examples that were held back".to_owned(),
            baseline: baseline.estimate,
            winner: winner.estimate,
            comparison: compare(&baseline.evidence(), &winner.evidence(), LEVEL)?,
        }))
    }
}

/// Whether a run that ended so may still measure its winner.
fn may_go_on(stop: &StopReason) -> bool {
    matches!(
        stop,
        StopReason::Completed
            | StopReason::Budget
            | StopReason::TargetReached
            | StopReason::NoImprovement { .. }
            | StopReason::StopFile
            | StopReason::Other { .. }
    )
}
