//! The sealed test.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_run::Evaluation;
use promptopt_statistics::{Comparison, Estimate, compare, detectable_gain};
use serde::{Deserialize, Serialize};

use crate::example_row::Room;
use crate::{Error, ExampleRow};

/// Original and optimized program on examples that nothing was chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// that is within noise ([`promptopt_statistics::detectable_gain`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable_gain: Option<f64>,
    /// The examples one by one; may be empty.
    #[serde(default)]
    pub examples: Vec<ExampleRow>,
}

impl TestReport {
    /// A test of which no examples are shown.
    pub fn new(
        split: impl Into<String>,
        baseline: Estimate,
        optimized: Estimate,
        comparison: Comparison,
    ) -> Self {
        let split = split.into();
        Self { split, baseline, optimized, comparison, detectable_gain: None, examples: Vec::new() }
    }

    /// The test of two evaluations on the same examples: the original program first, then the optimized one. `split`
    /// says which examples these are, in words, such as `sealed test`.
    ///
    /// # Errors
    ///
    /// [`Error::Comparison`] when the two evaluations do not have equally many examples.
    pub fn of(
        split: impl Into<String>,
        examples: &[Arc<Example>],
        before: &Evaluation,
        after: &Evaluation,
    ) -> Result<Self, Error> {
        let comparison = compare(&before.evidence(), &after.evidence(), after.estimate.level)?;
        let mut room = Room::default();
        let traces = before.traces.iter().zip(&after.traces);
        let row = |(example, (before, after)): (&Arc<Example>, (&Option<_>, &Option<_>))| {
            ExampleRow::within(example, before.as_deref(), after.as_deref(), &mut room)
        };
        Ok(Self {
            split: split.into(),
            baseline: before.estimate,
            optimized: after.estimate,
            detectable_gain: detectable_gain(&comparison),
            comparison,
            examples: examples.iter().zip(traces).map(row).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::Score;
    use promptopt_core::trace::Trace;

    use super::*;

    fn evaluation(scores: &[f64]) -> Evaluation {
        let trace = |score: &f64| Trace::default().with_score(Score::new(*score));
        Evaluation::of(scores.iter().map(|score| Some(Arc::new(trace(score)))).collect())
    }

    #[test]
    fn two_evaluations_are_a_test() {
        let example = |number: i32| Example::new([("question", number), ("answer", 2)], ["question"]);
        let examples: Vec<_> = (0..12).map(|number| Arc::new(example(number))).collect();
        let (before, after) = (evaluation(&[0.0; 12]), evaluation(&[1.0; 12]));
        let test = TestReport::of("sealed test", &examples, &before, &after).unwrap();
        assert!(test.comparison.is_better(), "{}", test.comparison);
        assert_eq!((test.baseline.mean, test.optimized.mean, test.examples.len()), (0.0, 1.0, 12));
        assert_eq!(test.examples[0].score_after, Some(1.0));
        assert_eq!(test.detectable_gain, detectable_gain(&test.comparison));

        let shorter = TestReport::of("sealed test", &examples, &before, &evaluation(&[1.0; 3]));
        assert!(matches!(shorter, Err(Error::Comparison(_))));
    }
}
