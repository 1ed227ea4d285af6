//! The client for endpoints that speak the OpenAI dialect.

use std::fmt;

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Tell};

use super::wire::ChatWire;
use crate::RateControl;
use crate::client::Client;
use crate::surface::client_surface;
use crate::wire::Wire as _;

/// A chat model behind an OpenAI-compatible HTTP endpoint. Made by [`ChatClient::builder`].
///
/// One client serves any number of concurrent requests and reuses its connections; share it in an
/// [`Arc`](std::sync::Arc).
///
/// # Replies
///
/// - [`LmRequest::n`] is sent when it is above 1. A server that ignores it returns one completion: what
///   came is returned, and the caller counts.
/// - A reply without `usage` counts as one call with 0 tokens.
/// - A `response_format` that the server rejects is left out, and the request sent once more. Where the
///   server does not know the format at all, the client remembers and sends it no more.
/// - `max_tokens` that the server rejects under the one name goes by the other, `max_completion_tokens`,
///   from then on; or the other way round.
/// - `temperature`, `top_p`, `stop`, `seed`, `reasoning_effort`, `verbosity`, `tool_choice`, `parallel_tool_calls`
///   or a tool's `strict` that the model does not support is left out from then on, with one warning in the log. A
///   value out of range is an error as ever, and so are tools themselves.
/// - The role `developer`, an assistant's content of null, what a model thought, ids of calls and names of tools
///   that the server refuses are put another way from then on: `system`, an empty text, nothing, ids of nine letters
///   and digits, names with `_` for what is refused. Calls in a reply have the names of the request.
/// - A call of a tool without an id gets one that depends on the call alone.
/// - None of these fallbacks changes the client's `id`.
/// - Text that the content filter cut short comes as it is, with
///   [`FinishReason::ContentFilter`](promptopt_core::lm::FinishReason::ContentFilter); nothing left at all is
///   [`LmError::Refused`].
///
/// # Costs
///
/// [`LmReply::usage`] counts the attempt that answered, and every other one that a provider may bill although
/// it brought no reply: one that timed out, broke off, brought an unreadable or too large body, or was dropped
/// because a hedge was sooner. What those cost is not said anywhere, so each is taken to have cost the tokens of
/// the one that answered. What a provider refused (any error status) and what never reached it is not counted,
/// except for a hedge: with one sent, the usage says 2 calls at least.
///
/// There are never more than [`max_attempts_billed`](ChatClient::max_attempts_billed) of them, and each beyond
/// the first is asked for ([`Attempts`]), so that a budget can say no. An error carries no usage: a call that
/// failed may have cost as much.
///
/// # Errors
///
/// An HTTP 429 that says the account has no credit left (`insufficient_quota` and its like) and an
/// HTTP 402 are [`LmError::InvalidRequest`]: no retry helps, and every further request fails the same
/// way. Redirects are not followed, since they could lead the key elsewhere.
pub struct ChatClient(pub(super) Client<ChatWire>);

client_surface!(ChatClient);
