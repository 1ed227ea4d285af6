//! What stands in the report of a small run.

use promptopt_core::data::Fields;
use promptopt_core::money::Usage;
use promptopt_core::prompt::{Demo, Origin, Prompt, PromptCandidate, Prompts};
use promptopt_core::trace::FailureKind;
use promptopt_report::{ErrorLine, ExampleRow, Report, StageCost, TestReport};
use promptopt_run::{CandidateScores, Outcome, StopReason, Trial, TrialKind};
use promptopt_statistics::{Comparison, Estimate};
use scraper::{Html, Selector};
use serde_json::{Value, json};

pub(crate) fn fields(value: Value) -> Fields {
    value.as_object().cloned().unwrap_or_default()
}

fn estimate(mean: f64) -> Estimate {
    Estimate::new(mean, mean - 0.1, mean + 0.1, 4)
}

fn comparison(difference: f64, p_value: f64) -> Comparison {
    let mut comparison = Comparison::new(4, difference, difference - 0.1, difference + 0.1, p_value);
    (comparison.wins, comparison.losses, comparison.test) = (3, 1, "exact McNemar".into());
    comparison
}

fn example(input: &str, before: f64, after: Option<f64>) -> ExampleRow {
    let mut example_row = ExampleRow::default();
    example_row.inputs = fields(json!({"question": input}));
    example_row.expected = fields(json!({"answer": "yes"}));
    example_row.before = Some(fields(json!({"answer": "no"})));
    example_row.after = after.map(|_| fields(json!({"answer": "yes"})));
    example_row.score_before = Some(before);
    example_row.score_after = after;
    example_row.error_after = after.is_none().then(|| "no reply".to_owned());
    example_row
}

/// A report with something in every section.
pub(crate) fn small() -> Report {
    let prompts = |instruction: &str| {
        let demo = Demo::new(fields(json!({"question": "q", "answer": "a"}))).augmented();
        Prompts::from_iter([("answer", Prompt::new(instruction).with_demos(vec![demo]))])
    };
    let candidate = |instruction: &str, origin, parents: &[usize], score| {
        PromptCandidate::new(prompts(instruction), origin).with_score(score).with_parents(parents.to_vec())
    };
    let choice = Origin::new("search", "instruction × demo set 1 × 2").with("choices", json!([[1, 2]]));
    let reflection = Origin::new("reflected", "reflection on answer, iteration 2");
    let merge = Origin::new("merged", "merge over ancestor 0, iteration 3");
    let candidates = vec![
        candidate("Answer the question.", Origin::original(), &[], Some(0.5)),
        candidate("Answer the question with care.", choice, &[0], Some(0.75)),
        candidate("Answer at once.", reflection, &[0], None),
        candidate("Answer the hard question with care.", merge, &[1, 2], Some(1.0)),
    ];
    let trial = |kind, candidate, score: f64, calls_so_far, best_so_far| {
        Trial::new(kind, candidate, 4, score).with_progress(calls_so_far, best_so_far)
    };
    let scores = |values: &[u8]| {
        CandidateScores::new(values.iter().map(|value| Some(f64::from(*value))).collect())
            .with_discovery(8, 0)
    };
    let mut outcome = Outcome::default();
    outcome.best = 3;
    outcome.baseline = estimate(0.5);
    outcome.selected = estimate(0.9);
    outcome.comparison = Some(comparison(0.5, 0.01));
    outcome.choice = "the highest mean".into();
    outcome.trials = vec![
        trial(TrialKind::BASELINE, 0, 0.5, 4, 0.5),
        trial(TrialKind::MINIBATCH, 1, 0.5, 8, 0.5),
        trial(TrialKind::FULL, 1, 0.75, 12, 0.75),
        trial(TrialKind::GATE, 2, 0.25, 16, 0.75),
        trial(TrialKind::RACE, 2, 0.5, 18, 0.75),
        trial(TrialKind::FULL, 3, 1.0, 24, 1.0),
    ];
    outcome.scores =
        vec![scores(&[0, 0, 1, 1]), scores(&[1, 0, 1, 1]), scores(&[0, 1]), scores(&[1, 1, 1, 1])];
    outcome.details = fields(json!({
        "frontier": [1, 3],
        "depths": [
            {
                "predictor": "answer", "depth": 0, "attempts": 2, "best": 0.5, "mean": 0.4, "min": 0.3,
                "max": 0.5, "std": 0.1, "calls_so_far": 0,
            },
            {
                "predictor": "answer", "depth": 1, "attempts": 2, "best": 0.9, "mean": 0.7, "min": 0.5,
                "max": 0.9, "std": 0.2, "calls_so_far": 20,
            },
        ],
    }));
    outcome.spending.task = Usage::call(50_000, 2_000).with_calls(1_200);
    outcome.failures.reply = 2;
    outcome.stop = StopReason::TargetReached;
    outcome.notes = vec!["a note".into()];
    outcome.candidates = candidates;
    let mut test = TestReport::new("sealed test", estimate(0.5), estimate(0.9), comparison(0.4, 0.001));
    test.examples = vec![
        example("is there a needle?", 0.0, Some(1.0)),
        example("is it hay?", 1.0, Some(0.0)),
        example("is it wrong?", 0.0, Some(0.0)),
        example("is it right?", 1.0, Some(1.0)),
        example("is it there?", 1.0, None),
    ];
    let mut report = Report::new("questions", outcome);
    report.model = "a-model".into();
    report.optimizer = "GEPA".into();
    report.created_at = "2026-01-31".into();
    report.prompts_before = prompts("Answer the question.");
    report.prompts_after = prompts("Answer the hard question with care.");
    report.test = Some(test);
    report.errors = vec![ErrorLine::new(FailureKind::Reply, "no field `answer`", 2)];
    report.configuration = json!({"seed": 7});
    report.stages = vec![StageCost::new("search", Usage::calls(1_200)).with_seconds(75.0).with_money(0.5)];
    report
}

pub(crate) fn select(report: &Report, selector: &str) -> String {
    let html = Html::parse_document(&report.to_html().unwrap());
    let found: Vec<String> =
        html.select(&Selector::parse(selector).unwrap()).map(|element| element.html()).collect();
    found.join("\n")
}

pub(crate) fn words(report: &Report, selector: &str) -> String {
    let text: String =
        Html::parse_fragment(&select(report, selector)).root_element().text().collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_headline_says_what_was_gained() {
    insta::assert_snapshot!(words(&small(), ".headline"));
}

#[test]
fn the_pictures_are_drawn() {
    let report = small();
    insta::assert_snapshot!("interval_plot", select(&report, ".headline .intervals:nth-of-type(2) svg"));
    insta::assert_snapshot!("trials", select(&report, "#trials .plot svg"));
    insta::assert_snapshot!("lineage", select(&report, "#lineage svg"));
    insta::assert_snapshot!("frontier_strip", select(&report, "#frontier .strip"));
}

#[test]
fn the_tables_hold_the_figures() {
    let report = small();
    let sections = [
        "#splits",
        "#prompts",
        "#demos",
        "#examples tbody",
        "#choices",
        "#depths table",
        "#frontier tbody",
        "#candidates tbody",
        "#problems",
        "#cost",
        "#run",
    ];
    let all: Vec<String> =
        sections.iter().map(|section| format!("{section}: {}", words(&report, section))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn words_that_changed_are_marked() {
    let report = small();
    assert_eq!(words(&report, "#prompts ins"), "hard with care");
    assert_eq!(words(&report, "#prompts del"), "");
}

#[test]
fn a_gain_within_noise_is_called_so() {
    let with = |change: fn(&mut Report)| {
        let mut report = small();
        change(&mut report);
        words(&report, ".headline .verdict, .headline .caution, .headline .split")
    };
    let check = |change: fn(&mut Report), expected: &str| assert_eq!(with(change), expected);
    check(|_| {}, "Mean score, sealed test Better than the baseline on the sealed test.");
    let noise = |report: &mut Report| report.test.as_mut().unwrap().comparison = comparison(0.05, 0.4);
    check(noise, "Mean score, sealed test Not distinguishable from the baseline on the sealed test.");
    let worse = |report: &mut Report| report.test.as_mut().unwrap().comparison = comparison(-0.4, 0.001);
    check(worse, "Mean score, sealed test Worse than the baseline on the sealed test.");
    check(|report| report.outcome.best = 0, "Mean score, sealed test The original prompt stays.");
    let untested = with(|report| report.test = None);
    assert!(untested.contains("selection set") && untested.contains("leans upward"), "{untested}");
}

#[test]
fn an_original_that_stays_stands_beside_the_reason() {
    let mut report = small();
    report.outcome.choice = "the original was kept: the best of 20 candidates looked +0.050 better".into();
    let figures = |report: &Report| words(report, ".headline .figures");
    assert!(!figures(&report).contains("was kept"), "{}", figures(&report));
    report.outcome.best = 0;
    assert!(
        figures(&report).contains("the best of 20 candidates looked +0.050 better"),
        "{}",
        figures(&report)
    );
}

#[test]
fn a_gain_within_noise_stands_beside_what_could_have_been_seen() {
    let shown = |difference: f64, p_value: f64| {
        let mut report = small();
        let test = report.test.as_mut().unwrap();
        test.comparison = comparison(difference, p_value);
        test.detectable_gain = Some(0.25);
        words(&report, ".headline .figures")
    };
    let noise = shown(0.05, 0.4);
    assert!(noise.contains("pairs show a gain of +0.250 in four of five cases"), "{noise}");
    let better = shown(0.4, 0.001);
    assert!(!better.contains("+0.250"), "{better}");
}

#[test]
fn sections_without_data_are_left_out() {
    let full = select(&small(), "section[id]").matches("<section").count();
    assert_eq!(full, 13);
    let mut bare = Report::default();
    bare.test = small().test;
    let page = bare.to_html().unwrap();
    for absent in
        ["trials", "choices", "lineage", "frontier", "depths", "candidates", "demos", "prompts", "problems"]
    {
        assert!(!page.contains(&format!("id=\"{absent}\"")), "{absent}");
        assert!(!page.contains(&format!("href=\"#{absent}\"")), "{absent}");
    }
}

#[test]
fn json_reads_back_and_files_are_written_at_once() {
    let report = small();
    let json = report.to_json().unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report.write(&path).unwrap();
    report.write_json(folder.path().join("report.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report.to_html().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    let nowhere = report.write(folder.path().join("missing/report.html")).unwrap_err();
    assert!(nowhere.to_string().starts_with("writing the report to"));
}

#[test]
fn more_candidates_than_are_shown_leave_no_link_to_nothing() {
    let mut report = small();
    let more = report.outcome.candidates[1].clone();
    report.outcome.candidates.resize(900, more);
    report.outcome.details.insert("frontier".into(), json!([3, 650]));
    report.outcome.best = 800;
    let html = crate::escaping::check(&report.to_html().unwrap());
    let rows = Selector::parse("#candidates tbody tr").unwrap();
    assert_eq!(html.select(&rows).count(), 400);
    let note = "The first 400 of 900 candidates are shown.";
    assert!(
        words(&report, "#candidates caption").ends_with(note) && words(&report, "#lineage").ends_with(note)
    );
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let mut report = small();
    let test = report.test.as_mut().unwrap();
    test.examples = vec![example("again", 0.0, Some(1.0)); 2_500];
    assert!(words(&report, "#examples caption").contains("The first 2,000 of 2,500 examples are shown."));
    assert_eq!(select(&report, "#examples tbody tr").matches("<tr").count(), 2_000);

    let long = "x".repeat(3_000);
    report.test.as_mut().unwrap().examples = vec![example(&long, 0.0, Some(1.0)); 2_000];
    let page = report.to_html().unwrap();
    assert!(page.len() < 8_000_000, "{} bytes", page.len());
    assert!(page.contains("2,000 of 3,000 characters shown"));
}
