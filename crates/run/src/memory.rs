//! The default rollout store: in memory, for one run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::trace::Trace;

use crate::{RolloutKey, RolloutStore};

/// Keeps traces in memory, for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    traces: Mutex<HashMap<RolloutKey, Arc<Trace>>>,
}

#[async_trait]
impl RolloutStore for MemoryStore {
    async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>> {
        Ok(self.traces.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner).insert(key, trace);
        Ok(())
    }
}
