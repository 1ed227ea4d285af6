//! The client behind every dialect: one call from its request to its reply, without what the server does not take.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use promptopt_core::lm::{Attempts, LmError, LmReply, LmRequest, ModelProfile};
use rand_chacha::ChaCha8Rng;
use tracing::{debug, warn};

use crate::RateControl;
use crate::bill::Bill;
use crate::classify::AttemptError;
use crate::draft::Draft;
use crate::exchange::Sendable;
use crate::format_support::FormatSupport;
use crate::forms::{formed, own_names};
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
        let with_format = self.formats.is_worth_sending(&request.response_format);
        let mut draft = self.wire.peer().template.draft(request, with_format);
        self.parameters.apply(&mut draft);
        let bill = Bill::new(self.profile.max_attempts_billed, attempts.clone());
        loop {
            let result = match self.wire.write(&formed(request, &draft), &draft) {
                Ok(body) => {
                    let tokens = estimated_tokens(request, draft.sampling.max_tokens);
                    self.exchange(&Sendable { body, draft: draft.clone(), tokens }, &bill).await
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
