//! A predictor that calls tools before it answers.

mod text_form;
mod tool;
mod trajectory;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use promptopt_core::data::{ContentHash, Fields, Prediction, fields_of, plain_text, shorten};
use promptopt_core::lm::{
    Completion, LanguageModel, LmError, LmRequest, Message, Role, Sampling, ToolCall, ToolChoice,
    ToolDefinition,
};
use promptopt_core::program::{CallContext, Module, Predictor, Text};
use promptopt_core::prompt::Prompt;
use promptopt_core::signature::{FieldType, Signature};
use promptopt_core::trace::{Step, TRAJECTORY};
use serde_json::Value;

pub use tool::{Tool, ToolFn, tool_fn};

use crate::adapter::check_size;
use crate::predict::full_text;
use crate::{Adapter, Error, Predict};
use trajectory::{Turn, insert_into};

/// How many requests a run may make, the one that answers included.
const MAX_TURNS: u32 = 10;
/// The longest result of a tool that the model sees, in characters.
const MAX_RESULT_CHARS: usize = 20_000;
/// The most calls of tools that are run in one turn.
const MAX_CALLS_PER_TURN: usize = 32;
const TOO_MANY_CALLS: &str =
    "Error: not more than 32 calls are run in one turn; make this one again in the next turn";

const MAY_CALL: &str = "You may call the tools first, several times if need be. Once you know enough, answer in the form \
                        above.";
const LAST_TURN: &str = "No tools can be called any more. Answer now, with what you know.";

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
#[derive(Clone)]
pub struct Agent {
    predict: Predict,
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

    /// The agent with the path, signature, prompt, adapter, sampling and model of a predictor.
    pub fn of(predict: Predict) -> Self {
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

    fn map(mut self, change: impl FnOnce(Predict) -> Predict) -> Self {
        self.predict = change(self.predict);
        self
    }

    /// Answers, and records the step with the calls of tools as parts of it.
    ///
    /// # Errors
    ///
    /// As [`Predict::call`]. An agent that still calls tools in its last turn has given a reply that cannot be used.
    pub async fn call(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction, Error> {
        let slot = context.begin_step();
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
        let result = work.answer(inputs).await;
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

/// One run of an agent.
struct Work<'a> {
    agent: &'a Agent,
    context: &'a CallContext,
    slot: &'a promptopt_core::program::StepSlot,
    step: &'a mut Step,
    /// The tools with the descriptions in force.
    definitions: Vec<ToolDefinition>,
    is_native: bool,
    turns: Vec<Turn>,
}

impl Work<'_> {
    async fn answer(&mut self, inputs: &Fields) -> Result<Fields, Error> {
        let Agent { predict, max_turns, parallel, .. } = self.agent;
        let inputs = &*predict.checked(inputs)?;
        let prompt = self.context.prompt(predict.path()).unwrap_or(predict.prompt());
        let asking = predict.adapter_in(prompt)?;
        let adapter = self.agent.before_tools(asking, self.is_native);
        let has_tools = !self.definitions.is_empty();
        let mut messages = self.agent.opening(adapter, prompt, inputs, &self.definitions, self.is_native);
        for turn in 1..=*max_turns {
            let is_last = turn == *max_turns;
            if is_last && has_tools {
                self.tell_of_last_turn(asking, &mut messages);
            }
            let mut request = self.request(messages.clone(), is_last);
            if self.is_native {
                request.parallel_tool_calls = parallel.filter(|_| has_tools);
            } else if has_tools {
                request.sampling.stop.push(text_form::RESULT_FOLLOWS.to_owned());
            }
            let mut completion = self.complete(request).await?;
            if !self.is_native {
                self.read_calls(&mut completion, turn);
            }
            if completion.tool_calls.is_empty() {
                return self.read(adapter, messages, completion).await;
            }
            if is_last {
                let reason = format!("it still calls tools in its last turn ({max_turns})");
                let calls =
                    completion.tool_calls.iter().map(|call| format!("{}({})\n", call.name, call.arguments));
                return Err(self.unusable(&Completion::new(calls.collect::<String>()), reason));
            }
            name_calls(&mut completion.tool_calls, turn);
            let results = self.run_tools(&completion.tool_calls).await?;
            if self.is_native {
                messages.push(completion.to_message());
                let told = completion.tool_calls.iter().zip(&results);
                messages.extend(told.map(|(call, result)| Message::tool_result(&call.id, result.as_str())));
            } else {
                messages.push(Message::assistant(&completion.text));
                messages.push(Message::user(text_form::results(&results)));
            }
            self.turns.push(Turn::new(completion, results, self.is_native));
        }
        // The last turn answers or fails, and there is one.
        Err(self.unusable(&Completion::default(), "it has no turns".to_owned()))
    }

    /// A request with the tools, of which none may be called any more in the last turn.
    fn request(&self, messages: Vec<Message>, is_last: bool) -> LmRequest {
        let mut request = LmRequest::new(messages).with_sampling(self.agent.predict.sampling().clone());
        if self.is_native && !self.definitions.is_empty() {
            request.tools.clone_from(&self.definitions);
            request.tool_choice = is_last.then_some(ToolChoice::None);
        }
        request
    }

    /// In words the answer is asked for here, since no message before did. Chat templates of models without tools want user
    /// and assistant in turn.
    fn tell_of_last_turn(&self, asking: &dyn Adapter, messages: &mut Vec<Message>) {
        if self.is_native {
            messages.push(Message::user(LAST_TURN));
            return;
        }
        let request = asking.user(self.agent.predict.signature(), &Fields::new(), LAST_TURN, true);
        let request = Message::user(request);
        match messages.last_mut() {
            Some(last) if last.role == Role::User && last.content.as_slice().is_empty() => {
                *last = Message::user(format!("{}\n\n{}", last.text(), request.text()));
            }
            _ => messages.push(request),
        }
    }

    /// Reads the calls in the text of a reply, and takes out results that it made up. An answer may hold the words of a
    /// call.
    fn read_calls(&self, completion: &mut Completion, turn: u32) {
        if let Some(end) = completion.text.find(text_form::RESULT_FOLLOWS) {
            completion.text.truncate(end);
        }
        let mut calls = text_form::calls(&completion.text, turn);
        let is_known = |name: &str| self.definitions.iter().any(|tool| tool.name == name);
        calls.retain(|call| {
            is_known(&call.name) || (!self.definitions.is_empty() && !call.arguments.is_empty())
        });
        if self.agent.parallel == Some(false) && calls.len() > 1 {
            calls.truncate(1);
            completion.text = text_form::written(text_form::thought(&completion.text).trim(), &calls);
        }
        completion.tool_calls.extend(calls);
    }

    async fn complete(&mut self, request: LmRequest) -> Result<Completion, Error> {
        let predictor = || self.agent.predict.path().to_owned();
        let reply = self.context.complete(request).await;
        let reply = reply.map_err(|source| Error::Model { predictor: predictor(), source })?;
        self.step.usage += reply.usage;
        Ok(reply.completions.into_iter().next().unwrap_or_default())
    }

    /// Reads the answer. One that does not fit is asked for once more.
    async fn read(
        &mut self,
        adapter: &dyn Adapter,
        mut messages: Vec<Message>,
        completion: Completion,
    ) -> Result<Fields, Error> {
        let signature = self.agent.predict.signature();
        let reason = match parse(adapter, signature, &completion) {
            Ok(outputs) => return Ok(outputs),
            Err(reason) => reason,
        };
        if !self.agent.predict.json_retry() || completion.text.trim().is_empty() {
            return Err(self.unusable(&completion, reason));
        }
        self.step.retried = true;
        messages.push(Message::assistant(&completion.text));
        messages.push(Message::user(format!(
            "This answer cannot be used: {reason}. Write it again, in the form that the first message asks for."
        )));
        let completion = self.complete(self.request(messages, true)).await?;
        parse(adapter, signature, &completion).map_err(|reason| self.unusable(&completion, reason))
    }

    fn unusable(&self, completion: &Completion, reason: String) -> Error {
        self.agent.predict.unusable(self.context, completion, reason)
    }

    /// Runs the tools of one turn at once. Their steps are in the order of the calls. The model is told of calls that are
    /// too many.
    async fn run_tools(&self, calls: &[ToolCall]) -> Result<Vec<String>, Error> {
        let (calls, left) = calls.split_at(calls.len().min(MAX_CALLS_PER_TURN));
        let parts: Vec<_> = calls.iter().map(|call| (call, self.context.begin_part(self.slot))).collect();
        let run = |(call, slot): (&ToolCall, _)| {
            let call = call.clone();
            async move {
                let mut step = Step::tool(format!("{}.tools.{}", self.agent.predict.path(), call.name));
                let result = self.run_tool(&call, &mut step).await;
                self.context.end_step(slot, step);
                result
            }
        };
        let results = join_all(parts.into_iter().map(run)).await;
        results.into_iter().chain(left.iter().map(|_| Ok(TOO_MANY_CALLS.to_owned()))).collect()
    }

    /// What the model is told of a call. Only what ends the run is an error.
    async fn run_tool(&self, call: &ToolCall, step: &mut Step) -> Result<String, Error> {
        let result =
            match (self.agent.tools.iter().find(|tool| tool.name == call.name), call.read_arguments()) {
                (None, _) => {
                    let names: Vec<String> =
                        self.agent.tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
                    Err(anyhow::anyhow!("there is no tool `{}`; there are {}", call.name, names.join(", ")))
                }
                (_, Err(reason)) => Err(anyhow::anyhow!(reason)),
                (Some(equipped), Ok(arguments)) => {
                    step.inputs = fields_of(arguments.iter());
                    equipped.tool.call(self.context, arguments).await
                }
            };
        let text = match result {
            Ok(value) => bounded(&plain_text(&value), self.agent.max_result_chars),
            Err(error) => {
                let message = bounded(&format!("{error:#}"), self.agent.max_result_chars);
                step.error = Some(message.clone());
                // A failure of a model that the tool called says nothing to this one.
                if error.chain().any(|cause| cause.is::<LmError>()) {
                    return Err(Error::Tool { tool: step.predictor.clone(), source: error.into() });
                }
                format!("Error: {message}")
            }
        };
        if step.error.is_none() {
            step.outputs.insert("result".to_owned(), shorten(&text, trajectory::MAX_CHARS).into());
        }
        Ok(text)
    }
}

/// A text cut to a bound, with how much is missing.
fn bounded(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (kept, cut) = text.split_at(end);
            format!("{kept}\n[{} more characters are left out]", cut.chars().count())
        }
    }
}

/// Gives a name to calls that have none, so that results can be told apart.
fn name_calls(calls: &mut [ToolCall], turn: u32) {
    for (number, call) in calls.iter_mut().enumerate().filter(|(_, call)| call.id.is_empty()) {
        call.id = format!("call_{turn}_{}", number + 1);
    }
}

/// The outputs in an answer. A single text may come as it is, where it is not one in another form that broke.
fn parse(adapter: &dyn Adapter, signature: &Signature, completion: &Completion) -> Result<Fields, String> {
    let text = completion.text.trim();
    let is_bare = !text.is_empty()
        && !text.starts_with(['{', '['])
        && !text.contains("[[ ##")
        && check_size(text).is_ok()
        && completion.shortfall(None).is_none();
    adapter.parse(signature, text).or_else(|reason| match signature.outputs() {
        [only] if only.kind == FieldType::String && is_bare => {
            Ok(Fields::from_iter([(only.name.clone(), Value::from(text))]))
        }
        _ => Err(reason),
    })
}

impl Predictor for Agent {
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
impl Module for Agent {
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
        Ok(self.call(context, inputs).await?)
    }

    fn name(&self) -> &str {
        self.predict.path()
    }

    fn source(&self) -> Option<String> {
        let tools = self.tools.iter().map(|tool| {
            let definition = tool.tool.definition();
            format!(
                "  {}({}): {}",
                definition.name,
                text_form::parameters(&definition),
                definition.description
            )
        });
        let lines: Vec<String> = tools.collect();
        Some(format!(
            "An agent that calls tools, sees their results, and then answers: {}\nTools:\n{}",
            self.predict.signature(),
            lines.join("\n")
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
