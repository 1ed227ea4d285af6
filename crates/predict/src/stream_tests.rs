//! Streams of predictions: whatever the cuts, the text that is told is the text that is read.

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use promptopt_core::lm::{
    AnswerPieces, Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Tell,
};
use promptopt_core::money::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{ChainOfThought, ChatAdapter, JsonAdapter, PlainAdapter};

/// A model that gives these replies, one a call, in pieces of these sizes.
struct Pieces {
    replies: Mutex<VecDeque<String>>,
    sizes: Vec<usize>,
}

#[async_trait]
impl LanguageModel for Pieces {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("pieces")
    }

    async fn complete(&self, _: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        Err(LmError::Cancelled)
    }

    async fn stream(&self, _: &LmRequest, _: &Attempts, tell: Tell<'_>) -> Result<LmReply, LmError> {
        let text = self.replies.lock().unwrap().pop_front().ok_or(LmError::Cancelled)?;
        let (mut pieces, mut sizes) = (AnswerPieces::default(), self.sizes.iter().cycle());
        let mut letters = text.chars().peekable();
        while letters.peek().is_some() {
            let piece: String = letters.by_ref().take(*sizes.next().unwrap_or(&1)).collect();
            pieces.add(&piece, tell);
            yield_once().await;
        }
        let reply = LmReply::text(text, Usage::call(1, 1)).read();
        pieces.finish(reply.first_text(), tell);
        Ok(reply)
    }
}

/// Comes back once before it is done, as a reply over the network does.
async fn yield_once() {
    let mut is_first = true;
    std::future::poll_fn(move |context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// The events of a stream, to its end.
fn events(predict: &Predict, replies: &[&str], sizes: &[usize]) -> Vec<Result<StreamEvent, Error>> {
    let replies = Mutex::new(replies.iter().map(|reply| (*reply).to_owned()).collect());
    let context = CallContext::serving(Arc::new(Pieces { replies, sizes: sizes.to_vec() }));
    let inputs = json!({"q": "What?"}).as_object().unwrap().clone();
    let mut all = predict.stream(&context, &inputs).collect::<Vec<_>>().boxed();
    loop {
        if let Some(events) = (&mut all).now_or_never() {
            return events;
        }
    }
}

/// What a page shows at the end, how often it was cleared, all that it ever showed, and the prediction.
fn page(events: Vec<Result<StreamEvent, Error>>) -> (Fields, usize, String, Option<Prediction>) {
    let (mut page, mut restarts, mut ever, mut done) = (Fields::new(), 0, String::new(), None);
    for event in events {
        assert!(done.is_none(), "something comes behind the end");
        match event.unwrap() {
            StreamEvent::Text { field, delta } => {
                ever.push_str(&delta);
                let old = page.get(&field).and_then(Value::as_str).unwrap_or_default();
                page.insert(field, format!("{old}{delta}").into());
            }
            StreamEvent::Restarted { .. } => {
                page.clear();
                restarts += 1;
            }
            StreamEvent::Done(prediction) => done = Some(prediction),
        }
    }
    (page, restarts, ever, done)
}

fn predict(signature: &str, adapter: impl Adapter + 'static) -> Predict {
    Predict::new("p", Signature::parse(signature).unwrap())
        .with_adapter(Arc::new(adapter))
        .with_json_retry(false)
}

/// Streams a reply: the page holds what the prediction does. Gives how often it was cleared, and all it ever showed.
fn check(predict: &Predict, reply: &str, sizes: &[usize]) -> (usize, String) {
    let (page, restarts, ever, done) = page(events(predict, &[reply], sizes));
    let prediction = done.unwrap();
    for field in predict.signature().outputs().iter().filter(|field| field.kind == FieldType::String) {
        let shown = page.get(&field.name).and_then(Value::as_str).unwrap_or_default();
        let value = prediction.get_str(&field.name).unwrap_or_default();
        assert_eq!(shown, value, "{reply:?} {sizes:?}");
    }
    (restarts, ever)
}

use promptopt_core::program::Predictor as _;

#[test]
fn text_is_told_as_it_comes_and_nothing_of_the_format() {
    let chat = predict("q -> reasoning, answer, n: int", ChatAdapter);
    let reply = "[[ ## reasoning ## ]]\nFirst this.\n\nThen [that].\n\n[[ ## answer ## ]]\nParis \u{1f5fc}\n\n[[ ## n ## ]]\n7\n\n[[ ## completed ## ]]";
    for sizes in [&[1][..], &[3], &[7, 2], &[500]] {
        let (restarts, ever) = check(&chat, reply, sizes);
        assert_eq!((restarts, ever.as_str()), (0, "First this.\n\nThen [that].Paris \u{1f5fc}"));
    }
    // Long before the end.
    let first =
        events(&chat, &[reply], &[1]).into_iter().take(3).map(|event| format!("{:?}", event.unwrap()));
    let first: Vec<_> = first.collect();
    assert!(first[0].contains("delta: \"F\"") && first[1].contains("delta: \"i\""), "{first:?}");
}

#[test]
fn replies_that_are_read_otherwise_come_right_in_the_end() {
    let chat = || predict("q -> a, b", ChatAdapter);
    for (reply, clears) in [
        ("[[ ## a ## ]] one [[ ## b ## ]] two [[ ## completed ## ]]", 0),
        ("Sure: [[ ## a ## ]] one [[ ## b ## ]] two", 0),
        ("{\"a\": \"one\", \"b\": \"two\"}", 0),
        ("**[[ ## a ## ]]** one\n**[[ ## b ## ]]:** two", 0),
        ("1. [[ ## a ## ]]\none\n2. [[ ## b ## ]]\ntwo", 0),
        ("[[ ## a ## ]]\none\n[[ ## a ## ]]\nagain\n[[ ## b ## ]]\ntwo", 0),
        ("[[ ## a ## ]]\n\\[[ ## b ## ]] is no marker\n[[ ## b ## ]]\n42", 0),
        ("[[ ## a ## ]] one  \nmore\n\n[[ ## b ## ]]\n7. or\n8.", 0),
        ("I think [[ ## a ## ]]\nno</think>\n[[ ## a ## ]]\none\n[[ ## b ## ]]\ntwo", 1),
        ("[[ ## a ## ]]\n<think>hm</think>\none\n[[ ## b ## ]]\ntwo", 0),
    ] {
        for sizes in [&[1][..], &[4], &[11, 3]] {
            let (restarts, ever) = check(&chat(), reply, sizes);
            assert!(restarts <= clears, "{reply}: {restarts}");
            assert!(!ever.contains("think>"), "{ever}");
        }
    }
}

#[test]
fn plain_and_json_replies_come_right() {
    let single = || predict("q -> answer", PlainAdapter);
    for reply in [
        "Paris is it.\nYes.",
        "answer: Paris",
        "**Answer:** Paris\nYes",
        "<answer>Paris</answer>",
        "An",
        "Answering is hard",
    ] {
        for sizes in [&[1][..], &[4], &[100]] {
            assert_eq!(check(&single(), reply, sizes).0, 0, "{reply}");
        }
    }
    let several = || predict("q -> a, n: int, b", PlainAdapter);
    for reply in
        ["a: one\n  more\n\nn: 7\nb:\ntwo \n three \n", "one\nn: 7\nb: two", "b: x\na: y\nn: 1\nb: z"]
    {
        assert_eq!(check(&several(), reply, &[1]).0, 0, "{reply}");
        check(&several(), reply, &[5, 2]);
    }
    let json = || predict("q -> a, n: int, b", JsonAdapter);
    for reply in [
        "{\"n\": 7, \"a\": \"one\\n\\u00e9\\ud83d\\ude00 \\\"x\\\"\", \"b\": \"two\"}",
        "Sure:\n```json\n{\"x\": [{\"a\": \"no\"}, \"]\"], \"a\": \"one\", \"n\": 7, \"b\": \"\"}\n```",
        "{'a': 'one', 'n': 7, 'b': 'two',}",
        "{\"a\": null, \"n\": 7, \"b\": \"two\"}",
        "{\"a\": \"one\nline\", \"n\": 7, \"b\": \"two\"}",
        "I use {braces} first. {\"a\": \"one\", \"n\": 7, \"b\": \"two\"}",
    ] {
        for sizes in [&[1][..], &[5, 2], &[500]] {
            assert_eq!(check(&json(), reply, sizes).0, 0, "{reply}");
        }
    }
    let first = events(&json(), &["{\"a\": \"one\", \"n\": 7, \"b\": \"two\"}"], &[1]);
    let first = format!("{:?}", first[0].as_ref().unwrap());
    assert!(first.contains("delta: \"o\""), "{first}");
    let json = predict("q -> a, n: int", JsonAdapter);
    assert_eq!(check(&json, "{\"a\": \"one\\ntwo\", \"n\": 7}", &[3]), (0, "one\ntwo".to_owned()));
}

#[test]
fn a_reply_that_does_not_fit_clears_the_page() {
    let predict = predict("q -> a, n: int", ChatAdapter).with_json_retry(true);
    let replies = ["[[ ## a ## ]]\none\n[[ ## n ## ]]\nmany", "{\"a\": \"two\", \"n\": 2}"];
    let all = events(&predict, &replies, &[2]);
    let restart = all.iter().find_map(|event| match event {
        Ok(StreamEvent::Restarted { reason }) => Some(reason.clone()),
        _ => None,
    });
    assert!(restart.unwrap().contains("`n` should be int"));
    let (page, restarts, ever, done) = page(all);
    assert_eq!((Value::from(page), restarts, ever.as_str()), (json!({"a": "two"}), 1, "onetwo"));
    assert_eq!(done.unwrap().get("n"), Some(&Value::from(2)));
    // Without the retry it is the error of `call`.
    let all = events(&predict.with_json_retry(false), &replies[..1], &[2]);
    assert!(matches!(all.last(), Some(Err(Error::Reply { .. }))));
}

#[test]
fn a_chain_of_thought_streams_its_reasoning_and_a_model_that_cannot_gives_all_at_once() {
    let chain = ChainOfThought::new("p", Signature::parse("q -> a").unwrap()).unwrap();
    let (page, ..) = page(events(&chain, &["[[ ## reasoning ## ]]\nWhy.\n[[ ## a ## ]]\nSo."], &[3]));
    assert_eq!(Value::from(page), json!({"reasoning": "Why.", "a": "So."}));
    let whole = promptopt_core::lm::lm_fn("m", |_| async {
        Ok(LmReply::text(
            "<think>x</think>[[ ## reasoning ## ]]\nWhy.\n[[ ## a ## ]]\nSo.",
            Usage::call(1, 1),
        ))
    });
    let context = CallContext::serving(Arc::new(whole));
    let inputs = json!({"q": "What?"}).as_object().unwrap().clone();
    let all =
        chain.stream(&context, &inputs).map(|event| format!("{:?}", event.unwrap())).collect::<Vec<_>>();
    let all = all.now_or_never().unwrap();
    assert!(
        all.len() == 3 && all[0].contains("Why.") && all[1].contains("So.") && all[2].starts_with("Done"),
        "{all:?}"
    );
    assert!(chain.stream(&context, &Fields::new()).next().now_or_never().unwrap().unwrap().is_err());
}

proptest! {
    #[test]
    fn any_values_in_any_cuts(
        one in "[a-z0-9*_.:\\\\\\[#\\] \n\u{e9}-]{0,30}",
        two in "[a-zA-Z<`.) \n#]{0,30}",
        form in 0_usize..4,
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let outputs = json!({"a": one.trim(), "b": two.trim()}).as_object().unwrap().clone();
        let (adapter, text): (Arc<dyn Adapter>, &str) = match form {
            0 => (Arc::new(ChatAdapter), "q -> a, b"),
            1 => (Arc::new(JsonAdapter), "q -> a, b"),
            2 => (Arc::new(PlainAdapter), "q -> a, b"),
            _ => (Arc::new(PlainAdapter), "q -> a"),
        };
        let signature = Signature::parse(text).unwrap();
        let reply = adapter.assistant(&signature, &outputs);
        // A plain reply that says nothing is none.
        prop_assume!(adapter.parse(&signature, &reply).is_ok());
        let predict = Predict::new("p", signature).with_adapter(adapter).with_json_retry(false);
        let (restarts, _) = check(&predict, &reply, &sizes);
        prop_assert_eq!(restarts, 0, "{}", reply);
    }

    #[test]
    fn any_reply_in_any_cuts(
        parts in prop::collection::vec(prop::sample::select(vec![
            "[[ ## a ## ]]", "[[ ## b ## ]]", "[[ ## completed ## ]]", "[[##a##]]", "[[ ## c ## ]]", "\n", " ", "**", "1.", "x", "y z",
            "\\", "[", "[[", "##", "]]", "-", ":", "a:", "b: ", "<think>", "</think>", "{", "\"", "7",
        ]), 0..20),
        plain in any::<bool>(),
        sizes in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let reply = parts.concat();
        let predict = match plain {
            true => predict("q -> a, b", PlainAdapter),
            false => predict("q -> a, b", ChatAdapter),
        };
        let all = events(&predict, &[&reply], &sizes);
        if all.last().is_some_and(|last| last.is_ok()) {
            check(&predict, &reply, &sizes);
        }
    }
}
