//! The program that works through a row: an agent, in each turn with the tools of that turn.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::{CallContext, Module, Predictor};
use promptopt_core::signature::Signature;
use promptopt_predict::{Agent, TRAJECTORY, Tool, ToolForm};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::tools_package::{Package, Row, Worker};

/// Of a row whose tools work, each call may take a request of its own. The longest turn has 34 calls.
const MAX_TURNS_WORKING: u32 = 40;
const MAX_TURNS: u32 = 3;
const INSTRUCTION: &str = "Do what is asked with the tools.";

/// Rows of all kinds, each with tools of its own.
pub(crate) struct FunctionCaller {
    agent: Agent,
    rows: Arc<HashMap<String, Row>>,
    package: Package,
    most_turns: usize,
}

impl FunctionCaller {
    pub(crate) fn new(rows: &[Row], package: &Package, form: ToolForm) -> Result<Self> {
        let signature =
            Signature::parse("history: history, question -> answer")?.with_instructions(INSTRUCTION);
        let works = rows.iter().any(|row| row.works);
        let max_turns = if works { MAX_TURNS_WORKING } else { MAX_TURNS };
        Ok(Self {
            agent: Agent::new("desk", signature).with_tool_form(form).with_max_turns(max_turns),
            rows: Arc::new(rows.iter().map(|row| (row.id.clone(), row.clone())).collect()),
            package: package.clone(),
            most_turns: rows.iter().map(|row| row.turns.len()).max().unwrap_or(1),
        })
    }
}

#[async_trait]
impl Module for FunctionCaller {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![&self.agent]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![&mut self.agent]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction> {
        let id = inputs.get("row").and_then(Value::as_str).unwrap_or_default();
        let row = self.rows.get(id).with_context(|| format!("there is no row `{id}`"))?;
        let worker = row.works.then(|| self.package.tools(id)).transpose()?;
        let worker = worker.map(|worker| Arc::new(Mutex::new(worker)));
        let (mut history, mut turns) = (Vec::new(), Vec::new());
        for turn in &row.turns {
            history.extend(turn.history.iter().cloned());
            let tools = row.tools(turn).into_iter();
            let agent = tools.fold(self.agent.clone(), |agent, definition| {
                agent.with_tool(RowTool { definition, worker: worker.clone() })
            });
            let asked = json!({"history": history, "question": turn.question});
            let asked: Fields =
                asked.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
            let prediction = agent.call(context, &asked).await?;
            let trajectory = prediction.get(TRAJECTORY).cloned().unwrap_or_default();
            let answer = prediction.get("answer");
            history.push(json!({"question": turn.question, TRAJECTORY: trajectory, "answer": answer}));
            turns.push(trajectory);
        }
        Ok(Prediction::new([("turns".to_owned(), Value::from(turns))].into_iter().collect::<Fields>()))
    }

    fn calls_per_rollout(&self) -> u64 {
        self.agent.calls_per_rollout() * self.most_turns as u64
    }

    fn calls_vary(&self) -> bool {
        true
    }
}

/// One agent whose tools are the same for all rows.
pub(crate) fn shared(rows: &[Row]) -> Result<Agent> {
    let signature = Signature::parse("question -> answer")?.with_instructions(INSTRUCTION);
    let row = rows.first().context("there are no rows that share their tools")?;
    let turn = row.turns.first().context("a row has no turn")?;
    let agent = Agent::new("desk", signature).with_max_turns(MAX_TURNS);
    let tools = row.tools(turn).into_iter();
    Ok(tools.fold(agent, |agent, definition| agent.with_tool(RowTool { definition, worker: None })))
}

/// A tool of a row. Where it has no process it does nothing.
struct RowTool {
    definition: ToolDefinition,
    worker: Option<Arc<Mutex<Worker>>>,
}

#[async_trait]
impl Tool for RowTool {
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call(&self, _: &CallContext, arguments: Map<String, Value>) -> Result<Value> {
        let Some(worker) = &self.worker else { return Ok("done".into()) };
        let call = json!({"name": self.definition.name, "arguments": arguments});
        let answer = worker.lock().await.ask(&call).await?;
        Ok(answer.get("result").cloned().unwrap_or_default())
    }
}
