//! A predictor that asks once.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction, fields_of, shorten, shown};
use promptopt_core::lm::{Completion, LanguageModel, LmRequest, Piece, ReplyError, ResponseFormat, Sampling};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Module, Predictor};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::{Field, FieldType, Signature, TypedSignature, from_fields, to_fields};
use promptopt_core::telemetry::Span;
use promptopt_core::trace::Step;
use serde_json::Value;

use crate::stream::Listener;
use crate::typed::{Of, Untyped};
use crate::{Adapter, ChatAdapter, Error, JsonAdapter, adapter_of};

/// A predictor: a signature, a prompt, and how to ask. By itself it is a whole program, too.
///
/// `Predict` takes and gives fields. `Predict<Triage>` takes and gives the Rust types of a signature that
/// `#[derive(Signature)]` has made, see [`Predict::typed`].
pub struct Predict<S = Untyped> {
    path: String,
    signature: Signature,
    prompt: Prompt,
    sampling: Sampling,
    adapter: Arc<dyn Adapter>,
    json_retry: bool,
    model: Option<Arc<dyn LanguageModel>>,
    of: Of<S>,
}

impl Predict {
    /// A predictor at `path`, which must be unique inside its program. It starts with the
    /// signature's instruction and no demos, speaks [`ChatAdapter`] and retries once in JSON.
    pub fn new(path: impl Into<String>, signature: Signature) -> Self {
        Self::of(path.into(), signature, Of::fields())
    }

    /// Asks the context's model and records the step.
    ///
    /// # Errors
    ///
    /// [`Error`] says whether an input was missing, the model gave no reply, or the reply does
    /// not fit the signature (also after the retry).
    pub async fn call(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction, Error> {
        self.call_fields(context, inputs, None).await
    }
}

impl<S: TypedSignature> Predict<S> {
    /// Asks the context's model and records the step. A reply of which serde makes no output is asked for once more, as
    /// one that does not fit the signature is.
    ///
    /// # Errors
    ///
    /// As [`Predict::call`] of fields.
    pub async fn call(&self, context: &CallContext, input: S::Input) -> Result<S::Output, Error> {
        let inputs = to_fields(&input).map_err(|source| self.unfit(source))?;
        let prediction = self.call_fields(context, &inputs, None).await?;
        from_fields(prediction.fields()).map_err(|source| self.unfit(source))
    }
}

impl<S> Predict<S> {
    /// A predictor at `path`, as [`Predict::new`] makes it, with the signature of a Rust type.
    ///
    /// ```
    /// use promptopt_predict::{Predict, Signature};
    /// # use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
    /// # use promptopt_core::{money::Usage, program::CallContext};
    /// # use futures_util::FutureExt as _;
    /// # let model = std::sync::Arc::new(lm_fn("fixed", |_: LmRequest| async {
    /// #     Ok(LmReply::text("[[ ## stars ## ]]\n4\n\n[[ ## completed ## ]]", Usage::call(9, 9)))
    /// # }));
    ///
    /// /// Say how much the customer likes the product.
    /// #[derive(Signature)]
    /// struct Rate {
    ///     #[input]
    ///     review: String,
    ///     /// From 1 to 5.
    ///     #[output]
    ///     stars: u8,
    /// }
    ///
    /// let rate = Predict::<Rate>::typed("rate");
    /// let input = RateInput { review: "Nice, but loud.".to_owned() };
    /// let output: RateOutput = rate.call(&CallContext::new(model), input).now_or_never().unwrap()?;
    /// assert_eq!(output.stars, 4);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn typed(path: impl Into<String>) -> Self
    where
        S: TypedSignature,
    {
        Self::of(path.into(), S::signature(), Of::typed())
    }

    fn of(path: String, signature: Signature, of: Of<S>) -> Self {
        Self {
            path,
            prompt: Prompt::new(signature.instructions()),
            signature,
            sampling: Sampling::default(),
            adapter: Arc::new(ChatAdapter),
            json_retry: true,
            model: None,
            of,
        }
    }

    /// With one more output in front, where there is none of that name.
    pub(crate) fn with_first_output(mut self, field: Field) -> Result<Self, promptopt_core::Error> {
        self.signature = self.signature.prepend_output(field)?;
        Ok(self)
    }

    pub(crate) fn unfit(&self, source: promptopt_core::Error) -> Error {
        Error::Typed { predictor: self.path.clone(), source }
    }

    /// Sampling parameters of its requests. Default: the model's own.
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// The adapter it speaks. Default: [`ChatAdapter`].
    #[must_use]
    pub fn with_adapter(mut self, adapter: Arc<dyn Adapter>) -> Self {
        self.adapter = adapter;
        self
    }

    /// Whether a reply that does not fit is asked for once more in JSON form. Default: true.
    #[must_use]
    pub fn with_json_retry(mut self, retry: bool) -> Self {
        self.json_retry = retry;
        self
    }

    /// The model it runs on when it is a program by itself.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn LanguageModel>) -> Self {
        self.model = Some(model);
        self
    }

    /// The chat as it goes over the wire for some inputs, under the predictor's own prompt.
    pub fn chat(&self, inputs: &Fields) -> Vec<promptopt_core::lm::Message> {
        self.adapter_of_prompt().chat(&self.signature, &self.prompt, inputs)
    }

    /// The adapter that its own prompt asks through.
    pub(crate) fn adapter_of_prompt(&self) -> &dyn Adapter {
        self.adapter_in(&self.prompt).unwrap_or(&*self.adapter)
    }

    /// As [`Predict::call`], whatever the types.
    pub(crate) async fn call_fields(
        &self,
        context: &CallContext,
        inputs: &Fields,
        listener: Option<&mut Listener>,
    ) -> Result<Prediction, Error> {
        let slot = context.begin_step();
        let span = Span::predict(&self.path);
        let mut step = Step::new(self.path.clone()).with_inputs(self.own(inputs));
        let result = span.around(self.ask(context, inputs, &mut step, listener)).await;
        match &result {
            Ok(prediction) => step.outputs = fields_of(prediction.fields().iter()),
            Err(error) => step.error = Some(full_text(error)),
        }
        tell(&span, &step, result.as_ref().err());
        context.end_step(slot, step);
        result
    }

    /// The inputs this predictor has a field for.
    pub(crate) fn own(&self, inputs: &Fields) -> Fields {
        let names = self.signature.inputs().iter().map(|field| &field.name);
        fields_of(names.filter_map(|name| Some((name, inputs.get(name)?))))
    }

    /// The inputs, of which none is missing, with images, files and histories in the one form that adapters show.
    pub(crate) fn checked<'f>(&self, inputs: &'f Fields) -> Result<Cow<'f, Fields>, Error> {
        // Without a history a chat begins.
        let may_be_missing = |kind: &FieldType| matches!(kind, FieldType::Optional(_) | FieldType::History);
        let is_missing = |field: &&Field| !inputs.contains_key(&field.name) && !may_be_missing(&field.kind);
        let Some(missing) = self.signature.inputs().iter().find(is_missing) else {
            return self.readable(inputs);
        };
        let given: Vec<_> = inputs.keys().map(|name| format!("`{name}`")).collect();
        Err(Error::MissingInput {
            predictor: self.path.clone(),
            field: missing.name.clone(),
            given: if given.is_empty() { "nothing".to_owned() } else { given.join(", ") },
        })
    }

    /// What makes outputs of the Rust type, where there is one.
    pub(crate) fn typing(&self) -> &Of<S> {
        &self.of
    }

    pub(crate) fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    pub(crate) fn json_retry(&self) -> bool {
        self.json_retry
    }

    async fn ask(
        &self,
        context: &CallContext,
        inputs: &Fields,
        step: &mut Step,
        mut listener: Option<&mut Listener>,
    ) -> Result<Prediction, Error> {
        let inputs = &*self.checked(inputs)?;
        let prompt = context.prompt(&self.path).unwrap_or(&self.prompt);
        let adapter = self.adapter_in(prompt)?;
        let usage = &mut step.usage;
        let first = self.ask_through(adapter, prompt, context, inputs, usage, listener.as_deref_mut()).await;
        match first {
            Err(Error::Reply { source, .. }) if self.retries(adapter) => {
                step.retried = true;
                if let Some(listener) = &mut listener {
                    listener.restart(&source.reason);
                }
                self.ask_through(&JsonAdapter, prompt, context, inputs, &mut step.usage, listener).await
            }
            result => result,
        }
    }

    /// The inputs with images, files and histories in the one form that adapters show.
    fn readable<'f>(&self, inputs: &'f Fields) -> Result<Cow<'f, Fields>, Error> {
        let mut inputs = Cow::Borrowed(inputs);
        for field in self.signature.inputs() {
            if !field.kind.is_shown() && field.kind != FieldType::History {
                continue;
            }
            let is_unread = |value: &&Value| !value.is_null() && !field.kind.admits(value);
            let Some(value) = inputs.get(&field.name).filter(is_unread) else { continue };
            let read = field.kind.read(value.clone()).map_err(|found| Error::Input {
                predictor: self.path.clone(),
                field: field.name.clone(),
                kind: field.kind.to_string(),
                found: shown(&found),
            })?;
            inputs.to_mut().insert(field.name.clone(), read);
        }
        Ok(inputs)
    }

    /// The adapter that a prompt asks through.
    pub(crate) fn adapter_in(&self, prompt: &Prompt) -> Result<&dyn Adapter, Error> {
        match &prompt.format {
            Some(format) if format != self.adapter.name() => adapter_of(format)
                .ok_or_else(|| Error::UnknownFormat { predictor: self.path.clone(), format: format.clone() }),
            _ => Ok(&*self.adapter),
        }
    }

    /// Whether a reply that does not fit is asked for again. Where the first request is in JSON form
    /// already, a retry would only repeat it.
    fn retries(&self, first: &dyn Adapter) -> bool {
        self.json_retry && first.response_format(&self.signature) == ResponseFormat::Text
    }

    async fn ask_through(
        &self,
        adapter: &dyn Adapter,
        prompt: &Prompt,
        context: &CallContext,
        inputs: &Fields,
        usage: &mut Usage,
        mut listener: Option<&mut Listener>,
    ) -> Result<Prediction, Error> {
        let request = LmRequest::new(adapter.chat(&self.signature, prompt, inputs))
            .with_sampling(self.sampling.clone())
            .with_response_format(adapter.response_format(&self.signature));
        let reply = match &mut listener {
            None => context.complete(request).await,
            Some(listener) => {
                listener.begin(adapter, &self.signature);
                let mut tell = |piece: Piece<'_>| listener.piece(piece, adapter, &self.signature);
                context.stream(request, &mut tell).await
            }
        };
        let reply = reply.map_err(|source| Error::Model { predictor: self.path.clone(), source })?;
        *usage += reply.usage;
        let completion = reply.completions.into_iter().next().unwrap_or_default();
        let outputs = adapter
            .parse(&self.signature, &completion.text)
            .and_then(|outputs| self.of.checked(outputs))
            .map_err(|reason| self.unusable(context, &completion, reason))?;
        if let Some(listener) = listener {
            listener.finish(&self.signature, &outputs);
        }
        Ok(Prediction::new(outputs))
    }

    /// The error for a reply that does not fit.
    pub(crate) fn unusable(&self, context: &CallContext, completion: &Completion, reason: String) -> Error {
        // What ended the reply explains what it lacks.
        let max_tokens = self.sampling.max_tokens.or_else(|| context.max_tokens());
        let reason = match completion.shortfall(max_tokens) {
            Some(why) if completion.text.trim().is_empty() => why,
            Some(why) => format!("{why}: {reason}"),
            None => reason,
        };
        let reply = shorten(&completion.text, 2000);
        let source = ReplyError::new(self.path.clone(), reason, reply, completion.finish_reason);
        Error::Reply { predictor: self.path.clone(), source }
    }
}

/// Tells the span of a predictor how it ended.
pub(crate) fn tell(span: &Span, step: &Step, error: Option<&Error>) {
    span.content("promptopt.inputs", || step.inputs.clone().into());
    match error {
        None => {
            span.content("promptopt.outputs", || step.outputs.clone().into());
        }
        Some(error) => span.failed(error.kind()),
    }
}

pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl<S> Clone for Predict<S> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            signature: self.signature.clone(),
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            adapter: Arc::clone(&self.adapter),
            json_retry: self.json_retry,
            model: self.model.clone(),
            of: self.of,
        }
    }
}

impl<S> Predictor for Predict<S> {
    fn path(&self) -> &str {
        &self.path
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.prompt = prompt;
    }

    fn retry_format(&self) -> Option<&str> {
        let first = self.adapter_in(&self.prompt).ok()?;
        self.retries(first).then(|| JsonAdapter.name())
    }

    fn settings(&self) -> String {
        format!("{} {:?} retry={}", self.adapter.name(), self.sampling, self.retries(&*self.adapter))
    }
}

#[async_trait]
impl<S: 'static> Module for Predict<S> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![self]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![self]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        Ok(self.call_fields(context, inputs, None).await?)
    }

    fn name(&self) -> &str {
        &self.path
    }

    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        self.model.clone()
    }

    fn calls_per_rollout(&self) -> u64 {
        if self.retries(&*self.adapter) { 2 } else { 1 }
    }
}

#[cfg(test)]
#[path = "predict_tests.rs"]
mod tests;
