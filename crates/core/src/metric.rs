//! Metrics, and modules that come with one.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{CallContext, Example, Fields, LanguageModel, Module, Prediction, Predictor, Score};

/// Judges a prediction. Async, because a judge may be a language model.
#[async_trait]
pub trait Metric: Send + Sync {
    /// Scores a prediction for an example; higher is better.
    ///
    /// # Errors
    ///
    /// Whatever keeps the metric from judging. That is recorded as a failure of the metric, not
    /// as a score of 0; so is a score that is not a finite number.
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score>;

    /// Scores a prediction in the middle of a run. A metric that calls language models overrides this and calls
    /// them through the context ([`CallContext::aside`]), so that the run's budget pays for them, and says in
    /// [`models`](Self::models) and [`max_calls`](Self::max_calls) which and how often.
    ///
    /// # Errors
    ///
    /// As [`score`](Self::score). Errors of a model should stay in the chain of causes.
    async fn score_in(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        self.score(example, prediction).await
    }

    /// The language models it calls.
    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        Vec::new()
    }

    /// An upper bound on the language-model calls of one judgement.
    fn max_calls(&self) -> u64 {
        0
    }
}

#[async_trait]
impl<T: Metric + ?Sized> Metric for Box<T> {
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        (**self).score(example, prediction).await
    }

    async fn score_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        (**self).score_in(context, example, prediction).await
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        (**self).models()
    }

    fn max_calls(&self) -> u64 {
        (**self).max_calls()
    }
}

#[async_trait]
impl<T: Metric + ?Sized> Metric for Arc<T> {
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        (**self).score(example, prediction).await
    }

    async fn score_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        (**self).score_in(context, example, prediction).await
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        (**self).models()
    }

    fn max_calls(&self) -> u64 {
        (**self).max_calls()
    }
}

/// A closure as a metric; see [`metric_fn`].
#[derive(Debug, Clone, Copy)]
pub struct MetricFn<F>(F);

/// Makes a metric of a closure that returns a number, a truth value or a [`Score`].
///
/// ```
/// use promptopt_core::{Example, Prediction, metric_fn};
///
/// let exact = metric_fn(|example: &Example, prediction: &Prediction| {
///     example.get("answer") == prediction.get("answer")
/// });
/// # let _ = exact;
/// ```
pub fn metric_fn<F, S>(score: F) -> MetricFn<F>
where
    F: Fn(&Example, &Prediction) -> S + Send + Sync,
    S: Into<Score>,
{
    MetricFn(score)
}

#[async_trait]
impl<F, S> Metric for MetricFn<F>
where
    F: Fn(&Example, &Prediction) -> S + Send + Sync,
    S: Into<Score>,
{
    async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        Ok((self.0)(example, prediction).into())
    }
}

/// A module with its metric: what an optimizer works on.
#[async_trait]
pub trait Evaluator: Module {
    /// Scores a prediction of this module.
    ///
    /// # Errors
    ///
    /// As [`Metric::score`].
    async fn evaluate(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score>;

    /// The same in the middle of a run, whose budget pays for what the metric calls; see [`Metric::score_in`]. An
    /// evaluator around another one hands this on as well as the two below.
    ///
    /// # Errors
    ///
    /// As [`Metric::score_in`].
    async fn evaluate_in(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        self.evaluate(example, prediction).await
    }

    /// The language models that its metric calls.
    fn metric_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        Vec::new()
    }

    /// An upper bound on the calls of its metric for one prediction.
    fn metric_calls(&self) -> u64 {
        0
    }
}

#[async_trait]
impl<T: Evaluator + ?Sized> Evaluator for Box<T> {
    async fn evaluate(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        (**self).evaluate(example, prediction).await
    }

    async fn evaluate_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        (**self).evaluate_in(context, example, prediction).await
    }

    fn metric_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        (**self).metric_models()
    }

    fn metric_calls(&self) -> u64 {
        (**self).metric_calls()
    }
}

/// A module and a metric put together.
#[derive(Debug, Clone)]
pub struct WithMetric<M, S> {
    /// The module.
    pub module: M,
    /// The metric.
    pub metric: S,
}

impl<M, S> WithMetric<M, S> {
    /// Puts them together.
    pub fn new(module: M, metric: S) -> Self {
        Self { module, metric }
    }
}

#[async_trait]
impl<M: Module, S: Metric> Module for WithMetric<M, S> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.module.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.module.predictors_mut()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.module.run(context, inputs).await
    }

    fn name(&self) -> &str {
        self.module.name()
    }

    fn source(&self) -> Option<String> {
        self.module.source()
    }

    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        self.module.language_model()
    }

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.module.other_models().into_iter().chain(self.metric.models()).collect()
    }

    fn max_calls(&self) -> u64 {
        self.module.max_calls().saturating_add(self.metric.max_calls())
    }
}

#[async_trait]
impl<M: Module, S: Metric> Evaluator for WithMetric<M, S> {
    async fn evaluate(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        self.metric.score(example, prediction).await
    }

    async fn evaluate_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        self.metric.score_in(context, example, prediction).await
    }

    fn metric_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.metric.models()
    }

    fn metric_calls(&self) -> u64 {
        self.metric.max_calls()
    }
}
