//! What the first stage promises: traces in order with their failures, and demo sets within their
//! bounds, from training examples only, the same at any concurrency.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mockall::mock;
use promptopt_core::data::{ContentHash, Example, Prediction};
use promptopt_core::lm::{LanguageModel, LmError, LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::{Evaluator, Metric, ModuleExt as _, metric_fn};
use promptopt_core::trace::{FailureKind, Trace};
use promptopt_run::{Halt, MemoryStore, RolloutKey, RolloutStore, Run, RunOptions, StopReason};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};
use promptopt_trace_gen::{BootstrapOptions, Bootstrapped, DemoSetKind, bootstrap, generate_traces};
use proptest::prelude::*;

/// What a model was asked, in order of arrival.
type Asked = Arc<Mutex<Vec<LmRequest>>>;

fn grade(number: u64) -> f64 {
    (number % 5) as f64 / 4.0
}

/// Answers question number n with the score it is to get, one of 0, ¼, ½, ¾ and 1. Every seventh
/// reply cannot be used, every eleventh request fails. Takes its time, and not always the same.
fn grader() -> (Arc<dyn LanguageModel>, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let model = lm_fn("grader", move |request: LmRequest| {
        noted.lock().unwrap().push(request.clone());
        async move {
            for _ in 0..ContentHash::of(&request.messages).as_u64() % 7 {
                tokio::task::yield_now().await;
            }
            let question = request.messages.last().unwrap().text();
            let rest = question.rsplit("Question number").next().unwrap();
            let number: u64 = rest.split_whitespace().next().unwrap().parse().unwrap();
            if number % 11 == 10 {
                return Err(LmError::Server { status: 500, message: "down".into(), retry_after: None });
            }
            let answer = grade(number).to_string();
            let reply = ScriptedLm::chat_reply([("answer", answer.as_str())]);
            Ok(LmReply::text(if number % 7 == 6 { "no idea".into() } else { reply }, Usage::call(1, 1)))
        }
    });
    (Arc::new(model), asked)
}

/// A run on the grader that is changed where a test wants something else.
fn graded_by<'p>(program: &'p dyn Evaluator, change: impl FnOnce(&mut RunOptions)) -> (Run<'p>, Asked) {
    let (model, asked) = grader();
    let mut options = RunOptions::builder().task_model(model).max_errors(u64::MAX).build();
    change(&mut options);
    (Run::of(program, options).unwrap(), asked)
}

fn as_answered() -> impl Metric {
    metric_fn(|_: &Example, prediction: &Prediction| {
        prediction.get_str("answer").unwrap().parse::<f64>().unwrap()
    })
}

fn questions(numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Example>> {
    let example = |number| {
        let fields =
            [("question", format!("Question number {number}")), ("answer", format!("label {}", number % 3))];
        Example::new(fields, ["question"]).into()
    };
    numbers.into_iter().map(example).collect()
}

async fn graded(
    examples: &[Arc<Example>],
    options: &BootstrapOptions,
    concurrency: usize,
) -> (Bootstrapped, Vec<LmRequest>) {
    let program = toy::answerer().with_metric(as_answered());
    let (mut run, asked) = graded_by(&program, |run| {
        run.concurrency = concurrency;
        // Traces are compared as a whole, and so are the times of their steps.
        run.clock = Some(Arc::new(|| Duration::ZERO));
    });
    let found = bootstrap(&mut run, examples, options).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    (found, asked)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn options() -> impl Strategy<Value = BootstrapOptions> {
    let threshold = prop::option::of(prop::sample::select(vec![0.0, 0.25, 0.6, 1.0, 1.5]));
    (0_usize..8, 0_usize..4, 0_usize..4, threshold, prop::option::of(0_usize..30), any::<u64>()).prop_map(
        |(num_sets, max_bootstrapped_demos, max_labeled_demos, metric_threshold, max_rollouts, seed)| {
            BootstrapOptions::default()
                .with_num_sets(num_sets)
                .with_max_bootstrapped_demos(max_bootstrapped_demos)
                .with_max_labeled_demos(max_labeled_demos)
                .with_metric_threshold(metric_threshold)
                .with_max_rollouts(max_rollouts)
                .with_seed(seed)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn demo_sets_keep_their_bounds_and_come_from_the_data(
        // Numbers may repeat: real data sets have equal rows.
        numbers in proptest::collection::vec(0_u64..40, 0..40),
        options in options(),
    ) {
        let examples = questions(numbers);
        let (found, asked) = block_on(graded(&examples, &options, 1));

        prop_assert!(found.sets.len() <= options.num_sets.max(1));
        prop_assert_eq!(found.sets[0].kind, DemoSetKind::Empty);
        prop_assert!(found.sets[0].is_empty());
        for (index, set) in found.sets.iter().enumerate() {
            prop_assert!(found.sets[..index].iter().all(|other| other.demos != set.demos), "two equal sets");
        }

        let scores: HashMap<ContentHash, f64> = found
            .traces
            .iter()
            .filter_map(|trace| Some((trace.example.content_hash(), trace.score_value()?)))
            .collect();
        let known: HashMap<_, _> = examples.iter().map(|example| (example.content_hash(), example)).collect();
        for demos in found.sets.iter().map(|set| set.of("answer")) {
            let bootstrapped = demos.iter().filter(|demo| demo.augmented).count();
            prop_assert!(bootstrapped <= options.max_bootstrapped_demos);
            prop_assert!(demos.len() - bootstrapped <= options.max_labeled_demos);
            let sources: HashSet<_> = demos.iter().map(|demo| demo.source.unwrap()).collect();
            prop_assert_eq!(sources.len(), demos.len(), "an example twice in a set");
            for demo in demos {
                let source = demo.source.unwrap();
                let example = known.get(&source).expect("a demo is made from a training example");
                prop_assert_eq!(demo.fields.get("question"), example.get("question"));
                if demo.augmented {
                    let passed = options.metric_threshold.map_or(scores[&source] > 0.0, |threshold| {
                        scores[&source] >= threshold
                    });
                    prop_assert!(passed, "a demo of a rollout that scored {}", scores[&source]);
                } else {
                    prop_assert_eq!(&demo.fields, example.fields());
                }
            }
        }

        // The rollouts are those of the first examples, in order, each once.
        let mut seen = HashSet::new();
        let distinct: Vec<_> =
            examples.iter().filter(|example| seen.insert(example.content_hash())).collect();
        prop_assert!(found.traces.len() <= options.max_rollouts.unwrap_or(usize::MAX).min(distinct.len()));
        for (trace, example) in found.traces.iter().zip(distinct) {
            prop_assert_eq!(&trace.example, example);
        }
        // No question was answered with its own demo in view.
        for request in &asked {
            let (last, before) = request.messages.split_last().unwrap();
            let question = last.text().lines().nth(1).unwrap();
            prop_assert!(before.iter().all(|message| message.text().lines().all(|line| line != question)));
        }

        let (again, _) = block_on(graded(&examples, &options, 32));
        prop_assert_eq!(&found.sets, &again.sets);
        prop_assert_eq!(&found.traces, &again.traces);
    }
}

#[tokio::test]
async fn traces_come_in_order_and_failures_are_kept() {
    let program = toy::answerer().with_metric(as_answered());
    let examples = questions(0..40);
    for concurrency in [1, 32] {
        let (mut run, _) = graded_by(&program, |run| run.concurrency = concurrency);
        let traces = generate_traces(&mut run, &examples).await.unwrap();
        assert_eq!(traces.len(), 40);
        for (number, (trace, example)) in traces.iter().zip(&examples).enumerate() {
            assert_eq!(&trace.example, example);
            let failure = trace.error.as_ref().map(|failure| failure.kind);
            match number as u64 {
                number if number % 11 == 10 => assert_eq!(failure, Some(FailureKind::Provider)),
                number if number % 7 == 6 => assert_eq!(failure, Some(FailureKind::Reply)),
                number => assert_eq!(trace.score_value(), Some(grade(number))),
            }
            assert_eq!(trace.steps.len(), 1, "what was asked is kept, also where it failed");
        }
    }
}

#[tokio::test]
async fn seeds_make_other_sets() {
    let examples = questions(0..40);
    let sets = async |seed| graded(&examples, &BootstrapOptions::default().with_seed(seed), 8).await.0.sets;
    assert_eq!(sets(1).await, sets(1).await);
    assert_ne!(sets(1).await, sets(2).await);
}

#[tokio::test]
async fn it_stops_when_it_has_enough() {
    let program = toy::answerer().with_metric(metric_fn(|_: &Example, _: &Prediction| true));
    let model = Arc::new(ScriptedLm::answering("yes"));
    let mut run = Run::bare(&program, Arc::clone(&model) as _);
    let options = BootstrapOptions::default().with_num_sets(4).with_max_bootstrapped_demos(2);
    let found = bootstrap(&mut run, &questions(0..500), &options).await.unwrap();
    // Two sets of two demos each are wanted; the smallest wave is eight.
    assert_eq!((model.calls(), found.passed), (8, 8));
    assert_eq!(found.sets.len(), 4);
}

#[tokio::test]
async fn zero_shot_is_one_empty_set_and_costs_nothing() {
    let check = async |max_bootstrapped_demos, max_labeled_demos, sets: std::ops::Range<usize>| {
        let options = BootstrapOptions::default()
            .with_max_bootstrapped_demos(max_bootstrapped_demos)
            .with_max_labeled_demos(max_labeled_demos);
        let (found, asked) = graded(&questions(0..40), &options, 8).await;
        assert!(sets.contains(&found.sets.len()), "{}", found.sets.len());
        assert_eq!(asked.len(), 0);
        assert!(found.sets.iter().all(|set| set.of("answer").iter().all(|demo| !demo.augmented)));
    };
    check(0, 0, 1..2).await;
    // Labelled demos only: many sets, no call.
    check(0, 4, 5..11).await;
}

#[tokio::test]
async fn without_labelled_demos_two_sets_are_none_and_bootstrapped() {
    let options = BootstrapOptions::default().with_num_sets(2).with_max_labeled_demos(0);
    let (found, _) = graded(&questions(0..40), &options, 8).await;
    let kinds: Vec<_> = found.sets.iter().map(|set| set.kind).collect();
    assert_eq!(kinds, [DemoSetKind::Empty, DemoSetKind::Bootstrapped]);
    assert_eq!(found.sets[1].of("answer").len(), 4);
}

#[tokio::test]
async fn where_nothing_passes_demos_are_labelled_ones() {
    let program = toy::answerer().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, Arc::new(ScriptedLm::answering("wrong")));
    let found = bootstrap(&mut run, &questions(0..20), &BootstrapOptions::default()).await.unwrap();
    assert_eq!((found.passed, found.traces.len()), (0, 20));
    let demos: Vec<_> = found.sets.iter().flat_map(|set| set.of("answer")).collect();
    assert!(!demos.is_empty() && demos.iter().all(|demo| !demo.augmented));
}

#[tokio::test]
async fn both_predictors_of_a_program_get_bootstrapped_demos() {
    let task = HiddenRules::new(12, 1).in_two_stages();
    let examples: Vec<_> = task.examples(100).into_iter().map(Arc::new).collect();
    let program = toy::TwoStage::default().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, Arc::new(task.model(1)));
    let found = bootstrap(&mut run, &examples, &BootstrapOptions::default()).await.unwrap();
    assert!(found.passed > 0);
    let shown = |path: &str| -> Vec<_> { found.sets.iter().flat_map(|set| set.of(path)).collect() };
    let (topics, answers) = (shown("classify"), shown("answer"));
    // The data says nothing of topics, so only rollouts can show them.
    assert!(topics.iter().all(|demo| demo.augmented && demo.fields.contains_key("topic")));
    assert!(answers.iter().any(|demo| demo.augmented && demo.fields.contains_key("topic")));
    for set in &found.sets[1..] {
        assert_eq!(set.of("classify").len().min(1), 1, "{:?} shows no topic", set.kind);
    }
}

#[tokio::test]
async fn the_demos_of_a_teacher_are_what_the_teacher_answered() {
    let teacher = toy::answerer().with_metric(metric_fn(|_: &Example, _: &Prediction| 0.8));
    let mut run = Run::bare(&teacher, Arc::new(ScriptedLm::answering("as the teacher says")));
    let found = bootstrap(&mut run, &questions(0..20), &BootstrapOptions::default()).await.unwrap();
    let taught: Vec<_> =
        found.sets.iter().flat_map(|set| set.of("answer")).filter(|demo| demo.augmented).collect();
    assert!(!taught.is_empty());
    assert!(taught.iter().all(|demo| demo.fields["answer"] == "as the teacher says"));
}

#[tokio::test]
async fn a_budget_that_runs_out_leaves_what_was_made_in_the_store() {
    let program = toy::answerer().with_metric(as_answered());
    let store = Arc::new(MemoryStore::default());
    let (mut run, asked) = graded_by(&program, |run| {
        (run.max_calls, run.store) = (Some(12), Some(Arc::clone(&store) as _));
    });
    let ended = bootstrap(&mut run, &questions(0..40), &BootstrapOptions::default()).await;
    assert!(matches!(ended, Err(Halt::Stopped(StopReason::Budget))), "{ended:?}");
    let made = asked.lock().unwrap().len();
    assert!(made <= 12);
    let (mut run, asked) = graded_by(&program, |run| run.store = Some(store));
    let options = BootstrapOptions::default().with_max_rollouts(Some(made));
    let found = bootstrap(&mut run, &questions(0..40), &options).await.unwrap();
    assert!(found.passed > 0 && found.sets.len() > 2);
    assert!(asked.lock().unwrap().len() < made, "what passed was not made again");
}

#[tokio::test]
async fn a_threshold_that_is_no_number_is_refused() {
    let program = toy::answerer().with_metric(as_answered());
    let (mut run, _) = graded_by(&program, |_| {});
    for threshold in [f64::NAN, f64::INFINITY] {
        let options = BootstrapOptions::default().with_metric_threshold(threshold);
        let error = bootstrap(&mut run, &questions(0..3), &options).await.unwrap_err();
        let error = anyhow::Error::from(error);
        assert!(format!("{error:#}").contains("finite number"), "{error:#}");
    }
}

mock! {
    Store {}

    #[async_trait]
    impl RolloutStore for Store {
        async fn get(&self, key: &RolloutKey) -> anyhow::Result<Option<Arc<Trace>>>;
        async fn put(&self, key: RolloutKey, trace: Arc<Trace>) -> anyhow::Result<()>;
    }
}

#[tokio::test]
async fn traces_that_can_be_evidence_are_stored_once_each_and_a_full_disk_is_said() {
    let program = toy::answerer().with_metric(as_answered());
    let examples = questions(0..12);
    let mut store = MockStore::new();
    store.expect_get().times(12).returning(|_| Ok(None));
    // Number 10 failed at the provider, which may not happen the next time.
    store.expect_put().times(11).returning(|_, _| Ok(()));
    let (mut run, _) = graded_by(&program, |run| run.store = Some(Arc::new(store)));
    generate_traces(&mut run, &examples).await.unwrap();

    let mut store = MockStore::new();
    store.expect_get().returning(|_| Ok(None));
    store.expect_put().returning(|_, _| anyhow::bail!("disk full"));
    let (mut run, _) = graded_by(&program, |run| run.store = Some(Arc::new(store)));
    let error = anyhow::Error::from(generate_traces(&mut run, &examples).await.unwrap_err());
    assert!(format!("{error:#}").ends_with("disk full"), "{error:#}");
}
