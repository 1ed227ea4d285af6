//! The call context: everything a program needs to call its predictors, handed to it explicitly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Cancellation, LanguageModel, LmError, LmReply, LmRequest, Prompt, Prompts, Step, Usage};

/// Prompts in force, model, step recorder and cancellation of one run of a program.
///
/// Clones share everything and are cheap, so a program may move one into a spawned task.
#[derive(Clone)]
pub struct CallContext(Arc<Inner>);

struct Inner {
    model: Arc<dyn LanguageModel>,
    prompts: Arc<Prompts>,
    cancellation: Cancellation,
    sample_index: u64,
    call_limit: Option<u64>,
    calls: AtomicU64,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    steps: Vec<Option<Step>>,
    usage: Usage,
}

/// The place of a step in the record, taken when the step begins, so that the record's order does
/// not depend on which of several concurrent steps ends first.
#[derive(Debug)]
pub struct StepSlot(usize);

impl CallContext {
    /// A context in which every predictor uses its own prompt.
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self::for_run(model, Arc::default(), Cancellation::new(), 0, None)
    }

    /// A context for one run: the prompts in force, a flag that ends it, the sample index for
    /// repeated draws, and how many calls the run may make (`None`: as many as it wants).
    pub fn for_run(
        model: Arc<dyn LanguageModel>,
        prompts: Arc<Prompts>,
        cancellation: Cancellation,
        sample_index: u64,
        call_limit: Option<u64>,
    ) -> Self {
        Self(Arc::new(Inner {
            model,
            prompts,
            cancellation,
            sample_index,
            call_limit,
            calls: AtomicU64::new(0),
            record: Mutex::default(),
        }))
    }

    /// The prompt in force for a predictor; `None` means the predictor's own.
    pub fn prompt(&self, predictor: &str) -> Option<&Prompt> {
        self.0.prompts.get(predictor)
    }

    /// The flag that ends the run.
    pub fn cancellation(&self) -> &Cancellation {
        &self.0.cancellation
    }

    /// Completes a request with the run's model, counting the call.
    ///
    /// # Errors
    ///
    /// What the model says; [`LmError::Cancelled`] once the run is cancelled, and
    /// [`LmError::CallLimit`] when a budget is in force and this run made all the calls that were
    /// set aside for it.
    pub async fn complete(&self, mut request: LmRequest) -> Result<LmReply, LmError> {
        let inner = &*self.0;
        if inner.cancellation.is_cancelled() {
            return Err(LmError::Cancelled);
        }
        let made = inner.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(limit) = inner.call_limit
            && made >= limit
        {
            return Err(LmError::CallLimit { limit });
        }
        request.sample_index = inner.sample_index;
        let reply = inner.model.complete(&request).await?;
        self.with_record(|record| record.usage += reply.usage);
        Ok(reply)
    }

    /// Calls that were sent, failed ones included: a provider may bill those, too.
    pub(crate) fn sent(&self) -> u64 {
        let calls = self.0.calls.load(Ordering::SeqCst);
        self.0.call_limit.map_or(calls, |limit| calls.min(limit))
    }

    /// Takes the next place in the record.
    pub fn begin_step(&self) -> StepSlot {
        self.with_record(|record| {
            record.steps.push(None);
            StepSlot(record.steps.len() - 1)
        })
    }

    /// Puts a step in its place.
    pub fn end_step(&self, slot: StepSlot, step: Step) {
        self.with_record(|record| {
            if let Some(place) = record.steps.get_mut(slot.0) {
                *place = Some(step);
            }
        });
    }

    /// The steps so far in the order in which they began, and what all calls cost.
    pub fn record(&self) -> (Vec<Step>, Usage) {
        self.with_record(|record| (record.steps.iter().flatten().cloned().collect(), record.usage))
    }

    fn with_record<T>(&self, work: impl FnOnce(&mut Record) -> T) -> T {
        work(&mut self.0.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
