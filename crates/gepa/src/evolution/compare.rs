//! Children against their parents: the gate on training examples, the race over the selection set,
//! and the winner measured once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::{Confirmation, Error, RolloutRunner, StopReason, TrialKind};
use promptopt_evaluator::{compare, estimate, evaluate};
use rand::seq::SliceRandom as _;

use super::{Child, Evolution, LEVEL, evaluation};
use crate::gate::Contrast;

/// A child this many standard errors below the best candidate is clearly worse.
const CLEARLY_WORSE: f64 = -1.645;

impl Evolution<'_, '_, '_> {
    /// Compares children with their parents on training examples, more and more of them, and drops
    /// those that fall behind.
    pub(crate) async fn gate(&mut self, mut children: Vec<Child>) -> Result<Vec<Child>, Error> {
        let looks = self.gate.training().to_vec();
        let measures = self.measures();
        let most = looks.last().map_or(0, |look| look.examples);
        let orders: Vec<Vec<usize>> = children.iter().map(|child| self.gate_order(child, most)).collect();
        let mut orders: BTreeMap<usize, Vec<usize>> =
            children.iter().map(|child| child.candidate).zip(orders).collect();
        for look in looks {
            let mut wanted = Vec::new();
            for child in &children {
                let order = orders.get(&child.candidate).cloned().unwrap_or_default();
                let examples: Vec<usize> = order.into_iter().take(look.examples).collect();
                wanted.push((child.parent, examples.clone()));
                wanted.push((child.candidate, examples));
            }
            self.run_training(wanted).await?;
            let mut staying = Vec::new();
            for child in children {
                let order = orders.get(&child.candidate).map_or(&[][..], Vec::as_slice);
                let stays = measures.iter().any(|measure| {
                    let pairs = self.training_pairs(&child, order, measure.as_deref());
                    Contrast::of(&pairs, &[]).is_none_or(|contrast| contrast.z() >= look.bound)
                });
                if stays && self.stop.is_none() {
                    staying.push(child);
                } else {
                    let pairs = self.training_pairs(&child, order, None);
                    self.note_gate(&child, &pairs);
                    orders.remove(&child.candidate);
                }
            }
            children = staying;
        }
        Ok(children)
    }

    /// (child, parent) on the training examples that both were run on, in the score or an objective.
    fn training_pairs(&self, child: &Child, order: &[usize], measure: Option<&str>) -> Vec<(f64, f64)> {
        let value = |candidate: usize, example: usize| -> Option<f64> {
            let trace = self.traces.get(&(candidate, example))?;
            let evidence = trace.evidence()?;
            match (measure, &trace.score) {
                (None, _) => Some(evidence),
                (Some(name), Some(score)) => score.objectives.get(name).copied(),
                // A failure that counts as 0 counts as 0 in everything.
                (Some(_), None) => Some(evidence),
            }
        };
        order
            .iter()
            .filter_map(|example| Some((value(child.candidate, *example)?, value(child.parent, *example)?)))
            .collect()
    }

    /// The training examples of a child's gate: its minibatch, then those that its parent was run
    /// on already, then others.
    fn gate_order(&mut self, child: &Child, most: usize) -> Vec<usize> {
        let mut order = child.minibatch.clone();
        let mut known: Vec<usize> = self
            .training_runs(child.parent)
            .map(|(example, _)| example)
            .filter(|example| !order.contains(example))
            .collect();
        known.shuffle(&mut self.rng);
        order.extend(known);
        let mut others: Vec<usize> =
            (0..self.plan.train.len()).filter(|example| !order.contains(example)).collect();
        others.shuffle(&mut self.rng);
        order.extend(others);
        order.truncate(most);
        order
    }

    /// Runs children over the selection set, portion by portion, and drops those that do not stand up
    /// to their parents. Who comes to the end of it enters the frontier.
    pub(crate) async fn race(&mut self, mut children: Vec<Child>) -> Result<(), Error> {
        let before = self.best();
        let count = self.plan.selection.len();
        // The order is the same for all children of this step, and another in every step, so that
        // no part of the selection set decides alone.
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut self.rng);
        for look in self.gate.selection().to_vec() {
            let portion: Vec<usize> = order.iter().copied().take(look.examples).collect();
            self.drop_unaffordable(&mut children, look.examples);
            self.run_selection(&children, &portion).await?;
            let mut staying = Vec::new();
            for child in children {
                if self.stop.is_none() && self.may_enter(&child, look.bound) {
                    staying.push(child);
                } else {
                    self.note_selection(TrialKind::Race, child.candidate);
                }
            }
            children = staying;
        }
        self.drop_unaffordable(&mut children, count);
        self.run_selection(&children, &order).await?;
        for child in children {
            let full = self.board.is_full(child.candidate);
            self.settle(child.candidate);
            self.note_selection(if full { TrialKind::Full } else { TrialKind::Race }, child.candidate);
        }
        self.steps_without_gain = if self.best().1 > before.1 { 0 } else { self.steps_without_gain + 1 };
        Ok(())
    }

    /// Drops the children with the lowest means while there are several and the budget does not suffice
    /// for all of them up to the next look and for one to the end: one that finishes is worth more
    /// than several that do not.
    fn drop_unaffordable(&mut self, children: &mut Vec<Child>, next: usize) {
        let Some(left) = self.affordable() else { return };
        let count = self.plan.selection.len();
        while children.len() > 1 {
            let known = children.iter().map(|child| self.board.count(child.candidate)).min().unwrap_or(0);
            let needed = children.len() * next.saturating_sub(known) + (count - next);
            if left >= needed as u64 {
                return;
            }
            let mean = |child: &Child| self.board.mean(child.candidate).unwrap_or(0.0);
            let mut worst = 0;
            for (at, child) in children.iter().enumerate() {
                if children.get(worst).is_some_and(|known| mean(child) <= mean(known)) {
                    worst = at;
                }
            }
            let dropped = children.remove(worst);
            self.note_selection(TrialKind::Race, dropped.candidate);
        }
    }

    async fn run_selection(&mut self, children: &[Child], examples: &[usize]) -> Result<(), Error> {
        let wanted: Vec<_> = children.iter().map(|child| (child.candidate, examples.to_vec())).collect();
        let stop = self.board.roll_out(&wanted).await.map_err(evaluation)?;
        self.stop = self.stop.take().or(stop);
        Ok(())
    }

    /// Whether a child is above the bound against its parent: in the score, where it may matter as
    /// well, or in an objective that the frontier looks at.
    fn may_enter(&self, child: &Child, bound: f64) -> bool {
        let stays = |measure: Option<&str>| {
            let scores = |candidate: usize| match measure {
                None => self.board.scores(candidate),
                Some(name) => self.board.objective_scores(candidate, name),
            };
            let (mut pairs, mut elsewhere) = (Vec::new(), Vec::new());
            for (child, parent) in scores(child.candidate).into_iter().zip(scores(child.parent)) {
                match (child, parent) {
                    (Some(child), Some(parent)) => pairs.push((child, parent)),
                    (None, Some(parent)) => elsewhere.push(parent),
                    _ => {}
                }
            }
            Contrast::of(&pairs, &elsewhere).is_none_or(|contrast| contrast.z() >= bound)
        };
        self.measures().iter().any(|measure| match measure {
            None => stays(None) && self.may_matter(child),
            Some(name) => stays(Some(name)),
        })
    }

    /// Whether a child may be of use beside the best candidate: unless it is clearly worse, or else
    /// does better where the best one fails than it does elsewhere.
    fn may_matter(&self, child: &Child) -> bool {
        let leader = self.best().0;
        let (mine, best) = (self.board.scores(child.candidate), self.board.scores(leader));
        let pairs: Vec<(f64, f64)> =
            mine.iter().zip(&best).filter_map(|(mine, best)| Some(((*mine)?, (*best)?))).collect();
        let elsewhere: Vec<f64> =
            mine.iter().zip(&best).filter_map(|(mine, best)| mine.is_none().then_some(*best)?).collect();
        let clearly_worse =
            Contrast::of(&pairs, &elsewhere).is_some_and(|contrast| contrast.z() < CLEARLY_WORSE);
        if leader == child.parent || !clearly_worse {
            return true;
        }
        let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let failed = pairs.iter().filter(|(_, best)| *best < self.perfect_score());
        let failed: Vec<f64> = failed.map(|(mine, _)| *mine).collect();
        mean(failed) > mean(pairs.iter().map(|(mine, _)| *mine).collect())
    }

    /// Measures original and winner on training examples that nothing was run on. Where that was
    /// wanted and does not come to be, a note says so.
    pub(crate) async fn confirm(
        &mut self,
        best: usize,
        runner: &RolloutRunner<'_>,
    ) -> Result<Option<Confirmation>, Error> {
        if best == 0 || !self.plan.options.confirm {
            return Ok(None);
        }
        let examples = &self.plan.held_back;
        let wanted = 2 * examples.len() as u64;
        let affords = runner.remaining_calls().is_none_or(|left| left >= wanted);
        let ended = !matches!(
            self.stop,
            None | Some(
                StopReason::Completed
                    | StopReason::Budget
                    | StopReason::TargetReached
                    | StopReason::NoImprovement { .. }
                    | StopReason::StopFile
            )
        );
        if examples.is_empty() || !affords || ended || self.plan.session.ledger.is_out_of_time() {
            self.notes.push(format!(
                "the winner was not measured once more: {}",
                if examples.is_empty() {
                    "too few training examples, or too small a budget, to hold some back"
                } else {
                    "the run ended before it"
                }
            ));
            return Ok(None);
        }
        self.plan.session.tell_stage(
            "confirmation",
            format!("original and winner on {} held-back training examples", examples.len()),
        );
        let mut evidence = Vec::new();
        for candidate in [0, best] {
            let Some(known) = self.board.candidates().get(candidate) else { return Ok(None) };
            let prompts = Arc::new(known.prompts.clone());
            let evaluation = evaluate(runner, &prompts, examples).await.map_err(evaluation)?;
            if evaluation.stop.is_some() {
                self.notes
                    .push("the winner was not measured once more: the run ended in the middle".to_owned());
                return Ok(None);
            }
            evidence.push(evaluation.evidence());
        }
        let [baseline, winner] = evidence.as_slice() else { return Ok(None) };
        let mean = |scores: &[Option<f64>]| {
            let known: Vec<f64> = scores.iter().flatten().copied().collect();
            let mut estimate = estimate(&known, LEVEL);
            estimate.missing = scores.len() - known.len();
            estimate
        };
        Ok(Some(Confirmation {
            on: "training examples that were held back".to_owned(),
            baseline: mean(baseline),
            winner: mean(winner),
            comparison: compare(baseline, winner, LEVEL),
        }))
    }

    fn note_gate(&mut self, child: &Child, pairs: &[(f64, f64)]) {
        let sum: f64 = pairs.iter().map(|(child, _)| child).sum();
        let score = (!pairs.is_empty()).then(|| sum / pairs.len() as f64);
        let failures = self.training_runs(child.candidate).filter(|(_, trace)| trace.error.is_some()).count();
        self.note(TrialKind::Gate, child.candidate, pairs.len(), score, failures);
    }
}
