//! A model on the loopback interface whose calls and tokens are counted, the same for whoever calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::Usage;
use promptopt_testkit::{LoopbackServer, around};

/// A served model.
pub(crate) struct Served {
    server: LoopbackServer,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    usage: Usage,
    /// How often each request came. One that comes again is another draw, as it is with any server.
    seen: HashMap<ContentHash, u64>,
}

impl Served {
    pub(crate) async fn start(model: Arc<dyn LanguageModel>) -> Result<Self> {
        let counts = Arc::<Mutex<Counts>>::default();
        let shared = Arc::clone(&counts);
        let counted = around(model, move |next, mut request| {
            let shared = Arc::clone(&shared);
            async move {
                let with = |work: &mut dyn FnMut(&mut Counts)| {
                    work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
                };
                with(&mut |counts| {
                    counts.usage.calls += 1;
                    let number = counts.seen.entry(ContentHash::of(&request)).or_default();
                    request.sample_index = *number;
                    *number += 1;
                });
                let reply = next.complete(&request).await?;
                with(&mut |counts| {
                    counts.usage.prompt_tokens += reply.usage.prompt_tokens;
                    counts.usage.completion_tokens += reply.usage.completion_tokens;
                });
                Ok(reply)
            }
        });
        let server = LoopbackServer::start(Arc::new(counted), Duration::ZERO, None).await?;
        Ok(Self { server, counts })
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// What was used since the last time, and a fresh start: a cell does not depend on those before it.
    pub(crate) fn take(&self) -> Usage {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner)).usage
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{LmReply, LmRequest, Message};
    use promptopt_testkit::ScriptedLm;

    use super::*;

    #[tokio::test]
    async fn calls_are_counted_and_a_request_that_comes_again_is_another_draw() {
        let model = around(ScriptedLm::answering("4"), |_, request: LmRequest| async move {
            Ok(LmReply::text(request.sample_index.to_string(), Usage::call(7, 2)))
        });
        let served = Served::start(Arc::new(model)).await.unwrap();
        let ask = async |text: &str| {
            let body = serde_json::json!({"messages": [Message::user(text)]});
            let url = format!("{}/chat/completions", served.base_url());
            let reply = reqwest::Client::new().post(url).body(body.to_string());
            let reply = reply.header("content-type", "application/json").send().await.unwrap();
            let reply: serde_json::Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
            reply.pointer("/choices/0/message/content").unwrap().as_str().unwrap().to_owned()
        };
        assert_eq!([ask("a").await, ask("b").await, ask("a").await], ["0", "0", "1"]);
        assert_eq!(served.take(), Usage::call(21, 6).with_calls(3));
        assert_eq!(ask("a").await, "0");
        assert_eq!(served.take().calls, 1);
    }
}
