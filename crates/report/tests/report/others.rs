//! Optimizers that the report does not know: everything of theirs is shown.

use promptopt_core::prompt::Origin;
use promptopt_report::Report;
use promptopt_run::{StopReason, TrialKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::escaping::check;
use crate::sections::{fields, select, small, words};

/// The small report, with another origin for a candidate.
fn with_origin(candidate: usize, origin: Origin) -> Report {
    let mut report = small();
    report.outcome.candidates.get_mut(candidate).unwrap().origin = origin;
    report
}

#[test]
fn an_invented_origin_stands_in_the_list_and_in_the_lineage() {
    let origin = Origin::new("crossed", "two halves put together <b>at 3</b>")
        .with("cut", 3)
        .with("choices", json!({"not": "those of a search"}));
    let report = with_origin(2, origin);
    check(&report.to_html().unwrap());
    let label = "two halves put together <b>at 3</b>";
    assert!(words(&report, "#candidate-2").contains(label));
    let node = "#lineage .node[href='#candidate-2']";
    assert!(words(&report, &format!("{node} title")).contains(label));
    assert!(select(&report, node).contains("from 0"), "its parents are drawn");
}

#[test]
fn a_label_is_bounded_and_a_missing_one_is_told_by_the_kind() {
    let long = with_origin(2, Origin::new("crossed", "x".repeat(100_000)));
    assert!(words(&long, "#candidate-2 td").chars().count() < 1_000);
    let silent = with_origin(2, Origin::new("crossed", " "));
    assert!(words(&silent, "#candidate-2").contains("crossed"));
    check(&with_origin(2, Origin::new("", "")).to_html().unwrap());
}

#[test]
fn choices_of_another_form_leave_no_table() {
    for choices in [json!("1 × 2"), json!([[1]]), json!([[-1, 2]]), json!([]), Value::Null] {
        let report = with_origin(1, Origin::new("search", "a choice").with("choices", choices));
        check(&report.to_html().unwrap());
        assert_eq!(select(&report, "#choices"), "");
        assert!(words(&report, "#candidate-1").contains("a choice"));
    }
}

#[test]
fn a_kind_of_trial_of_its_own_is_drawn_with_its_name() {
    let mut report = small();
    report.outcome.trials[4].kind = TrialKind::new("bucket \"><b>");
    check(&report.to_html().unwrap());
    assert!(words(&report, "#trials .legend").contains("Bucket \"><b> (1): a kind of the optimizer's own"));
    assert!(words(&report, "#trials table").contains("bucket \"><b>"));
    assert!(words(&report, "#trials .mark.own title").starts_with("bucket \"><b>, candidate 2: 0.500"));
    assert!(words(&report, "#trials figcaption").contains("kinds of the optimizer's own on what it chose"));
    assert!(!words(&small(), "#trials figcaption").contains("own"));
}

#[test]
fn many_kinds_of_its_own_make_no_endless_legend() {
    let mut report = small();
    let trial = report.outcome.trials[0].clone();
    let named = |number| {
        let mut made = trial.clone();
        made.kind = TrialKind::new(format!("kind {number}"));
        made
    };
    report.outcome.trials = (0..500).map(named).collect();
    let legend = words(&report, "#trials .legend");
    assert!(legend.contains("Kind 11 (1)") && !legend.contains("Kind 12 (1)"), "{legend}");
    assert!(legend.contains("Others (488)"), "{legend}");
}

#[test]
fn details_that_nothing_draws_are_a_list() {
    let mut report = small();
    assert_eq!(select(&report, "#details"), "", "frontier and depths have sections of their own");
    let others = json!({
        "temperature <i>": 0.5,
        "buckets": [{"gap": 0.25}],
        "story": "z".repeat(100_000),
    });
    report.outcome.details.extend(fields(others));
    check(&report.to_html().unwrap());
    let list = words(&report, "#details");
    let start = "Details of the optimizer temperature <i> 0.5 buckets [{\"gap\":0.25}] story zzz";
    assert!(list.starts_with(start), "{list}");
    assert!(list.ends_with("2,000 of 100,000 characters shown"), "{list}");
    report.outcome.details.extend((0..1_000).map(|n| (format!("detail {n}"), json!(n))));
    assert!(words(&report, "#details").ends_with("more fields are not shown"));
}

#[test]
fn details_of_another_form_than_is_known_are_listed_too() {
    let mut report = small();
    let odd = json!({"frontier": "everybody", "depths": [{"predictor": "answer", "depth": -1}]});
    report.outcome.details = fields(odd);
    check(&report.to_html().unwrap());
    assert_eq!(select(&report, "#frontier, #depths, #candidates .tag:not(.boot)"), "");
    assert_eq!(
        words(&report, "#details"),
        "Details of the optimizer frontier everybody depths [{\"predictor\":\"answer\",\"depth\":-1}]"
    );
}

#[test]
fn each_rule_stands_with_its_worth_and_what_became_of_it() {
    let mut report = small();
    assert_eq!(select(&report, "#rules, a[href='#rules']"), "");
    let rule = |text: &str, worth: serde_json::Value, dropped: bool| json!({"predictor": "answer", "rule": text, "rows": 20, "worth": worth, "dropped": dropped});
    let worth = |difference: f64| {
        let mut comparison =
            promptopt_statistics::Comparison::new(12, difference, difference - 0.1, difference + 0.1, 0.01);
        comparison.test = "exact McNemar".into();
        json!(comparison)
    };
    let rules = [
        rule("Say <b>yes</b>.", worth(0.4), false),
        rule("Be kind.", worth(0.0), true),
        rule("Be brief.", json!(null), false),
    ];
    let found = json!({"rules": rules, "rollouts": 30, "why": "the winner does as well without"});
    report.outcome.details = fields(json!({ "rules": found }));
    check(&report.to_html().unwrap());
    insta::assert_snapshot!(words(&report, "#rules"), @"Rules of the winner 3 in the winner, 2 tried with and without, 1 worth it beyond chance, 1 dropped: the winner does as well without. Each rule with the difference that it makes in the score, on rows of the selection set that it is about and on which candidates with it and without it were tried. Rule Predictor Worth Rows In the prompt Say <b>yes</b>. answer +0.400 +0.300 to +0.500 12 of 20 kept Be kind. answer 0.000 −0.100 to +0.100 12 of 20 dropped: it gained nothing Be brief. answer not known 20 kept");
    assert_eq!(select(&report, "#details"), "");
    report.outcome.details = fields(json!({"rules": "many"}));
    assert_eq!(words(&report, "#details"), "Details of the optimizer rules many");
}

#[test]
fn a_reason_of_its_own_says_why_the_run_ended() {
    let mut report = small();
    report.outcome.stop = StopReason::Other { reason: "the pool <b> ran dry".into() };
    check(&report.to_html().unwrap());
    assert!(words(&report, "#run").contains("The pool <b> ran dry"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_detail_breaks_the_page([frontier, depths, choices, other] in std::array::from_fn::<_, 4, _>(|_| any_json())) {
        let mut report = with_origin(1, Origin::new("search", "a choice").with("choices", choices));
        let details = [("frontier", frontier), ("depths", depths), ("other", other)];
        report.outcome.details = details.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        check(&report.to_html().unwrap());
    }
}

/// JSON of any form, much of it close to what frontier, depths and choices look like.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..6_u8).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "predictor",
            "depth",
            "attempts",
            "best",
            "mean",
            "min",
            "max",
            "std",
            "calls_so_far"
        ])
        .prop_map(str::to_owned),
    ];
    let depth =
        (any::<String>(), any::<[u32; 3]>(), any::<[f64; 5]>()).prop_map(|(predictor, counts, scores)| {
            json!({
                "predictor": predictor, "depth": counts[0], "attempts": counts[1], "calls_so_far": counts[2],
                "best": scores[0], "mean": scores[1], "min": scores[2], "max": scores[3], "std": scores[4],
            })
        });
    let tree = leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::from(pairs.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    });
    prop_oneof![
        tree,
        prop::collection::vec(depth, 0..5).prop_map(Value::from),
        prop::collection::vec(any::<usize>().prop_map(|index| index % 6), 0..9).prop_map(Value::from),
        prop::collection::vec((0..4_usize, 0..4_usize), 0..4).prop_map(|pairs| json!(pairs)),
    ]
}
