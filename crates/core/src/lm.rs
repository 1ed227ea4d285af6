//! Language models: a request, a reply, and the trait between them.

mod error;
mod function;
mod model;
mod request;
mod thinking;

pub use error::{LmError, Refusal, ReplyError};
pub use function::{LmFn, WithRequests, lm_fn, with_requests};
pub use model::{Attempts, LanguageModel, ModelProfile, TokenCounter};
pub use request::{Completion, FinishReason, LmReply, LmRequest, Message, ResponseFormat, Role, Sampling};
