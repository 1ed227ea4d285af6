//! Whether the model keeps to the format in which a program asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::program::Evaluator;
use promptopt_core::trace::Trace;

/// So many answers of a predictor say whether its format fits,
const FEWEST: usize = 5;
/// and it does not if no more than one in so many was read at the first attempt.
const FITTING: usize = 10;

/// The predictors (by path) whose first format the model does not keep to, with the one in which its replies were read.
pub fn unfit_formats(program: &dyn Evaluator, traces: &[Option<Arc<Trace>>]) -> BTreeMap<String, String> {
    let mut formats = BTreeMap::new();
    for predictor in program.predictors() {
        let Some(format) = predictor.retry_format() else { continue };
        let steps = traces.iter().flatten().flat_map(|trace| &trace.steps);
        let read = steps.filter(|step| step.predictor == predictor.path() && step.error.is_none());
        let (first, second): (Vec<_>, Vec<_>) = read.partition(|step| !step.retried);
        let all = first.len() + second.len();
        if all >= FEWEST && first.len() * FITTING <= all {
            formats.insert(predictor.path().to_owned(), format.to_owned());
        }
    }
    formats
}

#[cfg(test)]
mod tests {
    use promptopt_core::program::{Module as _, ModuleExt as _};
    use promptopt_core::trace::Step;
    use promptopt_testkit::toy;

    use super::*;

    /// `first` answers at the first attempt, `second` at the second, `none` at neither.
    fn check(first: usize, second: usize, none: usize, changed: bool) {
        let program = toy::answerer().with_metric(toy::exact_answer());
        let path = program.predictors().first().unwrap().path().to_owned();
        let step = |retried: bool, error: Option<&str>| {
            let mut step = Step::new(path.clone()).with_error(error.map(str::to_owned));
            step.retried = retried;
            Some(Arc::new(Trace::default().with_steps(vec![step])))
        };
        let traces: Vec<_> = std::iter::repeat_n(step(false, None), first)
            .chain(std::iter::repeat_n(step(true, None), second))
            .chain(std::iter::repeat_n(step(true, Some("no answer")), none))
            .chain([None])
            .collect();
        let expected = changed.then(|| (path, "json".to_owned())).into_iter().collect();
        assert_eq!(unfit_formats(&program, &traces), expected, "{first} {second} {none}");
    }

    #[test]
    fn a_format_is_unfit_where_hardly_any_first_attempt_is_read() {
        check(0, 40, 0, true);
        check(1, 39, 0, true);
        check(4, 36, 0, true);
        check(5, 35, 0, false);
        check(40, 0, 0, false);
        check(0, 4, 0, false);
        check(0, 5, 35, true);
        check(0, 0, 40, false);
    }
}
