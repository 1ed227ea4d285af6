//! What can be wrong with a tip.

use crate::{MAX_KEY_CHARS, MAX_TEXT_CHARS, MAX_WEIGHT};

/// Why a tip was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TipError {
    /// The key is empty, too long, or holds other characters than letters, digits, `_` and `-`.
    #[error(
        "the tip key `{key}` cannot be used: give 1 to {MAX_KEY_CHARS} letters, digits, `_` or `-`, as in `house_style`"
    )]
    InvalidKey {
        /// The key, cut to a bound.
        key: String,
    },
    /// A tip of this key is there already.
    #[error("the tip `{key}` stands twice in one library: rename one, or merge two libraries to replace it")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The text is empty.
    #[error(
        "the tip `{key}` has no text: give one sentence that tells the writer of an instruction what to do"
    )]
    EmptyText {
        /// The key.
        key: String,
    },
    /// The text is too long.
    #[error(
        "the text of tip `{key}` has {chars} characters: shorten it to {MAX_TEXT_CHARS}, or make it two tips"
    )]
    TextTooLong {
        /// The key.
        key: String,
        /// Its length in characters.
        chars: usize,
    },
    /// The text holds a line break or another control character.
    #[error("the text of tip `{key}` is not one line: remove line breaks, tabs and other control characters")]
    NotOneLine {
        /// The key.
        key: String,
    },
    /// The weight is negative, infinite, not a number, or too large.
    #[error("the weight {weight} of tip `{key}` cannot be used: give a number from 0 to {MAX_WEIGHT}")]
    InvalidWeight {
        /// The key.
        key: String,
        /// The weight.
        weight: f64,
    },
    /// The tip applies only where one of no signs is shown, which is never.
    #[error(
        "the tip `{key}` applies only with signs, but lists none: list at least one, or let it apply always"
    )]
    NoSigns {
        /// The key.
        key: String,
    },
}
