//! A fleet that is simulated: what workers see whose coordinator has one thread, by what a rollout costs it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The shape of a simulated fleet.
pub(crate) struct Shape {
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    /// How long a rollout takes in its slot.
    pub(crate) wait: Duration,
    /// What it costs the coordinator, one after the other.
    pub(crate) cost: Duration,
    /// Of the network, one way.
    pub(crate) latency: Duration,
}

/// Rollouts of each slot that are simulated.
const ROUNDS: usize = 40;

/// The share of slots ÷ wait that comes through. A slot that is free asks for a rollout, which the coordinator hands out
/// and takes back in the order of the questions, half of its cost each.
pub(crate) fn simulated(shape: &Shape) -> f64 {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (wait, half, latency) = (nanos(shape.wait), nanos(shape.cost) / 2, nanos(shape.latency));
    let slots = shape.workers * shape.slots;
    // When something reaches the coordinator, and whether it is a result.
    let mut arriving: BinaryHeap<Reverse<(u64, usize, bool)>> =
        (0..slots).map(|slot| Reverse((latency, slot, false))).collect();
    let mut left = vec![ROUNDS; slots];
    let (mut free_at, mut last) = (0_u64, 0_u64);
    while let Some(Reverse((at, slot, is_result))) = arriving.pop() {
        let done = free_at.max(at) + half;
        free_at = done;
        if !is_result {
            arriving.push(Reverse((done + latency + wait + latency, slot, true)));
            continue;
        }
        last = last.max(done);
        if let Some(rounds) = left.get_mut(slot) {
            *rounds -= 1;
            if *rounds > 0 {
                // The worker hears that its result was taken, and asks for another rollout.
                arriving.push(Reverse((done + 2 * latency, slot, false)));
            }
        }
    }
    let each_second = (slots * ROUNDS) as f64 / (last as f64 / 1e9);
    each_second / (slots as f64 / shape.wait.as_secs_f64())
}
