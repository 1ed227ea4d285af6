//! A function of the same process that calls language models with a client of its own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use promptopt_core::data::Fields;
use serde_json::Value;

use super::Question;
use crate::answer::{self, Answer};
use crate::{Error, Session};

type Answered = Pin<Box<dyn Future<Output = anyhow::Result<Value>> + Send>>;

/// A function in Rust that calls language models by itself: it stays as it is, and its client is made with the address and the
/// key of the rollout.
pub struct Function {
    run: Box<dyn Fn(Access) -> Answered + Send + Sync>,
    timeout: Duration,
}

/// What a [`Function`] gets for one rollout: the inputs, and where its client finds the models.
#[derive(Clone)]
pub struct Access {
    inputs: Fields,
    openai_url: String,
    anthropic_url: String,
    key: String,
}

impl Access {
    fn new(inputs: &Fields, session: &Session) -> Self {
        Self {
            inputs: inputs.clone(),
            openai_url: session.openai_url(),
            anthropic_url: session.anthropic_url(),
            key: session.key().to_owned(),
        }
    }

    /// The inputs.
    pub fn inputs(&self) -> &Fields {
        &self.inputs
    }

    /// An input that is a text; an empty one where it is none.
    pub fn text(&self, input: &str) -> &str {
        self.inputs.get(input).and_then(Value::as_str).unwrap_or_default()
    }

    /// The base URL for clients of OpenAI.
    pub fn openai_url(&self) -> &str {
        &self.openai_url
    }

    /// The base URL for clients of Anthropic.
    pub fn anthropic_url(&self) -> &str {
        &self.anthropic_url
    }

    /// The key, which is of no use to anybody else.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Function {
    /// A function that gives an object with the outputs, or, where there is one output, its value.
    pub fn new<F, R>(run: F) -> Self
    where
        F: Fn(Access) -> R + Send + Sync + 'static,
        R: Future<Output = anyhow::Result<Value>> + Send + 'static,
    {
        Self { run: Box::new(move |access| Box::pin(run(access))), timeout: Duration::from_secs(120) }
    }

    /// With the longest time that one rollout may take. Default: 120 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let work = (self.run)(Access::new(question.inputs, question.session));
        match tokio::time::timeout(self.timeout, work).await {
            Err(_) => Err(Error::Timeout { after: self.timeout, complaint: String::new() }),
            Ok(Err(error)) => Err(question.said(&format!("{error:#}"))),
            Ok(Ok(value)) => answer::of_value(value, question.signature),
        }
    }
}
