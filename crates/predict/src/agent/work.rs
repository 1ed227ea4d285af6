//! One run of an agent, turn by turn.

use futures_util::future::join_all;
use promptopt_core::data::{Fields, fields_of, plain_text, shorten};
use promptopt_core::lm::{
    Completion, LmError, LmRequest, Message, Role, ToolCall, ToolChoice, ToolDefinition,
};
use promptopt_core::program::{CallContext, Predictor as _, StepSlot, Unavailable};
use promptopt_core::signature::{FieldType, Signature};
use promptopt_core::telemetry::Span;
use promptopt_core::trace::Step;
use serde_json::{Map, Value};

use super::Agent;
use super::text_form;
use super::trajectory::{self, Turn};
use crate::adapter::check_size;
use crate::schema;
use crate::{Adapter, Error};

/// The most calls of tools that are run in one turn.
const MAX_CALLS_PER_TURN: usize = 32;
pub(super) const TOO_MANY_CALLS: &str =
    "Error: not more than 32 calls are run in one turn; make this one again in the next turn";
pub(super) const LAST_TURN: &str = "No tools can be called any more. Answer now, with what you know.";

/// One run of an agent.
pub(super) struct Work<'a, S> {
    pub(super) agent: &'a Agent<S>,
    pub(super) context: &'a CallContext,
    pub(super) slot: &'a StepSlot,
    pub(super) step: &'a mut Step,
    /// The tools with the descriptions in force.
    pub(super) definitions: Vec<ToolDefinition>,
    pub(super) is_native: bool,
    pub(super) turns: Vec<Turn>,
}

impl<S> Work<'_, S> {
    pub(super) async fn answer(&mut self, inputs: &Fields) -> Result<Fields, Error> {
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
        let predict = &self.agent.predict;
        let parse = |completion: &Completion| {
            let outputs = parse(adapter, predict.signature(), completion)?;
            predict.typing().checked(outputs)
        };
        let reason = match parse(&completion) {
            Ok(outputs) => return Ok(outputs),
            Err(reason) => reason,
        };
        if !predict.json_retry() || completion.text.trim().is_empty() {
            return Err(self.unusable(&completion, reason));
        }
        self.step.retried = true;
        messages.push(Message::assistant(&completion.text));
        messages.push(Message::user(format!(
            "This answer cannot be used: {reason}. Write it again, in the form that the first message asks for."
        )));
        let completion = self.complete(self.request(messages, true)).await?;
        parse(&completion).map_err(|reason| self.unusable(&completion, reason))
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
                let span = Span::tool(&call.name, &call.id);
                span.content("gen_ai.tool.call.arguments", || {
                    call.read_arguments().map_or_else(|_| call.arguments.as_str().into(), Value::Object)
                });
                let result = span.around(self.run_tool(&call, &mut step)).await;
                match &result {
                    Ok(_) if step.error.is_some() => span.failed("tool"),
                    Ok(told) => span.content("gen_ai.tool.call.result", || told.as_str().into()),
                    Err(error) => span.failed(error.kind()),
                }
                self.context.end_step(slot, step);
                result
            }
        };
        let results = join_all(parts.into_iter().map(run)).await;
        results.into_iter().chain(left.iter().map(|_| Ok(TOO_MANY_CALLS.to_owned()))).collect()
    }

    /// Arguments that fit the schema of a tool, or why they do not.
    fn fitting(&self, tool: &str, arguments: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut arguments = Value::Object(arguments);
        if let Some(definition) = self.definitions.iter().find(|definition| definition.name == tool) {
            schema::fit(&definition.parameters, &mut arguments)
                .map_err(|mismatch| mismatch.of("arguments"))?;
        }
        match arguments {
            Value::Object(arguments) => Ok(arguments),
            _ => Err("they are no object".to_owned()),
        }
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
                    match self.fitting(&equipped.name, arguments) {
                        Ok(arguments) => equipped.tool.call(self.context, arguments).await,
                        Err(reason) => Err(anyhow::anyhow!("the arguments do not fit the schema: {reason}")),
                    }
                }
            };
        let text = match result {
            Ok(value) => bounded(&plain_text(&value), self.agent.max_result_chars),
            Err(error) => {
                let message = bounded(&format!("{error:#}"), self.agent.max_result_chars);
                step.error = Some(message.clone());
                // An outage of what the tool needs says nothing to the model.
                if error.chain().any(|cause| cause.is::<LmError>() || cause.is::<Unavailable>()) {
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
