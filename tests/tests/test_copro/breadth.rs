//! As many instructions as were asked for, none twice, whatever server and model are like.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

fn small() -> COPRO {
    COPRO::builder().breadth(5).depth(3).build()
}

/// The instructions that a task model was asked with, without differences of white space, and what
/// it was asked under each.
fn evaluated(model: &Stage) -> Vec<(String, String)> {
    let normalized = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let requests = model.requests();
    let task = requests.iter().filter(|request| is_task(request));
    task.map(|request| (normalized(instruction(request)), question(request).to_owned())).collect()
}

#[test]
fn a_duplicate_is_never_evaluated() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let servers = prop::sample::select(vec![Server::Honours, Server::Ignores, Server::Refuses]);
    let texts = proptest::collection::vec(
        prop::sample::select(vec![
            "Say yes.",
            "Say  yes.",
            "Say\nyes. ",
            "Say no.",
            "say no.",
            "",
            "...",
            "\"Say no.\"",
            "Think.",
        ]),
        1..12,
    );
    runner
        .run(&(servers, texts, 2_usize..7, 1_usize..4), |(server, texts, breadth, depth)| {
            let model =
                Stage::new(|_, _| "no".to_owned(), move |k| texts[k % texts.len()].to_owned()).on(server);
            let model = Arc::new(model);
            let optimizer = COPRO::builder().breadth(breadth).depth(depth).build();
            let outcome =
                runtime.block_on(optimizer.compile(&mut program(model.clone()), same_answer(12))).unwrap();
            let asked = evaluated(&model);
            let distinct: HashSet<_> = asked.iter().collect();
            prop_assert_eq!(distinct.len(), asked.len(), "no example is asked twice under one instruction");
            let known = instructions(&outcome);
            let distinct: BTreeSet<_> = known.iter().collect();
            prop_assert_eq!(distinct.len(), known.len());
            let asked: BTreeSet<_> = asked.iter().map(|(instruction, _)| instruction).collect();
            prop_assert_eq!(asked, distinct);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn whatever_the_server_does_with_n_the_breadth_is_the_same() {
    for server in [Server::Honours, Server::Ignores, Server::Refuses] {
        let model = Arc::new(Stage::answering("no").on(server));
        let outcome = small().compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
        assert_eq!(outcome.candidates.len(), 1 + 4 + 5 + 5, "{server:?}");
        assert!(outcome.notes.is_empty(), "{:?}", outcome.notes);
        assert_eq!(outcome.spending.total().calls + refused(&model), model.calls());
        let several: Vec<u32> =
            model.written_requests().iter().map(|request| request.n).filter(|n| *n > 1).collect();
        match server {
            // One of the first four is written anew.
            Server::Honours => assert_eq!(several, [3, 5, 5]),
            // It is remembered for the rest of the run.
            Server::Ignores | Server::Refuses => assert_eq!(several, [3]),
        }
        let texts: HashSet<String> = model
            .written_requests()
            .iter()
            .map(|request| serde_json::to_string(&request.messages).unwrap())
            .collect();
        assert_eq!(texts.len(), model.written_requests().len(), "no two requests are the same text");
    }
}

/// Requests that came back as an error.
fn refused(model: &Stage) -> u64 {
    let several = model.written_requests().iter().filter(|request| request.n > 1).count() as u64;
    if model.server == Server::Refuses { several } else { 0 }
}

/// Says the same whenever it is asked the same, and gives one reply to every request.
#[tokio::test]
async fn breadth_does_not_collapse_on_a_deterministic_server() {
    let task = HiddenRules::new(8, 3);
    let model = task.model(3).ignoring_n();
    let outcome = compile(&COPRO::builder().depth(2).build(), model, task.examples(100)).await.unwrap();
    assert_eq!(outcome.candidates.len(), 1 + 9 + 10, "{:?}", outcome.notes);
    assert!(outcome.improved());
}

#[tokio::test]
async fn what_repeats_is_asked_for_again_and_everything_is_told() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let observer = move |event: &Event| {
        if let Event::Proposal { predictor, instruction, dropped } = event {
            assert_eq!(predictor, "answer");
            heard.lock().unwrap().push((instruction.clone(), dropped.clone()));
        }
    };
    // Every text comes twice.
    let model = Stage::new(|_, _| "no".to_owned(), |k| distinct(k / 2));
    let optimizer = COPRO::builder().breadth(5).depth(1).observer(Arc::new(observer)).build();
    let outcome = compile(&optimizer, model, same_answer(20)).await.unwrap();
    assert_eq!(outcome.candidates.len(), 5);
    let events = events.lock().unwrap();
    let kept: Vec<_> = events.iter().filter(|(_, dropped)| dropped.is_none()).collect();
    assert_eq!(kept.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(), [0, 1, 2, 3].map(distinct));
    let dropped: Vec<_> = events.iter().filter_map(|(_, dropped)| dropped.as_deref()).collect();
    assert!(!dropped.is_empty() && dropped.iter().all(|reason| *reason == "exists already"), "{dropped:?}");
}

#[tokio::test]
async fn replies_that_cannot_serve_are_dropped_and_what_is_around_an_instruction_is_taken_off() {
    let texts = |k: usize| match k {
        0 => "Instruction: \"Say yes.\"".to_owned(),
        1 => "word ".repeat(2000),
        2 => String::new(),
        3 => "Begin with [[ ## answer ## ]].".to_owned(),
        4 => "```\nSay maybe.\n```".to_owned(),
        _ => "Say yes.".to_owned(),
    };
    let optimizer = COPRO::builder().breadth(5).depth(1).build();
    let model = Stage::new(|_, _| "no".to_owned(), texts);
    let outcome = compile(&optimizer, model, same_answer(20)).await.unwrap();
    let known = instructions(&outcome);
    assert_eq!(known[1..], ["Say yes.", "Say maybe."]);
    let note = "at depth 0 only 2 of 4 instructions for `answer` came out";
    assert!(outcome.notes.iter().any(|text| text.starts_with(note)), "{:?}", outcome.notes);
}

#[tokio::test]
async fn a_prompt_model_that_gives_nothing_leaves_the_original_and_a_note() {
    for server in [Server::Honours, Server::Ignores, Server::Refuses] {
        for reply in ["", "Given the fields `question`, produce the fields `answer`."] {
            let model = Arc::new(Stage::new(|_, _| "no".to_owned(), |_| reply.to_owned()).on(server));
            let mut module = program(model.clone());
            let before = module.candidate();
            let outcome = small().compile(&mut module, same_answer(20)).await.unwrap();
            assert_eq!((outcome.best, outcome.candidates.len()), (0, 1), "{server:?} {reply}");
            assert_eq!(outcome.stop, StopReason::Completed);
            assert!(outcome.notes.iter().any(|note| note.contains("only 0 of 4")), "{:?}", outcome.notes);
            assert_eq!(module.candidate(), before);
            // What is missing is asked for at most four times.
            assert!(model.written_requests().len() <= 4 * (4 + 5 + 5) + 1);
        }
    }
}
