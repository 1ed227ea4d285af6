//! What can be set about the embedded model.

use std::path::PathBuf;
use std::thread;

use bon::Builder;

/// Tokens decoded in one step when a prompt is read.
///
/// Part of the identity of the model: another size can give other rounding.
pub(super) const CHUNK: usize = 64;

const MAX_DEFAULT_CONTEXTS: usize = 8;

/// Settings of [`LocalModel`](crate::LocalModel).
///
/// The settings up to and including `requantize` change replies, or could, and are part of the model's
/// [`id`](promptopt_core::lm::ModelProfile::id); the rest only changes speed and memory.
#[derive(Debug, Clone, PartialEq, Builder)]
#[non_exhaustive]
pub struct LocalModelOptions {
    /// The GGUF file; see [`resolve`](crate::resolve).
    #[builder(into)]
    pub path: PathBuf,
    /// Tokens of prompt and completion together, at most. Cut to what the model was trained for.
    /// Default 2048.
    #[builder(default = 2048)]
    pub context_length: u32,
    /// Temperature of requests that set none. Default 0, which is greedy.
    #[builder(default = 0.0)]
    pub temperature: f64,
    /// Bound on the completion of requests that set none, in tokens. Default 256.
    #[builder(default = 256)]
    pub max_tokens: u32,
    /// Seed of requests that sample and set none. Default 0.
    #[builder(default = 0)]
    pub seed: u64,
    /// Whether Q4_1 weights are run as Q8_0, which reads prompts about twice as fast and differs
    /// by far less than the quantisation itself. The rewritten file is made once, in the folder
    /// `derived` of the cache folder, and is half as large again. Files of other types run as they
    /// are. Default true.
    #[builder(default = true)]
    pub requantize: bool,
    /// Contexts, each with a worker thread of its own. Default: as many as cores, at most 8.
    #[builder(default = default_contexts())]
    pub contexts: usize,
    /// Threads inside each context. Default 1, and best left there: threads of one context wait
    /// for each other by spinning and collapse when anything else runs.
    #[builder(default = 1)]
    pub threads_per_context: u32,
    /// Prompts each context remembers to read only what is new. Memory grows with it: about 47 MB
    /// each for SmolLM2-135M at the default context length. Default 4.
    #[builder(default = 4)]
    pub cached_prompts: u32,
}

fn default_contexts() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_DEFAULT_CONTEXTS)
}
