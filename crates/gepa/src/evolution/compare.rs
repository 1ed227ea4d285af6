//! Children against their parents: the gate on training examples, the race over the selection set,
//! and the winner measured once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::{Confirmation, Error, StopReason, TrialKind};
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
                let pairs: Vec<(f64, f64)> = order
                    .iter()
                    .filter_map(|example| {
                        let score = |candidate| self.traces.get(&(candidate, *example))?.evidence();
                        Some((score(child.candidate)?, score(child.parent)?))
                    })
                    .collect();
                let stays = Contrast::of(&pairs, &[]).is_none_or(|contrast| contrast.z() >= look.bound);
                if stays && self.stop.is_none() {
                    staying.push(child);
                } else {
                    self.note_gate(&child, &pairs);
                    orders.remove(&child.candidate);
                }
            }
            children = staying;
        }
        Ok(children)
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

    /// Runs children over the selection set, portion by portion, and drops those that cannot be
    /// expected to enter the frontier. Who comes to the end of it does enter.
    pub(crate) async fn race(&mut self, mut children: Vec<Child>) -> Result<(), Error> {
        let before = self.best();
        let count = self.plan.selection.len();
        // The order is the same for all children of this step, and another in every step, so that
        // no part of the selection set decides alone.
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut self.rng);
        for look in self.gate.selection().to_vec() {
            let portion: Vec<usize> = order.iter().copied().take(look.examples).collect();
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
        self.run_selection(&children, &order).await?;
        for child in children {
            let full = self.board.is_full(child.candidate);
            self.settle(child.candidate);
            self.note_selection(if full { TrialKind::Full } else { TrialKind::Race }, child.candidate);
        }
        self.steps_without_gain = if self.best().1 > before.1 { 0 } else { self.steps_without_gain + 1 };
        Ok(())
    }

    async fn run_selection(&mut self, children: &[Child], examples: &[usize]) -> Result<(), Error> {
        let wanted: Vec<_> = children.iter().map(|child| (child.candidate, examples.to_vec())).collect();
        let stop = self.board.roll_out(&wanted).await.map_err(evaluation)?;
        self.stop = self.stop.take().or(stop);
        Ok(())
    }

    /// Whether a child is above the bound in anything that the frontier counts: the score, or an
    /// objective where the frontier looks at objectives.
    fn may_enter(&self, child: &Child, bound: f64) -> bool {
        let stays = |child: Vec<Option<f64>>, parent: Vec<Option<f64>>| {
            let (mut pairs, mut elsewhere) = (Vec::new(), Vec::new());
            for (child, parent) in child.into_iter().zip(parent) {
                match (child, parent) {
                    (Some(child), Some(parent)) => pairs.push((child, parent)),
                    (None, Some(parent)) => elsewhere.push(parent),
                    _ => {}
                }
            }
            Contrast::of(&pairs, &elsewhere).is_none_or(|contrast| contrast.z() >= bound)
        };
        if stays(self.board.scores(child.candidate), self.board.scores(child.parent)) {
            return self.may_matter(child);
        }
        self.plan.options.frontier != crate::FrontierType::Example
            && self.board.objective_names().iter().any(|name| {
                let scores = |candidate| self.board.objective_scores(candidate, name);
                stays(scores(child.candidate), scores(child.parent))
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
        let failed = pairs.iter().filter(|(_, best)| *best < self.plan.options.perfect_score);
        let failed: Vec<f64> = failed.map(|(mine, _)| *mine).collect();
        mean(failed) > mean(pairs.iter().map(|(mine, _)| *mine).collect())
    }

    /// Measures original and winner on training examples that nothing was run on.
    pub(crate) async fn confirm(&mut self, best: usize) -> Result<Option<Confirmation>, Error> {
        let examples = &self.plan.held_back;
        let affords = self.runner.affordable_rollouts().is_none_or(|left| left >= 2 * examples.len() as u64);
        let may_go_on = matches!(
            self.stop,
            None | Some(
                StopReason::Completed
                    | StopReason::Budget
                    | StopReason::TargetReached
                    | StopReason::NoImprovement { .. }
                    | StopReason::StopFile
            )
        );
        if best == 0 || examples.is_empty() || !affords || !may_go_on {
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
            let evaluation = evaluate(self.runner, &prompts, examples).await.map_err(evaluation)?;
            if evaluation.stop.is_some() {
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
