//! The dialects of providers, as `genai` writes and reads them.

use std::time::Duration;

use genai::ServiceTarget;
use genai::chat::{ChatOptions, ChatRequest, ChatResponse};
use promptopt_core::lm::{LmError, LmReply, LmRequest, ToolChoice};
use tokio::time::timeout;
use tracing::debug;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::chat::chat;
use super::reply::read_reply;
use crate::body::{check_sampling, unsent};
use crate::classify::AttemptError;
use crate::draft::Draft;
use crate::hearer::Hearer;
use crate::parameter_support::Parameter;
use crate::provider::Dialect;
use crate::wire::{Peer, Wire};

/// One of the dialects, spoken to one provider.
pub(crate) struct NativeWire {
    pub(super) peer: Peer,
    pub(super) dialect: Dialect,
    pub(super) client: genai::Client,
    pub(super) target: ServiceTarget,
    pub(super) headers: genai::Headers,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
}

impl Wire for NativeWire {
    type Body = (ChatRequest, ChatOptions);

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn write(&self, request: &LmRequest, draft: &Draft) -> Result<Self::Body, AttemptError> {
        check_sampling(&request.sampling).map_err(unsent)?;
        if request.n > 1 {
            let reason = format!("`n` is {}, and this provider writes one completion a request", request.n);
            return Err(unsent(reason).into());
        }
        if self.dialect == Dialect::Anthropic && draft.sampling.seed.is_some() {
            return Err(self.refused(Parameter::Seed));
        }
        // The library writes it for OpenAI alone.
        if draft.sampling.verbosity.is_some() {
            return Err(self.refused(Parameter::Verbosity));
        }
        let parallel = self.peer.template.parallel_tool_calls(request, draft);
        if self.dialect != Dialect::Anthropic && parallel == Some(false) {
            return Err(self.refused(Parameter::ParallelToolCalls));
        }
        if self.dialect == Dialect::Ollama
            && request.tool_choice.as_ref().is_some_and(|it| *it != ToolChoice::Auto)
        {
            return Err(self.refused(Parameter::ToolChoice));
        }
        Ok((chat(request, &draft.sampling, self.dialect)?, self.options(request, draft)))
    }

    /// The reply comes whole, and is heard at its end.
    async fn send(
        &self,
        (chat, options): &Self::Body,
        attempt: u32,
        _hearer: Option<&mut Hearer<'_>>,
    ) -> Result<LmReply, AttemptError> {
        let call = self.client.exec_chat(self.target.clone(), chat.clone(), Some(options));
        // The library logs replies, and whatever a provider echoes in them.
        let call = call.with_subscriber(NoSubscriber::default());
        match timeout(self.timeout, call).await {
            Ok(Ok(response)) => {
                debug!(attempt, "reply");
                self.reply(response)
            }
            Ok(Err(error)) => self.mended(&error).unwrap_or_else(|| Err(self.failure(error))),
            Err(_) => {
                let message = format!("waiting for the reply from {}", self.peer.classifier.url);
                Err(AttemptError::new(LmError::Timeout { after: self.timeout, message }, true))
            }
        }
    }
}

impl NativeWire {
    /// As if the provider had refused a parameter that has no words in its dialect.
    fn refused(&self, parameter: Parameter) -> AttemptError {
        let reason = format!("this provider takes no `{}`", parameter.as_str());
        AttemptError { refused_parameters: vec![parameter], ..unsent(reason).into() }
    }

    fn reply(&self, response: ChatResponse) -> Result<LmReply, AttemptError> {
        // A prompt that Gemini blocks comes as a reply of nothing, with the reason beside it.
        let is_nothing = response.content.is_empty() && response.stop_reason.is_none();
        if let (true, Some(body)) =
            (is_nothing && self.dialect != Dialect::Ollama, &response.captured_raw_body)
        {
            return Err(self.no_completion(body));
        }
        read_reply(response, self.dialect)
            .map_err(|problem| self.failed_reply(problem, "application/json", String::new()))
    }
}
