//! The gate: whether a child is worth its evaluation on the whole selection set.
//!
//! The evidence is paired: child and parent on the same examples. It is looked at several times as
//! it grows, first on training examples (3, 6, 12), then on portions of the selection set, and a
//! child is dropped at the first look at which it stands below that look's bound. The bounds are
//! such that of children that are no better than their parent at most `level` come through; most
//! of them go at the first looks, where they have cost little.
//!
//! Pure arithmetic: what is known goes in, a verdict comes out.

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Of children that are no better than their parent, this share may pass the training examples.
const TRAINING_SURVIVAL: f64 = 0.5;
/// How early those that go do so: the share that is gone after a part t of the looks' evidence is
/// proportional to t to this power.
const TRAINING_POWER: f64 = 0.5;
const SELECTION_POWER: f64 = 0.25;
/// The bounds are set for this share of the level, because scores of few examples are not normally
/// distributed.
const MARGIN: f64 = 0.62;
/// Random walks from which bounds are read off.
const WALKS: usize = 8000;
/// Weight, in examples, of having no correlation between child and parent.
const CORRELATION_PRIOR: f64 = 5.0;
/// Fewest examples of a portion of the selection set.
const FEWEST_IN_PORTION: usize = 5;

/// One look at the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Look {
    /// Examples on which child and parent are compared by then.
    pub examples: usize,
    /// A child whose z-score is below this is dropped.
    pub bound: f64,
}

/// When to look, and the bound of each look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    training: Vec<Look>,
    selection: Vec<Look>,
}

/// How much evidence a gate may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GateOptions {
    /// The largest share of children that come through though they are no better, in (0, 1].
    pub level: f64,
    /// Training examples at the first look; doubled from look to look.
    pub minibatch_size: usize,
    /// Training examples at the last look on them.
    pub max_training: usize,
    /// Examples of the selection set.
    pub selection: usize,
    /// In how many portions the selection set is run.
    pub portions: usize,
}

impl GateOptions {
    /// A gate of some level over so many examples, the selection set in ten portions.
    pub fn new(level: f64, minibatch_size: usize, max_training: usize, selection: usize) -> Self {
        Self { level, minibatch_size, max_training, selection, portions: 10 }
    }
}

impl Gate {
    /// Sets looks and bounds. With a level of 1 nothing is ever dropped.
    pub fn new(options: &GateOptions) -> Self {
        let mut training = Vec::new();
        let mut next = options.minibatch_size.min(options.max_training);
        while next > 0 && next < options.max_training {
            training.push(next);
            next *= 2;
        }
        training.extend((options.max_training > 0).then_some(options.max_training));
        let portion = options.selection.div_ceil(options.portions.max(1)).max(FEWEST_IN_PORTION);
        let selection: Vec<usize> = (1..)
            .map(|number| number * portion)
            .take_while(|examples| *examples < options.selection)
            .collect();
        // Both hurdles are taken independently, because they are about different examples.
        let target = if options.level >= 1.0 { 1.0 } else { options.level * MARGIN };
        let (first, second) = match (training.is_empty(), selection.is_empty()) {
            (false, false) => {
                let first = TRAINING_SURVIVAL.max(target);
                (first, target / first)
            }
            (false, true) => (target, 1.0),
            (true, _) => (1.0, target),
        };
        Self {
            training: looks(&training, first, TRAINING_POWER),
            selection: looks(&selection, second, SELECTION_POWER),
        }
    }

    /// The looks on training examples.
    pub fn training(&self) -> &[Look] {
        &self.training
    }

    /// The looks on the selection set. There is none at its end: a child that comes so far is evaluated
    /// on all of it.
    pub fn selection(&self) -> &[Look] {
        &self.selection
    }
}

fn looks(examples: &[usize], survival: f64, power: f64) -> Vec<Look> {
    let last = examples.last().copied().unwrap_or(1) as f64;
    let survivals: Vec<f64> = examples
        .iter()
        .map(|examples| 1.0 - (1.0 - survival) * (*examples as f64 / last).powf(power))
        .collect();
    let bounds = bounds(examples, &survivals);
    examples.iter().zip(bounds).map(|(examples, bound)| Look { examples: *examples, bound }).collect()
}

/// The bounds under which random walks without drift survive each look with the given shares.
fn bounds(examples: &[usize], survivals: &[f64]) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(0x6A7E);
    let mut walks: Vec<f64> = vec![0.0; WALKS];
    let mut before = 0;
    let mut bounds = Vec::new();
    for (examples, survival) in examples.iter().zip(survivals) {
        let step = ((examples - before) as f64).sqrt();
        before = *examples;
        walks.iter_mut().for_each(|position| *position += step * normal(&mut rng));
        walks.sort_by(|left, right| right.total_cmp(left));
        let kept = ((WALKS as f64 * survival).round() as usize).min(walks.len());
        let bound = match walks.get(kept) {
            Some(first_dropped) => first_dropped / (*examples as f64).sqrt(),
            None => f64::NEG_INFINITY,
        };
        walks.truncate(kept);
        bounds.push(bound);
    }
    bounds
}

/// A draw from the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let (first, second): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

/// How much better a child is than its parent, by what is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contrast {
    /// Mean of the child minus mean of the parent.
    pub difference: f64,
    /// Standard error of that.
    pub error: f64,
}

impl Contrast {
    /// Pools paired evidence: (child, parent) on the same examples, and the parent on others of
    /// the same kind that the child was not run on yet.
    ///
    /// The parent's scores serve as a control variate: where both do well on the same examples,
    /// the difference is taken example by example; where they have nothing to do with each other,
    /// the child's mean is compared with the mean of all that is known of the parent. Variances
    /// and correlation are pulled to cautious values where there are few examples. `None` without
    /// a pair.
    pub fn of(pairs: &[(f64, f64)], parent_elsewhere: &[f64]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let count = pairs.len() as f64;
        let known = count + parent_elsewhere.len() as f64;
        let child_mean = pairs.iter().map(|(child, _)| child).sum::<f64>() / count;
        let parent_sum = pairs.iter().map(|(_, parent)| parent).sum::<f64>();
        let parent_mean = parent_sum / count;
        let parent_total = (parent_sum + parent_elsewhere.iter().sum::<f64>()) / known;

        // Variances are pulled to what scores between 0 and `top` with this mean can have at most, with
        // the weight of two examples; the child's to its parent's, which is known from more.
        let scores = pairs.iter().flat_map(|(child, parent)| [*child, *parent]);
        let top = scores.chain(parent_elsewhere.iter().copied()).fold(1.0_f64, f64::max);
        let cautious_mean = (parent_total * known + 0.5 * top) / (known + 1.0);
        let cautious = cautious_mean * (top - cautious_mean).max(0.0);
        let squares = |value: fn(&(f64, f64)) -> f64, mean: f64| {
            pairs.iter().map(|pair| (value(pair) - mean).powi(2)).sum::<f64>()
        };
        let (child_squares, parent_squares) =
            (squares(|pair| pair.0, child_mean), squares(|pair| pair.1, parent_mean));
        let products =
            pairs.iter().map(|(child, parent)| (child - child_mean) * (parent - parent_mean)).sum::<f64>();
        let all_squares = pairs
            .iter()
            .map(|(_, parent)| parent)
            .chain(parent_elsewhere)
            .map(|parent| (parent - parent_total).powi(2))
            .sum::<f64>();
        let parent_variance = (all_squares + 2.0 * cautious) / (known + 1.0);
        let child_variance = (child_squares + 2.0 * parent_variance) / (count + 1.0);
        let spread = (child_squares * parent_squares).sqrt();
        let correlation = if spread > 0.0 { products / spread } else { 0.0 };
        let correlation = (correlation * count / (count + CORRELATION_PRIOR)).clamp(0.0, 0.98);

        let weight =
            if parent_variance > 0.0 { correlation * (child_variance / parent_variance).sqrt() } else { 0.0 };
        let covariance = correlation * (child_variance * parent_variance).sqrt();
        let difference = child_mean - parent_total - weight * (parent_mean - parent_total);
        let variance = child_variance / count + parent_variance / known - 2.0 * covariance / known
            + (weight * weight * parent_variance - 2.0 * weight * covariance) * (1.0 / count - 1.0 / known);
        Some(Self { difference, error: variance.max(0.0).sqrt() })
    }

    /// The difference in standard errors.
    pub fn z(&self) -> f64 {
        if self.error > 0.0 {
            self.difference / self.error
        } else if self.difference > 0.0 {
            f64::INFINITY
        } else if self.difference < 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(level: f64, training: usize, selection: usize) -> GateOptions {
        GateOptions { level, minibatch_size: 3, max_training: training, selection, portions: 10 }
    }

    #[test]
    fn looks_double_on_training_examples_and_go_by_portions_on_the_selection_set() {
        let gate = Gate::new(&options(0.05, 12, 100));
        let at = |looks: &[Look]| looks.iter().map(|look| look.examples).collect::<Vec<_>>();
        assert_eq!(at(gate.training()), [3, 6, 12]);
        assert_eq!(at(gate.selection()), [10, 20, 30, 40, 50, 60, 70, 80, 90]);
        let bounds: Vec<f64> = gate.selection().iter().map(|look| look.bound).collect();
        assert!(bounds[0] < bounds[8] && bounds[8] > 1.0, "{bounds:?}");
        let tiny = Gate::new(&options(0.05, 2, 4));
        assert_eq!((at(tiny.training()), at(tiny.selection())), (vec![2], vec![]));
        assert_eq!(Gate::new(&options(0.05, 0, 0)), Gate { training: vec![], selection: vec![] });
    }

    #[test]
    fn at_level_one_nothing_is_dropped() {
        let gate = Gate::new(&options(1.0, 0, 100));
        assert!(gate.selection().iter().all(|look| look.bound == f64::NEG_INFINITY));
    }

    #[test]
    fn equal_scores_stand_at_zero_and_gains_above() {
        let z = |pairs: &[(f64, f64)]| Contrast::of(pairs, &[]).unwrap().z();
        assert!(Contrast::of(&[], &[1.0]).is_none());
        assert_eq!(z(&[(1.0, 1.0), (0.0, 0.0), (1.0, 1.0)]), 0.0);
        assert!(z(&[(1.0, 0.0), (1.0, 0.0), (0.0, 0.0)]) > 1.0);
        assert!(z(&[(0.0, 1.0), (0.0, 0.0), (0.0, 1.0)]) < -1.0);
        assert_eq!(z(&[(0.0, 0.0); 5]), 0.0);
    }

    #[test]
    fn pairing_counts_where_examples_differ_in_difficulty() {
        // Child and parent agree on all but a few examples, and the child is the better one there.
        let pairs: Vec<(f64, f64)> = (0..100)
            .map(|number| {
                let parent = f64::from(number % 2);
                (if number % 10 == 0 { 1.0 } else { parent }, parent)
            })
            .collect();
        let paired = Contrast::of(&pairs, &[]).unwrap();
        let shuffled: Vec<(f64, f64)> =
            (0..100).map(|at| (pairs[at].0, pairs[(at * 7 + 1) % 100].1)).collect();
        let unpaired = Contrast::of(&shuffled, &[]).unwrap();
        assert!((paired.difference - unpaired.difference).abs() < 0.05);
        assert!(paired.z() > 1.5 * unpaired.z(), "{} {}", paired.z(), unpaired.z());
    }

    proptest! {
        #[test]
        fn the_contrast_is_finite_and_turns_with_its_arguments(
            pairs in proptest::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..60),
            elsewhere in proptest::collection::vec(0.0..=1.0_f64, 0..60),
        ) {
            let contrast = Contrast::of(&pairs, &elsewhere).unwrap();
            prop_assert!(contrast.difference.is_finite() && contrast.error.is_finite());
            prop_assert!(contrast.difference.abs() <= 2.0);
            let better: Vec<(f64, f64)> = pairs.iter().map(|(child, parent)| (child + 2.0, *parent)).collect();
            prop_assert!(Contrast::of(&better, &elsewhere).unwrap().difference > contrast.difference);
        }
    }
}
