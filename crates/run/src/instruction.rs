//! The one seam for whoever writes instructions in another way than asking a prompt model.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::signature::Signature;
use promptopt_core::trace::Trace;

use crate::Run;

/// Instructions to be written for a predictor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InstructionRequest {
    /// Path of the predictor.
    pub predictor: String,
    /// What the predictor takes and gives.
    pub signature: Signature,
    /// The instruction to improve on.
    pub instruction: String,
    /// Runs of the program under that instruction, on training examples.
    pub traces: Vec<Arc<Trace>>,
    /// Training examples.
    pub examples: Vec<Arc<Example>>,
    /// Instructions that exist already.
    pub taken: Vec<String>,
    /// How many are wanted. Default: 1.
    pub count: usize,
    /// Seed of random choices, another one for every request.
    pub seed: u64,
}

impl InstructionRequest {
    /// A request for one instruction, without any material.
    pub fn new(
        predictor: impl Into<String>,
        signature: Signature,
        instruction: impl Into<String>,
        seed: u64,
    ) -> Self {
        Self {
            predictor: predictor.into(),
            signature,
            instruction: instruction.into(),
            traces: Vec::new(),
            examples: Vec::new(),
            taken: Vec::new(),
            count: 1,
            seed,
        }
    }
}

/// Writes instructions in place of the prompt model. Every optimizer takes one (`instruction_writer`).
#[async_trait]
pub trait InstructionWriter: Send + Sync {
    /// Up to [`count`](InstructionRequest::count) new instructions; none when it has no more to give. A writer that
    /// asks a model asks it through the run ([`Run::ask`]), so that the budget pays for it.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from writing. That is a failed proposal and does not end a run, unless it is a
    /// [`Halt`](crate::Halt) that the run gave.
    async fn write_instructions(
        &self,
        run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>>;
}
