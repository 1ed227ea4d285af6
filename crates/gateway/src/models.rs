//! The models that a program may name.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::lm::LanguageModel;

/// What a program asks a model for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asks {
    /// A completion of a chat.
    Chat,
    /// Embeddings of texts.
    Embeddings,
}

/// Finds the model of a name, or says why there is none.
type Finder = dyn Fn(&str, Asks) -> Result<Arc<dyn LanguageModel>, String> + Send + Sync;

/// The models that a program may name in its requests.
#[derive(Clone, Default)]
pub(crate) struct Models {
    /// Finds those that are not listed.
    finder: Option<Arc<Finder>>,
    /// Without one, every chat goes to the model of the run, whatever it names.
    chat: BTreeMap<String, Arc<dyn LanguageModel>>,
    embeddings: BTreeMap<String, Arc<dyn LanguageModel>>,
}

impl Models {
    pub(crate) fn add_chat(&mut self, name: String, model: Arc<dyn LanguageModel>) {
        self.chat.insert(name, model);
    }

    pub(crate) fn add_embeddings(&mut self, name: String, model: Arc<dyn LanguageModel>) {
        self.embeddings.insert(name, model);
    }

    pub(crate) fn find_by(&mut self, finder: Arc<Finder>) {
        self.finder = Some(finder);
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.chat.values().chain(self.embeddings.values()).cloned().collect()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.chat.keys().chain(self.embeddings.keys()).map(String::as_str)
    }

    /// The model that a chat is for; `None` where it is that of the run.
    ///
    /// # Errors
    ///
    /// Where the program may name some, and names another.
    pub(crate) fn chat(&self, name: &str) -> Result<Option<Arc<dyn LanguageModel>>, String> {
        if let (Some(finder), None) = (&self.finder, self.chat.get(name)) {
            return finder(name, Asks::Chat).map(Some);
        }
        if self.chat.is_empty() {
            return Ok(None);
        }
        self.chat.get(name).cloned().map(Some).ok_or_else(|| {
            let known: Vec<String> = self.chat.keys().map(|name| format!("`{name}`")).collect();
            format!(
                "the model `{name}` is none of those that are named for this program, which are {}",
                known.join(", ")
            )
        })
    }

    /// The model that embeddings are asked of.
    ///
    /// # Errors
    ///
    /// Where it is not named.
    pub(crate) fn embeddings(&self, name: &str) -> Result<Arc<dyn LanguageModel>, String> {
        if let (Some(finder), None) = (&self.finder, self.embeddings.get(name)) {
            return finder(name, Asks::Embeddings);
        }
        self.embeddings
            .get(name)
            .cloned()
            .ok_or_else(|| format!("the model `{name}` is not named as one of embeddings for this program"))
    }
}
