//! Failures in words.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use promptopt_core::data::shorten;
use promptopt_core::trace::{FailureKind, Trace};
use serde::{Deserialize, Serialize};

/// At most this many different failures are gathered.
const MAX_LINES: usize = 50;
/// Messages are cut to this many characters.
const MAX_MESSAGE: usize = 500;

/// A failure in words, and how often it occurred.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorLine {
    /// Whose failure it was.
    pub kind: FailureKind,
    /// What happened.
    pub message: String,
    /// How often.
    pub count: u64,
}

impl ErrorLine {
    /// A failure that occurred so often.
    pub fn new(kind: FailureKind, message: impl Into<String>, count: u64) -> Self {
        Self { kind, message: message.into(), count }
    }

    /// The failures of some runs, equal ones counted together, the most frequent first: at most 50 of them, each cut
    /// to 500 characters.
    pub fn gather<'a>(traces: impl IntoIterator<Item = &'a Trace>) -> Vec<Self> {
        let mut counts: BTreeMap<(FailureKind, String), u64> = BTreeMap::new();
        for failure in traces.into_iter().filter_map(|trace| trace.error.as_ref()) {
            *counts.entry((failure.kind, shorten(&failure.message, MAX_MESSAGE))).or_default() += 1;
        }
        let line = |((kind, message), count)| Self { kind, message, count };
        let mut lines: Vec<Self> = counts.into_iter().map(line).collect();
        lines.sort_by_key(|line| Reverse(line.count));
        lines.truncate(MAX_LINES);
        lines
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::trace::Failure;

    use super::*;

    fn failed(kind: FailureKind, message: &str) -> Trace {
        let error = Failure::new(kind, message.to_owned());
        Trace::default().with_error(error)
    }

    #[test]
    fn equal_failures_are_one_line() {
        let traces = [
            failed(FailureKind::Reply, "a"),
            failed(FailureKind::Provider, "b"),
            Trace::default(),
            failed(FailureKind::Provider, "b"),
        ];
        let lines: Vec<_> =
            ErrorLine::gather(&traces).into_iter().map(|line| (line.message, line.count)).collect();
        assert_eq!(lines, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    }

    #[test]
    fn the_most_frequent_are_kept_and_long_ones_are_cut() {
        let rare = (0..200).map(|number| failed(FailureKind::Program, &format!("{number:03}")));
        let often = (0..3).map(|_| failed(FailureKind::Program, &"z".repeat(10_000)));
        let traces: Vec<Trace> = rare.chain(often).collect();
        let lines = ErrorLine::gather(&traces);
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!((lines[0].count, lines[0].message.chars().count()), (3, MAX_MESSAGE));
    }
}
