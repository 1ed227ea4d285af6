//! The Pareto frontier: which candidates are best at something, and how often.

use std::collections::{BTreeMap, BTreeSet};

use promptopt_run::CandidateScores;
use serde::{Deserialize, Serialize};

/// At what a candidate may be best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FrontierType {
    /// Every example of the selection set (Agrawal et al. 2025, section 3.3).
    #[default]
    Example,
    /// The mean of every objective that the metric names; of the score where it names none.
    Objective,
    /// Every example and every objective.
    Hybrid,
    /// Every objective on every example.
    ExampleObjective,
}

/// Scores closer than this are equal.
const TOLERANCE: f64 = 1e-9;

/// What can be best at: one example, one objective, or one objective on one example.
type Key = (Option<usize>, Option<String>);

/// For each thing to be best at, the candidates that are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frontier {
    kind: FrontierType,
    /// Whether the metric names objectives. Where it names none, its score is the only one.
    named: bool,
    best: BTreeMap<Key, (f64, BTreeSet<usize>)>,
}

impl Frontier {
    /// The frontier of candidates by what is known of each.
    pub fn of<'a>(
        kind: FrontierType,
        candidates: impl IntoIterator<Item = (usize, &'a CandidateScores)>,
    ) -> Self {
        let candidates: Vec<_> = candidates.into_iter().collect();
        let named = candidates.iter().any(|(_, scores)| !scores.objectives.is_empty());
        let mut frontier = Self { kind, named, best: BTreeMap::new() };
        for (candidate, scores) in candidates {
            frontier.enter(candidate, scores);
        }
        frontier
    }

    /// Enters one more candidate, in time that does not depend on how many there are but for the
    /// logarithm. Its objectives must be those of the others: where a new one is named, what is known of
    /// all others changes as well, and the frontier has to be made anew ([`Frontier::of`]).
    pub fn enter(&mut self, candidate: usize, scores: &CandidateScores) {
        let (kind, unnamed) = (self.kind, !self.named);
        if matches!(kind, FrontierType::Example | FrontierType::Hybrid) {
            for (example, score) in scores.examples.iter().enumerate() {
                self.offer((Some(example), None), candidate, *score);
            }
        }
        if matches!(kind, FrontierType::Objective | FrontierType::Hybrid) {
            for (name, row) in &scores.objectives {
                self.offer((None, Some(name.clone())), candidate, mean(row));
            }
        }
        if kind == FrontierType::ExampleObjective {
            for (name, row) in &scores.objectives {
                for (example, score) in row.iter().enumerate() {
                    self.offer((Some(example), Some(name.clone())), candidate, *score);
                }
            }
        }
        if unnamed && kind == FrontierType::Objective {
            self.offer((None, None), candidate, mean(&scores.examples));
        }
        if unnamed && kind == FrontierType::ExampleObjective {
            for (example, score) in scores.examples.iter().enumerate() {
                self.offer((Some(example), None), candidate, *score);
            }
        }
    }

    fn offer(&mut self, key: Key, candidate: usize, score: Option<f64>) {
        let Some(score) = score.filter(|score| score.is_finite()) else { return };
        let (best, holders) = self.best.entry(key).or_insert_with(|| (score, BTreeSet::new()));
        if score > *best + TOLERANCE {
            *best = score;
            holders.clear();
        }
        if score >= *best - TOLERANCE {
            holders.insert(candidate);
        }
    }

    /// The candidates that stay when dominated ones are removed, each with its share: the number of
    /// things it is best at.
    ///
    /// A candidate is dominated when at everything it is best at, one that stays is just as good.
    /// They are looked at from the lowest mean up (`mean`; of equals the later first). What several
    /// that stay are best at counts for the one with the highest mean (of equals the first): an
    /// example that every candidate gets right should not count for a weak one, which gets many right
    /// by luck where scores are noisy.
    pub fn members(&self, mean: impl Fn(usize) -> f64) -> BTreeMap<usize, usize> {
        let holders: BTreeSet<usize> =
            self.best.values().flat_map(|(_, holders)| holders.iter().copied()).collect();
        let mut order: Vec<usize> = holders.iter().copied().collect();
        order.sort_by(|left, right| mean(*left).total_cmp(&mean(*right)).then(right.cmp(left)));
        let mut stays = holders;
        for candidate in order {
            let mut held = self.best.values().filter(|(_, holders)| holders.contains(&candidate));
            let dominated = held
                .all(|(_, holders)| holders.iter().any(|other| *other != candidate && stays.contains(other)));
            if dominated {
                stays.remove(&candidate);
            }
        }
        let mut shares: BTreeMap<usize, usize> = stays.iter().map(|candidate| (*candidate, 0)).collect();
        for (_, holders) in self.best.values() {
            let staying = holders.iter().copied().filter(|holder| stays.contains(holder));
            let first = staying.reduce(|one, other| if mean(other) > mean(one) { other } else { one });
            if let Some(share) = first.and_then(|holder| shares.get_mut(&holder)) {
                *share += 1;
            }
        }
        shares
    }
}

/// The mean of what is known.
fn mean(row: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = row.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(examples: &[f64]) -> CandidateScores {
        CandidateScores::new(examples.iter().copied().map(Some).collect())
    }

    fn members(kind: FrontierType, rows: &[CandidateScores]) -> Vec<(usize, usize)> {
        let frontier = Frontier::of(kind, rows.iter().enumerate());
        frontier.members(|at| mean(&rows[at].examples).unwrap_or(0.0)).into_iter().collect()
    }

    #[test]
    fn a_candidate_that_is_best_at_an_example_is_a_member_with_its_share() {
        let rows = [scores(&[1.0, 0.0, 0.5]), scores(&[0.0, 1.0, 0.5]), scores(&[0.0, 0.0, 0.4])];
        // The last example is even between the two; it counts for the first.
        assert_eq!(members(FrontierType::Example, &rows), [(0, 2), (1, 1)]);
    }

    #[test]
    fn a_candidate_that_others_cover_is_dominated() {
        let rows = [scores(&[1.0, 0.0]), scores(&[0.0, 1.0]), scores(&[1.0, 1.0])];
        assert_eq!(members(FrontierType::Example, &rows), [(2, 2)]);
        // Of two equals the earlier stays.
        let equals = [scores(&[0.0, 0.0]), scores(&[0.0, 0.0])];
        assert_eq!(members(FrontierType::Example, &equals), [(0, 2)]);
    }

    #[test]
    fn objectives_have_a_frontier_of_their_own() {
        let with = |value: f64, short: f64, polite: f64| {
            CandidateScores::new(vec![Some(value)]).with_objectives(BTreeMap::from([
                ("short".to_owned(), vec![Some(short)]),
                ("polite".to_owned(), vec![Some(polite)]),
            ]))
        };
        let rows = [with(0.9, 0.1, 0.2), with(0.5, 1.0, 0.0), with(0.4, 0.0, 1.0)];
        assert_eq!(members(FrontierType::Objective, &rows), [(1, 1), (2, 1)]);
        assert_eq!(members(FrontierType::Hybrid, &rows), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(members(FrontierType::ExampleObjective, &rows), [(1, 1), (2, 1)]);
        assert_eq!(members(FrontierType::Objective, &[scores(&[0.2]), scores(&[0.7])]), [(1, 1)]);
    }

    #[test]
    fn a_candidate_from_before_any_objective_was_named_holds_nothing_for_ever() {
        let failed = scores(&[0.0, 0.0]);
        let named = scores(&[0.5, 1.0])
            .with_objectives(BTreeMap::from([("short".to_owned(), vec![Some(0.5), Some(1.0)])]));
        for kind in [FrontierType::Objective, FrontierType::ExampleObjective, FrontierType::Hybrid] {
            let members = members(kind, &[failed.clone(), named.clone()]);
            assert_eq!(members.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1], "{kind:?}");
        }
    }

    #[test]
    fn what_failed_at_the_provider_holds_nothing() {
        let rows = [CandidateScores::new(vec![None, Some(0.0)])];
        assert_eq!(members(FrontierType::Example, &rows), [(0, 1)]);
        assert!(members(FrontierType::Example, &[]).is_empty());
    }

    proptest! {
        /// Against an oracle that knows nothing of incremental best sets.
        #[test]
        fn frontier_and_dominance_agree_with_brute_force(
            rows in proptest::collection::vec(proptest::collection::vec(0_u8..3, 6), 1..9),
        ) {
            let rows: Vec<Vec<f64>> =
                rows.into_iter().map(|row| row.into_iter().map(|score| f64::from(score) / 2.0).collect()).collect();
            let known: Vec<CandidateScores> = rows.iter().map(|row| scores(row)).collect();
            let found: BTreeSet<usize> =
                members(FrontierType::Example, &known).into_iter().map(|(at, _)| at).collect();

            let holds = |at: usize, example: usize| rows.iter().all(|row| row[example] <= rows[at][example]);
            for example in 0..6 {
                // Whatever is best at an example is still represented.
                prop_assert!(found.iter().any(|at| holds(*at, example)));
            }
            for at in 0..rows.len() {
                let held: Vec<usize> = (0..6).filter(|example| holds(at, *example)).collect();
                let covered = held
                    .iter()
                    .all(|example| found.iter().any(|other| *other != at && holds(*other, *example)));
                // Members hold something that no other member holds; all others hold nothing of the sort.
                prop_assert_eq!(found.contains(&at), !held.is_empty() && !covered);
            }
        }
    }
}
