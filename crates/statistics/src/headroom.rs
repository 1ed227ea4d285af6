//! How much better other prompts are expected to be, by a few that were tried.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::basics::mean;
use crate::{Error, PairedSpread, examples_needed};

/// How far apart the means of prompts are taken to lie before anything is known, as a share of the scores' range: the
/// scale of a half-Cauchy prior of their standard deviation.
const USUAL: f64 = 0.05;
/// Steps of the grid over that standard deviation, from 0 to the whole range.
const STEPS: usize = 100;
/// Scores that never differ leave it possible that about so many rows more would.
const UNSEEN: f64 = 0.25;
/// Halvings of a range in which a quantile is searched.
const HALVINGS: usize = 60;
/// The error rate and the power that numbers of rows are given for.
const ALPHA: f64 = 0.05;
const POWER: f64 = 0.8;

/// The variance of scores in its parts. Each is at least 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VarianceComponents {
    /// Between prompts: how far apart their means lie.
    pub prompt: f64,
    /// Between rows: that some are harder than others under every prompt.
    pub row: f64,
    /// Between the prompts on one row, beyond what their means say. Where nothing was drawn twice, the draws are in
    /// it, too.
    pub prompt_by_row: f64,
    /// Between draws of one row under one prompt; `None` where nothing was drawn twice.
    pub draw: Option<f64>,
}

/// How rows came out, each counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RowTally {
    /// Right under every prompt.
    pub always: usize,
    /// Right under some prompts, and not different from draw to draw as far as there was more than one.
    pub by_prompt: usize,
    /// Sometimes right and sometimes wrong under one and the same prompt.
    pub by_draw: usize,
    /// Right under no prompt and in no draw.
    pub never: usize,
    /// How many rows were drawn more than once.
    pub drawn_again: usize,
}

/// What a prompt is expected to gain over the first one on other rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpectedGain {
    /// The difference of the means that was seen.
    pub seen: f64,
    /// What is expected: the same, shrunk towards 0 by what differences of this kind owe to luck.
    pub expected: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// What a few prompts on the same rows say of what other prompts could gain. The first prompt is the original.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Headroom {
    /// Rows that have a score under every prompt. The others are left out.
    pub rows: usize,
    /// The mean of each prompt on them.
    pub means: Vec<f64>,
    /// What each prompt is expected to gain over the first one; 0 for the first.
    pub gains: Vec<ExpectedGain>,
    /// The prompt with the highest mean besides the first one; of equals the first. 0 where there is no other.
    pub best: usize,
    /// Level of the intervals.
    pub level: f64,
    /// The range of the scores: 1 where all are between 0 and 1.
    pub range: f64,
    /// Where the scores' differences come from.
    pub variance: VarianceComponents,
    /// How rows came out.
    pub tally: RowTally,
}

impl Headroom {
    /// What the best of the other prompts is expected to gain over the first one. Below 0 where it lost.
    pub fn gain(&self) -> ExpectedGain {
        self.gains.get(self.best).copied().unwrap_or_default()
    }

    /// How many rows show a gain of this size in four of five cases, at a two-sided error rate of 5 %; `None` where it
    /// is 0 or ten million rows are not enough.
    pub fn rows_needed(&self, gain: f64) -> Option<usize> {
        let single = self.variance.prompt_by_row + self.variance.draw.unwrap_or_default();
        let deviation = (2.0 * single.max(least_variance(self.rows, self.range))).sqrt();
        examples_needed(gain, PairedSpread::Graded { deviation }, ALPHA, POWER)
    }
}

/// Splits the scores of a few prompts on the same rows into what prompts, rows and draws do, and says what the best of
/// them is expected to gain over the first one on other rows.
///
/// `scores` has a table for each prompt, with the draws of each row; the first prompt is the original. Rows without a
/// draw under some prompt are left out. `level` is that of the intervals, in (0, 1).
///
/// - The parts of the variance are those of the crossed random-effects model, prompt × row, estimated by the analysis of
///   variance (Searle, Casella and McCulloch 1992, chapter 4; in tests of people it is called generalizability theory:
///   Cronbach and others 1972). A part that comes out below 0 is 0.
/// - The expected gain is the best linear unbiased prediction of the difference (the same, chapter 7): the best of a few
///   is lucky, so it is shrunk by what the prompts' means owe to the rows. How far prompts lie apart is known from a few
///   of them only, so it is not estimated but averaged over, with a half-Cauchy prior of scale 0.05 of the range (Gelman,
///   *Prior distributions for variance parameters in hierarchical models*, Bayesian Analysis 2006).
///
/// ```
/// use promptopt_statistics::headroom;
///
/// // Twenty rows under two prompts: the second is right on eight more.
/// let first: Vec<Vec<f64>> = (0..20).map(|row| vec![f64::from(u8::from(row < 8))]).collect();
/// let second: Vec<Vec<f64>> = (0..20).map(|row| vec![f64::from(u8::from(row < 16))]).collect();
/// let found = headroom(&[first.clone(), second], 0.95)?;
/// let gain = found.gain();
/// assert!(gain.seen > gain.expected && gain.expected > 0.2 && gain.low < gain.expected);
/// assert_eq!((found.tally.always, found.tally.by_prompt, found.tally.never), (8, 8, 4));
/// // The same twice: nothing is to be expected.
/// assert_eq!(headroom(&[first.clone(), first], 0.95)?.gain().expected, 0.0);
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NotFinite`] for a score that is NaN or infinite, [`Error::Lengths`] where two prompts have not equally many
/// rows.
pub fn headroom(scores: &[Vec<Vec<f64>>], level: f64) -> Result<Headroom, Error> {
    check(scores)?;
    let all = scores.first().map_or(0, Vec::len);
    let cell = |prompt: usize, row: usize| scores.get(prompt).and_then(|rows| rows.get(row));
    let prompts = 0..scores.len();
    let known: Vec<usize> = (0..all)
        .filter(|row| prompts.clone().all(|prompt| cell(prompt, *row).is_some_and(|draws| !draws.is_empty())))
        .collect();
    let table: Vec<Vec<&[f64]>> = prompts
        .map(|prompt| known.iter().filter_map(|row| cell(prompt, *row)).map(Vec::as_slice).collect())
        .collect();
    if known.is_empty() {
        return Ok(Headroom { level, range: 1.0, ..Headroom::default() });
    }
    let (range, right) = range(&table);
    let split = Split::of(&table, range);
    let others = split.means.iter().enumerate().skip(1);
    let best = others.rev().max_by(|one, other| one.1.total_cmp(other.1)).map_or(0, |(at, _)| at);
    let posterior = Posterior::of(&split, range);
    let first = split.means.first().copied().unwrap_or_default();
    let gains = split.means.iter().enumerate().map(|(at, mean)| match at {
        0 => ExpectedGain::default(),
        _ => posterior.gain(mean - first, level),
    });
    Ok(Headroom {
        rows: known.len(),
        gains: gains.collect(),
        best,
        level,
        range,
        variance: split.components(&table),
        tally: tally(&table, right),
        means: split.means,
    })
}

fn check(scores: &[Vec<Vec<f64>>]) -> Result<(), Error> {
    let first = scores.first().map_or(0, Vec::len);
    for rows in scores {
        if rows.len() != first {
            return Err(Error::Lengths { first, second: rows.len() });
        }
        for (index, draws) in rows.iter().enumerate() {
            if let Some(score) = draws.iter().copied().find(|score| !score.is_finite()) {
                return Err(Error::NotFinite { index, score });
            }
        }
    }
    Ok(())
}

/// The range of the scores, and from which one on a row counts as right: half of the most there is.
fn range(table: &[Vec<&[f64]>]) -> (f64, f64) {
    let scores = || table.iter().flatten().flat_map(|draws| draws.iter().copied());
    let (least, most) = (scores().fold(0.0, f64::min), scores().fold(1.0, f64::max));
    (most - least, least + (most - least) / 2.0)
}

/// The least variance of single scores that so many rows leave possible.
fn least_variance(rows: usize, range: f64) -> f64 {
    UNSEEN * range * range / rows.max(1) as f64
}

/// The analysis of variance of prompts × rows.
struct Split {
    prompts: f64,
    rows: f64,
    means: Vec<f64>,
    /// Sum of squares of the prompts' means.
    between: f64,
    /// Mean squares of prompts, rows and the rest.
    prompt: f64,
    row: f64,
    rest: f64,
    /// Variance of a prompt's mean by what is left beside prompt and row.
    error: f64,
}

impl Split {
    fn of(table: &[Vec<&[f64]>], range: f64) -> Self {
        let cells: Vec<Vec<f64>> =
            table.iter().map(|rows| rows.iter().map(|draws| mean(draws)).collect()).collect();
        let (prompts, rows) = (cells.len() as f64, cells.first().map_or(0, Vec::len));
        let means: Vec<f64> = cells.iter().map(|rows| mean(rows)).collect();
        let grand = mean(&means);
        let of_row = |row: usize| {
            let cells: Vec<f64> = cells.iter().filter_map(|rows| rows.get(row)).copied().collect();
            mean(&cells)
        };
        let of_rows: Vec<f64> = (0..rows).map(of_row).collect();
        let square = |from: &[f64]| from.iter().map(|mean| (mean - grand).powi(2)).sum::<f64>();
        let rest = cells.iter().zip(&means).flat_map(|(cells, mean)| {
            cells.iter().zip(&of_rows).map(move |(cell, row)| (cell - mean - row + grand).powi(2))
        });
        let rest = rest.sum::<f64>() / ((prompts - 1.0) * (rows as f64 - 1.0)).max(1.0);
        let between = square(&means);
        Self {
            prompts,
            rows: rows as f64,
            between,
            prompt: rows as f64 * between / (prompts - 1.0).max(1.0),
            row: prompts * square(&of_rows) / (rows as f64 - 1.0).max(1.0),
            rest,
            error: rest.max(least_variance(rows, range)) / (rows as f64).max(1.0),
            means,
        }
    }

    fn components(&self, table: &[Vec<&[f64]>]) -> VarianceComponents {
        let cells = || table.iter().flatten();
        let again = || cells().filter(|draws| draws.len() > 1);
        let freedom: usize = again().map(|draws| draws.len() - 1).sum();
        let squares = again().map(|draws| {
            let centre = mean(draws);
            draws.iter().map(|draw| (draw - centre).powi(2)).sum::<f64>()
        });
        let draw = (freedom > 0).then(|| squares.sum::<f64>() / freedom as f64);
        // A cell's mean has the variance of a draw divided by how many there are.
        let part = cells().map(|draws| 1.0 / draws.len() as f64).sum::<f64>() / cells().count().max(1) as f64;
        VarianceComponents {
            prompt: ((self.prompt - self.rest) / self.rows).max(0.0),
            row: ((self.row - self.rest) / self.prompts).max(0.0),
            prompt_by_row: (self.rest - part * draw.unwrap_or_default()).max(0.0),
            draw,
        }
    }
}

/// What is known of how far prompts lie apart: for each standard deviation of their true means its weight, and the share
/// of a difference seen that is true then.
struct Posterior {
    points: Vec<(f64, f64)>,
    error: f64,
    least: f64,
}

impl Posterior {
    fn of(split: &Split, range: f64) -> Self {
        let freedom = split.prompts - 1.0;
        let logs = (0..=STEPS).map(|step| {
            let apart = range * step as f64 / STEPS as f64;
            let all = apart * apart + split.error;
            let likelihood = -freedom / 2.0 * all.ln() - split.between / (2.0 * all);
            let prior = -(1.0 + (apart / (USUAL * range)).powi(2)).ln();
            (likelihood + prior, apart * apart / all)
        });
        let logs: Vec<(f64, f64)> = logs.collect();
        let most = logs.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<(f64, f64)> = logs.iter().map(|(log, share)| ((log - most).exp(), *share)).collect();
        let sum: f64 = weights.iter().map(|(weight, _)| weight).sum();
        let points = weights.into_iter().map(|(weight, share)| (weight / sum, share)).collect();
        Self { points, error: split.error, least: 1e-9 * range }
    }

    fn gain(&self, seen: f64, level: f64) -> ExpectedGain {
        let expected = seen * self.points.iter().map(|(weight, share)| weight * share).sum::<f64>();
        let tail = (1.0 - level.clamp(0.5, 0.9999)) / 2.0;
        let (low, high) = (self.quantile(seen, tail), self.quantile(seen, 1.0 - tail));
        ExpectedGain { seen, expected, low: low.min(expected), high: high.max(expected) }
    }

    /// The probability that the true difference is at most this.
    fn below(&self, seen: f64, gain: f64) -> f64 {
        let normal = Normal::standard();
        let below = |(weight, share): &(f64, f64)| {
            let deviation = (2.0 * share * self.error).sqrt().max(self.least);
            weight * normal.cdf((gain - share * seen) / deviation)
        };
        self.points.iter().map(below).sum()
    }

    fn quantile(&self, seen: f64, share: f64) -> f64 {
        let reach = seen.abs() + 10.0 * self.error.sqrt();
        let (mut low, mut high) = (-reach, reach);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.below(seen, middle) < share { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }
}

fn tally(table: &[Vec<&[f64]>], right: f64) -> RowTally {
    let mut tally = RowTally::default();
    for row in 0..table.first().map_or(0, Vec::len) {
        let cells = || table.iter().filter_map(|rows| rows.get(row));
        let is_right = |score: &f64| *score >= right;
        let (all, none) =
            (|draws: &&[f64]| draws.iter().all(is_right), |draws: &&[f64]| !draws.iter().any(is_right));
        let place = if cells().all(all) {
            &mut tally.always
        } else if cells().all(none) {
            &mut tally.never
        } else if cells().all(|draws| all(draws) || none(draws)) {
            &mut tally.by_prompt
        } else {
            &mut tally.by_draw
        };
        *place += 1;
        tally.drawn_again += usize::from(cells().any(|draws| draws.len() > 1));
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(rows: &[&[&[u8]]]) -> Vec<Vec<Vec<f64>>> {
        let cell = |draws: &&[u8]| draws.iter().map(|draw| f64::from(*draw)).collect();
        rows.iter().map(|rows| rows.iter().map(cell).collect()).collect()
    }

    /// A worked table: prompts 1, 2 on rows 1, 2, 3 with cell means 1 3 5 and 2 6 7.
    #[test]
    fn the_parts_are_those_of_the_textbook() {
        let scores = [vec![vec![1.0], vec![3.0], vec![5.0]], vec![vec![2.0], vec![6.0], vec![7.0]]];
        let found = headroom(&scores, 0.95).unwrap();
        // Mean squares: prompts 6, rows 10.5, rest 0.5.
        let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} is not {other}");
        near(found.variance.prompt, (6.0 - 0.5) / 3.0);
        near(found.variance.row, (10.5 - 0.5) / 2.0);
        near(found.variance.prompt_by_row, 0.5);
        assert_eq!((found.variance.draw, found.best, found.rows), (None, 1, 3));
    }

    #[test]
    fn what_differs_from_draw_to_draw_is_no_doing_of_the_prompt() {
        let (heads, tails): (&[u8], &[u8]) = (&[1, 0], &[0, 1]);
        let found = headroom(&binary(&[&[heads; 20], &[tails; 20]]), 0.95).unwrap();
        assert_eq!((found.variance.draw, found.variance.prompt_by_row), (Some(0.5), 0.0));
        assert_eq!((found.tally.by_draw, found.tally.drawn_again), (20, 20));
        assert_eq!(found.gain().expected, 0.0);
    }

    #[test]
    fn rows_without_a_score_are_left_out() {
        let found = headroom(&binary(&[&[&[1], &[], &[0]], &[&[1], &[1], &[0]]]), 0.95).unwrap();
        assert_eq!((found.rows, found.means.clone()), (2, vec![0.5, 0.5]));
        assert_eq!((found.tally.always, found.tally.never), (1, 1));
        let nothing = headroom(&binary(&[&[&[]], &[&[1]]]), 0.95).unwrap();
        assert_eq!((nothing.rows, nothing.gain()), (0, ExpectedGain::default()));
        assert_eq!(headroom(&[], 0.95).unwrap().rows, 0);
        let uneven = headroom(&binary(&[&[&[1]], &[]]), 0.95);
        assert_eq!(uneven, Err(Error::Lengths { first: 1, second: 0 }));
        assert!(headroom(&[vec![vec![f64::NAN]]], 0.95).is_err());
    }

    #[test]
    fn a_larger_gain_takes_fewer_rows() {
        let scores = binary(&[&[&[1], &[0], &[0], &[1], &[0]], &[&[1], &[1], &[0], &[0], &[1]]]);
        let found = headroom(&scores, 0.95).unwrap();
        let (few, many) = (found.rows_needed(0.3).unwrap(), found.rows_needed(0.1).unwrap());
        assert!(few < many, "{few} and {many}");
        assert_eq!(found.rows_needed(0.0), None);
    }
}
