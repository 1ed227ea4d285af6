//! A predictor that calls tools before it answers.

mod text_form;
mod tool;
mod trajectory;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Fields, Prediction, fields_of};
use promptopt_core::lm::{LanguageModel, LmRequest, Message, Sampling, ToolDefinition};
use promptopt_core::program::{CallContext, Module, Predictor, Text};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::{Signature, TypedSignature, from_fields, to_fields};
use promptopt_core::telemetry::Span;
use promptopt_core::trace::{Step, TRAJECTORY};

pub use tool::{Tool, ToolFn, tool_fn};

use crate::predict::{full_text, tell};
use crate::typed::Untyped;
use crate::{Adapter, Error, Predict};
use trajectory::insert_into;
use work::Work;

/// How many requests a run may make, the one that answers included.
const MAX_TURNS: u32 = 10;
/// The longest result of a tool that the model sees, in characters.
const MAX_RESULT_CHARS: usize = 20_000;

const MAY_CALL: &str = "You may call the tools first, several times if need be. Once you know enough, answer in the form \
                        above.";

/// How an agent tells a model of its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolForm {
    /// As tools of the request, unless the model says that it takes none: then as text.
    #[default]
    Auto,
    /// As tools of the request.
    Native,
    /// In the text of the messages, for models without tools: `Action:` and `Action Input:` (Yao et al. 2023, ReAct).
    Text,
}

/// A predictor that calls tools before it answers: ReAct (Yao et al. 2023) over the calls of tools that models make
/// natively.
///
/// Each request shows the model all that came before. Where the model calls tools, they are run at once, and their results
/// are part of the next request. Where it answers, the answer is read as [`Predict`] reads it. What a tool cannot do is told
/// to the model. With its last turn the model can only answer.
///
/// Its instruction is a component under its path, such as `desk`. With [`Agent::improving_tools`] so is the description of
/// every tool: `desk.tools.search`.
///
/// The prediction has one field more than the signature: [`TRAJECTORY`], the calls with their results. Optimizers see it,
/// and demos that a run gave show it.
///
/// `Agent<Desk>` takes and gives the Rust types of a signature, see [`Predict::typed`].
pub struct Agent<S = Untyped> {
    predict: Predict<S>,
    tools: Vec<Equipped>,
    max_turns: u32,
    max_result_chars: usize,
    form: ToolForm,
    parallel: Option<bool>,
    improves_tools: bool,
}

/// A tool, and the component that is its description.
#[derive(Clone)]
struct Equipped {
    tool: Arc<dyn Tool>,
    name: String,
    description: Text,
}

impl Agent {
    /// An agent at `path`, which must be unique inside its program, without tools.
    pub fn new(path: impl Into<String>, signature: Signature) -> Self {
        Self::of(Predict::new(path, signature))
    }

    /// Answers, and records the step with the calls of tools as parts of it.
    ///
    /// # Errors
    ///
    /// As [`Predict::call`]. An agent that still calls tools in its last turn has given a reply that cannot be used.
    pub async fn call(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction, Error> {
        self.call_fields(context, inputs).await
    }
}

impl<S: TypedSignature> Agent<S> {
    /// Answers as [`Agent::call`] of fields does, in Rust types. The trajectory is in the step.
    ///
    /// # Errors
    ///
    /// As [`Agent::call`] of fields.
    pub async fn call(&self, context: &CallContext, input: S::Input) -> Result<S::Output, Error> {
        let inputs = to_fields(&input).map_err(|source| self.predict.unfit(source))?;
        let prediction = self.call_fields(context, &inputs).await?;
        from_fields(prediction.fields()).map_err(|source| self.predict.unfit(source))
    }
}

impl<S> Agent<S> {
    /// An agent at `path`, without tools, with the signature of a Rust type.
    pub fn typed(path: impl Into<String>) -> Self
    where
        S: TypedSignature,
    {
        Self::of(Predict::typed(path))
    }

    /// The agent with the path, signature, prompt, adapter, sampling and model of a predictor.
    pub fn of(predict: Predict<S>) -> Self {
        Self {
            predict,
            tools: Vec::new(),
            max_turns: MAX_TURNS,
            max_result_chars: MAX_RESULT_CHARS,
            form: ToolForm::Auto,
            parallel: None,
            improves_tools: false,
        }
    }

    /// With one more tool. One of the same name takes the place of the other.
    #[must_use]
    pub fn with_tool(mut self, tool: impl Tool + 'static) -> Self {
        let definition = tool.definition();
        let name = definition.name;
        let path = format!("{}.tools.{name}", self.predict.path());
        let description = Text::new(path, definition.description);
        self.tools.retain(|known| known.name != name);
        self.tools.push(Equipped { tool: Arc::new(tool), name, description });
        self
    }

    /// How many requests a run may make at most, the one that answers included. Default: 10.
    #[must_use]
    pub fn with_max_turns(mut self, turns: u32) -> Self {
        self.max_turns = turns.max(1);
        self
    }

    /// The longest result of a tool that the model sees, in characters. Default: 20,000.
    #[must_use]
    pub fn with_max_result_chars(mut self, chars: usize) -> Self {
        self.max_result_chars = chars;
        self
    }

    /// How the model is told of the tools. Default: [`ToolForm::Auto`].
    #[must_use]
    pub fn with_tool_form(mut self, form: ToolForm) -> Self {
        self.form = form;
        self
    }

    /// Whether the model may call several tools in one turn. Default: as the provider has it, and yes in
    /// [`ToolForm::Text`].
    #[must_use]
    pub fn with_parallel_calls(mut self, parallel: bool) -> Self {
        self.parallel = Some(parallel);
        self
    }

    /// Whether optimizers may change the descriptions of the tools as well. Default: false, because that pays only on
    /// models that heed descriptions, and with calls to spare (docs/performance.md).
    #[must_use]
    pub fn improving_tools(mut self, improves: bool) -> Self {
        self.improves_tools = improves;
        self
    }

    /// As [`Predict::with_sampling`].
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        self.map(|predict| predict.with_sampling(sampling))
    }

    /// The adapter in whose form it answers. Default: [`ChatAdapter`](crate::ChatAdapter). A single text may also come
    /// as it is.
    #[must_use]
    pub fn with_adapter(self, adapter: Arc<dyn Adapter>) -> Self {
        self.map(|predict| predict.with_adapter(adapter))
    }

    /// As [`Predict::with_model`].
    #[must_use]
    pub fn with_model(self, model: Arc<dyn LanguageModel>) -> Self {
        self.map(|predict| predict.with_model(model))
    }

    fn map(mut self, change: impl FnOnce(Predict<S>) -> Predict<S>) -> Self {
        self.predict = change(self.predict);
        self
    }

    async fn call_fields(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction, Error> {
        let slot = context.begin_step();
        let span = Span::agent(self.predict.path());
        let mut step = Step::new(self.predict.path()).with_inputs(self.predict.own(inputs));
        let definitions = self.definitions(|description| description.in_force(context));
        let is_native = self.is_native(context);
        let mut work = Work {
            agent: self,
            context,
            slot: &slot,
            step: &mut step,
            definitions,
            is_native,
            turns: Vec::new(),
        };
        let result = span.around(work.answer(inputs)).await;
        let trajectory = trajectory::value(&work.turns);
        let result = result.map(|mut outputs| {
            outputs.entry(TRAJECTORY).or_insert(trajectory.clone());
            Prediction::new(outputs)
        });
        match &result {
            Ok(prediction) => step.outputs = fields_of(prediction.fields().iter()),
            Err(error) => {
                step.outputs.insert(TRAJECTORY.to_owned(), trajectory);
                step.error = Some(full_text(error));
            }
        }
        tell(&span, &step, result.as_ref().err());
        context.end_step(slot, step);
        result
    }

    /// Its tools, with their own descriptions or those that were installed.
    pub fn tools(&self) -> Vec<ToolDefinition> {
        self.definitions(|description| &description.prompt().instruction)
    }

    /// The first request as it goes over the wire for some inputs, under the agent's own prompt, where the model takes
    /// tools.
    pub fn request(&self, inputs: &Fields) -> LmRequest {
        let definitions = self.tools();
        let is_native = self.form != ToolForm::Text;
        let prompt = self.predict.prompt();
        let adapter = self.before_tools(self.predict.adapter_of_prompt(), is_native);
        let messages = self.opening(adapter, prompt, inputs, &definitions, is_native);
        let request = LmRequest::new(messages).with_sampling(self.predict.sampling().clone());
        if is_native { request.with_tools(definitions) } else { request }
    }

    /// A line for each tool.
    fn tool_lines(&self) -> String {
        let tools = self.tools.iter().map(|tool| {
            let definition = tool.tool.definition();
            format!(
                "  {}({}): {}",
                definition.name,
                text_form::parameters(&definition),
                definition.description
            )
        });
        tools.collect::<Vec<String>>().join("\n")
    }

    fn is_native(&self, context: &CallContext) -> bool {
        match self.form {
            ToolForm::Auto => context.takes_tools(),
            form => form == ToolForm::Native,
        }
    }

    /// The adapter of requests in which tools may be called. A model that is asked for an answer in words at the end of a
    /// message gives one, and writes no action.
    fn before_tools<'a>(&self, adapter: &'a dyn Adapter, is_native: bool) -> &'a dyn Adapter {
        if is_native || self.tools.is_empty() {
            adapter
        } else {
            adapter.without_request().unwrap_or(adapter)
        }
    }

    /// The messages before the first turn.
    fn opening(
        &self,
        adapter: &dyn Adapter,
        prompt: &Prompt,
        inputs: &Fields,
        definitions: &[ToolDefinition],
        is_native: bool,
    ) -> Vec<Message> {
        let signature = self.predict.signature();
        let mut messages = adapter.chat(signature, prompt, inputs);
        insert_into(&mut messages, signature, prompt, inputs, is_native);
        if !is_native {
            messages = text_form::in_words(messages);
        }
        let how = match (definitions, is_native) {
            ([], _) => return messages,
            (_, true) => MAY_CALL.to_owned(),
            (definitions, false) => text_form::introduction(definitions, self.parallel != Some(false)),
        };
        if let Some(system) = messages.first_mut() {
            *system = Message::system(format!("{}\n\n{how}", system.text()));
        }
        messages
    }

    /// The tools with the descriptions that are found so.
    fn definitions<'a>(&'a self, words: impl Fn(&'a Text) -> &'a str) -> Vec<ToolDefinition> {
        let described = |equipped: &'a Equipped| {
            let mut definition = equipped.tool.definition();
            words(&equipped.description).clone_into(&mut definition.description);
            definition
        };
        self.tools.iter().map(described).collect()
    }
}

impl<S> Clone for Agent<S> {
    fn clone(&self) -> Self {
        Self { predict: self.predict.clone(), tools: self.tools.clone(), ..*self }
    }
}

impl<S> Predictor for Agent<S> {
    fn path(&self) -> &str {
        self.predict.path()
    }

    fn signature(&self) -> &Signature {
        self.predict.signature()
    }

    fn prompt(&self) -> &Prompt {
        self.predict.prompt()
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.predict.set_prompt(prompt);
    }

    fn about(&self) -> Option<String> {
        (!self.tools.is_empty())
            .then(|| format!("Before it answers it may call tools, several times:\n{}", self.tool_lines()))
    }

    fn settings(&self) -> String {
        let definitions: Vec<ToolDefinition> = self.tools.iter().map(|tool| tool.tool.definition()).collect();
        let Self { max_turns, max_result_chars, form, parallel, .. } = self;
        let tools = ContentHash::of(&definitions);
        format!(
            "{} again={} agent turns={max_turns} result={max_result_chars} form={form:?} parallel={parallel:?} tools={tools}",
            self.predict.settings(),
            self.predict.json_retry()
        )
    }
}

#[async_trait]
impl<S: 'static> Module for Agent<S> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        let tools = self.tools.iter().filter(|_| self.improves_tools);
        let descriptions = tools.map(|tool| &tool.description as &dyn Predictor);
        std::iter::once(self as &dyn Predictor).chain(descriptions).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        let Self { predict, tools, improves_tools, .. } = self;
        let tools = tools.iter_mut().filter(|_| *improves_tools);
        let descriptions = tools.map(|tool| &mut tool.description as &mut dyn Predictor);
        std::iter::once(predict as &mut dyn Predictor).chain(descriptions).collect()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        Ok(self.call_fields(context, inputs).await?)
    }

    fn name(&self) -> &str {
        self.predict.path()
    }

    fn source(&self) -> Option<String> {
        Some(format!(
            "An agent that calls tools, sees their results, and then answers: {}\nTools:\n{}",
            self.predict.signature(),
            self.tool_lines()
        ))
    }

    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        self.predict.language_model()
    }

    /// All turns, and one for an answer that does not fit.
    fn calls_per_rollout(&self) -> u64 {
        u64::from(self.max_turns) + u64::from(self.predict.json_retry())
    }

    fn calls_vary(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
