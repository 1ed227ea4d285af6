//! The optimizers that are compared, at their defaults under a budget of calls.

use std::sync::Arc;

use miprov2::{MIPROv2, Optimizer};
use promptopt_copro::COPRO;
use promptopt_core::LanguageModel;
use promptopt_gepa::GEPA;
use promptopt_testkit::Landscape;

use crate::search_random::RandomSearch;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// MIPROv2 with up to 4 bootstrapped and 4 labelled demos.
    Demos,
    /// MIPROv2 on instructions alone.
    ZeroShot,
    /// COPRO.
    Copro,
    /// GEPA.
    Gepa,
    /// Random search over the same instructions and demo sets that MIPROv2 has.
    Random,
}

impl Method {
    pub(crate) const ALL: &[Self] = &[Self::Demos, Self::ZeroShot, Self::Copro, Self::Gepa, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Demos => "MIPROv2",
            Self::ZeroShot => "MIPROv2 zero-shot",
            Self::Copro => "COPRO",
            Self::Gepa => "GEPA",
            Self::Random => "random search",
        }
    }

    /// The optimizer at its defaults: data, seed, model and budget are set, and nothing else.
    pub(crate) fn optimizer(
        self,
        landscape: &Landscape,
        seed: u64,
        budget: u64,
        model: Arc<dyn LanguageModel>,
    ) -> Box<dyn Optimizer> {
        let valset = landscape.selection.clone();
        match self {
            Self::Demos => Box::new(
                MIPROv2::builder().seed(seed).valset(valset).max_calls(budget).task_model(model).build(),
            ),
            Self::ZeroShot => Box::new(
                MIPROv2::builder()
                    .seed(seed)
                    .valset(valset)
                    .max_bootstrapped_demos(0)
                    .max_labeled_demos(0)
                    .max_calls(budget)
                    .task_model(model)
                    .build(),
            ),
            Self::Copro => Box::new(
                COPRO::builder().seed(seed).valset(valset).max_calls(budget).task_model(model).build(),
            ),
            Self::Gepa => Box::new(
                GEPA::builder().seed(seed).valset(valset).max_calls(budget).task_model(model).build(),
            ),
            Self::Random => Box::new(RandomSearch { seed, valset, budget, model }),
        }
    }
}
