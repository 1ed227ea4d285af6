//! A closure as a program.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::{CallContext, Module, Predictor};
use crate::data::{Fields, Prediction};

/// A closure as a program; see [`module_fn`].
pub struct ModuleFn<P, F> {
    name: String,
    predictors: Vec<P>,
    run: F,
    calls: Option<u64>,
}

/// Makes a program of its predictors and a closure that calls them. The closure gets the predictors back in the
/// order in which they were given.
///
/// ```
/// use std::sync::Arc;
/// use promptopt_core::data::{Fields, Prediction};
/// use promptopt_core::lm::{LmRequest, Message};
/// use promptopt_core::program::{CallContext, Text, module_fn};
///
/// let program = module_fn("greeter", [Text::new("tone", "Be kind.")], |context: CallContext, texts: Arc<[Text]>, inputs: Fields| async move {
///     let tone = texts.first().map_or("", |text| text.in_force(&context)).to_owned();
///     let name = inputs.get("name").and_then(|name| name.as_str()).unwrap_or_default();
///     let request = LmRequest::new(vec![Message::system(tone), Message::user(name)]);
///     let reply = context.complete(request).await?;
///     Ok(Prediction::from_iter([("greeting", reply.first_text())]))
/// });
/// # let _: &dyn promptopt_core::program::Module = &program;
/// ```
pub fn module_fn<P, F, R>(
    name: impl Into<String>,
    predictors: impl IntoIterator<Item = P>,
    run: F,
) -> ModuleFn<P, F>
where
    P: Predictor + Clone,
    F: Fn(CallContext, Arc<[P]>, Fields) -> R + Send + Sync,
    R: Future<Output = anyhow::Result<Prediction>> + Send,
{
    ModuleFn { name: name.into(), predictors: predictors.into_iter().collect(), run, calls: None }
}

impl<P, F> ModuleFn<P, F> {
    /// The same with an upper bound on the calls of one run, where two for each predictor are not enough.
    #[must_use]
    pub fn with_calls_per_rollout(mut self, calls: u64) -> Self {
        self.calls = Some(calls);
        self
    }
}

#[async_trait]
impl<P, F, R> Module for ModuleFn<P, F>
where
    P: Predictor + Clone,
    F: Fn(CallContext, Arc<[P]>, Fields) -> R + Send + Sync,
    R: Future<Output = anyhow::Result<Prediction>> + Send,
{
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.predictors.iter().map(|predictor| predictor as &dyn Predictor).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.predictors.iter_mut().map(|predictor| predictor as &mut dyn Predictor).collect()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        (self.run)(context.clone(), Arc::from(self.predictors.as_slice()), inputs.clone()).await
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn calls_per_rollout(&self) -> u64 {
        self.calls.unwrap_or(2 * self.predictors.len().max(1) as u64)
    }
}
