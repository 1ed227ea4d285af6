//! Models, requests and a runtime for the tests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_store::{Manifest, StoredModel, reply_key};
use serde_json::json;

/// What [`Echo`] is called.
pub(crate) const MODEL: &str = "echo";

/// Answers each request with a text that follows from it, and counts.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) calls: AtomicUsize,
    pub(crate) delay: Duration,
    /// How many of the first calls fail.
    pub(crate) failing: usize,
}

impl Echo {
    pub(crate) fn slow(milliseconds: u64) -> Arc<Self> {
        Arc::new(Self { delay: Duration::from_millis(milliseconds), ..Self::default() })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LanguageModel for Echo {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new(MODEL)
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if call < self.failing {
            return Err(LmError::Server { status: 500, message: "down".into(), retry_after: None });
        }
        Ok(answer(request))
    }
}

/// The one right reply to a request.
pub(crate) fn answer(request: &LmRequest) -> LmReply {
    let text = request.messages[0].text();
    let length = text.len() as u64;
    // Some replies are longer than a page of the database.
    let times = if length.is_multiple_of(7) { 2000 } else { 3 };
    LmReply::text(format!("{text} ").repeat(times), Usage::call(length, 3))
}

/// Asks a model that may try as often as it wants.
pub(crate) async fn ask(model: &StoredModel, request: &LmRequest) -> Result<LmReply, LmError> {
    model.complete(request, &Attempts::any()).await
}

pub(crate) fn request(text: impl Into<String>) -> LmRequest {
    LmRequest::new(vec![Message::user(text.into())])
}

pub(crate) fn key(text: impl Into<String>) -> ContentHash {
    reply_key(MODEL, &request(text))
}

pub(crate) fn manifest(seed: u64) -> Manifest {
    let configuration = json!({"optimizer": {"name": "MIPROv2", "num_trials": 20}, "model": MODEL});
    Manifest::new(
        configuration,
        ContentHash::of("data"),
        ContentHash::of("program"),
        seed,
        "2026-01-01T00:00:00Z",
    )
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Whether any file under a directory holds these bytes.
pub(crate) fn any_file_holds(directory: &Path, needle: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return any_file_holds(&path, needle);
        }
        std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}
