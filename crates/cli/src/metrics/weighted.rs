//! Several metrics as objectives of one score.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{CallContext, Example, LanguageModel, Metric, Prediction, Score};

/// One of several metrics.
pub(super) struct Objective {
    pub(super) name: String,
    pub(super) weight: f64,
    pub(super) metric: Box<dyn Metric>,
}

/// The weighted mean of several metrics, each a named objective.
pub(super) struct Weighted(pub(super) Vec<Objective>);

#[async_trait]
impl Metric for Weighted {
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        self.mean(None, example, prediction).await
    }

    async fn score_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        self.mean(Some(context), example, prediction).await
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.0.iter().flat_map(|objective| objective.metric.models()).collect()
    }

    fn max_calls(&self) -> u64 {
        self.0.iter().map(|objective| objective.metric.max_calls()).sum()
    }
}

impl Weighted {
    async fn mean(
        &self,
        context: Option<&CallContext>,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let total: f64 = self.0.iter().map(|objective| objective.weight).sum();
        let mut score = Score::default();
        let mut feedback = Vec::new();
        for objective in &self.0 {
            let scored = match context {
                Some(context) => objective.metric.score_in(context, example, prediction).await,
                None => objective.metric.score(example, prediction).await,
            };
            let part =
                scored.map_err(|error| error.context(format!("in the metric `{}`", objective.name)))?;
            score.value += part.value * objective.weight / total;
            feedback.extend(part.feedback.map(|text| format!("{}: {text}", objective.name)));
            for (name, value) in part.objectives {
                score.objectives.insert(format!("{}.{name}", objective.name), value);
            }
            score.objectives.insert(objective.name.clone(), part.value);
        }
        score.feedback = (!feedback.is_empty()).then(|| feedback.join("\n"));
        Ok(score)
    }
}
