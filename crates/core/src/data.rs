//! Data: examples, predictions, scores, and the hashes that tell them apart.

mod example;
mod hash;
mod prediction;
mod score;
mod shown;
mod text;

pub use example::{Example, Fields, fields_of};
pub use hash::ContentHash;
pub use prediction::Prediction;
pub use score::Score;
pub use shown::{excerpt, shown};
pub use text::{is_unsafe, plain_text, printable, shorten, spaced_json, without_bytes};
