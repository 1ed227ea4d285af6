//! A real run of MIPROv2 on a simulated model.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::Usage;
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
    let stage = |name: &str, calls: u64, share: f64| {
        let part = |tokens: u64| (tokens as f64 * share) as u64;
        let all = spending.total();
        let usage = Usage::call(part(all.prompt_tokens), part(all.completion_tokens)).with_calls(calls);
        StageCost::new(name, usage).with_seconds(calls as f64 / 40.0)
    };
    let prompt_calls = spending.prompt.calls;
    let unreadable = outcome.failures.reply.max(2);
    let mut report = Report::new("hidden-rules", outcome);
    report.model = model.profile().id;
    report.optimizer = "MIPROv2".to_owned();
    report.created_at = "2026-01-31 14:05 UTC".to_owned();
    report.prompts_before = prompts_before;
    report.prompts_after = prompts_after;
    report.test = Some(test);
    report.errors = vec![ErrorLine::new(
        FailureKind::Reply,
        "predictor `answer`: the reply has no field `answer`",
        unreadable,
    )];
    report.configuration = json!({
        "optimizer": {"name": "miprov2", "seed": 7, "max_calls": 1000},
        "data": {"train": 100, "selection": 100, "test": 200, "seed": 1007},
        "metric": "exact",
    });
    report.stages = vec![
        stage("baseline", 100, 0.1),
        stage("stage 1: traces and demo sets", 100, 0.1),
        stage("stage 2: instructions", prompt_calls, 0.1),
        stage("stage 3: search", spending.task.calls.saturating_sub(200), 0.7),
        StageCost::new("sealed test", Usage::calls(400)).with_seconds(9.7),
    ];
    Ok(report)
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
