//! Wall time of whole optimizer runs over the chain of calls that wait for each other.
//!
//! The model takes 200 ms of a clock that stands still while anything works and jumps when everything waits
//! (tokio's paused time). So the time of a run is a number of rounds of the model, and free of noise. One
//! run on the real clock stands beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_gepa::GEPA;
use promptopt_run::{Event, Observer, Optimizer, RunOptions};
use promptopt_testkit::{HiddenRules, around, toy};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::options::Options;
use crate::table::{Goal, Row};
use crate::task;

const LATENCY: Duration = Duration::from_millis(200);
/// As many requests at once as any stage has.
const AMPLE: usize = 4096;
const GOAL: f64 = 1.15;

/// Optimizer, predictors of the program, and what was expected.
const CASES: [(&str, usize, f64); 4] =
    [("MIPROv2", 1, 1.05), ("MIPROv2", 2, 1.15), ("COPRO", 1, 1.06), ("GEPA", 1, 1.03)];

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, predictors, predicted) in CASES {
        let case = if predictors > 1 { format!("{name}, {predictors} predictors") } else { name.to_owned() };
        let path = tokio::task::spawn_blocking(move || optimize(name, predictors, true)).await??;
        let chain = path.rounds() - path.unneeded(name, predictors as f64);
        let ratio = path.rounds() / chain;
        let row = Row::new("critical path", &case, "wall time ÷ chain", ratio);
        rows.push(row.goal(Goal::AtMost(GOAL)).predicted(predicted));
        rows.push(Row::new("chain", &case, "model calls that wait for each other", chain));
        for (stage, rounds) in path.by_stage() {
            rows.push(Row::new("stage", format!("{case}, {stage}"), "rounds of the model", rounds));
        }
        if !options.quick {
            let real = tokio::task::spawn_blocking(move || optimize(name, predictors, false)).await??;
            let row = Row::new("real clock", case, "wall time ÷ chain", real.rounds() / chain);
            rows.push(row.goal(Goal::AtMost(GOAL)).predicted(predicted + 0.03));
        }
    }
    Ok(rows)
}

/// When the stages of a run began, and when it ended.
struct Path {
    stages: Vec<(String, Duration)>,
    end: Duration,
}

impl Path {
    fn rounds(&self) -> f64 {
        rounds(self.end)
    }

    /// Rounds by the name of the stage, in the order in which the names came up.
    fn by_stage(&self) -> Vec<(String, f64)> {
        let ends = self.stages.iter().skip(1).map(|(_, began)| *began).chain([self.end]);
        let mut stages: Vec<(String, f64)> = Vec::new();
        for ((name, began), end) in self.stages.iter().zip(ends) {
            let took = rounds(end) - rounds(*began);
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += took,
                None => stages.push((name.clone(), took)),
            }
        }
        stages
    }

    /// Rounds that wait for something whose result they do not use.
    ///
    /// - All: the original is evaluated first, and nothing needs its scores before candidates are compared:
    ///   not the traces of MIPROv2, not COPRO's look for mistakes, not GEPA's first parent.
    /// - MIPROv2: the two calls that describe the data need no traces, and no description of the program;
    ///   the instructions of several predictors are written one predictor after the other, in two rounds.
    /// - GEPA: the confirmation runs the original and then the winner.
    fn unneeded(&self, name: &str, predictors: f64) -> f64 {
        let stages = self.by_stage();
        let of = |wanted: &str| stages.iter().find(|(name, _)| name == wanted).map_or(0.0, |stage| stage.1);
        let baseline = of("baseline");
        match name {
            "MIPROv2" => baseline.min(of("traces")) + 2.0 + 2.0 * (predictors - 1.0),
            "COPRO" => baseline.min(predictors),
            _ => baseline.min(predictors) + of("confirmation") / 2.0,
        }
    }
}

/// Whole latencies in a time.
fn rounds(time: Duration) -> f64 {
    (time.as_secs_f64() / LATENCY.as_secs_f64() * 100.0).round() / 100.0
}

fn optimize(name: &str, predictors: usize, virtual_time: bool) -> Result<Path> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(virtual_time).build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let stages: Arc<Mutex<Vec<(String, Duration)>>> = Arc::default();
        let heard = Arc::clone(&stages);
        let observer: Arc<dyn Observer> = Arc::new(move |event: &Event| {
            if let Event::Stage { name, .. } = event {
                let began = (name.clone(), start.elapsed());
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(began);
            }
        });
        let task = HiddenRules::new(12, 1);
        let task = if predictors > 1 { task.in_two_stages() } else { task };
        let model: Arc<dyn LanguageModel> = Arc::new(around(task.model(1), |next, request| async move {
            tokio::time::sleep(LATENCY).await;
            next.complete(&request).await
        }));
        let mut examples = task.examples(200);
        let valset = examples.split_off(100);
        let options = RunOptions::builder()
            .task_model(model)
            .valset(valset)
            .concurrency(AMPLE)
            .observer(observer)
            .maybe_max_metric_calls((name == "GEPA").then_some(1000))
            .build();
        let optimizer: Box<dyn Optimizer> = match name {
            "MIPROv2" => Box::new(MIPROv2::default().with_run_options(options)),
            "COPRO" => Box::new(COPRO::default().with_run_options(options)),
            _ => Box::new(GEPA::default().with_run_options(options)),
        };
        let mut program: Box<dyn Evaluator> = match predictors {
            1 => Box::new(task::program()),
            _ => Box::new(toy::TwoStage::default().with_metric(toy::exact_answer())),
        };
        optimizer.compile(&mut *program, examples).await?;
        let end = start.elapsed();
        let stages = stages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Path { stages, end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_one_name_are_added_up() {
        let at = |rounds: u32| LATENCY * rounds;
        let stages = [("baseline", 0), ("search", 1), ("proposals", 4), ("search", 6)];
        let path =
            Path { stages: stages.map(|(name, began)| (name.to_owned(), at(began))).to_vec(), end: at(9) };
        let expected = [("baseline", 1.0), ("search", 6.0), ("proposals", 2.0)];
        assert_eq!(path.by_stage(), expected.map(|(name, rounds)| (name.to_owned(), rounds)));
        assert_eq!((path.rounds(), path.unneeded("COPRO", 1.0)), (9.0, 1.0));
    }
}
