//! What the dialects differ in: how a request is written, sent and read.

use std::future::Future;
use std::sync::Arc;

use promptopt_core::lm::{LmReply, LmRequest};

use crate::Timer;
use crate::body::BodyTemplate;
use crate::classify::{AttemptError, Classifier};
use crate::draft::Draft;
use crate::hearer::Hearer;

/// One dialect. The life of a call around it is that of [`Client`](crate::client::Client).
pub(crate) trait Wire: Send + Sync {
    /// A request that is ready to be sent.
    type Body: Send + Sync;

    /// The server at the other end.
    fn peer(&self) -> &Peer;

    /// Writes `request`, as far as `draft` goes. A parameter that the dialect has no words for is an error as if
    /// the server had refused it.
    fn write(&self, request: &LmRequest, draft: &Draft) -> Result<Self::Body, AttemptError>;

    /// Sends a request once and reads what comes. `attempt` is for the log, counted from 1. A dialect that can stream lets
    /// `hearer` hear the reply as it comes.
    fn send(
        &self,
        body: &Self::Body,
        attempt: u32,
        hearer: Option<&mut Hearer<'_>>,
    ) -> impl Future<Output = Result<LmReply, AttemptError>> + Send;
}

/// The server at the other end: what every request to it says, and how its failures are read.
pub(crate) struct Peer {
    pub(crate) template: BodyTemplate,
    pub(crate) classifier: Classifier,
    pub(crate) timer: Arc<dyn Timer>,
}
