//! Choosing the best traces.

use std::sync::Arc;

use promptopt_core::trace::Trace;

/// The `k` traces with the highest scores, best first; of equals the earlier one comes first.
/// Traces without a score are never chosen.
pub fn best_traces(traces: &[Arc<Trace>], k: usize) -> Vec<Arc<Trace>> {
    let mut scored: Vec<_> = traces
        .iter()
        .filter_map(|trace| Some((trace.score_value().filter(|score| !score.is_nan())?, trace)))
        .collect();
    // A stable sort keeps the order of equals.
    scored.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    scored.into_iter().take(k).map(|(_, trace)| Arc::clone(trace)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::data::{Example, Score};

    fn check(scores: &[Option<f64>], k: usize, expected: &[usize]) {
        let traces: Vec<_> = scores
            .iter()
            .enumerate()
            .map(|(index, score)| {
                Arc::new(
                    Trace::new(Example::new([("index", index)], ["index"])).with_score(score.map(Score::new)),
                )
            })
            .collect();
        let chosen: Vec<_> = best_traces(&traces, k)
            .iter()
            .map(|trace| trace.example.get("index").unwrap().as_u64().unwrap() as usize)
            .collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        check(&[Some(0.5), Some(1.0), Some(0.5), Some(1.0)], 3, &[1, 3, 0]);
        check(&[None, Some(f64::NAN), Some(0.0)], 5, &[2]);
        check(&[], 2, &[]);
        check(&[Some(1.0)], 0, &[]);
    }
}
