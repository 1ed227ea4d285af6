//! How a program is asked.

mod run;
mod serve;

use promptopt_core::data::{Fields, Prediction};
use promptopt_core::signature::Signature;
use serde_json::{Map, Value};

pub use run::Run;
pub use serve::Serve;

use crate::{Error, Session};

/// How a program is asked for the answer to one example.
#[non_exhaustive]
pub enum Door {
    /// A process for each rollout.
    Run(Run),
    /// Processes that are started once, and asked in lines of JSON.
    Serve(Serve),
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
            Self::Serve(serve) => serve.ask(session, inputs, signature, components).await,
        }
    }
}
