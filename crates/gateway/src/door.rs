//! How a program is asked.

mod run;
mod serve;
mod url;

use promptopt_core::data::{Fields, Prediction};
use promptopt_core::signature::Signature;
use serde_json::{Map, Value};

pub use run::Run;
pub use serve::Serve;
pub use url::Url;

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
}

impl Door {
    pub(crate) async fn ask(
        &self,
        session: &Session,
        inputs: &Fields,
        signature: &Signature,
        components: &Map<String, Value>,
    ) -> Result<Prediction, Error> {
        match self {
            Self::Run(run) => run.ask(session, inputs, signature).await,
            Self::Url(url) => url.ask(session, inputs, signature, components).await,
            Self::Serve(serve) => serve.ask(session, inputs, signature, components).await,
        }
    }
}

/// What a program is asked in JSON: the inputs, the texts in force, and where it finds its models.
fn question(session: &Session, inputs: &Fields, components: &Map<String, Value>) -> Value {
    serde_json::json!({
        "inputs": inputs,
        "components": components,
        "base_url": session.openai_url(),
        "anthropic_base_url": session.anthropic_url(),
        "api_key": session.key(),
    })
}
