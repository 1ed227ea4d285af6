//! A report in which every text wants to be more than text.

use std::cell::Cell;

use promptopt_core::data::Fields;
use promptopt_core::money::Usage;
use promptopt_core::prompt::{Demo, Origin, Prompt, PromptCandidate, Prompts};
use promptopt_core::trace::FailureKind;
use promptopt_report::{ErrorLine, ExampleRow, Report, StageCost, StepRow, TestReport};
use promptopt_run::{CandidateScores, Confirmation, Outcome, StopReason, Trial, TrialKind};
use promptopt_statistics::{Comparison, Estimate};
use serde_json::json;

/// Pieces of markup that would run a script, open a dialog or ask `server` for something, if they were
/// taken for markup. What runs leaves `hostileRan` in the document's title.
pub(crate) fn corpus(server: &str) -> Vec<String> {
    let ran = "document.title='hostileRan'";
    vec![
        format!("<script>{ran};alert(1)</script>"),
        format!("</script><script>{ran}</script>"),
        format!("</title></style></textarea></noscript></template><script>{ran}</script>"),
        format!("\"><img src=x onerror={ran}>"),
        format!("'><img src='{server}/hostile.png' onload={ran}>"),
        format!("<svg/onload={ran}>"),
        format!("</svg><svg><script>{ran}</script></svg>"),
        format!("<svg><a xlink:href=\"javascript:{ran}\"><text>x</text></a></svg>"),
        format!("<svg><use href=\"{server}/hostile.svg#x\"/><image href=\"{server}/hostile.png\"/></svg>"),
        format!("<iframe srcdoc=\"<script>parent.{ran}</script>\"></iframe>"),
        format!("<iframe src=\"javascript:parent.{ran}\"></iframe>"),
        format!(
            "<link rel=stylesheet href={server}/hostile.css><style>@import '{server}/hostile.css'</style>"
        ),
        format!("<div style=\"background:url({server}/hostile.png)\">"),
        format!("<meta http-equiv=refresh content=\"0;url={server}/hostile\"><base href={server}/>"),
        format!("<object data={server}/hostile></object><embed src={server}/hostile>"),
        format!("<form action={server}/hostile><button autofocus onfocus={ran}>x</button></form>"),
        format!("<details open ontoggle={ran}>"),
        format!("<video><source onerror={ran}></video><audio src={server}/hostile.mp3 autoplay>"),
        format!("javascript:{ran}"),
        format!("`${{{ran}}}` {{{{ {ran} }}}} {{% raw %}}"),
        format!("--><!--><script>{ran}</script><!--"),
        format!("]]><![CDATA[<script>{ran}</script>"),
        format!("<math><mtext></mtext><script>{ran}</script></math>"),
        "\0<\0script\0>\u{1b}[31m\r\n\u{8}".to_owned(),
        "\u{202e}dlrow olleh\u{202c} \u{200f}שלום\u{2066} &lt;b&gt; &#x3c;script&#x3e;".to_owned(),
        "\u{fffe}\u{feff}\u{2028}\u{2029}\u{85}+ADw-script+AD4-".to_owned(),
        format!("<img src=x onerror={ran}>").repeat(20_000),
    ]
}

/// The corpus in every text of a report.
pub(crate) fn report(server: &str) -> Report {
    of(&corpus(server))
}

/// The given texts, in turn, in every text of a report.
pub(crate) fn of(texts: &[String]) -> Report {
    let turn = Cell::new(0);
    let text = || {
        turn.set(turn.get() + 1);
        texts.get(turn.get() % texts.len().max(1)).cloned().unwrap_or_default()
    };
    let mut estimate = Estimate::new(0.5, 0.4, 0.6, 10);
    (estimate.failed, estimate.missing) = (1, 1);
    let comparison = |low| {
        let mut comparison = Comparison::new(10, 0.1, low, 0.2, 0.01);
        (comparison.wins, comparison.losses, comparison.test) = (3, 1, text());
        comparison
    };
    let (first, second, third) = (comparison(0.05), comparison(-0.05), comparison(0.05));
    let fields = |count: usize| (0..count).map(|_| (text(), json!(text()))).collect::<Fields>();
    let all = fields(texts.len());
    let examples = (0..texts.len()).map(|at| {
        let mut example_row = ExampleRow::default();
        example_row.inputs = fields(2);
        example_row.expected = fields(1);
        example_row.before = Some(fields(1));
        example_row.after = (at % 3 > 0).then(|| fields(2));
        example_row.score_before = Some(f64::from(u8::from(at % 2 == 0)));
        example_row.score_after = (at % 5 > 0).then_some(f64::from(u8::from(at % 4 == 0)));
        example_row
    });
    let mut examples: Vec<_> = examples.collect();
    let demos = vec![Demo::new(all.clone()).augmented()];
    for row in &mut examples {
        (row.error_before, row.error_after, row.feedback) = (Some(text()), None, Some(text()));
    }
    for row in examples.iter_mut().step_by(4) {
        row.error_after = Some(text());
    }
    for row in examples.iter_mut().step_by(2) {
        let mut step = StepRow::default();
        (step.path, step.given, step.gave) = (text(), text(), text());
        (row.steps_before, row.steps_after) = (vec![step.clone()], vec![step]);
    }
    let paths: Vec<String> = (0..3).map(|_| text()).collect();
    let prompts = || -> Prompts {
        paths.iter().map(|path| (path.clone(), Prompt::new(text()).with_demos(demos.clone()))).collect()
    };
    let (before, after) = (prompts(), prompts());
    let choice = Origin::new("search", text()).with("choices", json!([[0, 1], [2, 3], [4, usize::MAX]]));
    let mut candidates = vec![
        PromptCandidate::new(before.clone(), Origin::original()),
        PromptCandidate::new(prompts(), choice),
        PromptCandidate::new(prompts(), Origin::new("merged", text())),
    ];
    for at in 0..texts.len() {
        let origin = match at % 3 {
            0 => Origin::new("reflected", text()),
            1 => Origin::new(text(), text()).with(&text(), text()),
            _ => Origin::new(text(), ""),
        };
        candidates.push(PromptCandidate::new(prompts(), origin).with_parents(vec![
            at / 2,
            at + 1,
            usize::MAX,
        ]));
    }
    let scores = (0..candidates.len()).map(|at| {
        CandidateScores::new(
            (0..20).map(|n| (n % 7 > 0).then_some(f64::from(u8::from((n * at) % 3 == 0)))).collect(),
        )
        .with_discovery(at as u64 * 10, at as u64)
        .with_objectives(
            [(texts.get(at % texts.len().max(1)).cloned().unwrap_or_default(), vec![Some(0.5)])].into(),
        )
    });
    let scores: Vec<_> = scores.collect();
    let known =
        [TrialKind::BASELINE, TrialKind::MINIBATCH, TrialKind::FULL, TrialKind::GATE, TrialKind::RACE];
    let kinds: Vec<_> =
        known.into_iter().chain(texts.iter().map(|text| TrialKind::new(text.clone()))).collect();
    let trials = kinds.into_iter().cycle().zip(0..candidates.len()).map(|(kind, candidate)| {
        let mut trial =
            Trial::new(kind, candidate, 5, candidate as f64 / 40.0).with_progress(candidate as u64 * 10, 0.5);
        trial.failures = 1;
        trial
    });
    let depth = |path: &String| {
        json!({
            "predictor": path, "depth": 0, "attempts": 0, "best": 0.0, "mean": 0.0, "min": 0.0, "max": 0.0, "std": 0.0,
            "calls_so_far": 0,
        })
    };
    let mut details = all.clone();
    details.insert("frontier".to_owned(), json!([0, 3, 4, usize::MAX, 3]));
    details.insert("depths".to_owned(), paths.iter().map(depth).collect());
    let mut outcome = Outcome::new(text());
    outcome.best = candidates.len() - 1;
    outcome.baseline = estimate;
    outcome.selected = estimate;
    outcome.comparison = Some(first);
    outcome.choice = text();
    outcome.trials = trials.collect();
    outcome.scores = scores;
    outcome.details = details;
    outcome.confirmation = Some(Confirmation::new(text(), estimate, estimate, second));
    (outcome.failures.reply, outcome.failures.program) = (1, 2);
    (outcome.failures.provider, outcome.failures.metric) = (3, 4);
    outcome.stop = StopReason::Provider { message: text() };
    outcome.notes = texts.to_vec();
    outcome.candidates = candidates;
    let mut test = TestReport::new(text(), estimate, estimate, third);
    test.examples = examples;
    let mut report = Report::new(text(), outcome);
    // The one that would close the title, where there is one.
    report.title = texts.iter().find(|text| text.contains("</title>")).cloned().unwrap_or_else(text);
    report.model = text();
    report.prompt_model = Some(text());
    report.optimizer = text();
    report.created_at = text();
    report.prompts_before = before;
    report.prompts_after = after;
    report.test = Some(test);
    report.errors =
        texts.iter().map(|message| ErrorLine::new(FailureKind::Program, message.clone(), 1)).collect();
    report.configuration = json!(all);
    report.stages = texts
        .iter()
        .map(|stage| StageCost::new(stage.clone(), Usage::default()).with_money(0.1).with_seconds(3.0))
        .collect();
    report
}
