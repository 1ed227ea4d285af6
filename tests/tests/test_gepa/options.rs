//! Stops and options, each with its effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promptopt_gepa::{CandidateSelector, ComponentSelector, max_metric_calls};
use promptopt_run::{Auto, InstructionRequest, InstructionWriter, Run, StopReason, TrialKind};

use super::*;

#[tokio::test]
async fn metric_calls_are_never_overshot() {
    let task = HiddenRules::new(8, 5);
    for most in [60, 61, 75, 100, 137, 250, 500] {
        let outcome = compiled(&GEPA::builder().max_metric_calls(most).build(), &task, 100).await;
        assert!(outcome.spending.task.calls <= most, "{} of {most}", outcome.spending.task.calls);
        assert_eq!(outcome.stop, StopReason::Budget);
    }
}

#[tokio::test]
async fn a_budget_too_small_for_the_baseline_says_so() {
    let task = HiddenRules::new(8, 5);
    for (optimizer, option, rows) in [
        (GEPA::builder().max_metric_calls(59).build(), "max_metric_calls", "60 selection examples"),
        (GEPA::builder().max_calls(10).build(), "max_calls", "30 selection examples"),
    ] {
        let mut program =
            toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
        let error = optimizer.compile(&mut program, task.examples(100)).await.unwrap_err().to_string();
        assert!(error.contains(option) && error.contains(rows), "{error}");
    }
}

#[tokio::test]
async fn auto_sizes_the_run() {
    assert_eq!(max_metric_calls(Auto::Light, 100), 1000);
    assert!(max_metric_calls(Auto::Medium, 100) < max_metric_calls(Auto::Heavy, 100));
    let task = HiddenRules::new(8, 5);
    let light = compiled(&GEPA::builder().auto(Auto::Light).build(), &task, 50).await;
    let medium = compiled(&GEPA::builder().auto(Auto::Medium).build(), &task, 50).await;
    assert!(light.spending.task.calls <= 300 && light.spending.task.calls < medium.spending.task.calls);
    // Without any word on the size of the run it is a light one.
    assert_eq!(compiled(&GEPA::default(), &task, 50).await, light);
}

#[tokio::test]
async fn the_run_ends_at_the_target_score() {
    let task = HiddenRules::new(8, 5);
    let outcome =
        compiled(&GEPA::builder().max_metric_calls(2000).target_score(0.6).build(), &task, 100).await;
    assert_eq!(outcome.stop, StopReason::TargetReached);
    assert!(outcome.selected.mean >= 0.6);
    assert!(outcome.spending.task.calls < 1000);
}

#[tokio::test]
async fn the_run_ends_when_nothing_gets_better() {
    let replies = (0..50).map(|number| fenced(&format!("try {number}"))).collect();
    let mut program =
        toy::answerer().with_model(Arc::new(reflecting("always", replies))).with_metric(toy::exact_answer());
    let optimizer = GEPA::builder().max_metric_calls(5000).patience(4).build();
    let outcome = optimizer.compile(&mut program, same_answer(40)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::NoImprovement { steps: 4 });
    assert_eq!(outcome.candidates.len(), 5);
}

#[tokio::test]
async fn a_stop_file_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stop");
    std::fs::write(&file, "").unwrap();
    let task = HiddenRules::new(8, 5);
    let outcome = compiled(&GEPA::builder().max_metric_calls(500).stop_file(file).build(), &task, 100).await;
    assert_eq!(outcome.stop, StopReason::StopFile);
    assert_eq!(outcome.spending.task.calls, 60);
}

#[tokio::test]
async fn time_and_tokens_end_the_run() {
    let task = HiddenRules::new(8, 5);
    let ticks = Arc::new(AtomicU64::new(0));
    // A clock that goes on when it is looked at, which every step does.
    let optimizer = GEPA::builder()
        .max_time(Duration::from_secs(5))
        .clock(Arc::new(move || Duration::from_millis(5 * ticks.fetch_add(1, Ordering::SeqCst))))
        .build();
    let outcome = compiled(&optimizer, &task, 100).await;
    assert_eq!(outcome.stop, StopReason::Budget);
    assert!(outcome.candidates.len() > 1 && outcome.candidates.len() < 10, "{}", outcome.candidates.len());

    let outcome = compiled(&GEPA::builder().max_tokens(40_000).build(), &task, 100).await;
    assert_eq!(outcome.stop, StopReason::Budget);
    assert!(outcome.candidates.len() > 1);
}

#[tokio::test]
async fn parallel_proposals_are_drawn_from_one_state() {
    let task = HiddenRules::new(8, 5);
    let optimizer = GEPA::builder()
        .max_metric_calls(600)
        .parallel_proposals(3)
        .candidate_selector(CandidateSelector::CurrentBest);
    let outcome = compiled(&optimizer.build(), &task, 100).await;
    // The first three have the original as parent, whatever the first of them came to.
    let first: Vec<_> = outcome.candidates.iter().skip(1).take(3).map(|one| one.parents.clone()).collect();
    assert_eq!(first, [[0], [0], [0]]);
}

#[tokio::test]
async fn without_a_gate_every_child_is_evaluated_on_everything() {
    let (mut open, mut strict) = (0, 0);
    for seed in 5..8 {
        let task = HiddenRules::new(12, seed);
        let gate = |level| GEPA::builder().max_metric_calls(600).gate_level(level).build();
        let outcome = compiled(&gate(1.0), &task, 100).await;
        let gated = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::GATE).count();
        assert_eq!(gated, 0);
        open += outcome.candidates.len();
        strict += compiled(&gate(0.01), &task, 100).await.candidates.len();
    }
    assert!(strict > open, "{strict} {open}");
}

#[tokio::test]
async fn a_selector_that_names_no_component_is_refused() {
    let task = HiddenRules::new(8, 5);
    let error = |optimizer: GEPA| {
        let task = task.clone();
        async move {
            let mut program =
                toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
            optimizer.compile(&mut program, task.examples(60)).await.unwrap_err().to_string()
        }
    };
    let selector = ComponentSelector::custom(|_| vec!["anwser".to_owned()]);
    let text = error(GEPA::builder().component_selector(selector).build()).await;
    assert!(text.contains("`anwser`") && text.contains("there are answer"), "{text}");
    let text = error(GEPA::builder().components(vec!["anwser".to_owned()]).build()).await;
    assert!(text.contains("option `components`") && text.contains("the program has answer"), "{text}");
}

#[tokio::test]
async fn options_out_of_range_are_refused_by_name() {
    let task = HiddenRules::new(8, 5);
    let refused = [
        ("minibatch_size", GEPA::builder().minibatch_size(0).build()),
        ("gate_level", GEPA::builder().gate_level(0.0).build()),
        ("temperature", GEPA::builder().temperature(3.0).build()),
        ("patience", GEPA::builder().patience(0).build()),
        ("concurrency", GEPA::builder().concurrency(0).build()),
        ("parallel_proposals", GEPA::builder().parallel_proposals(0).build()),
        ("reflection_examples", GEPA::builder().reflection_examples(0).build()),
        ("selection_portions", GEPA::builder().selection_portions(0).build()),
        ("max_gate_examples", GEPA::builder().max_gate_examples(0).build()),
        ("perfect_score", GEPA::builder().perfect_score(f64::NAN).build()),
        ("target_score", GEPA::builder().target_score(f64::NAN).build()),
        (
            "epsilon",
            GEPA::builder().candidate_selector(CandidateSelector::EpsilonGreedy).epsilon(2.0).build(),
        ),
        ("k", GEPA::builder().candidate_selector(CandidateSelector::TopKPareto).k(0).build()),
        ("auto", GEPA::builder().auto(Auto::Light).max_metric_calls(100).build()),
    ];
    for (option, optimizer) in refused {
        let mut program =
            toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
        let error = optimizer.compile(&mut program, task.examples(60)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Option { option: named, .. } if *named == option),
            "{option}: {error}"
        );
    }
}

/// Writes numbered instructions, and fails on the second.
struct Numbered(AtomicU64);

#[async_trait::async_trait]
impl InstructionWriter for Numbered {
    async fn write_instructions(
        &self,
        _: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        assert!(!request.traces.is_empty() && request.predictor == "answer");
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec!["always say yes".to_owned()]),
            1 => anyhow::bail!("out of ink"),
            _ => Ok(Vec::new()),
        }
    }
}

#[tokio::test]
async fn another_writer_takes_the_place_of_the_reflection_model() {
    let model = Arc::new(reflecting("always", Vec::new()));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
    let optimizer = GEPA::builder()
        .max_metric_calls(200)
        .instruction_writer(Arc::new(Numbered(AtomicU64::new(0))))
        .build();
    let outcome = optimizer.compile(&mut program, same_answer(40)).await.unwrap();
    assert_eq!(outcome.selected.mean, 1.0);
    assert_eq!(outcome.spending.prompt.calls, 0);
    assert!(model.requests().iter().all(|request| request.messages.len() > 1));
}
