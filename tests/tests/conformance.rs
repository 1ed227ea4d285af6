//! What every optimizer promises, whatever its algorithm: the suite of testkit, run over all three.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::Optimizer;
use promptopt_gepa::GEPA;
use promptopt_testkit::conformance::{Build, Settings, block_on, budget_holds};
use promptopt_testkit::optimizer_conformance;
use proptest::prelude::*;

fn miprov2(settings: &Settings) -> Box<dyn Optimizer> {
    Box::new(
        MIPROv2::builder()
            .num_candidates(5)
            .num_trials(10)
            .minibatch_size(8)
            .task_model(Arc::clone(&settings.model))
            .seed(settings.seed)
            .concurrency(settings.concurrency)
            .maybe_max_calls(settings.max_calls)
            .cancellation(settings.cancellation.clone())
            .observer(Arc::clone(&settings.observer))
            .build(),
    )
}

fn copro(settings: &Settings) -> Box<dyn Optimizer> {
    Box::new(
        COPRO::builder()
            .breadth(4)
            .depth(3)
            .task_model(Arc::clone(&settings.model))
            .seed(settings.seed)
            .concurrency(settings.concurrency)
            .maybe_max_calls(settings.max_calls)
            .cancellation(settings.cancellation.clone())
            .observer(Arc::clone(&settings.observer))
            .build(),
    )
}

fn gepa(settings: &Settings) -> Box<dyn Optimizer> {
    Box::new(
        GEPA::builder()
            .task_model(Arc::clone(&settings.model))
            .seed(settings.seed)
            .concurrency(settings.concurrency)
            .maybe_max_calls(settings.max_calls)
            .cancellation(settings.cancellation.clone())
            .observer(Arc::clone(&settings.observer))
            .build(),
    )
}

/// GEPA with several proposals under way at once.
fn gepa_parallel(settings: &Settings) -> Box<dyn Optimizer> {
    Box::new(
        GEPA::builder()
            .parallel_proposals(3)
            .task_model(Arc::clone(&settings.model))
            .seed(settings.seed)
            .concurrency(settings.concurrency)
            .maybe_max_calls(settings.max_calls)
            .cancellation(settings.cancellation.clone())
            .observer(Arc::clone(&settings.observer))
            .build(),
    )
}

optimizer_conformance!(of_miprov2, miprov2);
optimizer_conformance!(of_copro, copro);
optimizer_conformance!(of_gepa, gepa);
optimizer_conformance!(of_gepa_with_parallel_proposals, gepa_parallel);

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_budget_of_any_size_is_overshot(budget in 0_u64..1500, which in 0_usize..4) {
        let builds: [&Build; 4] = [&miprov2, &copro, &gepa, &gepa_parallel];
        let checked = block_on(budget_holds(builds[which], budget));
        prop_assert!(checked.is_ok(), "{checked:?}");
    }
}
