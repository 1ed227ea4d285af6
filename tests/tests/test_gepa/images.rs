//! Reflection on rows that are images.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::data::Example;
use promptopt_core::lm::{Image, LmError, LmRequest, Message, Part};
use promptopt_core::program::ModuleExt as _;
use promptopt_core::signature::Signature;
use promptopt_gepa::GEPA;
use promptopt_predict::Predict;
use promptopt_run::{Optimizer as _, Outcome};
use promptopt_testkit::{ScriptedLm, toy};

use super::fenced;

fn shows(message: &Message) -> impl Iterator<Item = &Image> {
    message.content.as_slice().iter().filter_map(|part| match part {
        Part::Image(image) => Some(image),
        _ => None,
    })
}

/// A run on pictures, and what the prompt model was sent. It refuses images with this status, if there is one.
async fn compiled(refusing: Option<u16>) -> (Outcome, Vec<Message>) {
    compiled_by(move |message| match refusing.filter(|_| shows(message).next().is_some()) {
        Some(status) => Err(LmError::InvalidRequest { status, message: "no images, please".into() }),
        None => Ok(fenced("Look twice.")),
    })
    .await
}

async fn compiled_by(
    write: impl Fn(&Message) -> Result<String, LmError> + Send + Sync + 'static,
) -> (Outcome, Vec<Message>) {
    let writer = Arc::new(ScriptedLm::new(move |request: &LmRequest| write(&request.messages[0])));
    let looker = ScriptedLm::new(|request| {
        let right = request.messages[0].text().contains("Look twice.");
        Ok(ScriptedLm::chat_reply([("answer", if right { "yes" } else { "no" })]))
    });
    let rows = (0..30_u8).map(|number| {
        let picture = format!("data:image/png;base64,{}", letters(number));
        Example::new([("picture", picture), ("answer", "yes".to_owned())], ["picture"])
    });
    let signature = Signature::parse("picture: image -> answer").unwrap();
    let mut program =
        Predict::new("look", signature).with_model(Arc::new(looker)).with_metric(toy::exact_answer());
    let optimizer = GEPA::builder().max_calls(200).prompt_model(Arc::clone(&writer) as _).build();
    let outcome = optimizer.compile(&mut program, rows.collect::<Vec<_>>()).await.unwrap();
    let sent = writer.requests().into_iter().map(|mut request| request.messages.remove(0)).collect();
    (outcome, sent)
}

/// Four letters of base64 that no other row has.
fn letters(number: u8) -> String {
    format!("AA{}{}", char::from(b'A' + number / 8), char::from(b'A' + number % 8))
}

#[tokio::test]
async fn reflections_see_the_images_of_their_records() {
    let (outcome, sent) = compiled(None).await;
    assert_eq!(outcome.selected.mean, 1.0);
    let first = &sent[0];
    let records = first.text().matches("## Record").count();
    assert!(records > 0 && first.text().contains("picture: [image]"), "{}", first.text());
    // There is room for eight.
    let shown = records.min(8);
    assert_eq!(shows(first).count(), shown);
    assert!(first.text().ends_with(&format!("\n\nRecord {shown} shows:\n")), "{}", first.text());
}

#[tokio::test]
async fn a_prompt_model_without_eyes_and_with_little_room_is_told_less() {
    let (outcome, sent) = compiled_by(|message| {
        if shows(message).next().is_some() {
            return Err(LmError::InvalidRequest { status: 400, message: "no images, please".into() });
        }
        match message.text().matches("## Record").count() {
            0..=4 => Ok(fenced("Look twice.")),
            _ => Err(LmError::ContextLength { message: "too long".into() }),
        }
    })
    .await;
    assert_eq!(outcome.selected.mean, 1.0, "{:?}", outcome.notes);
    assert_eq!(sent.iter().filter(|message| shows(message).next().is_some()).count(), 1);
}

#[tokio::test]
async fn an_outage_says_nothing_of_images() {
    let asked = AtomicU64::new(0);
    let (outcome, sent) = compiled_by(move |message| {
        match (asked.fetch_add(1, Ordering::SeqCst), shows(message).next().is_some()) {
            // The first request is refused for what it holds, and the server is away when it is sent without images.
            (0, _) => Err(LmError::Refused { message: "a policy".into() }),
            (1, _) => Err(LmError::Connection { message: "away".into() }),
            _ => Ok(fenced("Look twice.")),
        }
    })
    .await;
    assert!(sent.iter().skip(2).any(|message| shows(message).next().is_some()), "images are shown as before");
    assert!(!outcome.notes.iter().any(|note| note.contains("not shown the images")), "{:?}", outcome.notes);
}

#[tokio::test]
async fn a_prompt_model_without_eyes_is_told_in_words() {
    for status in [400, 404] {
        let (outcome, sent) = compiled(Some(status)).await;
        assert_eq!(outcome.selected.mean, 1.0, "{status}");
        let with_images = sent.iter().filter(|message| shows(message).next().is_some()).count();
        assert_eq!(with_images, 1, "{status}: it is asked only once");
        assert_eq!(outcome.spending.prompt.calls, sent.len() as u64 - 1, "a refusal costs nothing");
        let notes = outcome.notes.iter().filter(|note| note.contains("not shown the images")).count();
        assert_eq!(notes, 1, "{:?}", outcome.notes);
    }
}
