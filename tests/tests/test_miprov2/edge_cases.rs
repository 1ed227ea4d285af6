//! Little data, bad data, bad models, bad metrics.

use promptopt_core::program::{CallContext, async_metric_fn};

use super::*;

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
        let last = request.messages.last().unwrap().text();
        if is_task(request) && last.contains("5\n") {
            return Err(LmError::Connection { message: "reset by peer".into() });
        }
        said(&inner, request)
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
        said(&inner, request)
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
        let asked = request.messages.last().unwrap().text().to_owned();
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

    let error = small().compile(&mut nothing(), same_answer(10)).await.unwrap_err();
    assert!(error.to_string().contains("no predictors"), "{error}");
}

#[tokio::test]
async fn demos_that_the_program_came_with_may_stay() {
    // Right only with the very demo the program came with.
    let model = ScriptedLm::new({
        let inner = scripted("no", distinct_proposals());
        move |request| {
            let kept =
                is_task(request) && request.messages.iter().any(|message| message.text().contains("keep me"));
            let reply = said(&inner, request)?;
            Ok(if kept { ScriptedLm::chat_reply([("answer", "yes")]) } else { reply })
        }
    });
    let mut predict: Predict = toy::answerer().with_model(Arc::new(model));
    let fields = [("question", "keep me"), ("answer", "yes")];
    let mut prompt = predict.prompt().clone();
    prompt.demos.push(promptopt_core::prompt::Demo::new(
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
    ));
    predict.set_prompt(prompt);
    let mut module = predict.with_metric(toy::exact_answer());
    let outcome = small().compile(&mut module, same_answer(30)).await.unwrap();
    assert_eq!(outcome.baseline.mean, 1.0);
    assert_eq!(module.candidate().prompts.get("answer").unwrap().demos.len(), 1);
}

#[tokio::test]
async fn a_judge_may_be_slow_and_may_explain() {
    let judge = async_metric_fn(|_: CallContext, example: Example, prediction: Prediction| async move {
        tokio::task::yield_now().await;
        let right = example.get("answer") == prediction.get("answer");
        let score = Score::from(right).with_feedback("compared word for word");
        anyhow::Ok(score.with_objective("exact", f64::from(right)))
    });
    let mut module =
        toy::answerer().with_model(Arc::new(scripted("yes", distinct_proposals()))).with_metric(judge);
    let outcome = small().compile(&mut module, same_answer(20)).await.unwrap();
    assert_eq!(outcome.baseline.mean, 1.0);
}

#[tokio::test]
async fn the_budget_error_says_what_to_do() {
    let optimizer = MIPROv2::builder().max_calls(3).build();
    let error =
        compile(&optimizer, scripted("yes", distinct_proposals()), same_answer(50)).await.unwrap_err();
    assert!(
        error.to_string().contains("budget is too small") && error.to_string().contains("max_calls"),
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
    let (model, calls) = counted(scripted("yes", distinct_proposals()));
    let outcome = small().compile(&mut program(model), same_answer(30)).await.unwrap();
    assert_eq!(outcome.spending.total().calls, calls.load(Ordering::SeqCst));
}
