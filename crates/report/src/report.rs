//! What a report is made from.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use promptopt_core::{Comparison, Estimate, Example, FailureKind, Fields, Outcome, Prompts, Trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, page, render};

/// Everything that one run came to, in a form that can be saved, and shown as a page.
///
/// Texts may come from anywhere (models, data sets, files of others): the page shows them and never
/// acts on them. Keys do not belong here, least of all into `configuration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Heading of the page; when empty, optimizer and task make one.
    pub title: String,
    /// Name of the task.
    pub task: String,
    /// The model that the program runs on.
    pub model: String,
    /// The model that writes instructions, where it is another one.
    pub prompt_model: Option<String>,
    /// Name of the optimizer; when empty, the outcome's.
    pub optimizer: String,
    /// When the run ended, as text. It is given so that the same run always makes the same page.
    pub created_at: String,
    /// What the optimizer did.
    pub outcome: Outcome,
    /// The prompts the program came with.
    pub prompts_before: Prompts,
    /// The prompts it has now.
    pub prompts_after: Prompts,
    /// The sealed test; none when it was not run.
    pub test: Option<TestReport>,
    /// What failed, in words.
    pub errors: Vec<ErrorLine>,
    /// What it takes to make the same run again: task file, seed, splits.
    pub configuration: Value,
    /// What every stage cost, in the order of the stages.
    pub stages: Vec<StageCost>,
}

/// Original and optimized program on examples that nothing was chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Which split it was, in words, such as `sealed test`.
    pub split: String,
    /// The original program there.
    pub baseline: Estimate,
    /// The optimized program there.
    pub optimized: Estimate,
    /// Optimized against original there.
    pub comparison: Comparison,
    /// The gain that these examples show in four of five cases, if it is known: what to say beside a result
    /// that is within noise (`promptopt_evaluator::statistics::detectable_gain`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable_gain: Option<f64>,
    /// The examples one by one; may be empty.
    #[serde(default)]
    pub examples: Vec<ExampleRow>,
}

/// One example of the test, before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExampleRow {
    /// What goes into the program.
    pub inputs: Fields,
    /// What is known of the answer.
    pub expected: Fields,
    /// What the original program answered, if it did.
    pub before: Option<Fields>,
    /// What the optimized program answered, if it did.
    pub after: Option<Fields>,
    /// Evidence for the original: its score, 0 where its reply was of no use, none where provider or
    /// metric failed.
    pub score_before: Option<f64>,
    /// Evidence for the optimized program.
    pub score_after: Option<f64>,
    /// Why the original gave no answer or no score.
    pub error_before: Option<String>,
    /// Why the optimized program gave no answer or no score.
    pub error_after: Option<String>,
    /// What the metric said about the answer after.
    pub feedback: Option<String>,
}

/// What became of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExampleStatus {
    /// It scores higher than before.
    Fixed,
    /// It scores lower than before.
    Broken,
    /// It scores as before, below 1.
    StillWrong,
    /// It scores as before, and 1 or more.
    StillRight,
    /// The optimized program failed on it, or one of the two has no score.
    Failed,
}

impl ExampleRow {
    /// The row of an example, from what the original and the optimized program did on it.
    pub fn of(example: &Example, before: Option<&Trace>, after: Option<&Trace>) -> Self {
        let answer = |trace: Option<&Trace>| Some(trace?.prediction.as_ref()?.fields().clone());
        let error = |trace: Option<&Trace>| Some(trace?.error.as_ref()?.message.clone());
        Self {
            inputs: example.inputs(),
            expected: example.labels(),
            before: answer(before),
            after: answer(after),
            score_before: before.and_then(Trace::evidence),
            score_after: after.and_then(Trace::evidence),
            error_before: error(before),
            error_after: error(after),
            feedback: after.and_then(|trace| trace.score.as_ref()?.feedback.clone()),
        }
    }

    /// What became of the example.
    ///
    /// ```
    /// use promptopt_report::{ExampleRow, ExampleStatus};
    ///
    /// let row = ExampleRow { score_before: Some(0.0), score_after: Some(1.0), ..ExampleRow::default() };
    /// assert_eq!(row.status(), ExampleStatus::Fixed);
    /// ```
    pub fn status(&self) -> ExampleStatus {
        let (Some(before), Some(after), None) = (self.score_before, self.score_after, &self.error_after)
        else {
            return ExampleStatus::Failed;
        };
        match after.total_cmp(&before) {
            std::cmp::Ordering::Greater => ExampleStatus::Fixed,
            std::cmp::Ordering::Less => ExampleStatus::Broken,
            std::cmp::Ordering::Equal if after >= 1.0 => ExampleStatus::StillRight,
            std::cmp::Ordering::Equal => ExampleStatus::StillWrong,
        }
    }
}

/// A failure in words, and how often it occurred.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorLine {
    /// Whose failure it was.
    pub kind: FailureKind,
    /// What happened.
    pub message: String,
    /// How often.
    pub count: u64,
}

impl ErrorLine {
    /// The failures of some runs, equal ones counted together, the most frequent first.
    pub fn gather<'a>(traces: impl IntoIterator<Item = &'a Trace>) -> Vec<Self> {
        let mut counts: BTreeMap<(FailureKind, &str), u64> = BTreeMap::new();
        for failure in traces.into_iter().filter_map(|trace| trace.error.as_ref()) {
            *counts.entry((failure.kind, &failure.message)).or_default() += 1;
        }
        let line = |((kind, message), count): ((FailureKind, &str), u64)| Self {
            kind,
            message: message.to_owned(),
            count,
        };
        let mut lines: Vec<Self> = counts.into_iter().map(line).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
        lines
    }
}

/// What one stage of the run cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageCost {
    /// Name of the stage.
    pub stage: String,
    /// Completed language-model calls.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Wall time in seconds, where it is known.
    pub seconds: Option<f64>,
    /// Money in US dollars, where prices are known.
    pub money: Option<f64>,
}

impl Report {
    /// The report as one HTML page that needs nothing else: no network, no other file, and no script
    /// to be read. Long values and long lists are cut, and the page says so where it does.
    ///
    /// Equal reports make equal pages, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] when a template does not fit the data, which would be a fault of this crate.
    pub fn to_html(&self) -> Result<String, Error> {
        render::html(&page::Page::of(self))
    }

    /// The whole report as JSON, nothing cut; it reads back as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] when something in it has no JSON form.
    pub fn to_json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes the HTML page. A reader sees the old file or the new one, never half of it.
    ///
    /// # Errors
    ///
    /// Those of [`Report::to_html`], and [`Error::Write`] when the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_at_once(path.as_ref(), &self.to_html()?)
    }

    /// Writes the JSON form in the same way.
    ///
    /// # Errors
    ///
    /// Those of [`Report::to_json`], and [`Error::Write`] when the file cannot be written.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_at_once(path.as_ref(), &self.to_json()?)
    }

    /// Name of the optimizer.
    pub(crate) fn optimizer_name(&self) -> &str {
        if self.optimizer.is_empty() { &self.outcome.optimizer } else { &self.optimizer }
    }
}

fn write_at_once(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".promptopt-report-");
        // A report is for showing: it gets the permissions of any new file, not those of a secret.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use promptopt_core::{Failure, Prediction, Score};

    use super::*;

    fn failed(kind: FailureKind, message: &str) -> Trace {
        let error = Failure { kind, message: message.to_owned(), fatal: false };
        Trace { error: Some(error), ..Trace::default() }
    }

    fn answered(answer: &str, score: f64) -> Trace {
        Trace {
            prediction: Some(Prediction::from_iter([("answer", answer)])),
            score: Some(Score::new(score).with_feedback("as expected")),
            ..Trace::default()
        }
    }

    #[test]
    fn a_row_holds_what_both_programs_did() {
        let example = Example::new([("question", "1 + 1?"), ("answer", "2")], ["question"]);
        let check = |before: &Trace, after: &Trace, expected| {
            let row = ExampleRow::of(&example, Some(before), Some(after));
            assert_eq!(row.status(), expected, "{row:?}");
            row
        };
        let (right, wrong) = (answered("2", 1.0), answered("3", 0.0));
        let row = check(&wrong, &right, ExampleStatus::Fixed);
        assert_eq!((row.inputs.len(), row.expected.len()), (1, 1));
        assert_eq!(row.feedback.as_deref(), Some("as expected"));
        check(&right, &wrong, ExampleStatus::Broken);
        check(&right, &right, ExampleStatus::StillRight);
        check(&wrong, &wrong, ExampleStatus::StillWrong);
        // A reply that could not be used counts as 0, so getting past it is a gain.
        check(&failed(FailureKind::Reply, "no field"), &right, ExampleStatus::Fixed);
        check(&failed(FailureKind::Provider, "503"), &right, ExampleStatus::Failed);
        check(&right, &failed(FailureKind::Reply, "no field"), ExampleStatus::Failed);
    }

    #[test]
    fn equal_failures_are_one_line() {
        let traces = [
            failed(FailureKind::Reply, "a"),
            failed(FailureKind::Provider, "b"),
            answered("2", 1.0),
            failed(FailureKind::Provider, "b"),
        ];
        let lines: Vec<_> =
            ErrorLine::gather(&traces).into_iter().map(|line| (line.message, line.count)).collect();
        assert_eq!(lines, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    }
}
