//! What runs came to, put together over seeds.

use std::collections::BTreeMap;

use crate::table::{Goal, Row};

/// Calls that a run may make.
pub(crate) const BUDGETS: &[u64] = &[250, 540, 1000, 1500];

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) landscape: &'static str,
    pub(crate) method: String,
    /// What it was allowed; of peers, which have no such cap, what it took.
    pub(crate) budget: u64,
    pub(crate) seed: u64,
    pub(crate) calls: u64,
    /// The mean on the sealed test.
    pub(crate) score: f64,
}

/// A group of runs that differ in their seed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) landscape: &'static str,
    pub(crate) method: String,
    pub(crate) budget: u64,
    /// The scores, in ascending order.
    pub(crate) scores: Vec<f64>,
    pub(crate) most_calls: u64,
}

impl Group {
    pub(crate) fn median(&self) -> f64 {
        let middle = self.scores.len() / 2;
        let at = |index: usize| self.scores.get(index).copied().unwrap_or(f64::NAN);
        if self.scores.len() % 2 == 1 {
            at(middle)
        } else {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        }
    }

    /// The mean and its standard error.
    pub(crate) fn mean_and_error(&self) -> (f64, f64) {
        let n = self.scores.len() as f64;
        let mean = self.scores.iter().sum::<f64>() / n;
        let squares: f64 = self.scores.iter().map(|score| (score - mean).powi(2)).sum();
        (mean, (squares / (n - 1.0).max(1.0) / n).sqrt())
    }

    pub(crate) fn range(&self) -> (f64, f64) {
        let at = |score: Option<&f64>| score.copied().unwrap_or(f64::NAN);
        (at(self.scores.first()), at(self.scores.last()))
    }
}

/// The runs by landscape, method and budget.
pub(crate) fn groups(points: &[Point]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = BTreeMap::new();
    for point in points {
        let key = (point.landscape, point.method.clone(), point.budget);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group {
                landscape: point.landscape,
                method: point.method.clone(),
                budget: point.budget,
                scores: Vec::new(),
                most_calls: 0,
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.scores.push(point.score);
            group.most_calls = group.most_calls.max(point.calls);
        }
    }
    for group in &mut groups {
        group.scores.sort_by(f64::total_cmp);
    }
    groups
}

/// A row for each group: the median, with lowest, highest and calls in its case.
pub(crate) fn rows(points: &[Point]) -> Vec<Row> {
    let row = |group: Group| {
        let (low, high) = group.range();
        let (mean, error) = group.mean_and_error();
        // Peers have no such cap.
        let of = if group.budget == 0 { String::new() } else { format!(" of {}", group.budget) };
        let case = format!(
            "{}, {}: {:.1} to {:.1}, mean {:.1} ± {:.1}, {}{of} calls",
            group.landscape,
            group.method,
            100.0 * low,
            100.0 * high,
            100.0 * mean,
            100.0 * error,
            group.most_calls,
        );
        let row = Row::new("search", case, "% median", 100.0 * group.median());
        match goal(&group) {
            Some((goal, predicted)) => row.goal(Goal::AtLeast(goal)).predicted(predicted),
            None => row,
        }
    };
    groups(points).into_iter().map(row).collect()
}

/// Goals on hidden rules, and what was expected before the first measurement.
fn goal(group: &Group) -> Option<(f64, f64)> {
    match (group.landscape, group.method.as_str(), group.budget) {
        ("hidden-rules", "MIPROv2", 540) => Some((93.0, 93.0)),
        ("hidden-rules", "MIPROv2 zero-shot", 540) => Some((92.0, 89.0)),
        ("hidden-rules", "GEPA", 1000) => Some((88.0, 91.0)),
        ("hidden-rules", "COPRO", 1500) => Some((75.0, 91.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_seeds() {
        let point = |seed, score| Point {
            landscape: "wording",
            method: "COPRO".to_owned(),
            budget: 250,
            seed,
            calls: 200 + seed,
            score,
        };
        let three = [point(0, 0.9), point(1, 0.2), point(2, 0.7)];
        let [group] = groups(&three).try_into().unwrap();
        assert_eq!((group.median(), group.range(), group.most_calls), (0.7, (0.2, 0.9), 202));
        let [group] = groups(&three[..2]).try_into().unwrap();
        assert!((group.median() - 0.55).abs() < 1e-9);
        let (mean, error) = group.mean_and_error();
        assert!((mean - 0.55).abs() < 1e-9 && (error - 0.35).abs() < 1e-9);
    }
}
