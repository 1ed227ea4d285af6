//! One request until its reply or its final error: permits, attempts, and waits between them.

use std::sync::PoisonError;

use genai::chat::ChatResponse;
use promptopt_core::{LmError, LmReply};
use tokio::time::timeout;
use tracing::debug;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::ProviderClient;
use super::reply::read_reply;
use super::request::Prepared;
use crate::bill::Bill;
use crate::classify::AttemptError;
use crate::exchange::{BILLED_OUT, NO_BUDGET, kind};
use crate::provider::Dialect;
use crate::rate::Outcome;
use crate::retry::{Decision, annotate};

impl ProviderClient {
    /// Sends one request until it succeeds or a retry makes no sense.
    pub(super) async fn exchange(&self, request: &Prepared, bill: &Bill) -> Result<LmReply, AttemptError> {
        let mut attempt = 1_u32;
        loop {
            let failure = match self.attempt(request, attempt, bill).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            match self.decide(&failure.error, attempt) {
                Decision::Retry(_) if !bill.allows_attempt() => {
                    let note = if bill.has_room() { NO_BUDGET } else { BILLED_OUT };
                    return Err(annotate(failure.error, note).into());
                }
                Decision::Retry(wait) => {
                    debug!(attempt, wait_ms = wait.as_millis() as u64, "waiting before the next attempt");
                    self.clock.sleep(wait).await;
                }
                Decision::GiveUp(Some(note)) => return Err(annotate(failure.error, &note).into()),
                Decision::GiveUp(None) => return Err(failure),
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// Sends one request once rate control lets it, and tells rate control and bill how it ended.
    async fn attempt(&self, request: &Prepared, attempt: u32, bill: &Bill) -> Result<LmReply, AttemptError> {
        let permit = self.rate.acquire(request.tokens, self.retry.max_retry_after).await;
        let permit = permit.map_err(|wait| LmError::RateLimited {
            message: format!("{} wants to be left alone; nothing was sent", self.url()),
            retry_after: Some(wait),
        })?;
        let open = bill.begin(false);
        let result = self.send(request).await;
        open.end(result.as_ref().is_err_and(|failure| failure.may_be_billed));
        permit.settle(&match &result {
            Ok(reply) => Outcome::of_reply(reply),
            Err(failure) => Outcome::of_error(&failure.error),
        });
        match &result {
            Ok(_) => debug!(attempt, "reply"),
            Err(failure) => debug!(attempt, failure = kind(&failure.error), "no reply"),
        }
        result
    }

    async fn send(&self, request: &Prepared) -> Result<LmReply, AttemptError> {
        let call = self.client.exec_chat(self.target.clone(), request.chat.clone(), Some(&request.options));
        // The library logs replies, and whatever a provider echoes in them.
        let call = call.with_subscriber(NoSubscriber::default());
        match timeout(self.timeout, call).await {
            Ok(Ok(response)) => self.reply(response),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => {
                let message = format!("waiting for the reply from {}", self.url());
                let error = LmError::Timeout { after: self.timeout, message };
                Err(AttemptError { may_be_billed: true, ..error.into() })
            }
        }
    }

    fn reply(&self, response: ChatResponse) -> Result<LmReply, AttemptError> {
        // A prompt that Gemini blocks comes as a reply of nothing, with the reason beside it.
        let is_nothing = response.content.is_empty() && response.stop_reason.is_none();
        if let (true, Some(body)) =
            (is_nothing && self.dialect != Dialect::Ollama, &response.captured_raw_body)
        {
            return Err(self.no_completion(body));
        }
        read_reply(response).map_err(|problem| self.failed_reply(problem, "application/json", String::new()))
    }

    fn decide(&self, error: &LmError, attempt: u32) -> Decision {
        let mut rng = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
        self.retry.decide(error, attempt, &mut *rng)
    }
}
