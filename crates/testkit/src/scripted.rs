//! A model that answers what a closure says.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Price, Usage};

type Script = dyn Fn(&LmRequest) -> Result<String, LmError> + Send + Sync;

/// Answers what a closure says, and remembers what it was asked.
pub struct ScriptedLm {
    script: Box<Script>,
    requests: Mutex<Vec<LmRequest>>,
}

impl ScriptedLm {
    /// A model that answers each request with what `script` returns for it.
    pub fn new(script: impl Fn(&LmRequest) -> Result<String, LmError> + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), requests: Mutex::default() }
    }

    /// A model that always gives the same answer to the field `answer` in chat form.
    pub fn answering(answer: &str) -> Self {
        let reply = Self::chat_reply([("answer", answer)]);
        Self::new(move |_| Ok(reply.clone()))
    }

    /// A reply in chat form.
    pub fn chat_reply<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let sections: String =
            fields.into_iter().map(|(name, value)| format!("[[ ## {name} ## ]]\n{value}\n\n")).collect();
        sections + "[[ ## completed ## ]]"
    }

    /// What it was asked, in order of arrival.
    pub fn requests(&self) -> Vec<LmRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl LanguageModel for ScriptedLm {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("scripted").with_price(Price::FREE)
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let text = (self.script)(request)?;
        let words = |text: &str| text.split_whitespace().count() as u64;
        let prompt = request.messages.iter().map(|message| words(message.text())).sum();
        Ok(LmReply::text(text.clone(), Usage::call(prompt, words(&text))))
    }
}
