//! What a predictor asks, retries and records.

use super::*;
use crate::{ChainOfThought, PlainAdapter};
use mockall::{Sequence, mock, predicate};
use promptopt_core::lm::{
    Attempts, Completion, Content, FinishReason, LmError, LmReply, Message, ModelProfile, ResponseFormat,
    lm_fn,
};
use promptopt_core::program::Cancellation;
use promptopt_core::prompt::Prompts;
use promptopt_core::signature::Field;
use serde_json::{Value, json};

mock! {
    Model {}

    #[async_trait]
    impl LanguageModel for Model {
        fn profile(&self) -> ModelProfile;
        async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError>;
    }
}

mock! {
    Speech {}

    impl Adapter for Speech {
        fn name(&self) -> &'static str;
        fn system(&self, signature: &Signature, instruction: &str) -> String;
        fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> Content;
        fn assistant(&self, signature: &Signature, outputs: &Fields) -> String;
        fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String>;
    }
}

fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

fn route() -> Predict {
    Predict::new("route", Signature::parse("ticket -> department: enum[billing, sales]").unwrap())
}

fn ticket() -> Fields {
    fields(json!({"ticket": "Any blue ones?", "number": 7}))
}

fn mocked() -> MockModel {
    let mut model = MockModel::new();
    model.expect_profile().return_const(ModelProfile::new("mock"));
    model
}

/// A model that gives these replies, one a call, and must be asked for each of them.
fn model(replies: impl IntoIterator<Item = Result<LmReply, LmError>>) -> MockModel {
    let (mut model, mut order) = (mocked(), Sequence::new());
    for reply in replies {
        model.expect_complete().times(1).in_sequence(&mut order).return_once(move |_, _| reply);
    }
    model
}

fn reply(text: &str, prompt_tokens: u64) -> Result<LmReply, LmError> {
    Ok(LmReply::text(text, Usage::call(prompt_tokens, 1)))
}

async fn call(predict: &Predict, model: MockModel) -> (Result<Prediction, Error>, Step, Usage) {
    let context = CallContext::new(Arc::new(model));
    let result = predict.call(&context, &ticket()).await;
    let (mut steps, usage) = context.record();
    assert_eq!(steps.len(), 1);
    (result, steps.remove(0), usage)
}

#[tokio::test]
async fn a_reply_that_does_not_fit_is_asked_for_once_more_in_json() {
    let (mut model, mut order) = (mocked(), Sequence::new());
    model
        .expect_complete()
        .withf(|request, _| request.response_format == ResponseFormat::Text)
        .times(1)
        .in_sequence(&mut order)
        .return_once(|_, _| reply("That would be sales.", 10));
    model
        .expect_complete()
        .withf(|request, _| {
            matches!(&request.response_format, ResponseFormat::JsonSchema { schema, .. }
                if schema["required"] == json!(["department"]))
        })
        .times(1)
        .in_sequence(&mut order)
        .return_once(|_, _| reply(r#"{"department": "sales"}"#, 20));
    let (result, step, usage) = call(&route(), model).await;
    assert_eq!(result.unwrap().get_str("department"), Some("sales"));
    // Both calls were paid for.
    assert_eq!(usage, Usage::call(30, 2).with_calls(2));
    assert_eq!((step.usage, step.error), (usage, None));
    assert_eq!(step.outputs, fields(json!({"department": "sales"})));
    // Of the inputs only its own field belongs to the predictor.
    assert_eq!(step.inputs, fields(json!({"ticket": "Any blue ones?"})));
}

#[tokio::test]
async fn what_does_not_fit_the_second_time_is_an_error_that_shows_the_reply() {
    let cut_off = LmReply::new(
        vec![Completion::new("{\"dep").with_finish_reason(FinishReason::Length)],
        Usage::call(1, 1),
    );
    let (result, step, usage) = call(&route(), model([reply("no idea", 1), Ok(cut_off)])).await;
    let Error::Reply { predictor, source } = result.unwrap_err() else { panic!("a reply came") };
    assert_eq!((predictor.as_str(), source.reply.as_str()), ("route", "{\"dep"));
    assert_eq!(source.finish_reason, FinishReason::Length);
    assert_eq!((usage.calls, step.usage.calls, step.retried), (2, 2, true));
    assert!(step.error.unwrap().contains("`route`") && step.outputs.is_empty());
}

#[tokio::test]
async fn why_a_reply_came_short_is_said_in_every_format() {
    let ended = |text: &str, reason| Completion::new(text).with_finish_reason(reason);
    let cases = [
        (ended("", FinishReason::Length), "the reply was cut off at max_tokens (300)"),
        (ended("[[ ## dep", FinishReason::Length), "the reply was cut off at max_tokens (300): "),
        (
            ended("<think>\nIs it sales or", FinishReason::Length),
            "the reply was cut off at max_tokens (300), before the model had done reasoning",
        ),
        (ended("", FinishReason::ToolCalls), "the model called a tool and gave no answer"),
        (ended("", FinishReason::ContentFilter), "the provider's content filter withheld the reply"),
        (ended("I ca", FinishReason::ContentFilter), "the provider's content filter cut the reply short: "),
        (
            ended("", FinishReason::Stop).with_reasoning("[[ ## department ## ]]\nsales"),
            "the model only reasoned and gave no answer",
        ),
        (ended(" ", FinishReason::Stop), "the reply is empty"),
    ];
    for (completion, words) in cases {
        for adapter in
            [Arc::new(ChatAdapter) as Arc<dyn Adapter>, Arc::new(JsonAdapter), Arc::new(PlainAdapter)]
        {
            let said = LmReply::new(vec![completion.clone()], Usage::call(1, 1));
            let predict = route().with_json_retry(false).with_adapter(adapter);
            let bounded = predict.clone().with_sampling(Sampling::default().with_max_tokens(300));
            let (result, step, _) = call(&bounded, model([Ok(said.clone())])).await;
            let Error::Reply { source, .. } = result.unwrap_err() else { panic!("{words}") };
            assert!(source.reason.starts_with(words), "{}", source.reason);
            assert!(step.error.unwrap().contains(words));

            // The bound may be the model's.
            let mut model = MockModel::new();
            model.expect_profile().return_const(ModelProfile::new("mock").with_max_tokens(300));
            model.expect_complete().return_once(move |_, _| Ok(said));
            let (result, ..) = call(&predict, model).await;
            let Error::Reply { source, .. } = result.unwrap_err() else { panic!("{words}") };
            assert!(source.reason.starts_with(words), "{}", source.reason);
        }
    }
}

#[tokio::test]
async fn a_draft_in_the_thinking_is_no_answer() {
    let draft = "Maybe it is sales:\n[[ ## department ## ]]\nsales\n[[ ## completed ## ]]\n{\"department\": \"sales\"}\nNo.\n";
    let answers = ["[[ ## department ## ]]\nbilling", "{\"department\": \"billing\"}", "department: billing"];
    let adapters = [Arc::new(ChatAdapter) as Arc<dyn Adapter>, Arc::new(JsonAdapter), Arc::new(PlainAdapter)];
    for (adapter, answer) in adapters.into_iter().zip(answers) {
        for text in [
            format!("<think>\n{draft}</think>\n\n{answer}"),
            format!("{draft}</think>\n\n{answer}"),
            format!("[THINK]{draft}[/THINK]{answer}"),
            format!(
                "<|channel|>analysis<|message|>{draft}<|end|><|start|>assistant<|channel|>final<|message|>{answer}"
            ),
        ] {
            let predict = route().with_json_retry(false).with_adapter(Arc::clone(&adapter));
            let (result, ..) = call(&predict, model([reply(&text, 1)])).await;
            assert_eq!(result.unwrap().get_str("department"), Some("billing"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_retry_can_be_turned_off() {
    let predict = route().with_json_retry(false);
    let (result, _, usage) = call(&predict, model([reply("no idea", 1)])).await;
    assert!(matches!(result, Err(Error::Reply { .. })));
    assert_eq!(usage.calls, 1);
}

#[tokio::test]
async fn a_failure_of_the_provider_is_not_retried_in_json() {
    let down = LmError::Server { status: 503, message: "overloaded".into(), retry_after: None };
    let (result, step, usage) = call(&route(), model([Err(down.clone())])).await;
    assert!(matches!(result, Err(Error::Model { source, .. }) if source == down));
    assert_eq!(usage.calls, 0);
    assert!(step.error.unwrap().contains("overloaded"));
}

#[tokio::test]
async fn a_missing_input_is_named_with_what_was_given_and_costs_nothing() {
    let check = async |given: Value, words: &str| {
        let context = CallContext::new(Arc::new(model([])));
        let error = route().call(&context, &fields(given)).await.unwrap_err().to_string();
        assert_eq!(error, format!("predictor `route` needs the input `ticket`, but was given {words}"));
        assert!(context.record().0[0].error.as_ref().unwrap().contains("`ticket`"));
    };
    check(json!({"text": "hi", "number": 7}), "`text`, `number`").await;
    check(json!({}), "nothing").await;
}

#[tokio::test]
async fn the_prompt_in_force_is_the_contexts_and_else_its_own() {
    let asked_with = async |prompts: Prompts| {
        let mut model = mocked();
        let (send, receive) = std::sync::mpsc::channel();
        model.expect_complete().times(1).return_once(move |request, _| {
            send.send(request.clone()).unwrap();
            reply("[[ ## department ## ]]\nsales", 1)
        });
        let flag = Cancellation::new();
        let context = CallContext::for_run(Arc::new(model), Arc::new(prompts), flag, 3, None);
        let mut predict = route().with_sampling(Sampling::default().with_temperature(0.2));
        predict.set_prompt(Prompt::new("Its own."));
        predict.call(&context, &ticket()).await.unwrap();
        let request = receive.recv().unwrap();
        assert_eq!((request.sampling.temperature, request.sample_index), (Some(0.2), 3));
        request.messages[0].text().lines().last().unwrap().trim().to_owned()
    };
    assert_eq!(asked_with(Prompts::new()).await, "Its own.");
    let of = |path: &str| [(path, Prompt::new("In force."))].into_iter().collect();
    assert_eq!(asked_with(of("route")).await, "In force.");
    assert_eq!(asked_with(of("other")).await, "Its own.");
}

#[tokio::test]
async fn a_prompt_names_the_format_in_which_it_asks() {
    let mut predict = route();
    assert_eq!(predict.retry_format(), Some("json"));
    predict.set_prompt(Prompt::new("Route it.").with_format("json".to_owned()));
    assert_eq!(predict.retry_format(), None);
    let (result, step, usage) = call(&predict, model([reply("{\"department\": \"sales\"}", 1)])).await;
    assert_eq!(result.unwrap().get_str("department"), Some("sales"));
    assert_eq!((usage.calls, step.retried), (1, false));
    let (result, step, usage) = call(&predict, model([reply("no idea", 1)])).await;
    assert!(matches!(result, Err(Error::Reply { .. })), "there is no other format to ask in");
    assert_eq!((usage.calls, step.retried), (1, false));

    predict.set_prompt(Prompt::new("Route it.").with_format("xml".to_owned()));
    let (result, ..) = call(&predict, model([])).await;
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "the prompt of predictor `route` has the format `xml`; there are `chat`, `json` and `plain`"
    );
}

#[tokio::test]
async fn an_adapter_of_ones_own_writes_the_chat_and_reads_the_reply() {
    let mut speech = MockSpeech::new();
    speech
        .expect_system()
        .with(predicate::always(), predicate::eq("Route it."))
        .times(1)
        .return_const("system");
    speech.expect_user().withf(|_, _, _, ask| *ask).times(1).return_const("user");
    speech
        .expect_parse()
        .with(predicate::always(), predicate::eq("reply"))
        .times(1)
        .returning(|_, _| Ok(fields(json!({"department": "billing"}))));
    let mut model = mocked();
    let chat = vec![Message::system("system"), Message::user("user")];
    model
        .expect_complete()
        .withf(move |request, _| request.messages == chat)
        .times(1)
        .return_once(|_, _| reply("reply", 1));
    let mut predict = route().with_adapter(Arc::new(speech));
    predict.set_prompt(Prompt::new("Route it."));
    let (result, ..) = call(&predict, model).await;
    assert_eq!(result.unwrap().get_str("department"), Some("billing"));
}

#[tokio::test]
async fn steps_stand_in_the_order_in_which_they_began() {
    // Answers the first ticket last.
    let slow = lm_fn("slow", |request: LmRequest| async move {
        let first = request.messages.iter().any(|message| message.text().contains("the first"));
        for _ in 0..if first { 9 } else { 0 } {
            tokio::task::yield_now().await;
        }
        reply("[[ ## department ## ]]\nsales", 1)
    });
    let context = CallContext::new(Arc::new(slow));
    let (one, two) = (route(), route());
    let of = |text: &str| fields(json!({ "ticket": text }));
    let (first, second) = (of("the first"), of("the second"));
    let ended = std::sync::Mutex::new(Vec::new());
    let track = async |predict: &Predict, inputs: &Fields| {
        predict.call(&context, inputs).await.unwrap();
        ended.lock().unwrap().push(inputs["ticket"].clone());
    };
    futures_util::future::join(track(&one, &first), track(&two, &second)).await;
    assert_eq!(*ended.lock().unwrap(), ["the second", "the first"]);
    let steps = context.record().0;
    let began: Vec<_> = steps.iter().map(|step| step.inputs["ticket"].clone()).collect();
    assert_eq!(began, ["the first", "the second"]);
}

#[tokio::test]
async fn nothing_is_asked_once_the_run_is_cancelled() {
    let flag = Cancellation::new();
    flag.cancel();
    let context = CallContext::for_run(Arc::new(model([])), Arc::default(), flag, 0, None);
    let error = route().call(&context, &ticket()).await.unwrap_err();
    assert!(matches!(error, Error::Model { source: LmError::Cancelled, .. }));
}

#[tokio::test]
async fn a_chain_of_thought_reasons_before_it_answers() {
    let signature = Signature::parse("ticket -> department").unwrap();
    let thinker = ChainOfThought::new("route", signature.clone()).unwrap();
    let text = "[[ ## reasoning ## ]]\nBlue is a colour.\n\n[[ ## department ## ]]\nsales";
    let (result, step, _) = call(&thinker, model([reply(text, 1)])).await;
    assert_eq!(result.unwrap().get_str("reasoning"), Some("Blue is a colour."));
    assert_eq!(step.outputs.keys().collect::<Vec<_>>(), ["reasoning", "department"]);

    let twice = signature.prepend_output(Field::new("reasoning")).unwrap();
    let error = ChainOfThought::new("route", twice).err().unwrap();
    assert!(error.to_string().contains("`reasoning` stands twice"), "{error}");
}

#[test]
fn prompts_are_installed_whole_or_not_at_all() {
    use promptopt_core::program::ModuleExt as _;
    use promptopt_core::prompt::{Demo, Prompts};

    let rated = |signature: &str| Predict::new("rate", Signature::parse(signature).unwrap());
    let demo = |fields: serde_json::Value| Demo::new(fields.as_object().unwrap().clone()).augmented();
    let demos = vec![
        demo(serde_json::json!({"ticket": "a", "stars": 3})),
        demo(serde_json::json!({"ticket": "b", "stars": "2"})),
    ];
    let prompts: Prompts = [("rate", Prompt::new("Rate it.").with_demos(demos))].into_iter().collect();
    let mut program = rated("ticket -> stars: enum[1, 2, 3]");
    program.install(&prompts).unwrap();
    assert_eq!(program.prompt().demos[0].fields["stars"], "3");
    for (signature, says) in [
        ("ticket -> grade: enum[1, 2, 3]", "2 of 2 demos lack `grade` and have `stars`"),
        ("text -> stars: enum[1, 2, 3]", "2 of 2 demos lack `text` and have `ticket`"),
        ("ticket -> stars: enum[1, 2]", "demo 1 has `3` in the field `stars`, whose type is enum[1, 2]"),
    ] {
        let mut renamed = rated(signature);
        let before = renamed.prompt().clone();
        let error = renamed.install(&prompts).unwrap_err().to_string();
        assert!(error.contains("predictor `rate`") && error.contains(says), "{error}");
        assert_eq!(renamed.prompt(), &before);
    }
}
