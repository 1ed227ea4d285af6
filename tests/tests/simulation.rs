//! The hidden-rules task: 12 rules, 100 training, 100 selection and 200 sealed test examples; a
//! model that is right 25 % of the time about a rule it was not taught and 95 % otherwise.

use std::sync::Arc;
use std::time::Duration;

use miprov2::MIPROv2;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Price, Prices};
use promptopt_lm::ChatClient;
use promptopt_testkit::LoopbackServer;

use crate::support::{Benchmark, text};

fn optimizer(seed: u64, benchmark: &Benchmark, demos: usize, concurrency: usize) -> MIPROv2 {
    MIPROv2::builder()
        .seed(seed)
        .valset(benchmark.selection.clone())
        .max_bootstrapped_demos(demos)
        .max_labeled_demos(demos)
        .max_calls(1000)
        // Over HTTP nobody knows that the simulated model is free.
        .prices(Prices::new().with("*", Price::FREE))
        .concurrency(concurrency)
        .build()
}

/// The median sealed test score over five seeds, and the most calls of any.
async fn median_score(demos: usize) -> (f64, u64) {
    let mut scores = Vec::new();
    let mut most_calls = 0;
    for seed in 0..5 {
        let benchmark = Benchmark::new(seed);
        let model = Arc::new(benchmark.task.model(seed));
        let (outcome, score) = benchmark.run(&optimizer(seed, &benchmark, demos, 8), model).await;
        let calls = outcome.spending.total().calls;
        println!("demos {demos}, seed {seed}: sealed test {score:.3} with {calls} calls");
        scores.push(score);
        most_calls = most_calls.max(calls);
    }
    scores.sort_by(f64::total_cmp);
    (scores[2], most_calls)
}

#[tokio::test]
async fn with_demos_the_rules_are_found_within_a_thousand_calls() {
    let (median, calls) = median_score(4).await;
    assert!(median >= 0.91, "{median}");
    assert!(calls <= 1000, "{calls}");
}

#[tokio::test]
async fn zero_shot_instructions_alone_teach_the_rules() {
    let (median, calls) = median_score(0).await;
    assert!(median >= 0.87, "{median}");
    assert!(calls <= 1000, "{calls}");
}

#[tokio::test]
async fn over_http_the_outcome_is_that_in_process_at_any_concurrency() {
    let benchmark = Benchmark::new(7);
    let model = Arc::new(benchmark.task.model(7));
    let (in_process, expected_score) =
        benchmark.run(&optimizer(7, &benchmark, 4, 1), Arc::clone(&model) as Arc<dyn LanguageModel>).await;

    let latency = Duration::from_millis(2);
    let server = LoopbackServer::start(model, latency, Some("canary-key".to_owned())).await.unwrap();
    for concurrency in [4, 32] {
        let client = ChatClient::builder()
            .base_url(server.base_url())
            .model("simulated")
            .api_key("canary-key")
            .build()
            .unwrap();
        let (over_http, score) =
            benchmark.run(&optimizer(7, &benchmark, 4, concurrency), Arc::new(client)).await;
        assert_eq!(text(&over_http), text(&in_process), "at concurrency {concurrency}");
        assert_eq!(score, expected_score);
    }
    assert!(server.peak() > 16, "requests were under way together: {}", server.peak());
}
