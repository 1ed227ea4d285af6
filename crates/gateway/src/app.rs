//! A program that is not ours, as a module.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::program::{CallContext, Module, Predictor, Text};
use promptopt_core::signature::Signature;
use tokio::sync::OnceCell;

use crate::{Component, Door, Gateway};

/// A program that is not ours: how it is asked, what goes in and what comes out, and its texts.
pub struct App {
    name: String,
    signature: Signature,
    door: Door,
    /// Started when it is asked first, or given.
    gateway: OnceCell<Arc<Gateway>>,
    components: Vec<(Component, Text)>,
    calls: u64,
}

impl App {
    /// A program behind a door. Its calls go through a gateway that is started when it is asked first.
    pub fn new(name: impl Into<String>, signature: Signature, door: Door) -> Self {
        let (gateway, components) = (OnceCell::new(), Vec::new());
        Self { name: name.into(), signature, door, gateway, components, calls: 10 }
    }

    /// With a gateway that others use as well.
    #[must_use]
    pub fn with_gateway(mut self, gateway: Arc<Gateway>) -> Self {
        self.gateway = OnceCell::new_with(Some(gateway));
        self
    }

    /// With a text that optimizers may change.
    #[must_use]
    pub fn with_component(mut self, component: Component) -> Self {
        let signature = self.signature.clone().with_instructions(component.text());
        let text = Text::new(component.name(), component.text()).with_signature(signature);
        self.components.push((component, text));
        self
    }

    /// With the most calls that one rollout may make. Default: 10.
    #[must_use]
    pub fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls.max(1);
        self
    }
}

#[async_trait]
impl Module for App {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.components.iter().map(|(_, text)| text as &dyn Predictor).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.components.iter_mut().map(|(_, text)| text as &mut dyn Predictor).collect()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        let texts = self
            .components
            .iter()
            .map(|(component, text)| (component.name().to_owned(), text.in_force(context).into()));
        let texts = texts.collect();
        let in_force = self.components.iter().map(|(component, text)| {
            let other = Some(text.in_force(context)).filter(|it| *it != component.text());
            (component.clone(), other.map(str::to_owned))
        });
        let start = async || Gateway::start().await.map(Arc::new);
        let gateway = self.gateway.get_or_try_init(start).await.context("starting the gateway")?;
        let session = gateway.open(context.clone(), in_force);
        let answer = self.door.ask(&session, inputs, &self.signature, &texts).await;
        let ended = session.close();
        // What the program made of an error that is not its own says nothing of its prompts.
        if let Some(error) = ended.failure {
            return Err(anyhow::Error::new(error).context("a call of the program got no reply"));
        }
        Ok(answer?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Option<String> {
        Some(format!(
            "A program that calls language models by itself: {}. Its texts stand in the messages that it sends.",
            self.signature
        ))
    }

    fn calls_per_rollout(&self) -> u64 {
        self.calls
    }

    fn calls_vary(&self) -> bool {
        true
    }
}
