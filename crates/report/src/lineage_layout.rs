//! Where the nodes of a lineage tree stand.

use std::collections::BTreeSet;

/// A place in the tree: how far from its root, and in which line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) depth: usize,
    pub(crate) line: usize,
}

/// Places nodes so that the first child continues its parent's line and every other begins a new one
/// below. The way to `winner` comes first everywhere, so it runs along the top.
///
/// `parent` holds the main parent of every node, which must come before it; others become roots.
pub(crate) fn places(parent: &[Option<usize>], winner: usize) -> Vec<Place> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parent.len()];
    let mut roots = Vec::new();
    for (node, above) in parent.iter().enumerate() {
        match above.filter(|above| *above < node).and_then(|above| children.get_mut(above)) {
            Some(siblings) => siblings.push(node),
            None => roots.push(node),
        }
    }
    let way = ancestry(parent, winner);
    let later = |node: &usize| !way.contains(node);
    for siblings in children.iter_mut().chain([&mut roots]) {
        siblings.sort_by_key(later);
    }

    let mut places = vec![Place::default(); parent.len()];
    let mut lines = 0;
    // Nodes still to be placed, the next one last, with whether they begin a new line.
    let mut waiting: Vec<(usize, usize, bool)> =
        roots.into_iter().rev().map(|root| (root, 0, true)).collect();
    while let Some((node, depth, new_line)) = waiting.pop() {
        if new_line {
            lines += 1;
        }
        if let Some(place) = places.get_mut(node) {
            *place = Place { depth, line: lines - 1 };
        }
        let below = children.get(node).map(Vec::as_slice).unwrap_or_default();
        waiting.extend(below.iter().enumerate().rev().map(|(index, child)| (*child, depth + 1, index > 0)));
    }
    places
}

/// A node and those it came from.
pub(crate) fn ancestry(main: &[Option<usize>], node: usize) -> BTreeSet<usize> {
    std::iter::successors(Some(node), |node| main.get(*node).copied().flatten().filter(|above| above < node))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(parent: &[Option<usize>], winner: usize, expected: &[(usize, usize)]) {
        let places: Vec<_> = places(parent, winner).iter().map(|place| (place.depth, place.line)).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn the_way_to_the_winner_is_the_first_line() {
        check(&[None], 0, &[(0, 0)]);
        check(&[None, Some(0), Some(1)], 2, &[(0, 0), (1, 0), (2, 0)]);
        check(&[None, Some(0), Some(0), Some(2)], 3, &[(0, 0), (1, 1), (1, 0), (2, 0)]);
    }

    #[test]
    fn what_makes_no_sense_is_a_root() {
        check(&[Some(1), Some(0), Some(9)], 7, &[(0, 0), (1, 0), (0, 1)]);
        check(&[], 0, &[]);
    }

    proptest! {
        #[test]
        fn no_two_nodes_share_a_place(picks in proptest::collection::vec(0..1000_usize, 0..200), winner in 0..220_usize) {
            let parent: Vec<_> = picks.iter().enumerate().map(|(node, pick)| (node > 0).then(|| pick % node)).collect();
            let places = places(&parent, winner);
            let distinct: BTreeSet<_> = places.iter().map(|place| (place.depth, place.line)).collect();
            prop_assert_eq!(distinct.len(), parent.len());
            for (node, above) in parent.iter().enumerate() {
                if let Some(above) = above {
                    prop_assert_eq!(places[node].depth, places[*above].depth + 1);
                    prop_assert!(places[node].line >= places[*above].line);
                }
            }
        }
    }
}
