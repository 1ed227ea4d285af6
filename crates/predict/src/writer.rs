//! Having texts written: the model is asked like in any other rollout, so budget, cancellation and
//! order are the same code.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    CallContext, Cancellation, Error, Example, Field, Fields, LanguageModel, Ledger, LmError, LmRequest,
    Message, Module, ModuleExt as _, Prediction, Predictor, Prompt, Prompts, RolloutJob, RolloutRunner,
    Sampling, Signature, StopReason, Trace, Usage, metric_fn,
};
use serde_json::Value;

use crate::{Adapter as _, ChatAdapter, Predict};

/// Has a model write texts, such as instructions or descriptions.
#[derive(Clone)]
pub struct Writer {
    /// The model that writes.
    pub model: Arc<dyn LanguageModel>,
    /// Sampling parameters of its requests.
    pub sampling: Sampling,
    /// How many requests may be under way at once.
    pub concurrency: usize,
    /// The ledger that every request is reserved in.
    pub ledger: Arc<Ledger>,
    /// The flag that ends the run.
    pub cancellation: Cancellation,
}

/// What is asked for: an instruction, described inputs, and one text as output.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// A name for traces and errors.
    pub name: &'a str,
    /// What the model is told to do.
    pub instruction: &'a str,
    /// Name and description of every input.
    pub inputs: &'a [(&'a str, &'a str)],
    /// Name and description of the output.
    pub output: (&'a str, &'a str),
}

/// One text to be written: what the model is given, and which draw it is.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// The inputs.
    pub inputs: Fields,
    /// Which draw of these inputs it is, from 0.
    pub draw: u64,
}

/// What was written, in the order of the assignments; `None` where nothing usable came back.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The texts, without white space at the ends.
    pub texts: Vec<Option<String>>,
    /// What it cost.
    pub usage: Usage,
    /// The first failure, if there was one.
    pub failure: Option<String>,
    /// Why it is not complete.
    pub stop: Option<StopReason>,
}

impl Writer {
    /// A writer with the model's own sampling, eight requests at once and no budget.
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self {
            model,
            sampling: Sampling::default(),
            concurrency: 8,
            ledger: Arc::default(),
            cancellation: Cancellation::new(),
        }
    }

    /// Has one text written for every assignment, all at once within the bound. A reply that does
    /// not fit is asked for once more in JSON form.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when the fields of the brief make no signature.
    pub async fn write(&self, brief: Brief<'_>, assignments: Vec<Assignment>) -> Result<Written, Error> {
        let program = Predict::new(brief.name, signature(brief)?)
            .with_sampling(self.sampling.clone())
            .with_metric(written());
        let (traces, mut result) = self.run(&program, assignments).await?;
        let text = |trace: &Option<Arc<Trace>>| {
            let prediction = trace.as_ref()?.prediction.as_ref()?;
            prediction.get(brief.output.0).and_then(Value::as_str).map(|text| text.trim().to_owned())
        };
        result.texts = traces.iter().map(text).collect();
        Ok(result)
    }

    /// Asks for `n` texts in one request. There may be fewer: replies that do not fit are left
    /// out, and a server that does not honour `n` gives one, or refuses and gives none.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`].
    pub async fn draw(&self, brief: Brief<'_>, assignment: Assignment, n: u32) -> Result<Written, Error> {
        let program = Desk {
            name: format!("{} n={n}", brief.name),
            signature: Some(signature(brief)?),
            sampling: self.sampling.clone(),
            n,
        }
        .with_metric(written());
        let (traces, mut result) = self.run(&program, vec![assignment]).await?;
        result.texts = traces.iter().flatten().flat_map(|trace| texts(trace)).map(Some).collect();
        Ok(result)
    }

    /// Sends every prompt as a single user message and gives back the replies as they are.
    ///
    /// # Errors
    ///
    /// None of its own; see [`RolloutRunner::run`].
    pub async fn ask(&self, name: &str, prompts: Vec<(String, u64)>) -> Result<Written, Error> {
        let program = Desk { name: name.to_owned(), signature: None, sampling: self.sampling.clone(), n: 1 }
            .with_metric(written());
        let assignments = prompts.into_iter().map(|(prompt, draw)| Assignment {
            inputs: Fields::from_iter([(PROMPT.to_owned(), Value::from(prompt))]),
            draw,
        });
        let (traces, mut result) = self.run(&program, assignments.collect()).await?;
        result.texts = traces
            .iter()
            .map(|trace| trace.as_ref().and_then(|trace| texts(trace).into_iter().next()))
            .collect();
        Ok(result)
    }

    async fn run(
        &self,
        program: &dyn promptopt_core::Evaluator,
        assignments: Vec<Assignment>,
    ) -> Result<(Vec<Option<Arc<Trace>>>, Written), Error> {
        let runner = RolloutRunner::new(program, Arc::clone(&self.model))
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
        let batch = runner.run(&jobs).await?;
        let failed = batch.traces.iter().flatten().find_map(|trace| trace.error.as_ref());
        let failure = failed.map(|failure| failure.message.clone());
        let written = Written { texts: Vec::new(), usage: runner.totals().usage, failure, stop: batch.stop };
        Ok((batch.traces, written))
    }
}

/// Anything that was written counts; whether it serves is for the caller to check.
fn written() -> impl promptopt_core::Metric {
    metric_fn(|_: &Example, _: &Prediction| true)
}

fn signature(brief: Brief<'_>) -> Result<Signature, Error> {
    let field = |(name, description): (&str, &str)| Field::new(name).described(description);
    Signature::new(brief.inputs.iter().copied().map(field), [field(brief.output)], brief.instruction.trim())
}

fn texts(trace: &Trace) -> Vec<String> {
    let texts =
        trace.prediction.as_ref().and_then(|prediction| prediction.get(TEXTS)).and_then(Value::as_array);
    texts.into_iter().flatten().filter_map(Value::as_str).map(|text| text.trim().to_owned()).collect()
}

const PROMPT: &str = "prompt";
const TEXTS: &str = "texts";

/// A program that asks once: for several texts in the form of a signature, or with a bare prompt.
struct Desk {
    name: String,
    signature: Option<Signature>,
    sampling: Sampling,
    n: u32,
}

#[async_trait]
impl Module for Desk {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let messages = match &self.signature {
            Some(signature) => ChatAdapter.chat(signature, &Prompt::new(signature.instructions()), inputs),
            None => {
                let prompt = inputs.get(PROMPT).and_then(Value::as_str).unwrap_or_default();
                vec![Message::user(prompt)]
            }
        };
        let request = LmRequest { sampling: self.sampling.clone(), n: self.n, ..LmRequest::new(messages) };
        let reply = match context.complete(request).await {
            // The server takes no `n`; whoever asked sees that nothing came and asks for single texts.
            Err(LmError::InvalidRequest { .. }) if self.n > 1 => return Ok(predicted(Vec::new())),
            reply => reply?,
        };
        let text = |reply: &str| match &self.signature {
            None => Some(reply.to_owned()),
            Some(signature) => {
                let fields = ChatAdapter.parse(signature, reply).ok()?;
                fields.values().next().and_then(Value::as_str).map(str::to_owned)
            }
        };
        Ok(predicted(reply.completions.iter().filter_map(|one| text(&one.text)).collect()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn max_calls(&self) -> u64 {
        1
    }
}

fn predicted(texts: Vec<String>) -> Prediction {
    Prediction::from_iter([(TEXTS, Value::from(texts))])
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
