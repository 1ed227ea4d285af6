//! How fast the embedded model evaluates: the same instruction and demos with many inputs.
//!
//! `cargo run --release -p promptopt-lm-local --features llama --example rate [file] [contexts]`

#![expect(clippy::indexing_slicing, reason = "every index is taken modulo the length")]

use std::io::Write as _;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message, Sampling};
use promptopt_lm_local::{LocalModel, LocalModelOptions, resolve};

const REQUESTS: usize = 64;
const CONCURRENCY: usize = 16;

const TEXTS: [&str; 4] = [
    "the parcel arrived broken and nobody answers the telephone",
    "what a wonderful evening, we will certainly come again",
    "I was charged twice for the same month, please give it back",
    "the new version starts twice as fast and looks good as well",
];

fn short(number: usize) -> LmRequest {
    let instruction = "Classify the sentiment of the text as positive or negative. Answer with one word. \
        Example: I love this shop -> positive. Example: it broke on the first day -> negative. \
        Example: the staff were friendly and quick -> positive. Example: never again -> negative. \
        Example: worth every penny -> positive.";
    let text = TEXTS[number % TEXTS.len()];
    let mut request =
        LmRequest::new(vec![Message::system(instruction), Message::user(format!("{text} {number} ->"))]);
    request.sampling = Sampling::default().with_max_tokens(3).with_stop(vec!["\n".to_owned()]);
    request
}

fn input(text: &str) -> String {
    format!(
        "[[ ## text ## ]]\n{text}\n\nRespond with the corresponding output fields, starting with the field `[[ ## label ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`."
    )
}

fn output(label: &str) -> String {
    format!("[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]\n")
}

fn chat(number: usize, demos: usize) -> LmRequest {
    let system = "Your input fields are:\n1. `text` (str): what a customer wrote\nYour output fields are:\n\
        1. `label` (Literal['positive', 'negative']): how the customer feels\nAll interactions will be \
        structured in the following way, with the appropriate values filled in.\n\n[[ ## text ## ]]\n{text}\n\n\
        [[ ## label ## ]]\n{label}        # note: the value you produce must exactly match one of: positive; \
        negative\n\n[[ ## completed ## ]]\nIn adhering to this structure, your objective is:\n        \
        Say whether the customer is content.";
    let mut messages = vec![Message::system(system)];
    for demo in 0..demos {
        messages.push(Message::user(input(TEXTS[demo % TEXTS.len()])));
        messages.push(Message::assistant(output(if demo % 2 == 0 { "negative" } else { "positive" })));
    }
    messages.push(Message::user(input(&format!("{} {number}", TEXTS[(number + 1) % TEXTS.len()]))));
    let mut request = LmRequest::new(messages);
    request.sampling = Sampling::default().with_max_tokens(32).with_stop(vec!["[[ ## completed".to_owned()]);
    request
}

async fn measure(model: &LocalModel, name: &str, request: impl Fn(usize) -> LmRequest) -> anyhow::Result<()> {
    let before = model.stats();
    let start = Instant::now();
    let replies: Vec<_> = stream::iter((0..REQUESTS).map(request))
        .map(|request| async move { model.complete(&request, &Attempts::any()).await })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    let after = model.stats();
    let prompt = (after.prompt_tokens - before.prompt_tokens) as f64;
    let cached = (after.cached_tokens - before.cached_tokens) as f64;
    let written = (after.completion_tokens - before.completion_tokens) as f64;
    writeln!(
        std::io::stdout(),
        "{name:28} {:6.1} evaluations/s  {:5.0} prompt tokens each, {:4.1}% cached  {:5.0} tok/s read  {:4.1} tokens written each  first: {:?}",
        REQUESTS as f64 / seconds,
        prompt / REQUESTS as f64,
        100.0 * cached / prompt,
        (prompt - cached) / seconds,
        written / REQUESTS as f64,
        replies.first().map(|reply| reply.first_text()),
    )?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = resolve(arguments.next().as_deref())?;
    let contexts = arguments.next().map(|count| count.parse()).transpose()?;
    let options = LocalModelOptions::builder().path(path).maybe_contexts(contexts).build();
    let start = Instant::now();
    let model = LocalModel::load(options).await?;
    writeln!(std::io::stdout(), "{} loaded in {:.1} s", model.profile().id, start.elapsed().as_secs_f64())?;
    measure(&model, "short prompt, one word", short).await?;
    measure(&model, "chat format, no demos", |number| chat(number, 0)).await?;
    measure(&model, "chat format, 4 demos", |number| chat(number, 4)).await?;
    measure(&model, "chat format, 8 demos", |number| chat(number, 8)).await?;
    Ok(())
}
