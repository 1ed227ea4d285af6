//! Metrics, and modules that come with one.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::{CallContext, Module, Predictor};
use crate::data::{Example, Fields, Prediction, Score};
use crate::lm::LanguageModel;
use crate::trace::Trace;

/// Judges a prediction. Async, because a judge may be a language model. A closure is a metric, too: see
/// [`metric_fn`] and [`async_metric_fn`].
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no metric",
    note = "implement `Metric` with `#[async_trait]` above the `impl`, or make one of a closure with `metric_fn`"
)]
pub trait Metric: Send + Sync {
    /// Scores a prediction for an example; higher is better.
    ///
    /// A metric that calls language models calls them through the context ([`CallContext::aside`]), so that the
    /// run's budget pays for them, and says in [`models`](Self::models) and
    /// [`calls_per_score`](Self::calls_per_score) which and how often.
    ///
    /// # Errors
    ///
    /// Whatever keeps the metric from judging. That is recorded as a failure of the metric, not as a score of 0;
    /// so is a score that is not a finite number. Errors of a model should stay in the chain of causes.
    async fn score(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score>;

    /// The language models it calls.
    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        Vec::new()
    }

    /// An upper bound on the language-model calls of one judgement.
    fn calls_per_score(&self) -> u64 {
        0
    }
}

/// The methods of a metric that stands behind a pointer.
macro_rules! forward_metric {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Metric + ?Sized> Metric for $pointer<T> {
            async fn score(
                &self,
                context: &CallContext,
                example: &Example,
                prediction: &Prediction,
            ) -> anyhow::Result<Score> {
                (**self).score(context, example, prediction).await
            }

            fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
                (**self).models()
            }

            fn calls_per_score(&self) -> u64 {
                (**self).calls_per_score()
            }
        }
    )*};
}

forward_metric!(Box, Arc);

/// A closure as a metric; see [`metric_fn`].
#[derive(Debug, Clone, Copy)]
pub struct MetricFn<F>(F);

/// Makes a metric of a closure that returns a number, a truth value or a [`Score`].
///
/// ```
/// use promptopt_core::data::{Example, Prediction};
/// use promptopt_core::program::metric_fn;
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
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        Ok((self.0)(example, prediction).into())
    }
}

/// A closure over Rust types as a metric; see [`metric_typed`].
pub struct TypedMetric<F, E, P> {
    score: F,
    of: PhantomData<fn(E, P)>,
}

/// Makes a metric of a closure over Rust types: what is expected is read from the example's fields, what was given from
/// the prediction's. Either can be the row of a typed signature, its output, a struct with the few fields that count,
/// [`Example`]'s [`Fields`], or anything else that serde reads.
///
/// ```
/// use promptopt_core::program::metric_typed;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Answer {
///     answer: String,
/// }
///
/// let exact = metric_typed(|expected: &Answer, given: &Answer| expected.answer == given.answer);
/// # let _: &dyn promptopt_core::program::Metric = &exact;
/// ```
pub fn metric_typed<F, E, P, S>(score: F) -> TypedMetric<F, E, P>
where
    F: Fn(&E, &P) -> S + Send + Sync,
    E: DeserializeOwned,
    P: DeserializeOwned,
    S: Into<Score>,
{
    TypedMetric { score, of: PhantomData }
}

#[async_trait]
impl<F, E, P, S> Metric for TypedMetric<F, E, P>
where
    F: Fn(&E, &P) -> S + Send + Sync,
    E: DeserializeOwned,
    P: DeserializeOwned,
    S: Into<Score>,
{
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let expected = example.read().context("reading the example for the metric")?;
        let given = prediction.read().context("reading the prediction for the metric")?;
        Ok((self.score)(&expected, &given).into())
    }
}

/// An async closure as a metric; see [`async_metric_fn`].
#[derive(Debug, Clone, Copy)]
pub struct AsyncMetricFn<F>(F);

/// Makes a metric of a closure that waits for something before it scores, and may fail.
///
/// ```
/// use promptopt_core::data::{Example, Prediction};
/// use promptopt_core::program::{CallContext, async_metric_fn};
///
/// let asked = async_metric_fn(|_: CallContext, example: Example, prediction: Prediction| async move {
///     // Here a service would be asked.
///     anyhow::Ok(example.get("answer") == prediction.get("answer"))
/// });
/// # let _: &dyn promptopt_core::program::Metric = &asked;
/// ```
pub fn async_metric_fn<F, R, S>(score: F) -> AsyncMetricFn<F>
where
    F: Fn(CallContext, Example, Prediction) -> R + Send + Sync,
    R: Future<Output = anyhow::Result<S>> + Send,
    S: Into<Score> + Send,
{
    AsyncMetricFn(score)
}

#[async_trait]
impl<F, R, S> Metric for AsyncMetricFn<F>
where
    F: Fn(CallContext, Example, Prediction) -> R + Send + Sync,
    R: Future<Output = anyhow::Result<S>> + Send,
    S: Into<Score> + Send,
{
    async fn score(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        (self.0)(context.clone(), example.clone(), prediction.clone()).await.map(Into::into)
    }
}

/// A module with its metric: what an optimizer works on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no metric",
    note = "give the module one with `.with_metric(…)`, a method of `ModuleExt`"
)]
pub trait Evaluator: Module {
    /// What judges this module's predictions.
    fn metric(&self) -> &dyn Metric;
}

impl<T: Evaluator + ?Sized> Evaluator for Box<T> {
    fn metric(&self) -> &dyn Metric {
        (**self).metric()
    }
}

/// A module and a metric put together.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

    fn calls_per_rollout(&self) -> u64 {
        self.module.calls_per_rollout().saturating_add(self.metric.calls_per_score())
    }

    fn calls_vary(&self) -> bool {
        self.module.calls_vary()
    }

    fn notes(&self) -> Vec<String> {
        self.module.notes()
    }

    fn check(&self, traces: &[Arc<Trace>]) -> anyhow::Result<()> {
        self.module.check(traces)
    }
}

impl<M: Module, S: Metric> Evaluator for WithMetric<M, S> {
    fn metric(&self) -> &dyn Metric {
        &self.metric
    }
}
