//! Rules under a judge who errs.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, Prediction, Score, plain_text};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{CallContext, Metric, Module};
use promptopt_core::prompt::Prompts;
use promptopt_core::signature::{Field, Signature};
use promptopt_predict::Predict;

use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::coin;
use crate::{HiddenRules, SimulatedLm, around, toy};

/// How often the judge is mistaken.
const MISTAKEN: f64 = 0.2;
/// What the simulated model writes where it knows the answer.
const REASONING: &str = "It follows from the text.";

pub(super) struct Noisy(HiddenRules);

impl Noisy {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(12, TASK_SEEDS + seed))
    }
}

impl Task for Noisy {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        let outputs = [Field::new("reasoning"), Field::new("answer")];
        match Signature::new([Field::new("question")], outputs, "") {
            Ok(signature) => Box::new(Predict::new("answer", signature)),
            Err(_) => unreachable!("the field names of the landscape are names"),
        }
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(talkative(self.0.model(seed)))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(Judge)
    }

    fn truth(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        one_prompt(stated(&self.0))
    }
}

/// A model whose reasoning is worded differently under every prompt, which sways the judge.
fn talkative(model: SimulatedLm) -> impl LanguageModel {
    let profile = model.profile();
    let id = format!("talkative {}", profile.id);
    let model = around(model, |next, request| async move {
        let mut reply = next.complete(&request).await?;
        let words = ContentHash::of(&request.messages).as_u64() % 100_000;
        for completion in &mut reply.completions {
            completion.text =
                completion.text.replace(REASONING, &format!("It follows from the text ({words})."));
        }
        Ok(reply)
    });
    model.with_profile(profile.with_id(id))
}

/// Says whether the answer is right, and is mistaken now and then, by the wording.
struct Judge;

#[async_trait]
impl Metric for Judge {
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let right = example.get("answer").is_some() && example.get("answer") == prediction.get("answer");
        let told = prediction.get("reasoning").map(plain_text).unwrap_or_default();
        let mistaken = coin(ContentHash::of(&(example.content_hash(), told)), "judge") < MISTAKEN;
        Ok(Score::from(right != mistaken))
    }
}
