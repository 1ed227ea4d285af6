//! Mocks, a model that answers out of order, and a program with one predictor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mockall::mock;
use promptopt_core::{
    Batch, CallContext, ContentHash, Example, Fields, LanguageModel, LmError, LmReply, LmRequest, Message,
    Metric, Module, Prediction, Predictor, Prompt, Prompts, RolloutJob, RolloutKey, RolloutStore, Score,
    Signature, Trace, Usage, metric_fn,
};

mock! {
    pub(crate) Model {}

    #[async_trait]
    impl LanguageModel for Model {
        fn id(&self) -> String;
        async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError>;
    }
}

mock! {
    pub(crate) Judge {}

    #[async_trait]
    impl Metric for Judge {
        async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score>;
    }
}

mock! {
    pub(crate) Store {}

    #[async_trait]
    impl RolloutStore for Store {
        async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>>;
        async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()>;
    }
}

/// A store without any durability.
#[derive(Default)]
pub(crate) struct Shelf(pub(crate) Mutex<HashMap<RolloutKey, Arc<Trace>>>);

#[async_trait]
impl RolloutStore for Shelf {
    async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()> {
        self.0.lock().unwrap().insert(key, trace);
        Ok(())
    }
}

/// Shouts the last message back, after a number of turns of the runtime that differs from request
/// to request, so that what is asked first is not what is answered first.
#[derive(Default)]
pub(crate) struct Restless {
    pub(crate) asked: Mutex<Vec<LmRequest>>,
    pub(crate) answered: Mutex<Vec<String>>,
}

impl Restless {
    pub(crate) fn calls(&self) -> u64 {
        self.asked.lock().unwrap().len() as u64
    }
}

#[async_trait]
impl LanguageModel for Restless {
    fn id(&self) -> String {
        "restless".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.asked.lock().unwrap().push(request.clone());
        for _ in 0..ContentHash::of(&request.messages).as_u64() % 17 {
            tokio::task::yield_now().await;
        }
        let text = request.messages.last().unwrap().content.clone();
        self.answered.lock().unwrap().push(text.clone());
        Ok(LmReply::text(text.to_uppercase(), Usage::call(1, 1)))
    }
}

/// Asks the model as often as the example's `calls` says, under one prompt with demos.
pub(crate) struct Asker {
    signature: Signature,
    prompt: Prompt,
    max_calls: u64,
}

impl Asker {
    pub(crate) fn new(max_calls: u64) -> Self {
        let signature = Signature::parse("question, calls: int -> shout").unwrap();
        Self { prompt: Prompt::new("Shout."), signature, max_calls }
    }
}

impl Predictor for Asker {
    fn path(&self) -> &str {
        "ask"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.prompt = prompt;
    }
}

#[async_trait]
impl Module for Asker {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![self]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![self]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let prompt = context.prompt("ask").unwrap_or(&self.prompt);
        let mut shout = String::new();
        for _ in 0..inputs["calls"].as_u64().unwrap() {
            let mut messages = vec![Message::system(&prompt.instruction)];
            for demo in &prompt.demos {
                messages.push(Message::user(serde_json::to_string(&demo.fields)?));
            }
            messages.push(Message::user(inputs["question"].as_str().unwrap()));
            shout = context.complete(LmRequest::new(messages)).await?.first_text().to_owned();
        }
        Ok(Prediction::from_iter([("shout", shout)]))
    }

    fn max_calls(&self) -> u64 {
        self.max_calls
    }
}

pub(crate) fn question(text: &str, calls: u64) -> Arc<Example> {
    let fields = [("question", text.into()), ("calls", serde_json::Value::from(calls))];
    Example::new(fields, ["question", "calls"]).into()
}

pub(crate) fn jobs(count: usize) -> Vec<RolloutJob> {
    let prompts: Arc<Prompts> = Arc::default();
    (0..count)
        .map(|number| RolloutJob::new(Arc::clone(&prompts), question(&format!("question {number}"), 1)))
        .collect()
}

pub(crate) fn always_right() -> impl Metric {
    metric_fn(|_: &Example, _: &Prediction| true)
}

pub(crate) fn questions(batch: &Batch) -> Vec<Option<String>> {
    let of = |trace: &Arc<Trace>| trace.example.get_str("question").unwrap().to_owned();
    batch.traces.iter().map(|trace| trace.as_ref().map(of)).collect()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
