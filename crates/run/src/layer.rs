//! The budget layer: every request of a rollout is reserved before it leaves and settled after.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::lm::{
    Attempts, File, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, Part,
    ResponseFormat,
};
use promptopt_core::money::{Budget, Money, Price, Usage};
use promptopt_core::program::{Cancellation, Layer};

use crate::turns::{Refusal, Seat, Ticket};

/// How long a completion may become, in tokens, where neither the request nor the model says so and
/// completion tokens, all tokens or money are limited. It is written into the request, and a note says so.
pub const DEFAULT_MAX_TOKENS: u32 = 4096;
/// The value of [`DEFAULT_MAX_TOKENS`] for a model that is known to reason ([`ModelProfile::reasons`]). Its thoughts are
/// part of the completion, and 4,096 tokens often end before its answer begins. More would reserve so much of a budget for
/// each request that few fit in beside each other.
pub const DEFAULT_MAX_REASONING_TOKENS: u32 = 16_384;

/// Tokens that the form of a chat takes beside its texts,
const TOKENS_OF_A_REQUEST: u64 = 64;
/// and for every message.
const TOKENS_OF_A_MESSAGE: u64 = 16;
/// The most that an image takes: the model that counts them highest, `gpt-4o-mini`, takes 2,833 and 5,667 for each tile of
/// 512 × 512, of which there are 8 at most (OpenAI, "Images and vision", "Calculating costs").
const TOKENS_OF_AN_IMAGE: u64 = 50_000;
/// A file of which only the provider knows the size: a whole context window.
const TOKENS_OF_A_FILE: u64 = 1_000_000;

/// Where the requests of one rollout are paid from.
#[derive(Clone)]
pub(crate) struct Account(Arc<Inner>);

struct Inner {
    seat: Arc<Seat>,
    budget: Budget,
    cancellation: Cancellation,
    /// What the requests were settled with, and the most that was reserved for one.
    paid: Mutex<(Usage, Usage)>,
}

impl Account {
    pub(crate) fn new(seat: Arc<Seat>, budget: Budget, cancellation: Cancellation) -> Self {
        Self(Arc::new(Inner { seat, budget, cancellation, paid: Mutex::default() }))
    }

    /// A model whose requests are paid from this account.
    pub(crate) fn on(&self, model: Arc<dyn LanguageModel>, known: Known) -> Arc<dyn LanguageModel> {
        Arc::new(Paid { model, known, account: self.clone() })
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.0.seat
    }

    /// What the requests were settled with so far, and the most that was reserved for one.
    pub(crate) fn paid(&self) -> (Usage, Usage) {
        *self.0.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layer for Account {
    fn around(&self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
        let profile = Arc::new(model.profile());
        let price = self.0.seat.price_of(&profile);
        self.on(model, Known { profile, price })
    }
}

/// What is known of a model, read once.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) profile: Arc<ModelProfile>,
    pub(crate) price: Option<Price>,
}

struct Paid {
    model: Arc<dyn LanguageModel>,
    known: Known,
    account: Account,
}

#[async_trait]
impl LanguageModel for Paid {
    fn profile(&self) -> ModelProfile {
        let profile = ModelProfile::clone(&self.known.profile);
        let added = added_max_tokens(&profile, &self.account.0.budget);
        let max_tokens = profile.max_tokens.or(added);
        profile.with_max_tokens(max_tokens)
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        let Known { profile, price } = &self.known;
        let Inner { seat, budget, cancellation, paid } = &*self.account.0;
        let limit = added_limit(profile, budget, request);
        let limited = limit.map(|limit| {
            let mut limited = request.clone();
            limited.sampling.max_tokens = Some(limit);
            limited
        });
        let request = limited.as_ref().unwrap_or(request);
        let bound = bound(profile, *price, budget, request)?;
        let ticket = seat.admit(bound).await.map_err(|refusal| match refusal {
            Refusal::NoRoom(limit) => LmError::Budget { limit },
            Refusal::Over => LmError::Cancelled,
        })?;
        if cancellation.is_cancelled() {
            ticket.settle(Usage::default());
            return Err(LmError::Cancelled);
        }
        let mut result = self.model.complete(request, &ticket.attempts(profile.max_attempts_billed)).await;
        let cost = match &result {
            // What asks for no token of a reply, as for embeddings, gets none.
            Ok(reply) => cost_of_reply(reply, request.sampling.max_tokens == Some(0), &ticket, *price),
            Err(error) => cost_of_failure(error, &ticket),
        };
        ticket.settle(cost);
        if let Some(limit) = limit {
            ticket.note_added(limit, result.as_ref().is_ok_and(is_cut));
        }
        let mut paid = paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (paid.0 + cost, paid.1.max(bound));
        drop(paid);
        if let (Ok(reply), Some(price)) = (&mut result, price) {
            reply.usage = price.priced(reply.usage);
        }
        result
    }
}

/// The bound on completions that is written into a request, because a limit needs one and nobody set one.
pub(crate) fn added_limit(profile: &ModelProfile, budget: &Budget, request: &LmRequest) -> Option<u32> {
    request.sampling.max_tokens.is_none().then(|| added_max_tokens(profile, budget)).flatten()
}

/// The `max_tokens` that is written into requests that have none, because a limit needs one and nobody set it. `None` where
/// nothing is added.
pub fn added_max_tokens(profile: &ModelProfile, budget: &Budget) -> Option<u32> {
    (budget.limits_completions() && profile.max_tokens.is_none()).then(|| default_max_tokens(profile))
}

/// How long a completion of a model may become where nobody said it.
pub(crate) fn default_max_tokens(profile: &ModelProfile) -> u32 {
    if profile.reasons { DEFAULT_MAX_REASONING_TOKENS } else { DEFAULT_MAX_TOKENS }
}

/// Whether some completion was cut off at the bound.
fn is_cut(reply: &LmReply) -> bool {
    reply.completions.iter().any(|completion| completion.finish_reason == FinishReason::Length)
}

/// The most that one attempt at a request may cost: the prompt as the model counts it, else
/// [`most_prompt_tokens`]; and every completion as long as it may become.
pub(crate) fn bound(
    profile: &ModelProfile,
    price: Option<Price>,
    budget: &Budget,
    request: &LmRequest,
) -> Result<Usage, LmError> {
    if !budget.limits_requests() {
        // With a price, what is booked has a price as well, so that sums keep theirs.
        return Ok(Usage::calls(1).with_money(price.map(|_| Money::ZERO)));
    }
    if budget.money.is_some() && price.is_none() {
        return Err(LmError::Unpriced { model: profile.id.clone() });
    }
    let prompt_tokens = profile.count_tokens(request).unwrap_or_else(|| most_prompt_tokens(request));
    let max_tokens = request.sampling.max_tokens.or(profile.max_tokens).unwrap_or_default();
    let completion_tokens = u64::from(request.n.max(1)) * u64::from(max_tokens);
    let usage = Usage::call(prompt_tokens, completion_tokens);
    Ok(price.map_or(usage, |price| price.reserved(usage)))
}

/// The most tokens that the prompt of a request can be: a token is a byte at least. Text in English has
/// about four bytes to a token, so this is far on the safe side; a model that can count does better
/// ([`ModelProfile::with_token_counter`]).
pub fn most_prompt_tokens(request: &LmRequest) -> u64 {
    let text: u64 = request.messages.iter().map(most_message_tokens).sum();
    let tools: usize = request.tools.iter().map(written_bytes).sum();
    let extra = if request.extra.is_empty() { 0 } else { written_bytes(&request.extra) };
    let schema = match &request.response_format {
        ResponseFormat::JsonSchema { name, schema } => name.len() + schema.to_string().len(),
        _ => 0,
    };
    let messages = TOKENS_OF_A_MESSAGE.saturating_mul(request.messages.len() as u64);
    TOKENS_OF_A_REQUEST
        .saturating_add(messages)
        .saturating_add(text)
        .saturating_add((schema + tools + extra) as u64)
}

/// The most tokens that one message can be. What is shown has other tokens than its bytes.
fn most_message_tokens(message: &Message) -> u64 {
    let parts = message.content.as_slice();
    let said =
        if parts.is_empty() { message.text().len() as u64 } else { parts.iter().map(most_part_tokens).sum() };
    let calls: usize = message.tool_calls.iter().map(written_bytes).sum();
    let id = message.tool_call_id.as_ref().map_or(0, String::len);
    let extra = if message.extra.is_empty() { 0 } else { written_bytes(&message.extra) };
    said.saturating_add((calls + id + extra) as u64)
}

fn most_part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => text.len() as u64,
        Part::Image(_) => TOKENS_OF_AN_IMAGE,
        // Sound has at most one token for each byte of it. A page of a file is read as text and as an image.
        Part::Audio(audio) => audio.data.len() as u64,
        Part::File(File { data: Some(data), .. }) => TOKENS_OF_AN_IMAGE.max(2 * data.len() as u64),
        Part::File(_) => TOKENS_OF_A_FILE,
        other => TOKENS_OF_AN_IMAGE.max(written_bytes(other) as u64),
    }
}

/// The bytes of something as it goes over the wire.
fn written_bytes(part: &impl serde::Serialize) -> usize {
    serde_json::to_string(part).map_or(0, |text| text.len())
}

/// What a reply cost. A number of tokens that it does not tell counts with all that it may have been.
fn cost_of_reply(reply: &LmReply, only_reads: bool, ticket: &Ticket, price: Option<Price>) -> Usage {
    let mut cost = reply.usage.with_calls(reply.usage.calls.max(1));
    if !tells_tokens(reply, only_reads) {
        let (attempts, bound) = ticket.reserved();
        let most = bound.times(attempts.min(cost.calls));
        ticket.note_untold();
        for (told, most) in [
            (&mut cost.prompt_tokens, most.prompt_tokens),
            (&mut cost.completion_tokens, most.completion_tokens),
        ] {
            *told = if *told == 0 { most } else { *told };
        }
    }
    price.map_or(cost, |price| price.priced(cost))
}

/// Whether a reply says how many tokens were read and written. No request reads none, and what writes none says
/// nothing of the reasoning behind it.
fn tells_tokens(reply: &LmReply, only_reads: bool) -> bool {
    reply.usage.prompt_tokens > 0 && (reply.usage.completion_tokens > 0 || only_reads)
}

/// What a failed request may have cost: all attempts but the last were such that may be billed.
fn cost_of_failure(error: &LmError, ticket: &Ticket) -> Usage {
    let (attempts, bound) = ticket.reserved();
    if error.may_be_billed() {
        return bound.times(attempts);
    }
    let billed = bound.times(attempts.saturating_sub(1));
    billed.with_calls(billed.calls.saturating_add(1))
}
