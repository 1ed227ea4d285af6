//! A simulated model that calls tools, well or with the mistakes that real ones make.

use std::collections::HashMap;

use async_trait::async_trait;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{
    Attempts, Completion, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile,
    Role, ToolCall, ToolChoice,
};
use promptopt_core::money::Price;
use serde_json::{Value, json};

use crate::call_fault::number_in;
use crate::simulated::{TAUGHT, UNTAUGHT, coin, states, usage};
use crate::{CallFault, Knowledge, Rule, SimulatedLm};

/// What stands in the system message of an agent that tells of its tools in words.
const IN_WORDS: &str = "Action Input: its arguments";
const LAST_TURN: &str = "No tools can be called any more.";

/// What a caller knows of a talk: what is asked in each turn, and which calls are right.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    turns: Vec<Turn>,
}

#[derive(Debug, Clone)]
pub(crate) struct Turn {
    question: String,
    pub(crate) steps: Vec<Vec<ToolCall>>,
}

impl Talk {
    /// With one more turn: its question, and the calls of each of its steps.
    #[must_use]
    pub fn with_turn(mut self, question: &str, steps: Vec<Vec<ToolCall>>) -> Self {
        self.turns.push(Turn { question: question.trim().to_owned(), steps });
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Perfect,
    Learning,
    Always(CallFault),
}

/// A simulated model that knows talks and the calls that are right in them, and makes them: natively where a request has
/// tools, in words where the system message tells of tools so. A test of what carries the calls, and not of any model.
///
/// [Perfect](Self::new) it makes the right calls. [Learning](Self::learning) it trips over one [`CallFault`] in a talk, three
/// times of four, unless the prompt teaches it: an instruction or the description of a tool that states what to do, or a
/// demo that shows it. As a prompt model it writes what it sees stated, and half of the time what a checker's complaint
/// lets it conclude. Questions are read from the chat format.
///
/// A pure function of its seed and the request.
#[derive(Debug)]
pub struct ToolCaller {
    talks: Vec<Talk>,
    /// The questions of a talk up to a turn -> the talk, and the turn.
    known: HashMap<Vec<String>, (usize, usize)>,
    manner: Manner,
    by_tool: bool,
    seed: u64,
}

impl ToolCaller {
    /// A caller without faults. Of talks that ask the same the first one counts.
    pub fn new(talks: impl IntoIterator<Item = Talk>, seed: u64) -> Self {
        let talks: Vec<Talk> = talks.into_iter().collect();
        let mut known = HashMap::new();
        for (place, talk) in talks.iter().enumerate() {
            let questions: Vec<String> = talk.turns.iter().map(|turn| turn.question.clone()).collect();
            for number in 0..questions.len() {
                let asked = questions.get(..=number).unwrap_or_default().to_vec();
                known.entry(asked).or_insert((place, number));
            }
        }
        Self { talks, known, manner: Manner::Perfect, by_tool: false, seed }
    }

    /// One with a fault in each talk, which a prompt can keep it from.
    #[must_use]
    pub fn learning(mut self) -> Self {
        self.manner = Manner::Learning;
        self
    }

    /// As [`learning`](Self::learning), where each tool has a trap of its own.
    #[must_use]
    pub fn learning_by_tool(mut self) -> Self {
        self.by_tool = true;
        self.learning()
    }

    /// One that makes a mistake wherever it can be made.
    #[must_use]
    pub fn always(mut self, fault: CallFault) -> Self {
        self.manner = Manner::Always(fault);
        self
    }

    /// Whether a mistake can be made in a talk whose turns all offer these tools.
    pub fn can_make(fault: CallFault, talk: &Talk, offered: &[String]) -> bool {
        talk.turns.iter().enumerate().any(|(number, turn)| fault.applies(turn, number, offered))
    }

    /// What it says as an agent's model; `None` where no agent asks.
    fn turn(&self, request: &LmRequest) -> Option<Completion> {
        let system = request.messages.first().map_or("", Message::text);
        let is_native = !request.tools.is_empty();
        if !is_native && !system.contains(IN_WORDS) {
            return None;
        }
        let done = || Completion::new("[[ ## answer ## ]]\nIt is done.\n\n[[ ## completed ## ]]");
        let asked: Vec<(usize, String)> = request.messages.iter().enumerate().filter_map(question).collect();
        let at = |begin: usize| {
            let asked = asked.get(begin..)?;
            let questions: Vec<String> = asked.iter().map(|(_, question)| question.clone()).collect();
            let (talk, number) = self.known.get(&questions)?;
            Some((self.talks.get(*talk)?, *number, asked.first()?.0, asked.last()?.0))
        };
        let Some((talk, number, begin, now)) = (0..asked.len()).find_map(at) else { return Some(done()) };
        let (before, _) = request.messages.split_at(begin.min(request.messages.len()));
        let since = request.messages.get(now..).unwrap_or_default();
        let is_over = request.tool_choice == Some(ToolChoice::None)
            || since.last().is_some_and(|last| last.text().contains(LAST_TURN));
        let made = since.iter().filter(|message| is_call(message)).count();
        let steps = self.steps(talk, number, before, request);
        let Some(step) = steps.into_iter().nth(made).filter(|_| !is_over) else { return Some(done()) };
        if is_native {
            return Some(
                Completion::new("").with_tool_calls(step).with_finish_reason(FinishReason::ToolCalls),
            );
        }
        let written =
            step.iter().map(|call| format!("Action: {}\nAction Input: {}", call.name, call.arguments));
        Some(Completion::new(written.collect::<Vec<_>>().join("\n")))
    }

    /// The steps that it takes in a turn.
    fn steps(
        &self,
        talk: &Talk,
        number: usize,
        before: &[Message],
        request: &LmRequest,
    ) -> Vec<Vec<ToolCall>> {
        let Some(turn) = talk.turns.get(number) else { return Vec::new() };
        let offered = offered(request);
        let applies = |fault: &CallFault| fault.applies(turn, number, &offered);
        let fault = match self.manner {
            Manner::Perfect => None,
            Manner::Always(fault) => Some(fault).filter(applies),
            // In a talk of several turns it is the second one that is hard.
            Manner::Learning if number != talk.turns.len().saturating_sub(1).min(1) => None,
            Manner::Learning => {
                let trap = self.trap(turn, number, &offered);
                let temperature = request.sampling.temperature;
                let hash = ContentHash::of(&(self.seed, before, &turn.question, temperature));
                let is_right = |fault: CallFault| {
                    let taught = self.taught(fault, turn, before, request);
                    coin(hash, "call") < if taught { TAUGHT } else { UNTAUGHT }
                };
                trap.filter(|fault| !is_right(*fault))
            }
        };
        match fault {
            Some(fault) => fault.spoil(turn.steps.clone(), &offered),
            None => turn.steps.clone(),
        }
    }

    /// The mistake that a turn invites.
    fn trap(&self, turn: &Turn, number: usize, offered: &[String]) -> Option<CallFault> {
        let about = self.tool(turn).unwrap_or(&turn.question);
        let applies = |fault: &CallFault| fault.applies(turn, number, offered) && !self.by_tool;
        // Those that every call of a tool invites.
        let own = [CallFault::InventedArgument, CallFault::BrokenJson].into_iter().filter(|_| self.by_tool);
        let all: Vec<CallFault> = CallFault::ALL.into_iter().filter(applies).chain(own).collect();
        let place = (coin(ContentHash::of(&about), "trap") * all.len() as f64) as usize;
        all.get(place).copied()
    }

    /// The tool whose trap a turn holds, where each tool has its own.
    fn tool<'t>(&self, turn: &'t Turn) -> Option<&'t str> {
        turn.steps.iter().flatten().next().map(|call| call.name.as_str()).filter(|_| self.by_tool)
    }

    /// Whether a prompt keeps it from a mistake.
    fn taught(&self, fault: CallFault, turn: &Turn, before: &[Message], request: &LmRequest) -> bool {
        let tool = self.tool(turn);
        let rule = fault.rule(tool);
        let of_the_tool = request.tools.iter().any(|known| {
            tool.is_some_and(|tool| tool == known.name) && states(&known.description, "", &rule.value)
        });
        let demos = before.get(1..).unwrap_or_default();
        let is_right_tool = |call: &ToolCall| turn.steps.iter().flatten().any(|own| own.name == call.name);
        let shown =
            |shows: &dyn Fn(&[ToolCall]) -> bool| demos.iter().any(|message| shows(&message.tool_calls));
        is_told(request, &rule)
            || of_the_tool
            || match fault {
                CallFault::OneOfSeveral => shown(&|calls| calls.len() > 1),
                CallFault::NumberAsText => shown(&|calls| calls.iter().any(|call| number_in(call).is_some())),
                CallFault::WrongTool | CallFault::InventedArgument => {
                    shown(&|calls| calls.iter().any(is_right_tool))
                }
                CallFault::CallsAnyway => demos.windows(2).any(|pair| {
                    let [question, answer] = pair else { return false };
                    question.role == Role::User && answer.role == Role::Assistant && !is_call(answer)
                }),
                CallFault::BrokenJson => shown(&|calls| !calls.is_empty() && !self.by_tool),
                CallFault::ForgetsTurn => false,
            }
    }

    /// The rules there are.
    fn rules(&self) -> Vec<(CallFault, Rule)> {
        if !self.by_tool {
            return CallFault::ALL.into_iter().map(|fault| (fault, fault.rule(None))).collect();
        }
        let mut rules: Vec<(CallFault, Rule)> = Vec::new();
        for turn in self.talks.iter().flat_map(|talk| &talk.turns) {
            let Some((fault, tool)) = self.trap(turn, 0, &[]).zip(self.tool(turn)) else { continue };
            if !rules.iter().any(|(_, rule)| rule.cue == tool) {
                rules.push((fault, fault.rule(Some(tool))));
            }
        }
        rules
    }

    /// What it writes as a prompt model: what a [`SimulatedLm`] notices that is told what the complaints mean.
    async fn write(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let rules = self.rules();
        let text: String = request.messages.iter().map(Message::text).collect::<Vec<_>>().join("\n");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let is_seen = |fault: CallFault, rule: &Rule| {
            let (.., complaints) = fault.words();
            lines.iter().enumerate().any(|(place, line)| {
                let near = lines.get(place..(place + 3).min(lines.len())).unwrap_or_default();
                complaints.iter().any(|complaint| line.contains(complaint))
                    && (!self.by_tool || near.iter().any(|line| line.contains(&rule.cue)))
            })
        };
        let seen = rules.iter().filter(|(fault, rule)| is_seen(*fault, rule));
        let concluded: Vec<String> =
            seen.map(|(_, rule)| format!("{}\n{}\n\n-\n-\n-", rule.cue, rule.value)).collect();
        let mut request = request.clone();
        if let Some(last) = request.messages.last_mut().filter(|_| !concluded.is_empty()) {
            *last = Message::user(format!("{}\n-\n-\n-\n{}", last.text(), concluded.join("\n")));
        }
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        SimulatedLm::new(Knowledge::Rules(rules), self.seed).complete(&request, attempts).await
    }
}

/// Whether an instruction or the description of a tool states a rule.
pub(crate) fn is_told(request: &LmRequest, rule: &Rule) -> bool {
    let instruction = request.messages.first().map_or("", Message::text);
    let descriptions = request.tools.iter().map(|tool| tool.description.as_str());
    std::iter::once(instruction).chain(descriptions).any(|text| states(text, &rule.cue, &rule.value))
}

/// A call of a tool.
pub(crate) fn call(name: &str, arguments: &Value) -> Completion {
    let calls = vec![ToolCall::new("", name, arguments.to_string())];
    Completion::new("").with_tool_calls(calls).with_finish_reason(FinishReason::ToolCalls)
}

/// Whether a message calls tools, natively or in words.
fn is_call(message: &Message) -> bool {
    let in_words = || message.text().lines().any(|line| line.starts_with("Action:"));
    message.role == Role::Assistant && (!message.tool_calls.is_empty() || in_words())
}

/// The question in a user's message.
fn question((place, message): (usize, &Message)) -> Option<(usize, String)> {
    let text = message.text();
    let (_, question) = text.split_once("[[ ## question ## ]]\n").filter(|_| message.role == Role::User)?;
    let question = question.split("\n\nRespond with ").next().unwrap_or_default();
    let question = question.split(&format!("\n\n{LAST_TURN}")).next().unwrap_or_default();
    Some((place, question.trim().to_owned()))
}

/// The names of the tools that a request offers.
fn offered(request: &LmRequest) -> Vec<String> {
    if !request.tools.is_empty() {
        return request.tools.iter().map(|tool| tool.name.clone()).collect();
    }
    let system = request.messages.first().map_or("", Message::text);
    let told = system.lines().filter_map(|line| line.strip_prefix("- ")?.split_once('('));
    told.map(|(name, _)| name.to_owned()).collect()
}

#[async_trait]
impl LanguageModel for ToolCaller {
    fn profile(&self) -> ModelProfile {
        let id = json!({"manner": format!("{:?}", self.manner), "by_tool": self.by_tool, "seed": self.seed});
        ModelProfile::new(format!("simulated tool caller {id}")).with_price(Price::FREE)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let Some(completion) = self.turn(request) else { return self.write(request, attempts).await };
        let completions = vec![completion];
        let usage = usage(request, &completions);
        Ok(LmReply::new(completions, usage))
    }
}

#[cfg(test)]
#[path = "tool_caller_tests.rs"]
mod tests;
