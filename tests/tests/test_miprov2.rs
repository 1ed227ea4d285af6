//! MIPROv2 through `compile`, on scripted and simulated models: trace generation, candidate
//! selection, configuration and edge cases.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use miprov2::{Auto, MIPROv2};
use promptopt_core::{
    CallContext, Error, Example, Fields, LanguageModel, LmError, LmReply, LmRequest, Module, ModuleExt as _,
    Optimizer as _, Outcome, Prediction, Predictor, PromptCandidate, Role, Score, StopReason, TrialKind,
    metric_fn,
};
use promptopt_predict::Predict;
use promptopt_proposer::TemplateProposer;
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};
use promptopt_tips::{PromptingTips, Tip};

use crate::support::{numbered, program, small, text};

/// Whether a request goes to the task predictor (and not to the prompt model).
fn is_task(request: &LmRequest) -> bool {
    request.messages[0].content.contains("Your output fields are:\n1. `answer`")
}

fn wants(request: &LmRequest, field: &str) -> bool {
    request.messages[0].content.contains(&format!("Your output fields are:\n1. `{field}`"))
}

/// A task model that answers with `answer`, and a prompt model that writes `propose(n)` as its
/// n-th proposal.
fn scripted(answer: &'static str, propose: impl Fn(usize) -> String + Send + Sync + 'static) -> ScriptedLm {
    let proposals = AtomicUsize::new(0);
    ScriptedLm::new(move |request| {
        if is_task(request) {
            return Ok(ScriptedLm::chat_reply([("answer", answer)]));
        }
        for field in ["observations", "summary", "program_description", "module_description"] {
            if wants(request, field) {
                return Ok(ScriptedLm::chat_reply([(field, "Questions with short answers.")]));
            }
        }
        let text = propose(proposals.fetch_add(1, Ordering::SeqCst));
        Ok(ScriptedLm::chat_reply([("proposed_instruction", text.as_str())]))
    })
}

fn distinct_proposals() -> impl Fn(usize) -> String + Send + Sync {
    |n| format!("Answer the question with care, way number {n}.")
}

async fn compile(
    optimizer: &MIPROv2,
    model: impl LanguageModel + 'static,
    examples: Vec<Example>,
) -> Result<Outcome, Error> {
    optimizer.compile(&mut program(Arc::new(model)), examples).await
}

fn same_answer(count: usize) -> Vec<Example> {
    (0..count)
        .map(|n| {
            Example::new([("question", format!("question {n}")), ("answer", "yes".to_owned())], ["question"])
        })
        .collect()
}

// Usage.

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
    let optimizer: Box<dyn promptopt_core::Optimizer> = Box::new(small());
    let mut module: Box<dyn promptopt_core::Evaluator> = Box::new(program(Arc::new(task.model(1))));
    let outcome = optimizer.compile(&mut module, task.examples(40)).await.unwrap();
    assert_eq!((optimizer.name(), outcome.optimizer.as_str()), ("MIPROv2", "MIPROv2"));
}

// Trace generation.

#[tokio::test]
async fn demos_come_from_rollouts_that_pass() {
    let task = HiddenRules::new(4, 2);
    let examples = task.examples(60);
    let optimizer = MIPROv2::builder().num_candidates(6).num_trials(10).max_labeled_demos(0).build();
    let outcome = compile(&optimizer, task.model(2), examples.clone()).await.unwrap();
    let demos: Vec<_> =
        outcome.candidates.iter().flat_map(|one| &one.prompts.get("answer").unwrap().demos).collect();
    assert!(!demos.is_empty());
    for demo in demos {
        assert!(demo.augmented);
        let source = examples.iter().find(|example| Some(example.content_hash()) == demo.source).unwrap();
        assert_eq!(demo.fields.get("answer"), source.get("answer"), "a demo that failed");
    }
}

#[tokio::test]
async fn when_nothing_passes_demos_are_labelled_and_it_is_said() {
    let outcome = compile(&small(), scripted("wrong", distinct_proposals()), numbered(30)).await.unwrap();
    assert!(outcome.notes.iter().any(|note| note.contains("no rollout passed")), "{:?}", outcome.notes);
    let labelled = outcome.candidates.iter().flat_map(|one| &one.prompts.get("answer").unwrap().demos);
    assert!(labelled.inspect(|demo| assert!(!demo.augmented)).count() > 0);
}

#[tokio::test]
async fn the_threshold_keeps_half_right_rollouts_out() {
    let optimizer = |threshold| {
        MIPROv2::builder()
            .num_candidates(4)
            .num_trials(4)
            .max_labeled_demos(0)
            .metric_threshold(threshold)
            .build()
    };
    for (threshold, expected) in [(0.9, false), (0.5, true)] {
        let mut module = toy::answerer()
            .with_model(Arc::new(scripted("yes", distinct_proposals())))
            .with_metric(metric_fn(|_: &Example, _: &Prediction| 0.5));
        let outcome = optimizer(threshold).compile(&mut module, same_answer(30)).await.unwrap();
        let augmented = outcome
            .candidates
            .iter()
            .any(|one| one.prompts.get("answer").unwrap().demos.iter().any(|demo| demo.augmented));
        assert_eq!(augmented, expected, "threshold {threshold}");
    }
}

#[tokio::test]
async fn an_example_is_never_answered_by_its_own_demo() {
    let task = HiddenRules::new(4, 2);
    let inner = Arc::new(task.model(2));
    let model = Arc::new(ScriptedLm::new({
        let inner = Arc::clone(&inner);
        move |request| {
            let reply = futures_lite_block(inner.complete(request));
            Ok(reply.unwrap().first_text().to_owned())
        }
    }));
    let mut module = program(model.clone());
    small().compile(&mut module, task.examples(40)).await.unwrap();
    for request in model.requests().iter().filter(|request| is_task(request)) {
        let (question, before) = request.messages.split_last().unwrap();
        let asked = question.content.split("\n\nRespond").next().unwrap();
        let demos = before.iter().filter(|message| message.role == Role::User);
        assert!(demos.clone().all(|demo| demo.content != asked), "{asked}");
    }
}

/// Runs a future that never waits.
fn futures_lite_block<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the simulated model never waits"),
    }
}

#[tokio::test]
async fn a_teacher_provides_the_demos() {
    let teacher_model = Arc::new(scripted("yes", distinct_proposals()));
    let teacher: Arc<dyn Module> = Arc::new(toy::answerer().with_model(teacher_model.clone()));
    let optimizer =
        MIPROv2::builder().num_candidates(4).num_trials(4).max_labeled_demos(0).teacher(teacher).build();
    let outcome = compile(&optimizer, scripted("no", distinct_proposals()), same_answer(30)).await.unwrap();
    assert!(teacher_model.calls() > 0);
    let taught = outcome.candidates.iter().flat_map(|one| &one.prompts.get("answer").unwrap().demos);
    assert!(taught.inspect(|demo| assert_eq!(demo.fields["answer"], "yes")).count() > 0);
}

#[tokio::test]
async fn a_teacher_with_other_predictors_is_refused() {
    let optimizer = MIPROv2::builder().teacher(Arc::new(toy::TwoStage::default()) as Arc<dyn Module>).build();
    let error = compile(&optimizer, ScriptedLm::answering("yes"), same_answer(10)).await.unwrap_err();
    assert!(error.to_string().contains("`teacher`"), "{error}");
}

// Candidate selection.

#[test]
fn no_candidate_has_a_score() {
    let none = PromptCandidate::default();
    assert_eq!(PromptCandidate::best(&[none.clone(), none]), None);
}

#[test]
fn of_equal_scores_the_first_wins_and_nan_never_does() {
    let with = |score| PromptCandidate { score: Some(score), ..PromptCandidate::default() };
    assert_eq!(PromptCandidate::best(&[with(0.5), with(0.5), with(f64::NAN)]), Some(0));
    assert_eq!(PromptCandidate::best(&[with(f64::NAN), with(0.1)]), Some(1));
}

#[tokio::test]
async fn when_all_score_the_same_the_original_stays() {
    for answer in ["yes", "no"] {
        let mut module = program(Arc::new(scripted(answer, distinct_proposals())));
        let before = module.candidate();
        let outcome = small().compile(&mut module, same_answer(30)).await.unwrap();
        assert_eq!(outcome.best, 0, "always {answer}");
        assert!(outcome.comparison.is_none() && !outcome.improved());
        assert_eq!(module.candidate(), before);
    }
}

#[tokio::test]
async fn a_better_instruction_wins() {
    // Right only under the third proposal; demos do not help.
    let model = ScriptedLm::new({
        let inner = scripted("no", distinct_proposals());
        move |request| {
            let taught = is_task(request) && request.messages[0].content.contains("way number 2.");
            let reply = futures_lite_block(inner.complete(request))?;
            Ok(if taught {
                ScriptedLm::chat_reply([("answer", "yes")])
            } else {
                reply.first_text().to_owned()
            })
        }
    });
    let optimizer = MIPROv2::builder()
        .num_candidates(5)
        .num_trials(8)
        .max_bootstrapped_demos(0)
        .max_labeled_demos(0)
        .build();
    let outcome = compile(&optimizer, model, same_answer(40)).await.unwrap();
    assert!(outcome.winner().unwrap().instruction("answer").unwrap().contains("way number 2."));
    assert_eq!((outcome.baseline.mean, outcome.selected.mean), (0.0, 1.0));
    assert!(outcome.comparison.unwrap().is_better());
}

#[tokio::test]
async fn the_winner_was_evaluated_on_the_whole_selection_set() {
    let task = HiddenRules::new(6, 4);
    let outcome = compile(&small(), task.model(4), task.examples(50)).await.unwrap();
    assert_eq!((outcome.selected.n, outcome.baseline.n), (30, 30));
    assert!(outcome.winner().unwrap().score.is_some());
    assert!(
        outcome.candidates.iter().filter(|one| one.score.is_none()).count() > 0,
        "leaders only are evaluated in full"
    );
    assert!(outcome.choice.contains("all 30 examples"));
}

#[tokio::test]
async fn no_combination_is_evaluated_twice() {
    let task = HiddenRules::new(6, 4);
    let outcome = compile(&MIPROv2::default(), task.model(4), task.examples(100)).await.unwrap();
    let distinct: HashSet<_> = outcome.candidates.iter().map(PromptCandidate::content_hash).collect();
    assert_eq!(distinct.len(), outcome.candidates.len());
    let minibatches: Vec<_> = outcome
        .trials
        .iter()
        .filter(|trial| trial.kind == TrialKind::Minibatch)
        .map(|trial| trial.candidate)
        .collect();
    assert_eq!(minibatches.iter().collect::<HashSet<_>>().len(), minibatches.len());
}

#[tokio::test]
async fn no_request_of_the_task_model_is_paid_twice() {
    let task = HiddenRules::new(6, 4);
    let inner = task.model(4);
    let model = Arc::new(ScriptedLm::new(move |request| {
        Ok(futures_lite_block(inner.complete(request))?.first_text().to_owned())
    }));
    let mut module = program(model.clone());
    MIPROv2::default().compile(&mut module, task.examples(100)).await.unwrap();
    let requests: Vec<_> =
        model.requests().iter().map(|request| serde_json::to_string(request).unwrap()).collect();
    assert_eq!(requests.iter().collect::<HashSet<_>>().len(), requests.len());
}

// Configuration.

#[tokio::test]
async fn options_out_of_range_are_named() {
    let builder = MIPROv2::builder;
    let cases = [
        ("num_candidates", builder().num_candidates(0).build()),
        ("minibatch_size", builder().minibatch_size(0).build()),
        ("minibatch_full_eval_steps", builder().minibatch_full_eval_steps(0).build()),
        ("parallel_trials", builder().parallel_trials(0).build()),
        ("concurrency", builder().concurrency(0).build()),
        ("proposal_rounds", builder().proposal_rounds(0).build()),
        ("temperature", builder().temperature(f64::NAN).build()),
        ("temperature", builder().temperature(2.5).build()),
        ("metric_threshold", builder().metric_threshold(f64::INFINITY).build()),
        ("valset", builder().valset(vec![]).build()),
    ];
    for (option, optimizer) in cases {
        let error = compile(&optimizer, ScriptedLm::answering("yes"), same_answer(10)).await.unwrap_err();
        assert!(error.to_string().contains(option), "{option}: {error}");
    }
}

#[tokio::test]
async fn zero_trials_and_one_candidate_leave_the_original() {
    for optimizer in [
        MIPROv2::builder().num_trials(0).build(),
        MIPROv2::builder().num_candidates(1).max_bootstrapped_demos(0).max_labeled_demos(0).build(),
    ] {
        let outcome =
            compile(&optimizer, scripted("no", distinct_proposals()), same_answer(20)).await.unwrap();
        assert_eq!((outcome.best, outcome.stop), (0, StopReason::Completed));
        assert_eq!(outcome.baseline.n, 12);
    }
}

#[tokio::test]
async fn two_candidates_are_the_original_and_one_more() {
    let optimizer =
        MIPROv2::builder().num_candidates(2).max_bootstrapped_demos(0).max_labeled_demos(0).build();
    let outcome = compile(&optimizer, scripted("no", distinct_proposals()), same_answer(20)).await.unwrap();
    assert_eq!(outcome.candidates.len(), 2);
}

#[tokio::test]
async fn more_asked_than_there_is_is_no_error() {
    let optimizer = MIPROv2::builder()
        .num_candidates(30)
        .num_trials(50)
        .minibatch_size(500)
        .max_bootstrapped_demos(40)
        .max_labeled_demos(40)
        .build();
    let task = HiddenRules::new(3, 1);
    let outcome = compile(&optimizer, task.model(1), task.examples(10)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Completed);
    assert!(outcome.candidates.iter().all(|one| one.prompts.get("answer").unwrap().demos.len() <= 4));
}

#[tokio::test]
async fn without_minibatches_every_trial_is_a_full_evaluation() {
    let task = HiddenRules::new(4, 1);
    let optimizer = MIPROv2::builder().num_candidates(4).num_trials(5).minibatch(false).build();
    let outcome = compile(&optimizer, task.model(1), task.examples(50)).await.unwrap();
    assert!(outcome.trials.iter().all(|trial| trial.kind != TrialKind::Minibatch && trial.examples == 30));
    assert!(outcome.candidates.iter().all(|one| one.score.is_some()));
}

#[tokio::test]
async fn the_minibatch_size_and_the_full_evaluation_steps_have_effect() {
    let task = HiddenRules::new(4, 1);
    let optimizer = |size, steps| {
        MIPROv2::builder()
            .num_candidates(6)
            .num_trials(8)
            .minibatch_size(size)
            .minibatch_full_eval_steps(steps)
            .build()
    };
    let kinds = |outcome: &Outcome, kind| outcome.trials.iter().filter(|trial| trial.kind == kind).count();
    let often = compile(&optimizer(7, 2), task.model(1), task.examples(60)).await.unwrap();
    let seldom = compile(&optimizer(7, 8), task.model(1), task.examples(60)).await.unwrap();
    assert!(
        often
            .trials
            .iter()
            .filter(|trial| trial.kind == TrialKind::Minibatch)
            .all(|trial| trial.examples == 7)
    );
    assert!(kinds(&often, TrialKind::Full) > kinds(&seldom, TrialKind::Full));
}

#[tokio::test]
async fn statistics_are_tracked_when_asked_for() {
    let task = HiddenRules::new(4, 1);
    for track in [true, false] {
        let optimizer = MIPROv2::builder().num_candidates(3).num_trials(4).track_stats(track).build();
        let outcome = compile(&optimizer, task.model(1), task.examples(40)).await.unwrap();
        assert_eq!(!outcome.trials.is_empty(), track);
    }
}

#[tokio::test]
async fn zero_shot_makes_no_demos_and_labelled_only_no_bootstraps() {
    let task = HiddenRules::new(4, 1);
    for (labelled, expected) in [(0, 0), (3, 3)] {
        let optimizer = MIPROv2::builder().max_bootstrapped_demos(0).max_labeled_demos(labelled).build();
        let outcome = compile(&optimizer, task.model(1), task.examples(60)).await.unwrap();
        let demos: Vec<_> =
            outcome.candidates.iter().map(|one| one.prompts.get("answer").unwrap().demos.clone()).collect();
        assert_eq!(demos.iter().map(Vec::len).max(), Some(expected));
        assert!(demos.iter().flatten().all(|demo| !demo.augmented));
    }
}

#[tokio::test]
async fn temperature_goes_to_the_prompt_model_only() {
    let model = Arc::new(scripted("no", distinct_proposals()));
    let optimizer = MIPROv2::builder().num_candidates(3).num_trials(3).temperature(0.3).build();
    optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    for request in model.requests() {
        let expected = if is_task(&request) { None } else { Some(0.3) };
        assert_eq!(request.sampling.temperature, expected);
    }
}

#[tokio::test]
async fn prompt_model_and_task_model_are_kept_apart() {
    let (task_model, prompt_model) =
        (Arc::new(scripted("no", distinct_proposals())), Arc::new(scripted("no", distinct_proposals())));
    let optimizer = MIPROv2::builder()
        .num_candidates(4)
        .num_trials(4)
        .task_model(task_model.clone())
        .prompt_model(prompt_model.clone())
        .build();
    let mut module = toy::answerer().with_metric(toy::exact_answer());
    let outcome = optimizer.compile(&mut module, same_answer(20)).await.unwrap();
    assert!(task_model.requests().iter().all(is_task));
    assert!(!prompt_model.requests().iter().any(is_task));
    assert_eq!(outcome.spending.task.calls, task_model.calls() as u64);
    assert_eq!(outcome.spending.prompt.calls, prompt_model.calls() as u64);
}

#[tokio::test]
async fn the_awareness_switches_shape_the_request() {
    for (switch, input) in [
        ("program", "program_description"),
        ("data", "dataset_description"),
        ("tip", "tip"),
        ("few_shot", "task_demos"),
    ] {
        let model = Arc::new(scripted("yes", distinct_proposals()));
        let optimizer = MIPROv2::builder()
            .num_candidates(3)
            .num_trials(3)
            .program_aware(switch != "program")
            .data_aware(switch != "data")
            .tip_aware(switch != "tip")
            .few_shot_aware(switch != "few_shot")
            .build();
        optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
        let requests = model.requests();
        let proposal = requests.iter().find(|request| wants(request, "proposed_instruction")).unwrap();
        let text = &proposal.messages.last().unwrap().content;
        for (_, other) in
            [("", "program_description"), ("", "dataset_description"), ("", "tip"), ("", "task_demos")]
        {
            assert_eq!(
                text.contains(&format!("[[ ## {other} ## ]]")),
                other != input,
                "{switch} off, {other}"
            );
        }
    }
}

#[tokio::test]
async fn own_tips_and_an_own_proposer_are_used() {
    let tips = PromptingTips::empty()
        .with_tip(Tip::new("rhyme", "Write the instruction in rhyme.").unwrap())
        .unwrap();
    let model = Arc::new(scripted("yes", distinct_proposals()));
    let optimizer = MIPROv2::builder().num_candidates(3).num_trials(3).tips(tips).build();
    optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    let rhymed = |request: &LmRequest| request.messages.last().unwrap().content.contains("in rhyme");
    assert!(model.requests().iter().filter(|request| wants(request, "proposed_instruction")).all(rhymed));

    let model = Arc::new(scripted("yes", distinct_proposals()));
    let optimizer = MIPROv2::builder()
        .num_candidates(4)
        .num_trials(4)
        .proposer(Arc::new(TemplateProposer::default()))
        .build();
    let outcome = optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    assert!(model.requests().iter().all(is_task), "templates need no model");
    let instructions: HashSet<_> =
        outcome.candidates.iter().filter_map(|one| one.instruction("answer")).collect();
    assert!(instructions.len() > 1);
}

#[tokio::test]
async fn later_proposals_see_what_was_tried() {
    let model = Arc::new(scripted("yes", distinct_proposals()));
    let optimizer = MIPROv2::builder().num_candidates(7).num_trials(8).proposal_rounds(2).build();
    optimizer.compile(&mut program(model.clone()), same_answer(40)).await.unwrap();
    let requests = model.requests();
    let proposals: Vec<_> =
        requests.iter().filter(|request| wants(request, "proposed_instruction")).collect();
    let sees = |request: &LmRequest| {
        request.messages.last().unwrap().content.contains("[[ ## previous_instructions ## ]]")
    };
    assert!(proposals.iter().any(|request| sees(request)) && proposals.iter().any(|request| !sees(request)));
}

#[tokio::test]
async fn auto_sizes_the_run() {
    let task = HiddenRules::new(4, 1);
    let mut sizes = Vec::new();
    for auto in [Auto::Light, Auto::Medium] {
        let outcome =
            compile(&MIPROv2::builder().auto(auto).build(), task.model(1), task.examples(400)).await.unwrap();
        sizes.push((outcome.baseline.n, outcome.spending.task.calls));
    }
    assert_eq!(sizes[0].0, 100, "light selects on at most 100 examples");
    assert!(sizes[1].1 > sizes[0].1);
}

#[tokio::test]
async fn the_seed_decides() {
    let task = HiddenRules::new(6, 1);
    let mut outcomes = Vec::new();
    for seed in [1, 1, 2] {
        let optimizer = MIPROv2::builder().num_candidates(4).num_trials(5).seed(seed).build();
        outcomes.push(text(&compile(&optimizer, task.model(1), task.examples(60)).await.unwrap()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
}

// Edge cases.

#[tokio::test]
async fn no_examples_is_a_clear_error() {
    let error = compile(&small(), ScriptedLm::answering("yes"), vec![]).await.unwrap_err();
    assert!(error.to_string().contains("no training examples"), "{error}");
}

#[tokio::test]
async fn one_example_is_enough_to_run() {
    let outcome = compile(&small(), scripted("yes", distinct_proposals()), same_answer(1)).await.unwrap();
    assert_eq!((outcome.baseline.n, outcome.best), (1, 0));
    assert!(outcome.notes.iter().any(|note| note.contains("no training examples")));
}

#[tokio::test]
async fn a_valset_that_overlaps_the_training_set_is_refused() {
    let optimizer = MIPROv2::builder().valset(same_answer(5)).build();
    let error = compile(&optimizer, ScriptedLm::answering("yes"), same_answer(20)).await.unwrap_err();
    assert!(error.to_string().contains("must not overlap"), "{error}");
}

#[tokio::test]
async fn failing_examples_are_counted_apart_and_stop_nothing() {
    // Every tenth question breaks the provider, whatever the prompt.
    let inner = scripted("yes", distinct_proposals());
    let model = ScriptedLm::new(move |request| {
        let last = &request.messages.last().unwrap().content;
        if is_task(request) && last.contains("5\n") {
            return Err(LmError::Connection { message: "reset by peer".into() });
        }
        Ok(futures_lite_block(inner.complete(request))?.first_text().to_owned())
    });
    let optimizer =
        MIPROv2::builder().num_candidates(4).num_trials(6).minibatch_size(10).max_errors(1000).build();
    let outcome = compile(&optimizer, model, same_answer(60)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Completed);
    assert!(outcome.failures.provider > 0);
    assert!(outcome.baseline.missing > 0);
    assert_eq!(outcome.baseline.mean, 1.0, "a failure of the provider is no zero");
}

#[tokio::test]
async fn too_many_errors_end_the_run_with_the_best_so_far() {
    let calls = AtomicUsize::new(0);
    let inner = scripted("yes", distinct_proposals());
    let model = ScriptedLm::new(move |request| {
        if is_task(request) && calls.fetch_add(1, Ordering::SeqCst) > 40 {
            return Err(LmError::Connection { message: "reset by peer".into() });
        }
        Ok(futures_lite_block(inner.complete(request))?.first_text().to_owned())
    });
    let outcome = compile(&MIPROv2::builder().max_errors(3).build(), model, same_answer(50)).await.unwrap();
    assert!(
        matches!(&outcome.stop, StopReason::MaxErrors { last } if last.contains("reset by peer")),
        "{:?}",
        outcome.stop
    );
    assert_eq!(outcome.best, 0);
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once_with_the_providers_words() {
    let model = Arc::new(ScriptedLm::new(|_| {
        Err(LmError::Unauthorized { status: 401, message: "Incorrect API key provided".into() })
    }));
    let optimizer = MIPROv2::builder().concurrency(1).build();
    let error = optimizer.compile(&mut program(model.clone()), same_answer(50)).await.unwrap_err();
    assert!(error.to_string().contains("Incorrect API key provided"), "{error}");
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn duplicate_proposals_are_replaced_by_templates_and_it_is_said() {
    let optimizer = MIPROv2::builder().num_candidates(5).num_trials(6).build();
    let model = scripted("no", |_| "Answer  the question.".to_owned());
    let outcome = compile(&optimizer, model, same_answer(30)).await.unwrap();
    assert!(outcome.notes.iter().any(|note| note.contains("composed from templates")), "{:?}", outcome.notes);
    let instructions: HashSet<_> =
        outcome.candidates.iter().filter_map(|one| one.instruction("answer")).collect();
    assert!(instructions.len() >= 4, "{instructions:?}");
}

#[tokio::test]
async fn a_prompt_model_that_only_echoes_is_replaced() {
    let model = ScriptedLm::new(|request| {
        if is_task(request) {
            return Ok(ScriptedLm::chat_reply([("answer", "no")]));
        }
        let asked = request.messages.last().unwrap().content.clone();
        Ok(ScriptedLm::chat_reply([("proposed_instruction", asked.replace("[[", "").as_str())]))
    });
    let optimizer = MIPROv2::builder().num_candidates(3).num_trials(3).build();
    let outcome = compile(&optimizer, model, same_answer(20)).await.unwrap();
    assert!(outcome.notes.iter().any(|note| note.contains("composed from templates")), "{:?}", outcome.notes);
}

#[tokio::test]
async fn scores_that_are_no_numbers_are_failures_of_the_metric() {
    for bad in [f64::NAN, f64::INFINITY] {
        let mut module = toy::answerer()
            .with_model(Arc::new(scripted("yes", distinct_proposals())))
            .with_metric(metric_fn(move |example: &Example, _: &Prediction| {
                if example.get_str("question").unwrap_or_default().ends_with('3') { bad } else { 1.0 }
            }));
        let optimizer = MIPROv2::builder().num_candidates(3).num_trials(3).max_errors(1000).build();
        let outcome = optimizer.compile(&mut module, same_answer(50)).await.unwrap();
        assert!(outcome.failures.metric > 0 && outcome.baseline.missing > 0);
        assert_eq!(outcome.baseline.mean, 1.0);
    }
}

#[tokio::test]
async fn when_every_score_is_missing_it_says_so() {
    let mut module = toy::answerer()
        .with_model(Arc::new(scripted("yes", distinct_proposals())))
        .with_metric(metric_fn(|_: &Example, _: &Prediction| f64::NAN));
    let optimizer = MIPROv2::builder().max_errors(1000).build();
    let error = optimizer.compile(&mut module, same_answer(20)).await.unwrap_err();
    assert!(error.to_string().contains("no selection example got a score"), "{error}");
}

#[tokio::test]
async fn replies_that_cannot_be_used_count_as_zero_and_apart() {
    let model = ScriptedLm::new(|request| {
        Ok(if is_task(request) { "no markers here".into() } else { String::new() })
    });
    let outcome = compile(&small(), model, same_answer(20)).await.unwrap();
    assert_eq!((outcome.baseline.mean, outcome.baseline.failed), (0.0, 12));
    assert!(outcome.failures.reply >= 12);
    assert_eq!(outcome.stop, StopReason::Completed, "unusable replies are no reason to stop");
}

#[tokio::test]
async fn a_program_without_a_model_or_predictors_is_refused() {
    let mut module = toy::answerer().with_metric(toy::exact_answer());
    let error = small().compile(&mut module, same_answer(10)).await.unwrap_err();
    assert!(error.to_string().contains("task_model"), "{error}");

    struct Nothing;
    #[async_trait]
    impl Module for Nothing {
        fn predictors(&self) -> Vec<&dyn Predictor> {
            vec![]
        }
        fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
            vec![]
        }
        async fn run(&self, _: &CallContext, _: &Fields) -> anyhow::Result<Prediction> {
            anyhow::bail!("never run")
        }
    }
    let mut module = Nothing.with_metric(toy::exact_answer());
    let error = small().compile(&mut module, same_answer(10)).await.unwrap_err();
    assert!(error.to_string().contains("no predictors"), "{error}");
}

#[tokio::test]
async fn demos_that_the_program_came_with_may_stay() {
    // Right only with the very demo the program came with.
    let model = ScriptedLm::new({
        let inner = scripted("no", distinct_proposals());
        move |request| {
            let kept = is_task(request)
                && request.messages.iter().any(|message| message.content.contains("keep me"));
            let reply = futures_lite_block(inner.complete(request))?;
            Ok(if kept { ScriptedLm::chat_reply([("answer", "yes")]) } else { reply.first_text().to_owned() })
        }
    });
    let mut predict: Predict = toy::answerer().with_model(Arc::new(model));
    let fields = [("question", "keep me"), ("answer", "yes")];
    let mut prompt = predict.prompt().clone();
    prompt.demos.push(promptopt_core::Demo {
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        ..promptopt_core::Demo::default()
    });
    predict.set_prompt(prompt);
    let mut module = predict.with_metric(toy::exact_answer());
    let outcome = small().compile(&mut module, same_answer(30)).await.unwrap();
    assert_eq!(outcome.baseline.mean, 1.0);
    assert_eq!(module.candidate().prompts.get("answer").unwrap().demos.len(), 1);
}

#[tokio::test]
async fn a_judge_may_be_slow_and_may_explain() {
    struct Judge;
    #[async_trait]
    impl promptopt_core::Metric for Judge {
        async fn score(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
            tokio::task::yield_now().await;
            let right = example.get("answer") == prediction.get("answer");
            Ok(Score::from(right)
                .with_feedback("compared word for word")
                .with_objective("exact", f64::from(right)))
        }
    }
    let mut module =
        toy::answerer().with_model(Arc::new(scripted("yes", distinct_proposals()))).with_metric(Judge);
    let outcome = small().compile(&mut module, same_answer(20)).await.unwrap();
    assert_eq!(outcome.baseline.mean, 1.0);
}

#[tokio::test]
async fn the_budget_error_says_what_to_do() {
    let optimizer = MIPROv2::builder().max_calls(3).build();
    let error =
        compile(&optimizer, scripted("yes", distinct_proposals()), same_answer(50)).await.unwrap_err();
    assert!(
        error.to_string().contains("call budget is too small") && error.to_string().contains("max_calls"),
        "{error}"
    );
}

#[tokio::test]
async fn an_outcome_survives_its_json_form() {
    let task = HiddenRules::new(4, 1);
    let outcome = compile(&small(), task.model(1), task.examples(40)).await.unwrap();
    let back: Outcome = serde_json::from_str(&text(&outcome)).unwrap();
    assert_eq!(back, outcome);
}

#[tokio::test]
async fn a_model_that_counts_what_it_is_asked_agrees_with_the_outcome() {
    struct Counting(ScriptedLm, AtomicUsize);
    #[async_trait]
    impl LanguageModel for Counting {
        fn id(&self) -> String {
            "counting".into()
        }
        async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.complete(request).await
        }
    }
    let model = Arc::new(Counting(scripted("yes", distinct_proposals()), AtomicUsize::new(0)));
    let outcome = small().compile(&mut program(model.clone()), same_answer(30)).await.unwrap();
    assert_eq!(outcome.spending.total().calls, model.1.load(Ordering::SeqCst) as u64);
}
