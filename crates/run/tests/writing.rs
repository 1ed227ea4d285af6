//! Texts from the prompt model, over a model that numbers its replies.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::sync::{Arc, Mutex};

use promptopt_core::data::Fields;
use promptopt_core::lm::{
    Completion, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, Sampling, lm_fn,
};
use promptopt_core::money::Usage;
use promptopt_core::program::ModuleExt as _;
use promptopt_run::{Assignment, Brief, Halt, Run, RunOptions, StopReason, Written};
use promptopt_testkit::toy;

/// What a model was asked, in order of arrival.
type Asked = Arc<Mutex<Vec<LmRequest>>>;

/// Answers with numbered replies: as many as wanted, or one, or refuses where several are wanted.
fn numbered(honours_n: bool, refuses_n: bool) -> (Arc<dyn LanguageModel>, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let model = lm_fn("numbered", move |request: LmRequest| {
        noted.lock().unwrap().push(request.clone());
        async move {
            if request.n > 1 && refuses_n {
                return Err(LmError::InvalidRequest { status: 400, message: "`n` must be 1".into() });
            }
            let count = if honours_n { request.n.max(1) } else { 1 };
            let form = |text: String| match request.messages.first() {
                Some(message) if message.text().contains("[[ ##") => format!("[[ ## text ## ]]\n{text}"),
                _ => text,
            };
            let completions =
                (0..count).map(|number| Completion::new(form(format!(" text {number} ")))).collect();
            Ok(LmReply::new(completions, Usage::call(10, 5)))
        }
    });
    (Arc::new(model), asked)
}

const BRIEF: Brief<'_> =
    Brief::new("write", "Write a text.", &[("about", "What it is about.")], ("text", "The text."));

fn texts(count: usize) -> Vec<Written> {
    (0..count).map(|number| Ok(format!("text {number}"))).collect()
}

/// Draws three texts, and says what the ledger counted.
fn draw(model: Arc<dyn LanguageModel>) -> (Vec<Written>, u64) {
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, model);
    let inputs = Fields::from_iter([("about".to_owned(), "rain".into())]);
    let written =
        pollster::block_on(run.draw(&Sampling::default(), BRIEF, Assignment::new(inputs), 3)).unwrap();
    (written, run.ledger().spent())
}

#[test]
fn one_request_gives_several_texts_where_the_server_can() {
    let (model, asked) = numbered(true, false);
    assert_eq!(draw(model), (texts(3), 1));
    assert_eq!(asked.lock().unwrap()[0].n, 3);
}

#[test]
fn a_server_that_ignores_or_refuses_n_gives_fewer_and_ends_nothing() {
    assert_eq!(draw(numbered(false, false).0).0, texts(1));
    assert_eq!(draw(numbered(false, true).0).0, texts(0));
}

#[test]
fn bare_prompts_go_out_as_they_are_and_replies_come_back_as_they_are() {
    let (model, asked) = numbered(true, false);
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, model);
    let prompts = vec![("first prompt".to_owned(), 0), ("second prompt".to_owned(), 7)];
    let written = pollster::block_on(run.ask(&Sampling::default(), "reflect", prompts)).unwrap();
    assert_eq!(written, [texts(1), texts(1)].concat());
    let requests = asked.lock().unwrap();
    assert_eq!(requests[1].messages, [Message::user("second prompt")]);
    assert_eq!(requests[1].sample_index, 7);
}

#[test]
fn a_text_is_what_the_model_answered_and_else_it_is_said_why_there_is_none() {
    let check = |completion: Completion, expected: Result<&str, &str>| {
        let model = lm_fn("fixed", move |_: LmRequest| {
            let reply = LmReply::new(vec![completion.clone()], Usage::call(10, 5));
            async move { Ok(reply) }
        });
        let program = toy::answerer().with_metric(toy::exact_answer());
        let mut run = Run::bare(&program, Arc::new(model));
        let sampling = Sampling::default().with_max_tokens(300);
        let written =
            pollster::block_on(run.ask(&sampling, "reflect", vec![("prompt".to_owned(), 0)])).unwrap();
        match (&written[0], expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    };
    check(Completion::new("<think>\nBe rude.\n</think>\nBe kind."), Ok("Be kind."));
    check(Completion::new("[THINK]Be rude.[/THINK]Be kind."), Ok("Be kind."));
    let cut = Completion::new("<think>\nBe").with_finish_reason(FinishReason::Length);
    check(cut, Err("cut off at max_tokens (300), before the model had done reasoning"));
    check(
        Completion::new("").with_finish_reason(FinishReason::ContentFilter),
        Err("content filter withheld"),
    );
    check(Completion::new("").with_reasoning("Be kind."), Err("only reasoned and gave no answer"));
}

#[test]
fn a_budget_holds_for_writing_too() {
    let (model, asked) = numbered(true, false);
    let program = toy::answerer().with_metric(toy::exact_answer());
    let options = RunOptions::builder().task_model(model).max_calls(1).build();
    let mut run = Run::of(&program, options).unwrap();
    let prompts = vec![("first".to_owned(), 0), ("second".to_owned(), 0)];
    let ended = pollster::block_on(run.ask(&Sampling::default(), "reflect", prompts));
    assert!(matches!(ended, Err(Halt::Stopped(StopReason::Budget))), "{ended:?}");
    assert_eq!((asked.lock().unwrap().len(), run.ledger().spent()), (1, 1));
}
