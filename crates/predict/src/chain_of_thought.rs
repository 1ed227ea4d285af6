//! A predictor that reasons before it answers.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::Error;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_core::program::{CallContext, Module, Predictor};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::{Field, Signature};

use crate::{Adapter, Predict};

/// A [`Predict`] whose first output is `reasoning`: chain of thought (Wei et al. 2022).
#[derive(Clone)]
pub struct ChainOfThought(Predict);

impl ChainOfThought {
    /// A predictor at `path` that writes its `reasoning` before the outputs of `signature`.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when the signature has a field `reasoning` already.
    pub fn new(path: impl Into<String>, signature: Signature) -> Result<Self, Error> {
        let signature = signature.prepend_output(Field::new("reasoning"))?;
        Ok(Self(Predict::new(path, signature)))
    }

    /// As [`Predict::with_model`].
    #[must_use]
    pub fn with_model(self, model: Arc<dyn LanguageModel>) -> Self {
        self.map(|predict| predict.with_model(model))
    }

    /// As [`Predict::with_sampling`].
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        self.map(|predict| predict.with_sampling(sampling))
    }

    /// As [`Predict::with_adapter`].
    #[must_use]
    pub fn with_adapter(self, adapter: Arc<dyn Adapter>) -> Self {
        self.map(|predict| predict.with_adapter(adapter))
    }

    /// As [`Predict::with_json_retry`].
    #[must_use]
    pub fn with_json_retry(self, retry: bool) -> Self {
        self.map(|predict| predict.with_json_retry(retry))
    }

    /// The predictor underneath, changed.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Predict) -> Predict) -> Self {
        Self(change(self.0))
    }
}

impl Deref for ChainOfThought {
    type Target = Predict;

    fn deref(&self) -> &Predict {
        &self.0
    }
}

impl Predictor for ChainOfThought {
    fn path(&self) -> &str {
        self.0.path()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn prompt(&self) -> &Prompt {
        self.0.prompt()
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.0.set_prompt(prompt);
    }

    fn retry_format(&self) -> Option<&str> {
        self.0.retry_format()
    }

    fn settings(&self) -> String {
        self.0.settings()
    }
}

#[async_trait]
impl Module for ChainOfThought {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![self]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![self]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.0.run(context, inputs).await
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        self.0.language_model()
    }

    fn calls_per_rollout(&self) -> u64 {
        self.0.calls_per_rollout()
    }
}
