//! What is known of one candidate, example by example, in as few bytes as it takes.

/// What one rollout said about a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The score; 0 for a failure of reply or program, `None` for one of provider or metric.
    pub score: Option<f64>,
    /// Whether it was a failure of any kind.
    pub failed: bool,
    /// Whether it was a failure that counts as 0.
    pub zero: bool,
}

// What is no score is one of many values that are no number.
const UNKNOWN: u64 = 0x7FF8_0000_0000_0001;
const FAILED: u64 = 0x7FF8_0000_0000_0002;
const ZERO: u64 = 0x7FF8_0000_0000_0003;

impl Evidence {
    /// A score that is a number.
    pub(crate) fn scored(score: f64) -> Self {
        Self { score: Some(score), failed: false, zero: false }
    }

    /// What a failure says: 0, or nothing.
    pub(crate) fn failed(zero: bool) -> Self {
        Self { score: zero.then_some(0.0), failed: true, zero }
    }

    fn to_bits(self) -> u64 {
        match self.score {
            _ if self.zero => ZERO,
            Some(score) if !score.is_nan() => score.to_bits(),
            _ => FAILED,
        }
    }

    fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            UNKNOWN => None,
            FAILED => Some(Self::failed(false)),
            ZERO => Some(Self::failed(true)),
            score => Some(Self::scored(f64::from_bits(score))),
        }
    }
}

/// What is known of a candidate. Most candidates of a search are tried on a small part of the selection set, so only
/// what is known takes room: 12 bytes a pair, and 8 where most of the set is known.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    /// Examples in ascending order, and what is known of each.
    Few(Vec<u32>, Vec<u64>),
    /// Every example.
    Most(Vec<u64>),
}

impl Default for Row {
    fn default() -> Self {
        Self::Few(Vec::new(), Vec::new())
    }
}

impl Row {
    /// What is known of an example.
    pub(crate) fn get(&self, example: usize) -> Option<Evidence> {
        let bits = match self {
            Self::Few(examples, known) => {
                *known.get(examples.binary_search(&u32::try_from(example).ok()?).ok()?)?
            }
            Self::Most(known) => *known.get(example)?,
        };
        Evidence::from_bits(bits)
    }

    /// Notes what is known of an example of `all`.
    pub(crate) fn set(&mut self, example: usize, evidence: Evidence, all: usize) {
        let Some(at) = u32::try_from(example).ok().filter(|_| example < all) else { return };
        match self {
            Self::Few(examples, known) => match examples.binary_search(&at) {
                Ok(place) => {
                    if let Some(known) = known.get_mut(place) {
                        *known = evidence.to_bits();
                    }
                }
                Err(place) => {
                    examples.insert(place, at);
                    known.insert(place, evidence.to_bits());
                }
            },
            Self::Most(known) => {
                if let Some(known) = known.get_mut(example) {
                    *known = evidence.to_bits();
                }
            }
        }
        if let Self::Few(examples, known) = self
            && 3 * examples.len() > 2 * all
        {
            let mut most = vec![UNKNOWN; all];
            for (example, bits) in examples.iter().zip(known) {
                if let Some(place) = most.get_mut(*example as usize) {
                    *place = *bits;
                }
            }
            *self = Self::Most(most);
        }
    }

    /// What is known, with its examples in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Evidence)> {
        let (few, most) = match self {
            Self::Few(examples, known) => (Some(examples.iter().zip(known)), None),
            Self::Most(known) => (None, Some(known.iter().enumerate())),
        };
        let few = few.into_iter().flatten().map(|(example, bits)| (*example as usize, *bits));
        let most = most.into_iter().flatten().map(|(example, bits)| (example, *bits));
        few.chain(most).filter_map(|(example, bits)| Some((example, Evidence::from_bits(bits)?)))
    }

    /// A place for each of `all` examples.
    pub(crate) fn spread<T: Clone>(
        &self,
        all: usize,
        value: impl Fn(Evidence) -> Option<T>,
    ) -> Vec<Option<T>> {
        let mut spread = vec![None; all];
        for (example, evidence) in self.iter() {
            if let Some(place) = spread.get_mut(example) {
                *place = value(evidence);
            }
        }
        spread
    }

    /// Bytes that it takes beside itself.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Few(examples, known) => 4 * examples.capacity() + 8 * known.capacity(),
            Self::Most(known) => 8 * known.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn evidence() -> impl Strategy<Value = Evidence> {
        let scored = prop_oneof![Just(0.0), Just(1.0), Just(1e12), 0.0..2.0, any::<f64>()]
            .prop_filter("a score is a number", |score| score.is_finite());
        prop_oneof![scored.prop_map(Evidence::scored), any::<bool>().prop_map(Evidence::failed)]
    }

    proptest! {
        #[test]
        fn a_row_knows_what_a_table_would(noted in prop::collection::vec((0_usize..20, evidence()), 0..60)) {
            let mut row = Row::default();
            let mut table = vec![None; 20];
            for (example, evidence) in noted {
                row.set(example, evidence, 20);
                table[example] = Some(evidence);
                prop_assert_eq!(&row.spread(20, Some), &table);
                let known: Vec<_> = (0..21).filter_map(|at| Some((at, row.get(at)?))).collect();
                prop_assert_eq!(row.iter().collect::<Vec<_>>(), known);
            }
        }
    }

    #[test]
    fn what_is_not_known_takes_no_room() {
        let bytes = |known: usize| {
            let mut row = Row::default();
            (0..known).for_each(|example| row.set(example * 7 % 12_000, Evidence::scored(1.0), 12_000));
            row.bytes()
        };
        assert_eq!(bytes(0), 0);
        // Room is doubled when it is used up.
        assert!(bytes(35) <= 2 * 12 * 35);
        assert_eq!(bytes(12_000), 8 * 12_000);
    }
}
