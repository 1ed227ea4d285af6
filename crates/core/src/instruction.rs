//! The seam for those who write instructions in another way than asking a prompt model.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Example, Signature, Trace};

/// One instruction to be written.
#[derive(Debug, Clone)]
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
    /// Seed of random choices, another one for every request.
    pub seed: u64,
}

/// Writes instructions, in place of the prompt model of an optimizer.
#[async_trait]
pub trait InstructionWriter: Send + Sync {
    /// A new instruction; `None` when it has no more to give.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from writing. That is a failed proposal and does not end a run.
    async fn write_instruction(&self, request: &InstructionRequest) -> anyhow::Result<Option<String>>;
}
