//! One request until its reply or its final error: permits, attempts, waits between them, and the hedge.

use std::sync::PoisonError;
use std::time::Duration;

use promptopt_core::lm::{LmError, LmReply};
use tokio::time::Instant;
use tracing::debug;

use crate::bill::Bill;
use crate::classify::AttemptError;
use crate::client::Client;
use crate::draft::Draft;
use crate::hearer::Hearer;
use crate::hedge::race;
use crate::rate::{Outcome, Permit};
use crate::retry::{Decision, annotate};
use crate::wire::Wire;

/// A request that is ready to be sent.
pub(crate) struct Sendable<B> {
    pub(crate) body: B,
    /// What it was written from.
    pub(crate) draft: Draft,
    /// The tokens it is expected to take.
    pub(crate) tokens: u64,
    /// When the call has to be over.
    pub(crate) end: Option<Instant>,
}

/// Why there is no retry where there could be one.
const BILLED_OUT: &str = "it may be billed nonetheless, and `max_attempts_billed` allows no further attempt";
const NO_TIME: &str = "`deadline` leaves no time for a further attempt";
const TOLD: &str = "a part of the reply was handed on already, so there is no further attempt";
const NO_BUDGET: &str = "it may be billed nonetheless, and nothing is set aside for a further attempt";

impl<W: Wire> Client<W> {
    /// Sends one request until it succeeds or a retry makes no sense.
    pub(crate) async fn exchange(
        &self,
        request: &Sendable<W::Body>,
        bill: &Bill,
        mut hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, AttemptError> {
        let mut attempt = 1_u32;
        loop {
            if let Some(hearer) = &mut hearer {
                hearer.begin();
            }
            let failure = match self.attempt(request, attempt, bill, hearer.as_deref_mut()).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            if hearer.as_ref().is_some_and(|hearer| hearer.has_told()) {
                return Err(AttemptError::new(annotate(failure.error, TOLD), failure.may_be_billed));
            }
            if request.draft.can_answer(&failure) || matches!(failure.error, LmError::Overloaded { .. }) {
                return Err(failure);
            }
            match self.decide(&failure.error, attempt) {
                Decision::Retry(wait)
                    if request
                        .end
                        .is_some_and(|end| wait >= end.saturating_duration_since(Instant::now())) =>
                {
                    return Err(annotate(failure.error, NO_TIME).into());
                }
                Decision::Retry(_) if !bill.allows_attempt() => {
                    let note = if bill.has_room() { NO_BUDGET } else { BILLED_OUT };
                    return Err(annotate(failure.error, note).into());
                }
                Decision::Retry(wait) => {
                    debug!(attempt, wait_ms = wait.as_millis() as u64, "waiting before the next attempt");
                    self.wire.peer().timer.sleep(wait).await;
                }
                Decision::GiveUp(Some(note)) => return Err(annotate(failure.error, &note).into()),
                Decision::GiveUp(None) => return Err(failure),
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// Sends one request once rate control lets it, and a hedge beside it where that is wanted.
    async fn attempt(
        &self,
        request: &Sendable<W::Body>,
        attempt: u32,
        bill: &Bill,
        hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, AttemptError> {
        let permit = self.permit(request.tokens).await?;
        if hearer.is_some() {
            return self.send(request, permit, attempt, bill, false, hearer).await;
        }
        let first = self.send(request, permit, attempt, bill, false, None);
        let Some(hedge_after) = self.hedge_after.filter(|_| bill.allows_hedge()) else {
            return first.await;
        };
        let second = || {
            let permit = self.rate.try_acquire(request.tokens).filter(|_| bill.affords_hedge())?;
            debug!(attempt, "no reply yet: sending the request a second time");
            Some(self.send(request, permit, attempt, bill, true, None))
        };
        let is_final =
            |failure: &AttemptError| !failure.error.is_retryable() || request.draft.can_answer(failure);
        race(first, self.wire.peer().timer.sleep(hedge_after), second, is_final).await
    }

    /// Waits until rate control lets a request through, or for as long as a call may queue.
    async fn permit(&self, tokens: u64) -> Result<Permit, LmError> {
        let patience = self.retry.max_retry_after.min(self.max_queue_wait.unwrap_or(Duration::MAX));
        let place = self.rate.acquire(tokens, patience);
        let permit = match self.max_queue_wait {
            None => place.await,
            Some(most) => tokio::time::timeout(most, place).await.map_err(|_| LmError::Overloaded {
                message: format!(
                    "{} requests to {} are under way; neither a place nor a share of the minute came free within {} s \
                     (`max_queue_wait`), so this attempt was not sent",
                    self.rate.in_flight(),
                    self.url(),
                    most.as_secs_f64()
                ),
            })?,
        };
        permit.map_err(|wait| LmError::RateLimited {
            message: format!("{} wants to be left alone; nothing was sent", self.url()),
            retry_after: Some(wait),
        })
    }

    /// Sends one request once, and tells rate control and bill how it ended.
    async fn send(
        &self,
        request: &Sendable<W::Body>,
        permit: Permit,
        attempt: u32,
        bill: &Bill,
        is_hedge: bool,
        hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, AttemptError> {
        let open = bill.begin(is_hedge);
        let result = self.wire.send(&request.body, attempt, hearer).await;
        open.end(result.as_ref().is_err_and(|failure| failure.may_be_billed));
        permit.settle(&match &result {
            Ok(reply) => Outcome::of_reply(reply),
            Err(failure) => {
                debug!(attempt, failure = kind(&failure.error), "no reply");
                Outcome::of_error(&failure.error)
            }
        });
        result
    }

    fn decide(&self, error: &LmError, attempt: u32) -> Decision {
        let mut rng = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
        self.retry.decide(error, attempt, &mut *rng)
    }
}

/// The class of an error, for logs: its message could quote the prompt.
fn kind(error: &LmError) -> &'static str {
    match error {
        LmError::Connection { .. } => "connection",
        LmError::Timeout { .. } => "timeout",
        LmError::MalformedReply { .. } => "malformed reply",
        LmError::TooLarge { .. } => "too large",
        LmError::Refused { .. } => "refused",
        _ => "provider error",
    }
}
