//! One context: reads prompts chunk by chunk, and steps through completions token by token.
//!
//! Every call to the engine decodes tokens of one sequence only, and how a prompt is cut depends
//! on the prompt alone. See [`LocalModel`](crate::LocalModel) for why.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::backend::backend;
use super::chat::Tokens;
use super::options::{CHUNK, LocalModelOptions};
use super::slots::{Slots, chunk_ends};
use crate::Error;

/// The engine pads its cache to this many cells.
const CELLS: u32 = 256;
/// `LLAMA_FLASH_ATTN_TYPE_DISABLED`: slower on the CPU for prompts of this length.
const NO_FLASH_ATTENTION: i32 = 0;
/// The engine's name for the last token of a batch.
const LAST: i32 = -1;

/// Creating two contexts of one model at a time is not safe in llama.cpp.
static CREATION: Mutex<()> = Mutex::new(());

pub(super) struct Reader<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    slots: Slots<LlamaToken>,
}

/// A prompt that was read: where it lies, and how much of it did not have to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) slot: usize,
    pub(super) cached: usize,
}

impl<'model> Reader<'model> {
    pub(super) fn new(
        model: &'model LlamaModel,
        context_length: u32,
        options: &LocalModelOptions,
    ) -> Result<Self, Error> {
        let sequences = options.cached_prompts.max(1);
        let cells = context_length.div_ceil(CELLS).saturating_mul(CELLS).saturating_mul(sequences);
        let threads = i32::try_from(options.threads_per_context.max(1)).unwrap_or(1);
        let chunk = u32::try_from(CHUNK).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(cells))
            .with_n_batch(chunk)
            .with_n_ubatch(chunk)
            .with_n_seq_max(sequences)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_kv_unified(false)
            .with_flash_attention_policy(NO_FLASH_ATTENTION)
            .with_no_perf(true);
        let backend = backend()?;
        let context = {
            let _one_at_a_time = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
            model.new_context(backend, params)
        };
        let context = context.map_err(|error| Error::Engine {
            doing: "creating a context of the model",
            message: format!(
                "{error}; the cache of {cells} tokens may not fit the memory: lower `context_length`, `cached_prompts` or `contexts`"
            ),
        })?;
        let slots = Slots::new(usize::try_from(sequences).unwrap_or(1));
        Ok(Self { context, batch: LlamaBatch::new(CHUNK, 1), slots })
    }

    pub(super) fn knows(&self, affinity: u64) -> bool {
        self.slots.knows(affinity)
    }

    /// Reads a prompt; afterwards [`Self::logits`] tells what may follow it.
    pub(super) fn read(
        &mut self,
        tokens: &Tokens,
        affinity: u64,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Position>, String> {
        let ends = chunk_ends(tokens.all.len(), tokens.shared);
        let plan = self.slots.plan(&tokens.all, &ends);
        self.slots.forget(plan.slot);
        if let Some(source) = plan.copy_from {
            self.context
                .copy_kv_cache_seq(sequence(source)?, sequence(plan.slot)?, None, None)
                .map_err(|error| error.to_string())?;
        }
        self.rewind(plan.slot, plan.keep)?;

        let mut start = plan.keep;
        for end in ends.into_iter().filter(|end| *end > plan.keep) {
            if stop() {
                return Ok(None);
            }
            let chunk = tokens.all.get(start..end).unwrap_or_default();
            self.decode(plan.slot, start, chunk, end == tokens.all.len())?;
            start = end;
        }
        let ends = chunk_ends(tokens.all.len(), tokens.shared);
        self.slots.remember(plan.slot, &tokens.all, &ends, tokens.shared, affinity);
        Ok(Some(Position { slot: plan.slot, cached: plan.keep }))
    }

    /// Adds one token of a completion.
    pub(super) fn step(&mut self, slot: usize, position: usize, token: LlamaToken) -> Result<(), String> {
        self.decode(slot, position, &[token], true)
    }

    /// Drops everything of a sequence behind its first `keep` tokens.
    pub(super) fn rewind(&mut self, slot: usize, keep: usize) -> Result<(), String> {
        let from = u32::try_from(keep).map_err(|error| error.to_string())?;
        let slot = u32::try_from(slot).map_err(|error| error.to_string())?;
        match self.context.clear_kv_cache_seq(Some(slot), Some(from), None) {
            Ok(true) => Ok(()),
            Ok(false) => Err("this model's cache cannot be cut; it is not supported".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// One logit per token of the vocabulary, after the last token that was decoded.
    pub(super) fn logits(&self) -> &[f32] {
        self.context.get_logits_ith(LAST)
    }

    /// Forgets everything, after something went wrong.
    pub(super) fn reset(&mut self) {
        self.context.clear_kv_cache();
        self.slots = Slots::new(self.slots.len());
    }

    fn decode(
        &mut self,
        slot: usize,
        start: usize,
        tokens: &[LlamaToken],
        wants_logits: bool,
    ) -> Result<(), String> {
        let slot = sequence(slot)?;
        self.batch.clear();
        for (offset, token) in tokens.iter().enumerate() {
            let is_last = offset + 1 == tokens.len();
            self.batch
                .add(*token, sequence(start + offset)?, &[slot], wants_logits && is_last)
                .map_err(|error| error.to_string())?;
        }
        self.context.decode(&mut self.batch).map_err(|error| error.to_string())
    }
}

/// The engine counts in `i32`.
fn sequence(number: usize) -> Result<i32, String> {
    i32::try_from(number).map_err(|error| error.to_string())
}
