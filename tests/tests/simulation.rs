//! The hidden-rules task: 12 rules, 100 training, 100 selection and 200 sealed test examples.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_core::{ModuleExt as _, Optimizer as _, Outcome, RolloutRunner};
use promptopt_evaluator::evaluate;
use promptopt_testkit::{HiddenRules, toy};

pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

async fn run(seed: u64, few_shot: bool) -> Run {
    let task = HiddenRules::new(12, 1000 + seed);
    let mut examples = task.examples(400);
    let test: Vec<_> = examples.split_off(200).into_iter().map(Arc::new).collect();
    let valset = examples.split_off(100);
    let model = Arc::new(task.model(seed));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
    let demos = if few_shot { 4 } else { 0 };
    let optimizer = MIPROv2::builder()
        .seed(seed)
        .valset(valset)
        .max_bootstrapped_demos(demos)
        .max_labeled_demos(demos)
        .max_calls(1000)
        .build();
    let test_score = |program: &dyn promptopt_core::Evaluator| {
        let prompts = Arc::new(program.candidate().prompts);
        let (model, test) = (model.clone(), test.clone());
        async move {}
    };
    let _ = test_score;
    let before = evaluate(&RolloutRunner::new(&program, model.clone()), &Arc::default(), &test).await.unwrap().estimate.mean;
    let outcome = optimizer.compile(&mut program, examples).await.unwrap();
    let after = evaluate(&RolloutRunner::new(&program, model), &Arc::default(), &test).await.unwrap().estimate.mean;
    Run { outcome, before, after }
}

#[tokio::test]
async fn scores() {
    for few_shot in [true, false] {
        for seed in 0..5 {
            let run = run(seed, few_shot).await;
            println!(
                "few_shot {few_shot} seed {seed}: {:.3} -> {:.3} (selection {:.3}) calls {} task {} prompt {} trials {} cands {}",
                run.before, run.after, run.outcome.selected.mean, run.outcome.spending.total().calls,
                run.outcome.spending.task.calls, run.outcome.spending.prompt.calls, run.outcome.trials.len(), run.outcome.candidates.len()
            );
            for note in &run.outcome.notes { println!("   note {note}"); }
        }
    }
}
