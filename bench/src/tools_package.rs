//! The Berkeley Function Calling Leaderboard: its rows, the tools of its rows at work, and its checkers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use promptopt_core::data::{Example, Prediction, Score, plain_text, shorten};
use promptopt_core::lm::{ToolCall, ToolDefinition};
use promptopt_core::program::{CallContext, Metric};
use promptopt_predict::TRAJECTORY;
use promptopt_testkit::{CallFault, Talk, ToolCaller};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::search_peers::installed;

const BFCL: &str = "2026.3.23";
/// What the tools of its rows import. Its other dependencies are clients of providers and embedded models.
const MPMATH: &str = "1.3.0";
const SCRIPT: &str = "bench/bfcl/tasks.py";
/// The most calls of one step, which is what an agent runs at once.
const MAX_CALLS: usize = 32;

/// The package in an environment of its own.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    python: PathBuf,
}

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) kind: String,
    tools: Vec<Definition>,
    pub(crate) turns: Vec<Turn>,
    /// Whether its tools do something.
    pub(crate) works: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Definition {
    name: String,
    description: String,
    parameters: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Turn {
    /// What was said before, as messages.
    pub(crate) history: Vec<Value>,
    pub(crate) question: String,
    /// The tools that are offered.
    tools: Vec<String>,
    /// The calls that are right.
    calls: Vec<RightCall>,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
struct RightCall {
    name: String,
    arguments: Value,
}

impl Row {
    /// The tools of a turn.
    pub(crate) fn tools(&self, turn: &Turn) -> Vec<ToolDefinition> {
        let offered = self.tools.iter().filter(|tool| turn.tools.contains(&tool.name));
        offered
            .map(|tool| ToolDefinition::new(&tool.name, &tool.description, tool.parameters.clone()))
            .collect()
    }

    /// What a simulated caller knows of it. Where tools work, every second row has one call a step, as where the next call
    /// depends on the last result.
    pub(crate) fn talk(&self) -> Talk {
        let one_by_one = self.works && self.id.ends_with(['1', '3', '5', '7', '9']);
        let steps = |turn: &Turn| -> Vec<Vec<ToolCall>> {
            let call = |call: &RightCall| ToolCall::new("", &call.name, call.arguments.to_string());
            let calls: Vec<ToolCall> = turn.calls.iter().map(call).collect();
            calls.chunks(if one_by_one { 1 } else { MAX_CALLS }).map(<[_]>::to_vec).collect()
        };
        self.turns.iter().fold(Talk::default(), |talk, turn| talk.with_turn(&turn.question, steps(turn)))
    }

    /// Whether a caller can make a mistake in it.
    pub(crate) fn can_have(&self, fault: CallFault) -> bool {
        let offered: Vec<String> = self.turns.first().map(|turn| turn.tools.clone()).unwrap_or_default();
        ToolCaller::can_make(fault, &self.talk(), &offered)
    }

    /// The row as an example: what is asked, with the calls that are right as a label.
    pub(crate) fn example(&self, inputs: &[&'static str]) -> Example {
        let questions: Vec<&str> = self.turns.iter().map(|turn| turn.question.as_str()).collect();
        let calls: Vec<&RightCall> = self.turns.iter().flat_map(|turn| &turn.calls).collect();
        let fields = [
            ("question", Value::from(questions.join("\n"))),
            ("row", self.id.clone().into()),
            ("calls", json!(calls).to_string().into()),
        ];
        Example::new(fields, inputs.iter().copied())
    }
}

impl Package {
    pub(crate) fn install() -> Result<Self> {
        let packages = ["--no-deps", &format!("bfcl-eval=={BFCL}"), &format!("mpmath=={MPMATH}")];
        let python = std::path::absolute(installed(&format!("bfcl-eval-{BFCL}"), &packages)?)?;
        ensure!(Path::new(SCRIPT).exists(), "{SCRIPT} is not there; run this from the root of the workspace");
        Ok(Self { python })
    }

    /// Some rows of each kind, or all of them where the number is 0.
    pub(crate) async fn rows(&self, seed: u64, count: usize) -> Result<Vec<Row>> {
        let folder = tempfile::tempdir()?;
        let arguments = ["rows", &seed.to_string(), &count.to_string()].map(str::to_owned);
        let status =
            Command::new(&self.python).arg(SCRIPT).args(arguments).arg(folder.path()).status().await?;
        ensure!(status.success(), "{SCRIPT} ended with {status}");
        let text = std::fs::read_to_string(folder.path().join("rows.jsonl"))?;
        text.lines().map(|line| serde_json::from_str(line).context("reading a row")).collect()
    }

    /// The tools of a row, in a process of their own.
    pub(crate) fn tools(&self, row: &str) -> Result<Worker> {
        Worker::start(&self.python, &["tools", row])
    }

    pub(crate) fn judge(&self) -> Result<Judge> {
        Ok(Judge { worker: Arc::new(Mutex::new(Worker::start(&self.python, &["judge"])?)) })
    }
}

/// A process that answers each line with one.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(python: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(python);
        command.arg(SCRIPT).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", python.display()))?;
        let input = child.stdin.take().context("it has no standard input")?;
        let output = BufReader::new(child.stdout.take().context("it has no standard output")?).lines();
        Ok(Self { child, input, output })
    }

    pub(crate) async fn ask(&mut self, question: &Value) -> Result<Value> {
        self.input.write_all(format!("{question}\n").as_bytes()).await?;
        let line = self.output.next_line().await?;
        let Some(line) = line else {
            let status = self.child.wait().await?;
            anyhow::bail!("{SCRIPT} ended with {status}");
        };
        Ok(serde_json::from_str(&line)?)
    }
}

/// The package's checkers as a metric: right or wrong, and why.
#[derive(Clone)]
pub(crate) struct Judge {
    worker: Arc<Mutex<Worker>>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    valid: bool,
    error: String,
}

#[async_trait]
impl Metric for Judge {
    async fn score(&self, _: &CallContext, example: &Example, prediction: &Prediction) -> Result<Score> {
        let turns: Vec<Value> = match prediction.get("turns") {
            Some(Value::Array(turns)) => turns.iter().map(steps).collect(),
            _ => prediction.get(TRAJECTORY).map(steps).into_iter().collect(),
        };
        let asked = json!({"id": example.get("row"), "turns": turns});
        let verdict = self.worker.lock().await.ask(&asked).await?;
        let Verdict { valid, error } = serde_json::from_value(verdict)?;
        let right = example.get("calls").map(plain_text).unwrap_or_default();
        let feedback = format!("{}\nRight are the calls {}", shorten(&error, 800), shorten(&right, 800));
        Ok(Score::from(valid).with_feedback(if valid { String::new() } else { feedback }))
    }
}

/// The steps of a trajectory, each with its calls.
fn steps(trajectory: &Value) -> Value {
    let list =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let call = |call: &Value| json!({"name": call.get("tool"), "arguments": call.get("arguments")});
    let step = |turn: &Value| -> Value { list(turn, "calls").iter().map(call).collect() };
    trajectory.as_array().into_iter().flatten().map(step).collect()
}
