//! One example of the test: what both programs did on it.

use promptopt_core::data::{Example, Fields};
use promptopt_core::trace::Trace;
use serde::{Deserialize, Serialize};

use crate::thumbnails;

/// One example of the test, before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// The row of an example, from what the original and the optimized program did on it. Images and files that are too
    /// large for a page are a word.
    pub fn of(example: &Example, before: Option<&Trace>, after: Option<&Trace>) -> Self {
        Self::within(example, before, after, &mut { thumbnails::MAX_TABLE_CHARS })
    }

    /// The same, with no more images than there is room left for.
    pub(crate) fn within(
        example: &Example,
        before: Option<&Trace>,
        after: Option<&Trace>,
        left: &mut usize,
    ) -> Self {
        let answer = |trace: Option<&Trace>, left: &mut usize| {
            Some(thumbnails::bounded(trace?.prediction.as_ref()?.fields(), left))
        };
        let error = |trace: Option<&Trace>| Some(trace?.error.as_ref()?.message.clone());
        Self {
            inputs: thumbnails::bounded(&example.inputs(), left),
            expected: thumbnails::bounded(&example.labels(), left),
            before: answer(before, left),
            after: answer(after, left),
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
    /// let mut row = ExampleRow::default();
    /// (row.score_before, row.score_after) = (Some(0.0), Some(1.0));
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

#[cfg(test)]
mod tests {
    use promptopt_core::data::{Prediction, Score};
    use promptopt_core::trace::{Failure, FailureKind};

    use super::*;

    fn failed(kind: FailureKind, message: &str) -> Trace {
        let error = Failure::new(kind, message.to_owned());
        Trace::default().with_error(error)
    }

    fn answered(answer: &str, score: f64) -> Trace {
        Trace::default()
            .with_prediction(Prediction::from_iter([("answer", answer)]))
            .with_score(Score::new(score).with_feedback("as expected"))
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
}
