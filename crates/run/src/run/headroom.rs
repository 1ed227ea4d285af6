//! The probe for headroom: a few deliberately different prompts on a few rows, before anything is searched.

use std::ops::Range;
use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_statistics::headroom;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::Run;
use crate::evaluate::{LEVEL, counts_as_zero};
use crate::headroom::deliberate;
use crate::{
    Between, Error, Forecast, Halt, HeadroomFinding, ProbedPrompt, RolloutCost, RolloutJob, StopReason,
    calls_of_a_rollout,
};

/// Before a search the probe takes at most one part in so many of the rollouts that are planned,
const PART: u64 = 10;
/// of those that a cap allows, because it takes them from the search,
const PART_OF_CAP: u64 = 20;
/// and of a cap alone where `min_headroom` asks for it.
const PART_ASKED: u64 = 4;
/// It takes at least so many rows, and at most so many.
const FEWEST: usize = 20;
const MOST: usize = 40;
/// One row in so many is drawn again.
const AGAIN: usize = 4;

/// The prompts of a probe and their scores: prompt by prompt, row by row, draw by draw.
struct Table {
    prompts: Vec<ProbedPrompt>,
    candidates: Vec<PromptCandidate>,
    rows: Vec<usize>,
    scores: Vec<Vec<Vec<f64>>>,
}

impl Run<'_> {
    /// Runs a few deliberately different prompts on so many selection examples, drawn by the seed, and says what gain is
    /// to be expected of other prompts, and where it would come from. Their demos are taken from `train`.
    ///
    /// The prompts are made from the program's own: as they are, without demos, strict about the form of the reply, with
    /// labelled demos, and long. What is known of the original is not run again. A fourth of the rows is drawn a second
    /// time; where any of them comes out differently, half of the rows are.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all rollouts are made; [`Error::Model`] where no row got a score.
    pub async fn look_for_headroom(
        &mut self,
        rows: usize,
        train: &[Arc<Example>],
    ) -> Result<HeadroomFinding, Halt> {
        let mut drawn: Vec<usize> = (0..self.board.examples().len()).collect();
        drawn.shuffle(&mut ChaCha8Rng::seed_from_u64(self.options.seed ^ 0x4EAD));
        drawn.truncate(rows);
        let rows = drawn;
        let prompts = deliberate(self.program, &self.base().prompts, train);
        self.stage(
            HeadroomFinding::DETAIL,
            format!("{} deliberately different prompts on {} examples", prompts.len(), rows.len()),
        );
        let candidate = |one: &ProbedPrompt| {
            self.fitted(PromptCandidate::new(one.prompts.clone(), Origin::new("headroom", one.name.clone())))
        };
        let candidates = prompts.iter().map(candidate).collect();
        let scores = vec![vec![Vec::new(); rows.len()]; prompts.len()];
        let count = rows.len();
        let mut table = Table { prompts, candidates, rows, scores };
        let again = count.div_ceil(AGAIN);
        self.draw_rows(&mut table, [(0, 0..count), (1, 0..again)]).await?;
        if table.differs() {
            self.draw_rows(&mut table, [(1, again..count.min(2 * again))]).await?;
        }
        let finding = table.finding()?;
        if finding.headroom.rows == 0 {
            let first = self.runner.reasons().into_iter().next().map(|reason| reason.message);
            let message = format!("no row got a score; the first error: {}", first.unwrap_or_default());
            return Err(Error::Model { message }.into());
        }
        Ok(finding)
    }

    /// Makes these draws of some rows under every prompt, all at once.
    async fn draw_rows(
        &mut self,
        table: &mut Table,
        draws: impl IntoIterator<Item = (u64, Range<usize>)>,
    ) -> Result<(), Halt> {
        let prompts: Vec<_> =
            table.candidates.iter().map(|candidate| Arc::new(candidate.prompts.clone())).collect();
        let known = table.candidates.first().and_then(|original| self.board.find(original));
        let (mut places, mut jobs) = (Vec::new(), Vec::new());
        for (draw, at) in draws.into_iter().flat_map(|(draw, rows)| rows.map(move |at| (draw, at))) {
            let Some(row) = table.rows.get(at).copied() else { continue };
            for (prompt, prompts) in prompts.iter().enumerate() {
                let known = known.filter(|_| prompt == 0 && draw == 0);
                if let Some(evidence) = known.and_then(|known| self.board.evidence(known, row)) {
                    table.note(prompt, at, evidence.score, evidence.zero);
                } else if let Some(example) = self.board.examples().get(row) {
                    places.push((prompt, at));
                    jobs.push(RolloutJob::new(Arc::clone(prompts), Arc::clone(example)).with_sample(draw));
                }
            }
        }
        let traces = self.rollouts(&jobs).await?;
        for ((prompt, at), trace) in places.into_iter().zip(&traces) {
            table.note(prompt, at, trace.evidence(), counts_as_zero(trace));
        }
        Ok(())
    }

    /// What a probe before a search takes: rows, and the most rollouts of each. `None` where there is to be none.
    fn probe_size(&self, forecast: Option<&Forecast>) -> Option<(usize, usize)> {
        let (rows, limits) = (self.board.examples().len(), self.limits());
        let asked = self.options.min_headroom.is_some();
        // How long rollouts take is not known beforehand.
        if rows < FEWEST || (limits.wall_time.is_some() && !asked) {
            return None;
        }
        let rollout = calls_of_a_rollout(self.program);
        let affords = |calls: u64| match self.runner.totals().made {
            0 => calls / rollout.low.max(1),
            _ => RolloutCost::of(&self.runner).rollouts(calls),
        };
        let left = self.runner.remaining_calls().map(|left| left.saturating_add(self.ledger.spent()));
        let cap = left.map(affords).into_iter().chain(limits.rollouts).min();
        let expected = forecast.map(|forecast| forecast.calls().high / rollout.high.max(1));
        let most = match (asked, cap) {
            (true, cap) => cap.map(|cap| cap / PART_ASKED),
            (false, Some(cap)) => Some((cap / PART_OF_CAP).min(expected.map_or(u64::MAX, |all| all / PART))),
            (false, None) => expected.map(|all| all / PART),
        };
        let each = per_row(deliberate(self.program, &self.base().prompts, &self.train).len());
        let affordable = most.map_or(MOST as u64, |most| most / each as u64).min(MOST as u64) as usize;
        (affordable >= FEWEST).then(|| (affordable.min(rows), each))
    }

    /// What a probe before a search is going to call.
    pub(crate) fn probe_calls(&self, forecast: Option<&Forecast>) -> Option<Between> {
        let (rows, each) = self.probe_size(forecast)?;
        Some(Between::new(0, calls_of_a_rollout(self.program).high * (rows * each) as u64))
    }

    /// Looks for headroom before a search, where the budget bears it, and keeps what is found for the outcome.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends on the way, or less is to be expected than `min_headroom`.
    pub(crate) async fn probe_for_headroom(&mut self, forecast: Option<&Forecast>) -> Result<(), Halt> {
        let Some((count, _)) = self.probe_size(forecast) else {
            if self.options.min_headroom.is_some() {
                self.warn(format!(
                    "`min_headroom` had no effect: a probe for headroom takes at least {FEWEST} selection examples, and at \
                     most one call in {PART_ASKED} of the run"
                ));
            }
            return Ok(());
        };
        let before = self.ledger.rollouts();
        let finding = self.look_for_headroom(count, &self.train.clone()).await?;
        // A strategy that bounds itself bounds what it does.
        self.rollouts_before += self.ledger.rollouts() - before;
        let expected = finding.headroom.gain().expected;
        self.detail(HeadroomFinding::DETAIL, &finding);
        match self.options.min_headroom {
            Some(least) if expected < least => {
                let message = format!(
                    "the probe for headroom expects a gain of {expected:.3} of other prompts, less than `min_headroom` = \
                     {least}"
                );
                Err(Halt::Stopped(StopReason::NoHeadroom { message }))
            }
            _ => self.check(),
        }
    }
}

/// Rollouts of a row: that of the original is known, and up to half of the rows are drawn again.
fn per_row(prompts: usize) -> usize {
    prompts.saturating_sub(1) + prompts.div_ceil(2)
}

impl Table {
    fn note(&mut self, prompt: usize, row: usize, score: Option<f64>, failed: bool) {
        let cell = self.scores.get_mut(prompt).and_then(|rows| rows.get_mut(row));
        let (Some(cell), Some(score), Some(prompt)) = (cell, score, self.prompts.get_mut(prompt)) else {
            return;
        };
        cell.push(score);
        prompt.rollouts += 1;
        prompt.failed += usize::from(failed);
    }

    /// Whether any row came out differently the second time.
    fn differs(&self) -> bool {
        self.scores
            .iter()
            .flatten()
            .any(|draws| draws.windows(2).any(|pair| matches!(pair, [one, other] if one != other)))
    }

    /// What the scores say. A prompt that has no score on more than half of the rows, because it is too long or is
    /// refused, is left out.
    fn finding(self) -> Result<HeadroomFinding, Halt> {
        let Self { prompts, rows, scores, .. } = self;
        let is_scored =
            |scores: &Vec<Vec<f64>>| scores.iter().filter(|draws| !draws.is_empty()).count() * 2 > rows.len();
        let kept = prompts.into_iter().zip(scores).enumerate();
        let kept = kept.filter(|(at, (_, scores))| *at == 0 || is_scored(scores));
        let (prompts, scores): (Vec<_>, Vec<_>) = kept.map(|(_, both)| both).unzip();
        let found = headroom(&scores, LEVEL).map_err(Error::from)?;
        Ok(HeadroomFinding::new(prompts, found))
    }
}
