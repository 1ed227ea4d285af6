//! Depth by depth: what the prompt model sees, what is evaluated, and what is reported of it.

use promptopt_core::data::Score;
use promptopt_core::program::Predictor as _;
use promptopt_core::prompt::{Demo, Prompt};

use super::*;

/// Right about a question when its number, shifted by that of the instruction, is below a bar: so
/// each instruction has a score of its own, and the higher its number the better it is.
fn graded(most: usize) -> impl Fn(&str, &str) -> String {
    let number = |text: &str, word: &str| -> usize {
        let rest = text.rsplit(word).next().unwrap();
        rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap_or(0)
    };
    move |instruction, asked| {
        let skill =
            if instruction.contains("way number") { number(instruction, "way number ") + 1 } else { 0 };
        let right = number(asked, "question ") % most < skill;
        (if right { "yes" } else { "no" }).to_owned()
    }
}

fn valset(count: usize) -> Vec<Example> {
    let example = |number| {
        let fields = [("question", format!("selected question {number}.")), ("answer", "yes".to_owned())];
        Example::new(fields, ["question"])
    };
    (0..count).map(example).collect()
}

#[tokio::test]
async fn depth_statistics_agree_with_a_computation_by_hand() {
    let optimizer = COPRO::builder().breadth(4).depth(3).racing(false).valset(valset(20)).build();
    let model = Stage::new(graded(20), distinct);
    let outcome = compile(&optimizer, model, same_answer(20)).await.unwrap();
    let depths = depths(&outcome);
    // The original scores 0, the k-th proposal (k + 1) / 20: 1 to 3, then 4 to 7, then 8 to 11.
    let check = |depth: usize, scores: &[f64]| {
        let found = &depths[depth];
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let std = (scores.iter().map(|score| (score - mean) * (score - mean)).sum::<f64>() / n).sqrt();
        let highest = *scores.last().unwrap();
        assert_eq!((found.predictor.as_str(), found.depth, found.attempts), ("answer", depth, scores.len()));
        let expected = [highest, mean, scores[0], highest, std];
        for (found, expected) in
            [found.best, found.mean, found.min, found.max, found.std].into_iter().zip(expected)
        {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected} at depth {depth}");
        }
    };
    check(0, &[0.0, 0.05, 0.1, 0.15]);
    check(1, &[0.2, 0.25, 0.3, 0.35]);
    check(2, &[0.4, 0.45, 0.5, 0.55]);
    assert_eq!(depths.len(), 3);
    let calls: Vec<u64> = depths.iter().map(|depth| depth.calls_so_far).collect();
    // 20 for the original, then at each depth 20 for mistakes, one request (at the first two), and 20 an instruction.
    assert_eq!(calls, [20 + 20 + 2 + 60, 102 + 20 + 1 + 80, 203 + 20 + 1 + 80]);
    assert_eq!(outcome.selected.mean, 0.55);
}

#[tokio::test]
async fn candidates_say_where_they_come_from() {
    let optimizer = COPRO::builder().breadth(3).depth(2).racing(false).valset(valset(20)).build();
    let outcome = compile(&optimizer, Stage::new(graded(20), distinct), same_answer(20)).await.unwrap();
    let refined = |depth: usize| {
        let label = format!("refined answer, depth {depth}");
        Origin::new("refined", label).with("predictor", "answer").with("depth", depth)
    };
    let origins: Vec<_> =
        outcome.candidates.iter().map(|one| (one.origin.clone(), one.parents.clone())).collect();
    let expected = [
        (Origin::original(), vec![]),
        (refined(0), vec![0]),
        (refined(0), vec![0]),
        (refined(1), vec![2]),
        (refined(1), vec![2]),
        (refined(1), vec![2]),
    ];
    assert_eq!(origins, expected);
    assert_eq!(outcome.best, 5);
    assert!(outcome.comparison.is_some() && outcome.choice.contains("all 20 examples"));
    let kinds: Vec<_> = outcome.trials.iter().map(|trial| trial.kind.clone()).collect();
    assert_eq!(kinds[0], TrialKind::BASELINE);
    assert!(kinds[1..].iter().all(|kind| *kind == TrialKind::FULL));
    assert_eq!(outcome.scores.len(), 6);
    assert_eq!(outcome.scores[5].examples.iter().flatten().sum::<f64>(), 5.0);
}

#[tokio::test]
async fn attempts_are_told_from_the_lowest_to_the_highest_and_no_more_than_the_breadth() {
    let model = Arc::new(Stage::new(graded(20), distinct));
    let optimizer = COPRO::builder().breadth(4).depth(3).racing(false).valset(valset(20)).build();
    optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    let requests = model.written_requests();
    assert_eq!(requests.len(), 4);
    // The first is written from mistakes alone.
    assert_eq!(told(&requests[0], "present_instruction"), None);
    assert!(told(&requests[1], "present_instruction").unwrap().contains("`question`"));
    assert_eq!(told(&requests[1], "attempts"), None);
    let last = told(&requests[3], "attempts").unwrap();
    let line = |number: usize, score: &str| format!("Instruction: {}\nScore: {score}", distinct(number));
    let expected = [line(3, "0.200"), line(4, "0.250"), line(5, "0.300"), line(6, "0.350")].join("\n\n");
    assert_eq!(last, expected);
}

#[tokio::test]
async fn mistakes_come_from_training_examples_only_and_are_those_of_the_best() {
    let model = Arc::new(Stage::new(graded(20), distinct));
    let optimizer = COPRO::builder().breadth(4).depth(2).valset(valset(20)).build();
    optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    let requests = model.written_requests();
    for request in &requests {
        let mistakes = told(request, "mistakes").unwrap();
        assert!(mistakes.contains("answered answer: no\nexpected answer: yes\nscore: 0"), "{mistakes}");
        assert!(!request.messages.iter().any(|message| message.text().contains("selected question")));
    }
    // The best of the first depth is right about the first three questions.
    let shown = told(&requests[2], "mistakes").unwrap();
    assert!(![0, 1, 2].iter().any(|number| shown.contains(&format!("question {number}."))), "{shown}");
}

#[tokio::test]
async fn mistakes_can_be_left_out_and_then_cost_nothing() {
    let model = Arc::new(Stage::answering("no"));
    let optimizer = COPRO::builder().breadth(3).depth(2).show_mistakes(false).racing(false).build();
    let outcome = optimizer.compile(&mut program(model.clone()), same_answer(20)).await.unwrap();
    assert!(model.written_requests().iter().all(|request| told(request, "mistakes").is_none()));
    assert_eq!(outcome.spending.task.calls, 12 * 6);
}

#[tokio::test]
async fn feedback_of_the_metric_is_shown() {
    let judge = metric_fn(|_: &Example, _: &Prediction| Score::new(0.25).with_feedback("too short by half"));
    let model = Arc::new(Stage::answering("no"));
    let mut module = toy::answerer().with_model(model.clone()).with_metric(judge);
    COPRO::builder().breadth(3).depth(1).build().compile(&mut module, same_answer(20)).await.unwrap();
    assert!(told(&model.written_requests()[0], "mistakes").unwrap().contains("feedback: too short by half"));
}

#[tokio::test]
async fn racing_saves_rollouts_and_only_finishers_have_a_score() {
    let task = HiddenRules::new(8, 2);
    let mut calls = Vec::new();
    for racing in [true, false] {
        let optimizer = COPRO::builder().racing(racing).build();
        let outcome = compile(&optimizer, task.model(2), task.examples(200)).await.unwrap();
        let dropped = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::RACE);
        let dropped: Vec<usize> = dropped.map(|trial| trial.candidate).collect();
        assert_eq!(!dropped.is_empty(), racing);
        for (index, candidate) in outcome.candidates.iter().enumerate() {
            assert_eq!(candidate.score.is_none(), dropped.contains(&index), "{index}");
            let known = outcome.scores[index].examples.iter().flatten().count();
            assert_eq!(candidate.score.is_none(), known < 120, "{known}");
        }
        assert!(outcome.winner().unwrap().score.is_some());
        assert_eq!(outcome.selected.n, 120);
        calls.push(outcome.spending.total().calls);
    }
    assert!(calls[0] < calls[1], "{calls:?}");
}

#[tokio::test]
async fn demos_of_the_programs_own_prompt_are_kept() {
    let mut predict = toy::answerer().with_model(Arc::new(Stage::new(graded(20), distinct)));
    let fields = [("question", "What is 1 + 1?"), ("answer", "2")];
    let demo = Demo::new(fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect());
    predict.set_prompt(Prompt::new("Answer.").with_demos(vec![demo.clone()]));
    let mut module = predict.with_metric(toy::exact_answer());
    let outcome = COPRO::builder()
        .breadth(3)
        .depth(2)
        .valset(valset(20))
        .build()
        .compile(&mut module, same_answer(20))
        .await
        .unwrap();
    assert!(outcome.improved());
    for candidate in &outcome.candidates {
        assert_eq!(candidate.prompts.get("answer").unwrap().demos, std::slice::from_ref(&demo));
    }
    assert_eq!(module.candidate().prompts, outcome.winner().unwrap().prompts);
}
