//! One predictor, optimized in a few lines.
//!
//! Runs without a key on a simulated model; with `PROMPTOPT_MODEL=gpt-5-mini` and `OPENAI_API_KEY`
//! (and, for another server, `PROMPTOPT_BASE_URL`) on a real one.
//!
//! `cargo run -p promptopt-examples --bin quickstart`

use std::path::Path;

use promptopt::data::Portion;
use promptopt::prelude::*;
use promptopt_testkit::SimulatedLm;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // What the program takes and gives.
    let signature = Signature::parse(
        "ticket -> department: enum[billing, shipping, returns, technical, account, sales, legal]",
    )?
    .with_instructions("Route the support ticket to the department that should answer it.");

    // Examples, split so that the sealed test is never looked at while prompts are chosen.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/tickets.jsonl");
    let examples = load(file, &LoadOptions::for_signature(&signature))?;
    let model = model(&examples)?;
    let sizes = SplitOptions::default()
        .with_train(Portion::Count(220))
        .with_selection(None)
        .with_test(Portion::Count(200));
    let parts = split(examples, &sizes)?;

    // The program with its metric.
    let mut module = Predict::new("route", signature).with_model(Arc::clone(&model)).with_metric(metric_fn(
        |example: &Example, prediction: &Prediction| {
            example.get("department") == prediction.get("department")
        },
    ));

    let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
    let outcome = optimizer.compile(&mut module, parts.train).await?;

    // The winner is installed, so the seal may be opened: once, for the original prompts and the winner's.
    let test: Vec<_> = parts.test.open().into_iter().map(Arc::new).collect();
    let original = Arc::new(outcome.candidates[0].prompts.clone());
    let mut run = Run::bare(&module, model);
    let before = evaluate(&mut run, &original, &test).await?;
    let after = evaluate(&mut run, &Arc::default(), &test).await?;

    let gain = compare(&before.evidence(), &after.evidence(), 0.95)?;
    println!(
        "sealed test: {:.3} -> {:.3} (gain {:+.3}, 95 % interval {:+.3} to {:+.3}) with {} calls",
        before.estimate.mean,
        after.estimate.mean,
        gain.difference,
        gain.low,
        gain.high,
        outcome.spending.total().calls
    );
    for (path, prompt) in module.candidate().prompts.iter() {
        println!("{path}: {} ({} demos)", prompt.instruction, prompt.demos.len());
    }
    Ok(())
}

fn model(examples: &[Example]) -> anyhow::Result<Arc<dyn LanguageModel>> {
    match std::env::var("PROMPTOPT_MODEL") {
        Err(_) => Ok(Arc::new(SimulatedLm::over_examples(examples, 0))),
        Ok(name) => {
            let url = std::env::var("PROMPTOPT_BASE_URL").ok();
            Ok(Arc::new(ChatClient::builder().model(name).maybe_base_url(url).build()?))
        }
    }
}
