//! What a context remembers of the prompts it read, and how much of the next one that saves.
//!
//! Plain data, without the engine: the plan says which sequence to use and how much of it to
//! keep, the reader carries it out.

use super::options::CHUNK;

/// Where a prompt is cut: the ends of the chunks it is decoded in.
///
/// A pure function of the prompt. The shared part is cut every [`CHUNK`] tokens and at its end,
/// the rest every [`CHUNK`] tokens from there. So two prompts with the same shared part have the
/// same chunks in it, whatever follows.
pub(super) fn chunk_ends(length: usize, shared: usize) -> Vec<usize> {
    let shared = shared.min(length);
    let grid = |from: usize, to: usize| (from..to).step_by(CHUNK).map(move |start| (start + CHUNK).min(to));
    grid(0, shared).chain(grid(shared, length)).collect()
}

/// What to do with the sequences before a prompt is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// The sequence to read into.
    pub(super) slot: usize,
    /// The sequence to copy first.
    pub(super) copy_from: Option<usize>,
    /// Tokens that stay; everything behind them is dropped.
    pub(super) keep: usize,
}

#[derive(Debug, Clone)]
struct Slot<T> {
    tokens: Vec<T>,
    ends: Vec<usize>,
    shared: usize,
    affinity: u64,
    used: u64,
}

/// The remembered prompts, one per sequence of the context.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    clock: u64,
}

impl<T: Copy + PartialEq> Slots<T> {
    pub(super) fn new(count: usize) -> Self {
        let empty = Slot { tokens: Vec::new(), ends: Vec::new(), shared: 0, affinity: 0, used: 0 };
        Self { slots: vec![empty; count.max(1)], clock: 0 }
    }

    /// Whether a prompt with this shared part was read lately.
    pub(super) fn knows(&self, affinity: u64) -> bool {
        self.slots.iter().any(|slot| slot.used > 0 && slot.affinity == affinity)
    }

    /// How to read a prompt. The last chunk is always read, since its logits are needed.
    pub(super) fn plan(&self, tokens: &[T], ends: &[usize]) -> Plan {
        let best = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| (slot.common(tokens, ends), slot.used, index))
            .max()
            .unwrap_or((0, 0, 0));
        let (keep, _, source) = best;
        if keep == 0 {
            return Plan { slot: self.oldest(None), copy_from: None, keep };
        }
        let covers_shared = self.slots.get(source).is_none_or(|slot| slot.shared <= keep);
        if covers_shared || self.slots.len() == 1 {
            return Plan { slot: source, copy_from: None, keep };
        }
        Plan { slot: self.oldest(Some(source)), copy_from: Some(source), keep }
    }

    /// Remembers a prompt that was read into `slot`.
    pub(super) fn remember(
        &mut self,
        slot: usize,
        tokens: &[T],
        ends: &[usize],
        shared: usize,
        affinity: u64,
    ) {
        self.clock += 1;
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot { tokens: tokens.to_vec(), ends: ends.to_vec(), shared, affinity, used: self.clock };
        }
    }

    /// Forgets what is in `slot`, before it is written to.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot { tokens: Vec::new(), ends: Vec::new(), shared: 0, affinity: 0, used: 0 };
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn oldest(&self, except: Option<usize>) -> usize {
        self.slots
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != except)
            .min_by_key(|(index, slot)| (slot.used, *index))
            .map_or(0, |(index, _)| index)
    }
}

impl<T: Copy + PartialEq> Slot<T> {
    /// Tokens in the leading chunks that this slot and the prompt have in common.
    fn common(&self, tokens: &[T], ends: &[usize]) -> usize {
        let needed = ends.len().saturating_sub(1);
        let mut start = 0;
        for (mine, end) in self.ends.iter().zip(ends.iter().take(needed)) {
            if mine != end || self.tokens.get(start..*end) != tokens.get(start..*end) {
                break;
            }
            start = *end;
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(parts: &[(u32, usize)]) -> Vec<u32> {
        parts.iter().flat_map(|(token, count)| vec![*token; *count]).collect()
    }

    #[test]
    fn chunks_depend_on_the_shared_part_and_the_rest_apart() {
        assert_eq!(chunk_ends(200, 100), [64, 100, 164, 200]);
        assert_eq!(chunk_ends(130, 100), [64, 100, 130]);
        assert_eq!(chunk_ends(128, 0), [64, 128]);
        assert_eq!(chunk_ends(64, 64), [64]);
        assert_eq!(chunk_ends(10, 99), [10]);
        assert!(chunk_ends(0, 0).is_empty());
    }

    #[test]
    fn a_known_shared_part_is_kept_in_place() {
        let mut slots = Slots::new(2);
        let first = prompt(&[(1, 100), (2, 30)]);
        let plan = slots.plan(&first, &chunk_ends(130, 100));
        assert_eq!((plan.keep, plan.copy_from), (0, None));
        slots.remember(plan.slot, &first, &chunk_ends(130, 100), 100, 7);
        assert!(slots.knows(7) && !slots.knows(0));

        let second = prompt(&[(1, 100), (3, 90)]);
        let again = slots.plan(&second, &chunk_ends(190, 100));
        assert_eq!(again, Plan { slot: plan.slot, copy_from: None, keep: 100 });
    }

    #[test]
    fn a_part_of_a_shared_part_is_copied_so_that_the_whole_stays() {
        let mut slots = Slots::new(2);
        let first = prompt(&[(1, 64), (2, 64), (3, 10)]);
        slots.remember(0, &first, &chunk_ends(138, 128), 128, 1);
        let other = prompt(&[(1, 64), (9, 64), (3, 10)]);
        let ends = chunk_ends(138, 128);
        assert_eq!(slots.plan(&other, &ends), Plan { slot: 1, copy_from: Some(0), keep: 64 });
        let unrelated = prompt(&[(8, 138)]);
        assert_eq!(slots.plan(&unrelated, &ends), Plan { slot: 1, copy_from: None, keep: 0 });
    }

    #[test]
    fn the_same_prompt_again_still_reads_its_last_chunk() {
        let mut slots = Slots::new(1);
        let tokens = prompt(&[(1, 100), (2, 30)]);
        let ends = chunk_ends(130, 100);
        slots.remember(0, &tokens, &ends, 100, 1);
        assert_eq!(slots.plan(&tokens, &ends).keep, 100);
        let whole = chunk_ends(100, 100);
        assert_eq!(slots.plan(&tokens[..100], &whole).keep, 64);
        slots.forget(0);
        assert_eq!(slots.plan(&tokens, &ends).keep, 0);
    }

    #[test]
    fn equal_tokens_cut_elsewhere_are_not_reused() {
        let mut slots = Slots::new(1);
        let tokens = prompt(&[(1, 130)]);
        slots.remember(0, &tokens, &chunk_ends(130, 50), 50, 1);
        assert_eq!(slots.plan(&tokens, &chunk_ends(130, 100)).keep, 0);
    }
}
