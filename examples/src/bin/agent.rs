//! An agent with two tools, whose instruction GEPA improves.
//!
//! The task: say whether a customer gets the money back. The answer follows from the order, which one tool finds, and from the
//! policy for its kind of goods, which another one tells. Nothing in the instruction says so; the metric does, in words.
//!
//! `cargo run -p promptopt-examples --bin agent`, and with `-- --help` what it can be told.

use promptopt::prelude::*;
use promptopt_examples::{Session, stand_in};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the orders are of, by their last digit.
const GOODS: [&str; 3] = ["books", "food", "software"];
/// Within how many days what is returned.
const DAYS: [u64; 3] = [30, 2, 14];

const RULES: [&str; 2] = [
    "Find the order first, because the question does not say what it is of.",
    "Then look up the policy for its kind of goods, and compare the days.",
];

#[derive(Deserialize, JsonSchema)]
struct FindOrder {
    /// The number of the order, such as 1042.
    number: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Policy {
    /// The kind of goods, such as books.
    goods: String,
}

/// The goods of an order, and how many days ago it came.
fn order(number: u64) -> (&'static str, u64) {
    let kind = (number % 3) as usize;
    (GOODS.get(kind).copied().unwrap_or_default(), number / 3 % 40)
}

fn days(goods: &str) -> Option<u64> {
    let kind = GOODS.iter().position(|known| *known == goods)?;
    DAYS.get(kind).copied()
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Refund {
    Yes,
    No,
}

/// Say whether the customer gets the money back.
#[derive(Signature)]
struct Desk {
    #[input]
    question: String,
    #[output]
    refund: Refund,
}

fn desk() -> Agent<Desk> {
    let find = tool_fn("find_order", "Finds an order.", |find: FindOrder| async move {
        let (goods, days_ago) = order(find.number);
        Ok(serde_json::json!({"goods": goods, "days_ago": days_ago}))
    });
    let policy =
        tool_fn("policy", "Tells within how many days goods are taken back.", |policy: Policy| async move {
            days(&policy.goods).ok_or_else(|| anyhow::anyhow!("there is no policy for {}", policy.goods))
        });
    Agent::typed("desk").with_tool(find).with_tool(policy).with_max_turns(5)
}

fn examples(numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<Example>> {
    let example = |number: u64| {
        let (goods, days_ago) = order(number);
        let is_in_time = days(goods).is_some_and(|days| days_ago <= days);
        let question = format!("I do not like what came with order {number}. Do I get my money back?");
        let refund = if is_in_time { Refund::Yes } else { Refund::No };
        Ok(Example::typed(Desk { question, refund })?)
    };
    numbers.map(example).collect()
}

/// What the agent gave, with the calls that led to it.
#[derive(Deserialize)]
struct Given {
    refund: Refund,
    trajectory: serde_json::Value,
}

/// A half for the right answer and a quarter for each step that leads there; and what is missing, in words.
fn judge(expected: &DeskOutput, given: &Given) -> Score {
    let is_right = given.refund == expected.refund;
    let calls = given.trajectory.to_string();
    let (finds, compares) = (calls.contains("find_order"), calls.contains("policy"));
    let missing = match (finds, compares) {
        (false, _) => RULES[0],
        (true, false) => RULES[1],
        _ => "",
    };
    let points = [(0.5, is_right), (0.25, finds), (0.25, compares)];
    let value = points.iter().filter(|(_, earned)| *earned).map(|(points, _)| points).sum();
    Score::new(value).with_feedback(missing)
}

/// Stands in for a real model, so that the example runs anywhere: it calls the tools that its instruction tells it to call,
/// and guesses otherwise. Asked for an instruction, it collects the feedback that it was shown.
pub(crate) async fn clerk(request: LmRequest) -> Result<LmReply, LmError> {
    let says = |rule: &str| stand_in::says(&request, rule);
    if request.tools.is_empty() {
        let rules: Vec<&str> = RULES.into_iter().filter(|rule| says(rule)).collect();
        let text = format!("Say whether the customer gets the money back. {}", rules.join(" "));
        return Ok(stand_in::text(&request, text.trim()));
    }
    // What came before the question is the instruction and demos.
    let is_question = |message: &Message| message.role == Role::User && message.text().contains("order ");
    let asked = request.messages.iter().rposition(is_question).unwrap_or_default();
    let (question, rest) = request.messages[asked..].split_first().unzip();
    let number = question.and_then(|message: &Message| {
        message.text().split("order ").nth(1)?.split('.').next()?.parse::<u64>().ok()
    });
    let results = rest.into_iter().flatten().filter(|message| message.role == Role::Tool);
    let results: Vec<&str> = results.map(|message| message.text()).collect();
    let call = |name: &str, arguments: serde_json::Value| {
        let calls = vec![ToolCall::new("", name, arguments.to_string())];
        let usage = Usage::call(stand_in::tokens(&request), 20);
        Ok(LmReply::new(vec![Completion::new("").with_tool_calls(calls)], usage))
    };
    let found: Option<serde_json::Value> = results.first().and_then(|found| serde_json::from_str(found).ok());
    let refund = match (&found, results.get(1).and_then(|days| days.parse::<u64>().ok())) {
        (None, _) if says(RULES[0]) => {
            return call("find_order", serde_json::json!({"number": number.unwrap_or_default()}));
        }
        (Some(order), None) if says(RULES[1]) => {
            return call("policy", serde_json::json!({"goods": order["goods"]}));
        }
        (Some(order), Some(days)) => order["days_ago"].as_u64().is_some_and(|ago| ago <= days),
        _ => number.is_some_and(|number| number % 2 == 0),
    };
    Ok(stand_in::outputs(&request, [("refund", if refund { "yes" } else { "no" })]))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut program = desk().with_metric(metric_typed(judge));
    let train = examples(1000..1060)?;
    let session = Session::begin(&program, &train, lm_fn("clerk", clerk))?;
    let optimizer = GEPA::builder().max_calls(600).build();
    let outcome = session.optimizer(optimizer).compile(&mut program, train).await?;

    let test: Vec<_> = examples(2000..2040)?.into_iter().map(Arc::new).collect();
    println!("the instruction now: {}", Module::predictors(&program)[0].prompt().instruction);
    session.finish(&program, outcome, &test).await
}
