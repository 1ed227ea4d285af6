//! What a step does: reflection, children, frontier, merges, lineage.

use std::collections::BTreeSet;

use promptopt_core::data::Score;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::metric_fn;
use promptopt_core::prompt::Origin;
use promptopt_gepa::{ComponentSelector, FrontierType};
use promptopt_run::{Event, StopReason, TrialKind};

use super::*;

fn frontier(outcome: &Outcome) -> Vec<usize> {
    outcome.detail("frontier").unwrap()
}

/// Of an origin, the predictors that a reflection changed, and in which iteration.
fn reflected(origin: &Origin) -> (Vec<&str>, Option<u64>) {
    assert_eq!(origin.kind, "reflected");
    let predictors = origin.get("predictors").and_then(|paths| paths.as_array()).unwrap();
    let iteration = origin.get("iteration").and_then(|iteration| iteration.as_u64());
    (predictors.iter().filter_map(|path| path.as_str()).collect(), iteration)
}

#[tokio::test]
async fn a_better_instruction_is_adopted_and_installed() {
    let model = Arc::new(reflecting("always", vec![fenced("always say yes")]));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().max_metric_calls(200).build().compile(&mut program, same_answer(40)).await.unwrap();
    assert_eq!((outcome.baseline.mean, outcome.selected.mean), (0.0, 1.0));
    assert_eq!(program.candidate().prompts.get("answer").unwrap().instruction, "always say yes");
    let winner = outcome.winner().unwrap();
    assert_eq!(winner.parents, [0]);
    assert_eq!(reflected(&winner.origin), (vec!["answer"], Some(1)));
    assert_eq!(frontier(&outcome), [outcome.best]);
    assert!(outcome.comparison.as_ref().unwrap().is_better());
}

#[tokio::test]
async fn the_reflection_shows_instruction_inputs_outputs_expectations_and_feedback() {
    let model = Arc::new(reflecting("always", vec![fenced("be kind"), fenced("always say yes")]));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(metric_fn(
        |example: &Example, prediction: &promptopt_core::data::Prediction| {
            let right = example.get("answer") == prediction.get("answer");
            Score::from(right)
                .with_feedback("This test wants the word that grants.")
                .with_objective("tone", 0.5)
        },
    ));
    GEPA::builder().max_metric_calls(120).build().compile(&mut program, same_answer(40)).await.unwrap();
    let requests = model.requests();
    let reflections: Vec<_> = requests.iter().filter(|request| request.messages.len() == 1).collect();
    let instruction = "Given the fields `question`, produce the fields `answer`.";
    assert!(
        !reflections[0].messages[0].text().contains(instruction),
        "the first is written from records alone"
    );
    let reflection = reflections[1];
    let prompt = reflection.messages[0].text();
    for part in [
        instruction,
        "question: question ",
        "written answer: no",
        "expected answer: yes",
        "score: 0",
        "score in tone: 0.5",
        "feedback: This test wants the word that grants.",
    ] {
        assert!(prompt.contains(part), "`{part}` is missing in:\n{prompt}");
    }
    assert_eq!(reflection.sampling.temperature, Some(1.0));
}

#[tokio::test]
async fn failures_become_feedback() {
    let model = Arc::new(ScriptedLm::new(|request| {
        if request.messages.len() == 1 {
            return Ok(fenced("say yes in the form asked for"));
        }
        let right = request.messages[0].text().contains("in the form asked for");
        Ok(if right { ScriptedLm::chat_reply([("answer", "yes")]) } else { "Yes, of course!".to_owned() })
    }));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().max_metric_calls(150).build().compile(&mut program, same_answer(40)).await.unwrap();
    assert_eq!((outcome.baseline.mean, outcome.baseline.failed, outcome.selected.mean), (0.0, 24, 1.0));
    let requests = model.requests();
    let prompt = &requests.iter().find(|request| request.messages.len() == 1).unwrap().messages[0].text();
    assert!(prompt.contains("this component failed:") && prompt.contains("the run failed:"), "{prompt}");
}

#[tokio::test]
async fn a_reply_is_read_with_fences_of_any_kind_and_without() {
    for reply in [
        "always say yes",
        "```\nalways say yes",
        "```plaintext\nalways say yes\n```",
        "~~~\nalways say yes\n~~~\nThat is all.",
    ] {
        let model = Arc::new(reflecting("always", vec![reply.to_owned()]));
        let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
        let optimizer = GEPA::builder().max_metric_calls(200).build();
        optimizer.compile(&mut program, same_answer(40)).await.unwrap();
        assert_eq!(
            program.candidate().prompts.get("answer").unwrap().instruction,
            "always say yes",
            "{reply}"
        );
    }
}

#[tokio::test]
async fn a_reply_without_an_instruction_is_never_adopted() {
    let present = "```\nGiven the fields `question`, produce the fields `answer`.\n```";
    let replies = ["``````", "yes", "answer: yes", present, "I'm sorry, but I can't help with that."];
    let model = Arc::new(reflecting("always", replies.map(str::to_owned).to_vec()));
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&dropped);
    let optimizer = GEPA::builder()
        .max_metric_calls(300)
        .observer(Arc::new(move |event: &Event| {
            if let Event::Proposal { dropped: Some(reason), .. } = event {
                heard.lock().unwrap().push(reason.clone());
            }
        }))
        .build();
    let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
    let outcome = optimizer.compile(&mut program, same_answer(40)).await.unwrap();
    assert!(!outcome.improved());
    let answer = "an answer and not an instruction";
    let declined = "the model declined or asked back";
    let dropped = dropped.lock().unwrap();
    assert_eq!(dropped[..5], ["empty", answer, answer, "unchanged", declined]);
    assert!(dropped[5].ends_with("the reply is empty"), "{}", dropped[5]);
    // What the model writes after that is empty; it is not asked for ever.
    assert_eq!(outcome.stop, StopReason::Completed);
    assert!(
        outcome.notes.iter().any(|note| note.contains("no usable or new instruction")),
        "{:?}",
        outcome.notes
    );
}

#[tokio::test]
async fn a_rejected_instruction_is_not_tried_again() {
    let replies = vec![fenced("say maybe"); 30];
    let model = Arc::new(reflecting("always", replies));
    let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
    let outcome =
        GEPA::builder().max_metric_calls(400).build().compile(&mut program, same_answer(40)).await.unwrap();
    let tried = outcome.candidates.iter().filter(|one| one.instruction("answer") == Some("say maybe"));
    assert_eq!(tried.count(), 1);
}

#[tokio::test]
async fn every_candidate_but_the_original_has_parents_before_it_and_full_ones_all_scores() {
    let task = HiddenRules::new(12, 5);
    let outcome = compiled(&GEPA::builder().max_metric_calls(600).build(), &task, 100).await;
    assert!(outcome.candidates.len() > 3);
    for (index, candidate) in outcome.candidates.iter().enumerate() {
        assert_eq!(candidate.parents.is_empty(), index == 0);
        assert!(candidate.parents.iter().all(|parent| *parent < index));
        let scores = &outcome.scores[index];
        let known = scores.examples.iter().flatten().count();
        assert_eq!(candidate.score.is_some(), known == scores.examples.len(), "candidate {index}");
        if let Some(score) = candidate.score {
            let mean = scores.examples.iter().flatten().sum::<f64>() / known as f64;
            assert!((mean - score).abs() < 1e-12);
        }
    }
    let discovered: Vec<u64> = outcome.scores.iter().map(|one| one.rollouts_at_discovery).collect();
    assert!(discovered.is_sorted() && discovered[1] >= 60, "{discovered:?}");
    // Only who was evaluated on everything may stand on the frontier or be a parent.
    let full: BTreeSet<usize> =
        (0..outcome.candidates.len()).filter(|at| outcome.candidates[*at].score.is_some()).collect();
    assert!(frontier(&outcome).iter().all(|member| full.contains(member)));
    assert!(outcome.candidates.iter().flat_map(|one| &one.parents).all(|parent| full.contains(parent)));
    let early = [TrialKind::GATE, TrialKind::RACE];
    let dropped = outcome.trials.iter().filter(|trial| early.contains(&trial.kind));
    assert!(dropped.count() > 0, "nothing was dropped before its time");
}

/// A program of two components, each of which needs a word in its instruction.
async fn two_components(optimizer: impl FnOnce(Arc<dyn LanguageModel>) -> GEPA) -> Outcome {
    let model = Arc::new(ScriptedLm::new(|request| {
        let text = request.messages[0].text();
        if request.messages.len() == 1 {
            let word = if text.contains("Component: `classify`") { "alpha" } else { "beta" };
            return Ok(fenced(&format!("{word} {}", text.len())));
        }
        let question = request.messages.last().unwrap().text();
        let number: usize =
            question.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        // Each component is right on its half of the examples once it has its word.
        let (field, word, half) = if text.contains("`topic`") && !text.contains("1. `topic`") {
            ("topic", "alpha", 0)
        } else if text.contains("1. `topic`") && text.contains("1. `answer`") {
            ("answer", "beta", 1)
        } else {
            ("topic", "alpha", 0)
        };
        let knows = text.contains(word);
        let value = match field {
            "topic" => format!("{number} {}", if knows && number % 2 == half { "solved" } else { "open" }),
            _ if question.contains("solved") || (knows && number % 2 == half) => "yes".to_owned(),
            _ => "no".to_owned(),
        };
        Ok(ScriptedLm::chat_reply([(field, value.as_str())]))
    }));
    let mut program = toy::TwoStage::default().with_metric(metric_fn(
        |_: &Example, prediction: &promptopt_core::data::Prediction| {
            prediction.get_str("answer") == Some("yes")
        },
    ));
    optimizer(model).compile(&mut program, same_answer(60)).await.unwrap()
}

#[tokio::test]
async fn lineages_that_changed_different_components_are_merged() {
    // Two proposals at once: one changes the first component of the original, one the second. Each is a gain on so
    // large a minibatch, so that no other component follows.
    let outcome = two_components(|model| {
        let builder = GEPA::builder().task_model(model).max_metric_calls(1500);
        builder.parallel_proposals(2).minibatch_size(12).build()
    })
    .await;
    assert_eq!(outcome.selected.mean, 1.0, "{:?}", outcome.notes);
    let merges = outcome.candidates.iter().filter(|one| one.origin.kind == "merged");
    assert!(merges.count() > 0, "nothing was merged");
    for candidate in &outcome.candidates {
        if candidate.origin.kind == "merged" {
            let ancestor = candidate.origin.get("ancestor").and_then(|at| at.as_u64()).unwrap() as usize;
            let [first, second] = candidate.parents[..] else { panic!("a merge has two parents") };
            assert!(first < second && ancestor < first);
            for (path, prompt) in candidate.prompts.iter() {
                let of = |at: usize| outcome.candidates[at].prompts.get(path).unwrap();
                assert!(prompt == of(first) || prompt == of(second));
            }
        }
    }
}

/// Two components that must use the same word: a change of one alone makes right answers wrong.
#[tokio::test]
async fn a_component_follows_a_change_that_is_no_gain_alone() {
    let model = Arc::new(ScriptedLm::new(|request| {
        let text = request.messages[0].text();
        if request.messages.len() == 1 {
            let follows =
                text.contains("has just been given this instruction") && text.contains("topic: code");
            let is_first = text.contains("Component: `classify`") && !text.contains("has just been given");
            let word = if is_first || follows { "in code" } else { "plainly" };
            return Ok(fenced(&format!("Answer the question {word}. {}", text.len())));
        }
        let field = if text.contains("1. `question`") { "topic" } else { "answer" };
        let written = request.messages.last().unwrap().text().contains("topic ## ]]\ncode");
        let value = match (field, text.contains("in code")) {
            ("topic", true) => "code",
            ("topic", false) => "prose",
            (_, told) if told && written => "yes",
            _ => "no",
        };
        Ok(ScriptedLm::chat_reply([(field, value)]))
    }));
    let mut program = toy::TwoStage::default().with_metric(toy::exact_answer());
    let outcome = GEPA::builder()
        .task_model(model)
        .max_metric_calls(300)
        .build()
        .compile(&mut program, same_answer(40))
        .await
        .unwrap();
    assert_eq!((outcome.baseline.mean, outcome.selected.mean), (0.0, 1.0));
    let winner = outcome.winner().unwrap();
    assert_eq!(
        (reflected(&winner.origin).0, winner.parents.as_slice()),
        (vec!["classify", "answer"], &[0][..])
    );
}

#[tokio::test]
async fn no_merge_without_the_option() {
    let outcome = two_components(|model| {
        GEPA::builder().task_model(model).max_metric_calls(800).use_merge(false).build()
    })
    .await;
    assert!(!outcome.candidates.iter().any(|one| one.origin.kind == "merged"));
}

#[tokio::test]
async fn components_that_may_not_change_stay() {
    let outcome = two_components(|model| {
        GEPA::builder().task_model(model).max_metric_calls(600).components(vec!["answer".into()]).build()
    })
    .await;
    let original = &outcome.candidates[0];
    assert!(outcome.candidates.len() > 1);
    for candidate in &outcome.candidates {
        assert_eq!(candidate.prompts.get("classify"), original.prompts.get("classify"));
    }
}

#[tokio::test]
async fn all_components_change_at_once_when_asked_to() {
    let outcome = two_components(|model| {
        let selector = ComponentSelector::All;
        GEPA::builder().task_model(model).max_metric_calls(400).component_selector(selector).build()
    })
    .await;
    assert_eq!(reflected(&outcome.candidates[1].origin), (vec!["classify", "answer"], Some(1)));
    assert_eq!(outcome.selected.mean, 1.0);
}

#[tokio::test]
async fn an_objective_can_carry_a_candidate_through_that_its_score_would_not() {
    // The new instruction is worse in the score and better in an objective.
    let run = |kind: FrontierType| async move {
        let model = Arc::new(reflecting("briefly", vec![fenced("answer briefly"); 20]));
        let mut program = toy::answerer().with_model(model).with_metric(metric_fn(
            move |_: &Example, prediction: &promptopt_core::data::Prediction| {
                let brief = prediction.get_str("answer") == Some("yes");
                let value = if brief { 0.3 } else { 0.5 };
                Score::new(value).with_objective("brief", f64::from(u8::from(brief)))
            },
        ));
        GEPA::builder()
            .max_metric_calls(200)
            .frontier(kind)
            .build()
            .compile(&mut program, same_answer(40))
            .await
            .unwrap()
    };
    for kind in [FrontierType::Objective, FrontierType::Hybrid, FrontierType::ExampleObjective] {
        let outcome = run(kind).await;
        assert!(frontier(&outcome).contains(&1), "{kind:?}: {:?}", frontier(&outcome));
        assert_eq!(outcome.scores[1].objectives["brief"], vec![Some(1.0); 24]);
        assert!(!outcome.improved(), "the winner is still chosen by its score");
    }
    assert_eq!(frontier(&run(FrontierType::Example).await), [0]);
}

#[tokio::test]
async fn a_metric_beyond_one_has_no_perfect_score_by_default() {
    let model = Arc::new(reflecting("always", vec![fenced("always say yes")]));
    let mut program = toy::answerer().with_model(model).with_metric(metric_fn(
        |_: &Example, prediction: &promptopt_core::data::Prediction| {
            if prediction.get_str("answer") == Some("yes") { 100.0 } else { 40.0 }
        },
    ));
    let outcome =
        GEPA::builder().max_metric_calls(200).build().compile(&mut program, same_answer(40)).await.unwrap();
    assert_eq!((outcome.baseline.mean, outcome.selected.mean), (40.0, 100.0));
}

#[tokio::test]
async fn small_sure_gains_in_graded_scores_come_through() {
    let model = Arc::new(reflecting("always", vec![fenced("always say yes")]));
    let mut program = toy::answerer().with_model(model).with_metric(metric_fn(
        |example: &Example, prediction: &promptopt_core::data::Prediction| {
            // Examples differ by 0.2, the instructions by 0.03.
            let number: f64 = example
                .get("question")
                .and_then(|text| text.as_str()?.split(' ').next_back()?.parse().ok())
                .unwrap_or(0.0);
            0.6 + 0.05 * (number % 5.0) + if prediction.get_str("answer") == Some("yes") { 0.03 } else { 0.0 }
        },
    ));
    let outcome =
        GEPA::builder().max_metric_calls(400).build().compile(&mut program, same_answer(120)).await.unwrap();
    assert!(outcome.improved(), "{:?}", outcome.trials);
}

#[tokio::test]
async fn the_winner_is_measured_once_more_on_examples_nobody_saw() {
    let task = HiddenRules::new(8, 5);
    let outcome = compiled(&GEPA::builder().max_metric_calls(900).build(), &task, 200).await;
    let confirmation = outcome.confirmation.as_ref().unwrap();
    assert_eq!(confirmation.winner.n, 16);
    assert!(confirmation.comparison.difference > 0.2, "{confirmation:?}");
    let without = compiled(&GEPA::builder().max_metric_calls(900).confirm(false).build(), &task, 200).await;
    assert!(without.confirmation.is_none());
}
