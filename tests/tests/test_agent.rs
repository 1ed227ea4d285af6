//! Programs that call tools, under every optimizer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LanguageModel, LmRequest};
use promptopt_core::program::{CallContext, Cancellation, Module, ModuleExt as _};
use promptopt_core::trace::StepKind;
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{Optimizer as _, Outcome, RunOptions, Strategy};
use promptopt_simba::SIMBA;
use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};
use promptopt_testkit::{Drawers, around};

fn strategies(options: &RunOptions) -> [Box<dyn Strategy>; 5] {
    [
        Box::new(MIPROv2::default().with_run_options(options.clone())),
        Box::new(COPRO::default().with_run_options(options.clone())),
        Box::new(GEPA::default().with_run_options(options.clone())),
        Box::new(SIMBA::default().with_run_options(options.clone())),
        Box::new(RandomSearch::default().with_run_options(options.clone())),
    ]
}

/// A model that counts what it is asked.
fn counted(model: Arc<dyn LanguageModel>) -> (Arc<dyn LanguageModel>, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let model = around(model, move |next, request: LmRequest| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { next.complete(&request).await }
    });
    (Arc::new(model), calls)
}

/// A run of every optimizer under a cap of calls, and the calls that the model got.
fn outcomes(cap: u64, concurrency: usize, improves_tools: bool) -> Vec<(Outcome, u64)> {
    let task = Drawers::new(6, 3);
    let run = |number: usize| {
        let (model, calls) = counted(task.model(3));
        let options = RunOptions::builder().task_model(model).concurrency(concurrency).max_calls(cap).build();
        let strategy = strategies(&options).into_iter().nth(number).unwrap();
        let mut program = task.agent().improving_tools(improves_tools).with_metric(task.metric());
        let outcome = pollster::block_on(strategy.compile(&mut program, task.examples(60))).unwrap();
        (outcome, calls.load(Ordering::SeqCst))
    };
    (0..5).map(run).collect()
}

#[test]
fn whoever_writes_the_instruction_of_an_agent_is_told_its_tools() {
    let task = Drawers::new(6, 3);
    // MIPROv2 shows the program's source, and random search writes nothing.
    for number in [1, 2, 3] {
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let model: Arc<dyn LanguageModel> =
            Arc::new(around(task.model(3), move |next, request: LmRequest| {
                let texts = request.messages.iter().map(|message| message.text());
                let is_told = texts.clone().any(|text| text.contains("Before it answers it may call tools"));
                count.fetch_add(u64::from(is_told && request.tools.is_empty()), Ordering::SeqCst);
                async move { next.complete(&request).await }
            }));
        let options = RunOptions::builder().task_model(model).max_calls(400).build();
        let strategy = strategies(&options).into_iter().nth(number).unwrap();
        let mut program = task.agent().with_metric(task.metric());
        pollster::block_on(strategy.compile(&mut program, task.examples(60))).unwrap();
        assert!(told.load(Ordering::SeqCst) > 0, "{}", strategy.name());
    }
}

#[test]
fn every_optimizer_improves_an_agent_within_its_cap() {
    for (outcome, calls) in outcomes(600, 8, false) {
        let name = &outcome.optimizer;
        assert_eq!(outcome.spending.total().calls, calls, "{name}");
        assert!(calls <= 600, "{name} made {calls} calls");
        let (before, after) = (outcome.baseline.mean, outcome.selected.mean);
        // The two that copy whole runs or rules from them need a model that varies from draw to draw.
        let gain = if ["MIPROv2", "COPRO", "GEPA"].contains(&name.as_str()) { 0.4 } else { 0.0 };
        assert!(before < 0.4 && after >= before + gain, "{name}: {before} to {after}");
    }
}

#[test]
fn demos_are_planned_by_the_calls_that_an_agent_makes_and_not_by_those_it_may_make() {
    let task = Drawers::new(6, 3);
    let run = |max_turns: u32| {
        let options = RunOptions::builder().task_model(task.model(3)).max_calls(600).build();
        let strategy = MIPROv2::default().with_run_options(options);
        let mut program = task.agent().with_max_turns(max_turns).with_metric(task.metric());
        let outcome = pollster::block_on(strategy.compile(&mut program, task.examples(60))).unwrap();
        let demos =
            outcome.candidates.iter().flat_map(|one| one.prompts.get("desk")).flat_map(|it| &it.demos);
        let shown = demos.filter(|demo| demo.augmented).map(|demo| ContentHash::of(&demo.fields));
        shown.collect::<HashSet<_>>().len()
    };
    let (few, many) = (run(4), run(200));
    assert!(few > 5 && many > 5, "{few} different demos with 4 turns, {many} with 200");
}

#[test]
fn the_outcome_of_an_agent_does_not_depend_on_concurrency() {
    for ((one, _), (other, _)) in outcomes(300, 1, true).iter().zip(outcomes(300, 32, true)) {
        assert_eq!(one.candidates, other.candidates, "{}", one.optimizer);
        assert_eq!((one.spending, &one.notes), (other.spending, &other.notes), "{}", one.optimizer);
    }
}

#[test]
fn steps_of_tools_are_parts_of_the_agents() {
    let task = Drawers::new(6, 3);
    let program = task.agent().with_metric(task.metric());
    let context = CallContext::new(task.model(3));
    for example in task.examples(10) {
        pollster::block_on(program.run(&context, &example.inputs())).unwrap();
    }
    let (steps, _) = context.take_record();
    let tools: Vec<_> = steps.iter().filter(|step| step.kind == StepKind::Tool).collect();
    assert!(tools.len() >= 10);
    for tool in tools {
        let whole = &steps[tool.parent.unwrap()];
        assert_eq!((whole.predictor.as_str(), whole.kind), ("desk", StepKind::Predictor));
    }
}

#[test]
fn an_agent_that_was_interrupted_goes_on_and_pays_nothing_twice() {
    let task = Drawers::new(6, 3);
    let folder = tempfile::tempdir().unwrap();
    let run = |journal: Option<&RunDirectory>, stop_at: Option<u64>, number: usize| {
        let cancellation = Cancellation::new();
        let (model, calls) = counted(task.model(3));
        let (flag, seen) = (cancellation.clone(), Arc::clone(&calls));
        let cut = around(model, move |next, request: LmRequest| {
            if stop_at.is_some_and(|most| seen.load(Ordering::SeqCst) >= most) {
                flag.cancel();
            }
            async move { next.complete(&request).await }
        });
        let stored = StoredModel::new(Arc::new(cut), journal.map(|run| run.journal().clone()), None);
        let options = RunOptions::builder()
            .task_model(Arc::new(stored))
            .concurrency(4)
            .max_calls(200)
            .cancellation(cancellation)
            .build();
        let strategy = strategies(&options).into_iter().nth(number).unwrap();
        let mut program = task.agent().with_metric(task.metric());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(strategy.compile(&mut program, task.examples(40)));
        (outcome.ok(), calls.load(Ordering::SeqCst))
    };
    for number in 0..3 {
        let (whole, made) = run(None, None, number);
        for cut in [7, 31, 60, 111, 150] {
            let path = folder.path().join(format!("{number}-{cut}"));
            let hash = ContentHash::of(&(number, cut));
            let manifest = Manifest::new(serde_json::json!({}), hash, hash, 1, "2026-01-01T00:00:00Z");
            let directory = RunDirectory::create(&path, &manifest, Redactor::default()).unwrap();
            let (_, paid) = run(Some(&directory), Some(cut), number);
            drop(directory);
            let directory = RunDirectory::open(&path, Redactor::default()).unwrap();
            let (resumed, paid_again) = run(Some(&directory), None, number);
            assert!(
                paid < made && paid + paid_again <= made + 4,
                "{number} {cut}: {paid} + {paid_again} of {made}"
            );
            let (whole, resumed) = (whole.as_ref().unwrap(), resumed.unwrap());
            assert_eq!(
                (&whole.candidates, &whole.notes),
                (&resumed.candidates, &resumed.notes),
                "{number} {cut}"
            );
            assert_eq!(whole.spending, resumed.spending, "{number} {cut}");
        }
    }
}
