//! A program that calls its provider with a client of its own, over the loopback socket: what it calls is what the run
//! counts, limits and improves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs,
};
use promptopt::core::lm::around;
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
