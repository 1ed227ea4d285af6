//! Who writes instructions: the prompt model, on trial where something stands by, or what stands by.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::lm::Sampling;
use promptopt_core::program::Predictor;

use super::Run;
use crate::plain_request::PlainRequest;
use crate::proposal::{Flaw, Judge, Known, normalized};
use crate::{Assignment, Halt, InstructionRequest, InstructionWriter};

/// So many instructions the prompt model writes in its trial, for the first predictor that wants one.
pub(crate) const TRIAL: usize = 3;
/// So many of the writer that stands by are tried beside them.
const BESIDE: usize = 2;
/// The trial is made where the budget leaves so many calls for each of its own.
const ROOM: u64 = 20;
/// Fewer than one proposal in so many that can serve is too few.
const SERVING: u64 = 3;
/// A mean of few examples is pulled towards no gain as if there were so many more.
const PRIOR: f64 = 10.0;
/// So often the scores decide anew who writes on.
const DECISIONS: usize = 8;

/// What is known of those who write instructions.
#[derive(Default)]
pub(crate) struct Writers {
    /// Whether the trial was made.
    is_tried: bool,
    /// Why the prompt model is not asked any more.
    given_up: bool,
    /// Whether what stands by wrote on when the scores last decided, and how often they did.
    stands_in: bool,
    decisions: usize,
    /// What the trial brought, by predictor, until a strategy takes it.
    ready: BTreeMap<String, VecDeque<String>>,
    /// Instructions of what stands by that were tried beside those of the prompt model, and what is known of those.
    by_writer: HashSet<String>,
    model: Mutex<Proposals>,
}

/// What the prompt model wrote.
#[derive(Default)]
struct Proposals {
    /// How many were judged, and those that can serve.
    judged: u64,
    serving: HashSet<String>,
}

/// Hands out what the trial brought.
struct Ready;

#[async_trait]
impl InstructionWriter for Ready {
    async fn write_instructions(
        &self,
        run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let ready = run.writers.ready.get_mut(&request.predictor);
        Ok(ready.map_or_else(Vec::new, |ready| ready.drain(..request.count.min(ready.len())).collect()))
    }
}

impl Run<'_> {
    /// Whether instructions may come of the prompt model.
    pub fn may_ask_prompt_model(&self) -> bool {
        self.options.instruction_writer.is_none() && !self.writers.given_up
    }

    /// The calls of the prompt model that its trial takes at most; `None` where there is to be none.
    pub fn trial_calls(&self) -> Option<u64> {
        let has_room = self.ledger.remaining().is_none_or(|calls| calls >= ROOM * TRIAL as u64);
        let wanted = self.options.instruction_writer.is_none() && self.options.fallback_writer.is_some();
        (wanted && has_room && !self.writers.is_tried).then_some(TRIAL as u64)
    }

    /// What writes instructions for a predictor now in place of the prompt model; `None` where the prompt model does.
    ///
    /// With a [`fallback_writer`](crate::RunOptions::fallback_writer) the first call is a trial of the prompt model:
    /// it writes a few instructions, which are judged. Where most cannot serve, what stands by writes for the rest of
    /// the run. Else both have instructions among the first candidates, and from then on those of whom gained more
    /// where they were tried are written on. The trial's are handed out first, but not where an instruction is to be
    /// written `anew`, without sight of the present one.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends on the way.
    pub async fn writer(
        &mut self,
        predictor: &dyn Predictor,
        anew: bool,
    ) -> Result<Option<Arc<dyn InstructionWriter>>, Halt> {
        if let Some(writer) = &self.options.instruction_writer {
            return Ok(Some(Arc::clone(writer)));
        }
        let Some(fallback) = self.options.fallback_writer.clone() else { return Ok(None) };
        if self.trial_calls().is_some() {
            self.writers.is_tried = true;
            self.try_prompt_model(predictor, &*fallback).await?;
        }
        if !anew && self.writers.ready.get(predictor.path()).is_some_and(|ready| !ready.is_empty()) {
            return Ok(Some(Arc::new(Ready)));
        }
        self.decide();
        Ok((self.writers.given_up || self.writers.stands_in).then_some(fallback))
    }

    /// Has the prompt model write the first instructions for a predictor, and puts some of another writer beside them.
    async fn try_prompt_model(
        &mut self,
        predictor: &dyn Predictor,
        fallback: &dyn InstructionWriter,
    ) -> Result<(), Halt> {
        let path = predictor.path();
        self.stage("writer", format!("the prompt model writes {TRIAL} instructions on trial for `{path}`"));
        let mut known = Known::from_iter(self.base().instruction(path));
        let (own, why) = self.write_plainly(predictor, TRIAL, 0, &mut known).await?;
        let serving = own.len();
        if serving * 2 < TRIAL {
            self.writers.given_up = true;
            let why = why.map(|why| format!(" (the last: {why})")).unwrap_or_default();
            self.warn(format!(
                "{serving} of {TRIAL} instructions that the prompt model wrote on trial can serve{why}, so instructions \
                 are written without it"
            ));
        }
        let base = self.base();
        let instruction = base.instruction(path).unwrap_or_default();
        let seed = self.options.seed;
        let mut request = InstructionRequest::new(path, predictor.signature().clone(), instruction, seed);
        request.examples = self.train().to_vec();
        request.count = BESIDE;
        request.taken.clone_from(&own);
        // A writer that stands by and fails has nothing beside them.
        let mut beside = self.write_with(fallback, &request).await?.unwrap_or_default();
        beside.retain(|text| known.admit(text).is_ok());
        self.writers.by_writer.extend(beside.iter().map(|text| normalized(text)));
        let (mut own, mut beside) = (own.into_iter(), beside.into_iter());
        let mut ready = VecDeque::new();
        // In turn, so that a strategy that takes only some of them has some of both.
        loop {
            let before = ready.len();
            ready.extend(own.next());
            ready.extend(beside.next());
            if ready.len() == before {
                break;
            }
        }
        self.writers.ready.insert(path.to_owned(), ready);
        Ok(())
    }

    /// Has the prompt model write up to so many instructions for a predictor, each asked for in a short and plain
    /// request that a small model can follow, and why the last of those that cannot serve cannot.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends on the way.
    pub async fn write_plainly(
        &mut self,
        predictor: &dyn Predictor,
        count: usize,
        draw: u64,
        known: &mut Known,
    ) -> Result<(Vec<String>, Option<String>), Halt> {
        let judge = Judge::of(self, predictor).requested_by(PlainRequest::FIXED);
        let request = PlainRequest::of(self, predictor);
        let assignments: Vec<Assignment> =
            (0..count as u64).map(|number| request.assignment(self, draw + number)).collect();
        let sampling = Sampling::default().with_temperature(1.0).with_max_tokens(PlainRequest::MAX_TOKENS);
        let mut written = Vec::new();
        let mut why = None;
        for reply in self.ask(&sampling, "write_instruction", assignments).await? {
            let proposal = match reply {
                Ok(reply) => judge.read(&reply, known),
                Err(failure) => {
                    why = Some(failure);
                    continue;
                }
            };
            self.observe_proposal(predictor.path(), &proposal.text, proposal.flaw.map(Flaw::reason));
            match proposal.flaw {
                Some(flaw) => why = Some(flaw.reason().to_owned()),
                None => {
                    known.note(&proposal.text);
                    written.push(proposal.text);
                }
            }
        }
        Ok((written, why))
    }

    /// Counts a proposal of the prompt model. One that exists already says nothing of whether it can write.
    pub(super) fn count_proposal(&self, instruction: &str, dropped: Option<&str>) {
        let is_repeated = dropped == Some(Flaw::Duplicate.reason()) || dropped == Some("unchanged");
        if self.options.fallback_writer.is_none() || is_repeated {
            return;
        }
        let text = normalized(instruction);
        if !self.writers.stands_in && !self.writers.by_writer.contains(&text) {
            let mut model = self.writers.model.lock().unwrap_or_else(PoisonError::into_inner);
            model.judged += 1;
            if dropped.is_none() {
                model.serving.insert(text);
            }
        }
    }

    /// Decides who writes on: by how many proposals could serve, then by what those that were tried gained.
    fn decide(&mut self) {
        if self.writers.given_up || self.writers.decisions == DECISIONS {
            return;
        }
        let (judged, serving, own) = {
            let model = self.writers.model.lock().unwrap_or_else(PoisonError::into_inner);
            (model.judged, model.serving.len() as u64, self.gain_of(&model.serving))
        };
        if judged >= 2 * SERVING && serving * SERVING < judged {
            self.writers.given_up = true;
            self.warn(format!(
                "{serving} of {judged} instructions of the prompt model can serve, so the others are written without it"
            ));
            return;
        }
        let beside = self.gain_of(&self.writers.by_writer);
        if own.is_none() && beside.is_none() || self.writers.by_writer.is_empty() {
            return;
        }
        // What no strategy went on with gained nothing.
        let (own, beside) = (own.unwrap_or_default(), beside.unwrap_or_default());
        let before = std::mem::replace(&mut self.writers.stands_in, beside > own);
        self.writers.decisions += 1;
        if self.writers.decisions == 1 || before != self.writers.stands_in {
            self.note(format!(
                "instructions of the prompt model gained {own:+.3} where they were tried, those written without it \
                 {beside:+.3}: {} wrote on",
                if self.writers.stands_in { "what stands by" } else { "the prompt model" }
            ));
        }
    }

    /// The mean gain of candidates with one of these instructions, each pulled towards none as far as little is known
    /// of it; `None` where none was tried.
    fn gain_of(&self, instructions: &HashSet<String>) -> Option<f64> {
        let own = self.board.scores(0);
        let is_of = |index: &usize| {
            let candidate = self.board.candidates().get(*index);
            candidate.is_some_and(|one| {
                one.prompts.iter().any(|(_, prompt)| instructions.contains(&normalized(&prompt.instruction)))
            })
        };
        let gain = |index: usize| {
            let scores = self.board.scores(index);
            let pairs = own.as_slice().iter().zip(scores.as_slice());
            let differences: Vec<f64> = pairs.filter_map(|(own, new)| Some((*new)? - (*own)?)).collect();
            let sum: f64 = differences.iter().sum();
            (!differences.is_empty()).then_some(sum / (differences.len() as f64 + PRIOR))
        };
        let gains: Vec<f64> = (1..self.board.candidates().len()).filter(is_of).filter_map(gain).collect();
        (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64)
    }
}
