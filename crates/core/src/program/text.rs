//! A component that is only a text.

use super::Predictor;
use crate::prompt::Prompt;
use crate::signature::Signature;

/// A named text of a program that an optimizer may rewrite: a system prompt, a tool description, a rule. It is asked
/// nothing by itself and takes no demos unless it is told to; the program finds the text in force with
/// [`CallContext::prompt`](super::CallContext::prompt) or [`Text::in_force`].
///
/// ```
/// use promptopt_core::program::{Predictor as _, Text};
///
/// let text = Text::new("tone", "Be brief and kind.");
/// assert!(!text.takes_demos());
/// ```
#[derive(Debug, Clone)]
pub struct Text {
    path: String,
    signature: Signature,
    prompt: Prompt,
    about: Option<String>,
    rules: TextRules,
    takes_demos: bool,
}

/// What a text that takes the place of another must keep to. A proposal that does not is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextRules {
    /// The most characters of it.
    pub max_length: Option<usize>,
    /// What must stand in it, word by word.
    pub keep: Vec<String>,
}

impl TextRules {
    /// No rule at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a bound on its length, in characters.
    #[must_use]
    pub fn with_max_length(mut self, max_length: usize) -> Self {
        self.max_length = Some(max_length);
        self
    }

    /// With texts that must stand in it.
    #[must_use]
    pub fn with_keep(mut self, keep: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.keep.extend(keep.into_iter().map(Into::into));
        self
    }

    /// The rules in words, for whoever writes the text; `None` where there are none.
    pub fn in_words(&self) -> Option<String> {
        let keep: Vec<String> = self.keep.iter().map(|text| format!("`{text}`")).collect();
        let keep = (!keep.is_empty()).then(|| format!("It must contain, word by word: {}.", keep.join(", ")));
        let length = self.max_length.map(|most| format!("It must have at most {most} characters."));
        let rules: Vec<String> = keep.into_iter().chain(length).collect();
        (!rules.is_empty()).then(|| rules.join(" "))
    }
}

impl Text {
    /// A text under a path that is unique in its program.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let prompt = Prompt::new(text);
        let signature = Signature::of_text(&prompt.instruction);
        let rules = TextRules::default();
        Self { path: path.into(), signature, prompt, about: None, rules, takes_demos: false }
    }

    /// The same with what the program reads and writes where the text is used, for whoever rewrites it.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// With what else whoever writes it should know.
    #[must_use]
    pub fn with_about(mut self, about: impl Into<Option<String>>) -> Self {
        self.about = about.into();
        self
    }

    /// With what a text in its place must keep to. Whoever writes it is told.
    #[must_use]
    pub fn with_rules(mut self, rules: TextRules) -> Self {
        self.rules = rules;
        self
    }

    /// With demos, which the program shows in its own way, see [`Text::prompt_in_force`].
    #[must_use]
    pub fn taking_demos(mut self) -> Self {
        self.takes_demos = true;
        self
    }

    /// The text and the demos that are in force in a run.
    pub fn prompt_in_force<'a>(&'a self, context: &'a super::CallContext) -> &'a Prompt {
        context.prompt(&self.path).unwrap_or(&self.prompt)
    }

    /// The text that is in force in a run.
    pub fn in_force<'a>(&'a self, context: &'a super::CallContext) -> &'a str {
        &self.prompt_in_force(context).instruction
    }
}

impl Predictor for Text {
    fn path(&self) -> &str {
        &self.path
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.prompt = prompt;
    }

    fn takes_demos(&self) -> bool {
        self.takes_demos
    }

    fn about(&self) -> Option<String> {
        let words: Vec<String> = self.about.clone().into_iter().chain(self.rules.in_words()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    fn rules(&self) -> TextRules {
        self.rules.clone()
    }
}
