//! Children against their parents: the gate on training examples, and the race over the selection set.

use std::collections::BTreeMap;

use promptopt_run::{Halt, Run, TrialKind};
use rand::seq::SliceRandom as _;

use super::{Child, Evolution};
use crate::gate::Contrast;

/// A child this many standard errors below the best candidate is clearly worse.
const CLEARLY_WORSE: f64 = -1.645;

impl Evolution<'_> {
    /// Compares children with their parents on training examples, more and more of them, and drops those that fall
    /// behind.
    pub(crate) async fn gate(
        &mut self,
        run: &mut Run<'_>,
        mut children: Vec<Child>,
    ) -> Result<Vec<Child>, Halt> {
        let looks = self.gate.training().to_vec();
        let first_look = looks.first().map_or(0, |look| look.examples);
        let measures = self.measures(run);
        let most = looks.last().map_or(0, |look| look.examples);
        let mut orders = BTreeMap::new();
        for child in &children {
            orders.insert(child.candidate, self.gate_order(child, most, run.train().len()));
        }
        let order = |child: &Child| orders.get(&child.candidate).map_or(&[][..], Vec::as_slice);
        for look in looks {
            let mut wanted = Vec::new();
            for child in &children {
                let examples: Vec<usize> = order(child).iter().copied().take(look.examples).collect();
                wanted.push((child.parent, examples.clone()));
                wanted.push((child.candidate, examples));
            }
            let ended = self.run_training(run, wanted).await;
            let mut staying = Vec::new();
            for child in children {
                let stays = measures.iter().any(|measure| {
                    let pairs = self.training_pairs(&child, order(&child), measure.as_deref());
                    Contrast::of(&pairs, &[]).is_none_or(|contrast| contrast.z() >= look.bound)
                });
                let stays = stays
                    && (look.examples > first_look || !self.wants_follower(&child, order(&child), &measures));
                if ended.is_ok() && stays {
                    staying.push(child);
                } else {
                    self.note_gate(run, &child, order(&child));
                    self.drop_child(child);
                }
            }
            ended?;
            children = staying;
        }
        Ok(children)
    }

    /// Whether another component had better follow the change of a child at once: where it is no gain by itself on its
    /// minibatch, the runs made so far are all that it takes to write for the other one.
    fn wants_follower(&self, child: &Child, order: &[usize], measures: &[Option<String>]) -> bool {
        let is_gain = |measure: &Option<String>| {
            let pairs = self.training_pairs(child, order, measure.as_deref());
            pairs.iter().map(|(child, parent)| child - parent).sum::<f64>() > 0.0
        };
        child.changed.is_some() && !measures.iter().any(is_gain)
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
    fn gate_order(&mut self, child: &Child, most: usize, train: usize) -> Vec<usize> {
        let mut order = child.minibatch.clone();
        let mut known: Vec<usize> = self
            .training_runs(child.parent)
            .map(|(example, _)| example)
            .filter(|example| !order.contains(example))
            .collect();
        known.shuffle(&mut self.rng);
        order.extend(known);
        let mut others: Vec<usize> = (0..train).filter(|example| !order.contains(example)).collect();
        others.shuffle(&mut self.rng);
        order.extend(others);
        order.truncate(most);
        order
    }

    /// Runs children over the selection set, portion by portion, and drops those that do not stand up to their
    /// parents. A child that reaches the end enters the frontier.
    pub(crate) async fn race(&mut self, run: &mut Run<'_>, mut children: Vec<Child>) -> Result<(), Halt> {
        let count = self.rows.len();
        // The order is the same for all children of this step, and another in every step, so that no part of the
        // selection set decides alone.
        let mut order = self.rows.clone();
        order.shuffle(&mut self.rng);
        for look in self.gate.selection().to_vec() {
            let portion = order.get(..look.examples).unwrap_or(&order);
            self.drop_unaffordable(run, &mut children, look.examples);
            let ended = run.score(&pairs(&children, portion)).await;
            let mut staying = Vec::new();
            for child in children {
                if ended.is_ok() && self.may_enter(run, &child, look.bound) {
                    staying.push(child);
                } else {
                    note_selection(run, TrialKind::RACE, &child);
                    self.drop_child(child);
                }
            }
            ended?;
            children = staying;
        }
        self.drop_unaffordable(run, &mut children, count);
        let ended = run.score(&pairs(&children, &order)).await;
        for child in children {
            if self.settle(run, child.candidate) {
                self.note_new_member();
            }
            let full = run.board().is_full(child.candidate);
            note_selection(run, if full { TrialKind::FULL } else { TrialKind::RACE }, &child);
        }
        ended
    }

    /// Drops the children with the lowest means while there are several and the budget does not suffice for all of
    /// them up to the next look and for one to the end: one that finishes is worth more than several that do not.
    fn drop_unaffordable(&self, run: &mut Run<'_>, children: &mut Vec<Child>, next: usize) {
        let Some(left) = self.affordable(run) else { return };
        let count = self.rows.len();
        while children.len() > 1 {
            let board = run.board();
            let known = children.iter().map(|child| board.count(child.candidate)).min().unwrap_or(0);
            let needed = children.len() * next.saturating_sub(known) + (count - next);
            if left >= needed as u64 {
                return;
            }
            let mean = |child: &Child| board.mean(child.candidate).unwrap_or(0.0);
            let mut worst = 0;
            for (at, child) in children.iter().enumerate() {
                if children.get(worst).is_some_and(|known| mean(child) <= mean(known)) {
                    worst = at;
                }
            }
            let dropped = children.remove(worst);
            note_selection(run, TrialKind::RACE, &dropped);
        }
    }

    /// Whether a child is above the bound against its parent: in the score, where it may matter as well, or in an
    /// objective that the frontier looks at.
    fn may_enter(&self, run: &Run<'_>, child: &Child, bound: f64) -> bool {
        let board = run.board();
        self.measures(run).iter().any(|measure| {
            let scores = |candidate: usize| match measure {
                None => board.scores(candidate).as_slice().to_vec(),
                Some(name) => board.objective_scores(candidate, name),
            };
            let stays = contrast(&scores(child.candidate), &scores(child.parent))
                .is_none_or(|contrast| contrast.z() >= bound);
            stays && (measure.is_some() || self.may_matter(run, child))
        })
    }

    /// Whether a child may be of use beside the best candidate: unless it is clearly worse, or else does better where
    /// the best one fails than it does elsewhere.
    fn may_matter(&self, run: &Run<'_>, child: &Child) -> bool {
        let leader = self.leader();
        let (mine, best) = (run.board().scores(child.candidate), run.board().scores(leader));
        let (mine, best) = (mine.as_slice(), best.as_slice());
        let clearly_worse = contrast(mine, best).is_some_and(|contrast| contrast.z() < CLEARLY_WORSE);
        if leader == child.parent || !clearly_worse {
            return true;
        }
        let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let (pairs, _) = paired(mine, best);
        let failed = pairs.iter().filter(|(_, best)| *best < self.perfect_score(run));
        let failed: Vec<f64> = failed.map(|(mine, _)| *mine).collect();
        mean(failed) > mean(pairs.iter().map(|(mine, _)| *mine).collect())
    }

    /// Notes the gate of a child on the training examples that it and its parent were run on.
    fn note_gate(&self, run: &mut Run<'_>, child: &Child, order: &[usize]) {
        let pairs = self.training_pairs(child, order, None);
        let sum: f64 = pairs.iter().map(|(child, _)| child).sum();
        let score = (!pairs.is_empty()).then(|| sum / pairs.len() as f64);
        let failures = self.training_runs(child.candidate).filter(|(_, trace)| trace.error.is_some()).count();
        run.note_trial_of(TrialKind::GATE, child.candidate, pairs.len(), score, failures);
    }
}

/// Notes all that is known of a child on the selection set.
fn note_selection(run: &mut Run<'_>, kind: TrialKind, child: &Child) {
    let everything: Vec<usize> = (0..run.board().examples().len()).collect();
    run.note_trial(kind, child.candidate, &everything);
}

fn pairs(children: &[Child], examples: &[usize]) -> Vec<(usize, Vec<usize>)> {
    children.iter().map(|child| (child.candidate, examples.to_vec())).collect()
}

/// The scores of one candidate and another on the examples that both have one on, and those of the other alone.
fn paired(scores: &[Option<f64>], others: &[Option<f64>]) -> (Vec<(f64, f64)>, Vec<f64>) {
    let (mut pairs, mut elsewhere) = (Vec::new(), Vec::new());
    for (score, other) in scores.iter().zip(others) {
        match (score, other) {
            (Some(score), Some(other)) => pairs.push((*score, *other)),
            (None, Some(other)) => elsewhere.push(*other),
            _ => {}
        }
    }
    (pairs, elsewhere)
}

fn contrast(scores: &[Option<f64>], others: &[Option<f64>]) -> Option<Contrast> {
    let (pairs, elsewhere) = paired(scores, others);
    Contrast::of(&pairs, &elsewhere)
}
