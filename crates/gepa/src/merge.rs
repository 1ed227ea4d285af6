//! Merging two lineages: component by component, the side that changed since their common ancestor.

use std::collections::{BTreeSet, HashSet};

use promptopt_core::prompt::{PromptCandidate, Prompts};
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Two candidates to merge, and the ancestor they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Merge {
    /// The parents; the first has the smaller index.
    pub parents: (usize, usize),
    /// Their common ancestor.
    pub ancestor: usize,
}

/// All ancestors of a candidate, itself not included.
pub fn ancestors(candidates: &[PromptCandidate], of: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![of];
    while let Some(at) = open.pop() {
        for parent in candidates.get(at).map_or(&[][..], |candidate| candidate.parents.as_slice()) {
            if found.insert(*parent) {
                open.push(*parent);
            }
        }
    }
    found
}

/// Finds a pair among `members` that is worth a merge and was not tried: neither is an ancestor of
/// the other, they share an ancestor that is better than neither, and what comes out is unlike
/// both. Pairs are looked at in random order; of several ancestors the one with the highest mean is
/// taken, of equals the latest.
pub fn find(
    candidates: &[PromptCandidate],
    members: &[usize],
    mean: impl Fn(usize) -> f64,
    tried: &HashSet<Merge>,
    rng: &mut ChaCha8Rng,
) -> Option<(Merge, Prompts)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, first) in members.iter().enumerate() {
        pairs.extend(members.iter().skip(at + 1).map(|second| (*first.min(second), *first.max(second))));
    }
    pairs.shuffle(rng);
    for parents in pairs {
        let (first, second) = (ancestors(candidates, parents.0), ancestors(candidates, parents.1));
        if first.contains(&parents.1) || second.contains(&parents.0) {
            continue;
        }
        let weaker = mean(parents.0).min(mean(parents.1));
        let mut shared: Vec<usize> =
            first.intersection(&second).copied().filter(|at| mean(*at) <= weaker).collect();
        shared.sort_by(|left, right| mean(*right).total_cmp(&mean(*left)).then(right.cmp(left)));
        for ancestor in shared {
            let merge = Merge { parents, ancestor };
            if tried.contains(&merge) {
                continue;
            }
            let Some(prompts) = merged(candidates, merge, &mean) else { continue };
            let is = |at: usize| candidates.get(at).is_some_and(|candidate| candidate.prompts == prompts);
            if !is(parents.0) && !is(parents.1) {
                return Some((merge, prompts));
            }
        }
    }
    None
}

/// The prompts of a merge. Of each component the side that changed is taken; where both did, that
/// of the parent with the higher mean, of equals the first.
pub fn merged(candidates: &[PromptCandidate], merge: Merge, mean: impl Fn(usize) -> f64) -> Option<Prompts> {
    let (first, second) = merge.parents;
    let better = if mean(second) > mean(first) { second } else { first };
    let prompts = |at: usize| candidates.get(at).map(|candidate| &candidate.prompts);
    let (ancestor, one, two, best) =
        (prompts(merge.ancestor)?, prompts(first)?, prompts(second)?, prompts(better)?);
    ancestor
        .iter()
        .map(|(path, before)| {
            let (left, right) = (one.get(path)?, two.get(path)?);
            let taken = match (left == before, right == before) {
                (false, true) => left,
                (true, _) => right,
                (false, false) => best.get(path)?,
            };
            Some((path, taken.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::prompt::{Origin, Prompt};
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn candidate(parents: &[usize], instructions: &[(&str, &str)]) -> PromptCandidate {
        let prompts = instructions.iter().map(|(path, text)| (*path, Prompt::new(*text))).collect();
        PromptCandidate::new(prompts, Origin::original()).with_parents(parents.to_vec())
    }

    fn family() -> Vec<PromptCandidate> {
        vec![
            candidate(&[], &[("a", "a0"), ("b", "b0")]),
            candidate(&[0], &[("a", "a1"), ("b", "b0")]),
            candidate(&[0], &[("a", "a0"), ("b", "b2")]),
            candidate(&[1], &[("a", "a3"), ("b", "b3")]),
        ]
    }

    fn found(members: &[usize], means: &[f64]) -> Option<(Merge, Prompts)> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        find(&family(), members, |at| means[at], &HashSet::new(), &mut rng)
    }

    #[test]
    fn the_changed_side_is_taken() {
        let (merge, prompts) = found(&[1, 2], &[0.0, 0.4, 0.5, 0.6]).unwrap();
        assert_eq!(merge, Merge { parents: (1, 2), ancestor: 0 });
        assert_eq!(prompts.get("a").unwrap().instruction, "a1");
        assert_eq!(prompts.get("b").unwrap().instruction, "b2");
    }

    #[test]
    fn where_both_changed_the_better_parent_decides() {
        let (_, prompts) = found(&[2, 3], &[0.0, 0.4, 0.7, 0.6]).unwrap();
        assert_eq!(prompts.get("a").unwrap().instruction, "a3");
        assert_eq!(prompts.get("b").unwrap().instruction, "b2");
        // With the other parent in front the merge would be that parent itself.
        assert_eq!(found(&[2, 3], &[0.0, 0.4, 0.5, 0.6]), None);
    }

    #[test]
    fn an_ancestor_is_never_merged_with_its_descendant() {
        assert_eq!(found(&[1, 3], &[0.0, 0.4, 0.5, 0.6]), None);
        assert_eq!(found(&[0, 1], &[0.0, 0.4, 0.5, 0.6]), None);
    }

    #[test]
    fn scores_of_zero_everywhere_are_no_trouble() {
        assert!(found(&[1, 2], &[0.0; 4]).is_some());
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let tried = HashSet::from([Merge { parents: (1, 2), ancestor: 0 }]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(find(&family(), &[1, 2], |_| 0.0, &tried, &mut rng), None);
    }

    proptest! {
        /// Random families: each candidate changes some components of a random earlier one.
        #[test]
        fn lineage_holds_for_every_merge(
            steps in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8, 0_u8..5), 1..14),
            seed: u64,
        ) {
            let paths = ["a", "b", "c"];
            let mut family = vec![candidate(&[], &[("a", "0"), ("b", "0"), ("c", "0")])];
            let mut means = vec![0.0];
            for (number, (parent, changed, score)) in steps.into_iter().enumerate() {
                let parent = parent.index(family.len());
                let mut prompts = family[parent].prompts.clone();
                for (bit, path) in paths.iter().enumerate() {
                    if changed >> bit & 1 == 1 {
                        prompts.insert(*path, Prompt::new(format!("{}", number + 1)));
                    }
                }
                family.push(PromptCandidate::new(prompts, Origin::original()).with_parents(vec![parent]));
                means.push(f64::from(score));
            }
            let members: Vec<usize> = (0..family.len()).collect();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            if let Some((merge, prompts)) = find(&family, &members, |at| means[at], &HashSet::new(), &mut rng) {
                let (first, second) = merge.parents;
                prop_assert!(!ancestors(&family, first).contains(&second));
                prop_assert!(!ancestors(&family, second).contains(&first));
                prop_assert!(ancestors(&family, first).contains(&merge.ancestor));
                prop_assert!(ancestors(&family, second).contains(&merge.ancestor));
                for path in paths {
                    let taken = prompts.get(path).unwrap();
                    let (one, two) = (family[first].prompts.get(path).unwrap(), family[second].prompts.get(path).unwrap());
                    prop_assert!(taken == one || taken == two, "each component is from one of the parents");
                    let before = family[merge.ancestor].prompts.get(path).unwrap();
                    prop_assert!(taken != before || (one == before && two == before), "a change is never undone");
                }
                prop_assert!(prompts != family[first].prompts && prompts != family[second].prompts);
            }
        }
    }
}
