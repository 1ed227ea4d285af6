//! What every optimizer promises, whatever its algorithm: the suites of testkit, run over all of them.

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{Optimizer, RunOptions, Strategy as _};
use promptopt_simba::SIMBA;
use promptopt_testkit::conformance::{Build, block_on, budget_holds};
use promptopt_testkit::{optimizer_contract, optimizer_quality};
use proptest::prelude::*;

fn miprov2(options: RunOptions) -> Box<dyn Optimizer> {
    let small = MIPROv2::builder().num_candidates(5).num_trials(10).minibatch_size(8).build();
    Box::new(small.with_run_options(options))
}

fn copro(options: RunOptions) -> Box<dyn Optimizer> {
    Box::new(COPRO::builder().breadth(4).depth(3).build().with_run_options(options))
}

fn gepa(mut options: RunOptions) -> Box<dyn Optimizer> {
    options.confirm = options.confirm.or(Some(true));
    Box::new(GEPA::default().with_run_options(options))
}

/// GEPA with several proposals under way at once.
fn gepa_parallel(options: RunOptions) -> Box<dyn Optimizer> {
    Box::new(GEPA::builder().parallel_proposals(3).build().with_run_options(options))
}

fn random_search(options: RunOptions) -> Box<dyn Optimizer> {
    Box::new(RandomSearch::default().with_run_options(options))
}

fn simba(options: RunOptions) -> Box<dyn Optimizer> {
    let small = SIMBA::builder().minibatch_size(10).num_candidates(4).max_steps(5).build();
    Box::new(small.with_run_options(options))
}

/// Two in one run.
fn chain(options: RunOptions) -> Box<dyn Optimizer> {
    let first = RandomSearch::builder().num_sets(6).build().with_run_options(options);
    Box::new(first.then(COPRO::builder().breadth(3).depth(2).build()))
}

/// Makes an optimizer with some options of a run.
type Make = fn(RunOptions) -> Box<dyn Optimizer>;

/// All of them.
pub(crate) const ALL: [(&str, Make); 7] = [
    ("MIPROv2", miprov2),
    ("COPRO", copro),
    ("GEPA", gepa),
    ("GEPA in parallel", gepa_parallel),
    ("random search", random_search),
    ("SIMBA", simba),
    ("chain", chain),
];

optimizer_contract!(of_miprov2, miprov2);
optimizer_contract!(of_copro, copro);
optimizer_contract!(of_gepa, gepa);
optimizer_contract!(of_gepa_with_parallel_proposals, gepa_parallel);
optimizer_contract!(of_random_search, random_search);
optimizer_contract!(of_simba, simba);
optimizer_contract!(of_a_chain, chain);

optimizer_quality!(quality_of_miprov2, miprov2);
optimizer_quality!(quality_of_copro, copro);
optimizer_quality!(quality_of_gepa, gepa);
optimizer_quality!(quality_of_gepa_with_parallel_proposals, gepa_parallel);
optimizer_quality!(quality_of_simba, simba);
optimizer_quality!(quality_of_a_chain, chain);

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_budget_of_any_size_is_overshot(budget in 0_u64..1500, which in 0_usize..7) {
        let builds: [&Build; 7] = [&miprov2, &copro, &gepa, &gepa_parallel, &random_search, &simba, &chain];
        let checked = block_on(budget_holds(builds[which], budget));
        prop_assert!(checked.is_ok(), "{checked:?}");
    }
}
