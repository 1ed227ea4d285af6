//! Figures that must stay the same from version to version: stored reports and recorded runs depend on them.
//!
//! They are held to twelve digits, because the logarithms of other platforms can differ in the last one.
//! Another draw or another order of draws changes far more.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_statistics::{
    PairedSpread, Scores, choose_winner, compare, detectable_gain, estimate, p_values, power,
};

fn program(step: u32, parts: u32) -> Scores {
    let part = |index: u32| f64::from(index * step % (parts + 1)) / f64::from(parts);
    Scores::new((0..50).map(|index| (index % 11 != step % 11).then(|| part(index)))).unwrap()
}

fn check(values: &[f64], expected: &[f64]) {
    let same = |(value, expected): (&f64, &f64)| (value - expected).abs() <= 1e-12 * expected.abs();
    let all = values.len() == expected.len() && values.iter().zip(expected).all(same);
    assert!(all, "{values:?} was {expected:?}");
}

#[test]
fn estimates_stay() {
    let stays = |scores: &Scores, expected: [f64; 3]| {
        let estimate = estimate(scores, 0.95);
        check(&[estimate.mean, estimate.low, estimate.high], &expected);
    };
    stays(&program(3, 1), [0.4888888888888889, 0.349570237528785, 0.6299553535541681]);
    stays(&program(3, 10), [0.44, 0.3533333333333333, 0.5377777777777778]);
    stays(
        &Scores::of((1..40).map(|index| 1.0 / f64::from(index))).unwrap(),
        [0.10906520612657374, 0.0645128633887158, 0.2043405279738574],
    );
    stays(&Scores::of([0.5; 9]).unwrap(), [0.5, 0.35042747579022804, 0.649572524209772]);
}

#[test]
fn comparisons_stay() {
    let stays = |first: &Scores, second: &Scores, expected: [f64; 5]| {
        let comparison = compare(first, second, 0.9).unwrap();
        let gain = detectable_gain(&comparison).unwrap();
        let p_values = p_values(first, second).unwrap();
        check(&[comparison.low, comparison.high, gain, p_values.two_sided, p_values.better], &expected);
    };
    stays(
        &program(3, 1),
        &program(4, 1),
        [-0.6145213004339796, -0.3378596519469728, 0.18512380123138428, 1.9073486328125123e-6, 1.0],
    );
    stays(
        &program(3, 10),
        &program(4, 7),
        [
            -0.30142857142857143,
            -0.08678571428571435,
            0.16093014528826713,
            0.004497751124437781,
            0.9985007496251874,
        ],
    );
}

#[test]
fn judgements_stay() {
    let candidates = [program(4, 7), program(5, 9), program(7, 2)];
    let winner = choose_winner(&program(3, 10), &candidates, 0.95).unwrap();
    let comparison = &winner.comparison;
    check(
        &[comparison.low, comparison.high, comparison.p_value, winner.unadjusted],
        &[-0.07804878048780482, 0.2804878048780488, 0.367816091954023, 0.20689655172413793],
    );
    check(
        &[winner.holm, winner.mean, winner.corrected_mean, winner.corrected_gain],
        &[0.20689655172413793, 0.4891304347826087, 0.4539133142432267, 0.013190126247161864],
    );
}

#[test]
fn powers_stay() {
    let spread = PairedSpread::binary(0.5, 0.6);
    check(
        &[power(100, 0.15, spread, 0.05), power(1000, 0.05, spread, 0.05)],
        &[0.6742865989986939, 0.8738553466145229],
    );
    check(&[power(30, 0.1, PairedSpread::graded(0.3, 0.5), 0.05)], &[0.4131350475024439]);
}
