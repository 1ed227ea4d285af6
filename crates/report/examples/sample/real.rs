//! A real run of MIPROv2 on a simulated model.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::FailureKind;
use promptopt_report::{ErrorLine, Report, StageCost, TestReport};
use promptopt_run::{Evaluation, Optimizer as _, Run, RunOptions, evaluate};
use promptopt_testkit::{HiddenRules, toy};
use serde_json::json;

pub(crate) async fn report() -> anyhow::Result<Report> {
    let task = HiddenRules::new(12, 1007);
    let mut train = task.examples(400);
    let test: Vec<_> = train.split_off(200).into_iter().map(Arc::new).collect();
    let selection = train.split_off(100);
    let model: Arc<dyn LanguageModel> = Arc::new(task.model(7));
    let mut program = toy::answerer().with_model(Arc::clone(&model)).with_metric(toy::exact_answer());
    let prompts_before = program.candidate().prompts;
    let optimizer = MIPROv2::builder().seed(7).valset(selection).max_calls(1000).build();
    let outcome = optimizer.compile(&mut program, train).await?;
    let prompts_after = program.candidate().prompts;

    let before = measure(&program, &model, prompts_before.clone(), &test).await?;
    let after = measure(&program, &model, prompts_after.clone(), &test).await?;
    let test = TestReport::of("sealed test", &test, &before, &after)?;
    let spending = outcome.spending;
    let stage = |name: &str, calls: u64, share: f64| StageCost {
        stage: name.to_owned(),
        calls,
        prompt_tokens: (spending.total().prompt_tokens as f64 * share) as u64,
        completion_tokens: (spending.total().completion_tokens as f64 * share) as u64,
        seconds: Some(calls as f64 / 40.0),
        money: None,
    };
    let prompt_calls = spending.prompt.calls;
    Ok(Report {
        task: "hidden-rules".to_owned(),
        model: model.profile().id,
        optimizer: "MIPROv2".to_owned(),
        created_at: "2026-01-31 14:05 UTC".to_owned(),
        prompts_before,
        prompts_after,
        test: Some(test),
        errors: vec![ErrorLine {
            kind: FailureKind::Reply,
            message: "predictor `answer`: the reply has no field `answer`".to_owned(),
            count: outcome.failures.reply.max(2),
        }],
        configuration: json!({
            "optimizer": {"name": "miprov2", "seed": 7, "max_calls": 1000},
            "data": {"train": 100, "selection": 100, "test": 200, "seed": 1007},
            "metric": "exact",
        }),
        stages: vec![
            stage("baseline", 100, 0.1),
            stage("stage 1: traces and demo sets", 100, 0.1),
            stage("stage 2: instructions", prompt_calls, 0.1),
            stage("stage 3: search", spending.task.calls.saturating_sub(200), 0.7),
            StageCost {
                stage: "sealed test".to_owned(),
                calls: 400,
                seconds: Some(9.7),
                ..StageCost::default()
            },
        ],
        outcome,
        ..Report::default()
    })
}

async fn measure(
    program: &dyn Evaluator,
    model: &Arc<dyn LanguageModel>,
    prompts: Prompts,
    test: &[Arc<Example>],
) -> anyhow::Result<Evaluation> {
    let mut run = Run::of(program, RunOptions::builder().task_model(Arc::clone(model)).build())?;
    Ok(evaluate(&mut run, &Arc::new(prompts), test).await?)
}
