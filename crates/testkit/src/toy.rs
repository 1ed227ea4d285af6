//! Toy programs.

use async_trait::async_trait;
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::program::{CallContext, Metric, MetricFn, Module, Predictor, metric_fn};
use promptopt_core::signature::{Field, Signature};
use promptopt_predict::Predict;

fn predict(path: &str, input: &str, output: &str) -> Predict {
    let signature = Signature::new([Field::new(input)], [Field::new(output)], "");
    match signature {
        Ok(signature) => Predict::new(path, signature),
        Err(_) => unreachable!("the field names of the toy programs are names"),
    }
}

/// One predictor: `question -> answer`.
pub fn answerer() -> Predict {
    predict("answer", "question", "answer")
}

/// Whether the answer is exactly the expected one.
pub fn exact_answer() -> impl Metric {
    let metric: MetricFn<_> = metric_fn(|example: &Example, prediction: &Prediction| {
        example.get("answer").is_some() && example.get("answer") == prediction.get("answer")
    });
    metric
}

/// Two predictors: `question -> topic`, then `topic -> answer`.
#[derive(Clone)]
pub struct TwoStage {
    classify: Predict,
    answer: Predict,
}

impl Default for TwoStage {
    fn default() -> Self {
        Self {
            classify: predict("classify", "question", "topic"),
            answer: predict("answer", "topic", "answer"),
        }
    }
}

#[async_trait]
impl Module for TwoStage {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![&self.classify, &self.answer]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![&mut self.classify, &mut self.answer]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let topic = self.classify.call(context, inputs).await?;
        Ok(self.answer.call(context, topic.fields()).await?)
    }

    fn name(&self) -> &str {
        "two-stage"
    }
}
