//! The store seam: rollouts that are known are never bought again.

use std::sync::Arc;

use async_trait::async_trait;

use promptopt_core::data::ContentHash;
use promptopt_core::trace::Trace;

/// What identifies a rollout: the program's name, its predictors with their signatures and
/// settings, prompts, example, model settings and sample index. The metric is not part of it, so a
/// store that outlives a run must be used with one metric.
pub type RolloutKey = ContentHash;

/// Keeps traces by key. The default is a [`MemoryStore`](crate::MemoryStore).
#[async_trait]
pub trait RolloutStore: Send + Sync {
    /// The trace of a key, if it is known.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering.
    async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>>;

    /// Keeps a trace. When this returns, the trace is as durable as the store promises.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from keeping it.
    async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()>;
}
