//! What a race promises: the best is seldom lost, much is saved, nothing is bought twice, and a
//! budget leaves one that finishes.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use promptopt_core::{
    Budget, CallContext, ContentHash, Evaluator, Example, Fields, LanguageModel, Ledger, LmReply, LmRequest,
    Message, Module, Origin, Prediction, Predictor, Prompt, PromptCandidate, Prompts, RolloutRunner, Score,
    StopReason, Usage,
};
use promptopt_evaluator::{RaceEnd, RaceOptions, Raced, Scoreboard, race};
use proptest::prelude::*;

/// A program that is right with the probability that its instruction begins with. It calls the
/// model once, or twice where the instruction says so.
struct Coin {
    world: u64,
    graded: bool,
    runs: AtomicU64,
}

impl Coin {
    fn new(world: u64) -> Self {
        Self { world, graded: false, runs: AtomicU64::new(0) }
    }

    fn score(&self, instruction: &str, question: &str) -> f64 {
        let chance: f64 = instruction.split(' ').next().unwrap().parse().unwrap();
        let bits = ContentHash::of(&(self.world, instruction, question)).as_u64() >> 11;
        let luck = bits as f64 / (1_u64 << 53) as f64;
        if self.graded { (chance + luck) / 2.0 } else { f64::from(u8::from(luck < chance)) }
    }
}

#[async_trait]
impl Module for Coin {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        Vec::new()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let instruction = &context.prompt("coin").unwrap().instruction;
        context.complete(LmRequest::new(vec![Message::user("toss")])).await?;
        if instruction.ends_with("twice") {
            context.complete(LmRequest::new(vec![Message::user("again")])).await?;
        }
        let score = self.score(instruction, inputs["question"].as_str().unwrap());
        Ok(Prediction::from_iter([("score", score)]))
    }

    fn max_calls(&self) -> u64 {
        2
    }
}

#[async_trait]
impl Evaluator for Coin {
    async fn evaluate(&self, _: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        Ok(Score::new(prediction.get("score").unwrap().as_f64().unwrap()))
    }
}

struct Silent;

#[async_trait]
impl LanguageModel for Silent {
    fn id(&self) -> String {
        "silent".to_owned()
    }

    async fn complete(&self, _: &LmRequest) -> Result<LmReply, promptopt_core::LmError> {
        Ok(LmReply::text("", Usage::call(1, 1)))
    }
}

fn selection(n: usize) -> Vec<Arc<Example>> {
    (0..n).map(|number| Example::new([("question", format!("{number}"))], ["question"]).into()).collect()
}

fn candidate(instruction: &str) -> PromptCandidate {
    let prompts = Prompts::from_iter([("coin", Prompt::new(instruction))]);
    PromptCandidate::new(prompts, Origin::Original)
}

/// Races candidates with these chances. Gives the race, and the board's scores.
fn run(
    program: &Coin,
    chances: &[f64],
    examples: usize,
    options: &RaceOptions,
    ledger: Ledger,
) -> (Raced, Vec<Option<f64>>) {
    let runner = RolloutRunner::new(program, Arc::new(Silent)).ledger(Arc::new(ledger));
    let mut board = Scoreboard::new(&runner, selection(examples)).unwrap();
    let contenders: Vec<usize> = chances
        .iter()
        .enumerate()
        .map(|(number, chance)| board.enter(candidate(&format!("{chance} number {number}"))))
        .collect();
    let raced = race(&mut board, &contenders, options).now_or_never().unwrap().unwrap();
    let scores = board.candidates().iter().map(|candidate| candidate.score).collect();
    (raced, scores)
}

/// How often the best (the first) is dropped, and which share of all rollouts is saved.
fn simulate(chances: &[f64], examples: usize, races: u64, graded: bool) -> (f64, f64) {
    let (mut lost, mut rollouts) = (0, 0);
    for world in 0..races {
        let program = Coin { graded, ..Coin::new(world) };
        let (raced, _) = run(&program, chances, examples, &RaceOptions::default(), Ledger::default());
        let best = raced.contenders.iter().find(|contender| contender.candidate == 0).unwrap();
        lost += u64::from(best.end == RaceEnd::Worse);
        rollouts += program.runs.load(Ordering::SeqCst);
    }
    let all = races as f64 * (chances.len() * examples) as f64;
    (lost as f64 / races as f64, 1.0 - rollouts as f64 / all)
}

#[test]
fn the_best_is_seldom_dropped_and_much_is_saved() {
    let check = |name: &str, chances: &[f64], graded, least_saved: f64| {
        let (lost, saved) = simulate(chances, 100, if graded { 20 } else { 80 }, graded);
        println!("{name}: the best dropped in {:.1} % of races, {:.0} % saved", lost * 100.0, saved * 100.0);
        assert!(lost <= 0.05, "{name}: {lost}");
        assert!(saved >= least_saved, "{name}: {saved}");
    };
    // Where all are alike the first is as good as any; this is where a test is fooled most often.
    check("ten alike at 0.5", &[0.5; 10], false, -0.01);
    check("ten alike at 0.8", &[0.8; 10], false, -0.01);
    check("a near second", &[0.85, 0.8, 0.8, 0.8, 0.75, 0.75, 0.75, 0.7], false, 0.0);
    check("one far ahead", &[0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], false, 0.55);
    check("a spread", &[0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.25], false, 0.3);
    check("graded, alike", &[0.5; 4], true, -0.01);
    check("graded, a spread", &[0.8, 0.6, 0.4, 0.2], true, 0.3);
}

#[test]
fn looks_grow_and_end_with_the_whole_set() {
    let check = |first_chunk, growth, examples: usize, expected: &[usize]| {
        let options = RaceOptions { first_chunk, growth, ..RaceOptions::default() };
        assert_eq!(options.looks(examples), expected);
    };
    check(20, 1.5, 100, &[20, 50, 100]);
    check(20, 1.5, 60, &[20, 60]);
    check(20, 1.5, 12, &[12]);
    check(20, 1.5, 0, &[0]);
    check(10, 1.0, 40, &[10, 20, 30, 40]);
    check(0, f64::NAN, 3, &[1, 2, 3]);
    check(5, f64::INFINITY, 30, &[5, 30]);
}

#[test]
fn all_see_the_same_examples_and_only_finishers_have_a_score() {
    let program = Coin::new(1);
    let chances = [0.9, 0.2, 0.85, 0.2, 0.2];
    let (raced, scores) = run(&program, &chances, 100, &RaceOptions::default(), Ledger::default());
    assert_eq!((raced.stop, raced.contenders.len()), (None, 5));
    for contender in &raced.contenders {
        let finished = contender.end == RaceEnd::Finished;
        assert_eq!(finished, contender.examples == 100);
        assert_eq!(finished, scores[contender.candidate].is_some());
        assert!([20, 50, 100].contains(&contender.examples), "{contender:?}");
    }
    assert!(raced.contenders.iter().any(|contender| contender.end == RaceEnd::Worse));
    assert_eq!(run(&Coin::new(1), &chances, 100, &RaceOptions::default(), Ledger::default()).0.stop, None);
}

#[test]
fn one_that_is_known_takes_part_and_costs_nothing() {
    let program = Coin::new(4);
    let runner = RolloutRunner::new(&program, Arc::new(Silent));
    let mut board = Scoreboard::new(&runner, selection(60)).unwrap();
    let known = board.enter(candidate("0.95 known"));
    board.roll_out(&[(known, (0..60).collect())]).now_or_never().unwrap().unwrap();
    let new: Vec<usize> = (0..4).map(|number| board.enter(candidate(&format!("0.1 {number}")))).collect();
    let everyone = [&[known, known], &new[..]].concat();
    let raced = race(&mut board, &everyone, &RaceOptions::default()).now_or_never().unwrap().unwrap();
    assert_eq!(raced.contenders.len(), 5, "twice the same is one contender");
    assert_eq!(program.runs.load(Ordering::SeqCst), 60 + 4 * 20);
    let last = raced.contenders.last().unwrap();
    assert_eq!((last.candidate, last.end), (known, RaceEnd::Finished));
}

#[test]
fn an_allotment_narrows_the_race_to_those_in_front() {
    let chances = [0.6, 0.62, 0.75, 0.61, 0.6, 0.63, 0.6, 0.6, 0.6];
    let options = RaceOptions { max_rollouts: Some(450), ..RaceOptions::default() };
    let program = Coin::new(2);
    let (raced, scores) = run(&program, &chances, 100, &options, Ledger::default());
    assert_eq!(raced.stop, None);
    let made = program.runs.load(Ordering::SeqCst);
    assert!((300..=450).contains(&made), "{made}");
    let ended = |end| raced.contenders.iter().filter(|contender| contender.end == end).count();
    assert!(ended(RaceEnd::Unaffordable) > 0);
    assert!(raced.contenders.iter().all(|contender| contender.examples >= 20));
    let full: Vec<usize> = (0..9).filter(|candidate| scores[*candidate].is_some()).collect();
    assert!(full.contains(&2) && full.len() < 5, "{full:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the budget, it is kept, and where one evaluation was affordable at most cost, somebody
    /// finishes.
    #[test]
    fn a_budget_is_kept_and_leaves_a_finisher(
        calls in prop::option::of(0_u64..500),
        rollouts in prop::option::of(0_u64..300),
        allotment in prop::option::of(0_u64..300),
        contenders in 1_usize..8,
        twice: bool,
    ) {
        let program = Coin::new(3);
        let ledger = Arc::new(Ledger::new(calls.map_or_else(Budget::default, Budget::calls)));
        let runner = RolloutRunner::new(&program, Arc::new(Silent))
            .ledger(Arc::clone(&ledger))
            .max_rollouts(rollouts);
        let mut board = Scoreboard::new(&runner, selection(40)).unwrap();
        let suffix = if twice { " twice" } else { "" };
        let indices: Vec<usize> =
            (0..contenders).map(|number| board.enter(candidate(&format!("0.6 {number}{suffix}")))).collect();
        let options = RaceOptions { first_chunk: 8, max_rollouts: allotment, ..RaceOptions::default() };
        let raced = race(&mut board, &indices, &options).now_or_never().unwrap().unwrap();
        let made = program.runs.load(Ordering::SeqCst);
        prop_assert!(calls.is_none_or(|calls| ledger.spent() <= calls));
        prop_assert!(rollouts.is_none_or(|most| made <= most));
        prop_assert_eq!(raced.contenders.len(), contenders);
        let finished = raced.contenders.iter().any(|contender| contender.end == RaceEnd::Finished);
        let enough = calls.is_none_or(|calls| calls >= 80) && rollouts.is_none_or(|most| most >= 40);
        prop_assert!(finished || !enough, "{:?}", raced);
        if !finished {
            prop_assert_eq!(raced.stop, Some(StopReason::Budget));
        }
        let full = board.candidates().iter().filter(|candidate| candidate.score.is_some()).count();
        let finishers = raced.contenders.iter().filter(|contender| contender.end == RaceEnd::Finished);
        prop_assert_eq!(full, finishers.count());
    }
}
