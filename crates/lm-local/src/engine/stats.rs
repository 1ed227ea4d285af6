//! Counters that show what the cache of prompts saved.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`LocalModel`](crate::LocalModel) has done so far: requests and tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalStats {
    /// Requests that were answered.
    pub requests: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Of these, tokens that did not have to be read again.
    pub cached_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    prompt: AtomicU64,
    cached: AtomicU64,
    completion: AtomicU64,
}

impl Counters {
    pub(super) fn answered(&self, prompt: u64, cached: u64, completion: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.prompt.fetch_add(prompt, Ordering::Relaxed);
        self.cached.fetch_add(cached, Ordering::Relaxed);
        self.completion.fetch_add(completion, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> LocalStats {
        LocalStats {
            requests: self.requests.load(Ordering::Relaxed),
            prompt_tokens: self.prompt.load(Ordering::Relaxed),
            cached_tokens: self.cached.load(Ordering::Relaxed),
            completion_tokens: self.completion.load(Ordering::Relaxed),
        }
    }
}
