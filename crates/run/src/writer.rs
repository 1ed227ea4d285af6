//! Having texts written: the model is asked like in any other rollout, so budget, cancellation and
//! order are the same code.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, Fields, Prediction};
use promptopt_core::lm::{Content, Image, LmError, LmRequest, Message, Part, ReplyError, Sampling};
use promptopt_core::program::{CallContext, Evaluator, Metric, Module, ModuleExt as _, Predictor, metric_fn};
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::signature::{Field, Signature};
use promptopt_core::trace::Trace;
use promptopt_predict::{Adapter as _, ChatAdapter, Predict};
use serde_json::Value;

use crate::records::{Listening, Records, Refused};
use crate::{Halt, InstructionRequest, InstructionWriter, RolloutJob, RolloutRunner, Run};

/// A request for a text by the prompt model: an instruction, described inputs, and one text as output.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
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

impl<'a> Brief<'a> {
    /// A brief with names and descriptions of the inputs and the output.
    pub const fn new(
        name: &'a str,
        instruction: &'a str,
        inputs: &'a [(&'a str, &'a str)],
        output: (&'a str, &'a str),
    ) -> Self {
        Self { name, instruction, inputs, output }
    }
}

/// One text to be written: what the model is given, and which draw it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Assignment {
    /// The inputs.
    pub inputs: Fields,
    /// Which draw of these inputs it is, from 0.
    pub draw: u64,
    /// Which of the inputs is made of records.
    pub(crate) records: Option<Records>,
    /// The images of each record, as addresses.
    pub(crate) images: Vec<Vec<String>>,
}

impl Assignment {
    /// The first draw of these inputs.
    pub fn new(inputs: Fields) -> Self {
        Self { inputs, ..Self::default() }
    }

    /// A bare prompt, for [`Run::ask`].
    pub fn prompt(text: impl Into<String>) -> Self {
        Self::new(Fields::from_iter([(PROMPT.to_owned(), Value::from(text.into()))]))
    }

    /// A bare prompt that is put together of records; see [`Assignment::with_records`].
    pub fn prompt_of(
        records: Vec<(ContentHash, String)>,
        put: impl Fn(&[&str]) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::default().with_records(PROMPT, records, put)
    }

    /// With an input that `put` makes of records, each with the row that it tells of.
    ///
    /// Where the provider refuses the request, or it does not fit the context window, it is sent again with fewer of
    /// them. A row that was refused is left out of every later request of the run. `put` gives an empty text where
    /// there is nothing to ask without any record.
    #[must_use]
    pub fn with_records(
        mut self,
        field: &str,
        records: Vec<(ContentHash, String)>,
        put: impl Fn(&[&str]) -> String + Send + Sync + 'static,
    ) -> Self {
        let records = Records::new(field, records, put);
        self.inputs.insert(field.to_owned(), Value::from(records.text(&records.all())));
        self.records = Some(records);
        self
    }

    /// With the images of each record, as addresses or `data:` URLs, for [`Run::ask`]: they follow the prompt. Where the
    /// provider refuses a request with images and takes it without, no later request of the run has any.
    #[must_use]
    pub fn with_images(mut self, images: Vec<Vec<String>>) -> Self {
        self.images = images;
        self
    }

    /// As another draw.
    #[must_use]
    pub fn with_draw(mut self, draw: u64) -> Self {
        self.draw = draw;
        self
    }
}

impl From<(String, u64)> for Assignment {
    /// A draw of a bare prompt.
    fn from((prompt, draw): (String, u64)) -> Self {
        Self::prompt(prompt).with_draw(draw)
    }
}

/// A text without white space at its ends, or why there is none.
pub type Written = Result<String, String>;

impl Run<'_> {
    /// Has the prompt model write one text for every assignment, all at once within the bound, and gives them in
    /// that order. A reply that does not fit is asked for once more in JSON form.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all are written, or when the fields of the brief make no signature.
    pub async fn write(
        &mut self,
        sampling: &Sampling,
        brief: Brief<'_>,
        assignments: Vec<Assignment>,
    ) -> Result<Vec<Written>, Halt> {
        let program = Predict::new(brief.name, signature(brief)?)
            .with_sampling(sampling.clone())
            .with_metric(written());
        let traces = self.commission(&program, assignments).await?;
        self.count_unreadable(&traces);
        let text = |trace: &Arc<Trace>| {
            let prediction = trace.prediction.as_ref();
            let text = prediction.and_then(|prediction| prediction.get_str(brief.output.0));
            text.map(|text| text.trim().to_owned()).ok_or_else(|| failure(trace))
        };
        Ok(traces.iter().map(text).collect())
    }

    /// Asks the prompt model for `n` texts in one request. There may be fewer: replies that do not fit are left
    /// out, and a server that does not honour `n` gives one, or refuses and gives none.
    ///
    /// # Errors
    ///
    /// As [`Run::write`].
    pub async fn draw(
        &mut self,
        sampling: &Sampling,
        brief: Brief<'_>,
        assignment: Assignment,
        n: u32,
    ) -> Result<Vec<Written>, Halt> {
        let program = Desk {
            name: format!("{} n={n}", brief.name),
            signature: Some(signature(brief)?),
            sampling: sampling.clone(),
            n,
        }
        .with_metric(written());
        let traces = self.commission(&program, vec![assignment]).await?;
        self.count_unreadable(&traces);
        let of = |trace: &Arc<Trace>| -> Vec<Written> {
            match (&trace.error, Refused::of(trace)) {
                (None, None) => texts(trace).into_iter().map(Ok).collect(),
                _ => vec![Err(failure(trace))],
            }
        };
        Ok(traces.iter().flat_map(of).collect())
    }

    /// Sends the prompt model every prompt as a single user message and gives back the replies as they are. A prompt is
    /// an [`Assignment::prompt`], or a text with the number of its draw.
    ///
    /// # Errors
    ///
    /// As [`Run::write`].
    pub async fn ask(
        &mut self,
        sampling: &Sampling,
        name: &str,
        prompts: Vec<impl Into<Assignment>>,
    ) -> Result<Vec<Written>, Halt> {
        let program = Desk { name: name.to_owned(), signature: None, sampling: sampling.clone(), n: 1 }
            .with_metric(written());
        let assignments = prompts.into_iter().map(Into::into).collect();
        let traces = self.commission(&program, assignments).await?;
        let text = |trace: &Arc<Trace>| texts(trace).into_iter().next().ok_or_else(|| failure(trace));
        Ok(traces.iter().map(text).collect())
    }

    /// Has a writer that stands in for the prompt model write, and says why where it could not.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ended on the way.
    pub async fn write_with(
        &mut self,
        writer: &dyn InstructionWriter,
        request: &InstructionRequest,
    ) -> Result<Result<Vec<String>, String>, Halt> {
        match writer.write_instructions(self, request).await {
            Ok(texts) => Ok(Ok(texts)),
            Err(error) => match error.downcast::<Halt>() {
                Ok(halt) => Err(halt),
                Err(error) => Ok(Err(format!("{error:#}"))),
            },
        }
    }

    /// Sends what is to be written to the prompt model as it is, all at once.
    pub(crate) async fn send(
        &mut self,
        program: &dyn Evaluator,
        inputs: Vec<(Fields, u64)>,
    ) -> Result<Vec<Arc<Trace>>, Halt> {
        let program = Listening(program);
        let runner = RolloutRunner::new(&program, Arc::clone(self.prompt_model()))
            .concurrency(self.options().concurrency)
            .ledger(Arc::clone(self.ledger()))
            .cancellation(self.options().cancellation.clone())
            .uncounted();
        let prompts: Arc<Prompts> = Arc::default();
        let job = |(inputs, draw): (Fields, u64)| {
            let names: Vec<_> = inputs.keys().cloned().collect();
            let example = Example::new(inputs, names);
            RolloutJob { sample: draw, ..RolloutJob::new(Arc::clone(&prompts), example.into()) }
        };
        let jobs: Vec<_> = inputs.into_iter().map(job).collect();
        let traces = runner.run(&jobs).await;
        self.note_writing(runner.totals().usage);
        traces
    }
}

/// Why a trace holds no text.
fn failure(trace: &Trace) -> String {
    let error = trace.error.as_ref().map(|failure| failure.message.clone());
    error
        .or_else(|| Refused::of(trace).map(|refused| refused.why))
        .unwrap_or_else(|| "the reply holds no text".to_owned())
}

/// Anything that was written counts; whether it serves is for the caller to check.
fn written() -> impl Metric {
    metric_fn(|_: &Example, _: &Prediction| true)
}

fn signature(brief: Brief<'_>) -> Result<Signature, promptopt_core::Error> {
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
/// The input that holds the images of the records that are shown.
pub(crate) const IMAGES: &str = "images";

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
                vec![Message::user(with_images(prompt, inputs.get(IMAGES)))]
            }
        };
        let request = LmRequest::new(messages).with_sampling(self.sampling.clone()).with_n(self.n);
        let max_tokens = self.sampling.max_tokens.or_else(|| context.max_tokens());
        let reply = match context.complete(request).await {
            // The server takes no `n`; whoever asked sees that nothing came and asks for single texts.
            Err(LmError::InvalidRequest { .. }) if self.n > 1 => return Ok(predicted(Vec::new())),
            reply => reply?,
        };
        if let [only] = reply.completions.as_slice()
            && only.text.trim().is_empty()
            && let Some(why) = only.shortfall(max_tokens)
        {
            return Err(ReplyError::new(self.name.clone(), why, "", only.finish_reason).into());
        }
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

    fn calls_per_rollout(&self) -> u64 {
        1
    }
}

/// A prompt, and the images of its records behind it.
fn with_images(prompt: &str, images: Option<&Value>) -> Content {
    let images = images.and_then(Value::as_array).into_iter().flatten();
    let shown = images.enumerate().flat_map(|(at, urls)| {
        let urls = urls.as_array().into_iter().flatten().filter_map(Value::as_str);
        let said = move |number| match number {
            0 => format!("\n\nRecord {} shows:\n", at + 1),
            _ => "\n".to_owned(),
        };
        urls.enumerate().flat_map(move |(number, url)| [Part::said(said(number)), Image::at(url).into()])
    });
    Content::parts(std::iter::once(Part::said(prompt)).chain(shown))
}

fn predicted(texts: Vec<String>) -> Prediction {
    Prediction::from_iter([(TEXTS, Value::from(texts))])
}
