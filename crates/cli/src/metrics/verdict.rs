//! What a rule says about one value.

use promptopt_core::data::shorten;

/// The longest value that is quoted in feedback, in characters.
const QUOTED: usize = 300;

/// A score from 0 to 1, and what was wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) score: f64,
    pub(super) wrong: Option<String>,
}

impl Verdict {
    pub(super) fn right() -> Self {
        Self { score: 1.0, wrong: None }
    }

    /// Partly or wholly wrong, and how.
    pub(super) fn wrong(score: f64, how: impl Into<String>) -> Self {
        Self { score, wrong: Some(how.into()) }
    }
}

/// A value for feedback.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shorten(text.trim(), QUOTED))
}
