//! A tree-structured Parzen estimator over categorical choices.

use std::collections::HashMap;

use rand::{Rng, RngExt as _};

/// Multivariate TPE (Bergstra et al. 2011; the joint kernel after Falkner et al. 2018) for the
/// case at hand: every dimension is a choice among a few options.
///
/// The better part of the observations makes the density l, the rest the density g; what is
/// suggested next is the candidate with the largest l / g. Each observation contributes a kernel
/// that is a product over all dimensions, so that what works *together* is learnt together; one
/// uniform kernel stands for what is not known yet. Plain, synchronous, and a function of the
/// random generator that is handed in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tpe {
    /// Share of the observations that count as good, in (0, 1). Default: 0.25.
    pub gamma: f64,
    /// Share of a kernel's mass that a dimension spreads over its other options. Default: 0.3.
    pub bandwidth: f64,
}

impl Default for Tpe {
    fn default() -> Self {
        Self { gamma: 0.25, bandwidth: 0.3 }
    }
}

impl Tpe {
    /// The densities of the better part of the observations and of the rest, to suggest by more than once.
    /// Takes n log n of the observations; a suggestion does not depend on their number.
    pub(crate) fn fit(&self, observations: &[(Vec<usize>, f64)]) -> Densities {
        let mut ranked: Vec<_> = observations.iter().filter(|(_, score)| score.is_finite()).collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        let good = ((ranked.len() as f64 * self.gamma).ceil() as usize).min(ranked.len());
        let (good, bad) = ranked.split_at(good);
        Densities { good: Kernels::of(good), bad: Kernels::of(bad) }
    }

    /// The index of the best of `candidates` by densities that were made before. `options` says how many options each
    /// dimension has. Of candidates that are equally good a random one is taken; `None` when there is none.
    pub(crate) fn suggest_by<R: Rng>(
        &self,
        densities: &Densities,
        options: &[usize],
        candidates: &[Vec<usize>],
        rng: &mut R,
    ) -> Option<usize> {
        let masses: Vec<Masses> = options.iter().map(|count| self.masses(*count)).collect();
        let (good, bad) = (densities.good.with(&masses), densities.bad.with(&masses));
        let mut best: Option<(f64, Vec<usize>)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            let ratio = good.at(candidate) / bad.at(candidate);
            match &mut best {
                Some((leader, tied)) if ratio == *leader => tied.push(index),
                Some((leader, _)) if ratio < *leader => {}
                _ => best = Some((ratio, vec![index])),
            }
        }
        let (_, tied) = best?;
        tied.get(rng.random_range(0..tied.len())).copied()
    }

    /// How a kernel spreads its mass over a dimension with so many options.
    fn masses(&self, count: usize) -> Masses {
        let spread = if count > 1 { self.bandwidth } else { 0.0 };
        Masses {
            centre: 1.0 - spread,
            other: spread / (count.saturating_sub(1).max(1)) as f64,
            uniform: 1.0 / count.max(1) as f64,
        }
    }
}

/// The kernels of the better part of the observations, and of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Densities {
    good: Kernels,
    bad: Kernels,
}

/// The mass of a kernel in one dimension: at its centre, and at each other option.
#[derive(Debug, Clone, Copy)]
struct Masses {
    centre: f64,
    other: f64,
    /// What the uniform kernel has at every option.
    uniform: f64,
}

/// In so many dimensions at most, kernels are counted and not added up one by one.
const MAX_COUNTED: usize = 6;
/// Where they are added up one by one, a density is made of at most this many, so that the thousandth
/// suggestion costs no more than the hundredth.
const MAX_LISTED: usize = 1000;

/// The kernels of a density by their centres.
///
/// A kernel is a product over dimensions of one of two masses, so the sum of all kernels at a point follows
/// from how many centres agree with the point in each set of dimensions: with c the mass at the centre and o
/// the mass elsewhere, it is the sum over all sets S of that count times the product of (c - o) over S and
/// of o over the rest. So what a suggestion takes does not depend on the number of kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kernels {
    number: usize,
    /// For each set of dimensions, as the bits of its index: how many centres have which options there.
    counts: Vec<HashMap<u128, u32>>,
    /// The centres, where there are too many dimensions to count.
    centres: Vec<Vec<usize>>,
}

impl Kernels {
    fn of(ranked: &[&(Vec<usize>, f64)]) -> Self {
        let dimensions = ranked.first().map_or(0, |(centre, _)| centre.len());
        let small = |(centre, _): &&(Vec<usize>, f64)| {
            centre.len() == dimensions && centre.iter().all(|option| u16::try_from(*option).is_ok())
        };
        if dimensions > MAX_COUNTED || !ranked.iter().all(small) {
            let number = ranked.len().min(MAX_LISTED);
            // Evenly from the first to the last.
            let chosen = (0..number).filter_map(|at| ranked.get(at * ranked.len() / number));
            let centres = chosen.map(|(centre, _)| centre.clone()).collect();
            return Self { number, counts: Vec::new(), centres };
        }
        let mut counts = vec![HashMap::new(); 1 << dimensions];
        for (centre, _) in ranked {
            for (set, counts) in counts.iter_mut().enumerate() {
                *counts.entry(code(set, centre)).or_default() += 1;
            }
        }
        Self { number: ranked.len(), counts, centres: Vec::new() }
    }

    fn with<'k>(&'k self, masses: &'k [Masses]) -> Density<'k> {
        let uniform = masses.iter().map(|mass| mass.uniform).product();
        let weight = |set: usize| {
            let factor = |(at, mass): (usize, &Masses)| {
                if set >> at & 1 == 1 { mass.centre - mass.other } else { mass.other }
            };
            masses.iter().enumerate().map(factor).product()
        };
        Density { kernels: self, masses, uniform, weights: (0..self.counts.len()).map(weight).collect() }
    }
}

/// What a point is in a set of dimensions, as a number.
fn code(set: usize, point: &[usize]) -> u128 {
    let inside = point.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
    inside.fold(0, |code, (_, option)| code << 16 | *option as u128)
}

/// A density to be asked at many points.
struct Density<'k> {
    kernels: &'k Kernels,
    masses: &'k [Masses],
    uniform: f64,
    /// What a count in each set of dimensions is worth.
    weights: Vec<f64>,
}

impl Density<'_> {
    fn at(&self, point: &[usize]) -> f64 {
        let listed =
            self.kernels.centres.iter().map(|centre| kernel(self.masses, centre, point)).sum::<f64>();
        let sets = self.kernels.counts.iter().zip(&self.weights).enumerate();
        let counted = sets.map(|(set, (counts, weight))| {
            let count = counts.get(&code(set, point)).copied().unwrap_or_default();
            weight * f64::from(count)
        });
        (listed + counted.sum::<f64>() + self.uniform) / (self.kernels.number + 1) as f64
    }
}

fn kernel(masses: &[Masses], centre: &[usize], at: &[usize]) -> f64 {
    let dimensions = masses.iter().zip(centre.iter().zip(at));
    dimensions.map(|(mass, (centre, at))| if centre == at { mass.centre } else { mass.other }).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    impl Tpe {
        fn suggest<R: Rng>(
            &self,
            options: &[usize],
            observations: &[(Vec<usize>, f64)],
            candidates: &[Vec<usize>],
            rng: &mut R,
        ) -> Option<usize> {
            self.suggest_by(&self.fit(observations), options, candidates, rng)
        }
    }

    fn grid(options: &[usize]) -> Vec<Vec<usize>> {
        options.iter().fold(vec![vec![]], |points, count| {
            let next =
                |point: Vec<usize>| (0..*count).map(move |option| [point.clone(), vec![option]].concat());
            points.into_iter().flat_map(next).collect()
        })
    }

    #[test]
    fn it_goes_where_the_good_ones_are() {
        let observations: Vec<_> = [(0, 0, 0.1), (1, 1, 0.2), (2, 2, 0.9), (3, 3, 0.1)]
            .map(|(a, b, score)| (vec![a, b], score))
            .to_vec();
        let candidates: Vec<_> = grid(&[4, 4])
            .into_iter()
            .filter(|point| !observations.iter().any(|(seen, _)| seen == point))
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let choice =
            &candidates[Tpe::default().suggest(&[4, 4], &observations, &candidates, &mut rng).unwrap()];
        assert!(choice[0] == 2 || choice[1] == 2, "{choice:?}");
    }

    #[test]
    fn many_dimensions_are_searched_as_well() {
        let observations: Vec<_> = (0..2000)
            .map(|number| {
                let point: Vec<usize> = (0..8).map(|dimension| (number >> dimension) & 1).collect();
                let score = point.iter().sum::<usize>() as f64;
                (point, score)
            })
            .collect();
        let candidates = [vec![0; 8], vec![1; 8]];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let densities = Tpe::default().fit(&observations);
        assert_eq!((densities.good.number, densities.bad.number), (500, MAX_LISTED));
        assert_eq!(Tpe::default().suggest_by(&densities, &[2; 8], &candidates, &mut rng), Some(1));
    }

    #[test]
    fn nothing_to_choose_from_is_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(Tpe::default().suggest(&[2], &[], &[], &mut rng), None);
    }

    /// On a space where two dimensions must fit each other it finds the best point sooner than
    /// random choice does.
    #[test]
    fn it_beats_random_search_where_choices_interact() {
        let options = [6, 6];
        let value = |point: &[usize]| {
            if point[0] == 4 { 0.5 + 0.1 * point[1] as f64 } else { 0.1 * (point[0] % 3) as f64 }
        };
        let mut found = 0;
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut observations: Vec<(Vec<usize>, f64)> = Vec::new();
            for _ in 0..18 {
                let open: Vec<_> = grid(&options)
                    .into_iter()
                    .filter(|point| !observations.iter().any(|(seen, _)| seen == point))
                    .collect();
                let pick = Tpe::default().suggest(&options, &observations, &open, &mut rng).unwrap();
                observations.push((open[pick].clone(), value(&open[pick])));
            }
            found += usize::from(observations.iter().any(|(_, score)| *score > 0.95));
        }
        // Eighteen draws of thirty-six find one point half of the time.
        assert!(found >= 70, "{found} of 100");
    }

    proptest! {
        /// Counting is the same sum as adding up kernel by kernel.
        #[test]
        fn counted_kernels_are_the_sum_of_all_kernels(
            centres in proptest::collection::vec(proptest::collection::vec(0_usize..4, 3), 0..20),
            point in proptest::collection::vec(0_usize..4, 3),
        ) {
            let masses = [5, 4, 6].map(|count| Tpe::default().masses(count));
            let ranked: Vec<_> = centres.iter().map(|centre| (centre.clone(), 0.0)).collect();
            let kernels = Kernels::of(&ranked.iter().collect::<Vec<_>>());
            let one_by_one: f64 = centres.iter().map(|centre| kernel(&masses, centre, &point)).sum();
            let expected = (one_by_one + 1.0 / 120.0) / (centres.len() + 1) as f64;
            prop_assert!(kernels.centres.is_empty());
            prop_assert!((kernels.with(&masses).at(&point) - expected).abs() < 1e-12);
        }

        #[test]
        fn a_suggestion_is_one_of_the_candidates_and_repeatable(
            scores in proptest::collection::vec(prop_oneof![Just(f64::NAN), 0.0..1.0f64], 0..12),
            seed: u64,
        ) {
            let options = [3, 2, 4];
            let all = grid(&options);
            let observations: Vec<_> = all.iter().cloned().zip(scores).collect();
            let pick = |seed| Tpe::default().suggest(&options, &observations, &all, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(pick(seed).unwrap() < all.len());
            prop_assert_eq!(pick(seed), pick(seed));
        }
    }
}
