//! Every option has effect, and says when it cannot.

use promptopt_proposer::TemplateProposer;
use promptopt_run::MemoryStore;

use super::*;

#[tokio::test]
async fn the_usage_of_the_readme_compiles_and_runs() -> anyhow::Result<()> {
    let task = HiddenRules::new(4, 1);
    let mut module = toy::answerer().with_model(Arc::new(task.model(1))).with_metric(toy::exact_answer());
    let optimizer = COPRO::builder().breadth(10).depth(3).init_temperature(1.4).track_stats(true).build();
    let outcome = optimizer.compile(&mut module, task.examples(60)).await?;
    assert_ne!(module.candidate(), toy::answerer().candidate());
    assert_eq!((optimizer.name(), outcome.optimizer.as_str()), ("COPRO", "COPRO"));
    let back: Outcome = serde_json::from_str(&text(&outcome))?;
    assert_eq!(back, outcome);
    Ok(())
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let builder = COPRO::builder;
    let cases = [
        ("breadth", builder().breadth(1).build()),
        ("breadth", builder().breadth(0).build()),
        ("depth", builder().depth(0).build()),
        ("concurrency", builder().concurrency(0).build()),
        ("init_temperature", builder().init_temperature(f64::NAN).build()),
        ("init_temperature", builder().init_temperature(-0.1).build()),
        ("init_temperature", builder().init_temperature(2.5).build()),
        ("valset", builder().valset(vec![]).build()),
        ("max_calls", builder().max_calls(3).build()),
        ("max_metric_calls", builder().max_metric_calls(3).build()),
    ];
    for (option, optimizer) in cases {
        let error = compile(&optimizer, Stage::answering("yes"), same_answer(10)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Option { option: named, .. } if *named == option),
            "{option}: {error}"
        );
    }
}

#[tokio::test]
async fn the_temperature_goes_over_the_wire_to_the_prompt_model_only() {
    for (optimizer, expected) in
        [(COPRO::default(), 1.4), (COPRO::builder().init_temperature(0.3).build(), 0.3)]
    {
        for server in [Server::Honours, Server::Ignores] {
            let model = Arc::new(Stage::answering("no").on(server));
            optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
            for request in model.requests() {
                let temperature = if is_task(&request) { None } else { Some(expected) };
                assert_eq!(request.sampling.temperature, temperature);
            }
        }
    }
}

#[tokio::test]
async fn breadth_and_depth_size_the_run() {
    for (breadth, depth, expected) in [(2, 1, 2), (2, 3, 1 + 1 + 2 + 2), (6, 1, 6), (4, 2, 1 + 3 + 4)] {
        let optimizer = COPRO::builder().breadth(breadth).depth(depth).build();
        let outcome = compile(&optimizer, Stage::answering("no"), same_answer(20)).await.unwrap();
        assert_eq!((outcome.candidates.len(), depths(&outcome).len()), (expected, depth));
        assert_eq!(depths(&outcome)[0].attempts, breadth);
    }
}

#[tokio::test]
async fn statistics_are_tracked_when_asked_for() {
    for track in [true, false] {
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&heard);
        let observer = move |event: &Event| {
            counter.fetch_add(usize::from(matches!(event, Event::Trial(_))), Ordering::SeqCst);
        };
        let optimizer =
            COPRO::builder().breadth(3).depth(2).track_stats(track).observer(Arc::new(observer)).build();
        let outcome = compile(&optimizer, Stage::answering("no"), same_answer(20)).await.unwrap();
        assert_eq!([outcome.trials.len(), outcome.scores.len()], if track { [6, 6] } else { [0, 0] });
        assert_eq!(depths(&outcome).len(), if track { 2 } else { 0 });
        assert_eq!(heard.load(Ordering::SeqCst), outcome.trials.len());
    }
}

#[tokio::test]
async fn prompt_model_and_task_model_are_kept_apart() {
    let (task_model, prompt_model) = (Arc::new(Stage::answering("no")), Arc::new(Stage::answering("no")));
    let optimizer =
        COPRO::builder().breadth(4).task_model(task_model.clone()).prompt_model(prompt_model.clone()).build();
    let mut module = toy::answerer().with_metric(toy::exact_answer());
    let outcome = optimizer.compile(&mut module, same_answer(20)).await.unwrap();
    assert!(task_model.requests().iter().all(is_task));
    assert!(!prompt_model.requests().iter().any(is_task));
    assert_eq!(outcome.spending.task.calls, task_model.calls());
    assert_eq!(outcome.spending.prompt.calls, prompt_model.calls());
}

#[tokio::test]
async fn a_program_without_a_model_asks_for_one() {
    let mut module = toy::answerer().with_metric(toy::exact_answer());
    let error = COPRO::default().compile(&mut module, same_answer(20)).await.unwrap_err();
    assert!(error.to_string().contains("task_model"), "{error}");
}

#[tokio::test]
async fn the_seed_decides() {
    let task = HiddenRules::new(6, 1);
    let mut outcomes = Vec::new();
    for seed in [1, 1, 2] {
        let optimizer = COPRO::builder().breadth(4).depth(2).seed(seed).build();
        outcomes.push(text(&compile(&optimizer, task.model(1), task.examples(60)).await.unwrap()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
}

#[tokio::test]
async fn a_valset_is_what_is_selected_on() {
    let valset: Vec<_> = same_answer(9).split_off(2);
    let optimizer = COPRO::builder().breadth(3).depth(1).valset(valset).build();
    let outcome = compile(&optimizer, Stage::answering("yes"), same_answer(2)).await.unwrap();
    assert_eq!((outcome.baseline.n, outcome.baseline.mean), (7, 1.0));
    let overlap = COPRO::builder().valset(same_answer(3)).build();
    let error = compile(&overlap, Stage::answering("yes"), same_answer(5)).await.unwrap_err();
    assert!(error.to_string().contains("must not overlap"), "{error}");
}

#[tokio::test]
async fn what_a_store_knows_is_not_bought_again() {
    let store = Arc::new(MemoryStore::default());
    let task = HiddenRules::new(6, 1);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let optimizer = COPRO::builder().breadth(4).depth(2).store(store.clone()).build();
        runs.push(compile(&optimizer, task.model(1), task.examples(60)).await.unwrap());
    }
    assert!(runs[0].spending.task.calls > 0);
    assert_eq!(runs[1].spending.task.calls, 0);
    assert_eq!(runs[1].candidates, runs[0].candidates);
}

#[tokio::test]
async fn the_original_stays_on_a_tie() {
    for answer in ["yes", "no"] {
        let mut module = program(Arc::new(Stage::answering(answer)));
        let before = module.candidate();
        let outcome =
            COPRO::builder().breadth(4).build().compile(&mut module, same_answer(20)).await.unwrap();
        assert_eq!((outcome.best, outcome.stop.clone()), (0, StopReason::Completed), "always {answer}");
        assert!(outcome.comparison.is_none() && !outcome.improved());
        assert_eq!(module.candidate(), before);
    }
}

#[tokio::test]
async fn instructions_can_be_written_without_a_model() {
    let model = Arc::new(Stage::answering("no"));
    let optimizer = COPRO::builder()
        .breadth(4)
        .depth(2)
        .instruction_writer(Arc::new(TemplateProposer::default()))
        .build();
    let outcome = optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    assert!(model.requests().iter().all(is_task), "templates need no model");
    assert_eq!((outcome.candidates.len(), outcome.spending.prompt.calls), (1 + 3 + 4, 0));
    assert_eq!(instructions(&outcome).into_iter().collect::<HashSet<_>>().len(), 8);
}
