//! The options, and what follows from them.

use promptopt_core::program::Evaluator;
use promptopt_run::options::{at_least_one, within};
use promptopt_run::{Auto, Error, RunOptions};

use crate::{CandidateSelector, ComponentSelector, FrontierType};

promptopt_run::strategy_options! {
    /// The GEPA optimizer. Every option has a default; see the crate's page for its use.
    #[non_exhaustive]
    pub struct GEPA {
        /// Sizes the run by itself, by a number of metric calls. Default: light, unless something else limits the run
        /// (calls, metric calls, tokens, money or time).
        pub auto: Option<Auto>,
        /// Training examples of a step's minibatch. Default: 3.
        #[builder(default = 3)]
        pub minibatch_size: usize,
        /// Training examples up to which a comparison of child and parent may be extended before the selection set.
        /// Default: 12; under a small budget of calls those of the minibatch.
        pub max_gate_examples: Option<usize>,
        /// Of children that are no better than their parent, at most this share is evaluated on the whole selection
        /// set, from above 0 to 1 (no gate). Default: 0.15.
        #[builder(default = 0.15)]
        pub gate_level: f64,
        /// In how many portions the selection set is run, with a look at the evidence after each. Default: 10.
        #[builder(default = 10)]
        pub selection_portions: usize,
        /// The most records shown to the reflection model in one request: the minibatch, then other runs of the
        /// parent. A parent is run on so many training examples before its first reflection, as far as that is a
        /// small part of the budget; they serve the comparison with all of its children, too. Default: 30.
        #[builder(default = 30)]
        pub reflection_examples: usize,
        /// The score from which on a run has nothing to learn from. Default: 1; none where the metric gives the
        /// original more than 1 anywhere.
        pub perfect_score: Option<f64>,
        /// At what candidates may be best. Default: every example.
        #[builder(default)]
        pub frontier: FrontierType,
        /// How parents are drawn. Default: from the Pareto frontier.
        #[builder(default)]
        pub candidate_selector: CandidateSelector,
        /// Only with the selector `top_k_pareto`: from how many members of the frontier. Default: 5.
        pub k: Option<usize>,
        /// Only with the selector `epsilon_greedy`: how often any candidate is drawn, from 0 to 1. Default: 0.1.
        pub epsilon: Option<f64>,
        /// Which components (predictors) of a parent get a new instruction. Default: one after the other.
        #[builder(default)]
        pub component_selector: ComponentSelector,
        /// Paths of the only components that may change. Default: all.
        pub components: Option<Vec<String>>,
        /// Merge lineages. Default: true; without effect on programs of one predictor.
        #[builder(default = true)]
        pub use_merge: bool,
        /// The most merges to try. Default: 5.
        #[builder(default = 5)]
        pub max_merge_invocations: usize,
        /// How many proposals are under way at once. Part of the algorithm: they are drawn from the same state and
        /// committed in their order. Default: 1.
        #[builder(default = 1)]
        pub parallel_proposals: usize,
        /// Softmax temperature of the reflection model, from 0 to 2. Default: 1.0.
        #[builder(default = 1.0)]
        pub temperature: f64,
    }
}

/// The metric calls of a run that is sized by itself, on a selection set of so many examples: the original and
/// [`Auto::candidates`] more on all of it, and half as much again for candidates that are dropped on the way.
pub fn max_metric_calls(auto: Auto, selection: usize) -> u64 {
    (selection * (1 + auto.candidates() * 3 / 2)) as u64
}

impl GEPA {
    /// The metric calls that the run is sized for; `None` where other limits end it.
    pub(crate) fn size(&self, options: &RunOptions, selection: usize) -> Option<u64> {
        let unlimited = options.limits() == Default::default();
        let auto = self.auto.or(unlimited.then_some(Auto::Light));
        auto.map(|auto| max_metric_calls(auto, selection))
    }

    /// Training examples at the last look on them. Where children are run on a part of the selection set only, further
    /// rollouts say more there.
    pub(crate) fn most_training(&self, is_partial: bool) -> usize {
        let most = self.max_gate_examples.unwrap_or(if is_partial { 1 } else { 12 });
        most.max(self.minibatch_size)
    }

    /// How many members of the frontier `top_k_pareto` draws from.
    pub(crate) fn k(&self) -> usize {
        self.k.unwrap_or(5)
    }

    /// How often `epsilon_greedy` draws any candidate.
    pub(crate) fn epsilon(&self) -> f64 {
        self.epsilon.unwrap_or(0.1)
    }

    /// The rollouts that must be left for a step with so many proposals: parents and children on their minibatches,
    /// and one child on the whole selection set.
    pub(crate) fn rollouts_of_a_step(&self, proposals: usize, selection: usize) -> u64 {
        (2 * self.minibatch_size * proposals + selection) as u64
    }

    /// The paths of the predictors that may change.
    pub(crate) fn changeable(&self, program: &dyn Evaluator) -> Result<Vec<String>, Error> {
        let paths: Vec<String> = program.predictors().iter().map(|one| one.path().to_owned()).collect();
        let Some(wanted) = &self.components else { return Ok(paths) };
        if let Some(unknown) = wanted.iter().find(|path| !paths.contains(path)) {
            let reason = format!("there is no component `{unknown}`; the program has {}", paths.join(", "));
            return Err(Error::option("components", reason));
        }
        if wanted.is_empty() {
            let reason = "is empty, so nothing may change; name one, or leave it out";
            return Err(Error::option("components", reason));
        }
        Ok(paths.into_iter().filter(|path| wanted.contains(path)).collect())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        at_least_one(&[
            ("minibatch_size", self.minibatch_size),
            ("max_gate_examples", self.max_gate_examples.unwrap_or(1)),
            ("selection_portions", self.selection_portions),
            ("reflection_examples", self.reflection_examples),
            ("parallel_proposals", self.parallel_proposals),
            ("k", self.k()),
        ])?;
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("gate_level", self.gate_level, 1e-6, 1.0)?;
        within("perfect_score", self.perfect_score.unwrap_or(1.0), 0.0, f64::MAX)?;
        within("epsilon", self.epsilon(), 0.0, 1.0)?;
        for (option, is_set, selector, name) in [
            ("k", self.k.is_some(), CandidateSelector::TopKPareto, "top_k_pareto"),
            ("epsilon", self.epsilon.is_some(), CandidateSelector::EpsilonGreedy, "epsilon_greedy"),
        ] {
            if is_set && self.candidate_selector != selector {
                let reason = format!("has no effect without `candidate_selector = \"{name}\"`");
                return Err(Error::option(option, reason));
            }
        }
        if self.auto.is_some() && self.max_metric_calls.is_some() {
            return Err(Error::option("auto", "sets `max_metric_calls`; give one of the two"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_file_by_their_names() {
        let read: GEPA = serde_json::from_str(
            r#"{"auto": "medium", "frontier": "example_objective", "candidate_selector": "top_k_pareto", "k": 3,
                "component_selector": "all", "seed": 7}"#,
        )
        .unwrap();
        assert_eq!(
            (read.auto, read.frontier, read.candidate_selector),
            (Some(Auto::Medium), FrontierType::ExampleObjective, CandidateSelector::TopKPareto)
        );
        assert!(matches!(read.component_selector, ComponentSelector::All));
        assert_eq!((read.k(), read.seed, read.minibatch_size), (3, 7, 3));
        assert!(serde_json::from_str::<GEPA>(r#"{"component_selector": "custom"}"#).is_err());
    }

    #[test]
    fn an_option_of_another_selector_is_refused() {
        let error = GEPA::builder().k(3).build().check().unwrap_err().to_string();
        assert_eq!(error, "option `k`: has no effect without `candidate_selector = \"top_k_pareto\"`");
        let selector = CandidateSelector::TopKPareto;
        let error = GEPA::builder().candidate_selector(selector).epsilon(0.5).build().check().unwrap_err();
        assert!(error.to_string().contains("`epsilon`"), "{error}");
        assert!(GEPA::builder().candidate_selector(selector).k(3).build().check().is_ok());
    }
}
