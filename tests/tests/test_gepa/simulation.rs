//! The hidden-rules task; see the simulation of MIPROv2.

use std::sync::Arc;

use promptopt_gepa::GEPA;

use crate::support::Benchmark;

#[tokio::test]
async fn the_rules_are_found_within_a_thousand_metric_calls() {
    let mut scores = Vec::new();
    for seed in 0..5 {
        let benchmark = Benchmark::new(seed);
        let model = Arc::new(benchmark.task.model(seed));
        let optimizer =
            GEPA::builder().seed(seed).valset(benchmark.selection.clone()).max_metric_calls(1000).build();
        let (outcome, score) = benchmark.run(&optimizer, model).await;
        let spending = outcome.spending;
        let full = outcome.candidates.iter().filter(|candidate| candidate.score.is_some()).count();
        println!(
            "GEPA, seed {seed}: sealed test {score:.3} with {} metric calls and {} reflections; {} candidates, {full} \
             on the whole selection set",
            spending.task.calls,
            spending.prompt.calls,
            outcome.candidates.len(),
        );
        assert!(spending.task.calls <= 1000);
        scores.push(score);
    }
    scores.sort_by(f64::total_cmp);
    assert!(scores[2] >= 0.88, "{scores:?}");
}

#[tokio::test]
async fn five_hundred_calls_are_many_candidates_on_a_part_of_the_selection_set() {
    let mut scores = Vec::new();
    for seed in 0..5 {
        let benchmark = Benchmark::new(seed);
        let model = Arc::new(benchmark.task.model(seed));
        let optimizer = GEPA::builder().seed(seed).valset(benchmark.selection.clone()).max_calls(500).build();
        let (outcome, score) = benchmark.run(&optimizer, model).await;
        let full: Vec<bool> = outcome.candidates.iter().map(|candidate| candidate.score.is_some()).collect();
        let count = full.iter().filter(|full| **full).count();
        // The original, and the winner of the play-off.
        assert!(full.len() >= 6 && count == 2, "{count} of {} in full", full.len());
        assert!(full[0] && full[outcome.best] && outcome.best != 0);
        assert!(outcome.notes.iter().any(|note| note.contains("on 83 of the 100")), "{:?}", outcome.notes);
        assert!(outcome.spending.task.calls <= 500);
        scores.push(score);
    }
    scores.sort_by(f64::total_cmp);
    println!("GEPA, 500 calls: {scores:?}");
    assert!(scores[2] >= 0.76, "{scores:?}");
}
