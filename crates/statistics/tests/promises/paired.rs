//! Error rates and power of comparisons of two programs.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_statistics::{
    Comparison, PValues, PairedSpread, Scores, examples_needed, minimum_detectable_gain,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::sample::{bell, clustered, inflated, known, nearly_all_right, share, toss, values};

fn compare(first: &Scores, second: &Scores) -> Comparison {
    promptopt_statistics::compare(first, second, 0.95).unwrap()
}

fn p_values(first: &Scores, second: &Scores) -> PValues {
    promptopt_statistics::p_values(first, second).unwrap()
}

/// The scores of two programs on `n` examples of which each has its own difficulty.
fn both(
    rng: &mut ChaCha8Rng,
    n: usize,
    mut pair: impl FnMut(&mut ChaCha8Rng) -> (f64, f64),
) -> (Scores, Scores) {
    let (first, second) = (0..n).map(|_| pair(rng)).unzip();
    (known(first), known(second))
}

/// Programs that are equally good: a test at 5 % finds a difference in at most 5 % of all cases, and
/// "better" and "worse" are each said in half as many.
#[test]
fn comparisons_seldom_see_what_is_not_there() {
    let check = |name: &str, n, pair: fn(&mut ChaCha8Rng) -> (f64, f64)| {
        let (mut found, mut one_sided, mut worse, mut runs) = (0.0, 0.0, 0.0, 0.0);
        let better = share(800, 2, |rng| {
            let (first, second) = both(rng, n, pair);
            let comparison = compare(&first, &second);
            runs += 1.0;
            found += f64::from(u8::from(comparison.p_value <= 0.05));
            one_sided += f64::from(u8::from(p_values(&first, &second).better <= 0.05));
            worse += f64::from(u8::from(comparison.is_worse()));
            comparison.is_better()
        });
        let (found, one_sided, worse) = (found / runs, one_sided / runs, worse / runs);
        println!("{name}: found {found}, better {better}, worse {worse}, one-sided {one_sided}");
        // Two points above nominal, for chance.
        assert!((0.005..=0.07).contains(&found), "{name}: {found}");
        assert!(better <= 0.05, "{name}: {better}");
        assert!(worse <= 0.05, "{name}: {worse}");
        assert!(one_sided <= 0.07, "{name}: {one_sided}");
    };
    check("0/1, n = 60", 60, |rng| (toss(rng, 0.6), toss(rng, 0.6)));
    check("0/1 alike, n = 60", 60, |rng| {
        let chance = inflated(rng);
        (toss(rng, chance), toss(rng, chance))
    });
    check("graded, n = 30", 30, |rng| (bell(rng), bell(rng)));
    check("inflated, n = 30", 30, |rng| (inflated(rng), inflated(rng)));
    check("nearly all right, n = 50", 50, |rng| (nearly_all_right(rng), nearly_all_right(rng)));
}

#[test]
fn intervals_of_a_difference_hold_it_as_often_as_they_say() {
    let check = |name: &str, n, truth: f64, pair: &dyn Fn(&mut ChaCha8Rng) -> (f64, f64)| {
        let coverage = share(1000, 5, |rng| {
            let (first, second) = both(rng, n, pair);
            let comparison = compare(&first, &second);
            comparison.low <= truth && truth <= comparison.high
        });
        println!("{name}: {:.1} %", coverage * 100.0);
        assert!((0.93..=0.985).contains(&coverage), "{name}: {coverage}");
    };
    for (first, second) in [(0.5, 0.7), (0.9, 0.95), (0.2, 0.2)] {
        let pair = move |rng: &mut ChaCha8Rng| (toss(rng, first), toss(rng, second));
        check(&format!("{first} and {second}, n = 50"), 50, second - first, &pair);
    }
    check("graded, n = 20", 20, 0.05, &|rng| (bell(rng), inflated(rng)));
    check("inflated, n = 50", 50, 0.0, &|rng| (inflated(rng), inflated(rng)));
    check("one that seldom changes, n = 50", 50, 0.1, &|rng| {
        let first = rng.random_range(0.0..0.5);
        (first, if rng.random_bool(0.4) { first + rng.random_range(0.0..0.5) } else { first })
    });
}

/// Twenty examples with eight runs each. Whether a program can do an example is a fact of both.
#[test]
fn more_runs_of_few_examples_make_no_false_finds() {
    let runs = |rng: &mut ChaCha8Rng| -> Vec<Vec<f64>> {
        (0..20)
            .map(|_| {
                let chance = inflated(rng);
                values(rng, 8, |rng| toss(rng, chance))
            })
            .collect()
    };
    let counted_once =
        share(800, 6, |rng| compare(&clustered(&runs(rng)), &clustered(&runs(rng))).p_value <= 0.05);
    let naive = share(200, 6, |rng| {
        let (first, second) = (known(runs(rng).concat()), known(runs(rng).concat()));
        compare(&first, &second).p_value <= 0.05
    });
    println!("clustered {counted_once}, as if they were examples {naive}");
    assert!((0.02..=0.07).contains(&counted_once), "{counted_once}");
    assert!(naive > 0.25, "{naive}");
}

/// A gain of the size that is said to show in four of five cases does.
#[test]
fn the_power_is_what_is_said() {
    for n in [30, 100, 500] {
        let spread = PairedSpread::Binary { discordance: 0.2, baseline: 0.3 };
        let gain = minimum_detectable_gain(n, spread, 0.05, 0.8).unwrap();
        let seen = share(1000, 7, |rng| {
            let (first, second) = both(rng, n, |rng| match rng.random::<f64>() {
                chance if chance < 0.1 + gain => (0.0, 1.0),
                chance if chance < 0.2 + gain => (1.0, 0.0),
                _ => (1.0, 1.0),
            });
            p_values(&first, &second).two_sided <= 0.05
        });
        println!("0/1, n = {n}: a gain of {gain:.3} is seen in {:.1} %", seen * 100.0);
        assert!((seen - 0.8).abs() <= 0.05, "n = {n}: {seen}");
    }
    for gain in [0.2, 0.1] {
        // The difference of two even numbers has the standard deviation 1/√6.
        let n = examples_needed(gain, PairedSpread::graded((1.0_f64 / 12.0).sqrt(), 0.0), 0.05, 0.8).unwrap();
        let seen = share(400, 8, |rng| {
            let (first, second) =
                both(rng, n, |rng| (rng.random_range(0.0..1.0), gain + rng.random_range(0.0..1.0)));
            p_values(&first, &second).two_sided <= 0.05
        });
        println!("graded, a gain of {gain}: {n} examples see it in {:.1} %", seen * 100.0);
        assert!((seen - 0.8).abs() <= 0.05, "{gain}: {seen}");
    }
}
