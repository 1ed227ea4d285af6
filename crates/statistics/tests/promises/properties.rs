//! What holds for any scores.

use promptopt_statistics::{Scores, compare, estimate, p_values};
use proptest::prelude::*;

/// Scores of two programs on the same examples, some missing, all 0 or 1 or graded.
fn both() -> impl Strategy<Value = (Scores, Scores)> {
    let score = prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0];
    let binary = prop_oneof![Just(0.0), Just(1.0)];
    let pair = |one: BoxedStrategy<f64>| {
        let one = proptest::option::weighted(0.9, one);
        proptest::collection::vec((one.clone(), one), 0..60)
    };
    prop_oneof![pair(score.boxed()), pair(binary.boxed())].prop_map(|pairs| {
        let (first, second): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        (Scores::lossy(first), Scores::lossy(second))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_interval_stays_within_the_scores_that_are_possible((scores, _) in both()) {
        let estimate = estimate(&scores, 0.95);
        // Where all scores are the same, rounding may put an end of the interval a hair beside the mean.
        let hair = 4.0 * f64::EPSILON;
        prop_assert!(0.0 <= estimate.low && estimate.low <= estimate.mean + hair, "{estimate:?}");
        prop_assert!(estimate.mean <= estimate.high + hair && estimate.high <= 1.0, "{estimate:?}");
        prop_assert_eq!(estimate.n + estimate.missing, scores.len());
    }

    #[test]
    fn a_comparison_has_one_verdict_and_a_mirror_image((first, second) in both()) {
        let (one, mirrored) = (compare(&first, &second, 0.95)?, compare(&second, &first, 0.95)?);
        let verdicts = [one.is_better(), one.is_worse(), one.is_within_noise()];
        prop_assert_eq!(verdicts.iter().filter(|holds| **holds).count(), 1, "{:?}", one);
        prop_assert!(-1.0 <= one.low && one.low <= one.high && one.high <= 1.0, "{one:?}");
        prop_assert_eq!((one.n, one.wins, one.losses), (mirrored.n, mirrored.losses, mirrored.wins));
        prop_assert_eq!(one.p_value, mirrored.p_value);
        prop_assert_eq!(one.difference, -mirrored.difference);
    }

    #[test]
    fn one_sided_p_values_change_places_with_the_programs((first, second) in both()) {
        let (one, mirrored) = (p_values(&first, &second)?, p_values(&second, &first)?);
        for p in [one.two_sided, one.better, one.worse] {
            prop_assert!(p > 0.0 && p <= 1.0, "{one:?}");
        }
        prop_assert!((one.better - mirrored.worse).abs() < 1e-12, "{one:?} {mirrored:?}");
    }
}
