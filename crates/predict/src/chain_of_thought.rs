//! A predictor that reasons before it answers.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::Error;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_core::program::{CallContext, Module, Predictor};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::{Field, Signature, TypedSignature};

use crate::typed::Untyped;
use crate::{Adapter, Predict};

/// The output in which it reasons.
const REASONING: &str = "reasoning";

/// A [`Predict`] whose first output is `reasoning`: chain of thought (Wei et al. 2022).
///
/// `ChainOfThought<Triage>` takes and gives the Rust types of a signature, see [`Predict::typed`]. The reasoning is in the
/// step and in what [`Module::run`] gives, and in the output where that has a field `reasoning`.
pub struct ChainOfThought<S = Untyped>(Predict<S>);

impl ChainOfThought {
    /// A predictor at `path` that writes its `reasoning` before the outputs of `signature`.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when the signature has a field `reasoning` already.
    pub fn new(path: impl Into<String>, signature: Signature) -> Result<Self, Error> {
        Ok(Self(Predict::new(path, signature).with_first_output(Field::new(REASONING))?))
    }
}

impl<S> ChainOfThought<S> {
    /// A predictor at `path` that writes its `reasoning` before the outputs of a Rust type.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when the signature has an input `reasoning`, or such an output that is not the first.
    pub fn typed(path: impl Into<String>) -> Result<Self, Error>
    where
        S: TypedSignature,
    {
        let predict = Predict::typed(path);
        let is_there = predict.signature().outputs().first().is_some_and(|first| first.name == REASONING);
        Ok(Self(if is_there { predict } else { predict.with_first_output(Field::new(REASONING))? }))
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
    pub fn map(self, change: impl FnOnce(Predict<S>) -> Predict<S>) -> Self {
        Self(change(self.0))
    }
}

impl<S> Clone for ChainOfThought<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Deref for ChainOfThought<S> {
    type Target = Predict<S>;

    fn deref(&self) -> &Predict<S> {
        &self.0
    }
}

impl<S> Predictor for ChainOfThought<S> {
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
impl<S: 'static> Module for ChainOfThought<S> {
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
