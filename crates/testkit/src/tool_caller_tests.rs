//! The caller under an agent.

use futures_util::FutureExt as _;
use promptopt_core::data::Fields;
use promptopt_core::program::{CallContext, Predictor as _};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::Signature;
use promptopt_predict::{Agent, TRAJECTORY, ToolForm, tool_fn};

use super::*;

#[derive(serde::Deserialize, schemars::JsonSchema, serde::Serialize)]
struct Play {
    artist: String,
    minutes: f64,
}

fn question_of(number: usize) -> String {
    format!("Play two artists for {number} minutes each.")
}

fn talks() -> Vec<Talk> {
    let play = |artist: &str, number: usize| {
        ToolCall::new("", "play", json!({"artist": artist, "minutes": number}).to_string())
    };
    (0..200)
        .map(|number| {
            let step = vec![play("one", number), play("other", number)];
            Talk::default().with_turn(&question_of(number), vec![step])
        })
        .collect()
}

fn agent(form: ToolForm) -> Agent {
    let play = tool_fn("play", "Plays music.", |play: Play| async move { Ok(play) });
    let stop = tool_fn("stop", "Stops it.", |_: Play| async { Ok("stopped") });
    let agent = Agent::new("desk", Signature::parse("question -> answer").unwrap());
    agent.with_tool(play).with_tool(stop).with_tool_form(form)
}

/// The first step of each talk.
fn first_steps(agent: &Agent, caller: ToolCaller) -> Vec<Value> {
    let context = CallContext::new(std::sync::Arc::new(caller));
    let step = |number: usize| {
        let inputs = Fields::from_iter([("question".to_owned(), question_of(number).into())]);
        let prediction = agent.call(&context, &inputs).now_or_never().unwrap().unwrap();
        prediction.get(TRAJECTORY).and_then(|turns| turns.get(0)?.get("calls").cloned()).unwrap_or_default()
    };
    (0..200).map(step).collect()
}

fn is_right(step: &Value, number: usize) -> bool {
    let calls = step.as_array().into_iter().flatten();
    let made: Vec<_> = calls.map(|call| (call["tool"].clone(), call["arguments"].clone())).collect();
    let right = |artist: &str| (json!("play"), json!({"artist": artist, "minutes": number}));
    made == [right("one"), right("other")]
}

#[test]
fn a_perfect_caller_makes_the_right_calls_natively_and_in_words() {
    for form in [ToolForm::Native, ToolForm::Text] {
        let steps = first_steps(&agent(form), ToolCaller::new(talks(), 1));
        assert!(steps.iter().enumerate().all(|(number, step)| is_right(step, number)), "{form:?} {steps:?}");
    }
}

#[test]
fn a_learning_caller_is_right_about_what_its_prompt_teaches() {
    let share = |instruction: String| {
        let mut agent = agent(ToolForm::Native);
        agent.set_prompt(Prompt::new(instruction));
        let steps = first_steps(&agent, ToolCaller::new(talks(), 1).learning());
        steps.iter().enumerate().filter(|(number, step)| is_right(step, *number)).count() as f64 / 200.0
    };
    let untaught = share("Do it.".to_owned());
    let rules: Vec<String> = CallFault::ALL.iter().map(|fault| fault.rule(None).sentence()).collect();
    let taught = share(rules.join(" "));
    assert!((0.15..0.35).contains(&untaught) && (0.9..1.0).contains(&taught), "{untaught} {taught}");
}

#[test]
fn every_fault_shows_in_the_calls() {
    for fault in CallFault::ALL {
        let offered = ["play".to_owned(), "stop".to_owned()];
        if ToolCaller::can_make(fault, &talks()[0], &offered) {
            let steps = first_steps(&agent(ToolForm::Native), ToolCaller::new(talks(), 1).always(fault));
            assert!(steps.iter().enumerate().all(|(number, step)| !is_right(step, number)), "{fault:?}");
        } else {
            assert!([CallFault::CallsAnyway, CallFault::ForgetsTurn].contains(&fault));
        }
    }
}

#[test]
fn a_complaint_of_the_checker_becomes_an_instruction() {
    let asked = |text: &str| {
        let request = LmRequest::new(vec![Message::user(text)]);
        let caller = ToolCaller::new(talks(), 1).learning();
        let reply = caller.complete(&request, &Attempts::any()).now_or_never().unwrap().unwrap();
        reply.first_text().to_owned()
    };
    let wording = |number: usize| format!("Write {number}.\nWrong number of functions.\nRight are two.");
    let rule = CallFault::OneOfSeveral.rule(None).sentence();
    let told = (0..100).filter(|number| asked(&wording(*number)).contains(&rule)).count();
    assert!((35..65).contains(&told), "{told}");
    assert!(!(0..100).any(|number| asked(&format!("Write {number}.")).contains("the call is")));
}
