//! A program that calls its provider with a client of its own, over the loopback socket: what it calls is what the run
//! counts, limits and improves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs,
};
use promptopt::core::lm::around;
use promptopt::gateway::{Access, App, Component, Door, Function};
use promptopt::prelude::*;
use promptopt_testkit::{HiddenRules, LoopbackServer, toy};

fn program(client: Client<OpenAIConfig>) -> impl Module {
    let prompt = Text::new("answer", "Answer the question.");
    module_fn("own client", [prompt], move |context: CallContext, texts: Arc<[Text]>, inputs: Fields| {
        let client = client.clone();
        async move {
            let prompt = texts.first().map_or("", |text| text.in_force(&context));
            let question = inputs.get("question").and_then(|question| question.as_str()).unwrap_or_default();
            let request = CreateChatCompletionRequestArgs::default()
                .model("tiny")
                .max_completion_tokens(64u32)
                .messages([
                    ChatCompletionRequestSystemMessage::from(prompt).into(),
                    ChatCompletionRequestUserMessage::from(question).into(),
                ])
                .build()?;
            let call = async {
                let response = client.chat().create(request.clone()).await?;
                let usage = response.usage.as_ref().map_or(Usage::calls(1), |usage| {
                    Usage::call(usage.prompt_tokens.into(), usage.completion_tokens.into())
                });
                Ok((response, usage))
            };
            let response = context.metered("tiny", &request, call).await?;
            let text = response.choices.into_iter().next().and_then(|choice| choice.message.content);
            Ok(Prediction::from_iter([("answer", text.unwrap_or_default().trim())]))
        }
    })
}

#[tokio::test]
async fn an_optimizer_improves_and_limits_a_program_with_a_client_of_its_own() -> anyhow::Result<()> {
    let task = HiddenRules::new(8, 1);
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let model = around(task.model(1), move |next, request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { next.complete(&request).await }
    });
    let server = LoopbackServer::start(Arc::new(model), Duration::ZERO, None).await?;
    let config = OpenAIConfig::new().with_api_base(server.base_url()).with_api_key("none");

    let mut program = program(Client::with_config(config)).with_metric(toy::exact_answer());
    let optimizer = MIPROv2::builder()
        .task_model(Arc::new(task.model(2)) as Arc<dyn LanguageModel>)
        .max_calls(300)
        .seed(1)
        .build();
    let outcome = optimizer.compile(&mut program, task.examples(60)).await?;
    assert_eq!(outcome.spending.task.calls, served.load(Ordering::SeqCst));
    assert!(outcome.spending.total().calls <= 300);
    assert!(outcome.spending.task.prompt_tokens > 0);
    assert!(!outcome.notes.iter().any(|note| note.contains("could count")), "{:?}", outcome.notes);
    Ok(())
}

/// The same program as somebody else has it: nothing of it is ours.
async fn unchanged(client: &Client<OpenAIConfig>, question: &str) -> anyhow::Result<String> {
    // The simulated model wants to be told which field it is asked for.
    let system = format!("Your output fields are:\n1. `answer`\n\n{PROMPT}");
    let request = CreateChatCompletionRequestArgs::default()
        .model("gpt-unknown")
        .max_completion_tokens(64u32)
        .messages([
            ChatCompletionRequestSystemMessage::from(system).into(),
            ChatCompletionRequestUserMessage::from(question).into(),
        ])
        .build()?;
    let response = client.chat().create(request).await?;
    let text =
        response.choices.into_iter().next().and_then(|choice| choice.message.content).unwrap_or_default();
    // The simulated model writes the name of the field before it and a mark behind it.
    let answer = text.split("##").nth(2).unwrap_or_default();
    Ok(answer.trim_matches(|letter: char| "[] \n".contains(letter)).to_owned())
}

const PROMPT: &str = "Answer the question.";

fn behind_the_gateway() -> anyhow::Result<App> {
    let ask = Function::new(|access: Access| async move {
        let config = OpenAIConfig::new().with_api_base(access.openai_url()).with_api_key(access.key());
        Ok(unchanged(&Client::with_config(config), access.text("question")).await?.into())
    });
    let signature = Signature::parse("question -> answer")?;
    Ok(App::new("unchanged", signature, Door::Function(ask))
        .with_calls(1)
        .with_component(Component::new("answer", PROMPT)))
}

#[tokio::test]
async fn every_optimizer_improves_a_program_that_stays_as_it_is() -> anyhow::Result<()> {
    let task = HiddenRules::new(8, 1);
    let served = Arc::new(Mutex::new(Usage::default()));
    let seen = Arc::clone(&served);
    let model = around(task.model(1), move |next, request| {
        let seen = Arc::clone(&seen);
        async move {
            let reply = next.complete(&request).await?;
            *seen.lock().unwrap() += reply.usage;
            Ok(reply)
        }
    });
    let server = LoopbackServer::start(Arc::new(model), Duration::ZERO, None).await?;
    let client: Arc<dyn LanguageModel> =
        Arc::new(ChatClient::builder().base_url(server.base_url()).model("tiny").api_key("none").build()?);
    let optimizers: [Box<dyn Optimizer>; 3] = [
        Box::new(MIPROv2::builder().task_model(Arc::clone(&client)).max_calls(300).seed(1).build()),
        Box::new(COPRO::builder().task_model(Arc::clone(&client)).max_calls(300).seed(1).build()),
        Box::new(GEPA::builder().task_model(Arc::clone(&client)).max_calls(300).seed(1).build()),
    ];
    for optimizer in optimizers {
        *served.lock().unwrap() = Usage::default();
        let mut program = behind_the_gateway()?.with_metric(toy::exact_answer());
        let outcome = optimizer.compile(&mut program, task.examples(60)).await?;
        let (spent, served) = (outcome.spending.total(), *served.lock().unwrap());
        assert_eq!(
            (spent.calls, spent.prompt_tokens, spent.completion_tokens),
            (served.calls, served.prompt_tokens, served.completion_tokens)
        );
        assert!(spent.calls <= 300);
        let text = &Module::predictors(&program)[0].prompt().instruction;
        assert_ne!(text, PROMPT, "{:?}", outcome.notes);
    }
    Ok(())
}
