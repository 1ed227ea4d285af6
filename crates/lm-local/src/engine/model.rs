//! The model as the rest of the world sees it.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use promptopt_core::lm::{
    Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, ModelServer, Role,
};
use promptopt_core::money::Price;
use tokio::sync::oneshot;

use super::backend::backend;
use super::chat::template_of;
use super::fingerprint::model_id;
use super::options::LocalModelOptions;
use super::queue::{Job, Queue};
use super::stats::{Counters, LocalStats};
use super::weights_file::prepare;
use super::worker::{Shared, work};
use crate::Error;

/// A language model that runs inside this process, on the CPU.
///
/// One copy of the weights, a queue, and worker threads with a context each. Requests wait in the
/// queue without blocking the async runtime; a future that is dropped takes its request with it.
/// Dropping the model stops the workers after the token they are at and joins them.
///
/// The chat template is the one in the file (ChatML where there is none). A last message by the
/// assistant is continued. `response_format` is not enforced: the text of the request has to ask
/// for the form it wants. With temperature 0 all `n` completions are the same text; otherwise
/// each is drawn with a seed made of the request, its `sample_index` and its number.
///
/// # The same request gives the same reply
///
/// Floating point sums depend on their order, and llama.cpp picks its kernels by the shape of a
/// batch, so what else is in a batch can change a token. Measured bit by bit on the logits after
/// a 300-token prompt (x86-64 with AVX-512; Q4_0, Q4_1, Q8_0 and BF16 weights; Q4_1 with AVX2, too):
///
/// - Reading tokens one by one gives other bits than reading them in chunks, for every format;
///   chunks of 7 to 300 gave equal bits without flash attention, and three different results
///   with it (Q4_1, AVX2).
/// - A token decoded together with other sequences gave other bits than alone with BF16. With the
///   quantised formats the bits were equal, but nothing in the engine promises that.
/// - What lies in cells of the cache that are masked, how large the cache is, and a copied
///   prefix changed nothing.
///
/// So the rule here does not rest on any kernel's habits: *each call to the engine decodes tokens
/// of one sequence only, and where a prompt is cut depends on the prompt alone* — every 64 tokens,
/// and where the last user message begins. Each sequence has cells of its own, where token *i* lies
/// in cell *i*. Everything computed for a request is then a function of that request, and a
/// prefix is reused only in whole chunks, which hold the bits that reading them again would give.
///
/// Batches of several sequences were measured too: on one core 8 sequences write 1.0 to 1.7 times
/// as many tokens per second, and completions here are short. Reading the prompt is what costs, and
/// the cache saves that.
///
/// Replies can still differ between processors, builds of llama.cpp and files; the last two are
/// in the [`id`](ModelProfile::id) of the profile.
pub struct LocalModel {
    profile: ModelProfile,
    context_length: u32,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    workers: Vec<JoinHandle<()>>,
}

impl LocalModel {
    /// Loads a model in a thread of its own, so that the async runtime is not held up.
    ///
    /// # Errors
    ///
    /// As [`load_blocking`](Self::load_blocking).
    pub async fn load(options: LocalModelOptions) -> Result<Self, Error> {
        let engine = |message: String| Error::Engine { doing: "loading the model", message };
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("promptopt-lm-load".to_owned())
            .spawn(move || sender.send(Self::load_blocking(options)).is_ok())
            .map_err(|error| engine(error.to_string()))?;
        receiver.await.map_err(|_| engine("the loading thread panicked".to_owned()))?
    }

    /// Loads a model in the calling thread. The whole file is read once for its sha256, which is
    /// part of the model's id, and compared with the pinned one where the file bears the name of a
    /// known model.
    ///
    /// # Errors
    ///
    /// The file is missing, cut off, corrupt or not a GGUF chat model, or the memory does not
    /// suffice.
    pub fn load_blocking(options: LocalModelOptions) -> Result<Self, Error> {
        let file = prepare(&options)?;
        let engine = |message: String| Error::Engine { doing: "loading the model", message };
        let model = LlamaModel::load_from_file(backend()?, &file.path, &LlamaModelParams::default())
            .map_err(|error| {
                engine(format!(
                    "{} cannot be loaded ({error}); is it a whole GGUF file of a model that llama.cpp knows?",
                    options.path.display()
                ))
            })?;
        let template = template_of(&model).map_err(engine)?;
        let context_length = options.context_length.min(model.n_ctx_train()).max(1);
        let id = model_id(&options.path, &file.sha256, file.recipe, context_length, &options);
        let name = options.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let profile = ModelProfile::new(id)
            .with_price(Price::FREE)
            .with_max_tokens(options.max_tokens)
            .without_tools()
            .with_server(ModelServer::new(name).with_provider("llama.cpp"));
        let (queue, counters) = (Arc::new(Queue::default()), Arc::new(Counters::default()));
        let contexts = options.contexts.max(1);
        let shared = Arc::new(Shared {
            model,
            template,
            options,
            context_length,
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
        });
        // From here on, dropping `this` ends the workers that were started.
        let mut this = Self { profile, context_length, queue, counters, workers: Vec::new() };
        let (sender, ready) = mpsc::channel();
        for number in 0..contexts {
            let (shared, sender) = (Arc::clone(&shared), sender.clone());
            let worker = thread::Builder::new()
                .name(format!("promptopt-lm-{number}"))
                .spawn(move || {
                    work(&shared, move |result| {
                        // The loader is gone only when it has failed already.
                        let _ = sender.send(result);
                    });
                })
                .map_err(|error| engine(error.to_string()))?;
            this.workers.push(worker);
        }
        drop(sender);
        for _ in 0..contexts {
            ready.recv().map_err(|_| engine("a worker panicked while it started".to_owned()))??;
        }
        tracing::debug!(id = %this.profile.id, contexts, "the embedded model is ready");
        Ok(this)
    }

    /// Tokens of prompt and completion together, at most.
    pub fn context_length(&self) -> u32 {
        self.context_length
    }

    /// What was done so far, and how much of it the cache saved.
    pub fn stats(&self) -> LocalStats {
        self.counters.read()
    }
}

#[async_trait]
impl LanguageModel for LocalModel {
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        let stopped = || LmError::Engine { message: "its workers have stopped; load it anew".to_owned() };
        if request.messages.is_empty() {
            let message = "the request holds no messages".to_owned();
            return Err(LmError::InvalidRequest { status: 400, message });
        }
        if let Some(what) = beyond(request) {
            let message = format!(
                "{what}; the embedded model reads and writes text alone: use a model behind a server"
            );
            return Err(LmError::InvalidRequest { status: 400, message });
        }
        let (reply, answer) = oneshot::channel();
        if !self.queue.push(Job::new(request.clone(), reply)) {
            return Err(stopped());
        }
        answer.await.map_err(|_| stopped())?.map(LmReply::read)
    }
}

/// What a request asks for that is no text.
fn beyond(request: &LmRequest) -> Option<&'static str> {
    let any = |has: fn(&Message) -> bool| request.messages.iter().any(has);
    if any(|message| message.content.as_slice().iter().any(|part| part.text().is_none())) {
        Some("a message shows an image, a sound or a file")
    } else if !request.tools.is_empty() || any(|message| !message.tool_calls.is_empty()) {
        Some("the request has tools")
    } else if any(|message| matches!(message.role, Role::Tool | Role::Function)) {
        Some("a message is the result of a tool")
    } else if request.logprobs.is_some() {
        Some("the request asks for log-probabilities")
    } else {
        None
    }
}

impl fmt::Debug for LocalModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalModel")
            .field("id", &self.profile.id)
            .field("contexts", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl Drop for LocalModel {
    fn drop(&mut self) {
        self.queue.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so already.
            let _ = worker.join();
        }
    }
}
