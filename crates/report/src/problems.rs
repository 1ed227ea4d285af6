//! What failed.

use promptopt_core::{FailureKind, Outcome};
use serde::Serialize;

use crate::text::Cut;
use crate::{Report, format};

/// At most this many messages are shown.
const MAX_LINES: usize = 200;

/// Failures by kind, and their messages.
#[derive(Debug, Serialize)]
pub(crate) struct Problems {
    kinds: Vec<Kind>,
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Kind {
    name: &'static str,
    meaning: &'static str,
    count: String,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    message: Cut,
    count: String,
}

fn name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Reply => "reply",
        FailureKind::Program => "program",
        FailureKind::Provider => "provider",
        FailureKind::Metric => "metric",
        _ => "other",
    }
}

impl Problems {
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let kinds = kinds(&report.outcome);
        if kinds.is_empty() && report.errors.is_empty() {
            return None;
        }
        let lines = report.errors.iter().take(MAX_LINES).map(|line| Line {
            kind: name(line.kind),
            message: Cut::value(&line.message),
            count: format::count(line.count),
        });
        let note = (report.errors.len() > MAX_LINES).then(|| {
            format!(
                "The first {MAX_LINES} of {} messages are shown.",
                format::count(report.errors.len() as u64)
            )
        });
        Some(Self { kinds, lines: lines.collect(), note })
    }
}

fn kinds(outcome: &Outcome) -> Vec<Kind> {
    let failures = &outcome.failures;
    let all = [
        (FailureKind::Reply, failures.reply, "the reply could not be used; counts as 0"),
        (FailureKind::Program, failures.program, "the program's own code failed; counts as 0"),
        (FailureKind::Provider, failures.provider, "the provider gave no reply; no evidence"),
        (FailureKind::Metric, failures.metric, "the metric gave no number; no evidence"),
    ];
    let kind = |(kind, count, meaning)| Kind { name: name(kind), meaning, count: format::count(count) };
    all.into_iter().filter(|(_, count, _)| *count > 0).map(kind).collect()
}
