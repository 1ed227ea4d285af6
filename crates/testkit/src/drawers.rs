//! A task for an agent, and a model that calls tools.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example, Prediction, Score};
use promptopt_core::lm::{
    Completion, LanguageModel, LmReply, LmRequest, Message, ModelProfile, Role, ToolChoice,
};
use promptopt_core::money::Price;
use promptopt_core::program::{Metric, metric_fn};
use promptopt_core::signature::Signature;
use promptopt_predict::{Agent, tool_fn};
use serde_json::json;

use crate::hidden_rules::VALUES;
use crate::simulated::{TAUGHT, UNTAUGHT, coin, usage};
use crate::tool_caller::{call, is_told};
use crate::{HiddenRules, Rule, around};

const CONTENTS: [&str; 6] = ["saffron", "copper", "linen", "walnut", "pewter", "velvet"];

/// Questions that each mention a cue. What answers one lies in a drawer, which only a tool opens; which drawer belongs to
/// which cue, nothing tells but the examples and the metric's feedback.
///
/// The model of the task opens the right drawer when the prompt or a tool's description teaches it, and another one three times of four otherwise. It
/// answers with what it finds. As a prompt model it is a [`SimulatedLm`](crate::SimulatedLm).
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
                if VALUES.contains(&open.drawer.as_str()) {
                    Ok(content(&open.drawer))
                } else {
                    Err(anyhow::anyhow!("there is no drawer {}", open.drawer))
                }
            });
        let list = tool_fn("list_drawers", "Lists the labels of all drawers.", |_: ListDrawers| async {
            Ok(VALUES)
        });
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
        let caller = Arc::new(Caller { rules: self.rules.rules().to_vec(), seed: self.seed ^ seed });
        let id = format!("drawers seed={}", caller.seed);
        let model = around(self.rules.model(seed), move |next, request| {
            let caller = Arc::clone(&caller);
            async move {
                if request.tools.is_empty() {
                    return next.complete(&request).await;
                }
                let completions = vec![caller.turn(&request)];
                let usage = usage(&request, &completions);
                Ok(LmReply::new(completions, usage))
            }
        });
        Arc::new(model.with_profile(ModelProfile::new(id).with_price(Price::FREE)))
    }
}

/// What is in a drawer.
fn content(drawer: &str) -> String {
    let place = VALUES.iter().position(|code| *code == drawer).unwrap_or_default();
    CONTENTS.get(place).copied().unwrap_or("nothing").to_owned()
}

/// Calls tools where a request has some.
struct Caller {
    rules: Vec<Rule>,
    seed: u64,
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
            return call("list_drawers", &json!({}));
        };
        let chance = if teaches(request, before, rule) { TAUGHT } else { UNTAUGHT };
        let drawer = if coin(hash, "drawer") < chance {
            rule.value.as_str()
        } else {
            let others: Vec<&&str> = VALUES.iter().filter(|code| **code != rule.value).collect();
            others.get((coin(hash, "wrong") * others.len() as f64) as usize).map_or("K4", |code| **code)
        };
        // One that is not sure looks at the list first, as models do.
        if results.is_empty() && coin(hash, "list") < 0.3 {
            return call("list_drawers", &json!({}));
        }
        call("open_drawer", &json!({"drawer": drawer}))
    }
}

/// Whether the instruction or a tool's description says which drawer a cue belongs to, or a demo shows it.
fn teaches(request: &LmRequest, before: &[Message], rule: &Rule) -> bool {
    let says = is_told(request, rule);
    let opens =
        |message: &Message| message.tool_calls.iter().any(|call| call.arguments.contains(&rule.value));
    let mut is_about_it = false;
    says || before.iter().skip(1).any(|message| {
        is_about_it =
            if message.role == Role::User { message.text().contains(&rule.cue) } else { is_about_it };
        is_about_it && opens(message)
    })
}
