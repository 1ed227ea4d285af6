//! A made-up run of COPRO that ends within noise.

use promptopt_core::money::Usage;
use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_report::{Report, StageCost};
use promptopt_run::{Outcome, Spending, StopReason, Trial, TrialKind};
use promptopt_statistics::{Scores, compare, estimate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::made_up::{self, ANSWER_BEFORE, ROUTE_BEFORE};

const BREADTH: usize = 8;
const DEPTHS: usize = 3;

pub(crate) fn report() -> anyhow::Result<Report> {
    let outcome = outcome()?;
    let after = outcome.winner().map(|winner| winner.prompts.clone()).unwrap_or_default();
    let mut report = Report::new("support-tickets", outcome);
    report.title = "Routing tickets: a quick COPRO run".to_owned();
    report.model = "local/smollm2-135m".to_owned();
    report.optimizer = "COPRO".to_owned();
    report.created_at = "2026-02-01 09:12 UTC".to_owned();
    report.prompts_before = made_up::prompts(ROUTE_BEFORE, Some(ANSWER_BEFORE));
    report.prompts_after = made_up::with_demos(after);
    report.test = Some(made_up::test(90, 0.55, 0.60, 5)?);
    report.configuration = "[optimizer]\nname = \"copro\"\nbreadth = 8\ndepth = 3\nseed = 0\n\n[data]\npath = \"tickets.jsonl\"\n".into();
    report.stages = vec![
        StageCost::new("depths", Usage::call(301_554, 26_020).with_calls(1_310)),
        StageCost::new("sealed test", Usage::call(31_004, 2_890).with_calls(180)),
    ];
    Ok(report)
}

fn outcome() -> anyhow::Result<Outcome> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut candidates =
        vec![PromptCandidate::new(made_up::prompts(ROUTE_BEFORE, Some(ANSWER_BEFORE)), Origin::original())];
    candidates[0].score = Some(0.56);
    let mut trials = vec![Trial::new(TrialKind::BASELINE, 0, 50, 0.56).with_progress(100, 0.56)];
    let mut depths = Vec::new();
    let (mut best, mut calls) = (0.56_f64, 100);
    for predictor in ["route", "answer"] {
        for depth in 0..DEPTHS {
            let mut scores = Vec::new();
            for attempt in 0..BREADTH {
                let instruction = format!(
                    "{ROUTE_BEFORE} Think of what the customer wants done first; variant {depth}.{attempt}."
                );
                let prompts = match predictor {
                    "route" => made_up::prompts(&instruction, Some(ANSWER_BEFORE)),
                    _ => made_up::prompts(ROUTE_BEFORE, Some("Write a short, kind answer to the ticket.")),
                };
                let score = (f64::from(rng.random_range(20..32_u8)) + depth as f64) / 50.0;
                calls += 100;
                best = best.max(score);
                let index = candidates.len();
                let origin = Origin::new("refined", format!("refined {predictor}, depth {depth}"));
                candidates.push(PromptCandidate::new(prompts, origin).with_score(score));
                let mut trial = Trial::new(TrialKind::FULL, index, 50, score).with_progress(calls, best);
                trial.failures = attempt % 3;
                trials.push(trial);
                scores.push(score);
            }
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let variance =
                scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / scores.len() as f64;
            depths.push(json!({
                "predictor": predictor,
                "depth": depth,
                "attempts": scores.len(),
                "best": best,
                "mean": mean,
                "min": scores.iter().copied().fold(1.0, f64::min),
                "max": scores.iter().copied().fold(0.0, f64::max),
                "std": variance.sqrt(),
                "calls_so_far": calls,
            }));
        }
    }
    let winner = PromptCandidate::best(&candidates).unwrap_or(0);
    let row = |right: usize| Scores::of((0..50).map(|at| f64::from(u8::from(at < right))));
    let mut outcome = Outcome::new("COPRO");
    outcome.best = winner;
    outcome.baseline = estimate(&row(28)?, 0.95);
    outcome.selected = estimate(&row(33)?, 0.95);
    outcome.comparison = Some(compare(&row(28)?, &row(33)?, 0.95)?);
    outcome.choice = "the highest mean on the selection set".to_owned();
    outcome.trials = trials;
    outcome.details = made_up::fields(json!({"depths": depths}));
    outcome.spending = Spending::new(
        Usage::call(290_100, 14_000).with_calls(1_262),
        Usage::call(11_454, 12_020).with_calls(48),
    )
    .with_reused_rollouts(50);
    outcome.stop = StopReason::Completed;
    outcome.notes = vec!["the server ignores `n`, so every instruction took a request of its own".to_owned()];
    outcome.candidates = candidates;
    Ok(outcome)
}
