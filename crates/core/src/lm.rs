//! Language models: a request, a reply, and the trait between them.

mod around;
mod content;
mod error;
mod extra;
mod function;
mod media;
mod message;
mod model;
mod pieces;
mod reply;
mod request;
mod server;
mod thinking;
mod tool;

pub use around::{Around, Next, around};
pub use content::{Content, Part};
pub use error::{LmError, Refusal, ReplyError};
pub use extra::Extra;
pub use function::{LmFn, WithRequests, lm_fn, with_requests};
pub use media::{Audio, File, Image, data_of_url, data_url, split_data_url};
pub use message::{Message, Role};
pub use model::{Attempts, LanguageModel, ModelProfile, TokenCounter};
pub use pieces::{AnswerPieces, Piece, Tell};
pub use reply::{Completion, FinishReason, LmReply, TokenLogprob};
pub use request::{LmRequest, ResponseFormat, Sampling};
pub use server::ModelServer;
pub use tool::{ToolCall, ToolChoice, ToolDefinition};
