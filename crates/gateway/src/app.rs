//! A program that is not ours, as a module.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction, shorten};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{CallContext, Module, Predictor, Text, Unavailable};
use promptopt_core::prompt::Prompt;
use promptopt_core::secret::Redactor;
use promptopt_core::signature::Signature;
use promptopt_core::trace::{Step, Trace};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::answer::Answer;
use crate::door::Question;
use crate::memory::Memory;
use crate::models::{Asks, Models};
use crate::session::{Ended, MAX_INSTEAD, MAX_INSTEAD_CHARS, OTHER, Shared};
use crate::{Component, Demos, Door, Error, Gateway};

/// A program that is not ours: how it is asked, what goes in and what comes out, and its texts.
pub struct App {
    name: String,
    signature: Signature,
    door: Door,
    /// Started when it is asked first, or given.
    gateway: OnceCell<Arc<Gateway>>,
    /// Where the gateway listens, if not on loopback.
    listen: Option<String>,
    components: Vec<(Component, Text)>,
    models: Models,
    calls: u64,
    noticed: Mutex<Noticed>,
    /// Whether the next question is asked twice, to see whether the program does the same.
    asks_twice: AtomicBool,
}

/// What its rollouts showed so far.
#[derive(Default)]
struct Noticed {
    /// What it asked for that is not there.
    unknown: BTreeSet<String>,
    /// Texts of requests in which a component was not found.
    instead: BTreeSet<String>,
    /// Whether it asked other things when it was asked the same question again.
    keeps_state: bool,
}

impl App {
    /// A program behind a door. Its calls go through a gateway that is started when it is asked first.
    pub fn new(name: impl Into<String>, signature: Signature, door: Door) -> Self {
        Self {
            name: name.into(),
            signature,
            door,
            gateway: OnceCell::new(),
            listen: None,
            components: Vec::new(),
            models: Models::default(),
            calls: 10,
            noticed: Mutex::default(),
            asks_twice: AtomicBool::new(true),
        }
    }

    /// With a gateway that others use as well.
    #[must_use]
    pub fn with_gateway(mut self, gateway: Arc<Gateway>) -> Self {
        self.gateway = OnceCell::new_with(Some(gateway));
        self
    }

    /// With a gateway that listens beyond loopback: see [`Gateway::start_at`].
    #[must_use]
    pub fn listening_at(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Its texts as they stand under its own prompts, with their demos, in the order of its predictors.
    pub fn texts(&self) -> Vec<String> {
        self.components.iter().map(|(component, text)| component.text_under(text.prompt())).collect()
    }

    /// With a text that optimizers may change.
    #[must_use]
    pub fn with_component(mut self, component: Component) -> Self {
        let mut text = Text::new(component.name(), component.text())
            .with_signature(component.signature(&self.signature))
            .with_about(component.about())
            .with_rules(component.rules());
        if *component.demos() != Demos::None {
            text = text.taking_demos();
        }
        self.components.push((component, text));
        self
    }

    /// With a model that the program may name in its requests. Where there is one, a request that names another is
    /// refused; without, every chat goes to the model of the run, whatever it names.
    #[must_use]
    pub fn with_model(mut self, name: impl Into<String>, model: Arc<dyn LanguageModel>) -> Self {
        self.models.add_chat(name.into(), model);
        self
    }

    /// With a model that the program may ask for embeddings, such as a client that is built `for_embeddings`.
    #[must_use]
    pub fn with_embeddings(mut self, name: impl Into<String>, model: Arc<dyn LanguageModel>) -> Self {
        self.models.add_embeddings(name.into(), model);
        self
    }

    /// With a way to find the model of whatever name the program asks for, and is not known otherwise. A run cannot know
    /// beforehand which there will be, nor what they cost, so this is for those who look at a program, and not for a run.
    #[must_use]
    pub fn with_models_by(
        mut self,
        find: impl Fn(&str, Asks) -> Result<Arc<dyn LanguageModel>, String> + Send + Sync + 'static,
    ) -> Self {
        self.models.find_by(Arc::new(find));
        self
    }

    /// With the most calls that one rollout may make. Further ones are refused, and the rollout fails. Default: 10.
    #[must_use]
    pub fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls.max(1);
        self
    }

    /// Asks the program one question.
    async fn ask(
        &self,
        context: &CallContext,
        inputs: &Fields,
        memory: Option<Arc<Memory>>,
    ) -> anyhow::Result<(Result<Answer, Error>, Ended)> {
        let start = async || match &self.listen {
            Some(address) => Gateway::start_at(address).await.map(Arc::new),
            None => Gateway::start().await.map(Arc::new),
        };
        // Nothing is said of the program's texts by a port that cannot be bound.
        let gateway = self.gateway.get_or_try_init(start).await.map_err(|error| {
            let at = self.listen.iter().map(|address| format!(" at {address}")).collect::<String>();
            Unavailable::new(format!("the gateway cannot listen{at}: {error}"))
        })?;
        let in_force = self.components.iter().map(|(component, text)| {
            let prompt = text.prompt_in_force(context);
            (component, prompt)
        });
        let in_force: Vec<_> = in_force.collect();
        let replaced =
            in_force.iter().map(|(component, prompt)| ((*component).clone(), component.replacement(prompt)));
        let shared = Shared::new(context.clone(), replaced.collect(), self.models.clone(), memory);
        let shared = shared.with_calls(self.calls);
        let session = gateway.open_with(shared);
        let told = |(component, prompt): &(&Component, &Prompt)| {
            (component.name().to_owned(), prompt.instruction.as_str().into())
        };
        let components = in_force.iter().map(told).collect();
        let shown = in_force.iter().filter(|(component, _)| *component.demos() == Demos::Program);
        let demos = shown.map(|(component, prompt)| {
            let demos = prompt.demos.iter().map(|demo| demo.fields.clone().into());
            (component.name().to_owned(), Value::Array(demos.collect()))
        });
        let demos = demos.collect();
        let question = Question { session: &session, inputs, signature: &self.signature, components, demos };
        let answer = self.door.ask(&question).await;
        Ok((answer, session.close().await))
    }

    /// Asks the same question once more, with replies from memory alone, and notes whether the program asks other things.
    async fn ask_again(&self, context: &CallContext, inputs: &Fields, memory: Arc<Memory>) {
        if !memory.ask_again() {
            return;
        }
        // Nothing of it is in the books: no model is called, and no step is recorded.
        let aside = context.unrecorded();
        // What it answers then is nobody's answer.
        let _ = self.ask(&aside, inputs, Some(Arc::clone(&memory))).await;
        self.with_noticed(|noticed| noticed.keeps_state |= memory.other().is_some());
    }

    fn notice(&self, ended: &Ended) {
        self.with_noticed(|noticed| {
            noticed.unknown.extend(ended.unknown.iter().cloned());
            for text in &ended.instead {
                if noticed.instead.len() < MAX_INSTEAD {
                    noticed.instead.insert(text.clone());
                }
            }
        });
    }

    /// Puts what the program says of its predictors in the place of the calls in which they were found.
    fn take_up(&self, context: &CallContext, steps: Vec<Step>) {
        let known = |name: &str| self.components.iter().any(|(component, _)| component.name() == name);
        let steps: Vec<Step> = steps.into_iter().filter(|step| known(&step.predictor)).collect();
        context.amend_steps(|step| {
            if steps.iter().any(|told| told.predictor == step.predictor) {
                OTHER.clone_into(&mut step.predictor);
            }
        });
        for step in steps {
            context.end_step(context.begin_step(), step);
        }
    }

    fn with_noticed<T>(&self, work: impl FnOnce(&mut Noticed) -> T) -> T {
        work(&mut self.noticed.lock().unwrap_or_else(PoisonError::into_inner))
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
        let memory = self.asks_twice.swap(false, Ordering::SeqCst).then(Arc::<Memory>::default);
        let (answer, ended) = self.ask(context, inputs, memory.clone()).await?;
        self.notice(&ended);
        // What the program made of an error that is not its own says nothing of its prompts.
        let answer = match ended.failure {
            Some(error) => Err(anyhow::Error::new(error).context("a call of the program got no reply")),
            // Which calls were refused depends on timing, so no answer counts.
            None if ended.calls_refused > 0 => Err(Error::Calls { most: self.calls }.into()),
            None => answer.map_err(|error| match (&ended.refused, ended.unknown.as_slice()) {
                (None, []) => error.into(),
                (Some(refused), _) => anyhow::Error::new(error)
                    .context(format!("the program sent {refused}; the gateway does not take that")),
                (None, unknown) => anyhow::Error::new(error).context(format!(
                    "the program asked for {}, which the gateway does not have",
                    unknown.join(", ")
                )),
            }),
        };
        match (memory, answer) {
            (Some(_), Err(error)) => {
                self.asks_twice.store(true, Ordering::SeqCst);
                Err(error)
            }
            (memory, answer) => {
                let answer = answer?;
                self.take_up(context, answer.steps);
                if let Some(memory) = memory {
                    self.ask_again(context, inputs, memory).await;
                }
                Ok(answer.prediction)
            }
        }
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

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.models.all()
    }

    fn check(&self, traces: &[Arc<Trace>]) -> anyhow::Result<()> {
        // The steps say it, whoever made the rollouts.
        let steps = || traces.iter().flat_map(|trace| &trace.steps);
        let names = self.components.iter().map(|(component, _)| component.name());
        let lost = names.filter(|name| !steps().any(|step| step.predictor == *name));
        let lost: Vec<String> = lost.map(|name| format!("`{name}`")).collect();
        if lost.is_empty() || steps().next().is_none() {
            return Ok(());
        }
        let instead: Vec<String> = self.with_noticed(|noticed| {
            let redactor = Redactor::default().strict();
            let shown = |text: &String| shorten(&redactor.redact(text), MAX_INSTEAD_CHARS);
            noticed.instead.iter().map(shown).collect()
        });
        let instead = match instead.as_slice() {
            [] => String::new(),
            some => format!(". What it sent has instead:\n  {}", some.join("\n  ")),
        };
        bail!(
            "no request of the program held the text of {}, so no other text of it can show an effect: compare it with what \
             the program sends, and its `kind` with where it stands{instead}",
            lost.join(", ")
        )
    }

    fn notes(&self) -> Vec<String> {
        self.with_noticed(|noticed| {
            let unknown = (!noticed.unknown.is_empty()).then(|| {
                let asked: Vec<&str> = noticed.unknown.iter().map(String::as_str).collect();
                let asked = shorten(&asked.join(", "), 400);
                format!("the program asked for {asked}, which the gateway does not have: it got a 404")
            });
            let state = noticed.keeps_state.then(|| {
                "asked the same question twice, the program sent other requests the second time: it keeps something \
                 between questions, or puts a date, a number or chance into its prompts. Then scores depend on the order of \
                 questions, and what it asks anew after a resume is paid anew"
                    .to_owned()
            });
            unknown.into_iter().chain(state).collect()
        })
    }
}
