//! The probe for headroom: what it finds, what it costs, and what a run does with it.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::data::Example;
use promptopt_core::program::{Module, ModuleExt as _};
use promptopt_gepa::GEPA;
use promptopt_run::{
    Auto, Halt, HeadroomFinding, HeadroomKind, Optimizer, Outcome, Run, RunOptions, StopReason,
};
use promptopt_testkit::{HeadroomTask, HiddenRules, Landscape, ScriptedLm, SimulatedLm, toy};

fn arcs(examples: &[Example]) -> Vec<Arc<Example>> {
    examples.iter().cloned().map(Arc::new).collect()
}

fn probe(task: &HeadroomTask, rows: usize, concurrency: usize) -> HeadroomFinding {
    let program = task.program().with_metric(task.metric());
    let options = RunOptions::builder().task_model(task.model()).concurrency(concurrency).build();
    let mut run = Run::of(&program, options).unwrap();
    run.select_on(arcs(&task.selection));
    pollster::block_on(run.look_for_headroom(rows, &arcs(&task.train))).unwrap()
}

/// With 24 rows, the default of the command, the probe is right in at least nine tenths of the simulated tasks: 94 % of a
/// thousand. `cargo xtask bench probe` measures the whole hundred.
#[test]
fn the_probe_is_right_in_nine_of_ten_tasks() {
    let right = (100..140).filter(|number| {
        let task = HeadroomTask::new(*number);
        probe(&task, 24, 8).kind.is_headroom() == task.has_headroom
    });
    let right = right.count();
    assert!(right >= 36, "{right} of 40");
}

#[test]
fn the_probe_says_where_a_gain_would_come_from_and_why_there_is_none() {
    let check = |number: u64, kind: HeadroomKind, said: &str| {
        let found = probe(&HeadroomTask::new(number), 40, 8);
        assert_eq!(found.kind, kind, "{found}");
        assert!(found.to_string().contains(said), "{found}");
        assert!(found.rows_needed.is_some_and(|rows| rows > 1), "{found}");
    };
    check(
        0,
        HeadroomKind::Form,
        "headroom in the form of the reply: on 40 rows the best of 3 other prompts, `strict`",
    );
    check(2, HeadroomKind::Examples, "headroom in examples");
    check(4, HeadroomKind::Instruction, "headroom in the instruction");
    check(3, HeadroomKind::Knowledge, "rows are wrong under every prompt");
    let near = (1..64).step_by(8).map(|number| probe(&HeadroomTask::new(number), 40, 8));
    let near = near.filter(|found| found.to_string().contains("rows are right under every prompt")).count();
    assert!(near >= 5, "{near} of 8 are near their ceiling");
}

#[test]
fn a_program_that_comes_with_misleading_demos_is_tried_without_them() {
    let task = HiddenRules::new(6, 5);
    let (rows, train) = (task.examples(80), task.examples(100).split_off(80));
    let model = ScriptedLm::new(|request: &promptopt_core::lm::LmRequest| {
        let demos = request.messages.len() > 2;
        let right = ["K4", "nothing"][usize::from(demos)];
        Ok(ScriptedLm::chat_reply([("answer", right)]))
    });
    let rows: Vec<Example> = rows
        .into_iter()
        .map(|row| {
            Example::new([("question", row.get_str("question").unwrap()), ("answer", "K4")], ["question"])
        })
        .collect();
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let mut prompts = program.candidate().prompts;
    let demo = promptopt_core::prompt::Demo::labeled(&train[0], program.predictors()[0].signature()).unwrap();
    let own = prompts.get("answer").unwrap().clone().with_demos(vec![demo]);
    prompts.insert("answer", own);
    program.set_prompts(&prompts).unwrap();
    let mut run = Run::bare(&program, Arc::new(model));
    run.select_on(arcs(&rows));
    let found = pollster::block_on(run.look_for_headroom(20, &[])).unwrap();
    let names: Vec<&str> = found.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["original", "bare", "strict", "long"], "no demos without training rows");
    assert_eq!((found.kind, found.best().unwrap().name.as_str()), (HeadroomKind::FewerDemos, "bare"));
    assert_eq!((found.headroom.means[0], found.headroom.means[1]), (0.0, 1.0));
}

/// A model that answers the same again is asked again on a fourth of the rows alone, and one that does not on half.
#[test]
fn a_second_draw_is_cheap_where_nothing_differs() {
    let drawn = |number: u64| probe(&HeadroomTask::new(number), 40, 8).headroom.tally.drawn_again;
    assert_eq!((drawn(1), drawn(7)), (10, 20));
    let found = probe(&HeadroomTask::new(7), 40, 8);
    assert!(found.headroom.variance.draw.unwrap() > 0.1, "{:?}", found.headroom.variance);
    let steady = probe(&HeadroomTask::new(5), 40, 8);
    assert_eq!(steady.headroom.variance.draw, Some(0.0));
}

#[test]
fn concurrency_does_not_show_in_a_finding() {
    for number in [0, 7] {
        let task = HeadroomTask::new(number);
        assert_eq!(probe(&task, 24, 1), probe(&task, 24, 64));
    }
}

/// Rules whose right answers come in 25 % of cases, or always.
fn compile(
    build: impl Fn(RunOptions) -> Box<dyn Optimizer>,
    untaught: f64,
    options: impl Fn(RunOptions) -> RunOptions,
) -> (Outcome, promptopt_core::prompt::Prompts) {
    let task = HiddenRules::new(12, 3);
    let model = Arc::new(task.model(3).with_untaught(untaught));
    let rows = task.examples(100);
    let run = RunOptions::builder().task_model(model).valset(rows[..60].to_vec()).max_calls(2500).build();
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let outcome = pollster::block_on(build(options(run)).compile(&mut program, rows[60..].to_vec())).unwrap();
    (outcome, program.candidate().prompts)
}

/// Makes an optimizer of the options of a run.
type Build = Box<dyn Fn(RunOptions) -> Box<dyn Optimizer>>;

fn optimizers() -> Vec<Build> {
    vec![
        Box::new(|run| Box::new(MIPROv2::default().with_run_options(run))),
        Box::new(|run| Box::new(COPRO::default().with_run_options(run))),
        // Its size is named, because a cap of another kind would take its place.
        Box::new(|run| Box::new(GEPA::builder().auto(Auto::Light).build().with_run_options(run))),
    ]
}

#[test]
fn min_headroom_ends_a_run_in_which_little_is_to_be_expected() {
    for build in optimizers() {
        let own = toy::answerer().candidate().prompts;
        let asked = |mut run: RunOptions| {
            run.min_headroom = Some(0.05);
            run
        };
        let (outcome, prompts) = compile(&build, 1.0, asked);
        let StopReason::NoHeadroom { message } = &outcome.stop else {
            panic!("{}: {:?}", outcome.stop, outcome.headroom())
        };
        assert!(message.contains("less than `min_headroom` = 0.05"), "{message}");
        assert!(!outcome.improved() && prompts == own);
        let found = outcome.headroom().unwrap();
        assert_eq!(found.kind, HeadroomKind::Ceiling);
        // The baseline, and the probe, which takes no more than a fourth of the calls.
        let calls = outcome.spending.total().calls;
        assert!((60 + 60..=60 + 625).contains(&calls), "{calls}");

        let (outcome, _) = compile(&build, 0.25, asked);
        assert!(!matches!(outcome.stop, StopReason::NoHeadroom { .. }), "{}", outcome.stop);
        assert!(outcome.improved() && outcome.headroom().unwrap().kind.is_headroom());
    }
}

/// Without a cap nothing is taken from the search: it comes to the same with a probe and without one.
#[test]
fn a_run_without_a_cap_searches_as_it_would_without_a_probe() {
    for build in optimizers() {
        let (probed, prompts) = compile(&build, 0.25, |mut run| {
            run.max_calls = None;
            run
        });
        let (plain, plainly) = compile(&build, 0.25, |mut run| {
            // No run of this size comes near it, and under a cap of time there is no probe.
            (run.max_calls, run.max_time) = (None, Some(std::time::Duration::from_secs(36_000).into()));
            run
        });
        assert_eq!((prompts, probed.best), (plainly, plain.best));
        assert_eq!(plain.headroom(), None);
        let bought = probed.spending.total().calls - plain.spending.total().calls;
        let ten = probed.spending.total().calls / 10;
        match probed.headroom() {
            Some(_) => assert!((1..=2 * ten).contains(&bought), "{bought} of {}", 10 * ten),
            None => assert_eq!(bought, 0),
        }
    }
}

#[test]
fn a_budget_that_bears_no_probe_has_none() {
    let [_, copro, _] = &optimizers()[..] else { unreachable!() };
    let (outcome, _) = compile(copro, 0.25, |mut run| {
        run.max_calls = Some(300);
        run
    });
    assert_eq!(outcome.headroom(), None);
    assert!(!outcome.notes.iter().any(|note| note.contains("min_headroom")), "{:?}", outcome.notes);
    let (outcome, _) = compile(copro, 0.25, |mut run| {
        (run.max_calls, run.min_headroom) = (Some(300), Some(0.05));
        run
    });
    assert_eq!(outcome.headroom(), None);
    assert!(
        outcome.notes.iter().any(|note| note.contains("`min_headroom` had no effect")),
        "{:?}",
        outcome.notes
    );
}

/// Where a run has a probe it is a small part of the run, the original's rollouts are not bought again, and the outcome
/// is the same at any concurrency.
#[test]
fn a_probe_is_a_small_part_of_a_run() {
    let gepa: Build = Box::new(|run| Box::new(GEPA::default().with_run_options(run)));
    for build in optimizers().into_iter().take(2).chain([gepa]) {
        let at = |concurrency: usize| {
            compile(&build, 0.25, |mut run| {
                run.concurrency = concurrency;
                run
            })
            .0
        };
        let outcome = at(1);
        let found = outcome.headroom().unwrap();
        let made: usize = found.prompts.iter().map(|prompt| prompt.rollouts).sum();
        let bought = made - found.headroom.rows;
        assert!(bought <= 125, "{bought} of 2,500 calls");
        assert_eq!(at(16).details, outcome.details);
        assert!(outcome.spending.total().calls <= 2500);
    }
}

#[test]
fn a_probe_of_inner_predictors_goes_without_demos_that_no_row_can_give() {
    let task = HiddenRules::new(6, 2).in_two_stages();
    let rows = task.examples(60);
    let model: SimulatedLm = task.model(1);
    let program = toy::TwoStage::default().with_metric(toy::exact_answer());
    let mut run = Run::bare(&program, Arc::new(model));
    run.select_on(arcs(&rows[..30]));
    let found = pollster::block_on(run.look_for_headroom(20, &arcs(&rows[30..]))).unwrap();
    let names: Vec<&str> = found.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["original", "strict", "long"]);
}

#[test]
fn a_probe_that_gets_no_reply_says_why() {
    let landscape = Landscape::hidden_rules(1);
    let program = landscape.program().with_metric(landscape.metric());
    let model = promptopt_testkit::around(ScriptedLm::answering(""), |_, _| async {
        Err(promptopt_core::lm::LmError::InvalidRequest { status: 404, message: "no such model".into() })
    });
    let options = RunOptions::builder().task_model(Arc::new(model)).max_errors(10_000).build();
    let mut run = Run::of(&program, options).unwrap();
    run.select_on(arcs(&landscape.selection));
    let found = pollster::block_on(run.look_for_headroom(20, &arcs(&landscape.train)));
    match found {
        Err(Halt::Failed(error)) => assert!(error.to_string().contains("no such model"), "{error}"),
        Err(Halt::Stopped(stop)) => assert!(stop.to_string().contains("no such model"), "{stop}"),
        Ok(found) => panic!("{found}"),
    }
}
