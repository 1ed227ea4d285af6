//! What a text is written from, record by record, so that a request that is refused is sent again with fewer.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, Fields, Prediction};
use promptopt_core::lm::{LanguageModel, LmError, Refusal};
use promptopt_core::program::{CallContext, Evaluator, Metric, Module, Predictor};
use promptopt_core::trace::{Failure, FailureKind, Trace};
use serde::Deserialize as _;
use serde_json::Value;

use crate::writer::IMAGES;
use crate::{Assignment, Event, Halt, Run, StopReason};

/// Rows that are looked for on the way to one text.
const MOST_FOUND: usize = 4;

type Put = dyn Fn(&[&str]) -> String + Send + Sync;

/// The records of one input, and how they are put together.
#[derive(Clone)]
pub(crate) struct Records {
    field: String,
    records: Vec<(ContentHash, String)>,
    put: Arc<Put>,
}

impl fmt::Debug for Records {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Records").field("field", &self.field).finish_non_exhaustive()
    }
}

impl Records {
    pub(crate) fn new(
        field: &str,
        records: Vec<(ContentHash, String)>,
        put: impl Fn(&[&str]) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { field: field.to_owned(), records, put: Arc::new(put) }
    }

    /// The places of all.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.records.len()).collect()
    }

    /// The text that some of them make.
    pub(crate) fn text(&self, shown: &[usize]) -> String {
        let texts: Vec<&str> =
            shown.iter().filter_map(|at| self.records.get(*at)).map(|(_, text)| text.as_str()).collect();
        (self.put)(&texts)
    }

    fn row(&self, at: usize) -> Option<ContentHash> {
        self.records.get(at).map(|(row, _)| *row)
    }

    /// The place of the shortest.
    fn shortest(&self) -> Option<usize> {
        self.all().into_iter().min_by_key(|at| self.chars(&[*at]))
    }

    fn chars(&self, shown: &[usize]) -> usize {
        shown.iter().filter_map(|at| self.records.get(*at)).map(|(_, text)| text.chars().count()).sum()
    }

    /// The first of them that fit together; at least one.
    fn fitting(&self, shown: &[usize], room: usize) -> Vec<usize> {
        let mut taken = 0;
        let fits = |at: &&usize| {
            taken += self.chars(&[**at]);
            taken <= room
        };
        let fitting = shown.iter().take_while(fits).count();
        shown.iter().take(fitting.max(1)).copied().collect()
    }
}

/// What the prompt model's provider does not take, as far as a run has found out.
#[derive(Default)]
pub(crate) struct Withheld {
    rows: HashSet<ContentHash>,
    /// The most characters of records that a request may have.
    room: Option<usize>,
    /// Names of texts that are refused whatever records they are written from.
    hopeless: BTreeSet<String>,
    /// Whether requests have no images, because the provider took one only without.
    images: bool,
    /// Whether any text was written.
    has_written: bool,
    /// Where the note about the rows stands, and what the provider said of the first.
    note: Option<(usize, String)>,
}

impl Withheld {
    /// The places of the records that may be shown.
    fn shown(&self, records: &Records) -> Vec<usize> {
        let is_open = |at: &usize| records.row(*at).is_some_and(|row| !self.rows.contains(&row));
        let shown: Vec<usize> = records.all().into_iter().filter(is_open).collect();
        match self.room {
            Some(room) if !shown.is_empty() => records.fitting(&shown, room),
            _ => shown,
        }
    }
}

/// What a provider said of a request that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Refusal,
    pub(crate) why: String,
    /// Whether every request would be refused if none ever went through.
    fatal: bool,
}

const REFUSED: &str = "refused";
const WHY: &str = "why";
const FATAL: &str = "fatal";

impl Refused {
    /// What an error says of a request, where the content of it may be what brought it about.
    fn behind(error: &anyhow::Error) -> Option<Self> {
        let lm = error.chain().find_map(|cause| cause.downcast_ref::<LmError>())?;
        Some(Self { reason: lm.refusal()?, why: format!("{error:#}"), fatal: lm.is_fatal() })
    }

    /// What an error says of a request that shows images. A model that takes none may be said to be not found.
    fn of_images(inputs: &Fields, error: &anyhow::Error) -> Option<Self> {
        let lm = error.chain().find_map(|cause| cause.downcast_ref::<LmError>())?;
        let may_be_theirs = matches!(lm, LmError::InvalidRequest { .. } | LmError::Engine { .. });
        (may_be_theirs && inputs.contains_key(IMAGES)).then(|| Self {
            reason: Refusal::Content,
            why: format!("{error:#}"),
            fatal: true,
        })
    }

    /// The refusal that a trace tells of.
    pub(crate) fn of(trace: &Trace) -> Option<Self> {
        let prediction = trace.prediction.as_ref()?;
        Some(Self {
            reason: Refusal::deserialize(prediction.get(REFUSED)?).ok()?,
            why: prediction.get_str(WHY).unwrap_or_default().to_owned(),
            fatal: prediction.get(FATAL) == Some(&Value::Bool(true)),
        })
    }

    fn into_prediction(self) -> Prediction {
        let reason = serde_json::to_value(self.reason).unwrap_or_default();
        Prediction::from_iter([(REFUSED, reason), (WHY, self.why.into()), (FATAL, self.fatal.into())])
    }
}

/// A program whose refused requests are no failures, so that fewer records can be tried.
pub(crate) struct Listening<'a>(pub(crate) &'a dyn Evaluator);

#[async_trait]
impl Module for Listening<'_> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.0.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        // It is only ever run.
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let refused =
            |error: &anyhow::Error| Refused::behind(error).or_else(|| Refused::of_images(inputs, error));
        self.0.run(context, inputs).await.or_else(|error| match refused(&error) {
            Some(refusal) => Ok(refusal.into_prediction()),
            None => Err(error),
        })
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.0.other_models()
    }

    fn calls_per_rollout(&self) -> u64 {
        self.0.calls_per_rollout()
    }

    fn calls_vary(&self) -> bool {
        self.0.calls_vary()
    }
}

impl Evaluator for Listening<'_> {
    fn metric(&self) -> &dyn Metric {
        self.0.metric()
    }
}

impl Run<'_> {
    /// Whether a row is not shown to the prompt model, because its provider refused it.
    pub fn is_withheld(&self, example: &Example) -> bool {
        !self.withheld.rows.is_empty() && self.withheld.rows.contains(&example.content_hash())
    }

    /// Has texts written: all at once, and those that are refused again with fewer records, one after the other.
    pub(crate) async fn commission(
        &mut self,
        program: &dyn Evaluator,
        assignments: Vec<Assignment>,
    ) -> Result<Vec<Arc<Trace>>, Halt> {
        let shown = |one: &Assignment| one.records.as_ref().map(|records| self.withheld.shown(records));
        let shown: Vec<Option<Vec<usize>>> = assignments.iter().map(shown).collect();
        let told: Vec<Option<(Fields, u64)>> =
            assignments.iter().zip(&shown).map(|(one, shown)| self.told(one, shown.as_deref())).collect();
        let mut sent = self.send(program, told.iter().flatten().cloned().collect()).await?.into_iter();
        let mut traces = Vec::new();
        for told in &told {
            traces.extend(if told.is_some() { sent.next() } else { Some(nothing_to_show()) });
        }
        for (number, trace) in traces.iter_mut().enumerate() {
            let showed_images = told
                .get(number)
                .and_then(Option::as_ref)
                .is_some_and(|(inputs, _)| inputs.contains_key(IMAGES));
            if let (true, Some(assignment), Some(Some(shown))) =
                (showed_images, assignments.get(number), shown.get(number))
            {
                self.try_without_images(program, assignment, shown, trace).await?;
            }
        }
        for trace in &traces {
            self.withheld.has_written |= has_text(trace);
        }
        for ((assignment, shown), trace) in assignments.iter().zip(shown).zip(&mut traces) {
            let (Some(refusal), Some(records), Some(shown)) =
                (Refused::of(trace), &assignment.records, shown)
            else {
                continue;
            };
            *trace = self.with_fewer(program, assignment, records, shown, refusal).await?;
        }
        // Where nothing has ever been written it is the set-up that is wrong, and not what a row holds.
        let has_answered =
            self.runner().anything_went_through() && Arc::ptr_eq(self.prompt_model(), self.task_model());
        for refusal in traces.iter().filter_map(|trace| Refused::of(trace)) {
            if refusal.fatal && !self.withheld.has_written && !has_answered {
                return Err(Halt::Stopped(StopReason::Provider { message: refusal.why }));
            }
        }
        Ok(traces)
    }

    /// Has a text that was refused written without the images of its records.
    async fn try_without_images(
        &mut self,
        program: &dyn Evaluator,
        assignment: &Assignment,
        shown: &[usize],
        trace: &mut Arc<Trace>,
    ) -> Result<(), Halt> {
        let Some(refusal) = Refused::of(trace) else { return Ok(()) };
        let is_known = std::mem::replace(&mut self.withheld.images, true);
        let again = self.resend(program, assignment, shown).await?;
        // A refusal in other words is about something else, which is looked for without images.
        let is_other = |again: &Trace| Refused::of(again).is_some_and(|other| other.why != refusal.why);
        let Some(again) = again.filter(|again| has_text(again) || is_other(again)) else {
            // It was not the images, or nobody can tell.
            self.withheld.images = is_known;
            return Ok(());
        };
        *trace = again;
        if !is_known {
            self.warn(format!(
                "the prompt model is not shown the images of the rows, because its provider refused a request that showed \
                 some: {}",
                refusal.why
            ));
        }
        Ok(())
    }

    /// What a text is to be written from: its inputs with these records and their images; `None` where that is nothing.
    fn told(&self, assignment: &Assignment, shown: Option<&[usize]>) -> Option<(Fields, u64)> {
        let (mut inputs, draw) = told(assignment, shown)?;
        let images = shown.unwrap_or_default().iter().filter_map(|at| assignment.images.get(*at));
        if !self.withheld.images && images.clone().any(|images| !images.is_empty()) {
            inputs.insert(IMAGES.to_owned(), images.map(|urls| Value::from(urls.clone())).collect());
        }
        Some((inputs, draw))
    }

    /// Has a text that was refused written from fewer records: from half of them where it was too long, else without
    /// the row that was refused.
    async fn with_fewer(
        &mut self,
        program: &dyn Evaluator,
        assignment: &Assignment,
        records: &Records,
        mut shown: Vec<usize>,
        mut refusal: Refused,
    ) -> Result<Arc<Trace>, Halt> {
        let (mut written, mut found, room) = (None, 0, self.withheld.room);
        // What others of the same batch have brought to light is left out first.
        let known = self.withheld.shown(records);
        let mut is_fewer = known.len() < shown.len();
        shown = known;
        loop {
            if is_fewer {
                let Some(trace) = self.resend(program, assignment, &shown).await? else { break };
                match Refused::of(&trace) {
                    Some(again) => refusal = again,
                    None => return Ok(trace),
                }
            }
            is_fewer = true;
            if shown.is_empty() || found == MOST_FOUND || self.withheld.hopeless.contains(program.name()) {
                break;
            }
            let refused = if refusal.reason != Refusal::Length {
                self.find(program, assignment, &shown, &mut written).await?
            } else if let [only] = shown.as_slice() {
                Some(*only).filter(|only| records.shortest() != Some(*only))
            } else {
                shown = self.shortened(program.name(), records, &shown, &refusal);
                continue;
            };
            let Some(at) = refused else {
                self.withheld.hopeless.insert(program.name().to_owned());
                // It was not the records that took the room.
                self.withheld.room = room;
                break;
            };
            found += 1;
            self.withhold(records.row(at), &refusal);
            shown = self.withheld.shown(records);
        }
        Ok(written.unwrap_or_else(|| Arc::new(refused(refusal))))
    }

    /// The first of what was too long, about half of it.
    fn shortened(&mut self, name: &str, records: &Records, shown: &[usize], refusal: &Refused) -> Vec<usize> {
        if self.withheld.room.is_none() {
            self.warn(format!(
                "a request for `{name}` does not fit the prompt model's context window, so requests hold fewer \
                 records: {}",
                refusal.why
            ));
        }
        let room = records.chars(shown) / 2;
        self.withheld.room = Some(room);
        records.fitting(shown.split_last().map_or(shown, |(_, before)| before), room)
    }

    /// Finds a record that is refused among those shown, by halves. Keeps a text that was written on the way. `None`
    /// where it is not the records, or the budget has no room for the search.
    async fn find(
        &mut self,
        program: &dyn Evaluator,
        assignment: &Assignment,
        shown: &[usize],
        written: &mut Option<Arc<Trace>>,
    ) -> Result<Option<usize>, Halt> {
        let (mut suspects, mut has_passed) = (shown.to_vec(), false);
        while suspects.len() > 1 {
            let rest = suspects.split_off(suspects.len() / 2);
            match self.probe(program, assignment, &suspects, written).await? {
                Some(true) => (has_passed, suspects) = (true, rest),
                Some(false) => {}
                None => return Ok(None),
            }
        }
        let suspect = suspects.first().copied();
        // Where nothing has passed, other records by themselves tell whether anything does.
        let mut others: Vec<usize> = shown.iter().copied().filter(|other| Some(*other) != suspect).collect();
        others.drain(..others.len().saturating_sub(MOST_FOUND));
        // Where there is no other, a text that was written before says that the set-up is right.
        has_passed |= others.is_empty() && self.withheld.has_written;
        while !has_passed && let Some(other) = others.pop() {
            match self.probe(program, assignment, &[other], written).await? {
                Some(passes) => has_passed = passes,
                None => return Ok(None),
            }
        }
        Ok(suspect.filter(|_| has_passed))
    }

    /// Whether a text with these records is not refused; `None` where it cannot be asked for.
    async fn probe(
        &mut self,
        program: &dyn Evaluator,
        assignment: &Assignment,
        shown: &[usize],
        written: &mut Option<Arc<Trace>>,
    ) -> Result<Option<bool>, Halt> {
        let trace = self.resend(program, assignment, shown).await?;
        let passes = trace.as_ref().map(|trace| Refused::of(trace).is_none());
        let text = trace.filter(|trace| passes == Some(true) && trace.error.is_none());
        *written = text.or(written.take());
        Ok(passes)
    }

    /// Sends a text again with these records. `None` where there is nothing to send, or the budget is too small for
    /// more than an evaluation.
    async fn resend(
        &mut self,
        program: &dyn Evaluator,
        assignment: &Assignment,
        shown: &[usize],
    ) -> Result<Option<Arc<Trace>>, Halt> {
        let Some(told) = self.told(assignment, Some(shown)) else { return Ok(None) };
        if self.spare(self.board().examples().len()) == Some(0) {
            return Ok(None);
        }
        let trace = self.send(program, vec![told]).await?.into_iter().next();
        self.withheld.has_written |= trace.as_ref().is_some_and(|trace| has_text(trace));
        Ok(trace)
    }

    /// Leaves a row out of all later requests, and says so.
    fn withhold(&mut self, row: Option<ContentHash>, refusal: &Refused) {
        self.withheld.rows.extend(row);
        let why = self.withheld.note.as_ref().map_or(refusal.why.as_str(), |(_, why)| why.as_str());
        let text = format!(
            "{} examples are not shown to the prompt model, because its provider refused requests that held them; the \
             first time it said: {why}",
            self.withheld.rows.len()
        );
        self.observe(&Event::Warning { message: text.clone() });
        match &self.withheld.note {
            Some((at, _)) => self.notes.get_mut(*at).into_iter().for_each(|note| note.clone_from(&text)),
            None => {
                self.withheld.note = Some((self.notes.len(), refusal.why.clone()));
                self.note(text);
            }
        }
    }
}

/// What a text is to be written from: its inputs with these records; `None` where that is nothing.
fn told(assignment: &Assignment, shown: Option<&[usize]>) -> Option<(Fields, u64)> {
    let mut inputs = assignment.inputs.clone();
    if let (Some(records), Some(shown)) = (&assignment.records, shown)
        && (shown.len() < records.records.len() || shown.is_empty())
    {
        let text = records.text(shown);
        if text.is_empty() {
            return None;
        }
        inputs.insert(records.field.clone(), Value::from(text));
    }
    Some((inputs, assignment.draw))
}

/// Whether a text came, as the field of a prompt's signature or in the list of bare replies.
fn has_text(trace: &Trace) -> bool {
    let holds = |value: &Value| match value {
        Value::Array(texts) => !texts.is_empty(),
        value => value.as_str().is_some_and(|text| !text.trim().is_empty()),
    };
    let fields = trace.prediction.as_ref().map(Prediction::fields);
    trace.error.is_none()
        && Refused::of(trace).is_none()
        && fields.is_some_and(|fields| fields.values().any(holds))
}

/// A text that was refused for good.
fn refused(refusal: Refused) -> Trace {
    Trace::new(Example::default()).with_prediction(refusal.into_prediction())
}

/// A text of which nothing may be shown that it is to be written from.
fn nothing_to_show() -> Arc<Trace> {
    let why = "the provider refused every record that it is to be written from";
    Arc::new(Trace::new(Example::default()).with_error(Failure::new(FailureKind::Provider, why)))
}
