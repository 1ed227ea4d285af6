//! Attempts: instructions of a predictor that were tried, and how they scored.

use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
use promptopt_run::{Board, Run};
use serde::{Deserialize, Serialize};

/// A mean of few examples is pulled towards the mean of all candidates with this weight.
const PRIOR_WEIGHT: f64 = 5.0;

/// An instruction that was tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) instruction: String,
    /// Its mean score over what it was evaluated on.
    pub(crate) score: f64,
}

/// The best attempts of a predictor, the worst of them first. An instruction that was tried in several
/// candidates counts as in the best of them. Those that were dropped early are ranked by a mean that is
/// pulled towards that of all, because it may owe much to luck.
pub(crate) fn ranked(board: &Board, predictor: &str, most: usize) -> Vec<Attempt> {
    let means: Vec<f64> = (0..board.candidates().len()).filter_map(|index| board.mean(index)).collect();
    let prior = means.iter().sum::<f64>() / means.len().max(1) as f64;
    let mut attempts: Vec<(f64, Attempt)> = Vec::new();
    for (index, candidate) in board.candidates().iter().enumerate() {
        let (Some(instruction), Some(score)) = (candidate.instruction(predictor), board.mean(index)) else {
            continue;
        };
        let rank = shrunk(score, board.count(index), prior);
        match attempts.iter_mut().find(|(_, known)| known.instruction == instruction) {
            Some(known) if known.0 >= rank => {}
            Some(known) => (known.0, known.1.score) = (rank, score),
            None => attempts.push((rank, Attempt { instruction: instruction.to_owned(), score })),
        }
    }
    attempts.sort_by(|left, right| left.0.total_cmp(&right.0));
    let worst = attempts.len().saturating_sub(most);
    attempts.into_iter().skip(worst).map(|(_, attempt)| attempt).collect()
}

fn shrunk(mean: f64, n: usize, prior: f64) -> f64 {
    let n = n as f64;
    (mean * n + prior * PRIOR_WEIGHT) / (n + PRIOR_WEIGHT)
}

/// The best so far with another instruction for one predictor.
pub(crate) fn refined(
    base: usize,
    from: &PromptCandidate,
    predictor: &str,
    depth: usize,
    instruction: String,
) -> PromptCandidate {
    let mut prompts = from.prompts.clone();
    let demos = prompts.get(predictor).map(|prompt| prompt.demos.clone()).unwrap_or_default();
    prompts.insert(predictor, Prompt::new(instruction).with_demos(demos));
    let origin = Origin::new("refined", format!("refined {predictor}, depth {depth}"))
        .with("predictor", predictor)
        .with("depth", depth);
    PromptCandidate::new(prompts, origin).with_parents(vec![base])
}

/// The scores of the attempts of one predictor at one depth. They stand in the outcome as its detail `depths`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DepthStatistics {
    /// Path of the predictor.
    pub predictor: String,
    /// The depth, from 0.
    pub depth: usize,
    /// How many attempts of this depth have a score.
    pub attempts: usize,
    /// The highest mean on the full selection set of any candidate so far.
    pub best: f64,
    /// The mean score. Like `min`, `max` and `std` it is over what each attempt was run on, which is less
    /// than the selection set for those that were dropped early; so `max` can exceed `best`.
    pub mean: f64,
    /// The lowest score.
    pub min: f64,
    /// The highest score.
    pub max: f64,
    /// The standard deviation of the scores (divided by n).
    pub std: f64,
    /// Language-model calls spent at the end of the depth, from the start of the run.
    pub calls_so_far: u64,
}

impl DepthStatistics {
    /// The statistics of a depth that has just ended. At the first the instruction that the predictor had is one of
    /// the attempts.
    pub(crate) fn of(run: &Run<'_>, predictor: &str, depth: usize, base: usize, new: &[usize]) -> Self {
        let present = (depth == 0).then_some(base);
        let scores: Vec<f64> =
            present.iter().chain(new).filter_map(|candidate| run.board().mean(*candidate)).collect();
        Self {
            predictor: predictor.to_owned(),
            depth,
            best: run.best().1,
            calls_so_far: run.ledger().spent(),
            ..statistics(&scores)
        }
    }
}

/// The statistics of one depth from the scores of its attempts.
pub(crate) fn statistics(scores: &[f64]) -> DepthStatistics {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n;
    DepthStatistics {
        attempts: scores.len(),
        mean,
        min: scores.iter().copied().reduce(f64::min).unwrap_or_default(),
        max: scores.iter().copied().reduce(f64::max).unwrap_or_default(),
        std: variance.sqrt(),
        ..DepthStatistics::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_agree_with_a_computation_by_hand() {
        let found = statistics(&[0.2, 0.4, 0.9]);
        assert_eq!((found.attempts, found.min, found.max), (3, 0.2, 0.9));
        assert!((found.mean - 0.5).abs() < 1e-12);
        // Deviations -0.3, -0.1 and 0.4: squares 0.09, 0.01 and 0.16, mean 0.26 / 3.
        assert!((found.std - (0.26_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(statistics(&[]), DepthStatistics::default());
    }

    #[test]
    fn few_examples_weigh_less() {
        assert!((shrunk(1.0, 20, 0.5) - 0.9).abs() < 1e-12);
        assert!((shrunk(0.95, 100, 0.5) - 0.9286).abs() < 1e-4);
        assert_eq!(shrunk(1.0, 0, 0.5), 0.5);
    }
}
