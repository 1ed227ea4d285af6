//! A component that is only a text.

use super::Predictor;
use crate::prompt::Prompt;
use crate::signature::Signature;

/// A named text of a program that an optimizer may rewrite: a system prompt, a tool description, a rule. It is asked
/// nothing by itself and takes no demos; the program finds the text in force with
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
}

impl Text {
    /// A text under a path that is unique in its program.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let prompt = Prompt::new(text);
        Self { path: path.into(), signature: Signature::of_text(&prompt.instruction), prompt }
    }

    /// The same with what the program reads and writes where the text is used, for whoever rewrites it.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// The text that is in force in a run.
    pub fn in_force<'a>(&'a self, context: &'a super::CallContext) -> &'a str {
        &context.prompt(&self.path).unwrap_or(&self.prompt).instruction
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
        false
    }
}
