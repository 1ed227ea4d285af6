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
        if failures.is_none() && report.errors.is_empty() {
            return None;
        }
        let lines = report.errors.iter().take(MAX_LINES).map(|line| Line {
            kind: line.kind,
            message: Cut::value(&line.message),
            count: format::count(line.count),
        });
        let note = format::first_of(MAX_LINES, report.errors.len(), "messages");
        Some(Self { failures, lines: lines.collect(), note })
    }
}
