//! Who writes instructions: the prompt model, on trial where something stands by, or what stands by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::lm::Sampling;
use promptopt_core::program::Predictor;
use promptopt_core::trace::{FailureKind, Trace};

use super::Run;
use crate::forecast::TRIAL_STAGE;
use crate::plain_request::PlainRequest;
use crate::proposal::{Flaw, Judge, Known};
use crate::{Assignment, Halt, InstructionWriter};

/// So many instructions the prompt model writes in its trial, for the first predictor that wants one.
const TRIAL: u64 = 3;
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
    /// Texts of the prompt model that were judged, and those of them that can serve.
    judged: AtomicU64,
    serving: AtomicU64,
}

impl Run<'_> {
    /// Whether instructions may come of the prompt model.
    pub fn may_ask_prompt_model(&self) -> bool {
        self.options.instruction_writer.is_none() && !self.writers.given_up
    }

    /// The calls of the prompt model that its trial takes at most; `None` where there is to be none.
    pub(crate) fn trial_calls(&self) -> Option<u64> {
        let has_room = self.ledger.remaining().is_none_or(|calls| calls >= ROOM * TRIAL);
        let wanted = self.options.instruction_writer.is_none() && self.options.fallback_writer.is_some();
        (wanted && has_room && !self.writers.is_tried).then_some(TRIAL)
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

    /// Has the prompt model write a few instructions for a predictor, each asked for in a short and plain request that a
    /// small model can follow, and gives it up where most cannot serve.
    async fn try_prompt_model(&mut self, predictor: &dyn Predictor) -> Result<(), Halt> {
        let path = predictor.path();
        self.stage(
            TRIAL_STAGE,
            format!("the prompt model writes {TRIAL} instructions on trial for `{path}`"),
        );
        let mut known = Known::from_iter(self.base().instruction(path));
        let judge = Judge::of(self, predictor).requested_by(PlainRequest::FIXED);
        let request = PlainRequest::of(self, predictor);
        let assignments: Vec<Assignment> = (0..TRIAL).map(|draw| request.assignment(self, draw)).collect();
        let sampling = Sampling::default().with_temperature(1.0).with_max_tokens(PlainRequest::MAX_TOKENS);
        let (mut serving, mut why) = (0, None);
        for reply in self.ask(&sampling, "write_instruction", assignments).await? {
            let proposal = match reply {
                Ok(reply) => judge.read(&reply, &known),
                Err(failure) => {
                    why = Some(failure);
                    continue;
                }
            };
            self.observe_proposal(path, &proposal.text, proposal.flaw.map(Flaw::reason));
            match proposal.flaw {
                Some(flaw) => why = Some(flaw.reason().to_owned()),
                None => {
                    known.note(&proposal.text);
                    serving += 1;
                }
            }
        }
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

    /// Counts a proposal of the prompt model. One that exists already says nothing of whether it can write.
    pub(super) fn count_proposal(&self, dropped: Option<&str>) {
        let is_repeated = dropped == Some(Flaw::Duplicate.reason()) || dropped == Some("unchanged");
        if self.options.fallback_writer.is_none() || self.writers.given_up || is_repeated {
            return;
        }
        self.writers.judged.fetch_add(1, Ordering::Relaxed);
        self.writers.serving.fetch_add(u64::from(dropped.is_none()), Ordering::Relaxed);
    }

    /// Counts replies of the prompt model that do not have the form which was asked for.
    pub(crate) fn count_unreadable(&self, traces: &[Arc<Trace>]) {
        let errors = traces.iter().filter_map(|trace| trace.error.as_ref());
        errors
            .filter(|error| error.kind == FailureKind::Reply)
            .for_each(|error| self.count_proposal(Some(&error.message)));
    }

    /// Gives the prompt model up where too few of its proposals can serve.
    fn decide(&mut self) {
        let judged = self.writers.judged.load(Ordering::Relaxed);
        let serving = self.writers.serving.load(Ordering::Relaxed);
        if !self.writers.given_up && judged >= 2 * SERVING && serving * SERVING < judged {
            self.writers.given_up = true;
            self.warn(format!(
                "{serving} of {judged} texts of the prompt model can serve, so the others are written without it"
            ));
        }
    }
}
