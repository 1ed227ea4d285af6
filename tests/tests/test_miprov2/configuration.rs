//! Every option has effect, and says when it cannot.

use super::*;

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
    assert!(outcome.trials.iter().all(|trial| trial.kind != TrialKind::MINIBATCH && trial.examples == 30));
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
            .filter(|trial| trial.kind == TrialKind::MINIBATCH)
            .all(|trial| trial.examples == 7)
    );
    assert!(kinds(&often, TrialKind::FULL) > kinds(&seldom, TrialKind::FULL));
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
        let text = proposal.messages.last().unwrap().text();
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
async fn own_tips_and_an_own_writer_are_used() {
    let tips = PromptingTips::empty()
        .with_tip(Tip::new("rhyme", "Write the instruction in rhyme.").unwrap())
        .unwrap();
    let model = Arc::new(scripted("yes", distinct_proposals()));
    let optimizer = MIPROv2::builder().num_candidates(3).num_trials(3).tips(tips).build();
    optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    let rhymed = |request: &LmRequest| request.messages.last().unwrap().text().contains("in rhyme");
    assert!(model.requests().iter().filter(|request| wants(request, "proposed_instruction")).all(rhymed));

    let model = Arc::new(scripted("yes", distinct_proposals()));
    let optimizer = MIPROv2::builder()
        .num_candidates(4)
        .num_trials(4)
        .instruction_writer(Arc::new(TemplateProposer::default()))
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
        request.messages.last().unwrap().text().contains("[[ ## previous_instructions ## ]]")
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
