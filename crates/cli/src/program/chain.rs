//! A chain of predictors as a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::{LanguageModel, Message, Sampling, ToolDefinition};
use promptopt_core::program::{CallContext, Module, Predictor};
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_core::trace::Trace;
use promptopt_dspy::ReAct;
use promptopt_predict::{
    Adapter, Agent, ChainOfThought, ChatAdapter, JsonAdapter, PlainAdapter, Predict, ToolForm,
};

use super::app_plan::{Asked, AskedModels, equipped, listening, texts};
use super::blueprint::{Blueprint, StepPlan};
use super::chat::Chat;
use crate::task_file::Format;
use crate::tools::CommandTool;

/// What a predictor with reasoning writes before its outputs.
const REASONING: &str = "reasoning";

/// Predictors that run one after the other; each sees the inputs of the program and what those before
/// it made.
pub(crate) struct PredictorChain {
    name: String,
    steps: Vec<Solver>,
    /// The program where it is not ours; there are no steps then.
    app: Option<Asked>,
    /// Whether a step writes a `reasoning` of ours before its outputs; a field of that name may also be the user's.
    reasons: Vec<bool>,
    /// The models of those steps that have one of their own.
    models: BTreeMap<String, Arc<dyn LanguageModel>>,
}

/// A predictor of a chain.
enum Solver {
    Predict(Predict),
    Agent(Agent),
}

impl Solver {
    fn predictor(&self) -> &dyn Predictor {
        match self {
            Self::Predict(predict) => predict,
            Self::Agent(agent) => agent,
        }
    }

    fn module(&self) -> &dyn Module {
        match self {
            Self::Predict(predict) => predict,
            Self::Agent(agent) => agent,
        }
    }

    fn module_mut(&mut self) -> &mut dyn Module {
        match self {
            Self::Predict(predict) => predict,
            Self::Agent(agent) => agent,
        }
    }

    /// The messages and the tools of its first request.
    fn request(&self, inputs: &Fields) -> (Vec<Message>, Vec<ToolDefinition>) {
        match self {
            Self::Predict(predict) => (predict.chat(inputs), Vec::new()),
            Self::Agent(agent) => {
                let request = agent.request(inputs);
                (request.messages, request.tools)
            }
        }
    }

    async fn call(
        &self,
        context: &CallContext,
        inputs: &Fields,
    ) -> Result<Prediction, promptopt_predict::Error> {
        match self {
            Self::Predict(predict) => predict.call(context, inputs).await,
            Self::Agent(agent) => agent.call(context, inputs).await,
        }
    }
}

impl PredictorChain {
    /// The program of a blueprint. `embedded` says that it runs on the embedded model, and `folder` is the task file's, in
    /// which tools run.
    pub(crate) fn new(
        name: &str,
        blueprint: &Blueprint,
        embedded: bool,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let steps = blueprint
            .steps
            .iter()
            .map(|plan| solver(plan, embedded, folder))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let reasons = blueprint.steps.iter().map(|plan| plan.reasoning).collect();
        let app = blueprint.app.as_ref();
        let app = app.map(|app| app.module(name, &blueprint.signature, folder)).transpose()?;
        Ok(Self { name: name.to_owned(), steps, app, reasons, models: BTreeMap::new() })
    }

    /// Some steps on models of their own, by the names of the steps.
    pub(crate) fn with_models(
        self,
        models: impl IntoIterator<Item = (String, Arc<dyn LanguageModel>)>,
    ) -> Self {
        Self { models: models.into_iter().collect(), ..self }
    }

    /// With a gateway that listens at an address, where one is given.
    pub(crate) fn listening_at(self, address: Option<&str>) -> anyhow::Result<Self> {
        let Some(address) = address else { return Ok(self) };
        let app = self.app.context(
            "`--listen` is for a program that is not ours (`run`, `serve` or `url` in `[program]`): leave it out",
        )?;
        Ok(Self { app: Some(listening(app, address)), ..self })
    }

    /// The models that a program that is not ours may ask for.
    pub(crate) fn with_asked(self, models: AskedModels) -> Self {
        Self { app: self.app.map(|app| equipped(app, models)), ..self }
    }

    /// The first request of every predictor as it goes over the wire. What a predictor takes from one before it
    /// is taken from the example where it is known there, and otherwise stands in pointed brackets.
    ///
    /// Of a program that is not ours only its texts are known, which stand in what it sends.
    pub(crate) fn chats(&self, example: &Fields) -> Vec<Chat<'_>> {
        if let Some(app) = &self.app {
            let texts = app.predictors().into_iter().zip(texts(app));
            return texts
                .map(|(predictor, text)| Chat {
                    messages: vec![Message::system(text)],
                    predictor,
                    tools: Vec::new(),
                })
                .collect();
        }
        let chat = |step| {
            let predictor = Solver::predictor(step);
            let inputs = predictor.signature().inputs().iter().map(|field| {
                let value = example.get(&field.name).cloned();
                (field.name.clone(), value.unwrap_or_else(|| format!("<{}>", field.name).into()))
            });
            let (messages, tools) = step.request(&inputs.collect());
            Chat { predictor, messages, tools }
        };
        self.steps.iter().map(chat).collect()
    }
}

/// The program as DSPy has it: an agent is a `dspy.ReAct`, which has two predictors.
impl PredictorChain {
    fn agents(&self) -> impl Iterator<Item = (&Agent, Vec<ToolDefinition>)> {
        self.steps.iter().filter_map(|step| match step {
            Solver::Predict(_) => None,
            Solver::Agent(agent) => Some((agent, agent.tools())),
        })
    }

    /// An agent in DSPy; one that is the whole program has no name there.
    fn react<'a>(&self, agent: &'a Agent, tools: &'a [ToolDefinition]) -> ReAct<'a> {
        let path = if self.steps.len() == 1 { "" } else { Predictor::path(agent) };
        ReAct::new(path, agent.signature(), tools)
    }

    /// The predictors, by their paths in DSPy's program.
    pub(crate) fn dspy_predictors(&self) -> Result<Vec<(String, Signature)>, promptopt_dspy::Error> {
        let mut predictors = Vec::new();
        for step in &self.steps {
            match step {
                Solver::Predict(one) => predictors.push((one.path().to_owned(), one.signature().clone())),
                Solver::Agent(agent) => predictors.extend(self.react(agent, &agent.tools()).predictors()?),
            }
        }
        Ok(predictors)
    }

    /// Prompts of this program for DSPy's.
    pub(crate) fn dspy_prompts(&self, prompts: &Prompts) -> Prompts {
        let is_plain = |(path, _): &(&str, &Prompt)| {
            self.steps.iter().any(|step| matches!(step, Solver::Predict(one) if one.path() == *path))
        };
        let plain = prompts.iter().filter(is_plain).map(|(path, prompt)| (path.to_owned(), prompt.clone()));
        let agents = self.agents().flat_map(|(agent, tools)| {
            let prompt = prompts.get(Predictor::path(agent)).unwrap_or(agent.prompt());
            self.react(agent, &tools).prompts(prompt)
        });
        plain.chain(agents).collect()
    }

    /// Prompts of DSPy's program for this one.
    pub(crate) fn own_prompts(&self, theirs: Prompts) -> Prompts {
        let own = self.steps.iter().filter_map(|step| {
            let path = step.predictor().path();
            let prompt = match step {
                Solver::Predict(_) => theirs.get(path)?.clone(),
                Solver::Agent(agent) => {
                    let tools = agent.tools();
                    let react = self.react(agent, &tools);
                    react.prompt(theirs.get(&react.answering())?)
                }
            };
            Some((path.to_owned(), prompt))
        });
        own.collect()
    }
}

fn format(plan: &StepPlan, embedded: bool) -> Format {
    plan.format.unwrap_or(if embedded { Format::Plain } else { Format::Chat })
}

fn adapter(format: Format) -> Arc<dyn Adapter> {
    match format {
        Format::Chat => Arc::new(ChatAdapter),
        Format::Json => Arc::new(JsonAdapter),
        Format::Plain => Arc::new(PlainAdapter),
    }
}

fn solver(plan: &StepPlan, embedded: bool, folder: &Path) -> anyhow::Result<Solver> {
    let format = format(plan, embedded);
    let sampling = plan.sampling.clone();
    // The plain format is for models that JSON is beyond, so a retry in it would be wasted.
    let set_up = |predict: Predict| {
        let predict = predict.with_adapter(adapter(format)).with_json_retry(format != Format::Plain);
        if sampling == Sampling::default() { predict } else { predict.with_sampling(sampling) }
    };
    let signature = plan.signature.clone();
    let predict = match plan.reasoning {
        true => (*ChainOfThought::new(&plan.name, signature)?.map(set_up)).clone(),
        false => set_up(Predict::new(&plan.name, signature)),
    };
    let Some(plan) = &plan.agent else { return Ok(Solver::Predict(predict)) };
    let form = match plan.form {
        // What the embedded model does is known before it is loaded.
        crate::task_file::ToolForm::Auto if embedded => ToolForm::Text,
        crate::task_file::ToolForm::Auto => ToolForm::Auto,
        crate::task_file::ToolForm::Native => ToolForm::Native,
        crate::task_file::ToolForm::Text => ToolForm::Text,
    };
    let mut agent = Agent::of(predict).with_tool_form(form).improving_tools(plan.improve_tools);
    if let Some(turns) = plan.max_turns {
        agent = agent.with_max_turns(turns);
    }
    for (section, arguments) in &plan.tools {
        let tool = CommandTool::new(section, arguments, folder);
        agent = agent.with_tool(tool.with_context(|| format!("in the tool `{}`", section.name))?);
    }
    for tool in plan.served()? {
        agent = agent.with_tool(Arc::clone(tool));
    }
    Ok(Solver::Agent(agent))
}

#[async_trait]
impl Module for PredictorChain {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        let app = self.app.iter().flat_map(|app| app.predictors());
        app.chain(self.steps.iter().flat_map(|step| step.module().predictors())).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        let app = self.app.iter_mut().flat_map(|app| app.predictors_mut());
        app.chain(self.steps.iter_mut().flat_map(|step| step.module_mut().predictors_mut())).collect()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        if let Some(app) = &self.app {
            return app.run(context, inputs).await;
        }
        let mut known = inputs.clone();
        let mut outputs = Fields::new();
        let mut reasoning_is_ours = false;
        for (step, reasons) in self.steps.iter().zip(&self.reasons) {
            let made = match self.models.get(step.predictor().path()) {
                Some(model) => step.call(&context.on(Arc::clone(model)), &known).await,
                None => step.call(context, &known).await,
            };
            let made = made?.into_fields();
            // Each predictor reasons for itself; only the last one's reasons go with the answer.
            if std::mem::take(&mut reasoning_is_ours) {
                outputs.shift_remove(REASONING);
            }
            for (name, value) in made {
                if *reasons && name == REASONING {
                    if outputs.contains_key(REASONING) {
                        continue;
                    }
                    reasoning_is_ours = true;
                } else {
                    known.insert(name.clone(), value.clone());
                }
                outputs.insert(name, value);
            }
        }
        Ok(Prediction::new(outputs))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Option<String> {
        if let Some(app) = &self.app {
            return app.source();
        }
        if let [only] = self.steps.as_slice() {
            return only.module().source();
        }
        let mut text = String::new();
        for step in &self.steps {
            let names = |fields: &[promptopt_core::signature::Field]| {
                fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let step = step.predictor();
            let signature = step.signature();
            let _ = writeln!(
                text,
                "{} = {}({})",
                names(signature.outputs()),
                step.path(),
                names(signature.inputs())
            );
        }
        for agent in self.steps.iter().filter(|step| matches!(step, Solver::Agent(_))) {
            let _ = writeln!(
                text,
                "{}: {}",
                agent.predictor().path(),
                agent.module().source().unwrap_or_default()
            );
        }
        Some(text)
    }

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        let asked = self.app.iter().flat_map(|app| app.other_models());
        asked.chain(self.models.values().cloned()).collect()
    }

    fn calls_per_rollout(&self) -> u64 {
        let app: u64 = self.app.iter().map(|app| app.calls_per_rollout()).sum();
        app + self.steps.iter().map(|step| step.module().calls_per_rollout()).sum::<u64>()
    }

    fn calls_vary(&self) -> bool {
        self.app.is_some() || self.steps.iter().any(|step| step.module().calls_vary())
    }

    fn notes(&self) -> Vec<String> {
        self.app.iter().flat_map(|app| app.notes()).collect()
    }

    fn check(&self, traces: &[Arc<Trace>]) -> anyhow::Result<()> {
        self.app.iter().try_for_each(|app| app.check(traces))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use promptopt_core::data::Example;
    use promptopt_core::lm::{Attempts, LmError, LmReply, LmRequest, ModelProfile};
    use promptopt_core::money::Usage;
    use promptopt_core::program::{ModuleExt as _, metric_fn};
    use promptopt_run::run_once;

    use super::*;

    /// Answers every field with its own name, and remembers what it was asked.
    struct Naming(&'static str, Mutex<Vec<LmRequest>>);

    #[async_trait]
    impl LanguageModel for Naming {
        fn profile(&self) -> ModelProfile {
            ModelProfile::new(self.0)
        }

        async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
            self.1.lock().unwrap().push(request.clone());
            let system = request.messages[0].text();
            let outputs = system.split("Your output fields are:\n").nth(1).unwrap();
            let names = outputs.lines().take_while(|line| line.starts_with(|c: char| c.is_ascii_digit()));
            let text: String = names
                .map(|line| line.split('`').nth(1).unwrap())
                .map(|name| format!("[[ ## {name} ## ]]\n{name} by {}\n\n", self.0))
                .collect();
            Ok(LmReply::text(text, Usage::call(1, 1)))
        }
    }

    #[test]
    fn what_is_asked_stands_beside_who_asks() {
        let section = |form: &str| {
            let text = format!(
                "improve_tools = true\ntool_form = \"{form}\"\n[[predictors]]\nname = \"desk\"\n\
                 signature = \"question -> notes\"\n[[predictors.tools]]\nname = \"search\"\n\
                 description = \"Searches.\"\narguments = [\"query\"]\ncommand = [\"true\"]\n\
                 [[predictors]]\nname = \"answer\"\nsignature = \"notes -> reply\""
            );
            toml::from_str(&text).unwrap()
        };
        for (form, embedded, tools) in [("auto", false, 1), ("auto", true, 0), ("text", false, 0)] {
            let chain =
                PredictorChain::new("d", &Blueprint::of(&section(form)).unwrap(), embedded, Path::new(""));
            let chain = chain.unwrap();
            let paths: Vec<&str> = chain.predictors().iter().map(|predictor| predictor.path()).collect();
            assert_eq!(paths, ["desk", "desk.tools.search", "answer"]);
            let chats = chain.chats(&Fields::new());
            let asking: Vec<&str> = chats.iter().map(|chat| chat.predictor.path()).collect();
            assert_eq!((asking, chats[0].tools.len()), (vec!["desk", "answer"], tools), "{form}");
            let is_told = chats[0].messages[0].text().contains("- search(query: string): Searches.");
            assert_eq!(is_told, tools == 0, "{form}");
        }
    }

    #[tokio::test]
    async fn a_field_may_be_called_reasoning_beside_the_reasoning_of_others() {
        let section = toml::from_str(
            r#"
            signature = "ticket -> reasoning, reply"
            [[predictors]]
            name = "think"
            signature = "ticket -> reasoning"
            [[predictors]]
            name = "answer"
            signature = "ticket, reasoning -> draft"
            [[predictors]]
            name = "check"
            signature = "draft -> reply"
            reasoning = true
            "#,
        )
        .unwrap();
        let chain =
            PredictorChain::new("desk", &Blueprint::of(&section).unwrap(), false, Path::new("")).unwrap();
        let model = Arc::new(Naming("main", Mutex::default()));
        let program = chain.with_metric(metric_fn(|_: &Example, _: &Prediction| 1.0));
        let example = Example::new([("ticket", "Hi")], ["ticket"]);
        let trace = run_once(&program, &CallContext::new(model.clone()), Arc::new(example)).await;
        let prediction = trace.prediction.unwrap();
        assert_eq!(prediction.get_str("reasoning"), Some("reasoning by main"));
        assert_eq!(prediction.get_str("reply"), Some("reply by main"));
        assert!(
            model.1.lock().unwrap()[1].messages[1]
                .text()
                .contains("[[ ## reasoning ## ]]\nreasoning by main")
        );
        assert_eq!(trace.steps[0].outputs.len() + trace.steps[2].outputs.len(), 3);
    }

    #[tokio::test]
    async fn later_predictors_see_what_earlier_ones_made_and_may_run_on_another_model() {
        let section = toml::from_str(
            r#"
            [[predictors]]
            name = "classify"
            signature = "ticket -> topic"
            reasoning = true
            [[predictors]]
            name = "answer"
            signature = "ticket, topic -> reply"
            model = "other"
            temperature = 0.5
            "#,
        )
        .unwrap();
        let chain =
            PredictorChain::new("desk", &Blueprint::of(&section).unwrap(), false, Path::new("")).unwrap();
        assert_eq!(chain.calls_per_rollout(), 4);
        assert_eq!(
            chain.source().unwrap(),
            "reasoning, topic = classify(ticket)\nreply = answer(ticket, topic)\n"
        );
        let (main, other) =
            (Arc::new(Naming("main", Mutex::default())), Arc::new(Naming("other", Mutex::default())));
        let chain = chain.with_models([("answer".to_owned(), other.clone() as _)]);
        let program = chain.with_metric(metric_fn(|_: &Example, _: &Prediction| 1.0));
        let example = Example::new([("ticket", "Hi"), ("reply", "")], ["ticket"]);
        let trace = run_once(&program, &CallContext::new(main), Arc::new(example)).await;
        let prediction = trace.prediction.unwrap();
        assert_eq!(prediction.get_str("topic"), Some("topic by main"));
        assert_eq!(prediction.get_str("reply"), Some("reply by other"));
        assert!(prediction.get("reasoning").is_none());
        assert_eq!(trace.usage.calls, 2);
        let asked = other.1.lock().unwrap();
        assert!(asked[0].messages[1].text().contains("topic by main"));
        assert_eq!((asked[0].sampling.temperature, asked[0].sampling.stop.len()), (Some(0.5), 0));
    }
}
