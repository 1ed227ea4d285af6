//! A call that a program makes with a client of its own, in the books of its run.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CallContext, Layer};
use crate::lm::{
    Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, ModelServer, Sampling,
};
use crate::money::Usage;
use crate::secret::Redactor;
use crate::telemetry::{Span, describe};

/// The most tokens that a completion is taken to have where neither the request nor the profile says it.
const MAX_TOKENS: u32 = 4096;

impl CallContext {
    /// Makes one call with the program's own client as if it went through the context: it waits for its turn and for room
    /// in the budget, is counted and priced, and is a span. `profile` is the model's name, as `prices` has it, or its
    /// whole profile. `request` is what is sent, of which the size is reserved, and `max_tokens` (or
    /// `max_completion_tokens`, `max_output_tokens`) for the completion: 4,096 where there is none. `call` is begun when
    /// there is room, and gives the response and what it cost.
    ///
    /// ```
    /// use std::sync::Arc;
    /// # use futures_util::FutureExt as _;
    /// use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
    /// use promptopt_core::money::Usage;
    /// use promptopt_core::program::CallContext;
    ///
    /// # let model = lm_fn("m", |_: LmRequest| async { Ok(LmReply::default()) });
    /// # let context = CallContext::new(Arc::new(model));
    /// # async {
    /// let request = serde_json::json!({"model": "small", "prompt": "2 + 2 = ?", "max_tokens": 5});
    /// let answer = context.metered("small", &request, async {
    ///     let answer = "4".to_owned(); // Here the request is sent.
    ///     Ok((answer, Usage::call(9, 1)))
    /// });
    /// assert_eq!(answer.await?, "4");
    /// assert_eq!(context.record().1, Usage::call(9, 1));
    /// # Ok::<(), promptopt_core::lm::LmError>(())
    /// # }.now_or_never().unwrap()?;
    /// # Ok::<(), promptopt_core::lm::LmError>(())
    /// ```
    ///
    /// No store keeps it: a run that is resumed makes the call again. [`CallContext::metered_kept`] does not.
    ///
    /// # Errors
    ///
    /// As [`CallContext::complete`]. Of what `call` says, an [`LmError`] in its chain is handed on, and everything else is
    /// an [`LmError::Call`].
    pub async fn metered<Q, R>(
        &self,
        profile: impl Into<ModelProfile>,
        request: &Q,
        call: impl Future<Output = anyhow::Result<(R, Usage)>>,
    ) -> Result<R, LmError>
    where
        Q: Serialize + ?Sized,
        R: Serialize,
    {
        let (gate, request) = gate(profile.into(), request)?;
        let model = Arc::clone(&gate) as Arc<dyn LanguageModel>;
        let mut answer = None;
        let call = async {
            let (response, usage) = call.await?;
            Ok(reply_of(answer.insert(response), usage))
        };
        self.through(&gate, model, request, call).await?;
        answer.ok_or(LmError::Cancelled)
    }

    /// The same with a store around the call, such as a `Journal` of `promptopt-store`: one call for equal requests, and
    /// none for what was paid before the run was killed. The response is kept as JSON, without the secrets that the store
    /// knows. A failure is not kept.
    ///
    /// # Errors
    ///
    /// As [`CallContext::metered`]; also where the response does not come back from its JSON.
    pub async fn metered_kept<Q, R>(
        &self,
        store: &dyn Layer,
        profile: impl Into<ModelProfile>,
        request: &Q,
        call: impl Future<Output = anyhow::Result<(R, Usage)>>,
    ) -> Result<R, LmError>
    where
        Q: Serialize + ?Sized,
        R: Serialize + DeserializeOwned,
    {
        let (gate, request) = gate(profile.into(), request)?;
        let model = store.around(Arc::clone(&gate) as Arc<dyn LanguageModel>);
        let call = async {
            let (response, usage) = call.await?;
            kept_reply_of(&response, usage)
        };
        let reply = self.through(&gate, model, request, call).await?;
        let malformed = |error| LmError::MalformedReply { message: format!("the kept response: {error}") };
        let mut kept: Value = serde_json::from_str(reply.first_text()).map_err(malformed)?;
        let response = kept.get_mut(RESPONSE).map(Value::take).unwrap_or_default();
        serde_json::from_value(response).map_err(malformed)
    }

    /// Asks the model behind a gate, and makes the call when the gate opens.
    async fn through(
        &self,
        gate: &Arc<Gate>,
        model: Arc<dyn LanguageModel>,
        request: LmRequest,
        call: impl Future<Output = anyhow::Result<LmReply>>,
    ) -> Result<LmReply, LmError> {
        // Whoever shares the call is not left waiting for somebody who is gone.
        let _closing = Closing(gate);
        let on = self.on(model);
        let mut asked = pin!(on.complete(request));
        let mut call = pin!(call);
        let mut is_over = false;
        poll_fn(|task| {
            loop {
                let was_open = gate.opened(task.waker());
                if let Some(span) = was_open.as_ref().filter(|_| !is_over)
                    && let Poll::Ready(result) = span.in_scope(|| call.as_mut().poll(task))
                {
                    is_over = true;
                    gate.answer(result);
                }
                if let Poll::Ready(result) = asked.as_mut().poll(task) {
                    return Poll::Ready(result);
                }
                if was_open.is_some() || gate.opened(task.waker()).is_none() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// The gate for a call, and the request that goes through it.
fn gate<Q: Serialize + ?Sized>(
    profile: ModelProfile,
    request: &Q,
) -> Result<(Arc<Gate>, LmRequest), LmError> {
    let sent = serde_json::to_value(request)
        .map_err(|error| LmError::Call { message: format!("the request is no JSON: {error}") })?;
    let gate = Gate { profile: profile_of(profile, &sent), state: Mutex::default() };
    Ok((Arc::new(gate), request_of(&sent)))
}

/// Answers for a call that nobody makes any more.
struct Closing<'g>(&'g Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if self.0.with(|state| state.answer.is_some()) {
            return;
        }
        // That it was given up ends nobody else's run.
        let message = "it was given up by whoever made it: make it again".to_owned();
        self.0.answer(Err(LmError::Call { message }.into()));
    }
}

/// The model behind [`CallContext::metered`]: it opens when it is asked, and replies what it is told.
struct Gate {
    profile: ModelProfile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The span that it was asked in.
    opened: Option<Span>,
    answer: Option<Result<LmReply, LmError>>,
    /// Who waits for it to open, and for its answer.
    outside: Option<Waker>,
    inside: Option<Waker>,
}

impl Gate {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn opened(&self, waker: &Waker) -> Option<Span> {
        self.with(|state| {
            state.outside = Some(waker.clone());
            state.opened.clone()
        })
    }

    fn answer(&self, result: anyhow::Result<LmReply>) {
        let answer = result.map_err(|error| {
            let known = error.chain().find_map(|cause| cause.downcast_ref::<LmError>()).cloned();
            let said = || Redactor::default().strict().redact(&format!("{error:#}")).into_owned();
            known.unwrap_or_else(|| LmError::Call { message: said() })
        });
        let waiting = self.with(|state| {
            state.answer = Some(answer);
            state.inside.take()
        });
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[async_trait]
impl LanguageModel for Gate {
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, _: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        let waiting = self.with(|state| {
            state.opened = Some(Span::current());
            state.outside.take()
        });
        waiting.into_iter().for_each(Waker::wake);
        poll_fn(|task| {
            // A layer may ask twice.
            self.with(|state| match state.answer.clone() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    state.inside = Some(task.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }
}

/// What is known of the model, with what the request says.
fn profile_of(profile: ModelProfile, sent: &Value) -> ModelProfile {
    let max_tokens = max_tokens(sent).or(profile.max_tokens).unwrap_or(MAX_TOKENS);
    let profile = profile.with_max_tokens(max_tokens);
    match sent.get("model").and_then(Value::as_str) {
        Some(model) if profile.server.is_none() => profile.with_server(ModelServer::new(model)),
        _ => profile,
    }
}

/// The request as one message, with what its fields say of sampling.
fn request_of(sent: &Value) -> LmRequest {
    let number = |name: &str| sent.get(name).and_then(Value::as_f64);
    let sampling = Sampling {
        temperature: number("temperature"),
        top_p: number("top_p"),
        max_tokens: max_tokens(sent),
        ..Sampling::default()
    };
    let n = sent.get("n").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    LmRequest::new(vec![Message::user(sent.to_string())]).with_sampling(sampling).with_n(n.unwrap_or(1))
}

fn max_tokens(sent: &Value) -> Option<u32> {
    let names = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let bound = names.iter().find_map(|name| sent.get(name)?.as_u64())?;
    u32::try_from(bound).ok()
}

/// The response as a reply: what it cost, and for traces what it says.
fn reply_of(response: &impl Serialize, usage: Usage) -> LmReply {
    let reply = LmReply::text("", usage.with_calls(usage.calls.max(1)));
    describe(reply, response)
}

/// Where the response stands in what is kept.
const RESPONSE: &str = "response";

/// The response as a reply that says it whole: in an object, of which nothing is taken for thinking aloud.
fn kept_reply_of(response: &impl Serialize, usage: Usage) -> anyhow::Result<LmReply> {
    let told = serde_json::to_value(response)?;
    let field = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let (id, model) = (field("id"), field("model"));
    let text = serde_json::json!({ RESPONSE: told }).to_string();
    let mut reply = LmReply::text(text, usage.with_calls(usage.calls.max(1)));
    (reply.id, reply.model) = (id, model);
    Ok(reply)
}
