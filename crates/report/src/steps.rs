//! The steps of a run on one example: calls of tools with their results, and what each predictor of several wrote.

use promptopt_core::data::{Fields, plain_text, shorten};
use promptopt_core::trace::{Step, StepKind, TRAJECTORY, Trace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// At most this many steps of a run are shown.
const MAX_STEPS: usize = 24;
/// Each text of a step is cut to this many characters.
const MAX_TEXT: usize = 600;
/// Steps of a table are shown until they have this many characters.
pub(crate) const MAX_TABLE_CHARS: usize = 2 * 1024 * 1024;

/// One step of a run, as far as a page has room for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StepRow {
    /// Path of the predictor or the tool, such as `desk.tools.search`.
    pub path: String,
    /// Whether it belongs to a step above it, as the call of a tool to its agent.
    pub is_part: bool,
    /// The arguments of a tool.
    pub given: String,
    /// What it gave, or why it failed.
    pub gave: String,
    /// Whether it failed.
    pub failed: bool,
}

impl StepRow {
    /// The steps of a run. None where one predictor did everything, because its answer says it all; an agent that called no
    /// tool says so. What there is no room for is told in a last row.
    pub(crate) fn of(trace: &Trace, left: &mut usize) -> Vec<Self> {
        if let [only] = trace.steps.as_slice() {
            let called_none = only.outputs.get(TRAJECTORY).is_some_and(|calls| *calls == json!([]));
            let none = Self { gave: "no tool was called".to_owned(), is_part: true, ..Self::default() };
            return if called_none { vec![Self::new(only), none] } else { Vec::new() };
        }
        let mut rows = Vec::new();
        for step in trace.steps.iter().take(MAX_STEPS) {
            let row = Self::new(step);
            let Some(rest) = left.checked_sub(row.chars()) else { break };
            *left = rest;
            rows.push(row);
        }
        let more = trace.steps.len() - rows.len();
        if more > 0 {
            let are = if more == 1 { "step is" } else { "steps are" };
            rows.push(Self { gave: format!("{more} more {are} not shown"), ..Self::default() });
        }
        rows
    }

    fn new(step: &Step) -> Self {
        let is_tool = step.kind == StepKind::Tool;
        let is_answer =
            step.outputs.len() == 1 || step.outputs.contains_key(TRAJECTORY) && step.outputs.len() == 2;
        let gave = step.error.clone().unwrap_or_else(|| said(&step.outputs, !is_tool && !is_answer));
        Self {
            path: step.predictor.clone(),
            is_part: step.parent.is_some(),
            given: if is_tool { shorten(&said(&step.inputs, true), MAX_TEXT) } else { String::new() },
            gave: shorten(&gave, MAX_TEXT),
            failed: step.error.is_some(),
        }
    }

    pub(crate) fn chars(&self) -> usize {
        self.path.len() + self.given.len() + self.gave.len() + 80
    }
}

/// Fields in words, a line each.
fn said(fields: &Fields, named: bool) -> String {
    let line = |(name, value): (&String, &Value)| {
        if named { format!("{name}: {}", plain_text(value)) } else { plain_text(value) }
    };
    let told: Vec<_> = fields.iter().filter(|(name, _)| *name != TRAJECTORY).map(line).collect();
    told.join("\n")
}

/// The answer of a run without its trajectory, where the steps show it.
pub(crate) fn without_trajectory(mut answer: Fields, steps: &[StepRow]) -> Fields {
    if steps.iter().any(|step| step.is_part) && answer.get(TRAJECTORY).is_some_and(Value::is_array) {
        answer.shift_remove(TRAJECTORY);
    }
    answer
}
