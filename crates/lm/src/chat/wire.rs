//! The OpenAI dialect: `POST chat/completions` and `POST embeddings`.

use promptopt_core::lm::{LmReply, LmRequest};
use reqwest::header::CONTENT_TYPE;
use tracing::debug;

use super::embeddings;
use super::stream::listen;
use crate::classify::AttemptError;
use crate::draft::Draft;
use crate::hearer::Hearer;
use crate::reply::read_reply;
use crate::transport::Transport;
use crate::wire::{Peer, Wire};

/// The OpenAI dialect, spoken to one address.
pub(crate) struct ChatWire {
    pub(super) peer: Peer,
    pub(super) transport: Transport,
    /// Whether it asks for embeddings.
    pub(super) embeds: bool,
}

impl Wire for ChatWire {
    type Body = Vec<u8>;

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn write(&self, request: &LmRequest, draft: &Draft) -> Result<Vec<u8>, AttemptError> {
        let template = &self.peer.template;
        Ok(if self.embeds {
            embeddings::write(&template.model, request)
        } else {
            template.render(request, draft)
        }?)
    }

    async fn send(
        &self,
        body: &Vec<u8>,
        attempt: u32,
        hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, AttemptError> {
        let Peer { classifier, timer, .. } = &self.peer;
        let opened = self.transport.open(body.clone()).await?;
        let is_stream = |kind: &str| kind.trim_start().starts_with("text/event-stream");
        let kind = opened.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if let Some(hearer) = hearer
            && opened.status.is_success()
            && kind.is_some_and(is_stream)
        {
            debug!(attempt, status = opened.status.as_u16(), "stream");
            return listen(&self.transport, classifier, opened, hearer).await;
        }
        let reply = self.transport.rest(opened).await?;
        debug!(attempt, status = reply.status, bytes = reply.body.len(), "reply");
        if !(200..300).contains(&reply.status) {
            return Err(classifier.failed_status(&reply, timer.now()));
        }
        let read = if self.embeds { embeddings::read(&reply.body) } else { read_reply(&reply.body) };
        read.map_err(|problem| classifier.failed_reply(problem, &reply))
    }
}
