//! Mocks, a model that answers out of order, and a program with one predictor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mockall::mock;
use promptopt_core::data::{ContentHash, Example, Fields, Prediction, Score};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Metric, Module, Predictor, metric_fn};
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_core::trace::Trace;
use promptopt_run::{Error, Halt, RolloutJob, RolloutKey, RolloutRunner, RolloutStore, StopReason};

mock! {
    pub(crate) Model {}

    #[async_trait]
    impl LanguageModel for Model {
        fn profile(&self) -> ModelProfile;
        async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError>;
    }
}

mock! {
    pub(crate) Judge {}

    #[async_trait]
    impl Metric for Judge {
        async fn score(
            &self,
            context: &CallContext,
            example: &Example,
            prediction: &Prediction,
        ) -> anyhow::Result<Score>;
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

impl MockModel {
    pub(crate) fn known() -> Self {
        let mut model = Self::new();
        model.expect_profile().return_const(ModelProfile::new("mock"));
        model
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
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("restless")
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        self.asked.lock().unwrap().push(request.clone());
        for _ in 0..ContentHash::of(&request.messages).as_u64() % 17 {
            tokio::task::yield_now().await;
        }
        let text = request.messages.last().unwrap().text().to_owned();
        self.answered.lock().unwrap().push(text.clone());
        Ok(LmReply::text(text.to_uppercase(), Usage::call(1, 1)))
    }
}

/// Asks the model as often as the example's `calls` says, under one prompt with demos.
pub(crate) struct Asker {
    signature: Signature,
    prompt: Prompt,
    calls_per_rollout: u64,
}

impl Asker {
    pub(crate) fn new(calls_per_rollout: u64) -> Self {
        let signature = Signature::parse("question, calls: int -> shout").unwrap();
        Self { prompt: Prompt::new("Shout."), signature, calls_per_rollout }
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

    fn calls_per_rollout(&self) -> u64 {
        self.calls_per_rollout
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

/// What a runner made of jobs, and why it ended before the rest.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) traces: Vec<Option<Arc<Trace>>>,
    pub(crate) stop: Option<StopReason>,
}

pub(crate) async fn run(runner: &RolloutRunner<'_>, jobs: &[RolloutJob]) -> Result<Batch, Error> {
    let mut traces = Vec::new();
    let stop = match runner.run_into(jobs, &mut traces).await {
        Ok(()) => None,
        Err(Halt::Stopped(stop)) => Some(stop),
        Err(Halt::Failed(error)) => return Err(error),
    };
    Ok(Batch { traces, stop })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
