//! How a program is asked.

mod function;
mod run;
mod serve;
mod url;

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use promptopt_core::data::{Fields, shorten};
use promptopt_core::program::Unavailable;
use promptopt_core::signature::Signature;
use promptopt_process::{CommandLine, Complaint, ProcessGroup};
use serde_json::{Map, Value};

pub use function::{Access, Function};
pub use run::Run;
pub use serve::Serve;
pub use url::Url;

use crate::answer::Answer;
use crate::{Error, Session};

/// How a program is asked for the answer to one example.
#[non_exhaustive]
pub enum Door {
    /// A process for each rollout.
    Run(Run),
    /// Processes that are started once, and asked in lines of JSON.
    Serve(Serve),
    /// A service that is asked over HTTP.
    Url(Url),
    /// A function of this process.
    Function(Function),
}

impl Door {
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        match self {
            Self::Run(run) => run.ask(question).await,
            Self::Serve(serve) => serve.ask(question).await,
            Self::Url(url) => url.ask(question).await,
            Self::Function(function) => function.ask(question).await,
        }
    }
}

/// What a program is asked.
pub(crate) struct Question<'q> {
    pub(crate) session: &'q Session,
    pub(crate) inputs: &'q Fields,
    pub(crate) signature: &'q Signature,
    /// The texts in force.
    pub(crate) components: Map<String, Value>,
    /// The demos in force of those components whose demos the program shows itself.
    pub(crate) demos: Map<String, Value>,
}

impl Question<'_> {
    /// The question in JSON: the inputs, the texts in force, and where the program finds its models.
    fn to_json(&self) -> Value {
        let mut question = serde_json::json!({
            "inputs": self.inputs,
            "components": self.components,
            "base_url": self.session.openai_url(),
            "anthropic_base_url": self.session.anthropic_url(),
            "api_key": self.session.key(),
        });
        if let Some(fields) = question.as_object_mut().filter(|_| !self.demos.is_empty()) {
            fields.insert("demos".to_owned(), self.demos.clone().into());
        }
        question
    }

    /// What a program answered, or what it says of an error.
    fn heard(&self, heard: Result<Answer, String>) -> Result<Answer, Error> {
        heard.map_err(|said| self.said(&said))
    }

    /// What a program says of an error.
    fn said(&self, text: &str) -> Error {
        Error::Said { said: shorten(&self.session.clean(text), MAX_SAID) }
    }

    /// The last of what a program complained of, to be put behind an error.
    fn complaint(&self, complaint: &Mutex<Complaint>) -> String {
        let complaint = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let said = complaint.said(|text| Cow::Owned(self.session.clean(text)));
        if said.is_empty() { said } else { format!("; it said: {said}") }
    }
}

/// The longest text of an error that is told, in characters.
const MAX_SAID: usize = 600;

/// Starts a program. One that cannot be started says nothing of its texts.
fn started(command: &CommandLine) -> Result<ProcessGroup, Error> {
    command.clone().ending_strays().start().map_err(|error| Error::Start {
        program: command.to_string(),
        source: Unavailable::new(error.to_string()),
    })
}
