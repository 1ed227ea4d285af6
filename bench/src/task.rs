//! What is measured with: a model that answers at once, a program of one predictor, and examples.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Price, Usage};
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_run::{Evaluation, Halt, RolloutJob, RolloutRunner};
use promptopt_testkit::{HiddenRules, toy};

/// What the model always answers, in chat form.
pub(crate) const REPLY: &str = "[[ ## answer ## ]]\nK4\n\n[[ ## completed ## ]]";

/// A model that answers at once, so that all that is left is our own work.
#[derive(Debug)]
pub(crate) struct AtOnce;

#[async_trait]
impl LanguageModel for AtOnce {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("at-once").with_price(Price::FREE)
    }

    async fn complete(&self, _: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        Ok(LmReply::text(REPLY, Usage::call(200, 10)))
    }
}

/// `question -> answer`, judged by exact match.
pub(crate) fn program() -> impl Evaluator {
    toy::answerer().with_metric(toy::exact_answer())
}

/// So many different examples of about 80 characters.
pub(crate) fn examples(count: usize) -> Vec<Arc<Example>> {
    HiddenRules::new(12, 1).examples(count).into_iter().map(Arc::new).collect()
}

/// Prompts of the program with an instruction and so many demos.
pub(crate) fn prompts(demos: usize) -> Arc<Prompts> {
    let shown = HiddenRules::new(12, 2).examples(demos);
    let demos = shown
        .iter()
        .map(|example| Demo::new(example.fields().clone()).augmented().with_source(example.content_hash()));
    let prompt =
        Prompt::new("Read the text with care and answer with the code that belongs to what it mentions.")
            .with_demos(demos.collect());
    Arc::new([("answer", prompt)].into_iter().collect())
}

/// Every example under some prompts, and what the scores come to.
pub(crate) async fn evaluated(
    runner: &RolloutRunner<'_>,
    prompts: &Arc<Prompts>,
    examples: &[Arc<Example>],
) -> Result<Evaluation, Halt> {
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(prompts), Arc::clone(example))).collect();
    Ok(Evaluation::of(runner.run(&jobs).await?.into_iter().map(Some).collect()))
}
