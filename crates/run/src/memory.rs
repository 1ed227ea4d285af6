//! The default rollout store: in memory, for one run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::data::Fields;
use promptopt_core::trace::Trace;
use serde_json::Value;

use crate::{RolloutKey, RolloutStore};

/// Keeps traces in memory, for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    memory: Mutex<Memory>,
    /// About how many bytes of traces it keeps; `None`: all.
    most: Option<usize>,
}

#[derive(Debug, Default)]
struct Memory {
    traces: HashMap<RolloutKey, Arc<Trace>>,
    /// The keys in the order in which they came, with the size of each trace, where there is a bound.
    order: VecDeque<(RolloutKey, usize)>,
    bytes: usize,
}

impl MemoryStore {
    /// Keeps the latest traces only, about so many bytes of them.
    pub fn of_latest(bytes: usize) -> Self {
        Self { most: Some(bytes), ..Self::default() }
    }
}

#[async_trait]
impl RolloutStore for MemoryStore {
    async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>> {
        Ok(self.memory.lock().unwrap_or_else(PoisonError::into_inner).traces.get(key).cloned())
    }

    async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(most) = self.most else {
            memory.traces.insert(key, trace);
            return Ok(());
        };
        let size = size_of(&trace);
        if memory.traces.insert(key, trace).is_none() {
            memory.order.push_back((key, size));
            memory.bytes += size;
        }
        while memory.bytes > most {
            let Some((oldest, size)) = memory.order.pop_front() else { break };
            memory.traces.remove(&oldest);
            memory.bytes -= size;
        }
        Ok(())
    }
}

/// A trace, a step or a field without what it points at, in bytes.
const EACH: usize = 128;

/// About how many bytes a trace takes beside its example, which others hold as well.
fn size_of(trace: &Trace) -> usize {
    let steps = trace
        .steps
        .iter()
        .map(|step| 2 * EACH + size_of_fields(&step.inputs) + size_of_fields(&step.outputs));
    let said = trace.score.as_ref().and_then(|score| score.feedback.as_ref()).map_or(0, String::len);
    let failed = trace.error.as_ref().map_or(0, |failure| failure.message.len());
    let answered = trace.prediction.as_ref().map_or(0, |prediction| size_of_fields(prediction.fields()));
    3 * EACH + steps.sum::<usize>() + said + failed + answered
}

fn size_of_fields(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| EACH + name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| EACH + size_of_value(item)).sum(),
        Value::Object(fields) => size_of_fields(fields),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::{ContentHash, Prediction};

    use super::*;

    #[test]
    fn the_oldest_traces_go_first() {
        let trace = |text: &str| {
            Arc::new(Trace::default().with_prediction(Prediction::from_iter([("answer", text.repeat(1000))])))
        };
        let store = MemoryStore::of_latest(5_000);
        let keys: Vec<RolloutKey> = (0..10).map(|number| ContentHash::of(&number)).collect();
        let known = || {
            let is_known = |key: &&RolloutKey| pollster::block_on(store.get(key)).unwrap().is_some();
            keys.iter().position(|key| is_known(&key))
        };
        for key in &keys {
            pollster::block_on(store.put(*key, trace("x"))).unwrap();
            pollster::block_on(store.put(*key, trace("y"))).unwrap();
        }
        let first = known().unwrap();
        assert!((6..9).contains(&first), "{first}");
        let memory = store.memory.lock().unwrap();
        assert!(memory.bytes <= 5_000 && memory.traces.len() == memory.order.len());
    }
}
