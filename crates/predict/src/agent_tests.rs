//! An agent on a model that follows a script.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use promptopt_core::lm::{
    Attempts, Completion, FinishReason, LmError, LmReply, ModelProfile, Role, ToolCall, ToolChoice,
};
use promptopt_core::money::Usage;
use promptopt_core::program::{Cancellation, Unavailable};
use promptopt_core::prompt::{Demo, Prompts};
use promptopt_core::trace::{Failure, FailureKind, StepKind};
use serde_json::{Value, json};

use super::work::{LAST_TURN, TOO_MANY_CALLS};
use super::*;

/// A model that gives these completions one after the other, and keeps what it was asked.
struct Script {
    replies: Mutex<Vec<Completion>>,
    asked: Mutex<Vec<LmRequest>>,
    takes_no_tools: bool,
}

impl Script {
    fn new(replies: impl IntoIterator<Item = Completion>) -> Arc<Self> {
        let mut replies: Vec<Completion> = replies.into_iter().collect();
        replies.reverse();
        Arc::new(Self { replies: Mutex::new(replies), asked: Mutex::default(), takes_no_tools: false })
    }

    fn asked(&self) -> Vec<LmRequest> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl LanguageModel for Script {
    fn profile(&self) -> ModelProfile {
        let profile = ModelProfile::new("script");
        if self.takes_no_tools { profile.without_tools() } else { profile }
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        self.asked.lock().unwrap().push(request.clone());
        let reply = self.replies.lock().unwrap().pop();
        let reply = reply.ok_or_else(|| LmError::Engine { message: "the script is over".to_owned() })?;
        Ok(LmReply::new(vec![reply], Usage::call(10, 1)))
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Search {
    /// What to look for.
    query: String,
}

fn desk() -> Agent {
    let signature =
        Signature::parse("question -> answer").unwrap().with_instructions("Answer from the handbook.");
    let search = tool_fn("search", "Searches the handbook.", |search: Search| async move {
        match search.query.as_str() {
            "nothing" => Err(anyhow::anyhow!("the index is closed")),
            query => Ok(format!("About {query}: two minutes.")),
        }
    });
    Agent::new("desk", signature).with_tool(search)
}

fn called(calls: &[(&str, &str, &str)]) -> Completion {
    let calls = calls.iter().map(|(id, name, arguments)| ToolCall::new(*id, *name, *arguments)).collect();
    Completion::new("").with_tool_calls(calls).with_finish_reason(FinishReason::ToolCalls)
}

fn answered(text: &str) -> Completion {
    Completion::new(format!("[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"))
}

fn question() -> Fields {
    Fields::from_iter([("question".to_owned(), json!("How long does tea take?"))])
}

fn run(agent: &Agent, script: &Arc<Script>) -> (Result<Prediction, Error>, Vec<Step>) {
    let context = CallContext::new(Arc::clone(script) as _);
    let result = agent.call(&context, &question()).now_or_never().unwrap();
    (result, context.take_record().0)
}

#[test]
fn tools_are_called_and_their_results_are_told() {
    let script = Script::new([called(&[("a", "search", r#"{"query": "tea"}"#)]), answered("Two minutes.")]);
    let (result, steps) = run(&desk(), &script);
    let prediction = result.unwrap();
    assert_eq!(prediction.get_str("answer"), Some("Two minutes."));
    let call = json!({"tool": "search", "arguments": {"query": "tea"}, "result": "About tea: two minutes."});
    assert_eq!(prediction.get(TRAJECTORY), Some(&json!([{"calls": [call]}])));

    let asked = script.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].tools[0].parameters["properties"]["query"]["description"], "What to look for.");
    assert!(asked[0].messages[0].text().ends_with(MAY_CALL));
    let told = serde_json::to_value(&asked[1].messages[2..]).unwrap();
    assert_eq!(
        told,
        json!([
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "search", "arguments": "{\"query\": \"tea\"}"}}]},
            {"role": "tool", "content": "About tea: two minutes.", "tool_call_id": "a"},
        ])
    );

    let [whole, part] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((whole.predictor.as_str(), whole.kind, whole.parent), ("desk", StepKind::Predictor, None));
    assert_eq!(whole.usage, Usage::call(20, 2).with_calls(2));
    assert_eq!(
        (part.predictor.as_str(), part.kind, part.parent),
        ("desk.tools.search", StepKind::Tool, Some(0))
    );
    assert_eq!(
        (part.inputs["query"].as_str(), part.outputs["result"].as_str()),
        (Some("tea"), Some("About tea: two minutes."))
    );
}

#[test]
fn what_a_tool_cannot_do_is_told_to_the_model() {
    let calls = called(&[
        ("a", "search", r#"{"query": "nothing"}"#),
        ("b", "search", r#"{"query": "#),
        ("c", "search", r#"{"words": "tea"}"#),
        ("", "look_up", "{}"),
    ]);
    let script = Script::new([calls, answered("I do not know.")]);
    let (result, steps) = run(&desk(), &script);
    assert!(result.is_ok());
    let messages = script.asked()[1].messages.clone();
    let told: Vec<(&str, &str)> = messages
        .iter()
        .filter_map(|message| Some((message.tool_call_id.as_deref()?, message.text())))
        .collect();
    assert_eq!(told[0], ("a", "Error: the index is closed"));
    assert!(told[1].1.starts_with("Error: the arguments are not valid JSON"), "{told:?}");
    assert!(
        told[2].1.starts_with("Error: the arguments do not fit the schema: arguments.query: is missing"),
        "{told:?}"
    );
    assert_eq!(told[3], ("call_1_4", "Error: there is no tool `look_up`; there are `search`"));
    assert!(steps.iter().skip(1).all(|step| step.error.is_some() && step.parent == Some(0)));
}

#[test]
fn the_last_turn_answers_or_fails() {
    let call = || called(&[("a", "search", r#"{"query": "tea"}"#)]);
    let script = Script::new([call(), call(), answered("Two.")]);
    let agent = desk().with_max_turns(3);
    assert!(run(&agent, &script).0.is_ok());
    let asked = script.asked();
    assert_eq!(asked[2].tool_choice, Some(ToolChoice::None));
    assert_eq!(asked[2].messages.last().unwrap().text(), LAST_TURN);
    assert_eq!(asked[1].tool_choice, None);

    let script = Script::new([call(), call(), call(), call()]);
    let error = run(&agent, &script).0.unwrap_err();
    assert!(full_text(&error).contains("it still calls tools in its last turn (3)"), "{}", full_text(&error));
    assert_eq!((script.asked().len(), Module::calls_per_rollout(&agent)), (3, 4));
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_once_more() {
    let signature = Signature::parse("question -> minutes: int, sure: bool").unwrap();
    let agent = Agent::new("desk", signature);
    let fits = Completion::new("[[ ## minutes ## ]]\n2\n\n[[ ## sure ## ]]\nTrue\n\n[[ ## completed ## ]]");
    let script = Script::new([Completion::new("Two, I think."), fits]);
    let (result, steps) = run(&agent, &script);
    assert_eq!(result.unwrap().get("minutes"), Some(&json!(2)));
    assert!(steps[0].retried);
    let last = script.asked()[1].messages.last().unwrap().text().to_owned();
    assert!(last.contains("the field `minutes` is missing"), "{last}");

    let script = Script::new([Completion::new("Two."), Completion::new("Two.")]);
    assert!(matches!(run(&agent, &script).0, Err(Error::Reply { .. })));
    // A single text may come as it is.
    let script = Script::new([Completion::new("Two minutes.")]);
    assert_eq!(run(&desk(), &script).0.unwrap().get_str("answer"), Some("Two minutes."));
}

#[test]
fn a_model_without_tools_is_told_of_them_in_words() {
    let mut script = Script::new([
        Completion::new("I look it up.\nAction: search\nAction Input: {\"query\": \"tea\"}"),
        answered("Two minutes."),
    ]);
    Arc::get_mut(&mut script).unwrap().takes_no_tools = true;
    let prediction = run(&desk(), &script).0.unwrap();
    assert_eq!(prediction.get(TRAJECTORY).unwrap()[0]["thought"], "I look it up.");
    let asked = script.asked();
    assert!(
        asked.iter().all(|request| request.tools.is_empty() && request.sampling.stop == ["\nObservation:"])
    );
    let system = asked[0].messages[0].text();
    assert!(
        system.contains("- search(query: string (What to look for.)): Searches the handbook."),
        "{system}"
    );
    assert_eq!(asked[1].messages.last().unwrap().text(), "Observation: About tea: two minutes.");
}

#[test]
fn an_answer_may_hold_the_words_of_a_call() {
    let answer = "[[ ## answer ## ]]\nAction: refund the order\n\n[[ ## completed ## ]]";
    for agent in [desk(), Agent::new("desk", Signature::parse("question -> answer").unwrap())] {
        let script = Script::new([Completion::new(answer)]);
        let prediction = run(&agent.with_tool_form(ToolForm::Text), &script).0.unwrap();
        assert_eq!(prediction.get_str("answer"), Some("Action: refund the order"));
    }
}

#[test]
fn results_that_a_model_makes_up_are_not_shown_to_it() {
    let made_up =
        "I look.\n**Action:** `search`\nAction Input: {\"query\": \"tea\"}\nObservation: nine minutes";
    let script = Script::new([Completion::new(made_up), answered("Two minutes.")]);
    let prediction = run(&desk().with_tool_form(ToolForm::Text), &script).0.unwrap();
    assert_eq!(prediction.get(TRAJECTORY).unwrap()[0]["thought"], "I look.");
    let said: String = script.asked()[1].messages.iter().map(Message::text).collect();
    assert!(!said.contains("nine minutes") && said.contains("About tea: two minutes."), "{said}");
}

#[test]
fn a_broken_or_cut_answer_is_no_bare_text() {
    for text in ["{\"answr\": \"tea\"}", "[\"tea\"]", &"x".repeat(300 * 1024)] {
        let script = Script::new([Completion::new(text), answered("Two.")]);
        assert_eq!(run(&desk(), &script).0.unwrap().get_str("answer"), Some("Two."));
    }
    let cut = Completion::new("It takes").with_finish_reason(FinishReason::Length);
    let script = Script::new([cut, answered("Two.")]);
    assert_eq!(run(&desk(), &script).0.unwrap().get_str("answer"), Some("Two."));
}

#[test]
fn an_agent_without_tools_that_calls_some_says_why_it_failed() {
    let script = Script::new([called(&[("a", "search", "{}")])]);
    let agent = Agent::new("desk", Signature::parse("question -> answer").unwrap()).with_max_turns(1);
    let error = full_text(&run(&agent, &script).0.unwrap_err());
    assert!(error.contains("it still calls tools in its last turn (1)"), "{error}");
}

#[test]
fn demos_show_their_calls() {
    let (result, steps) = run(
        &desk(),
        &Script::new([called(&[("a", "search", r#"{"query": "tea"}"#)]), answered("Two minutes.")]),
    );
    result.unwrap();
    let fields = fields_of(steps[0].inputs.iter().chain(&steps[0].outputs));
    let prompt = Prompt::new("Answer.").with_demos(vec![Demo::new(fields).augmented()]);
    let prompts: Prompts = [("desk".to_owned(), prompt)].into_iter().collect();
    let roles = |form: ToolForm| {
        let script = Script::new([answered("Three minutes.")]);
        let context = CallContext::for_run(
            Arc::clone(&script) as _,
            Arc::new(prompts.clone()),
            Cancellation::new(),
            0,
            None,
        );
        let agent = desk().with_tool_form(form);
        agent.call(&context, &question()).now_or_never().unwrap().unwrap();
        let request = script.asked().remove(0);
        request.messages.iter().map(|message| message.role.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(roles(ToolForm::Native), "system user assistant tool assistant user");
    assert_eq!(roles(ToolForm::Text), "system user assistant user assistant user");
}

#[test]
fn descriptions_of_tools_are_components_where_that_is_wanted() {
    let paths = |agent: &mut Agent| -> Vec<String> {
        let paths: Vec<String> = agent.predictors().iter().map(|one| one.path().to_owned()).collect();
        let mutable: Vec<String> = agent.predictors_mut().iter().map(|one| one.path().to_owned()).collect();
        assert_eq!(paths, mutable);
        paths
    };
    assert_eq!(paths(&mut desk()), ["desk"]);
    assert_eq!(paths(&mut desk().improving_tools(true)), ["desk", "desk.tools.search"]);
    let prompts: Prompts =
        [("desk.tools.search".to_owned(), Prompt::new("Searches by a single word."))].into_iter().collect();
    let script = Script::new([answered("Two.")]);
    let context =
        CallContext::for_run(Arc::clone(&script) as _, Arc::new(prompts), Cancellation::new(), 0, None);
    desk().call(&context, &question()).now_or_never().unwrap().unwrap();
    assert_eq!(script.asked()[0].tools[0].description, "Searches by a single word.");
}

#[test]
fn a_long_result_is_cut_and_says_so() {
    let long = tool_fn("search", "", |_: Search| async { Ok("x".repeat(50_000)) });
    let agent = desk().with_tool(long).with_max_result_chars(100);
    let script = Script::new([called(&[("a", "search", r#"{"query": "tea"}"#)]), answered("Two.")]);
    run(&agent, &script).0.unwrap();
    let told = script.asked()[1].messages[3].text().to_owned();
    assert_eq!(told, format!("{}\n[49900 more characters are left out]", "x".repeat(100)));
}

#[test]
fn arguments_are_judged_and_shown_whole_where_they_are_long() {
    let arguments = format!("{{\"query\": \"{}\"}}", "x".repeat(9000));
    let script = Script::new([called(&[("a", "search", &arguments)]), answered("Two.")]);
    let prediction = run(&desk(), &script).0.unwrap();
    let kept = prediction.get(TRAJECTORY).unwrap()[0]["calls"][0].clone();
    assert_eq!(kept["arguments"]["query"].as_str().map(str::len), Some(9000));
    assert!(kept["result"].as_str().unwrap().chars().count() < 2100);
}

#[test]
fn the_last_turn_in_words_opens_the_first_output() {
    let signature = Signature::parse("question -> reason, answer").unwrap();
    let search = tool_fn("search", "", |_: Search| async { Ok("two minutes") });
    let agent = Agent::new("desk", signature).with_tool(search).with_tool_form(ToolForm::Text);
    let agent = agent.with_adapter(Arc::new(crate::PlainAdapter)).with_max_turns(1);
    for reply in ["Because of tea.\nanswer: two", "Let me see.\nreason: Because of tea.\nanswer: two"] {
        let script = Script::new([Completion::new(reply)]);
        let prediction = run(&agent, &script).0.unwrap();
        assert_eq!(prediction.get_str("reason"), Some("Because of tea."), "{reply}");
        assert_eq!(prediction.get_str("answer"), Some("two"), "{reply}");
    }
}

#[test]
fn arguments_that_do_not_fit_the_schema_are_told_to_the_model() {
    let order = ToolDefinition::new(
        "order",
        "",
        json!({"type": "object", "required": ["number"],
        "properties": {"number": {"type": "integer"}}, "additionalProperties": false}),
    );
    struct Order(ToolDefinition);
    #[async_trait]
    impl Tool for Order {
        fn definition(&self) -> ToolDefinition {
            self.0.clone()
        }
        async fn call(
            &self,
            _: &CallContext,
            arguments: serde_json::Map<String, Value>,
        ) -> anyhow::Result<Value> {
            Ok(Value::Object(arguments))
        }
    }
    let arguments = [r#"{"number": "abc"}"#, r#"{"nummer": 3}"#, r#"{"number": "3"}"#];
    let calls: Vec<_> =
        arguments.iter().enumerate().map(|(at, text)| (["a", "b", "c"][at], "order", *text)).collect();
    let script = Script::new([called(&calls), answered("Two.")]);
    run(&desk().with_tool(Order(order)), &script).0.unwrap();
    let asked = script.asked();
    let told: Vec<&str> = asked[1].messages[3..].iter().map(Message::text).collect();
    assert!(
        told[0].contains("the arguments do not fit the schema") && told[0].contains("expected an integer"),
        "{told:?}"
    );
    assert!(told[1].starts_with("Error: the arguments do not fit the schema: "), "{told:?}");
    // What is only spelt as a text is what was meant.
    assert_eq!(told[2], r#"{"number":3}"#);
}

#[test]
fn an_outage_of_a_tool_is_no_evidence_against_the_prompt() {
    let away = tool_fn("search", "", |_: Search| async {
        Err::<(), _>(anyhow::Error::from(Unavailable::new("the index is gone")).context("searching"))
    });
    let script = Script::new([called(&[("a", "search", r#"{"query": "tea"}"#)]), answered("Two.")]);
    let error = anyhow::Error::from(run(&desk().with_tool(away), &script).0.unwrap_err());
    let failure = Failure::from_program(&error);
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("searching: the index is gone"), "{}", failure.message);
}

#[test]
fn a_budget_that_ends_within_a_tool_ends_the_run() {
    let ask = tool_fn("search", "", |_: Search| async {
        let limit = promptopt_core::money::Limit::Calls;
        Err::<(), _>(anyhow::Error::from(LmError::Budget { limit }).context("asking the librarian"))
    });
    let script = Script::new([called(&[("a", "search", r#"{"query": "tea"}"#)]), answered("Two.")]);
    let error = anyhow::Error::from(run(&desk().with_tool(ask), &script).0.unwrap_err());
    assert!(error.chain().any(|cause| matches!(cause.downcast_ref(), Some(LmError::Budget { .. }))));
    assert_eq!(script.asked().len(), 1);
}

fn texts(request: &LmRequest) -> Vec<&str> {
    request.messages.iter().map(Message::text).collect()
}

#[test]
fn in_words_no_message_opens_the_answer_while_tools_may_be_called() {
    let act = "I look.\nAction: search\nAction Input: {\"query\": \"tea\"}";
    let script =
        Script::new([Completion::new(act), Completion::new(act), Completion::new("So it is.\nanswer: Two.")]);
    let agent = desk()
        .with_adapter(Arc::new(crate::PlainAdapter))
        .with_tool_form(ToolForm::Text)
        .with_max_turns(3)
        .with_demo("How long does rice take?", "search", "Twelve.");
    assert_eq!(run(&agent, &script).0.unwrap().get_str("answer"), Some("Two."));
    let asked = script.asked();
    let first = texts(&asked[0]);
    assert!(
        first[0]
            .starts_with("Answer from the handbook.\nAn answer has this form:\nanswer: {answer}\n\nYou may"),
        "{first:?}"
    );
    assert_eq!(
        first[1..],
        [
            "question: How long does rice take?",
            "Action: search\nAction Input: {\"query\":\"rice\"}",
            "Observation: Twelve.",
            "answer: Twelve.",
            "question: How long does tea take?",
        ]
    );
    assert_eq!(texts(&asked[1])[7..], ["Observation: About tea: two minutes."]);
    // The last turn has nothing but the answer left.
    let last = format!("Observation: About tea: two minutes.\n\n{LAST_TURN}\nanswer:");
    assert_eq!(texts(&asked[2])[9..], [last]);

    let script = Script::new([Completion::new(act), answered("Two.")]);
    run(&desk().with_tool_form(ToolForm::Text).with_max_turns(2), &script).0.unwrap();
    let asked = script.asked();
    assert_eq!(texts(&asked[0])[1], "[[ ## question ## ]]\nHow long does tea take?");
    assert!(
        texts(&asked[1])[3].contains(&format!("{LAST_TURN}\n\nRespond with the corresponding output fields"))
    );
}

#[test]
fn without_tools_the_chat_is_that_of_a_predictor() {
    for adapter in ["plain", "chat", "json"] {
        let adapter = crate::adapter_of(adapter).unwrap();
        let signature = Signature::parse("question -> answer").unwrap();
        let predict = Predict::new("desk", signature).with_adapter(Arc::new(crate::PlainAdapter));
        let prompt = Prompt::new("Answer.").with_format(adapter.name().to_owned());
        let mut agent = Agent::of(predict.clone()).with_tool_form(ToolForm::Text);
        agent.set_prompt(prompt.clone());
        assert_eq!(
            agent.request(&question()).messages,
            adapter.chat(predict.signature(), &prompt, &question())
        );
    }
}

#[test]
fn several_tools_are_called_at_once_in_words() {
    let act = "Action: search\nAction Input: {\"query\": \"tea\"}\nAction: search\nAction Input: {\"query\": \"rice\"}";
    for (parallel, told) in [
        (None, "Observation: About tea: two minutes.\nObservation: About rice: two minutes."),
        (Some(false), "Observation: About tea: two minutes."),
    ] {
        let mut agent = desk().with_tool_form(ToolForm::Text);
        agent.parallel = parallel;
        let script = Script::new([Completion::new(act), answered("Both two.")]);
        let (result, steps) = run(&agent, &script);
        result.unwrap();
        let asked = script.asked();
        assert_eq!(asked[1].messages.last().unwrap().text(), told);
        assert_eq!(
            (steps.len(), texts(&asked[1])[2].matches("Action:").count()),
            (told.lines().count() + 1, told.lines().count())
        );
        assert_eq!(texts(&asked[0])[0].contains("several at once"), parallel.is_none());
    }
}

#[test]
fn a_history_shows_what_the_tools_gave_in_earlier_turns() {
    let call = json!({"tool": "search", "arguments": {"query": "rice"}, "result": "Twelve minutes."});
    let history = json!([
        {"role": "system", "content": "Be kind."},
        {"question": "And rice?", "answer": "Twelve.", TRAJECTORY: [{"calls": [call]}]},
        {"role": "user", "content": "And peas?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "p", "type": "function", "function": {"name": "search", "arguments": "{\"query\":\"peas\"}"}}]},
        {"role": "tool", "tool_call_id": "p", "content": "Three minutes."},
        {"role": "assistant", "content": "Three."},
        {"question": "And salt?", "answer": "None."},
    ]);
    let signature = Signature::parse("history: history, question -> answer").unwrap();
    let mut inputs = question();
    inputs.insert("history".to_owned(), history);
    let search = tool_fn("search", "", |_: Search| async { Ok("x") });
    let agent = Agent::new("desk", signature).with_tool(search);
    let native = agent.request(&inputs);
    let roles: Vec<&str> = native.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(
        roles.join(" "),
        "system system user assistant tool assistant user assistant tool assistant user assistant user"
    );
    assert_eq!(native.messages[3].tool_calls[0].arguments, r#"{"query":"rice"}"#);
    assert_eq!(native.messages[4].text(), "Twelve minutes.");
    // A model without tools gets neither calls nor results of tools, which its server would refuse.
    let worded = agent.with_tool_form(ToolForm::Text).request(&inputs);
    assert!(worded.messages.iter().all(|one| one.role != Role::Tool && one.tool_calls.is_empty()));
    let said = texts(&worded);
    assert_eq!(
        said[3..5],
        ["Action: search\nAction Input: {\"query\":\"rice\"}", "Observation: Twelve minutes."]
    );
    assert_eq!(
        said[7..10],
        ["Action: search\nAction Input: {\"query\":\"peas\"}", "Observation: Three minutes.", "Three."]
    );
}

#[test]
fn a_model_is_told_of_calls_that_are_too_many() {
    let calls: Vec<(String, &str, &str)> =
        (0..40).map(|number| (format!("c{number}"), "search", r#"{"query": "tea"}"#)).collect();
    let calls: Vec<(&str, &str, &str)> =
        calls.iter().map(|(id, name, given)| (&**id, *name, *given)).collect();
    let script = Script::new([called(&calls), answered("Two.")]);
    let (result, steps) = run(&desk(), &script);
    result.unwrap();
    let messages = script.asked()[1].messages.clone();
    let told: Vec<&str> = messages.iter().filter(|one| one.role == Role::Tool).map(Message::text).collect();
    assert_eq!((told.len(), told[31], told[32]), (40, "About tea: two minutes.", TOO_MANY_CALLS));
    assert_eq!(steps.len(), 33);
}

impl Agent {
    /// With a demo that calls a tool once.
    fn with_demo(mut self, question: &str, tool: &str, answer: &str) -> Self {
        let query = question.split(' ').rev().nth(1).unwrap();
        let call = json!({"tool": tool, "arguments": {"query": query}, "result": answer});
        let fields = [
            ("question", json!(question)),
            ("answer", json!(answer)),
            (TRAJECTORY, json!([{"calls": [call]}])),
        ];
        let demo = Demo::new(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let prompt = self.prompt().clone().with_demos(vec![demo]);
        self.set_prompt(prompt);
        self
    }
}
