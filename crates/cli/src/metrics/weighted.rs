//! Several metrics as objectives of one score.

use async_trait::async_trait;
use promptopt_core::{Example, Metric, Prediction, Score};

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
        let total: f64 = self.0.iter().map(|objective| objective.weight).sum();
        let mut score = Score::default();
        let mut feedback = Vec::new();
        for objective in &self.0 {
            let part = objective
                .metric
                .score(example, prediction)
                .await
                .map_err(|error| error.context(format!("in the metric `{}`", objective.name)))?;
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
