//! The library of tips: lookup, custom tips and merging.

use promptopt_core::signature::Signature;
use serde::{Deserialize, Serialize};

use crate::practices::PRACTICES;
use crate::{Tip, TipError};

/// A library of prompting practices, in order, with a key for each.
///
/// In JSON a list of [tips](Tip); reading one checks every tip and that no key stands twice.
/// [`PromptingTips::default`] holds the practices that come with this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tip>")]
pub struct PromptingTips(Vec<Tip>);

impl Default for PromptingTips {
    /// The practices that come with this crate.
    fn default() -> Self {
        Self(PRACTICES.clone())
    }
}

impl PromptingTips {
    /// A library without tips, to build one of only custom tips.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// The same library with one more tip at its end.
    ///
    /// # Errors
    ///
    /// [`TipError::DuplicateKey`] when a tip of that key is there already; [`merge`](Self::merge)
    /// replaces tips.
    pub fn with_tip(mut self, tip: Tip) -> Result<Self, TipError> {
        if self.get(tip.key()).is_some() {
            return Err(TipError::DuplicateKey { key: tip.key().to_owned() });
        }
        self.0.push(tip);
        Ok(self)
    }

    /// Both libraries in one. Where both have a tip of one key, that of `later` is taken, at the
    /// place of the earlier one.
    ///
    /// ```
    /// use promptopt_tips::{PromptingTips, Tip};
    ///
    /// let mine = PromptingTips::empty().with_tip(Tip::new("role", "Begin with \"You are a nurse\".")?)?;
    /// let tips = PromptingTips::default().merge(mine);
    /// assert_eq!(tips.len(), PromptingTips::default().len());
    /// assert_eq!(tips.get("role").map(Tip::text), Some("Begin with \"You are a nurse\"."));
    /// # Ok::<(), promptopt_tips::TipError>(())
    /// ```
    #[must_use]
    pub fn merge(mut self, later: Self) -> Self {
        for tip in later.0 {
            match self.0.iter_mut().find(|earlier| earlier.key() == tip.key()) {
                Some(earlier) => *earlier = tip,
                None => self.0.push(tip),
            }
        }
        self
    }

    /// The tip of a key.
    pub fn get(&self, key: &str) -> Option<&Tip> {
        self.0.iter().find(|tip| tip.key() == key)
    }

    /// The tips, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Tip> {
        self.0.iter()
    }

    /// How many tips there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tips.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much a tip weighs for a signature: its weight, doubled by the first sign it looks for
    /// that the signature shows, tripled by the second, and so on; 0 where it does not apply.
    pub fn relevance(&self, tip: &Tip, signature: &Signature) -> f64 {
        tip.weight() * tip.applies().factor(signature)
    }
}

impl<'a> IntoIterator for &'a PromptingTips {
    type Item = &'a Tip;
    type IntoIter = std::slice::Iter<'a, Tip>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<Tip>> for PromptingTips {
    type Error = TipError;

    fn try_from(tips: Vec<Tip>) -> Result<Self, TipError> {
        tips.into_iter().try_fold(Self::empty(), Self::with_tip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Applies, Sign};

    fn check(tips: &PromptingTips, key: &str, signature: &str, expected: f64) {
        let signature = Signature::parse(signature).unwrap();
        assert_eq!(tips.relevance(tips.get(key).unwrap(), &signature), expected, "{key}: {signature}");
    }

    #[test]
    fn relevance_follows_what_the_signature_shows() {
        let tips = PromptingTips::default();
        check(&tips, "clear_language", "question -> answer", 1.0);
        check(&tips, "structured_output", "question -> answer", 0.0);
        check(&tips, "structured_output", "question -> answers: list[str]", 2.0);
        check(&tips, "label_vocabulary", "question -> answer: enum[yes, no]", 2.0);
        check(&tips, "number_format", "question -> answer: float", 2.0);
        check(&tips, "verbatim_extraction", "message -> city", 2.0);
        check(&tips, "verbatim_extraction", "question -> answer", 0.0);
        check(&tips, "chain_of_thought", "question -> answer", 0.0);
        check(&tips, "chain_of_thought", "question -> reasoning, answer", 2.0);
        check(&tips, "chain_of_thought", "question, hint -> reasoning, answer", 3.0);
        check(&tips, "uncertainty", "question -> answer", 0.75);
        check(&tips, "uncertainty", "text -> label: enum[a, b]", 2.25);
    }

    #[test]
    fn a_key_that_stands_twice_is_an_error() {
        let tip = Tip::new("role", "Be someone else.").unwrap();
        let error = PromptingTips::default().with_tip(tip).unwrap_err();
        assert_eq!(error, TipError::DuplicateKey { key: "role".to_owned() });
    }

    #[test]
    fn a_library_survives_its_json_form() {
        let custom = Tip::new("custom", "Mind the gap.").unwrap();
        let custom = custom.with_applies(Applies::Preferably(vec![Sign::LongInput])).unwrap();
        let tips = PromptingTips::default().with_tip(custom).unwrap();
        let text = serde_json::to_string(&tips).unwrap();
        assert_eq!(serde_json::from_str::<PromptingTips>(&text).unwrap(), tips);
    }

    #[test]
    fn a_custom_library_in_json_is_checked() {
        let twice = r#"[{"key": "a", "text": "x"}, {"key": "a", "text": "y"}]"#;
        let error = serde_json::from_str::<PromptingTips>(twice).unwrap_err().to_string();
        assert!(error.contains("`a` stands twice"), "{error}");
    }
}
