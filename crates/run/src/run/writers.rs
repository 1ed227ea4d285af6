//! Who writes instructions: the prompt model, on trial where something stands by, or what stands by.

use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::lm::Sampling;
use promptopt_core::program::Predictor;

use super::Run;
use crate::plain_request::PlainRequest;
use crate::proposal::{Flaw, Judge, Known};
use crate::{Assignment, Halt, InstructionWriter};

/// So many instructions the prompt model writes in its trial, for the first predictor that wants one.
pub(crate) const TRIAL: usize = 3;
/// The trial is made where the budget leaves so many calls for each of its own.
const ROOM: u64 = 20;
/// Fewer than one proposal in so many that can serve is too few.
const SERVING: u64 = 3;

/// What is known of those who write instructions.
#[derive(Default)]
pub(crate) struct Writers {
    /// Whether the trial was made.
    is_tried: bool,
    /// Whether the prompt model is not asked any more.
    given_up: bool,
    /// What the prompt model wrote.
    model: Mutex<Proposals>,
}

/// What the prompt model wrote.
#[derive(Default)]
struct Proposals {
    /// How many were judged, and how many of them can serve.
    judged: u64,
    serving: u64,
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
    /// With a [`fallback_writer`](crate::RunOptions::fallback_writer) the first call is a trial of the prompt model: it
    /// writes a few instructions, which are judged. Where most cannot serve, or later most of all its proposals, what
    /// stands by writes for the rest of the run.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends on the way.
    pub async fn writer(
        &mut self,
        predictor: &dyn Predictor,
    ) -> Result<Option<Arc<dyn InstructionWriter>>, Halt> {
        if let Some(writer) = &self.options.instruction_writer {
            return Ok(Some(Arc::clone(writer)));
        }
        let Some(fallback) = self.options.fallback_writer.clone() else { return Ok(None) };
        if self.trial_calls().is_some() {
            self.writers.is_tried = true;
            self.try_prompt_model(predictor).await?;
        }
        self.decide();
        Ok(self.writers.given_up.then_some(fallback))
    }

    /// Has the prompt model write a few instructions for a predictor, and gives it up where too few can serve.
    async fn try_prompt_model(&mut self, predictor: &dyn Predictor) -> Result<(), Halt> {
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
    pub(super) fn count_proposal(&self, dropped: Option<&str>) {
        let is_repeated = dropped == Some(Flaw::Duplicate.reason()) || dropped == Some("unchanged");
        if self.options.fallback_writer.is_none() || self.writers.given_up || is_repeated {
            return;
        }
        let mut model = self.writers.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.judged += 1;
        model.serving += u64::from(dropped.is_none());
    }

    /// Gives the prompt model up where too few of its proposals can serve.
    fn decide(&mut self) {
        let (judged, serving) = {
            let model = self.writers.model.lock().unwrap_or_else(PoisonError::into_inner);
            (model.judged, model.serving)
        };
        if !self.writers.given_up && judged >= 2 * SERVING && serving * SERVING < judged {
            self.writers.given_up = true;
            self.warn(format!(
                "{serving} of {judged} instructions of the prompt model can serve, so the others are written without it"
            ));
        }
    }
}
