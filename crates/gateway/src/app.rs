//! A program that is not ours, as a module.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::program::{CallContext, Module, Predictor, Text, Unavailable};
use promptopt_core::signature::Signature;
use tokio::sync::OnceCell;

use crate::door::Question;
use crate::session::Ended;
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
    noticed: Mutex<Noticed>,
}

/// What its rollouts showed so far.
#[derive(Default)]
struct Noticed {
    /// Whether it made a call at all.
    has_called: bool,
    /// The components that were found in its requests.
    found: BTreeSet<String>,
    /// What it asked that is not spoken here.
    unknown: BTreeSet<String>,
}

impl App {
    /// A program behind a door. Its calls go through a gateway that is started when it is asked first.
    pub fn new(name: impl Into<String>, signature: Signature, door: Door) -> Self {
        let (gateway, components) = (OnceCell::new(), Vec::new());
        let noticed = Mutex::default();
        Self { name: name.into(), signature, door, gateway, components, calls: 10, noticed }
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

    fn notice(&self, ended: &Ended) {
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        noticed.has_called |= ended.calls > 0;
        noticed.found.extend(ended.found.iter().cloned());
        noticed.unknown.extend(ended.unknown.iter().cloned());
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
        let in_force: Vec<&str> = self.components.iter().map(|(_, text)| text.in_force(context)).collect();
        let texts = self.components.iter().zip(&in_force);
        let replaced = texts.clone().map(|((component, _), text)| {
            (component.clone(), Some(*text).filter(|text| *text != component.text()).map(str::to_owned))
        });
        let start = async || Gateway::start().await.map(Arc::new);
        let gateway = self.gateway.get_or_try_init(start).await;
        // Nothing is said of the program's texts by a port that cannot be bound.
        let gateway =
            gateway.map_err(|error| Unavailable::new(format!("the gateway cannot be started: {error}")))?;
        let session = gateway.open(context.clone(), replaced);
        let components =
            texts.map(|((component, _), text)| (component.name().to_owned(), (*text).into())).collect();
        let question = Question { session: &session, inputs, signature: &self.signature, components };
        let answer = self.door.ask(&question).await;
        let ended = session.close();
        self.notice(&ended);
        // What the program made of an error that is not its own says nothing of its prompts.
        if let Some(error) = ended.failure {
            return Err(anyhow::Error::new(error).context("a call of the program got no reply"));
        }
        answer.map_err(|error| match ended.unknown.as_slice() {
            [] => error.into(),
            unknown => anyhow::Error::new(error).context(format!(
                "the program asked for {}, which the gateway does not speak",
                unknown.join(", ")
            )),
        })
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

    fn notes(&self) -> Vec<String> {
        let noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.components.iter().map(|(component, _)| component.name());
        let lost: Vec<String> =
            lost.filter(|name| !noticed.found.contains(*name)).map(|name| format!("`{name}`")).collect();
        let lost = (noticed.has_called && !lost.is_empty()).then(|| {
            format!(
                "no request of the program held the text of {}, so no other text of it can show an effect: compare it with what \
                 the program sends, and its `kind` with where it stands",
                lost.join(", ")
            )
        });
        let unknown = (!noticed.unknown.is_empty()).then(|| {
            let asked: Vec<&str> = noticed.unknown.iter().map(String::as_str).collect();
            format!(
                "the program asked for {}, which the gateway does not speak: it got a 404",
                asked.join(", ")
            )
        });
        lost.into_iter().chain(unknown).collect()
    }
}
