//! A prediction as it comes: the text of its fields in pieces, then the whole.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::Piece;
use promptopt_core::program::CallContext;
use promptopt_core::signature::{FieldType, Signature, TypedSignature, from_fields, to_fields};

use crate::field_reader::FieldReader;
use crate::{Adapter, Error, Predict};

/// What happens while a predictor answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent<T = Prediction> {
    /// More of a text field. The deltas of a field behind the last [`StreamEvent::Restarted`] are its value in the
    /// prediction.
    Text {
        /// The field.
        field: String,
        /// What comes behind all that was told of it.
        delta: String,
    },
    /// What was told so far does not count, and a page should clear it: the reply did not fit and is asked for again in
    /// JSON form, or what came was the model's thinking.
    Restarted {
        /// Why.
        reason: String,
    },
    /// The whole, which is checked. The last event.
    Done(T),
}

/// The events of one call; see [`Predict::stream`]. Nothing happens unless it is polled, and dropping it ends the call.
#[must_use = "a stream does nothing unless it is polled"]
pub struct PredictionStream<T = Prediction> {
    /// None at its end.
    call: Option<Call<T>>,
    /// What came of it, until that is handed on behind what was told.
    ended: Option<Result<T, Error>>,
    told: Queue,
}

type Call<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What was told and not handed on yet.
type Queue = Arc<Mutex<VecDeque<Told>>>;

enum Told {
    Text { field: String, delta: String },
    Restarted { reason: String },
}

impl<T> Stream for PredictionStream<T> {
    type Item = Result<StreamEvent<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever is slow to read slows the model's reply down, and nothing piles up.
        loop {
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match told {
                Some(Told::Text { field, delta }) => {
                    return Poll::Ready(Some(Ok(StreamEvent::Text { field, delta })));
                }
                Some(Told::Restarted { reason }) => {
                    return Poll::Ready(Some(Ok(StreamEvent::Restarted { reason })));
                }
                None => {}
            }
            if let Some(result) = self.ended.take() {
                return Poll::Ready(Some(result.map(StreamEvent::Done)));
            }
            let Some(call) = &mut self.call else { return Poll::Ready(None) };
            match call.as_mut().poll(context) {
                Poll::Ready(result) => (self.call, self.ended) = (None, Some(result)),
                Poll::Pending if self.told.lock().unwrap_or_else(PoisonError::into_inner).is_empty() => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
    }
}

impl<T> Unpin for PredictionStream<T> {}

impl<T> PredictionStream<T> {
    fn new<S: 'static>(
        predict: &Predict<S>,
        context: &CallContext,
        inputs: Result<Fields, Error>,
        read: impl FnOnce(Prediction) -> Result<T, Error> + Send + 'static,
    ) -> Self
    where
        T: 'static,
    {
        let told = Queue::default();
        let mut listener = Listener { told: Arc::clone(&told), reader: None, fields: Vec::new() };
        let (predict, context) = (predict.clone(), context.clone());
        let call = async move { read(predict.call_fields(&context, &inputs?, Some(&mut listener)).await?) };
        Self { call: Some(Box::pin(call)), ended: None, told }
    }
}

impl Predict {
    /// Asks as [`Predict::call`] does, and gives the text of the outputs as it comes, then the whole prediction. Outputs of
    /// another type than text come with the whole, and so does all text where the model does not stream.
    ///
    /// ```
    /// use futures_util::TryStreamExt as _;
    /// use promptopt_core::signature::Signature;
    /// use promptopt_predict::{Predict, StreamEvent};
    /// # use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
    /// # use promptopt_core::{data::Example, money::Usage, program::CallContext};
    /// # use futures_util::FutureExt as _;
    /// # let context = CallContext::new(std::sync::Arc::new(lm_fn("fixed", |_: LmRequest| async {
    /// #     Ok(LmReply::text("[[ ## answer ## ]]\nParis.\n\n[[ ## completed ## ]]", Usage::call(9, 9)))
    /// # })));
    /// # let inputs = Example::new([("question", "What is the capital of France?")], ["question"]).inputs();
    /// # async {
    ///
    /// let predict = Predict::new("answer", Signature::parse("question -> answer")?);
    /// let mut events = predict.stream(&context, &inputs);
    /// let mut page = String::new();
    /// while let Some(event) = events.try_next().await? {
    ///     match event {
    ///         StreamEvent::Text { delta, .. } => page.push_str(&delta),
    ///         StreamEvent::Restarted { .. } => page.clear(),
    ///         StreamEvent::Done(prediction) => assert_eq!(prediction.get_str("answer"), Some(page.as_str())),
    ///         _ => {}
    ///     }
    /// }
    /// # anyhow::Ok(())
    /// # }.now_or_never().unwrap()?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn stream(&self, context: &CallContext, inputs: &Fields) -> PredictionStream {
        PredictionStream::new(self, context, Ok(inputs.clone()), Ok)
    }
}

impl<S: TypedSignature> Predict<S> {
    /// As [`Predict::stream`] of fields, in Rust types.
    pub fn stream(&self, context: &CallContext, input: S::Input) -> PredictionStream<S::Output> {
        let path = promptopt_core::program::Predictor::path(self).to_owned();
        let inputs = to_fields(&input).map_err(|source| self.unfit(source));
        PredictionStream::new(self, context, inputs, move |prediction| {
            from_fields(prediction.fields()).map_err(|source| Error::Typed { predictor: path, source })
        })
    }
}

/// Makes events of the pieces of replies.
pub(crate) struct Listener {
    told: Queue,
    reader: Option<Box<dyn FieldReader>>,
    /// What was told of each field.
    fields: Vec<(String, String)>,
}

impl Listener {
    /// A reply through `adapter` comes.
    pub(crate) fn begin(&mut self, adapter: &dyn Adapter, signature: &Signature) {
        self.reader = adapter.reader(signature);
    }

    /// More of it.
    pub(crate) fn piece(&mut self, piece: Piece<'_>, adapter: &dyn Adapter, signature: &Signature) {
        let Piece::Text(text) = piece else {
            self.restart("what came was the model's thinking");
            return self.begin(adapter, signature);
        };
        let Some(mut reader) = self.reader.take() else { return };
        reader.add(text, &mut |field, delta| self.tell(field, delta));
        self.reader = Some(reader);
    }

    /// What was told does not count.
    pub(crate) fn restart(&mut self, reason: &str) {
        self.fields.clear();
        self.push(Told::Restarted { reason: reason.to_owned() });
    }

    /// Tells what is missing of the text in a prediction.
    pub(crate) fn finish(&mut self, signature: &Signature, outputs: &Fields) {
        let is_text = |name: &str| signature.field(name).is_some_and(|field| field.kind == FieldType::String);
        let text = |name: &str| outputs.get(name).and_then(|value| value.as_str()).filter(|_| is_text(name));
        if self.fields.iter().any(|(name, told)| !text(name).is_some_and(|whole| whole.starts_with(told))) {
            self.restart("the reply is read another way than it began");
        }
        for field in signature.outputs() {
            let Some(whole) = text(&field.name) else { continue };
            let known = self.fields.iter().find(|(name, _)| *name == field.name);
            let from = known.map_or(0, |(_, told)| told.len());
            let rest = whole.get(from..).unwrap_or_default().to_owned();
            self.tell(&field.name, &rest);
        }
    }

    fn tell(&mut self, field: &str, delta: &str) {
        if delta.is_empty() {
            return;
        }
        match self.fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, told)) => told.push_str(delta),
            None => self.fields.push((field.to_owned(), delta.to_owned())),
        }
        self.push(Told::Text { field: field.to_owned(), delta: delta.to_owned() });
    }

    fn push(&self, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push_back(told);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
