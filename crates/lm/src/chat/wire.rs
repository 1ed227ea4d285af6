//! The OpenAI dialect: `POST chat/completions`.

use promptopt_core::lm::{LmReply, LmRequest};
use tracing::debug;

use crate::classify::AttemptError;
use crate::draft::Draft;
use crate::reply::read_reply;
use crate::transport::Transport;
use crate::wire::{Peer, Wire};

/// The OpenAI dialect, spoken to one address.
pub(crate) struct ChatWire {
    pub(super) peer: Peer,
    pub(super) transport: Transport,
}

impl Wire for ChatWire {
    type Body = Vec<u8>;

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn write(&self, request: &LmRequest, draft: &Draft) -> Result<Vec<u8>, AttemptError> {
        Ok(self.peer.template.render(request, draft)?)
    }

    async fn send(&self, body: &Vec<u8>, attempt: u32) -> Result<LmReply, AttemptError> {
        let Peer { classifier, timer, .. } = &self.peer;
        let reply = self.transport.post(body.clone()).await?;
        debug!(attempt, status = reply.status, bytes = reply.body.len(), "reply");
        if !(200..300).contains(&reply.status) {
            return Err(classifier.failed_status(&reply, timer.now()));
        }
        read_reply(&reply.body).map_err(|problem| classifier.failed_reply(problem, &reply))
    }
}
