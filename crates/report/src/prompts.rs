//! Instructions before and after.

use serde::Serialize;

use crate::diff::WordDiff;
use crate::text::{Cut, MAX_LONG};
use crate::{Report, text};

/// At most this many predictors are compared.
const MAX_PREDICTORS: usize = 50;

/// The instruction of one predictor, before and after.
#[derive(Debug, Serialize)]
pub(crate) struct PromptDiff {
    predictor: String,
    diff: WordDiff,
    same: bool,
    demos_before: usize,
    demos_after: usize,
    /// The format in which it asks now and did not before.
    format: Option<String>,
    note: Option<String>,
}

/// One comparison for every predictor of the optimized program.
pub(crate) fn diffs(report: &Report) -> Vec<PromptDiff> {
    let shown = report.prompts_after.iter().take(MAX_PREDICTORS);
    shown
        .map(|(path, after)| {
            let before = report.prompts_before.get(path);
            let old = Cut::new(before.map_or("", |prompt| prompt.instruction.as_str()), MAX_LONG);
            let new = Cut::new(&after.instruction, MAX_LONG);
            let diff = WordDiff::of(&old.text, &new.text);
            PromptDiff {
                predictor: text::name(path),
                same: before.is_some_and(|prompt| prompt.instruction == after.instruction),
                diff,
                demos_before: before.map_or(0, |prompt| prompt.demos.len()),
                demos_after: after.demos.len(),
                format: after
                    .format
                    .as_deref()
                    .filter(|format| before.and_then(|prompt| prompt.format.as_deref()) != Some(format))
                    .map(text::name),
                note: old.note.or(new.note),
            }
        })
        .collect()
}
