//! An agent as a `dspy.ReAct`: two predictors, one that takes the next step and one that answers.

use promptopt_core::data::{Fields, spaced_json};
use promptopt_core::lm::ToolDefinition;
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_core::trace::TRAJECTORY;
use serde_json::{Map, Value, json};

use crate::Error;

/// What a step says of itself.
const NEXT: [&str; 3] = ["next_thought", "next_tool_name", "next_tool_args"];
/// The tool that ends a `dspy.ReAct`.
const FINISH: &str = "finish";
/// The most steps of one demo that become demos of their own.
const MAX_STEPS: usize = 12;

/// An agent, and the two predictors that it is in DSPy: at `react` the one that calls tools, at `extract.predict` the one
/// that answers, each below the agent's path.
#[derive(Debug, Clone)]
pub struct ReAct<'a> {
    path: String,
    signature: &'a Signature,
    tools: &'a [ToolDefinition],
}

impl<'a> ReAct<'a> {
    /// The agent at `path`; an empty path for one that is the whole program in DSPy. The tools must be those of the
    /// program in DSPy, with the same names and arguments.
    pub fn new(path: impl Into<String>, signature: &'a Signature, tools: &'a [ToolDefinition]) -> Self {
        Self { path: path.into(), signature, tools }
    }

    fn paths(&self) -> [String; 2] {
        let dot = if self.path.is_empty() { "" } else { "." };
        ["react", "extract"].map(|name| format!("{}{dot}{name}", self.path))
    }

    /// Its two predictors, for [`Layout::module`](crate::Layout::module).
    ///
    /// # Errors
    ///
    /// [`Error::Field`] where the agent has a field of a name that a `dspy.ReAct` takes for itself.
    pub fn predictors(&self) -> Result<[(String, Signature); 2], Error> {
        let trajectory = || std::iter::once(Field::new(TRAJECTORY));
        let names = self.tools.iter().map(|tool| tool.name.as_str()).chain([FINISH]);
        let [thought, name, arguments] = NEXT.map(Field::new);
        let object = FieldType::Object(json!({"type": "object"}));
        let next = [thought, name.typed(FieldType::literals(names)), arguments.typed(object)];
        let inputs = || self.signature.inputs().iter().cloned();
        let outputs = self.signature.outputs().iter().filter(|field| field.name != "reasoning");
        let answer = std::iter::once(Field::new("reasoning")).chain(outputs.cloned());
        let [react, extract] = self.paths();
        let taken = |error| Error::Field { predictor: self.path.clone(), reason: format!("{error}") };
        let instruction = self.signature.instructions();
        Ok([
            (react, Signature::new(inputs().chain(trajectory()), next, instruction).map_err(taken)?),
            (extract, Signature::new(inputs().chain(trajectory()), answer, instruction).map_err(taken)?),
        ])
    }

    /// What a prompt of the agent is for each of them. Every step of a demo is a demo of the first.
    pub fn prompts(&self, prompt: &Prompt) -> [(String, Prompt); 2] {
        let [react, extract] = self.paths();
        let steps = prompt.demos.iter().flat_map(|demo| self.steps(demo)).collect();
        let answers = prompt.demos.iter().map(|demo| {
            let mut fields = self.own(demo);
            fields.insert(TRAJECTORY.to_owned(), told(&calls(demo)).into());
            let outputs = self.signature.outputs().iter().map(|field| &field.name);
            fields.extend(outputs.filter_map(|name| Some((name.clone(), demo.fields.get(name)?.clone()))));
            with(demo, fields)
        });
        let answers = answers.collect();
        [
            (react, Prompt::new(self.instruction(&prompt.instruction)).with_demos(steps)),
            (extract, Prompt::new(prompt.instruction.clone()).with_demos(answers)),
        ]
    }

    /// The prompt of an agent by that of its predictor that answers. What the demos called stays in DSPy.
    pub fn prompt(&self, extract: &Prompt) -> Prompt {
        let is_own =
            |name: &str| self.signature.field(name).is_some() || ![TRAJECTORY, "reasoning"].contains(&name);
        let demo = |demo: &Demo| {
            let fields = demo.fields.iter().filter(|(name, _)| is_own(name));
            with(demo, fields.map(|(name, value)| (name.clone(), value.clone())).collect())
        };
        Prompt::new(extract.instruction.clone()).with_demos(extract.demos.iter().map(demo).collect())
    }

    /// Where the predictor that answers is.
    pub fn answering(&self) -> String {
        let [_, extract] = self.paths();
        extract
    }

    /// The inputs of a demo.
    fn own(&self, demo: &Demo) -> Fields {
        let names = self.signature.inputs().iter().map(|field| &field.name);
        names.filter_map(|name| Some((name.clone(), demo.fields.get(name)?.clone()))).collect()
    }

    fn steps(&self, demo: &Demo) -> Vec<Demo> {
        let calls = calls(demo);
        let step = |at: usize| {
            let done = Call { thought: "", name: FINISH, arguments: &Value::Null, result: &Value::Null };
            let call = calls.get(at).unwrap_or(&done);
            let mut fields = self.own(demo);
            fields.insert(TRAJECTORY.to_owned(), told(calls.get(..at).unwrap_or_default()).into());
            let arguments = if call.arguments.is_object() { call.arguments.clone() } else { json!({}) };
            let next = [call.thought.into(), call.name.into(), arguments];
            fields.extend(NEXT.iter().map(|name| (*name).to_owned()).zip(next));
            with(demo, fields)
        };
        if calls.is_empty() { Vec::new() } else { (0..=calls.len()).take(MAX_STEPS).map(step).collect() }
    }

    /// The instruction of the predictor that calls tools, as DSPy 3.4.1 writes it.
    fn instruction(&self, own: &str) -> String {
        let listed = |fields: &[Field]| {
            fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
        };
        let (inputs, outputs) = (listed(self.signature.inputs()), listed(self.signature.outputs()));
        let finish = format!(
            "Marks the task as complete. That is, signals that all information for producing the outputs, i.e. \
             {outputs}, are now available to be extracted."
        );
        let none = Value::Object(Map::new());
        let tools = self.tools.iter().map(|tool| {
            let arguments = tool.parameters.get("properties").unwrap_or(&none);
            (tool.name.as_str(), tool.description.as_str(), arguments)
        });
        let lines = tools.chain([(FINISH, finish.as_str(), &none)]).enumerate().map(
            |(index, (name, words, arguments))| {
                let words = if words.is_empty() {
                    ".".to_owned()
                } else {
                    format!(", whose description is <desc>{}</desc>.", words.replace('\n', "  "))
                };
                format!("({}) {name}{words} It takes arguments {}.", index + 1, repr(arguments))
            },
        );
        let lines: Vec<String> = lines.collect();
        let own = if own.is_empty() { String::new() } else { format!("{own}\n\n") };
        format!(
            "{own}You are an Agent. In each episode, you will be given the fields {inputs} as input. And you can see \
             your past trajectory so far.\nYour goal is to use one or more of the supplied tools to collect any \
             necessary information for producing {outputs}.\n\nTo do this, you will interleave next_thought, \
             next_tool_name, and next_tool_args in each turn, and also when finishing the task.\nAfter each tool call, \
             you receive a resulting observation, which gets appended to your trajectory.\n\nWhen writing \
             next_thought, you may reason about the current situation and plan for future steps.\nWhen selecting the \
             next_tool_name and its next_tool_args, the tool must be one of:\n\n{}\nWhen providing `next_tool_args`, \
             the value inside the field must be in JSON format",
            lines.join("\n")
        )
    }
}

/// A demo with other fields.
fn with(demo: &Demo, fields: Fields) -> Demo {
    let mut other = demo.clone();
    other.fields = fields;
    other
}

/// One call of a trajectory.
struct Call<'d> {
    thought: &'d str,
    name: &'d str,
    arguments: &'d Value,
    result: &'d Value,
}

/// The calls of a demo, one after the other. Of calls that were made at once, the first has the thought.
fn calls(demo: &Demo) -> Vec<Call<'_>> {
    let turns = demo.fields.get(TRAJECTORY).and_then(Value::as_array).into_iter().flatten();
    let calls = turns.flat_map(|turn| {
        let thought = turn.get("thought").and_then(Value::as_str).unwrap_or_default();
        let calls = turn.get("calls").and_then(Value::as_array).into_iter().flatten();
        calls.enumerate().filter_map(move |(number, call)| {
            Some(Call {
                thought: if number == 0 { thought } else { "" },
                name: call.get("tool")?.as_str()?,
                arguments: call.get("arguments")?,
                result: call.get("result")?,
            })
        })
    });
    calls.collect()
}

/// Calls with their results, as a `dspy.ReAct` shows them to its predictors.
fn told(calls: &[Call<'_>]) -> String {
    let section = |name: &str, at: usize, text: &str| format!("[[ ## {name}_{at} ## ]]\n{text}");
    let text = |value: &Value| value.as_str().map_or_else(|| spaced_json(value), str::to_owned);
    let sections = calls.iter().enumerate().flat_map(|(at, call)| {
        [
            section("thought", at, call.thought),
            section("tool_name", at, call.name),
            section("tool_args", at, &text(call.arguments)),
            section("observation", at, &text(call.result)),
        ]
    });
    sections.collect::<Vec<_>>().join("\n\n").trim().to_owned()
}

/// A number whose exponent has a sign, as Python writes it.
fn signed_exponent(number: &str) -> String {
    match number.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => number.to_owned(),
    }
}

/// A value as Python's `repr` writes it.
fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => signed_exponent(&number.to_string()),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut written = String::from(quote);
            for letter in text.chars() {
                match letter {
                    '\\' => written.push_str("\\\\"),
                    '\n' => written.push_str("\\n"),
                    '\r' => written.push_str("\\r"),
                    '\t' => written.push_str("\\t"),
                    letter if letter.is_control() => {
                        written.push_str(&format!("\\x{:02x}", u32::from(letter)))
                    }
                    letter if letter == quote => written.extend(['\\', letter]),
                    letter => written.push(letter),
                }
            }
            written.push(quote);
            written
        }
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", repr(&Value::from(name.as_str())), repr(value))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}
