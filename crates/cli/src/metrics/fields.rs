//! A rule applied to the outputs of a program.

use async_trait::async_trait;
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::program::{CallContext, Metric};
use serde_json::Value;

use super::rule::Rule;
use super::verdict::Verdict;

/// The mean of a rule over some outputs.
pub(super) struct FieldMetric {
    pub(super) rule: Rule,
    pub(super) fields: Vec<String>,
}

#[async_trait]
impl Metric for FieldMetric {
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let mut sum = 0.0;
        let mut wrong = Vec::new();
        for field in &self.fields {
            let verdict = match (example.get(field), prediction.get(field)) {
                (_, None) => Verdict::wrong(0.0, "there is no answer"),
                (None, Some(given)) if !self.rule.needs_label() => self.rule.judge(&Value::Null, given),
                (None, Some(_)) => anyhow::bail!("the example has no expected `{field}` to compare with"),
                (Some(expected), Some(given)) => self.rule.judge(expected, given),
            };
            sum += verdict.score;
            wrong.extend(verdict.wrong.map(|text| match self.fields.len() {
                1 => text,
                _ => format!("{field}: {text}"),
            }));
        }
        let feedback = if wrong.is_empty() { "right".to_owned() } else { wrong.join("\n") };
        Ok(Score::new(sum / self.fields.len().max(1) as f64).with_feedback(feedback))
    }
}
