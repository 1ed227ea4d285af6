//! The sealed test: the prompts before and after an optimization on rows that it did not see.

use promptopt::prelude::*;
use promptopt::report::TestReport;

/// Tries the prompts before and after an optimization on rows that it did not see, and says what came of it.
///
/// # Errors
///
/// What keeps the program from being evaluated.
pub async fn sealed_test(
    program: &dyn Evaluator,
    model: Arc<dyn LanguageModel>,
    outcome: &Outcome,
    test: &[Arc<Example>],
) -> anyhow::Result<()> {
    test_with(program, RunOptions::builder().task_model(model).build(), outcome, test).await.map(drop)
}

/// The same under options.
pub(crate) async fn test_with(
    program: &dyn Evaluator,
    options: RunOptions,
    outcome: &Outcome,
    test: &[Arc<Example>],
) -> anyhow::Result<TestReport> {
    let original = outcome.candidates.first().map(|candidate| candidate.prompts.clone()).unwrap_or_default();
    let mut run = Run::of(program, options)?;
    let before = evaluate(&mut run, &Arc::new(original), test).await?;
    let after = evaluate(&mut run, &Arc::default(), test).await?;
    let (report, usage) = (TestReport::of("sealed test", test, &before, &after)?, run.ledger().spending());
    // The first of the runs that have most steps.
    if let Some(longest) = after.traces.iter().flatten().rev().max_by_key(|trace| trace.steps.len()) {
        println!("one run of the sealed test, step by step:");
        longest.steps.iter().for_each(show);
    }
    println!();
    for note in &outcome.notes {
        println!("note: {note}");
    }
    println!(
        "sealed test: {:.3} -> {:.3}, {:.3}",
        before.estimate.mean, after.estimate.mean, report.comparison
    );
    println!("the search cost {} and ended because {}", in_words(outcome.spending.total()), outcome.stop);
    println!("the sealed test cost {}", in_words(usage));
    Ok(report)
}

/// One step on a line; those of tools are parts of the one above.
fn show(step: &Step) {
    let fields = |fields: &Fields| serde_json::Value::from(fields.clone()).to_string();
    let part = if step.parent.is_some() { "    " } else { "  " };
    println!("{part}{}: {} -> {}", step.predictor, fields(&step.inputs), fields(&step.outputs));
}

fn in_words(usage: Usage) -> String {
    let money = usage.money.map(|money| format!(", {money}")).unwrap_or_default();
    format!("{} calls ({}{money})", usage.calls, usage.tokens_in_words())
}
