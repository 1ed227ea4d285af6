//! The rules of the winner, with what each is worth.

use promptopt_run::{Outcome, RuleWorth, RulesFinding};
use promptopt_statistics::Comparison;
use serde::Serialize;

use crate::format;
use crate::text::{self, Cut};

/// Name of the detail of an outcome that holds it.
pub(crate) const DETAIL: &str = RulesFinding::DETAIL;

/// The section.
#[derive(Debug, Serialize)]
pub(crate) struct RulesSection {
    sentence: String,
    rules: Vec<Row>,
    /// Rules that are not shown.
    more: usize,
}

/// One rule.
#[derive(Debug, Serialize)]
struct Row {
    predictor: String,
    rule: Cut,
    rows: usize,
    worth: Option<Comparison>,
    dropped: bool,
}

/// Whether the outcome has a finding that can be shown.
pub(crate) fn is_drawn(outcome: &Outcome) -> bool {
    outcome.rules().is_some()
}

/// The section; `None` where nothing is known of rules.
pub(crate) fn section(outcome: &Outcome) -> Option<RulesSection> {
    let finding = outcome.rules()?;
    let row = |rule: &RuleWorth| Row {
        predictor: text::name(&rule.predictor),
        rule: Cut::value(&rule.rule),
        rows: rule.rows,
        worth: rule.worth.clone(),
        dropped: rule.dropped,
    };
    Some(RulesSection {
        sentence: format::capitalised(&finding.to_string()),
        rules: finding.rules.iter().take(RulesFinding::MOST).map(row).collect(),
        more: finding.rules.len().saturating_sub(RulesFinding::MOST),
    })
}
