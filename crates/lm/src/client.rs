//! The client behind every dialect: one call from its request to its reply, without what the server does not take.

use std::fmt;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use promptopt_core::lm::{Attempts, LmError, LmReply, LmRequest, ModelProfile, Tell};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::RateControl;
use crate::bill::Bill;
use crate::classify::AttemptError;
use crate::draft::Draft;
use crate::exchange::Sendable;
use crate::format_support::FormatSupport;
use crate::forms::{formed, own_names};
use crate::hearer::Hearer;
use crate::parameter_support::ParameterSupport;
use crate::rate::estimated_tokens;
use crate::retry::RetryPolicy;
use crate::wire::Wire;

/// A client that speaks the dialect `W`. The public clients are names and options around one of these.
pub(crate) struct Client<W> {
    pub(crate) profile: ModelProfile,
    pub(crate) wire: W,
    pub(crate) retry: RetryPolicy,
    pub(crate) rate: RateControl,
    pub(crate) hedge_after: Option<Duration>,
    /// The bound on a whole call.
    pub(crate) deadline: Option<Duration>,
    /// The bound on the wait for a place among the requests under way.
    pub(crate) max_queue_wait: Option<Duration>,
    pub(crate) formats: FormatSupport,
    pub(crate) parameters: ParameterSupport,
    pub(crate) jitter: Mutex<ChaCha8Rng>,
}

impl<W: Wire> Client<W> {
    pub(crate) fn model(&self) -> &str {
        &self.wire.peer().template.model
    }

    pub(crate) fn url(&self) -> &str {
        &self.wire.peer().classifier.url
    }

    /// Completes `request`; what the server refuses of it is left out, and the rest sent again.
    pub(crate) async fn complete(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
    ) -> Result<LmReply, LmError> {
        self.within_deadline(self.call(request, attempts, None)).await
    }

    /// The same, and `tell` gets the answer as it comes.
    pub(crate) async fn stream(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
        tell: Tell<'_>,
    ) -> Result<LmReply, LmError> {
        let mut hearer = Hearer::new(tell);
        let reply = self.within_deadline(self.call(request, attempts, Some(&mut hearer))).await?;
        hearer.finish(reply.first_text());
        Ok(reply)
    }

    /// Ends a call at its deadline, where there is one.
    async fn within_deadline(
        &self,
        call: impl Future<Output = Result<LmReply, LmError>>,
    ) -> Result<LmReply, LmError> {
        let Some(deadline) = self.deadline else { return call.await };
        tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            Err(LmError::Timeout {
                after: deadline,
                message: format!(
                    "the whole call of {} with its waits and retries; `deadline` bounds it",
                    self.url()
                ),
            })
        })
    }

    async fn call(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
        mut hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, LmError> {
        let end = self.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let with_format = self.formats.is_worth_sending(&request.response_format);
        let mut draft = self.wire.peer().template.draft(request, with_format);
        if hearer.is_some() {
            draft.offer_stream();
        }
        self.parameters.apply(&mut draft);
        let bill = Bill::new(self.profile.max_attempts_billed, attempts.clone());
        loop {
            let result = match self.wire.write(&formed(request, &draft), &draft) {
                Ok(body) => {
                    let tokens = estimated_tokens(request, draft.sampling.max_tokens);
                    let sendable = Sendable { body, draft: draft.clone(), tokens, end };
                    self.exchange(&sendable, &bill, hearer.as_deref_mut()).await
                }
                Err(refusal) => Err(refusal),
            };
            match result {
                Ok(mut reply) => {
                    reply.usage = bill.total(reply.usage);
                    own_names(&mut reply, request, &draft);
                    return Ok(reply.read());
                }
                Err(failure) if self.fall_back(request, &failure, &mut draft) => {}
                Err(failure) => return Err(failure.error),
            }
        }
    }

    /// Takes out of `draft` what the server objects to; says whether that makes another request.
    fn fall_back(&self, request: &LmRequest, failure: &AttemptError, draft: &mut Draft) -> bool {
        if let Some(refusal) = failure.format_refusal.filter(|_| draft.with_format) {
            debug!("the server rejects `response_format`: sending the request without");
            self.formats.remember(&request.response_format, refusal);
            draft.with_format = false;
            return true;
        }
        let mut refused = failure.refused_parameters.iter().copied();
        let Some(parameter) = refused.find(|parameter| draft.give_up(*parameter)) else {
            return false;
        };
        let is_news = self.parameters.remember(parameter);
        let name = parameter.as_str();
        match parameter.instead() {
            Some(instead) => debug!("the server rejects `{name}` as sent: sending {instead} instead"),
            None if is_news => warn!(
                model = self.model(),
                "the model does not support `{name}` as set: it is left out of this and all further requests"
            ),
            _ => debug!("the server rejects `{name}`: sending the request without"),
        }
        true
    }

    /// Shows what is no secret, under the name of the public client.
    pub(crate) fn debug(&self, name: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct(name)
            .field("id", &self.profile.id)
            .field("url", &self.url())
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
