//! The best of several candidates.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_statistics::{Winner, choose_winner};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::sample::{inflated, known, share, toss, values};

const EXAMPLES: usize = 60;

type Draw = fn(&mut ChaCha8Rng, usize) -> Vec<Vec<f64>>;

/// Coins that have nothing to do with each other.
fn coins(rng: &mut ChaCha8Rng, programs: usize) -> Vec<Vec<f64>> {
    (0..programs).map(|_| values(rng, EXAMPLES, |rng| toss(rng, 0.5))).collect()
}

/// Programs that find the same examples hard.
fn alike(rng: &mut ChaCha8Rng, programs: usize) -> Vec<Vec<f64>> {
    let chances = values(rng, EXAMPLES, inflated);
    (0..programs).map(|_| chances.iter().map(|chance| toss(rng, *chance)).collect()).collect()
}

/// Graded scores, most of them perfect.
fn graded(rng: &mut ChaCha8Rng, programs: usize) -> Vec<Vec<f64>> {
    let one = |rng: &mut ChaCha8Rng| if rng.random_bool(0.7) { 1.0 } else { rng.random() };
    (0..programs).map(|_| values(rng, EXAMPLES, one)).collect()
}

/// The best of `candidates` that are as good as the baseline.
fn best_of(rng: &mut ChaCha8Rng, candidates: usize, draw: Draw) -> Winner {
    let mut programs: Vec<_> = draw(rng, candidates + 1).into_iter().map(known).collect();
    let baseline = programs.pop().unwrap();
    choose_winner(&baseline, &programs, 0.95).unwrap()
}

/// Where none is better, "better" is said in at most 5 % of all runs, however many there are to choose
/// from.
#[test]
fn the_best_of_many_is_seldom_called_better_where_none_is() {
    let check = |name: &str, draw: Draw| {
        for (candidates, runs) in [(1, 500), (10, 300), (50, 120)] {
            let (mut naive, mut holm) = (0, 0);
            let mut all = 0;
            let better = share(runs, candidates as u64, |rng| {
                let winner = best_of(rng, candidates, draw);
                all += 1;
                naive += usize::from(winner.unadjusted <= 0.05);
                holm += usize::from(winner.holm <= 0.05);
                winner.comparison.is_better()
            });
            let naive = naive as f64 / all as f64;
            println!("{name}, {candidates}: better {better:.3}, unadjusted {naive:.3}, Holm {holm} of {all}");
            assert!(better <= 0.05, "{name}, {candidates}: {better}");
            // What the allowance is for.
            assert!(candidates < 50 || naive > 0.07, "{name}, {candidates}: {naive}");
        }
    };
    check("coins", coins);
    check("alike", alike);
    check("graded", graded);
}

/// One of ten that is right on 85 % of all examples where the others are right on half.
#[test]
fn one_that_is_better_is_called_so() {
    let mut means = (0.0, 0.0, 0.0);
    let runs = 200.0;
    let found = share(200, 1, |rng| {
        let mut programs = coins(rng, 10);
        let baseline = known(programs.pop().unwrap_or_default());
        programs.insert(4, values(rng, EXAMPLES, |rng| toss(rng, 0.85)));
        let programs: Vec<_> = programs.into_iter().map(known).collect();
        let winner = choose_winner(&baseline, &programs, 0.95).unwrap();
        means.0 += winner.mean / runs;
        means.1 += winner.corrected_mean / runs;
        means.2 += winner.corrected_gain / runs;
        winner.candidate == 4 && winner.comparison.is_better()
    });
    println!("found in {:.1} %; {means:?}", found * 100.0);
    assert!(found >= 0.85, "{found}");
    // Nothing has to be taken off one that stands out.
    assert!((means.1 / means.0 - 1.0).abs() < 0.02, "{means:?}");
}

/// Twenty coins: the best looks like 0.64, and what it is worth is 0.5.
#[test]
fn the_mean_of_the_winner_is_corrected_for_its_having_won() {
    let (mut seen, mut corrected, mut gain) = (0.0, 0.0, 0.0);
    let mut runs = 0.0;
    let held = share(200, 2, |rng| {
        let winner = best_of(rng, 20, coins);
        seen += winner.mean;
        corrected += winner.corrected_mean;
        gain += winner.corrected_gain;
        runs += 1.0;
        winner.comparison.low <= 0.0 && 0.0 <= winner.comparison.high
    });
    let (seen, corrected, gain) = (seen / runs, corrected / runs, gain / runs);
    println!("seen {seen:.3}, corrected {corrected:.3}, gain {gain:.3}; the interval holds in {held}");
    assert!(seen > 0.6, "{seen}");
    assert!((corrected - 0.5).abs() <= 0.03, "{corrected}");
    assert!(gain.abs() <= 0.03, "{gain}");
    assert!(held >= 0.95, "{held}");
}
