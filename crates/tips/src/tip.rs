//! One prompting practice.

use promptopt_core::signature::Signature;
use serde::{Deserialize, Serialize};

use crate::{Sign, TipError};

/// The longest key, in characters.
pub const MAX_KEY_CHARS: usize = 64;
/// The longest text, in characters.
pub const MAX_TEXT_CHARS: usize = 500;
/// The largest weight.
pub const MAX_WEIGHT: f64 = 1000.0;

/// When a tip applies.
///
/// In JSON: `"always"`, `{"preferably": ["long_input"]}` or `{"only": ["label_output"]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Applies {
    /// To every signature alike.
    #[default]
    Always,
    /// To every signature, and more to one that shows some of these signs.
    Preferably(Vec<Sign>),
    /// Only to a signature that shows at least one of these signs, and more with each.
    Only(Vec<Sign>),
}

impl Applies {
    /// What the weight of a tip is multiplied by: 1, and 1 more for each sign shown; 0 where the
    /// tip does not apply.
    pub(crate) fn factor(&self, signature: &Signature) -> f64 {
        let (Self::Preferably(signs) | Self::Only(signs)) = self else { return 1.0 };
        let shown = signs.iter().filter(|sign| sign.is_shown_by(signature)).count();
        if shown == 0 && matches!(self, Self::Only(_)) { 0.0 } else { 1.0 + shown as f64 }
    }
}

/// One prompting practice: a hint to whoever writes an instruction.
///
/// In JSON: `{"key": …, "text": …, "applies": …, "weight": …}`, where `applies` is `"always"` and
/// `weight` is 1 unless given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Tip {
    key: String,
    text: String,
    applies: Applies,
    weight: f64,
}

impl Tip {
    /// A tip that applies always, with weight 1. White space around the text is dropped.
    ///
    /// # Errors
    ///
    /// [`TipError`] when the key is not 1 to [`MAX_KEY_CHARS`] letters, digits, `_` or `-`, or the
    /// text is not one line of 1 to [`MAX_TEXT_CHARS`] characters.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Result<Self, TipError> {
        let (key, text) = (key.into(), text.into());
        let fits = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || !key.chars().all(fits) {
            return Err(TipError::InvalidKey { key: key.chars().take(MAX_KEY_CHARS).collect() });
        }
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(TipError::EmptyText { key });
        }
        // The two separators are line breaks to many a reader, though not control characters.
        if text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
            return Err(TipError::NotOneLine { key });
        }
        let chars = text.chars().count();
        if chars > MAX_TEXT_CHARS {
            return Err(TipError::TextTooLong { key, chars });
        }
        Ok(Self { key, text, applies: Applies::Always, weight: 1.0 })
    }

    /// The same tip with another rule for when it applies.
    ///
    /// # Errors
    ///
    /// [`TipError::NoSigns`] for [`Applies::Only`] without any sign.
    pub fn with_applies(mut self, applies: Applies) -> Result<Self, TipError> {
        if matches!(&applies, Applies::Only(signs) if signs.is_empty()) {
            return Err(TipError::NoSigns { key: self.key });
        }
        self.applies = applies;
        Ok(self)
    }

    /// The same tip with another weight, from 0 (never selected) to [`MAX_WEIGHT`]. Most practices
    /// have weight 1: one of weight 2 is selected first twice as often as one of weight 1.
    ///
    /// # Errors
    ///
    /// [`TipError::InvalidWeight`] when it is outside that range or not a number.
    pub fn with_weight(mut self, weight: f64) -> Result<Self, TipError> {
        if !(0.0..=MAX_WEIGHT).contains(&weight) {
            return Err(TipError::InvalidWeight { key: self.key, weight });
        }
        self.weight = weight;
        Ok(self)
    }

    /// The name by which the tip is found, replaced and reported.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What the tip says: one line, addressed to whoever writes an instruction.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When the tip applies.
    pub fn applies(&self) -> &Applies {
        &self.applies
    }

    /// How much the tip weighs before the signature is looked at.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// Tips as they go into a prompt: a line `- text` for each, without a line break at the end.
pub fn format_for_prompt<'a>(tips: impl IntoIterator<Item = &'a Tip>) -> String {
    tips.into_iter().map(|tip| format!("- {}", tip.text)).collect::<Vec<_>>().join("\n")
}

/// A tip as it stands in a file, before its rules are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    key: String,
    text: String,
    #[serde(default)]
    applies: Applies,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl TryFrom<Unchecked> for Tip {
    type Error = TipError;

    fn try_from(tip: Unchecked) -> Result<Self, TipError> {
        Self::new(tip.key, tip.text)?.with_applies(tip.applies)?.with_weight(tip.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, text: &str, expected: &str) {
        let error = Tip::new(key, text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn wrong_keys_and_texts_say_what_to_do() {
        check("", "text", "give 1 to 64 letters");
        check("two words", "text", "`two words` cannot be used");
        check(&"k".repeat(65), "text", "cannot be used");
        check("key", " \n ", "`key` has no text");
        check("key", "one\ntwo", "not one line");
        check("key", "one\u{2028}two", "not one line");
        check("key", &"t".repeat(501), "has 501 characters: shorten it to 500");
        assert_eq!(Tip::new("key", "é".repeat(500)).unwrap().text().chars().count(), 500);
    }

    #[test]
    fn weights_outside_the_range_are_refused() {
        for weight in [-1.0, f64::NAN, f64::INFINITY, 1000.1] {
            let error = Tip::new("key", "text").unwrap().with_weight(weight).unwrap_err();
            assert!(error.to_string().contains("give a number from 0 to 1000"), "{error}");
        }
        assert_eq!(Tip::new("key", "text").unwrap().with_weight(0.0).unwrap().weight(), 0.0);
    }

    #[test]
    fn a_tip_that_could_never_apply_is_refused() {
        let error = Tip::new("key", "text").unwrap().with_applies(Applies::Only(Vec::new())).unwrap_err();
        assert_eq!(error, TipError::NoSigns { key: "key".to_owned() });
    }

    #[test]
    fn a_tip_is_read_from_json_and_checked() {
        let tip: Tip = serde_json::from_str(
            r#"{"key": "labels", "text": "Be exact.", "applies": {"only": ["label_output"]}, "weight": 2}"#,
        )
        .unwrap();
        assert_eq!(tip.applies(), &Applies::Only(vec![Sign::LabelOutput]));
        let plain: Tip = serde_json::from_str(r#"{"key": "a", "text": "b"}"#).unwrap();
        assert_eq!(plain, Tip::new("a", "b").unwrap());
        for wrong in [
            r#"{"key": "", "text": "b"}"#,
            r#"{"key": "a", "text": "b", "weight": -1}"#,
            r#"{"key": "a", "text": "b", "wieght": 1}"#,
            r#"{"key": "a", "text": "b", "applies": {"only": []}}"#,
            r#"{"key": "a", "text": "b", "applies": {"only": ["labels"]}}"#,
        ] {
            assert!(serde_json::from_str::<Tip>(wrong).is_err(), "{wrong}");
        }
    }
}
