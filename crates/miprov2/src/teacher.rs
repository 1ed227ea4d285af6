//! Demos from the program itself, or from a teacher.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{CallContext, Evaluator, Metric, Module, ModuleExt as _, Predictor};
use promptopt_run::{Halt, RolloutCost, Run};
use promptopt_trace_gen::{Bootstrapped, bootstrap_with};

use crate::MIPROv2;
use crate::sizes::Sizes;

/// Bootstraps demo sets on the training examples.
pub(crate) async fn bootstrap(
    options: &MIPROv2,
    sizes: &Sizes,
    run: &mut Run<'_>,
) -> Result<Bootstrapped, Halt> {
    let train = run.train().to_vec();
    let Some(teacher) = options.teacher.as_deref() else {
        let bootstrapping = sizes.bootstrap(options, run, calls_of_own_rollouts(run));
        return promptopt_trace_gen::bootstrap(run, &train, &bootstrapping).await;
    };
    run.stage("traces", format!("a teacher's demos from {} training examples", train.len()));
    let taught = Taught::new(teacher, run.program());
    let model = teacher.language_model().unwrap_or_else(|| Arc::clone(run.task_model()));
    let runner = run.runner_of(&taught, model);
    let bootstrapping = sizes.bootstrap(options, run, taught.calls_per_rollout());
    let found = bootstrap_with(&runner, &taught.candidate().prompts, &train, &bootstrapping).await;
    run.note_rollouts(runner.totals());
    if let Ok(Bootstrapped { too_long: Some((demos, why)), .. }) = &found {
        run.note(format!(
            "the teacher was shown {demos} demos, because more did not fit its context window: {why}"
        ));
    }
    found
}

/// The calls of a rollout that plans go by. An agent may make many more than it does, so there the baseline tells.
fn calls_of_own_rollouts(run: &Run<'_>) -> u64 {
    let program = run.program();
    if program.calls_vary() { RolloutCost::of(run.runner()).expected(1) } else { program.calls_per_rollout() }
}

/// A teacher with the program's own metric.
struct Taught<'a> {
    /// Unlike the program's own, so that their rollouts are kept apart.
    name: String,
    teacher: &'a dyn Module,
    judge: &'a dyn Evaluator,
}

impl<'a> Taught<'a> {
    fn new(teacher: &'a dyn Module, judge: &'a dyn Evaluator) -> Self {
        Self { name: format!("teacher {}", teacher.name()), teacher, judge }
    }
}

#[async_trait]
impl Module for Taught<'_> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.teacher.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        // A teacher is only ever run.
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.teacher.run(context, inputs).await
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.teacher.other_models().into_iter().chain(self.metric().models()).collect()
    }

    fn calls_per_rollout(&self) -> u64 {
        self.teacher.calls_per_rollout().saturating_add(self.metric().calls_per_score())
    }

    fn calls_vary(&self) -> bool {
        self.teacher.calls_vary()
    }
}

impl Evaluator for Taught<'_> {
    fn metric(&self) -> &dyn Metric {
        self.judge.metric()
    }
}
