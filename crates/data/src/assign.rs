//! Which group of rows goes to which part.

use std::cmp::Reverse;

use crate::quota::{Part, PerPart, deal};

/// Rows that have the same inputs, which go to the same part.
pub(crate) struct Group {
    /// Indices of the rows.
    pub(crate) rows: Vec<usize>,
    /// The stratum, counted from 0.
    pub(crate) stratum: usize,
    /// A random number: the order in which groups of one size are dealt.
    pub(crate) order: u64,
}

/// The part of each group, in the order of `groups`. `totals` are the rows that each part is to
/// have, at least one for each in `asked`; there are at least as many groups as parts asked for.
pub(crate) fn assign(groups: &[Group], strata: usize, totals: &PerPart<usize>, asked: &[Part]) -> Vec<Part> {
    let mut sizes = vec![0; strata];
    for group in groups {
        if let Some(size) = sizes.get_mut(group.stratum) {
            *size += group.rows.len();
        }
    }
    let signed = |quota: &PerPart<usize>| PerPart::of(|part| *quota.get(part) as i64);
    let mut left: Vec<PerPart<i64>> = deal(&sizes, totals).iter().map(signed).collect();
    // Large groups first: small ones then even out what the large ones left crooked.
    let mut dealt: Vec<usize> = (0..groups.len()).collect();
    dealt.sort_by_key(|index| {
        groups.get(*index).map(|group| (Reverse(group.rows.len()), group.order, *index))
    });
    let mut parts = vec![Part::Rest; groups.len()];
    for index in dealt {
        let (Some(group), Some(part)) = (groups.get(index), parts.get_mut(index)) else { continue };
        let Some(left) = left.get_mut(group.stratum) else { continue };
        // Of parts that need equally many the first one, hence the reversal.
        let neediest = Part::ALL.into_iter().rev().max_by_key(|part| *left.get(*part));
        *part = neediest.unwrap_or(Part::Rest);
        *left.get_mut(*part) -= group.rows.len() as i64;
    }
    fill_empty(groups, &mut parts, asked);
    parts
}

/// Gives a part that large groups left without any row the smallest group of the part that has
/// most groups to spare.
fn fill_empty(groups: &[Group], parts: &mut [Part], asked: &[Part]) {
    for empty in asked.iter().filter(|part| !parts.contains(part)).copied().collect::<Vec<_>>() {
        let spare = |part: Part| {
            let count = parts.iter().filter(|other| **other == part).count();
            if asked.contains(&part) { count.saturating_sub(1) } else { count }
        };
        let donor =
            Part::ALL.into_iter().rev().max_by_key(|part| spare(*part)).filter(|part| spare(*part) > 0);
        let moved = groups
            .iter()
            .zip(parts.iter_mut())
            .filter(|(_, part)| Some(**part) == donor)
            .min_by_key(|(group, _)| (group.rows.len(), group.order));
        if let Some((_, part)) = moved {
            *part = empty;
        }
    }
}
