//! A made-up run of GEPA: two predictors, a frontier, merges.

use std::collections::BTreeMap;

use promptopt_core::money::Usage;
use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_core::trace::FailureKind;
use promptopt_report::{ErrorLine, Report, StageCost};
use promptopt_run::{CandidateScores, Confirmation, Outcome, Spending, StopReason, Trial, TrialKind};
use promptopt_statistics::{Scores, compare, estimate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::made_up::{self, ANSWER_AFTER, ANSWER_BEFORE, ROUTE_AFTER, ROUTE_BEFORE};

const SELECTION: usize = 80;

pub(crate) fn report(candidates: usize) -> anyhow::Result<Report> {
    let outcome = outcome(candidates)?;
    let after = outcome.winner().map(|winner| winner.prompts.clone()).unwrap_or_default();
    let mut report = Report::new("support-tickets", outcome);
    report.model = "gpt-5-mini".to_owned();
    report.prompt_model = Some("gpt-5".to_owned());
    report.optimizer = "GEPA".to_owned();
    report.created_at = "2026-01-31 16:40 UTC".to_owned();
    report.prompts_before = made_up::prompts(ROUTE_BEFORE, Some(ANSWER_BEFORE));
    report.prompts_after = after;
    report.test = Some(made_up::test(150, 0.55, 0.78, 3)?);
    report.errors = vec![
        ErrorLine::new(
            FailureKind::Reply,
            "predictor `route`: `Billing department` is none of billing, shipping, returns, technical, account, sales",
            9,
        ),
        ErrorLine::new(FailureKind::Provider, "503 from the server: overloaded; tried 4 times", 4),
    ];
    report.configuration = json!({
        "optimizer": {"name": "gepa", "seed": 3, "max_metric_calls": 1500, "minibatch_size": 3},
        "model": "gpt-5-mini", "prompt_model": "gpt-5",
        "data": {"path": "tickets.jsonl", "train": 120, "selection": SELECTION, "test": 150, "seed": 0},
    });
    report.stages = vec![
        StageCost::new("baseline", Usage::call(48_120, 3_204).with_calls(160))
            .with_seconds(21.0)
            .with_money(0.0184),
        StageCost::new("evolution", Usage::call(901_554, 96_020).with_calls(2_310))
            .with_seconds(412.0)
            .with_money(1.3121),
        StageCost::new("confirmation", Usage::call(70_220, 3_411).with_calls(160))
            .with_seconds(24.0)
            .with_money(0.0301),
        StageCost::new("sealed test", Usage::call(231_004, 12_890).with_calls(600))
            .with_seconds(70.0)
            .with_money(0.0904),
    ];
    Ok(report)
}

fn outcome(count: usize) -> anyhow::Result<Outcome> {
    let mut rng = ChaCha8Rng::seed_from_u64(count as u64);
    let difficulty: Vec<f64> = (0..SELECTION).map(|_| rng.random()).collect();
    let mut skill: Vec<f64> = vec![0.5];
    let mut candidates =
        vec![PromptCandidate::new(made_up::prompts(ROUTE_BEFORE, Some(ANSWER_BEFORE)), Origin::original())];
    for index in 1..count {
        let pick = |rng: &mut ChaCha8Rng| {
            let some: Vec<usize> = (0..4).map(|_| rng.random_range(0..index)).collect();
            some.into_iter().max_by(|a, b| skill[*a].total_cmp(&skill[*b])).unwrap_or(0)
        };
        let parent = pick(&mut rng);
        let other = pick(&mut rng);
        let merge = index > 5 && index % 7 == 0 && other != parent;
        let route = format!("{ROUTE_AFTER}\n\n(Version {index}, after looking at {} mistakes.)", index + 2);
        let answer = if index % 3 == 0 { ANSWER_AFTER } else { ANSWER_BEFORE };
        let origin = if merge {
            Origin::new("merged", format!("merge over ancestor 0, iteration {}", index + 3))
        } else {
            let of = if index % 3 == 0 { "answer" } else { "route" };
            Origin::new("reflected", format!("reflection on {of}, iteration {}", index + 3))
        };
        let mut candidate = PromptCandidate::new(made_up::prompts(&route, Some(answer)), origin);
        candidate.parents = if merge { vec![parent, other] } else { vec![parent] };
        skill.push((skill[parent] + rng.random_range(-0.06..0.13)).clamp(0.2, 0.93));
        candidates.push(candidate);
    }

    let mut scores = Vec::new();
    let mut trials = Vec::new();
    let (mut calls, mut best_so_far) = (0, 0.0_f64);
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let dropped = index > 3 && index % 5 == 4;
        let examples: Vec<Option<f64>> = difficulty
            .iter()
            .enumerate()
            .map(|(at, hard)| {
                let right = skill[index] * 0.8 + rng.random::<f64>() * 0.4 > *hard;
                (!dropped || at < 25).then_some(f64::from(u8::from(right)))
            })
            .collect();
        let known: Vec<f64> = examples.iter().flatten().copied().collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let mut trial = |kind, examples: usize, score| {
            calls += 2 * examples as u64;
            trials.push(Trial::new(kind, index, examples, score).with_progress(calls, best_so_far));
        };
        if index > 0 {
            trial(TrialKind::GATE, 6, f64::from(rng.random_range(3..7_u8)) / 6.0);
        }
        if !dropped {
            candidate.score = Some(mean);
            best_so_far = best_so_far.max(mean);
        }
        let kind = if index == 0 {
            TrialKind::BASELINE
        } else if dropped {
            TrialKind::RACE
        } else {
            TrialKind::FULL
        };
        calls += 2 * known.len() as u64;
        trials.push(Trial::new(kind, index, known.len(), mean).with_progress(calls, best_so_far));
        let concise = examples.iter().map(|score| score.map(|score| 1.0 - score * 0.3)).collect();
        scores.push(CandidateScores::new(examples.clone()).with_discovery(calls, calls / 2).with_objectives(
            BTreeMap::from([("accuracy".to_owned(), examples), ("brevity".to_owned(), concise)]),
        ));
    }
    let best = PromptCandidate::best(&candidates).unwrap_or(0);
    let of = |index: usize| Scores::lossy(scores[index].examples.iter().copied());
    let (baseline, selected) = (estimate(&of(0), 0.95), estimate(&of(best), 0.95));
    let comparison = compare(&of(0), &of(best), 0.95)?;
    let confirmed = made_up::test(60, 0.5, 0.77, 11)?;
    let mut frontier: Vec<usize> = (0..count).filter(|index| candidates[*index].score.is_some()).collect();
    frontier
        .sort_by(|a, b| candidates[*b].score.unwrap_or(0.0).total_cmp(&candidates[*a].score.unwrap_or(0.0)));
    frontier.truncate((count / 4).max(2));
    frontier.sort_unstable();
    let mut outcome = Outcome::new("GEPA");
    outcome.best = best;
    outcome.baseline = baseline;
    outcome.selected = selected;
    outcome.comparison = Some(comparison);
    outcome.choice = "of the five candidates with the highest mean on the selection set, the one that held it on fresh samples".to_owned();
    outcome.trials = trials;
    outcome.scores = scores;
    outcome.details =
        made_up::fields(json!({"frontier": frontier, "reflections": 41, "pool": ["route", "answer"]}));
    outcome.confirmation = Some(Confirmation::new(
        "60 fresh samples of selection examples",
        confirmed.baseline,
        confirmed.optimized,
        confirmed.comparison,
    ));
    outcome.spending = Spending::new(
        Usage::call(982_000, 61_000).with_calls(2_514),
        Usage::call(37_894, 41_635).with_calls(116),
    )
    .with_reused_rollouts(212);
    outcome.failures.reply = 9;
    outcome.failures.provider = 4;
    outcome.stop = StopReason::NoImprovement { steps: 15 };
    outcome.notes =
        vec!["the metric gave no feedback for 12 rollouts; the reflection saw their scores alone".to_owned()];
    outcome.candidates = candidates;
    Ok(outcome)
}
