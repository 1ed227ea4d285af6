//! The optimizers that are compared, at their defaults under a budget of calls.

use std::sync::Arc;

use miprov2::{MIPROv2, Optimizer};
use promptopt_copro::COPRO;
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{Chain, RunOptions, Strategy};
use promptopt_simba::SIMBA;

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
    /// SIMBA.
    Simba,
    /// The best of 16 demo sets, with the instruction as it is.
    Random,
    /// MIPROv2, then GEPA, in one run; not among all.
    Chain,
}

impl Method {
    pub(crate) const ALL: &[Self] =
        &[Self::Demos, Self::ZeroShot, Self::Copro, Self::Gepa, Self::Simba, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Demos => "MIPROv2",
            Self::ZeroShot => "MIPROv2 zero-shot",
            Self::Copro => "COPRO",
            Self::Gepa => "GEPA",
            Self::Simba => "SIMBA",
            Self::Random => "random search over demos",
            Self::Chain => "MIPROv2, then GEPA",
        }
    }

    /// The optimizer at its defaults under the options that every run has.
    pub(crate) fn optimizer(self, options: RunOptions) -> Box<dyn Optimizer> {
        match self {
            Self::Demos => Box::new(MIPROv2::default().with_run_options(options)),
            Self::ZeroShot => {
                let builder = MIPROv2::builder().max_bootstrapped_demos(0).max_labeled_demos(0);
                Box::new(builder.build().with_run_options(options))
            }
            Self::Copro => Box::new(COPRO::default().with_run_options(options)),
            Self::Gepa => Box::new(GEPA::default().with_run_options(options)),
            Self::Simba => Box::new(SIMBA::default().with_run_options(options)),
            Self::Random => Box::new(RandomSearch::default().with_run_options(options)),
            Self::Chain => {
                let first = MIPROv2::default().with_run_options(options);
                Box::new(Chain::new([Arc::new(first) as Arc<dyn Strategy>, Arc::new(GEPA::default())]))
            }
        }
    }
}
