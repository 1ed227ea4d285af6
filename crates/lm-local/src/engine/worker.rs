//! A worker thread: takes requests from the queue and answers them one at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use llama_cpp_2::model::{LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use promptopt_core::lm::{Completion, FinishReason, LmError, LmReply, LmRequest};
use promptopt_core::money::Usage;

use super::chat::tokenize;
use super::options::LocalModelOptions;
use super::picker::Picker;
use super::queue::{Job, Queue};
use super::reader::Reader;
use super::stats::Counters;
use super::text::TextBuilder;
use crate::Error;

/// What all workers of a model share.
pub(super) struct Shared {
    pub(super) model: LlamaModel,
    pub(super) template: LlamaChatTemplate,
    pub(super) options: LocalModelOptions,
    pub(super) context_length: u32,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
}

/// The body of a worker thread. `ready` hears once whether the context could be made.
pub(super) fn work(shared: &Shared, ready: impl FnOnce(Result<(), Error>)) {
    let mut reader = match Reader::new(&shared.model, shared.context_length, &shared.options) {
        Ok(reader) => reader,
        Err(error) => return ready(Err(error)),
    };
    ready(Ok(()));
    let _close = CloseOnPanic(&shared.queue);
    while let Some(job) = shared.queue.take(|affinity| reader.knows(affinity)) {
        let answer = catch_unwind(AssertUnwindSafe(|| answer(shared, &mut reader, &job)));
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => continue,
            Err(_) => Err(LmError::Engine { message: "the worker panicked on this request".to_owned() }),
        };
        if let Err(LmError::Engine { message }) = &answer {
            tracing::warn!(%message, "the embedded model failed on a request");
            reader.reset();
        }
        // Nobody listening any more is no error of ours.
        let _ = job.reply.send(answer);
    }
}

/// Ends the queue when a worker dies, so that nobody waits for it in vain.
struct CloseOnPanic<'queue>(&'queue Queue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

/// `None` when nobody waits for the answer any more.
fn answer(shared: &Shared, reader: &mut Reader<'_>, job: &Job) -> Option<Result<LmReply, LmError>> {
    let stop = || job.reply.is_closed() || shared.queue.is_closed();
    complete(shared, reader, &job.request, job.affinity, &stop).transpose()
}

fn complete(
    shared: &Shared,
    reader: &mut Reader<'_>,
    request: &LmRequest,
    affinity: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<LmReply>, LmError> {
    let engine = |message| LmError::Engine { message };
    let tokens = tokenize(&shared.model, &shared.template, &request.messages)?;
    let length = tokens.all.len();
    let context_length = usize::try_from(shared.context_length).unwrap_or(usize::MAX);
    if length == 0 {
        let message = "the request holds no messages".to_owned();
        return Err(LmError::InvalidRequest { status: 400, message });
    }
    if length >= context_length {
        return Err(LmError::ContextLength {
            message: format!(
                "the prompt has {length} tokens and the context holds {context_length}; shorten the prompt or raise `context_length`"
            ),
        });
    }
    let Some(position) = reader.read(&tokens, affinity, stop).map_err(engine)? else {
        return Ok(None);
    };

    let wanted = request.n.max(1);
    let first = reader.logits().to_vec();
    let mut writer = Writer { shared, reader, slot: position.slot, length, context_length, first: &first };
    let mut completions = Vec::new();
    let mut written = 0;
    for index in 0..wanted {
        let options = &shared.options;
        let picker = Picker::new(request, index, options.temperature, options.seed);
        let greedy = picker.is_greedy();
        let Some((completion, tokens)) = writer.write(request, picker, stop).map_err(engine)? else {
            return Ok(None);
        };
        let copies = if greedy { wanted } else { 1 };
        written += tokens * u64::from(copies);
        completions.extend((0..copies).map(|_| completion.clone()));
        if greedy {
            break;
        }
    }
    shared.counters.answered(length as u64, position.cached as u64, written);
    Ok(Some(LmReply::new(completions, Usage::call(length as u64, written))))
}

/// Writes completions of one prompt that was read.
struct Writer<'a, 'model> {
    shared: &'a Shared,
    reader: &'a mut Reader<'model>,
    slot: usize,
    length: usize,
    context_length: usize,
    first: &'a [f32],
}

impl Writer<'_, '_> {
    /// One completion with the number of its tokens.
    fn write(
        &mut self,
        request: &LmRequest,
        mut picker: Picker,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(Completion, u64)>, String> {
        self.reader.rewind(self.slot, self.length)?;
        let max_tokens = request.sampling.max_tokens.unwrap_or(self.shared.options.max_tokens);
        let room = self.context_length.saturating_sub(self.length);
        let limit = usize::try_from(max_tokens).unwrap_or(usize::MAX).min(room);
        let vocab = self.shared.model.vocab();
        let mut text = TextBuilder::new(&request.sampling.stop);
        let mut written = 0;
        let mut finish_reason = FinishReason::Length;
        while written < limit {
            if stop() {
                return Ok(None);
            }
            let picked = picker.pick(if written == 0 { self.first } else { self.reader.logits() });
            let token = LlamaToken::new(i32::try_from(picked).map_err(|error| error.to_string())?);
            if vocab.is_eog(token) {
                finish_reason = FinishReason::Stop;
                break;
            }
            written += 1;
            if text.push(&vocab.token_to_piece(token, false, None)) {
                finish_reason = FinishReason::Stop;
                break;
            }
            if written < limit {
                self.reader.step(self.slot, self.length + written - 1, token)?;
            }
        }
        // The token that ends a completion is one, too: nothing written is not the same as nothing told.
        let tokens = written.max(1) as u64;
        Ok(Some((Completion::new(text.finish()).with_finish_reason(finish_reason), tokens)))
    }
}
