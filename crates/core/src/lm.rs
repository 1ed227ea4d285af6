//! Language models: a request, a reply, and the trait between them.

mod error;
mod extra;
mod function;
mod message;
mod model;
mod reply;
mod request;
mod thinking;
mod tool;

pub use error::{LmError, Refusal, ReplyError};
pub use extra::Extra;
pub use function::{LmFn, WithRequests, lm_fn, with_requests};
pub use message::{Audio, Content, File, Image, Message, Part, Role, data_of_url, data_url};
pub use model::{Attempts, LanguageModel, ModelProfile, TokenCounter};
pub use reply::{Completion, FinishReason, LmReply, TokenLogprob};
pub use request::{LmRequest, ResponseFormat, Sampling};
pub use tool::{MAX_ARGUMENT_BYTES, MAX_ARGUMENT_DEPTH, ToolCall, ToolChoice, ToolDefinition};
