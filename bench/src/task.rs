//! What is measured with: a model that answers at once, a program of one predictor, and examples.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    Demo, Evaluator, Example, LanguageModel, LmError, LmReply, LmRequest, ModuleExt as _, Price, Prompt,
    Prompts, Usage,
};
use promptopt_testkit::{HiddenRules, toy};

/// What the model always answers, in chat form.
pub(crate) const REPLY: &str = "[[ ## answer ## ]]\nK4\n\n[[ ## completed ## ]]";

/// A model that answers at once, so that all that is left is our own work.
#[derive(Debug)]
pub(crate) struct AtOnce;

#[async_trait]
impl LanguageModel for AtOnce {
    fn id(&self) -> String {
        "at-once".to_owned()
    }

    async fn complete(&self, _request: &LmRequest) -> Result<LmReply, LmError> {
        Ok(LmReply::text(REPLY, Usage::call(200, 10)))
    }

    fn price(&self) -> Option<Price> {
        Some(Price::FREE)
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
    let demos = shown.iter().map(|example| Demo {
        fields: example.fields().clone(),
        augmented: true,
        source: Some(example.content_hash()),
    });
    let prompt = Prompt {
        instruction: "Read the text with care and answer with the code that belongs to what it mentions."
            .to_owned(),
        demos: demos.collect(),
    };
    Arc::new([("answer", prompt)].into_iter().collect())
}
