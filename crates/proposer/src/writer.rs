//! Asking the prompt model: many small programs of one predictor, run like any other rollouts.

use std::sync::Arc;

use promptopt_core::{
    Cancellation, Example, Field, Fields, LanguageModel, Ledger, ModuleExt as _, Prompts, RolloutJob,
    RolloutRunner, Sampling, Signature, StopReason, Trace, Usage, metric_fn,
};
use promptopt_predict::Predict;
use serde_json::Value;

use crate::Error;

/// The prompt model and what binds it.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) sampling: Sampling,
    pub(crate) concurrency: usize,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cancellation: Cancellation,
}

/// One text to be written: what the model is told, and which draw it is.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) inputs: Fields,
    pub(crate) draw: u64,
}

/// What was written, in the order of the assignments; `None` where nothing usable came back.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) texts: Vec<Option<String>>,
    pub(crate) usage: Usage,
    pub(crate) failure: Option<String>,
    pub(crate) stop: Option<StopReason>,
}

impl Writer {
    /// Has texts written, all at once within the bound. `inputs` describes the inputs; the output
    /// is one text field.
    pub(crate) async fn write(
        &self,
        name: &str,
        instruction: &str,
        inputs: &[(&str, &str)],
        output: (&str, &str),
        assignments: Vec<Assignment>,
    ) -> Result<Written, Error> {
        let field = |(name, description): (&str, &str)| Field::new(name).described(description);
        let signature =
            Signature::new(inputs.iter().copied().map(field), [field(output)], instruction.trim())
                .map_err(Error::Signature)?;
        // Anything that was written counts; whether it serves is checked by the caller.
        let program = Predict::new(name, signature)
            .with_sampling(self.sampling.clone())
            .with_metric(metric_fn(|_: &Example, _: &promptopt_core::Prediction| true));
        let runner = RolloutRunner::new(&program, Arc::clone(&self.model))
            .concurrency(self.concurrency)
            .ledger(Arc::clone(&self.ledger))
            .cancellation(self.cancellation.clone());
        let prompts: Arc<Prompts> = Arc::default();
        let jobs: Vec<_> = assignments
            .into_iter()
            .map(|assignment| {
                let names: Vec<_> = assignment.inputs.keys().cloned().collect();
                let mut job =
                    RolloutJob::new(Arc::clone(&prompts), Example::new(assignment.inputs, names).into());
                job.sample = assignment.draw;
                job
            })
            .collect();
        let batch = runner.run(&jobs).await.map_err(Error::Rollouts)?;
        let failed = batch.traces.iter().flatten().find_map(|trace| trace.error.as_ref());
        let failure = failed.map(|failure| failure.message.clone());
        let text = |trace: &Option<Arc<Trace>>| {
            let prediction = trace.as_ref()?.prediction.as_ref()?;
            prediction.get(output.0).and_then(Value::as_str).map(|text| text.trim().to_owned())
        };
        let texts = batch.traces.iter().map(text).collect();
        Ok(Written { texts, usage: runner.totals().usage, failure, stop: batch.stop })
    }
}
