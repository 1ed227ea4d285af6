//! Prompts: what an optimizer may change, as data.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::data::ContentHash;

mod candidate;
mod demo;
mod itemised;
mod misfit;

pub use candidate::{Origin, PromptCandidate};
pub use demo::Demo;
pub use itemised::Itemised;
pub use misfit::{Misfit, fit_demos, read_demos};

/// Instruction and demos of one predictor, and how it asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Prompt {
    /// The instruction.
    pub instruction: String,
    /// The demos, in the order in which they are shown.
    #[serde(default)]
    pub demos: Vec<Demo>,
    /// The name of the format in which it asks, where that is not the predictor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

impl Prompt {
    /// A prompt without demos.
    pub fn new(instruction: impl Into<String>) -> Self {
        Self { instruction: instruction.into(), ..Self::default() }
    }

    /// With these demos.
    #[must_use]
    pub fn with_demos(mut self, demos: Vec<Demo>) -> Self {
        self.demos = demos;
        self
    }

    /// Asking in the format of this name.
    #[must_use]
    pub fn with_format(mut self, format: impl Into<Option<String>>) -> Self {
        self.format = format.into();
        self
    }
}

/// The prompts of a whole program: predictor path -> prompt, in the program's order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prompts(IndexMap<String, Prompt>);

impl Prompts {
    /// No prompts: every predictor uses its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The prompt of a predictor.
    pub fn get(&self, predictor: &str) -> Option<&Prompt> {
        self.0.get(predictor)
    }

    /// Sets the prompt of a predictor.
    pub fn insert(&mut self, predictor: impl Into<String>, prompt: Prompt) {
        self.0.insert(predictor.into(), prompt);
    }

    /// The prompts with the paths of their predictors, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Prompt)> {
        self.0.iter().map(|(path, prompt)| (path.as_str(), prompt))
    }

    /// These prompts, asking in the given formats where they name none of their own.
    #[must_use]
    pub fn in_formats<'f>(mut self, formats: impl IntoIterator<Item = (&'f String, &'f String)>) -> Self {
        for (path, format) in formats {
            if let Some(prompt) = self.0.get_mut(path) {
                prompt.format.get_or_insert_with(|| format.clone());
            }
        }
        self
    }

    /// How many predictors have a prompt here.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no predictor has a prompt here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A hash of the content.
    pub fn content_hash(&self) -> ContentHash {
        ContentHash::of(self)
    }

    /// These prompts, and those of `others` for predictors that have none here, in their order.
    pub fn completed_by(&self, others: &Self) -> Self {
        let mut all = others.clone();
        for (path, prompt) in &self.0 {
            all.0.insert(path.clone(), prompt.clone());
        }
        all
    }

    /// These prompts for one example: demos that were made from it are left out, so that no
    /// example is answered by its own demo. `None` when nothing has to be left out.
    pub fn without_source(&self, source: ContentHash) -> Option<Self> {
        let own = |demo: &Demo| demo.source == Some(source);
        if !self.0.values().any(|prompt| prompt.demos.iter().any(own)) {
            return None;
        }
        let mut prompts = self.clone();
        for prompt in prompts.0.values_mut() {
            prompt.demos.retain(|demo| !own(demo));
        }
        Some(prompts)
    }
}

impl<S: Into<String>> FromIterator<(S, Prompt)> for Prompts {
    fn from_iter<I: IntoIterator<Item = (S, Prompt)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(path, prompt)| (path.into(), prompt)).collect())
    }
}
