//! The table that every part makes.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::machine::Machine;
use crate::options::Options;

/// What a value is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The value should not be above it.
    AtMost(f64),
    /// The value should not be below it.
    AtLeast(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {}", figure(*bound)),
            Self::AtLeast(bound) => write!(f, "≥ {}", figure(*bound)),
        }
    }
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) bench: String,
    /// On which size, optimizer or setting.
    pub(crate) case: String,
    /// The unit of all figures of the row.
    pub(crate) unit: String,
    /// What was seen.
    pub(crate) value: f64,
    /// What it should be, where there is a goal.
    pub(crate) goal: Option<Goal>,
    /// What was expected before the first measurement.
    pub(crate) predicted: Option<f64>,
    /// Whether the goal is met; none without a goal.
    pub(crate) met: Option<bool>,
}

impl Row {
    /// A row without goal and prediction.
    pub(crate) fn new(bench: &str, case: impl Into<String>, unit: &str, value: f64) -> Self {
        Self {
            bench: bench.to_owned(),
            case: case.into(),
            unit: unit.to_owned(),
            value,
            goal: None,
            predicted: None,
            met: None,
        }
    }

    /// The row with a goal, and whether it is met.
    #[must_use]
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.met = Some(match goal {
            Goal::AtMost(bound) => self.value <= bound,
            Goal::AtLeast(bound) => self.value >= bound,
        });
        self.goal = Some(goal);
        self
    }

    /// The row with what was expected of it.
    #[must_use]
    pub(crate) fn predicted(mut self, value: f64) -> Self {
        self.predicted = Some(value);
        self
    }

    fn cells(&self) -> [String; 7] {
        let met = match self.met {
            None => "",
            Some(true) => "yes",
            Some(false) => "no",
        };
        [
            self.bench.clone(),
            self.case.clone(),
            figure(self.value),
            self.unit.clone(),
            self.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            self.predicted.map(figure).unwrap_or_default(),
            met.to_owned(),
        ]
    }
}

/// Prints the rows of a part as a Markdown table and writes them to NAME.json.
pub(crate) fn publish(name: &str, rows: &[Row], options: &Options, took: Duration) -> Result<()> {
    let machine = Machine::of_this_run();
    say(&format!("\n## {name}\n\n{machine}; {} s\n\n{}", took.as_secs(), text(rows)));
    fs::create_dir_all(&options.out).with_context(|| format!("making {}", options.out.display()))?;
    let path = options.out.join(format!("{name}.json"));
    let content = json!({
        "bench": name,
        "quick": options.quick,
        "machine": machine,
        "seconds": took.as_secs_f64(),
        "rows": rows,
    });
    fs::write(&path, serde_json::to_string_pretty(&content)? + "\n")
        .with_context(|| format!("writing {}", path.display()))
}

/// The rows as a Markdown table.
fn text(rows: &[Row]) -> String {
    let head = ["what", "case", "seen", "unit", "goal", "predicted", "met"].map(str::to_owned);
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        text += &joined(line, &widths);
        if index == 0 {
            text += &joined(&rule, &widths);
        }
    }
    text
}

fn joined(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    format!("| {} |\n", padded.join(" | "))
}

/// A number with as many digits as a reader can use.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 || (value.fract() == 0.0 && size >= 1.0) {
        format!("{value:.0}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Prints to standard output, which is this program's product.
#[expect(clippy::print_stdout, reason = "the table goes to standard output")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_not() {
        let row = |value, goal| Row::new("overhead", "5,000", "µs", value).goal(goal).met;
        assert_eq!(row(20.0, Goal::AtMost(20.0)), Some(true));
        assert_eq!(row(20.1, Goal::AtMost(20.0)), Some(false));
        assert_eq!(row(0.95, Goal::AtLeast(0.95)), Some(true));
        assert_eq!(row(0.94, Goal::AtLeast(0.95)), Some(false));
    }

    #[test]
    fn the_table_is_markdown_with_even_columns() {
        let rows = [Row::new("memory", "1,000 calls", "MiB", 17.25).predicted(18.0)];
        let text = text(&rows);
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{text}");
        assert!(text.contains("| 17.25 |") && text.contains("| 18 "), "{text}");
    }
}
