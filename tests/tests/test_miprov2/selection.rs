//! Who wins, and on what evidence.

use super::*;

#[test]
fn no_candidate_has_a_score() {
    let none = PromptCandidate::default();
    assert_eq!(PromptCandidate::best(&[none.clone(), none]), None);
}

#[test]
fn of_equal_scores_the_first_wins_and_nan_never_does() {
    let with = |score| PromptCandidate::default().with_score(score);
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
            let taught = is_task(request) && request.messages[0].text().contains("way number 2.");
            let reply = said(&inner, request)?;
            Ok(if taught { ScriptedLm::chat_reply([("answer", "yes")]) } else { reply })
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
async fn few_calls_do_not_go_into_evaluating_many_rows() {
    let task = HiddenRules::new(6, 4);
    for (minibatch, calls, rows) in [(true, 300, 50), (true, 100, 30), (true, 400, 60), (false, 300, 60)] {
        let optimizer = MIPROv2::builder().minibatch(minibatch).max_calls(calls).build();
        let outcome = compile(&optimizer, task.model(4), task.examples(100)).await.unwrap();
        assert_eq!((outcome.baseline.n, outcome.selected.n), (rows, rows), "{minibatch}, {calls}");
        let said = format!("on {rows} of the 60 selection examples");
        assert_eq!(outcome.notes.iter().any(|note| note.contains(&said)), rows < 60, "{:?}", outcome.notes);
    }
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
        .filter(|trial| trial.kind == TrialKind::MINIBATCH)
        .map(|trial| trial.candidate)
        .collect();
    assert_eq!(minibatches.iter().collect::<HashSet<_>>().len(), minibatches.len());
}

#[tokio::test]
async fn no_request_of_the_task_model_is_paid_twice() {
    let task = HiddenRules::new(6, 4);
    let inner = task.model(4);
    let model = Arc::new(ScriptedLm::new(move |request| said(&inner, request)));
    let mut module = program(model.clone());
    MIPROv2::default().compile(&mut module, task.examples(100)).await.unwrap();
    let requests: Vec<_> =
        model.requests().iter().map(|request| serde_json::to_string(request).unwrap()).collect();
    assert_eq!(requests.iter().collect::<HashSet<_>>().len(), requests.len());
}
