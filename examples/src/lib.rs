//! The examples are the binaries in `src/bin`. Here is what they share, and the guide, which is compiled.

use promptopt::prelude::*;

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
    let original = outcome.candidates.first().map(|candidate| candidate.prompts.clone()).unwrap_or_default();
    let mut run = Run::bare(program, model);
    let before = evaluate(&mut run, &Arc::new(original), test).await?;
    let after = evaluate(&mut run, &Arc::default(), test).await?;
    println!(
        "sealed test: {:.3} -> {:.3} with {} calls and {} reflections; {}",
        before.estimate.mean,
        after.estimate.mean,
        outcome.spending.task.calls,
        outcome.spending.prompt.calls,
        outcome.stop
    );
    Ok(())
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide-rust.md")]
struct Guide;
