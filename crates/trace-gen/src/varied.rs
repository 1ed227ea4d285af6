//! Choosing varied demos.

use promptopt_core::prompt::Demo;
use rand::Rng;
use rand::seq::SliceRandom as _;

use std::collections::BTreeMap;

/// Up to `k` demos in random order, chosen so that their outputs repeat as little as possible:
/// a few demos of a classifier then show many of its classes. `shown` are the outputs that are in
/// the prompt already; `key` says what the output of a demo is.
pub(crate) fn pick_varied<R: Rng>(
    mut pool: Vec<Demo>,
    k: usize,
    shown: &mut BTreeMap<String, usize>,
    key: impl Fn(&Demo) -> String,
    rng: &mut R,
) -> Vec<Demo> {
    pool.shuffle(rng);
    let mut chosen = Vec::new();
    while chosen.len() < k && !pool.is_empty() {
        let repeats = |demo: &Demo| shown.get(&key(demo)).copied().unwrap_or(0);
        let Some((index, _)) = pool.iter().enumerate().min_by_key(|(_, demo)| repeats(demo)) else { break };
        let demo = pool.remove(index);
        *shown.entry(key(&demo)).or_default() += 1;
        chosen.push(demo);
    }
    chosen
}
