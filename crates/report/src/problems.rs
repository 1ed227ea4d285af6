//! What failed.

use promptopt_core::trace::{FailureCounts, FailureKind};
use serde::Serialize;

use crate::text::Cut;
use crate::{Report, format};

/// At most this many messages are shown.
const MAX_LINES: usize = 200;

/// Failures by kind, and their messages.
#[derive(Debug, Serialize)]
pub(crate) struct Problems {
    failures: Option<FailureCounts>,
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: FailureKind,
    message: Cut,
    count: String,
}

impl Problems {
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let failures = Some(report.outcome.failures).filter(|failures| *failures != FailureCounts::default());
        let reasons = &report.outcome.reasons;
        if failures.is_none() && report.errors.is_empty() && reasons.is_empty() {
            return None;
        }
        let of_search = reasons.iter().map(|reason| {
            let message = match reason.rows_left_out {
                0 => Cut::value(&reason.message),
                rows => Cut::value(&format!("{rows} rows were left out: {}", reason.message)),
            };
            Line { kind: reason.kind, message, count: format::count(reason.rollouts) }
        });
        let of_test = report.errors.iter().map(|line| Line {
            kind: line.kind,
            message: Cut::value(&line.message),
            count: format::count(line.count),
        });
        let lines = of_search.chain(of_test).take(MAX_LINES);
        let note = format::first_of(MAX_LINES, reasons.len() + report.errors.len(), "messages");
        Some(Self { failures, lines: lines.collect(), note })
    }
}
