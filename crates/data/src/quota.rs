//! How many rows of each stratum go to each part.

/// A part of a split; `Rest` is what no part asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Selection,
    Test,
    Rest,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Train, Self::Selection, Self::Test, Self::Rest];
    pub(crate) const ASKED: [Self; 3] = [Self::Train, Self::Selection, Self::Test];
}

/// One thing for each part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PerPart<T> {
    pub(crate) train: T,
    pub(crate) selection: T,
    pub(crate) test: T,
    pub(crate) rest: T,
}

impl<T> PerPart<T> {
    pub(crate) fn of(mut value: impl FnMut(Part) -> T) -> Self {
        Self {
            train: value(Part::Train),
            selection: value(Part::Selection),
            test: value(Part::Test),
            rest: value(Part::Rest),
        }
    }

    pub(crate) fn get(&self, part: Part) -> &T {
        match part {
            Part::Train => &self.train,
            Part::Selection => &self.selection,
            Part::Test => &self.test,
            Part::Rest => &self.rest,
        }
    }

    pub(crate) fn get_mut(&mut self, part: Part) -> &mut T {
        match part {
            Part::Train => &mut self.train,
            Part::Selection => &mut self.selection,
            Part::Test => &mut self.test,
            Part::Rest => &mut self.rest,
        }
    }
}

/// The share of one stratum while it is being rounded.
struct Share {
    /// Whole rows.
    base: PerPart<usize>,
    /// What is left of the exact share, in fractions of the number of all rows.
    fraction: PerPart<u128>,
    /// Whether the share is rounded up.
    up: PerPart<bool>,
}

impl Share {
    fn may_go_up(&self, part: Part) -> bool {
        *self.fraction.get(part) > 0 && !self.up.get(part)
    }
}

/// Deals the rows of all strata to the parts: each stratum's share of a part is its exact
/// proportion rounded up or down, and the shares of a part add up to its total.
///
/// `sizes` and `totals` must have the same sum. This is controlled rounding of a table; a solution
/// always exists, and is reached from a greedy one by moving surplus along paths of parts.
pub(crate) fn deal(sizes: &[usize], totals: &PerPart<usize>) -> Vec<PerPart<usize>> {
    let rows = sizes.iter().sum::<usize>().max(1) as u128;
    // Rows that a part still needs; negative where it has too many.
    let mut needs = PerPart::of(|part| *totals.get(part) as i64);
    let share = |size: &usize| {
        let exact = |part| *size as u128 * *totals.get(part) as u128;
        let base = PerPart::of(|part| (exact(part) / rows) as usize);
        Share { base, fraction: PerPart::of(|part| exact(part) % rows), up: PerPart::default() }
    };
    let mut shares: Vec<Share> = sizes.iter().map(share).collect();
    for (share, part) in shares.iter().flat_map(|share| Part::ALL.map(|part| (share, part))) {
        *needs.get_mut(part) -= *share.base.get(part) as i64;
    }
    for (size, share) in sizes.iter().zip(&mut shares) {
        let whole: usize = Part::ALL.iter().map(|part| share.base.get(*part)).sum();
        for _ in whole..*size {
            let neediest = Part::ALL
                .into_iter()
                .filter(|part| share.may_go_up(*part))
                .max_by_key(|part| (*needs.get(*part), *share.fraction.get(*part)));
            let Some(part) = neediest else { break };
            *share.up.get_mut(part) = true;
            *needs.get_mut(part) -= 1;
        }
    }
    while let Some(surplus) = Part::ALL.into_iter().find(|part| *needs.get(*part) < 0) {
        if !move_one(&mut shares, &mut needs, surplus) {
            break;
        }
    }
    let rounded = |share: &Share| PerPart::of(|part| share.base.get(part) + usize::from(*share.up.get(part)));
    shares.iter().map(rounded).collect()
}

/// Moves one row from a part that has too many to one that needs some, over other parts where
/// no stratum can move it at once. False when there is no way, which a consistent table rules out.
fn move_one(shares: &mut [Share], needs: &mut PerPart<i64>, surplus: Part) -> bool {
    let mut reached = vec![surplus];
    let mut from = PerPart::<Option<(Part, usize)>>::default();
    let mut next = 0;
    while let Some(part) = reached.get(next).copied() {
        next += 1;
        if *needs.get(part) > 0 {
            *needs.get_mut(surplus) += 1;
            *needs.get_mut(part) -= 1;
            let mut to = part;
            while let Some((source, stratum)) = *from.get(to) {
                if let Some(share) = shares.get_mut(stratum) {
                    *share.up.get_mut(source) = false;
                    *share.up.get_mut(to) = true;
                }
                to = source;
            }
            return true;
        }
        for target in Part::ALL.into_iter().filter(|target| !reached.contains(target)).collect::<Vec<_>>() {
            let way = shares.iter().position(|share| *share.up.get(part) && share.may_go_up(target));
            if let Some(stratum) = way {
                *from.get_mut(target) = Some((part, stratum));
                reached.push(target);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_proportional_and_add_up(
            sizes in prop::collection::vec(1..30_usize, 1..12),
            cuts in [0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64],
        ) {
            let rows: usize = sizes.iter().sum();
            let mut cuts = cuts.map(|cut| (cut * rows as f64) as usize);
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            let totals = PerPart { train: a, selection: b - a, test: c - b, rest: rows - c };
            let quotas = deal(&sizes, &totals);
            for part in Part::ALL {
                let total = *totals.get(part);
                prop_assert_eq!(quotas.iter().map(|quota| quota.get(part)).sum::<usize>(), total);
                for (size, quota) in sizes.iter().zip(&quotas) {
                    let exact = *size as f64 * total as f64 / rows as f64;
                    prop_assert!((*quota.get(part) as f64 - exact).abs() < 1.0);
                }
            }
            for (size, quota) in sizes.iter().zip(&quotas) {
                prop_assert_eq!(Part::ALL.iter().map(|part| quota.get(*part)).sum::<usize>(), *size);
            }
        }
    }

    #[test]
    fn one_stratum_gets_the_totals() {
        let totals = PerPart { train: 6, selection: 2, test: 2, rest: 0 };
        assert_eq!(deal(&[10], &totals), [totals]);
    }
}
