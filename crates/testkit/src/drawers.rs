//! A task for an agent, and a model that calls tools.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, Prediction, Score};
use promptopt_core::lm::{
    Attempts, Completion, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile,
    Role, ToolCall, ToolChoice,
};
use promptopt_core::money::{Price, Usage};
use promptopt_core::program::{Metric, metric_fn};
use promptopt_core::signature::Signature;
use promptopt_predict::{Agent, tool_fn};
use serde_json::json;

use crate::simulated::{TAUGHT, UNTAUGHT, coin};
use crate::{HiddenRules, Rule, SimulatedLm};

const CONTENTS: [&str; 6] = ["saffron", "copper", "linen", "walnut", "pewter", "velvet"];

/// Questions that each mention a cue. What answers one lies in a drawer, which only a tool opens; which drawer belongs to
/// which cue, nothing tells but the examples and the metric's feedback.
///
/// The model of the task opens the right drawer when the prompt teaches it, and another one three times of four otherwise. It
/// answers with what it finds. As a prompt model it is a [`SimulatedLm`].
#[derive(Debug, Clone)]
pub struct Drawers {
    rules: HiddenRules,
    seed: u64,
}

impl Drawers {
    /// A task with up to sixteen cues.
    pub fn new(cues: usize, seed: u64) -> Self {
        Self { rules: HiddenRules::new(cues, seed), seed }
    }

    /// Which drawer belongs to which cue, which only tests may know.
    pub fn rules(&self) -> &[Rule] {
        self.rules.rules()
    }

    /// The first `n` examples, `question -> answer`.
    pub fn examples(&self, n: usize) -> Vec<Example> {
        let question = |example: Example| {
            let drawer = example.get_str("answer").unwrap_or_default().to_owned();
            let question = example.get_str("question").unwrap_or_default().to_owned();
            Example::new(
                [("question", question), ("answer", content(&drawer)), ("drawer", drawer)],
                ["question"],
            )
        };
        self.rules.examples(n).into_iter().map(question).collect()
    }

    /// The program: an agent at `desk` with the tools `open_drawer` and `list_drawers`.
    pub fn agent(&self) -> Agent {
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct OpenDrawer {
            /// The label on the drawer, such as K4.
            drawer: String,
        }
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct ListDrawers {}

        let question = "question -> answer";
        let signature =
            Signature::parse(question).map(|it| it.with_instructions("Answer with what is in the drawer."));
        let signature = signature.unwrap_or_else(|error| unreachable!("{question}: {error}"));
        let open =
            tool_fn("open_drawer", "Opens a drawer and says what is in it.", |open: OpenDrawer| async move {
                if CODES.contains(&open.drawer.as_str()) {
                    Ok(content(&open.drawer))
                } else {
                    Err(anyhow::anyhow!("there is no drawer {}", open.drawer))
                }
            });
        let list =
            tool_fn("list_drawers", "Lists the labels of all drawers.", |_: ListDrawers| async { Ok(CODES) });
        Agent::new("desk", signature).with_tool(open).with_tool(list).with_max_turns(4)
    }

    /// Whether the answer is right, with the right drawer as feedback where it is not.
    pub fn metric(&self) -> impl Metric + use<> {
        metric_fn(|example: &Example, prediction: &Prediction| {
            let is_right = prediction.get_str("answer") == example.get_str("answer");
            let question = example.get_str("question").unwrap_or_default();
            let drawer = example.get_str("drawer").unwrap_or_default();
            let feedback = format!("for the question\n{question}\nthe drawer is\n{drawer}");
            Score::from(is_right).with_feedback(if is_right { String::new() } else { feedback })
        })
    }

    /// The model of the task, which is its prompt model as well.
    pub fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        let writer = self.rules.model(seed);
        Arc::new(Caller { rules: self.rules.rules().to_vec(), writer, seed: self.seed ^ seed })
    }
}

/// The labels of the drawers.
const CODES: [&str; 6] = ["K4", "M7", "P2", "R9", "T5", "W3"];

/// What is in a drawer.
fn content(drawer: &str) -> String {
    let place = CODES.iter().position(|code| *code == drawer).unwrap_or_default();
    CONTENTS.get(place).copied().unwrap_or("nothing").to_owned()
}

/// Calls tools where a request has some, and writes otherwise.
struct Caller {
    rules: Vec<Rule>,
    writer: SimulatedLm,
    seed: u64,
}

#[async_trait]
impl LanguageModel for Caller {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new(format!("drawers seed={}", self.seed)).with_price(Price::FREE)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        if request.tools.is_empty() {
            return self.writer.complete(request, attempts).await;
        }
        let tokens = |text: &str| (text.len() / 4) as u64 + 1;
        let prompt = request.messages.iter().map(|message| tokens(message.text())).sum();
        let completion = self.turn(request);
        let written = tokens(&completion.text) + 8 * completion.tool_calls.len() as u64;
        Ok(LmReply::new(vec![completion], Usage::call(prompt, written)))
    }
}

impl Caller {
    fn turn(&self, request: &LmRequest) -> Completion {
        let messages = &request.messages;
        // What is told of the last turn is no question.
        let is_question =
            |message: &Message| message.role == Role::User && message.text().contains("## question ##");
        let at = messages.iter().rposition(is_question).unwrap_or_default();
        let (before, rest) = messages.split_at(at);
        let results: Vec<&str> =
            rest.iter().filter(|one| one.role == Role::Tool).map(Message::text).collect();
        let found = results.iter().find(|result| CONTENTS.contains(result));
        if let Some(found) = found {
            return Completion::new(format!("[[ ## answer ## ]]\n{found}\n\n[[ ## completed ## ]]"));
        }
        if request.tool_choice == Some(ToolChoice::None) {
            return Completion::new("[[ ## answer ## ]]\nnothing\n\n[[ ## completed ## ]]");
        }
        let question = rest.first().map_or("", Message::text);
        let hash = ContentHash::of(&(self.seed, before, question, request.sampling.temperature));
        let Some(rule) = self.rules.iter().find(|rule| question.contains(&rule.cue)) else {
            return calls([("list_drawers", json!({}))]);
        };
        let chance = if teaches(before, rule) { TAUGHT } else { UNTAUGHT };
        let drawer = if coin(hash, "drawer") < chance {
            rule.value.as_str()
        } else {
            let others: Vec<&&str> = CODES.iter().filter(|code| **code != rule.value).collect();
            others.get((coin(hash, "wrong") * others.len() as f64) as usize).map_or("K4", |code| **code)
        };
        // One that is not sure looks at the list first, as models do.
        if results.is_empty() && coin(hash, "list") < 0.3 {
            return calls([("list_drawers", json!({}))]);
        }
        calls([("open_drawer", json!({"drawer": drawer}))])
    }
}

fn calls<const N: usize>(calls: [(&str, serde_json::Value); N]) -> Completion {
    let calls =
        calls.into_iter().map(|(name, arguments)| ToolCall::new("", name, arguments.to_string())).collect();
    Completion::new("").with_tool_calls(calls).with_finish_reason(FinishReason::ToolCalls)
}

/// Whether the instruction says which drawer a cue belongs to, or a demo shows it.
fn teaches(before: &[Message], rule: &Rule) -> bool {
    let instruction = before.first().map_or("", Message::text);
    let says = instruction
        .split(['.', '\n'])
        .any(|sentence| sentence.contains(&rule.cue) && sentence.contains(&rule.value));
    let opens =
        |message: &Message| message.tool_calls.iter().any(|call| call.arguments.contains(&rule.value));
    let mut is_about_it = false;
    says || before.iter().skip(1).any(|message| {
        is_about_it =
            if message.role == Role::User { message.text().contains(&rule.cue) } else { is_about_it };
        is_about_it && opens(message)
    })
}
