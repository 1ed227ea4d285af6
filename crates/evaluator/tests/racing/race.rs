//! What a race promises: the best is seldom lost, much is saved, nothing is bought twice, and a
//! budget leaves one that finishes.

use std::sync::Arc;

use futures_util::FutureExt as _;
use promptopt_core::prompt::{Origin, Prompt, PromptCandidate, Prompts};
use promptopt_evaluator::{Contender, RaceEnd, RaceOptions, race, race_into};
use promptopt_run::{Halt, Run, RunOptions, StopReason};
use proptest::prelude::*;

use crate::{Coin, selection, silent};

fn candidate(instruction: &str) -> PromptCandidate {
    let prompts = Prompts::from_iter([("coin", Prompt::new(instruction))]);
    PromptCandidate::new(prompts, Origin::original())
}

/// Races candidates with these chances. Gives the race, and the board's scores.
fn raced(
    coin: &Coin,
    chances: &[f64],
    examples: usize,
    options: &RaceOptions,
) -> (Vec<Contender>, Vec<Option<f64>>) {
    let program = coin.program("");
    let mut run = Run::bare(&program, silent());
    run.select_on(selection(examples).into_iter().map(Arc::new).collect());
    let contenders: Vec<usize> = chances
        .iter()
        .enumerate()
        .map(|(number, chance)| run.enter(candidate(&format!("{chance} number {number}"))))
        .collect();
    let raced = race(&mut run, &contenders, options).now_or_never().unwrap().unwrap();
    let scores = run.board().candidates().iter().map(|candidate| candidate.score).collect();
    (raced, scores)
}

/// How often the best (the first) is dropped, and which share of all rollouts is saved.
fn simulate(chances: &[f64], examples: usize, races: u64, graded: bool) -> (f64, f64) {
    let (mut lost, mut rollouts) = (0, 0);
    for world in 0..races {
        let coin = Coin { graded, ..Coin::new(world) };
        let (raced, _) = raced(&coin, chances, examples, &RaceOptions::default());
        let best = raced.iter().find(|contender| contender.candidate == 0).unwrap();
        lost += u64::from(best.end == RaceEnd::Worse);
        rollouts += coin.runs();
    }
    let all = races as f64 * (chances.len() * examples) as f64;
    (lost as f64 / races as f64, 1.0 - rollouts as f64 / all)
}

#[test]
fn the_best_is_seldom_dropped_and_much_is_saved() {
    let check = |name: &str, chances: &[f64], graded, least_saved: f64| {
        let (lost, saved) = simulate(chances, 100, if graded { 20 } else { 80 }, graded);
        println!("{name}: the best dropped in {:.1} % of races, {:.0} % saved", lost * 100.0, saved * 100.0);
        assert!(lost <= 0.05, "{name}: {lost}");
        assert!(saved >= least_saved, "{name}: {saved}");
    };
    // Where all are alike the first is as good as any; this is where a test is fooled most often.
    check("ten alike at 0.5", &[0.5; 10], false, -0.01);
    check("ten alike at 0.8", &[0.8; 10], false, -0.01);
    check("a near second", &[0.85, 0.8, 0.8, 0.8, 0.75, 0.75, 0.75, 0.7], false, 0.0);
    check("one far ahead", &[0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], false, 0.55);
    check("a spread", &[0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.25], false, 0.3);
    check("graded, alike", &[0.5; 4], true, -0.01);
    check("graded, a spread", &[0.8, 0.6, 0.4, 0.2], true, 0.3);
}

#[test]
fn looks_grow_and_end_with_the_whole_set() {
    let check = |first_chunk, growth, examples: usize, expected: &[usize]| {
        let options = RaceOptions::default().with_first_chunk(first_chunk).with_growth(growth);
        assert_eq!(options.looks(examples), expected);
    };
    check(20, 1.5, 100, &[20, 50, 100]);
    check(20, 1.5, 60, &[20, 60]);
    check(20, 1.5, 12, &[12]);
    check(20, 1.5, 0, &[0]);
    check(10, 1.0, 40, &[10, 20, 30, 40]);
    check(0, f64::NAN, 3, &[1, 2, 3]);
    check(5, f64::INFINITY, 30, &[5, 30]);
}

#[test]
fn all_see_the_same_examples_and_only_finishers_have_a_score() {
    let chances = [0.9, 0.2, 0.85, 0.2, 0.2];
    let (raced, scores) = raced(&Coin::new(1), &chances, 100, &RaceOptions::default());
    assert_eq!(raced.len(), 5);
    for contender in &raced {
        let finished = contender.end == RaceEnd::Finished;
        assert_eq!(finished, contender.examples == 100);
        assert_eq!(finished, scores[contender.candidate].is_some());
        assert!([20, 50, 100].contains(&contender.examples), "{contender:?}");
    }
    assert!(raced.iter().any(|contender| contender.end == RaceEnd::Worse));
}

#[test]
fn one_that_is_known_takes_part_and_costs_nothing() {
    let coin = Coin::new(4);
    let program = coin.program("");
    let mut run = Run::bare(&program, silent());
    run.select_on(selection(60).into_iter().map(Arc::new).collect());
    let known = run.enter(candidate("0.95 known"));
    run.score(&[(known, (0..60).collect())]).now_or_never().unwrap().unwrap();
    let new: Vec<usize> = (0..4).map(|number| run.enter(candidate(&format!("0.1 {number}")))).collect();
    let everyone = [&[known, known], &new[..]].concat();
    let raced = race(&mut run, &everyone, &RaceOptions::default()).now_or_never().unwrap().unwrap();
    assert_eq!(raced.len(), 5, "twice the same is one contender");
    assert_eq!(coin.runs(), 60 + 4 * 20);
    let last = raced.last().unwrap();
    assert_eq!((last.candidate, last.end), (known, RaceEnd::Finished));
}

#[test]
fn an_allotment_narrows_the_race_to_those_in_front() {
    let chances = [0.6, 0.62, 0.75, 0.61, 0.6, 0.63, 0.6, 0.6, 0.6];
    let options = RaceOptions::default().with_max_rollouts(Some(450));
    let coin = Coin::new(2);
    let (raced, scores) = raced(&coin, &chances, 100, &options);
    let made = coin.runs();
    assert!((300..=450).contains(&made), "{made}");
    let ended = |end| raced.iter().filter(|contender| contender.end == end).count();
    assert!(ended(RaceEnd::Unaffordable) > 0);
    assert!(raced.iter().all(|contender| contender.examples >= 20));
    let full: Vec<usize> = (0..9).filter(|candidate| scores[*candidate].is_some()).collect();
    assert!(full.contains(&2) && full.len() < 5, "{full:?}");
}

/// Of two limits the calls may seem the narrower one at first, when only the most that a rollout may take is known.
#[test]
fn a_limit_of_rollouts_beside_one_of_calls_leaves_a_finisher() {
    let coin = Coin::new(3);
    let program = coin.program("");
    let limits = RunOptions::builder().max_calls(128).max_metric_calls(80);
    let mut run = Run::of(&program, limits.task_model(silent()).build()).unwrap();
    run.select_on(selection(40).into_iter().map(Arc::new).collect());
    let everyone: Vec<usize> = (0..4).map(|number| run.enter(candidate(&format!("0.6 {number}")))).collect();
    let mut raced = Vec::new();
    let options = RaceOptions::default().with_first_chunk(8);
    let _ = race_into(&mut run, &everyone, &options, &mut raced).now_or_never().unwrap();
    assert!(raced.iter().any(|contender| contender.end == RaceEnd::Finished), "{raced:?}");
    assert!(coin.runs() <= 80);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the budget, it is kept, and where one evaluation was affordable at most cost, somebody
    /// finishes.
    #[test]
    fn a_budget_is_kept_and_leaves_a_finisher(
        calls in prop::option::of(0_u64..500),
        rollouts in prop::option::of(0_u64..300),
        allotment in prop::option::of(0_u64..300),
        contenders in 1_usize..8,
        twice: bool,
    ) {
        let coin = Coin::new(3);
        let program = coin.program("");
        let limits = RunOptions::builder().maybe_max_calls(calls).maybe_max_metric_calls(rollouts);
        let mut run = Run::of(&program, limits.task_model(silent()).build()).unwrap();
        run.select_on(selection(40).into_iter().map(Arc::new).collect());
        let suffix = if twice { " twice" } else { "" };
        let indices: Vec<usize> =
            (0..contenders).map(|number| run.enter(candidate(&format!("0.6 {number}{suffix}")))).collect();
        let options = RaceOptions::default().with_first_chunk(8).with_max_rollouts(allotment);
        let mut raced = Vec::new();
        let ended = race_into(&mut run, &indices, &options, &mut raced).now_or_never().unwrap();
        prop_assert!(calls.is_none_or(|calls| run.ledger().spent() <= calls));
        prop_assert!(rollouts.is_none_or(|most| coin.runs() <= most));
        prop_assert_eq!(raced.len(), contenders);
        let finishers = raced.iter().filter(|contender| contender.end == RaceEnd::Finished).count();
        let enough = calls.is_none_or(|calls| calls >= 80) && rollouts.is_none_or(|most| most >= 40);
        prop_assert!(finishers > 0 || !enough, "{:?}", raced);
        if finishers == 0 {
            prop_assert!(matches!(ended, Err(Halt::Stopped(StopReason::Budget))), "{:?}", ended);
        }
        let full = run.board().candidates().iter().filter(|candidate| candidate.score.is_some()).count();
        prop_assert_eq!(full, finishers);
    }
}
