//! The prompts as they go over the wire.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use promptopt_copro::COPRO;
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::lm::LmRequest;
use promptopt_core::program::{ModuleExt as _, metric_fn};
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_predict::Predict;
use promptopt_run::Optimizer as _;
use promptopt_testkit::{ScriptedLm, toy};

const TICKETS: [(&str, &str); 6] = [
    ("The invoice of May was charged twice.", "billing"),
    ("Do you sell the lamp in blue?", "sales"),
    ("My password does not work any more.", "support"),
    ("Please send me a receipt for order 1182.", "billing"),
    ("Is there a discount for ten chairs?", "sales"),
    ("The app closes when I open the camera.", "support"),
];

fn wants(request: &LmRequest, field: &str) -> bool {
    request.messages[0].text().contains(&format!("Your output fields are:\n1. `{field}`"))
}

/// Requests to the prompt model in a run of two depths, three instructions wide.
async fn requests() -> Vec<LmRequest> {
    let written = AtomicUsize::new(0);
    // One reply to each request: a server that does not know `n`.
    let model = Arc::new(ScriptedLm::new(move |request| {
        if !wants(request, "proposed_instruction") {
            // The more instructions were written before this one, the better it is.
            let system = request.messages[0].text();
            let chair = request.messages.last().unwrap().text().contains("chairs");
            let department = if chair && system.contains("version") { "sales" } else { "billing" };
            return Ok(ScriptedLm::chat_reply([("department", department)]));
        }
        let text = match written.fetch_add(1, Ordering::SeqCst) {
            0 => "Orders and prices go to sales. (version 0)".to_owned(),
            number => format!("Send each ticket to the department that can answer it. (version {number})"),
        };
        Ok(ScriptedLm::chat_reply([("proposed_instruction", text.as_str())]))
    }));
    let ticket = Field::new("ticket").described("What the customer wrote.");
    let department = Field::new("department").typed(FieldType::literals(["billing", "sales", "support"]));
    let signature = Signature::new([ticket], [department], "Route the ticket.").unwrap();
    let metric = metric_fn(|example: &Example, prediction: &Prediction| {
        let right = example.get("department") == prediction.get("department");
        let expected = example.get("department").and_then(|value| value.as_str()).unwrap();
        Score::from(right).with_feedback(format!("This is a matter for {expected}."))
    });
    let example = |(ticket, department): (&str, &str)| {
        Example::new([("ticket", ticket.to_owned()), ("department", department.to_owned())], ["ticket"])
    };
    let numbered = |number: usize| example((&format!("Another invoice, number {number}."), "billing"));
    let valset: Vec<_> = (0..3).map(numbered).chain([example(TICKETS[4])]).collect();
    let train = TICKETS.iter().take(3).copied().map(example).collect();
    let mut module = Predict::new("route", signature).with_model(model.clone()).with_metric(metric);
    COPRO::builder()
        .breadth(3)
        .depth(2)
        .concurrency(1)
        .valset(valset)
        .build()
        .compile(&mut module, train)
        .await
        .unwrap();
    model.requests().into_iter().filter(|request| wants(request, "proposed_instruction")).collect()
}

fn chat(request: &LmRequest) -> String {
    let messages = request.messages.iter();
    messages
        .map(|message| format!("<{}>\n{}", message.role.as_str(), message.text()))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[tokio::test]
async fn the_prompts_of_all_kinds() {
    let requests = requests().await;
    // One from mistakes alone and one from the present instruction; then three texts in one request, and those that
    // are missing in one request each.
    assert_eq!(requests.iter().map(|request| request.n).collect::<Vec<_>>(), [1, 1, 3, 1, 1]);
    insta::assert_snapshot!("begin", chat(&requests[0]));
    insta::assert_snapshot!("propose", chat(&requests[1]));
    insta::assert_snapshot!("refine", chat(&requests[3]));
    assert!(!chat(&requests[0]).contains("Route the ticket."), "the present instruction is not shown");
}

#[tokio::test]
async fn the_prompt_for_a_predictor_that_follows_another() {
    let model = Arc::new(ScriptedLm::new(|request| {
        let value = |field| ScriptedLm::chat_reply([(field, "north")]);
        let is_of_classify = request.messages[0].text().contains("`question`");
        Ok(match ["topic", "answer"].into_iter().find(|field| wants(request, field)) {
            Some(field) => value(field),
            None if is_of_classify && !chat(request).contains("other_module") => ScriptedLm::chat_reply([(
                "proposed_instruction",
                "Write the topic of the question in capitals.",
            )]),
            None => {
                ScriptedLm::chat_reply([("proposed_instruction", "Read the topic, and give the answer.")])
            }
        })
    }));
    let example = |at: usize| {
        Example::new([("question", format!("Question {at}?")), ("answer", "south".to_owned())], ["question"])
    };
    let mut module = toy::TwoStage::default().with_metric(toy::exact_answer());
    let optimizer = COPRO::builder()
        .task_model(model.clone())
        .breadth(2)
        .depth(1)
        .concurrency(1)
        .valset((0..3).map(example).collect())
        .build();
    optimizer.compile(&mut module, (3..6).map(example).collect()).await.unwrap();
    let follows = |request: &&LmRequest| {
        wants(request, "proposed_instruction") && chat(request).contains("other_module")
    };
    insta::assert_snapshot!("fit", chat(model.requests().iter().find(follows).unwrap()));
}
