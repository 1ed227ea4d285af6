//! The models that a program may name.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::lm::LanguageModel;

/// The models that a program may name in its requests.
#[derive(Clone, Default)]
pub(crate) struct Models {
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
        self.embeddings
            .get(name)
            .cloned()
            .ok_or_else(|| format!("the model `{name}` is not named as one of embeddings for this program"))
    }
}
