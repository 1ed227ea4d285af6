//! Which candidate becomes a parent, and which of its components get a new instruction.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How parents are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CandidateSelector {
    /// From the Pareto frontier, in proportion to what each is best at.
    #[default]
    Pareto,
    /// The one with the highest mean.
    CurrentBest,
    /// The one with the highest mean, and with a probability of `epsilon` any.
    EpsilonGreedy,
    /// From the Pareto frontier, but only from its `k` members with the highest mean.
    TopKPareto,
}

impl CandidateSelector {
    /// Draws a parent. `frontier` are the members with their shares, `means` all candidates that
    /// may be chosen, with their means. `None` when there is none.
    pub fn select(
        self,
        frontier: &BTreeMap<usize, usize>,
        means: &BTreeMap<usize, f64>,
        k: usize,
        epsilon: f64,
        rng: &mut ChaCha8Rng,
    ) -> Option<usize> {
        match self {
            Self::Pareto => weighted(frontier.iter().map(|(at, share)| (*at, *share)), rng),
            Self::CurrentBest => best(means),
            Self::EpsilonGreedy => {
                if rng.random::<f64>() < epsilon {
                    weighted(means.keys().map(|at| (*at, 1)), rng)
                } else {
                    best(means)
                }
            }
            Self::TopKPareto => {
                let mut members: Vec<(usize, usize)> =
                    frontier.iter().map(|(at, share)| (*at, *share)).collect();
                let mean = |at: usize| means.get(&at).copied().unwrap_or(f64::NEG_INFINITY);
                members
                    .sort_by(|left, right| mean(right.0).total_cmp(&mean(left.0)).then(left.0.cmp(&right.0)));
                members.truncate(k.max(1));
                weighted(members.into_iter(), rng)
            }
        }
    }
}

/// The highest mean; of equals the first.
fn best(means: &BTreeMap<usize, f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, mean) in means {
        if best.is_none_or(|(_, leader)| *mean > leader) {
            best = Some((*at, *mean));
        }
    }
    best.map(|(at, _)| at)
}

fn weighted(shares: impl Iterator<Item = (usize, usize)>, rng: &mut ChaCha8Rng) -> Option<usize> {
    let shares: Vec<_> = shares.collect();
    let total: usize = shares.iter().map(|(_, share)| share).sum();
    if total == 0 {
        return None;
    }
    let mut draw = rng.random_range(0..total);
    for (at, share) in shares {
        if draw < share {
            return Some(at);
        }
        draw -= share;
    }
    None
}

/// What a component selector knows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ComponentChoice {
    /// Index of the parent.
    pub parent: usize,
    /// Paths of the program's predictors, in order.
    pub components: Vec<String>,
    /// How often this parent has been chosen before.
    pub visit: usize,
    /// The iteration, from 1.
    pub iteration: usize,
}

type Choose = dyn Fn(&ComponentChoice) -> Vec<String> + Send + Sync;

/// Which components of a parent get a new instruction in one step.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ComponentSelector {
    /// One after the other, counted for every parent.
    #[default]
    RoundRobin,
    /// All of them.
    All,
    /// What a function says. Files cannot say this.
    #[serde(skip)]
    Custom(Arc<Choose>),
}

impl ComponentSelector {
    /// A selector of the user's own.
    pub fn custom(choose: impl Fn(&ComponentChoice) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(choose))
    }

    /// The paths of the components to change.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer of a function of the user's: no component, or one that does
    /// not exist.
    pub fn select(&self, choice: &ComponentChoice) -> Result<Vec<String>, String> {
        let chosen = match self {
            Self::RoundRobin => {
                let at = choice.visit % choice.components.len().max(1);
                choice.components.get(at).cloned().into_iter().collect()
            }
            Self::All => choice.components.clone(),
            Self::Custom(choose) => choose(choice),
        };
        if chosen.is_empty() {
            return Err("it chose no component; return at least one path".to_owned());
        }
        match chosen.iter().find(|path| !choice.components.contains(path)) {
            Some(unknown) => Err(format!(
                "it chose the component `{unknown}`, but there is none; there are {}",
                choice.components.join(", ")
            )),
            None => Ok(chosen),
        }
    }
}

impl std::fmt::Debug for ComponentSelector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::RoundRobin => "RoundRobin",
            Self::All => "All",
            Self::Custom(_) => "Custom",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn draws(selector: CandidateSelector, k: usize) -> BTreeMap<usize, usize> {
        let frontier = BTreeMap::from([(1, 1), (2, 3)]);
        let means = BTreeMap::from([(0, 0.2), (1, 0.9), (2, 0.5)]);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut counts = BTreeMap::new();
        for _ in 0..4000 {
            *counts.entry(selector.select(&frontier, &means, k, 0.3, &mut rng).unwrap()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn parents_are_drawn_as_the_selector_says() {
        let pareto = draws(CandidateSelector::Pareto, 5);
        assert!((900..1100).contains(&pareto[&1]) && pareto[&1] + pareto[&2] == 4000, "{pareto:?}");
        assert_eq!(draws(CandidateSelector::CurrentBest, 5), BTreeMap::from([(1, 4000)]));
        let greedy = draws(CandidateSelector::EpsilonGreedy, 5);
        assert!((300..500).contains(&greedy[&0]) && (300..500).contains(&greedy[&2]), "{greedy:?}");
        assert_eq!(draws(CandidateSelector::TopKPareto, 1), BTreeMap::from([(1, 4000)]));
        assert_eq!(draws(CandidateSelector::TopKPareto, 9), pareto);
    }

    #[test]
    fn nothing_to_choose_from_is_no_panic() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for selector in [
            CandidateSelector::Pareto,
            CandidateSelector::CurrentBest,
            CandidateSelector::EpsilonGreedy,
            CandidateSelector::TopKPareto,
        ] {
            assert_eq!(selector.select(&BTreeMap::new(), &BTreeMap::new(), 0, 1.0, &mut rng), None);
        }
    }

    #[test]
    fn components_take_turns() {
        let components = ["a", "b"].map(str::to_owned).to_vec();
        let choice =
            |visit| ComponentChoice { parent: 0, components: components.clone(), visit, iteration: 1 };
        let turn = |visit| ComponentSelector::RoundRobin.select(&choice(visit)).unwrap();
        assert_eq!((turn(0), turn(1), turn(2)), (vec!["a".into()], vec!["b".into()], vec!["a".into()]));
        assert_eq!(ComponentSelector::All.select(&choice(0)).unwrap(), components);
        let wrong = ComponentSelector::custom(|_| vec!["c".to_owned()]).select(&choice(0)).unwrap_err();
        assert!(wrong.contains("`c`") && wrong.contains("a, b"), "{wrong}");
        assert!(ComponentSelector::custom(|_| Vec::new()).select(&choice(0)).is_err());
    }
}
