//! Requests that the prompt model's provider refuses: sent again with fewer records, and what was refused is remembered.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::sync::{Arc, Mutex};

use promptopt_core::data::Example;
use promptopt_core::lm::{LanguageModel, LmError, LmReply, LmRequest, Sampling, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::ModuleExt as _;
use promptopt_run::{Assignment, Halt, Run, RunOptions, StopReason, Written};
use promptopt_testkit::toy;
use proptest::prelude::*;

/// What a model was asked, in order of arrival.
type Asked = Arc<Mutex<Vec<String>>>;

/// Repeats its prompt, unless a closure refuses it.
fn model(
    refuses: impl Fn(&str) -> Option<LmError> + Send + Sync + 'static,
) -> (Arc<dyn LanguageModel>, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let model = lm_fn("picky", move |request: LmRequest| {
        let prompt = request.messages.last().unwrap().text().to_owned();
        noted.lock().unwrap().push(prompt.clone());
        let refusal = refuses(&prompt);
        async move { refusal.map_or_else(|| Ok(LmReply::text(prompt, Usage::call(10, 5))), Err) }
    });
    (Arc::new(model), asked)
}

fn withheld(_: &str) -> LmError {
    LmError::Refused { message: "content filter".into() }
}

fn rejected(_: &str) -> LmError {
    LmError::InvalidRequest { status: 400, message: "flagged".into() }
}

/// A refusal of every prompt that holds one of some rows.
fn of_rows(rows: &'static [usize], error: fn(&str) -> LmError) -> impl Fn(&str) -> Option<LmError> {
    move |prompt| rows.iter().any(|row| prompt.contains(&format!("<{row}>"))).then(|| error(prompt))
}

fn row(number: usize) -> Example {
    Example::new([("question", number)], ["question"])
}

/// A prompt of these rows.
fn of(rows: impl IntoIterator<Item = usize>) -> Assignment {
    let record = |number| (row(number).content_hash(), format!("<{number}>"));
    Assignment::prompt_of(rows.into_iter().map(record).collect(), |records| records.concat())
}

fn text(rows: impl IntoIterator<Item = usize>) -> Written {
    Ok(rows.into_iter().map(|number| format!("<{number}>")).collect())
}

fn ask(run: &mut Run<'_>, prompts: Vec<Assignment>) -> Result<Vec<Written>, Halt> {
    pollster::block_on(run.ask(&Sampling::default(), "reflect", prompts))
}

/// Asks with several prompts one after the other; the texts, how many requests each took, and the notes.
fn asked_in_turn(
    refuses: impl Fn(&str) -> Option<LmError> + Send + Sync + 'static,
    prompts: Vec<Assignment>,
) -> (Vec<Written>, Vec<usize>, Vec<String>) {
    let (model, asked) = model(refuses);
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, model);
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let before = asked.lock().unwrap().len();
        texts.extend(ask(&mut run, vec![prompt]).unwrap());
        calls.push(asked.lock().unwrap().len() - before);
    }
    assert_eq!(run.ledger().spent() as usize, calls.iter().sum::<usize>(), "every request is in the books");
    let notes = pollster::block_on(run.close("", Ok(()))).unwrap().notes;
    (texts, calls, notes)
}

#[test]
fn a_refused_row_is_found_by_halves_and_costs_its_requests_once() {
    for error in [withheld, rejected] {
        let (texts, calls, notes) =
            asked_in_turn(of_rows(&[5], error), vec![of(0..8), of(4..12), of([5, 6])]);
        let without = |rows: std::ops::Range<usize>| text(rows.filter(|number| *number != 5));
        assert_eq!(texts, [without(0..8), without(4..12), text([6])]);
        // The prompt, three halves, and the prompt without the row.
        assert_eq!(calls, [5, 1, 1]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("1 examples are not shown"), "{notes:?}");
    }
}

#[test]
fn several_refused_rows_are_all_found() {
    let (texts, calls, notes) = asked_in_turn(of_rows(&[0, 3, 6], withheld), vec![of(0..8), of(0..8)]);
    assert_eq!(texts, [text([1, 2, 4, 5, 7]), text([1, 2, 4, 5, 7])]);
    assert!(calls[0] <= 15 && calls[1] == 1, "{calls:?}");
    assert!(notes[0].starts_with("3 examples are not shown"), "{notes:?}");
}

#[test]
fn prompts_of_one_batch_share_what_is_found_out() {
    let (model, asked) = model(of_rows(&[2], withheld));
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, model);
    let texts = ask(&mut run, vec![of(0..4), of(2..6), of(8..9)]).unwrap();
    assert_eq!(texts, [text([0, 1, 3]), text([3, 4, 5]), text([8])]);
    // Three at once, two halves and the rest of the first, the rest of the second.
    assert_eq!(asked.lock().unwrap().len(), 3 + 3 + 1);
    assert!(run.is_withheld(&row(2)) && !run.is_withheld(&row(3)));
}

#[test]
fn a_prompt_that_is_too_long_shows_fewer_records_from_then_on() {
    let too_long =
        |prompt: &str| (prompt.len() > 10).then(|| LmError::ContextLength { message: "at most 10".into() });
    let (texts, calls, notes) = asked_in_turn(too_long, vec![of(0..8), of(1..9), of([7])]);
    // Records of three characters each.
    assert_eq!(texts, [text([0, 1]), text([1, 2]), text([7])]);
    assert_eq!(calls, [3, 1, 1]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("context window") && notes[0].contains("at most 10"), "{notes:?}");
}

#[test]
fn one_record_that_is_too_long_by_itself_is_left_out() {
    let record = |number: usize, length: usize| (row(number).content_hash(), "x".repeat(length));
    let put = |records: &[&str]| records.join(" ");
    let prompt = || Assignment::prompt_of(vec![record(1, 50), record(2, 4), record(3, 4)], put);
    let too_long =
        |prompt: &str| (prompt.len() > 20).then(|| LmError::ContextLength { message: "at most 20".into() });
    let (texts, calls, _) = asked_in_turn(too_long, vec![prompt(), prompt()]);
    assert_eq!(texts, [Ok("xxxx xxxx".to_owned()), Ok("xxxx xxxx".to_owned())]);
    assert_eq!(calls[1], 1);
}

#[test]
fn where_the_records_are_not_what_is_refused_it_is_looked_for_once_and_no_further() {
    // Something is written first, so that the set-up is right.
    let refuses = |prompt: &str| prompt.contains("<1").then(|| withheld(prompt));
    let (texts, calls, notes) = asked_in_turn(refuses, vec![of([2]), of(10..14), of(14..18)]);
    assert!(texts[1].as_ref().is_err_and(|why| why.contains("content filter")), "{texts:?}");
    // All, two halves, and each other record; then not again.
    assert_eq!(calls, [1, 6, 1]);
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn a_set_up_that_is_wrong_ends_the_run_with_the_providers_words() {
    let (model, _) = model(|prompt| Some(rejected(prompt)));
    let (task, _) = self::model(|_| None);
    let program = toy::answerer().with_metric(toy::exact_answer());
    let options = RunOptions::builder().task_model(task).prompt_model(model).build();
    let mut run = Run::of(&program, options).unwrap();
    let ended = ask(&mut run, vec![of(0..4)]);
    assert!(
        matches!(&ended, Err(Halt::Stopped(StopReason::Provider { message })) if message.contains("flagged")),
        "{ended:?}"
    );
    let ended = ask(&mut run, vec![Assignment::prompt("no records")]);
    assert!(matches!(&ended, Err(Halt::Stopped(StopReason::Provider { .. }))), "{ended:?}");
}

#[test]
fn the_search_for_a_row_keeps_to_the_budget() {
    for calls in 1..8 {
        let (model, asked) = model(of_rows(&[5], withheld));
        let program = toy::answerer().with_metric(toy::exact_answer());
        let options = RunOptions::builder().task_model(model).max_calls(calls).build();
        let mut run = Run::of(&program, options).unwrap();
        let texts = ask(&mut run, vec![of(0..8)]).unwrap();
        assert!(asked.lock().unwrap().len() as u64 <= calls);
        assert_eq!(run.ledger().spent(), asked.lock().unwrap().len() as u64);
        // What was written on the way serves where the budget ends the search.
        assert_eq!(texts[0].is_ok(), calls > 2, "{calls}: {texts:?}");
    }
}

proptest! {
    #[test]
    fn no_text_is_written_from_a_refused_row_and_every_other_row_can_be(
        refused in proptest::collection::btree_set(0_usize..24, 0..4),
        rows in proptest::collection::btree_set(0_usize..24, 6..12),
    ) {
        let known = refused.clone();
        let refuses = move |prompt: &str| {
            known.iter().any(|row| prompt.contains(&format!("<{row}>"))).then(|| withheld(prompt))
        };
        let (texts, calls, _) = asked_in_turn(refuses, vec![of(rows.clone()), of(rows.clone())]);
        prop_assert_eq!(texts, vec![text(rows.difference(&refused).copied()); 2]);
        prop_assert!(calls[0] <= 1 + 8 * refused.intersection(&rows).count(), "{:?}", calls);
        prop_assert_eq!(calls[1], 1);
    }
}
