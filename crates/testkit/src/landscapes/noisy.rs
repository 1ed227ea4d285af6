//! Rules under a judge who errs.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    ContentHash, Example, Field, LanguageModel, LmError, LmReply, LmRequest, Metric, Module, Prediction,
    Price, Prompts, Score, Signature, plain_text,
};
use promptopt_predict::Predict;

use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::coin;
use crate::{HiddenRules, SimulatedLm, toy};

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
        Arc::new(Talkative(self.0.model(seed)))
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
#[derive(Debug)]
struct Talkative(SimulatedLm);

#[async_trait]
impl LanguageModel for Talkative {
    fn id(&self) -> String {
        format!("talkative {}", self.0.id())
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let mut reply = self.0.complete(request).await?;
        let words = ContentHash::of(&request.messages).as_u64() % 100_000;
        for completion in &mut reply.completions {
            completion.text =
                completion.text.replace(REASONING, &format!("It follows from the text ({words})."));
        }
        Ok(reply)
    }

    fn price(&self) -> Option<Price> {
        self.0.price()
    }
}

/// Says whether the answer is right, and is mistaken now and then, by the wording.
struct Judge;

#[async_trait]
impl Metric for Judge {
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        let right = example.get("answer").is_some() && example.get("answer") == prediction.get("answer");
        let told = prediction.get("reasoning").map(plain_text).unwrap_or_default();
        let mistaken = coin(ContentHash::of(&(example.content_hash(), told)), "judge") < MISTAKEN;
        Ok(Score::from(right != mistaken))
    }
}
