//! What the second stage promises, and its prompts as a model sees them (in `snapshots`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use indexmap::IndexMap;
use promptopt_core::{
    Demo, Example, Field, FieldType, LmError, LmReply, LmRequest, Role, Signature, Usage,
};
use promptopt_proposer::{
    Attempt, ModelProposer, ModelProposerOptions, PredictorInfo, ProgramInfo, Proposals, Proposer, Study,
    Task, TemplateProposer,
};
use promptopt_testkit::ScriptedLm;
use promptopt_tips::{PromptingTips, Tip};

const TICKETS: [(&str, &str); 6] = [
    ("The invoice of May was charged twice.", "billing"),
    ("Do you sell the lamp in blue?", "sales"),
    ("My password does not work any more.", "support"),
    ("Please send me a receipt for order 1182.", "billing"),
    ("Is there a discount for ten chairs?", "sales"),
    ("The app closes when I open the camera.", "support"),
];

fn tickets() -> Vec<Arc<Example>> {
    let example =
        |(ticket, department)| Example::new([("ticket", ticket), ("department", department)], ["ticket"]);
    TICKETS.into_iter().map(example).map(Arc::new).collect()
}

/// A program that names the topic of a ticket and then routes it.
fn program() -> ProgramInfo {
    let predictor = |path: &str, inputs: Vec<Field>, output: Field, instruction: &str| {
        let signature = Signature::new(inputs, [output], instruction).unwrap();
        PredictorInfo { path: path.to_owned(), signature, instruction: instruction.to_owned() }
    };
    let ticket = || Field::new("ticket").described("What the customer wrote.");
    let department =
        Field::new("department").typed(FieldType::literals(["billing", "sales", "support"]));
    ProgramInfo {
        name: "ticket_router".to_owned(),
        source: None,
        predictors: vec![
            predictor("topic", vec![ticket()], Field::new("topic"), "Name the topic of the ticket."),
            predictor(
                "route",
                vec![ticket(), Field::new("topic")],
                department,
                "Route the ticket.\nOne department only.",
            ),
        ],
    }
}

fn demo(ticket: &str, topic: &str, department: &str) -> Demo {
    let fields = [("ticket", ticket), ("topic", topic), ("department", department)];
    Demo {
        fields: fields.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect(),
        ..Demo::default()
    }
}

/// A task with demo sets and a history.
fn task() -> Task {
    let mut task = Task::new(program(), tickets());
    let demos = vec![demo("Where is my refund?", "a refund", "billing")];
    task.demo_sets = IndexMap::from([("route".to_owned(), vec![vec![], demos])]);
    let attempt = |instruction: &str, score| Attempt { instruction: instruction.to_owned(), score };
    task.tried = IndexMap::from([(
        "route".to_owned(),
        vec![attempt("Route the ticket.", 0.5), attempt("Guess the department of the ticket.", 0.25)],
    )]);
    task
}

/// What a request asks for: the name of its first output field.
fn wanted(request: &LmRequest) -> String {
    let outputs = request.messages[0].content.split("Your output fields are:\n").nth(1).unwrap();
    outputs.split('`').nth(1).unwrap().to_owned()
}

/// The predictor that a proposal is for.
fn module(request: &LmRequest) -> Option<String> {
    let question = &request.messages.last()?.content;
    let module = question.split("[[ ## module ## ]]\n").nth(1)?;
    Some(module.split(':').next()?.to_owned())
}

/// A prompt model that describes in one sentence, and whose n-th proposal a closure writes.
fn prompt_model(propose: impl Fn(usize) -> String + Send + Sync + 'static) -> Arc<ScriptedLm> {
    let proposals = AtomicUsize::new(0);
    Arc::new(ScriptedLm::new(move |request| {
        let field = wanted(request);
        let text = match field.as_str() {
            "observations" => "Tickets that name an invoice go to billing.".to_owned(),
            "summary" => "Short tickets of customers, each for one department.".to_owned(),
            "program_description" => "It finds the topic of a ticket, then routes it.".to_owned(),
            "module_description" => format!("It decides what `{}` decides.", module(request).unwrap()),
            _ => propose(proposals.fetch_add(1, Ordering::SeqCst)),
        };
        Ok(ScriptedLm::chat_reply([(field.as_str(), text.as_str())]))
    }))
}

/// Different each time, and about the task.
fn distinct(number: usize) -> String {
    format!("Read the ticket and choose its department, version {number}.")
}

fn one_tip() -> PromptingTips {
    let tip = Tip::new("borders", "Say where the border between two similar labels lies.").unwrap();
    PromptingTips::empty().with_tip(tip).unwrap()
}

fn run(proposer: &impl Proposer, task: &Task, count: usize) -> (Study, Proposals) {
    let work = async {
        let study = proposer.study(task).await.unwrap();
        let proposals = proposer.propose(task, &study, count).await.unwrap();
        (study, proposals)
    };
    work.now_or_never().unwrap()
}

fn chat(request: &LmRequest) -> String {
    let role = |role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let messages = request.messages.iter();
    messages.map(|one| format!("<{}>\n{}", role(one.role), one.content)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_prompts_read_well() {
    let model = prompt_model(distinct);
    let proposer =
        ModelProposer::new(Arc::clone(&model) as _, ModelProposerOptions::default()).tips(one_tip());
    run(&proposer, &task(), 1);
    let requests = model.requests();
    let find = |output: &str, predictor: Option<&str>| {
        let of = |request: &&LmRequest| {
            wanted(request) == output && module(request).as_deref() == predictor
        };
        chat(requests.iter().find(of).unwrap())
    };
    insta::assert_snapshot!("observe_data", find("observations", None));
    insta::assert_snapshot!("summarize_data", find("summary", None));
    insta::assert_snapshot!("describe_program", find("program_description", None));
    insta::assert_snapshot!("describe_predictor", find("module_description", Some("route")));
    insta::assert_snapshot!("propose_instruction", find("proposed_instruction", Some("route")));
}

#[test]
fn composed_instructions_read_well() {
    let (_, proposals) = run(&TemplateProposer, &task(), 3);
    let texts: Vec<_> = proposals.of("route").iter().map(|proposal| proposal.instruction.as_str()).collect();
    insta::assert_snapshot!("composed_instructions", texts.join("\n\n----\n\n"));
}
