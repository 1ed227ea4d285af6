//! The engine on a real model. Runs where `PROMPTOPT_MODEL_PATH` or the cache folder has one.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail loudly, and a skipped test says so"
)]

use std::time::Duration;

use futures_util::future::join_all;
use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError, LmRequest, Message};
use promptopt_lm_local::{Error, LocalModel, LocalModelOptions, resolve};

/// A model, or `None` with a printed line where there is no file.
async fn load(contexts: usize) -> Option<LocalModel> {
    let path = match resolve(None) {
        Ok(path) => path,
        Err(error) => {
            println!("skipped, since no model is here: {error}");
            return None;
        }
    };
    let options = LocalModelOptions::builder().path(path).contexts(contexts).max_tokens(8).build();
    Some(LocalModel::load(options).await.expect("the model loads"))
}

fn chat(system: &str, user: &str, max_tokens: u32) -> LmRequest {
    let mut request = LmRequest::new(vec![Message::system(system), Message::user(user)]);
    request.sampling.max_tokens = Some(max_tokens);
    request
}

/// Requests of many kinds: shared and unshared prompts, short and long, greedy and drawn.
fn mixed() -> Vec<LmRequest> {
    let long = "Each of the following lines tells how a customer feels. ".repeat(9);
    let systems = ["Answer with one word.", "Continue the story.", long.as_str()];
    let users =
        ["The capital of France is", "Once there was a", "2 + 2 =", "I was charged twice this month:"];
    let mut requests = Vec::new();
    for (round, system) in systems.iter().enumerate() {
        for user in users {
            requests.push(chat(system, user, 6));
            let mut drawn = chat(system, user, 6);
            drawn.sampling.temperature = Some(1.0);
            drawn.sample_index = round as u64;
            drawn.n = 1 + round as u32;
            requests.push(drawn);
        }
    }
    requests
}

async fn texts(
    model: &LocalModel,
    requests: &[LmRequest],
    order: &[usize],
    at_once: usize,
) -> Vec<Vec<String>> {
    let mut replies = vec![Vec::new(); requests.len()];
    let any = Attempts::any();
    for group in order.chunks(at_once) {
        let answers = join_all(group.iter().map(|index| model.complete(&requests[*index], &any))).await;
        for (index, answer) in group.iter().zip(answers) {
            let completions = answer.expect("a reply").completions;
            replies[*index] = completions.into_iter().map(|completion| completion.text).collect();
        }
    }
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_do_not_depend_on_concurrency_order_or_what_was_read_before() {
    let Some(two) = load(2).await else { return };
    let requests = mixed();
    let forward: Vec<usize> = (0..requests.len()).collect();
    // 7 and the number of requests, 24, have no common divisor, so every index comes once.
    let shuffled: Vec<usize> = forward.iter().map(|index| index * 7 % requests.len()).collect();
    let expected = texts(&two, &requests, &forward, 1).await;
    assert!(expected.iter().flatten().any(|text| !text.is_empty()));
    for (order, at_once) in [(&forward, 4), (&shuffled, 32), (&shuffled, 1)] {
        assert_eq!(expected, texts(&two, &requests, order, at_once).await, "{at_once} at once");
    }
    assert!(two.stats().cached_tokens > 0);

    let Some(one) = load(1).await else { return };
    assert_eq!(one.profile().id, two.profile().id, "the number of contexts changes no reply");
    assert_eq!(expected, texts(&one, &requests, &shuffled, 32).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_cache_gives_what_a_cold_one_gives() {
    let Some(model) = load(1).await else { return };
    let system = "You name the colour of things, in one lower-case word, and add nothing to it. ".repeat(5);
    let request = chat(&system, "grass", 8);
    let cold = model.complete(&request, &Attempts::any()).await.expect("a reply");
    assert_eq!(model.stats().cached_tokens, 0);
    for other in ["snow", "coal", "a very ripe strawberry on a summer's day"] {
        model.complete(&chat(&system, other, 8), &Attempts::any()).await.expect("a reply");
    }
    let warm = model.complete(&request, &Attempts::any()).await.expect("a reply");
    assert_eq!(cold, warm, "text and usage are the same");
    assert!(model.stats().cached_tokens > 4 * 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_stop_texts_and_reasons() {
    let Some(model) = load(1).await else { return };
    let request = chat("Count upwards.", "Write: one two three four five", 12);
    let whole = model.complete(&request, &Attempts::any()).await.expect("a reply");
    assert!(whole.usage.completion_tokens <= 12 && whole.usage.prompt_tokens > 8);

    let mut short = request.clone();
    short.sampling.max_tokens = Some(2);
    let cut = model.complete(&short, &Attempts::any()).await.expect("a reply");
    assert_eq!((cut.completions[0].finish_reason, cut.usage.completion_tokens), (FinishReason::Length, 2));
    assert!(whole.first_text().starts_with(cut.first_text()));

    let text = whole.first_text();
    let middle = text.char_indices().nth(text.chars().count() / 2).map(|(at, _)| at).expect("some text");
    let mut stopped = request.clone();
    stopped.sampling.stop = vec![text[middle..].to_owned(), "never written".to_owned()];
    let reply = model.complete(&stopped, &Attempts::any()).await.expect("a reply");
    let expected = &text[..text.find(&text[middle..]).expect("it is in there")];
    assert_eq!((reply.first_text(), reply.completions[0].finish_reason), (expected, FinishReason::Stop));

    let mut many = request.clone();
    many.n = 3;
    let reply = model.complete(&many, &Attempts::any()).await.expect("a reply");
    assert_eq!(reply.completions.len(), 3);
    assert!(reply.completions.iter().all(|completion| completion.text == text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_assistant_message_is_continued() {
    let Some(model) = load(1).await else { return };
    let mut request = chat("Complete the text.", "Say: The capital of France is Paris.", 3);
    request.messages.push(Message::assistant("The capital of France is"));
    let reply = model.complete(&request, &Attempts::any()).await.expect("a reply");
    assert!(reply.first_text().contains("Paris"), "{:?}", reply.first_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_an_error_and_the_model_goes_on() {
    let Some(model) = load(1).await else { return };
    let too_long = chat("Summarise.", &"word ".repeat(3000), 4);
    let error = model.complete(&too_long, &Attempts::any()).await.expect_err("it does not fit");
    assert!(matches!(error, LmError::ContextLength { .. }), "{error}");
    let error = model.complete(&LmRequest::default(), &Attempts::any()).await.expect_err("no messages");
    assert!(matches!(error, LmError::InvalidRequest { .. }), "{error}");
    let odd = chat("Nothing\0 odd", "a \u{1f600} b", 2);
    model.complete(&odd, &Attempts::any()).await.expect("a zero byte is no obstacle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_harms_nobody() {
    let Some(model) = load(1).await else { return };
    let long = chat("Tell a very long story.", "Go on.", 500);
    let request = chat("Answer with one word.", "The capital of France is", 4);
    let any = Attempts::any();
    let expected = model.complete(&request, &any).await.expect("a reply");
    for _ in 0..3 {
        let patience = Duration::from_millis(60);
        tokio::time::timeout(patience, model.complete(&long, &any)).await.expect_err("it takes longer");
        assert_eq!(expected, model.complete(&request, &any).await.expect("a reply"));
    }
}

#[tokio::test]
async fn a_file_that_is_no_model_is_a_clear_error() {
    let folder = std::env::temp_dir().join(format!("promptopt-lm-local-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("broken.gguf");
    std::fs::write(&path, b"GGUF and then nothing that makes sense").expect("written");
    let error = LocalModel::load(LocalModelOptions::builder().path(&path).build()).await.expect_err("broken");
    assert!(matches!(error, Error::Truncated { .. }) && error.to_string().contains("broken.gguf"), "{error}");
    let missing = LocalModelOptions::builder().path(folder.join("none.gguf")).build();
    assert!(matches!(LocalModel::load(missing).await, Err(Error::Missing { .. })));
    std::fs::remove_dir_all(&folder).expect("removed");
}
