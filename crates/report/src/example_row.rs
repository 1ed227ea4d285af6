//! One example of the test: what both programs did on it.

use promptopt_core::data::{Example, Fields};
use promptopt_core::trace::Trace;
use serde::{Deserialize, Serialize};

use crate::steps::{self, StepRow};
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
    /// The steps of the original program, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps_before: Vec<StepRow>,
    /// The steps of the optimized program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps_after: Vec<StepRow>,
}

/// What a table has room for.
pub(crate) struct Room {
    /// Characters of images.
    images: usize,
    /// Characters of steps.
    steps: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { images: thumbnails::MAX_TABLE_CHARS, steps: steps::MAX_TABLE_CHARS }
    }
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
        Self::within(example, before, after, &mut Room::default())
    }

    /// The same, with no more images and steps than there is room left for.
    pub(crate) fn within(
        example: &Example,
        before: Option<&Trace>,
        after: Option<&Trace>,
        room: &mut Room,
    ) -> Self {
        let mut steps = |trace: Option<&Trace>| {
            trace.map(|trace| StepRow::of(trace, &mut room.steps)).unwrap_or_default()
        };
        let (steps_before, steps_after) = (steps(before), steps(after));
        let left = &mut room.images;
        let answer = |trace: Option<&Trace>, steps: &[StepRow], left: &mut usize| {
            let answer = thumbnails::bounded(trace?.prediction.as_ref()?.fields(), left);
            Some(steps::without_trajectory(answer, steps))
        };
        let error = |trace: Option<&Trace>| Some(trace?.error.as_ref()?.message.clone());
        Self {
            inputs: thumbnails::bounded(&example.inputs(), left),
            expected: thumbnails::bounded(&example.labels(), left),
            before: answer(before, &steps_before, left),
            after: answer(after, &steps_after, left),
            score_before: before.and_then(Trace::evidence),
            score_after: after.and_then(Trace::evidence),
            error_before: error(before),
            error_after: error(after),
            feedback: after.and_then(|trace| trace.score.as_ref()?.feedback.clone()),
            steps_before,
            steps_after,
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
    use std::sync::Arc;

    use promptopt_core::data::{Prediction, Score};
    use promptopt_core::lm::{LmError, lm_fn};
    use promptopt_core::program::CallContext;
    use promptopt_core::trace::{Failure, FailureKind, Step};

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
    fn a_row_shows_the_calls_of_tools_also_of_a_run_that_failed() {
        let search = Step::tool("desk.tools.search")
            .with_inputs(fields([("query", "tea")]))
            .with_outputs(fields([("result", &"green ".repeat(1_000))]));
        let broken = Step::tool("desk.tools.buy").with_error("there is no tool `buy`".to_owned());
        let mut trajectory = fields([("answer", "green")]);
        trajectory.insert("trajectory".to_owned(), serde_json::json!([{"calls": []}]));
        let context = CallContext::new(Arc::new(lm_fn("none", |_| async { Err(LmError::Cancelled) })));
        let desk = context.begin_step();
        for step in [search, broken] {
            context.end_step(context.begin_part(&desk), step);
        }
        context.end_step(desk, Step::new("desk").with_outputs(trajectory.clone()));
        let trace = answered("green", 1.0).with_steps(context.take_record().0);
        let trace = trace.with_prediction(Prediction::new(trajectory));
        let failed = failed(FailureKind::Program, "no turns are left").with_steps(trace.steps.clone());

        let row = ExampleRow::of(&Example::default(), Some(&failed), Some(&trace));
        assert_eq!(row.after, Some(fields([("answer", "green")])), "what the steps show is not said twice");
        assert_eq!(row.steps_before, row.steps_after);
        let [desk, search, buy] = row.steps_after.as_slice() else { panic!("{:?}", row.steps_after) };
        assert_eq!((desk.path.as_str(), desk.gave.as_str(), desk.is_part), ("desk", "green", false));
        assert_eq!((search.given.as_str(), search.is_part), ("query: tea", true));
        assert!(search.gave.starts_with("green green") && search.gave.chars().count() <= 600);
        assert_eq!((buy.gave.as_str(), buy.failed), ("there is no tool `buy`", true));

        let mut none = fields([("answer", "green")]);
        none.insert("trajectory".to_owned(), serde_json::json!([]));
        let alone = vec![Step::new("desk").with_outputs(none.clone())];
        let idle = answered("green", 1.0).with_prediction(Prediction::new(none)).with_steps(alone);
        let row = ExampleRow::of(&Example::default(), None, Some(&idle));
        assert_eq!(row.steps_after.last().map(|row| row.gave.as_str()), Some("no tool was called"));
        assert_eq!(row.after, Some(fields([("answer", "green")])));

        let long = answered("a", 1.0).with_steps(vec![Step::new("a").with_outputs(fields([("b", "c")])); 90]);
        let mut room = Room { images: 0, steps: 10_000 };
        let steps =
            |room: &mut Room| ExampleRow::within(&Example::default(), None, Some(&long), room).steps_after;
        let first = steps(&mut room);
        assert_eq!(first.last().map(|row| row.gave.as_str()), Some("66 more steps are not shown"));
        while room.steps > 100 {
            steps(&mut room);
        }
        assert_eq!(steps(&mut room).last().map(|row| row.gave.as_str()), Some("90 more steps are not shown"));
    }

    fn fields<const N: usize>(fields: [(&str, &str); N]) -> Fields {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
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
