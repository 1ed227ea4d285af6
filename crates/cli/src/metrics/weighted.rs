//! Several metrics as objectives of one score.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{CallContext, Metric};

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
    async fn score(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let total: f64 = self.0.iter().map(|objective| objective.weight).sum();
        let mut score = Score::default();
        let mut feedback = Vec::new();
        for Objective { name, weight, metric } in &self.0 {
            let part = metric.score(context, example, prediction).await;
            let part = part.map_err(|error| error.context(format!("in the metric `{name}`")))?;
            score.value += part.value * weight / total;
            feedback.extend(part.feedback.map(|text| format!("{name}: {text}")));
            for (own, value) in part.objectives {
                score.objectives.insert(format!("{name}.{own}"), value);
            }
            score.objectives.insert(name.clone(), part.value);
        }
        score.feedback = (!feedback.is_empty()).then(|| feedback.join("\n"));
        Ok(score)
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.0.iter().flat_map(|objective| objective.metric.models()).collect()
    }

    fn calls_per_score(&self) -> u64 {
        self.0.iter().map(|objective| objective.metric.calls_per_score()).sum()
    }
}
