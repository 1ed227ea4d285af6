//! What a run is estimated to call is what it calls.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::money::{Budget, Price};
use promptopt_core::program::ModuleExt as _;
use promptopt_gepa::GEPA;
use promptopt_run::{Auto, CallSize, Figures, Optimizer};
use promptopt_testkit::{HiddenRules, toy};

async fn check(name: &str, optimizer: impl Optimizer, examples: usize) {
    for seed in 0..3 {
        let task = HiddenRules::new(8, seed);
        let model = Arc::new(task.model(seed));
        let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
        let train = task.examples(examples);
        let estimate = optimizer.estimate(&program, &train).unwrap().unwrap();
        assert_eq!(model.calls(), 0, "an estimate costs nothing");
        let size = CallSize::of_program(&program, &train, 8).priced(Some(Price::FREE));
        let writer = CallSize::of_writer().priced(Some(Price::FREE));
        let figures: Figures = estimate.figures(&size, &writer, 8).into_iter().sum();
        let outcome = optimizer.compile(&mut program, train).await.unwrap();
        let (task_calls, all) = (outcome.spending.task.calls, outcome.spending.total().calls);
        println!("{name}, seed {seed}: {all} calls, estimated {:?}", estimate.calls());
        assert!(estimate.calls().contains(all), "{name}, seed {seed}: {all} calls, {estimate:?}");
        let baseline = estimate.stages[0].calls;
        assert!(baseline.low > 0 && baseline.low <= task_calls, "{name}");
        assert!(figures.calls.high >= estimate.calls().high);
        let usage = outcome.spending.total();
        assert!(figures.prompt_tokens.high >= usage.prompt_tokens, "{name}: {figures:?} {usage:?}");
        assert!(figures.completion_tokens.high >= usage.completion_tokens, "{name}: {figures:?} {usage:?}");
    }
}

#[tokio::test]
async fn miprov2_calls_as_often_as_estimated() {
    check("default", MIPROv2::default(), 100).await;
    check("light", MIPROv2::builder().auto(Auto::Light).build(), 100).await;
    let small = || MIPROv2::builder().num_candidates(4).num_trials(6).minibatch_size(10);
    check("small", small().build(), 60).await;
    check("full trials", small().minibatch(false).build(), 60).await;
    check("small budget", small().max_calls(120).build(), 60).await;
    let zero_shot = small().max_bootstrapped_demos(0).max_labeled_demos(0).data_aware(false);
    check("zero-shot", zero_shot.build(), 60).await;
}

#[tokio::test]
async fn copro_calls_as_often_as_estimated() {
    check("default", COPRO::default(), 100).await;
    check("small", COPRO::builder().breadth(3).depth(2).build(), 60).await;
    check("no racing", COPRO::builder().breadth(4).depth(1).racing(false).build(), 60).await;
    check("small budget", COPRO::builder().budget(Budget::calls(300)).build(), 60).await;
    check("few rollouts", COPRO::builder().max_metric_calls(200).build(), 60).await;
}

#[tokio::test]
async fn gepa_calls_as_often_as_estimated() {
    check("light", GEPA::default(), 100).await;
    check("few rollouts", GEPA::builder().max_metric_calls(300).build(), 60).await;
    check("parallel", GEPA::builder().max_metric_calls(400).parallel_proposals(3).build(), 60).await;
    check("small budget", GEPA::builder().max_calls(400).build(), 60).await;
}

#[test]
fn where_nothing_bounds_a_run_nothing_is_estimated() {
    let task = HiddenRules::new(8, 0);
    let program = toy::answerer().with_model(Arc::new(task.model(0))).with_metric(toy::exact_answer());
    let optimizer = GEPA::builder().max_time(std::time::Duration::from_secs(3600)).build();
    assert_eq!(optimizer.estimate(&program, &task.examples(60)).unwrap(), None);
}
