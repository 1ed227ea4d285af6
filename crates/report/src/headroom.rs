//! What a probe for headroom found before the search.

use promptopt_run::{HeadroomFinding, Outcome};
use promptopt_statistics::{ExpectedGain, VarianceComponents};
use serde::Serialize;

use crate::format;
use crate::text::{self, Cut};

/// Name of the detail of an outcome that holds it.
pub(crate) const DETAIL: &str = HeadroomFinding::DETAIL;
/// At most so many prompts are shown.
const MAX_PROMPTS: usize = 20;

/// The section.
#[derive(Debug, Serialize)]
pub(crate) struct HeadroomSection {
    sentence: String,
    advice: &'static str,
    rows: usize,
    prompts: Vec<Row>,
    variance: VarianceComponents,
}

/// One prompt of the probe.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    about: String,
    mean: f64,
    failed: usize,
    /// None for the original.
    gain: Option<ExpectedGain>,
    instructions: Vec<Cut>,
}

/// Whether the outcome has a finding that can be shown.
pub(crate) fn is_drawn(outcome: &Outcome) -> bool {
    outcome.headroom().is_some()
}

/// The section; `None` where there was no probe.
pub(crate) fn section(outcome: &Outcome) -> Option<HeadroomSection> {
    let finding = outcome.headroom()?;
    let found = &finding.headroom;
    let prompts = finding.prompts.iter().zip(&found.means).zip(&found.gains).take(MAX_PROMPTS);
    let row =
        |(at, ((prompt, mean), gain)): (usize, ((&promptopt_run::ProbedPrompt, &f64), &ExpectedGain))| Row {
            name: text::name(&prompt.name),
            about: text::name(&prompt.about),
            mean: *mean,
            failed: prompt.failed,
            gain: (at > 0).then_some(*gain),
            instructions: prompt.prompts.iter().map(|(_, prompt)| Cut::value(&prompt.instruction)).collect(),
        };
    Some(HeadroomSection {
        sentence: format::capitalised(&finding.to_string()),
        advice: finding.advice(),
        rows: found.rows,
        variance: found.variance,
        prompts: prompts.enumerate().map(row).collect(),
    })
}
