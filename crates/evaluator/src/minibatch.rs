//! Minibatches: which examples a trial looks at.

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Hands out minibatches in epochs: every example once in random order, then again in another
/// order. So no example is seen a second time before all were seen once.
#[derive(Debug, Clone)]
pub struct MinibatchSampler {
    examples: usize,
    rest: Vec<usize>,
    rng: ChaCha8Rng,
}

impl MinibatchSampler {
    /// A sampler over the indices `0..examples`.
    pub fn new(examples: usize, rng: ChaCha8Rng) -> Self {
        Self { examples, rest: Vec::new(), rng }
    }

    /// The next `size` different indices, fewer when there are not as many examples.
    pub fn next(&mut self, size: usize) -> Vec<usize> {
        let size = size.min(self.examples);
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            if self.rest.is_empty() {
                // What this batch has already taken goes to the end of the new epoch.
                let mut epoch: Vec<usize> = (0..self.examples).collect();
                epoch.shuffle(&mut self.rng);
                let (taken, mut fresh): (Vec<_>, Vec<_>) =
                    epoch.into_iter().partition(|index| batch.contains(index));
                fresh.reverse();
                self.rest = taken;
                self.rest.append(&mut fresh);
            }
            batch.extend(self.rest.pop());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn every_epoch_covers_every_example(examples in 1_usize..60, size in 1_usize..80, seed: u64) {
            let mut sampler = MinibatchSampler::new(examples, ChaCha8Rng::seed_from_u64(seed));
            let mut counts = vec![0_usize; examples];
            for _ in 0..20 {
                let batch = sampler.next(size);
                let distinct: BTreeSet<_> = batch.iter().collect();
                prop_assert_eq!(distinct.len(), batch.len());
                prop_assert_eq!(batch.len(), size.min(examples));
                for index in batch {
                    counts[index] += 1;
                }
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{counts:?}");
            }
        }
    }
}
