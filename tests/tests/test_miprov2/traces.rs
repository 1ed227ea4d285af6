//! Stage 1 through `compile`: where demos come from.

use super::*;

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
    let inner = task.model(2);
    let model = Arc::new(ScriptedLm::new(move |request| said(&inner, request)));
    let mut module = program(model.clone());
    small().compile(&mut module, task.examples(40)).await.unwrap();
    for request in model.requests().iter().filter(|request| is_task(request)) {
        let (question, before) = request.messages.split_last().unwrap();
        let asked = question.text().split("\n\nRespond").next().unwrap();
        let demos = before.iter().filter(|message| message.role == Role::User);
        assert!(demos.clone().all(|demo| demo.text() != asked), "{asked}");
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
