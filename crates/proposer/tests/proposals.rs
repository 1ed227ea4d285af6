//! What the second stage promises, and its prompts as a model sees them (in `snapshots`).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use indexmap::IndexMap;
use promptopt_core::data::Example;
use promptopt_core::lm::{LanguageModel, LmError, LmRequest};
use promptopt_core::program::ModuleExt as _;
use promptopt_core::prompt::Demo;
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_proposer::{
    Attempt, ModelProposer, ModelProposerOptions, PredictorInfo, ProgramInfo, Study, Task, TemplateProposer,
};
use promptopt_run::{Event, Halt, InstructionRequest, InstructionWriter as _, Run, RunOptions, StopReason};
use promptopt_testkit::{ScriptedLm, strategies, toy};
use promptopt_tips::{PromptingTips, Tip};
use proptest::prelude::*;

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
        PredictorInfo::new(path, signature, instruction.to_owned())
    };
    let ticket = || Field::new("ticket").described("What the customer wrote.");
    let department = Field::new("department").typed(FieldType::literals(["billing", "sales", "support"]));
    ProgramInfo::new(
        "ticket_router",
        vec![
            predictor("topic", vec![ticket()], Field::new("topic"), "Name the topic of the ticket."),
            predictor(
                "route",
                vec![ticket(), Field::new("topic")],
                department,
                "Route the ticket.\nOne department only.",
            ),
        ],
    )
}

fn demo(ticket: &str, topic: &str, department: &str) -> Demo {
    let fields = [("ticket", ticket), ("topic", topic), ("department", department)];
    Demo::new(fields.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect())
}

/// A task with demo sets and a history.
fn task() -> Task {
    let mut task = Task::new(program(), tickets());
    let demos = vec![demo("Where is my refund?", "a refund", "billing")];
    task.demo_sets = IndexMap::from([("route".to_owned(), vec![vec![], demos])]);
    let attempt = |instruction: &str, score| Attempt::new(instruction, score);
    task.tried = IndexMap::from([(
        "route".to_owned(),
        vec![attempt("Route the ticket.", 0.5), attempt("Guess the department of the ticket.", 0.25)],
    )]);
    task
}

/// What a request asks for: the name of its first output field.
fn wanted(request: &LmRequest) -> String {
    let outputs = request.messages[0].text().split("Your output fields are:\n").nth(1).unwrap();
    outputs.split('`').nth(1).unwrap().to_owned()
}

/// The predictor that a proposal is for.
fn module(request: &LmRequest) -> Option<String> {
    let question = &request.messages.last()?.text();
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

/// What came of a study and the proposals after it.
#[derive(Debug)]
struct Written {
    study: Study,
    proposals: IndexMap<String, Vec<String>>,
    /// What the run told: the texts that were dropped, with their predictors and why, and how many warnings.
    dropped: Vec<(String, String, String)>,
    warnings: usize,
    notes: Vec<String>,
    calls: u64,
}

/// Studies a task and has instructions written. Gives what came of it, and what is left of the budget.
fn written_under(
    options: RunOptions,
    proposer: &ModelProposer,
    task: &Task,
    count: usize,
) -> (Result<Written, Halt>, Option<u64>) {
    let events = Arc::<Mutex<Vec<Event>>>::default();
    let heard = Arc::clone(&events);
    let mut options = options;
    options.observer = Some(Arc::new(move |event: &Event| heard.lock().unwrap().push(event.clone())));
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::of(&program, options).unwrap();
    let work = async {
        let study = proposer.study(&mut run, task).await?;
        let proposals = proposer.propose(&mut run, task, &study, count).await?;
        Ok::<_, Halt>((study, proposals))
    };
    let came = work.now_or_never().unwrap();
    let (calls, left) = (run.ledger().spent(), run.ledger().remaining());
    let notes = run.close("", Ok(())).now_or_never().unwrap().unwrap().notes;
    let written = came.map(|(study, proposals)| {
        let events = events.lock().unwrap();
        let dropped = events.iter().filter_map(|event| match event {
            Event::Proposal { predictor, instruction, dropped: Some(why) } => {
                Some((predictor.clone(), instruction.clone(), why.clone()))
            }
            _ => None,
        });
        let warnings = events.iter().filter(|event| matches!(event, Event::Warning { .. })).count();
        Written { study, proposals, dropped: dropped.collect(), warnings, notes, calls }
    });
    (written, left)
}

fn on(model: &Arc<ScriptedLm>) -> RunOptions {
    RunOptions::builder().task_model(Arc::clone(model) as Arc<dyn LanguageModel>).build()
}

fn run(model: &Arc<ScriptedLm>, options: ModelProposerOptions, task: &Task, count: usize) -> Written {
    written_under(on(model), &ModelProposer::new(options), task, count).0.unwrap()
}

/// What the template proposer writes for a predictor of a task.
fn composed(task: &Task, predictor: usize, count: usize) -> Vec<String> {
    let predictor = &task.program.predictors[predictor];
    let mut request = InstructionRequest::new(
        &predictor.path,
        predictor.signature.clone(),
        &predictor.instruction,
        task.seed,
    );
    request.examples.clone_from(&task.examples);
    request.taken = task.taken.get(&predictor.path).cloned().unwrap_or_default();
    request.count = count;
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, prompt_model(distinct));
    let proposer = TemplateProposer::default();
    proposer.write_instructions(&mut run, &request).now_or_never().unwrap().unwrap()
}

fn chat(request: &LmRequest) -> String {
    let messages = request.messages.iter();
    messages.map(|one| format!("<{}>\n{}", one.role.as_str(), one.text())).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_prompts_read_well() {
    let model = prompt_model(distinct);
    let proposer = ModelProposer::default().tips(one_tip());
    written_under(on(&model), &proposer, &task(), 1).0.unwrap();
    let requests = model.requests();
    let find = |output: &str, predictor: Option<&str>| {
        let of = |request: &&LmRequest| wanted(request) == output && module(request).as_deref() == predictor;
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
    let mut task = task();
    task.seed = 1;
    let texts = composed(&task, 1, 3);
    insta::assert_snapshot!("composed_instructions", texts.join("\n\n----\n\n"));
}

/// The inputs of a request: name -> text.
fn inputs(request: &LmRequest) -> HashMap<String, String> {
    let question = request.messages.last().unwrap().text().split("\n\nRespond with ").next().unwrap();
    let sections = question.split("[[ ## ").skip(1).filter_map(|part| part.split_once(" ## ]]\n"));
    sections.map(|(name, text)| (name.to_owned(), text.trim().to_owned())).collect()
}

fn requests_for(model: &ScriptedLm, output: &str) -> Vec<LmRequest> {
    model.requests().into_iter().filter(|request| wanted(request) == output).collect()
}

#[test]
fn each_description_is_written_once_however_many_instructions_are_wanted() {
    for count in [1, 7] {
        let model = prompt_model(distinct);
        let options = ModelProposerOptions::default().with_view_data_batch_size(4);
        let written = run(&model, options, &task(), count);
        let asked = |output: &str| requests_for(&model, output).len();
        // Six examples in batches of four are two batches; there are two predictors.
        assert_eq!(asked("observations"), 2);
        assert_eq!((asked("summary"), asked("program_description"), asked("module_description")), (1, 1, 2));
        assert_eq!(asked("proposed_instruction"), 2 * count);
        let proposals = &written.proposals;
        assert_eq!((proposals["topic"].len(), proposals["route"].len()), (count, count));
        assert_eq!(written.calls, model.calls() as u64);
        assert_eq!(written.notes.len(), 0);
    }
}

#[test]
fn a_large_data_set_is_read_in_five_batches_at_most() {
    let model = prompt_model(distinct);
    let options = ModelProposerOptions::default().with_view_data_batch_size(1);
    run(&model, options, &task(), 0);
    assert_eq!(requests_for(&model, "observations").len(), 5);
}

#[test]
fn every_switch_takes_its_part_out_of_the_request() {
    let check = |options: ModelProposerOptions, absent: &[&str], unasked: &[&str]| {
        let model = prompt_model(distinct);
        run(&model, options, &task(), 2);
        let all = [
            "dataset_description",
            "program_code",
            "program_description",
            "module",
            "module_description",
            "task_demos",
            "previous_instructions",
            "basic_instruction",
            "tip",
        ];
        for request in requests_for(&model, "proposed_instruction") {
            let inputs = inputs(&request);
            let is_route = inputs["basic_instruction"].starts_with("Route");
            for name in all {
                // Only one of the predictors has a history, and only its outputs are in the data.
                let of_route = ["previous_instructions", "task_demos"].contains(&name);
                let expected = !absent.contains(&name) && (is_route || !of_route);
                assert_eq!(inputs.contains_key(name), expected, "{name}");
            }
        }
        for output in ["observations", "summary", "program_description", "module_description"] {
            assert_eq!(requests_for(&model, output).is_empty(), unasked.contains(&output), "{output}");
        }
    };
    let on = ModelProposerOptions::default;
    check(on(), &[], &[]);
    check(
        on().with_program_aware(false),
        &["program_code", "program_description", "module", "module_description"],
        &["program_description", "module_description"],
    );
    let unread = ["observations", "summary"];
    check(on().with_data_aware(false), &["dataset_description"], &unread);
    check(on().with_tip_aware(false), &["tip"], &[]);
    check(on().with_few_shot_aware(false), &["task_demos"], &[]);
    check(on().with_history_in_context(0), &["previous_instructions"], &[]);
}

#[test]
fn sampling_parameters_go_to_the_prompt_model() {
    let model = prompt_model(distinct);
    let options = ModelProposerOptions::default().with_temperature(0.35).with_max_tokens(77);
    run(&model, options, &task(), 2);
    for request in model.requests() {
        assert_eq!((request.sampling.temperature, request.sampling.max_tokens), (Some(0.35), Some(77)));
    }
}

#[test]
fn the_best_of_what_was_tried_is_shown_the_worst_of_it_first() {
    let model = prompt_model(distinct);
    let options = ModelProposerOptions::default().with_history_in_context(3);
    let mut task = task();
    let attempt = |tenths: u32| Attempt::new(format!("Attempt {tenths}"), f64::from(tenths) / 10.0);
    task.tried.insert("route".to_owned(), [3, 9, 1, 5, 7].map(attempt).to_vec());
    run(&model, options, &task, 1);
    let shown: Vec<_> = requests_for(&model, "proposed_instruction")
        .iter()
        .filter_map(|request| inputs(request).get("previous_instructions").cloned())
        .collect();
    let expected =
        [5, 7, 9].map(|tenths| format!("Instruction: Attempt {tenths}\nScore: 0.{tenths}00")).join("\n\n");
    assert_eq!(shown, [expected]);
}

#[test]
fn proposals_of_one_round_see_different_demo_sets_and_tips() {
    let model = prompt_model(distinct);
    let mut task = task();
    let set = |number: usize| vec![demo(&format!("Ticket of set {number}"), "topic", "sales")];
    task.demo_sets = IndexMap::from([("route".to_owned(), vec![vec![], set(1), set(2), set(3)])]);
    run(&model, ModelProposerOptions::default(), &task, 3);
    let shown: Vec<_> = requests_for(&model, "proposed_instruction").iter().map(inputs).collect();
    for number in 1..=3 {
        let demo = format!("Ticket of set {number}");
        assert_eq!(
            shown
                .iter()
                .filter(|inputs| inputs.get("task_demos").is_some_and(|shown| shown.contains(&demo)))
                .count(),
            1
        );
    }
    let of_route = shown.iter().filter(|inputs| inputs["basic_instruction"].starts_with("Route"));
    let mut tips: Vec<_> = of_route.map(|inputs| inputs["tip"].as_str()).collect();
    tips.dedup();
    assert_eq!(tips.len(), 3);
}

/// A prompt model, and the proposals that it gave.
#[test]
fn a_predictor_is_written_for_with_what_those_before_it_are_to_be_told() {
    let model = prompt_model(distinct);
    let written = run(&model, ModelProposerOptions::default(), &task(), 3);
    let told: Vec<String> = requests_for(&model, "proposed_instruction")
        .iter()
        .filter(|request| module(request).is_some_and(|module| module.starts_with("route")))
        .map(|request| inputs(request)["program_code"].clone())
        .collect();
    let topics = &written.proposals["topic"];
    assert_eq!((told.len(), topics.len()), (3, 3));
    for (slot, code) in told.iter().enumerate() {
        let shown: Vec<bool> = topics.iter().map(|text| code.contains(text.as_str())).collect();
        assert_eq!(shown, (0..3).map(|other| other == slot).collect::<Vec<_>>(), "{code}");
    }
}

fn recorded(
    propose: impl Fn(usize) -> String + Send + Sync + 'static,
) -> (Arc<ScriptedLm>, Arc<Mutex<Vec<String>>>) {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&said);
    let model = prompt_model(move |number| {
        let text = propose(number);
        noted.lock().unwrap().push(text.clone());
        text
    });
    (model, said)
}

/// Proposals that cannot serve are replaced by templates, and it is said.
fn check_replaced(propose: impl Fn(usize) -> String + Send + Sync + 'static, reason: &str) {
    let (model, said) = recorded(propose);
    let task = Task::new(ProgramInfo::new(program().name, vec![program().predictors.remove(1)]), tickets());
    let written = run(&model, ModelProposerOptions::default(), &task, 4);
    let texts = &written.proposals["route"];
    assert_eq!(texts.len(), 4);
    let composed = texts.iter().filter(|text| !said.lock().unwrap().contains(text)).count();
    assert!(composed >= 3, "{texts:?}");
    let note = format!("{composed} of 4 instructions for `route` were composed from templates");
    assert!(written.notes.iter().any(|text| text.starts_with(&note)), "{:?}", written.notes);
    assert_eq!(written.warnings, 1);
    // Asked once and twice again.
    assert!(requests_for(&model, "proposed_instruction").len() >= 3 * composed);
    assert!(!written.dropped.is_empty());
    assert!(written.dropped.iter().all(|(path, _, why)| path == "route" && why == reason));
}

#[test]
fn proposals_that_cannot_serve_are_replaced() {
    check_replaced(|_| "Choose the department for the ticket.".to_owned(), "exists already");
    check_replaced(
        |number| format!("Route the ticket.{}One DEPARTMENT only.", " ".repeat(number + 1)),
        "exists already",
    );
    check_replaced(
        |_| include_str!("../prompts/propose_instruction.md").to_owned(),
        "an echo of the request",
    );
    check_replaced(|number| format!("Paint mountains, version {number}."), "not about this task");
    check_replaced(|_| String::new(), "empty");
    check_replaced(|_| "ticket ".repeat(2000), "too long");
}

#[test]
fn a_reply_without_the_instruction_is_replaced_too() {
    let model = Arc::new(ScriptedLm::new(|_| Ok("I would rather not.".to_owned())));
    let written = run(&model, ModelProposerOptions::default(), &task(), 2);
    assert_eq!((written.study.data_summary, written.study.program_description), (None, None));
    assert!(written.notes.iter().any(|note| note.contains("`observations`")), "{:?}", written.notes);
    for path in ["topic", "route"] {
        // The model gave no instruction, so they are of templates.
        assert_eq!(written.proposals[path].len(), 2);
    }
}

#[test]
fn a_proposal_that_cannot_serve_is_asked_for_again_first() {
    // The first of the round is no use, what comes after it is.
    let useless_first = |number| if number == 0 { "???".to_owned() } else { distinct(number) };
    let (model, said) = recorded(useless_first);
    let written = run(&model, ModelProposerOptions::default(), &task(), 1);
    assert!(said.lock().unwrap().contains(&written.proposals["topic"][0]));
    assert_eq!((written.dropped.len(), written.notes.len()), (1, 0));

    let (model, said) = recorded(useless_first);
    let options = ModelProposerOptions::default().with_retries(0);
    let written = run(&model, options, &task(), 1);
    assert!(!said.lock().unwrap().contains(&written.proposals["topic"][0]));
}

#[test]
fn what_models_put_around_an_instruction_is_taken_off() {
    let model = prompt_model(|number| match number % 2 {
        0 => "Proposed Instruction: \"Name the topic of each ticket in a word.\"".to_owned(),
        _ => "```\nSend each ticket to its department.\n```".to_owned(),
    });
    let proposals = run(&model, ModelProposerOptions::default(), &task(), 1).proposals;
    assert_eq!(proposals["topic"][0], "Name the topic of each ticket in a word.");
    assert_eq!(proposals["route"][0], "Send each ticket to its department.");
}

#[test]
fn a_refused_key_is_asked_once_and_said() {
    let refuse = |_: &LmRequest| Err(LmError::Unauthorized { status: 401, message: "no such key".into() });
    let model = Arc::new(ScriptedLm::new(refuse));
    let (written, _) = written_under(on(&model), &ModelProposer::default(), &task(), 3);
    let Err(Halt::Stopped(StopReason::Provider { message })) = written else { panic!("{written:?}") };
    assert!(message.contains("no such key"), "{message}");
    assert_eq!(model.calls(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_budget_of_few_calls_ends_cleanly(
        budget in 0_u64..30,
        count in 0_usize..5,
        concurrency in prop::sample::select(vec![1_usize, 8]),
    ) {
        let model = prompt_model(distinct);
        let mut options = on(&model);
        (options.max_calls, options.concurrency) = (Some(budget), concurrency);
        let (written, left) = written_under(options, &ModelProposer::default(), &task(), count);
        prop_assert!(model.calls() as u64 <= budget);
        prop_assert_eq!(left, Some(budget - model.calls() as u64));
        // Without a reason to stop, everything was written.
        match written {
            Ok(Written { proposals, .. }) => {
                prop_assert_eq!((proposals["topic"].len(), proposals["route"].len()), (count, count));
            }
            Err(Halt::Stopped(stop)) => {
                prop_assert_eq!(stop, StopReason::Budget);
                let (_, most) = ModelProposerOptions::default().calls(TICKETS.len(), 2, count.max(1));
                prop_assert!(budget < most, "the budget was enough");
            }
            Err(failed) => prop_assert!(false, "{}", failed),
        }
    }

    /// Whatever the signature and the data hold, all templates render, and nothing is proposed
    /// that is there already.
    #[test]
    fn any_signature_gets_instructions_that_are_new(
        signature in strategies::signature(),
        examples in proptest::collection::vec(strategies::example(), 0..6),
        answers in proptest::collection::vec(strategies::text(), 0..6),
        taken in proptest::collection::vec(strategies::text(), 0..3),
        count in 0_usize..6,
        seed: u64,
    ) {
        let mut task = Task::new(ProgramInfo::single("answer", signature.clone()), Vec::new());
        task.examples = examples.iter().cloned().map(Arc::new).collect();
        // Examples that have the fields of the signature, too.
        for answer in &answers {
            let fields = signature.fields().map(|field| (field.name.clone(), answer.clone()));
            let inputs = signature.inputs().iter().map(|field| field.name.clone());
            task.examples.push(Example::new(fields, inputs).into());
        }
        let set = |answer: &String| {
            let fields = signature.fields().map(|field| (field.name.clone(), answer.as_str().into()));
            vec![Demo::new(fields.collect())]
        };
        task.demo_sets.insert("answer".to_owned(), answers.iter().map(set).collect());
        task.taken.entry("answer".to_owned()).or_default().extend(taken.clone());
        let attempt = |text: &String| Attempt::new(text.clone(), 0.5);
        task.tried.insert("answer".to_owned(), taken.iter().map(attempt).collect());
        task.seed = seed;

        // A prompt model that is good, repeats itself, says what is taken, and talks nonsense.
        let pool = [taken.clone(), answers.clone(), vec![signature.instructions().to_owned()]].concat();
        let next = AtomicUsize::new(0);
        let model = Arc::new(ScriptedLm::new(move |request| {
            let (field, number) = (wanted(request), next.fetch_add(1, Ordering::SeqCst));
            let text = match number % 3 {
                0 => format!("Write output0 with care, version {}.", number / 6),
                _ => pool[number % pool.len()].clone(),
            };
            Ok(ScriptedLm::chat_reply([(field.as_str(), text.as_str())]))
        }));
        let by_model = run(&model, ModelProposerOptions::default(), &task, count).proposals["answer"].clone();
        let by_template = composed(&task, 0, count);
        prop_assert_eq!(&by_template, &composed(&task, 0, count));

        let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for written in [by_model, by_template] {
            prop_assert!(written.len() <= count);
            let mut known: HashSet<String> = task.taken["answer"].iter().map(|text| normal(text)).collect();
            for instruction in written {
                prop_assert!(known.insert(normal(&instruction)), "twice: {}", instruction);
                prop_assert!(instruction.chars().any(char::is_alphanumeric));
            }
        }
    }
}
