//! What candidates are to be expected to gain.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints exempt test functions, but not the helpers they call"
)]

use promptopt_statistics::{Gain, Scores, expected_gains};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::sample::{known, toss, values};

/// What a choice came to, over many tasks.
#[derive(Debug, Default)]
struct Tally {
    /// True gain of what was chosen, on the mean.
    gain: f64,
    /// Of what would have been chosen by the highest mean.
    by_mean: f64,
    /// What was expected of it less what was true.
    bias: f64,
    /// How often it is worse by more than 0.02, and how often that of the highest mean is.
    harmed: f64,
    harmed_by_mean: f64,
}

/// Chooses among candidates that are right as often as `truths` says, the baseline first. Examples are as hard for one as
/// for another, and every third candidate is given up after a third of them.
fn choose(runs: u64, examples: usize, caution: f64, truths: impl Fn(usize) -> Vec<f64>) -> Tally {
    let mut tally = Tally::default();
    for run in 0..runs {
        let mut rng = ChaCha8Rng::seed_from_u64(run);
        let truths = truths(run as usize);
        let hard = values(&mut rng, examples, |rng| toss(rng, 0.5) - 0.5);
        let programs: Vec<Vec<f64>> = truths
            .iter()
            .map(|truth| {
                let room = 0.8 * truth.min(1.0 - truth);
                hard.iter().map(|hard| toss(&mut rng, truth + hard * room)).collect()
            })
            .collect();
        let given_up = |at: usize| at % 3 == 2;
        let scores = |(at, values): (usize, Vec<f64>)| match given_up(at) {
            true => Scores::lossy(
                values.iter().enumerate().map(|(row, one)| (row < examples / 3).then_some(*one)),
            ),
            false => known(values),
        };
        let programs: Vec<Scores> = programs.into_iter().enumerate().map(scores).collect();
        let gains = expected_gains(&programs[0], &programs[1..]).unwrap();
        let best = |value: &dyn Fn(&Gain) -> f64| {
            let finished = gains.iter().enumerate().filter(|(at, _)| !given_up(at + 1));
            let best = finished
                .map(|(at, gain)| (at + 1, value(gain)))
                .max_by(|one, other| one.1.total_cmp(&other.1));
            best.filter(|(_, value)| *value > 0.0).map_or(0, |(at, _)| at)
        };
        let (chosen, by_mean) = (best(&|gain| gain.utility(caution)), best(&|gain| gain.seen));
        let gain = truths[chosen] - truths[0];
        let expected = if chosen == 0 { 0.0 } else { gains[chosen - 1].mean };
        tally.gain += gain / runs as f64;
        tally.bias += (expected - gain) / runs as f64;
        tally.by_mean += (truths[by_mean] - truths[0]) / runs as f64;
        tally.harmed += f64::from(u8::from(gain < -0.02)) / runs as f64;
        tally.harmed_by_mean += f64::from(u8::from(truths[by_mean] - truths[0] < -0.02)) / runs as f64;
    }
    tally
}

/// Where candidates are equal or a little worse, the choice by the highest mean does harm, and this one does not.
#[test]
fn a_good_program_is_not_left_for_a_lucky_one() {
    for (examples, candidates, baseline) in [(30, 10, 0.85), (40, 20, 0.9), (100, 20, 0.8)] {
        let worse = |at: usize| baseline - [0.0, 0.02, 0.04, 0.06][at % 4];
        let tally = choose(200, examples, 3.0, |_| {
            std::iter::once(baseline).chain((0..candidates).map(worse)).collect()
        });
        println!("{examples} examples, {candidates} candidates, {baseline}: {tally:?}");
        assert!(tally.gain > -0.005 && tally.harmed <= 0.12, "{tally:?}");
        assert!(tally.by_mean < -0.008 && tally.harmed_by_mean > 0.3, "{tally:?}");
    }
}

/// Where something is to be gained, hardly any of it is given up.
#[test]
fn a_better_program_is_chosen_where_there_is_one() {
    let check = |name: &str, examples, truths: fn(usize) -> Vec<f64>| {
        let tally = choose(200, examples, 3.0, truths);
        println!("{name}: {tally:?}");
        assert!(tally.gain > 0.9 * tally.by_mean, "{name}: {tally:?}");
        assert!(tally.bias < 0.01, "{name}: {tally:?}");
    };
    check("one of twenty is better", 100, |run| {
        (0..21).map(|at| if at == 1 + run % 2 * 3 { 0.6 } else { 0.4 }).collect()
    });
    check("some are better, some worse", 60, |_| {
        (0..13).map(|at| 0.4 + [0.0, -0.15, 0.1, 0.15, 0.05, -0.1, 0.2][at % 7]).collect()
    });
    check("a bad start", 30, |_| (0..8).map(|at| if at == 0 { 0.1 } else { 0.6 }).collect());
}

/// Scores of some programs on the same examples, some missing.
fn programs() -> impl Strategy<Value = Vec<Scores>> {
    let score = proptest::option::weighted(0.8, prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0]);
    (1_usize..40, 1_usize..8).prop_flat_map(move |(examples, programs)| {
        let one = proptest::collection::vec(score.clone(), examples).prop_map(Scores::lossy);
        proptest::collection::vec(one, programs + 1)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_candidate_has_an_expectation_that_is_a_number(programs in programs()) {
        for gain in expected_gains(&programs[0], &programs[1..])? {
            prop_assert!(gain.mean.abs() <= 1.5 && gain.deviation >= 0.0 && gain.deviation < 2.0, "{gain:?}");
            prop_assert!(gain.utility(1.0) >= gain.utility(3.0), "{gain:?}");
        }
    }

    #[test]
    fn neither_order_nor_unit_matters(programs in programs()) {
        let gains = expected_gains(&programs[0], &programs[1..])?;
        let backwards = expected_gains(&programs[0], programs[1..].iter().rev())?;
        let percent = |one: &Scores| Scores::lossy(one.as_slice().iter().map(|score| score.map(|score| 100.0 * score)));
        let percents: Vec<Scores> = programs.iter().map(percent).collect();
        let percents = expected_gains(&percents[0], &percents[1..])?;
        for ((one, other), percent) in gains.iter().zip(backwards.iter().rev()).zip(&percents) {
            prop_assert!((one.mean - other.mean).abs() < 1e-6, "{one:?} {other:?}");
            prop_assert!((100.0 * one.mean - percent.mean).abs() < 1e-4, "{one:?} {percent:?}");
            prop_assert!((100.0 * one.deviation - percent.deviation).abs() < 1e-4, "{one:?} {percent:?}");
        }
    }

    #[test]
    fn one_candidate_is_expected_to_gain_less_than_it_showed(
        scores in proptest::collection::vec((0.0..=1.0, 0.0..=1.0), 2..50)
    ) {
        let (baseline, candidate): (Vec<f64>, Vec<f64>) = scores.into_iter().unzip();
        let gains = expected_gains(&known(baseline), &[known(candidate)])?;
        prop_assert!(gains[0].mean.abs() <= gains[0].seen.abs() + 1e-9, "{:?}", gains[0]);
        prop_assert!(gains[0].mean * gains[0].seen >= 0.0, "{:?}", gains[0]);
    }
}
