//! The optimizer as a user writes it.

use super::*;

#[tokio::test]
async fn the_usage_of_the_readme_compiles_and_runs() -> anyhow::Result<()> {
    let task = HiddenRules::new(4, 1);
    let mut module = toy::answerer().with_model(Arc::new(task.model(1))).with_metric(toy::exact_answer());
    let train_examples = task.examples(60);

    let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
    optimizer.compile(&mut module, train_examples).await?;

    assert_ne!(module.candidate(), toy::answerer().candidate());
    Ok(())
}

#[tokio::test]
async fn the_winner_is_installed_in_the_module() {
    let task = HiddenRules::new(4, 1);
    let mut module = program(Arc::new(task.model(1)));
    let outcome = small().compile(&mut module, task.examples(40)).await.unwrap();
    assert!(outcome.improved());
    assert_eq!(module.candidate().prompts, outcome.winner().unwrap().prompts);
}

#[tokio::test]
async fn it_works_behind_a_trait_object() {
    let task = HiddenRules::new(4, 1);
    let optimizer: Box<dyn promptopt_run::Optimizer> = Box::new(small());
    let mut module: Box<dyn promptopt_core::program::Evaluator> = Box::new(program(Arc::new(task.model(1))));
    let outcome = optimizer.compile(&mut module, task.examples(40)).await.unwrap();
    assert_eq!((optimizer.name(), outcome.optimizer.as_str()), ("MIPROv2", "MIPROv2"));
}
