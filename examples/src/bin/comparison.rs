//! COPRO, MIPROv2 and GEPA on the same task, the same model, the same budget and the same splits.
//!
//! By default on the embedded model, without a key (`cargo xtask comparison` builds and runs that);
//! with `--lm sim` on a simulated model, in seconds; with `--lm MODEL@URL` on any OpenAI-compatible
//! server.
//!
//! `cargo run -p promptopt-examples --bin comparison -- --lm sim`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use promptopt::core::data::plain_text;
use promptopt::data::Portion;
use promptopt::predict::PlainAdapter;
use promptopt::prelude::*;
use promptopt::proposer::TemplateProposer;
use promptopt::report::TestReport;
use promptopt::report::comparison::{ComparisonRow, rows_to_table};
use promptopt_testkit::HiddenRules;

/// Three optimizers side by side.
#[derive(Parser)]
struct Args {
    /// `local` (the embedded model), `sim` (simulated, for seconds instead of minutes), or
    /// `MODEL@URL` (OpenAI-compatible; the key from OPENAI_API_KEY).
    #[arg(long, default_value = "local")]
    lm: String,
    /// The most language-model calls of each optimizer.
    #[arg(long, default_value_t = 1000)]
    max_calls: u64,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Language-model calls under way at once.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Examples for training, selection and sealed test.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 80, 200])]
    sizes: Vec<usize>,
    /// Where to write the rows as JSON.
    #[arg(long, default_value = "comparison.json")]
    out: PathBuf,
}

/// A task: examples in three parts, a program, a model, and whether that model is too small to write
/// instructions.
struct Task {
    name: &'static str,
    train: Vec<Example>,
    selection: Vec<Example>,
    test: SealedTest,
    program: Predict,
    output: &'static str,
    model: Arc<dyn LanguageModel>,
    templates: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut task = task(&args).await?;
    println!(
        "{} on {}: {} training, {} selection, {} sealed test examples; at most {} calls each",
        task.name,
        task.model.profile().id,
        task.train.len(),
        task.selection.len(),
        task.test.len(),
        args.max_calls
    );
    let mut runs = Vec::new();
    for name in ["COPRO", "MIPROv2", "GEPA"] {
        runs.push(optimize(name, &task, &args).await.context(name)?);
    }

    // Every winner is chosen, so the seal may be opened. The prompts of the original run once for all three.
    let test: Vec<_> = std::mem::take(&mut task.test).open().into_iter().map(Arc::new).collect();
    let program = program(&task);
    let options =
        RunOptions::builder().task_model(Arc::clone(&task.model)).concurrency(args.concurrency).build();
    let mut run = Run::of(&program, options)?;
    let mut rows = Vec::new();
    for (outcome, took) in &runs {
        let original = Arc::new(outcome.candidates[0].prompts.clone());
        let winner = Arc::new(outcome.candidates[outcome.best].prompts.clone());
        let before = evaluate(&mut run, &original, &test).await?;
        let after = evaluate(&mut run, &winner, &test).await?;
        let test = TestReport::of("sealed test", &test, &before, &after)?;
        rows.push(ComparisonRow::of(outcome, Some(&test), *took, args.seed));
    }
    println!("\n{}", rows_to_table(&rows));
    std::fs::write(&args.out, serde_json::to_string_pretty(&rows)?)
        .with_context(|| format!("writing {}", args.out.display()))?;
    println!("the rows are in {}", args.out.display());
    Ok(())
}

/// One optimizer at its defaults: only budget, seed and data are set.
async fn optimize(name: &str, task: &Task, args: &Args) -> anyhow::Result<(Outcome, Duration)> {
    let bar = ProgressBar::new(args.max_calls)
        .with_style(ProgressStyle::with_template("{prefix:8} {bar:30} {pos}/{len} calls, {per_sec}  {msg}")?);
    bar.set_prefix(name.to_owned());
    let shown = bar.clone();
    let observer: Arc<dyn Observer> = Arc::new(move |event: &Event| match event {
        Event::Rollout { calls, .. } => shown.inc(*calls),
        Event::Trial(trial) => shown.set_message(format!("best {:.3}", trial.best_so_far)),
        _ => {}
    });
    // What every run can be told is the same for all optimizers.
    let options = RunOptions::builder()
        .valset(task.selection.clone())
        .seed(args.seed)
        .max_calls(args.max_calls)
        .concurrency(args.concurrency)
        .observer(observer)
        .maybe_instruction_writer(task.templates.then(|| Arc::new(TemplateProposer::default()) as _))
        .build();
    let optimizer: Box<dyn Optimizer> = match name {
        "COPRO" => Box::new(COPRO::default().with_run_options(options)),
        "MIPROv2" => Box::new(MIPROv2::default().with_run_options(options)),
        _ => Box::new(GEPA::default().with_run_options(options)),
    };

    let started = Instant::now();
    let outcome = optimizer.compile(&mut program(task), task.train.clone()).await?;
    bar.finish();
    Ok((outcome, started.elapsed()))
}

/// The program of a task with its model and its metric.
fn program(task: &Task) -> impl Evaluator {
    let output = task.output;
    task.program.clone().with_model(Arc::clone(&task.model)).with_metric(metric_fn(
        move |example: &Example, prediction: &Prediction| stands_in(example, prediction, output),
    ))
}

/// Whether the expected value stands in the answer, case aside. Exact match would count whole sentences
/// as wrong, which is all that the embedded model writes until it is shown demos.
fn stands_in(example: &Example, prediction: &Prediction, output: &str) -> bool {
    let text = |value: Option<&serde_json::Value>| value.map(plain_text).unwrap_or_default().to_lowercase();
    let expected = text(example.get(output));
    !expected.is_empty() && text(prediction.get(output)).contains(&expected)
}

async fn task(args: &Args) -> anyhow::Result<Task> {
    let [train, selection, test] = args.sizes[..] else {
        anyhow::bail!("`--sizes` takes three numbers: training, selection, sealed test");
    };
    if args.lm == "sim" {
        // Questions whose answers follow rules that nobody states.
        let rules = HiddenRules::new(12, args.seed);
        let mut examples = rules.examples(train + selection + test);
        let sealed = examples.split_off(train + selection);
        let selection = examples.split_off(train);
        return Ok(Task {
            name: "hidden rules",
            train: examples,
            selection,
            test: SealedTest::new(sealed),
            program: Predict::new("answer", Signature::parse("question -> answer")?),
            output: "answer",
            model: Arc::new(rules.model(args.seed)),
            templates: false,
        });
    }
    let signature = Signature::parse("message -> city")?
        .with_instructions("Extract the city that the person wants to travel to.");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/cities.jsonl");
    let examples = load(file, &LoadOptions::for_signature(&signature))?;
    let sizes = SplitOptions::default()
        .with_train(Portion::Count(train))
        .with_selection(Portion::Count(selection))
        .with_test(Portion::Count(test));
    let parts = split(examples, &sizes)?;
    let mut program = Predict::new("extract", signature);
    let embedded = args.lm == "local";
    if embedded {
        // Markers are beyond so small a model.
        program = program.with_adapter(Arc::new(PlainAdapter)).with_json_retry(false);
    }
    Ok(Task {
        name: "cities",
        train: parts.train,
        selection: parts.selection,
        test: parts.test,
        program,
        output: "city",
        model: if embedded { embedded_model().await? } else { client(&args.lm)? },
        templates: embedded,
    })
}

fn client(name: &str) -> anyhow::Result<Arc<dyn LanguageModel>> {
    let (model, url) = match name.split_once('@') {
        Some((model, url)) => (model, Some(url.to_owned())),
        None => (name, None),
    };
    Ok(Arc::new(ChatClient::builder().model(model).maybe_base_url(url).build()?))
}

#[cfg(feature = "local")]
async fn embedded_model() -> anyhow::Result<Arc<dyn LanguageModel>> {
    use promptopt_lm_local::{LocalModel, LocalModelOptions, resolve};
    use promptopt_testkit::around;

    let options = LocalModelOptions::builder().path(resolve(None)?).temperature(0.0).max_tokens(24).build();
    let model = LocalModel::load(options).await.context("loading the embedded model")?;
    // Its replies end with the line.
    let profile = model.profile();
    let id = format!("{} one line", profile.id);
    let one_line = around(model, |next, mut request| async move {
        request.sampling.stop.push("\n".to_owned());
        next.complete(&request).await
    });
    Ok(Arc::new(one_line.with_profile(profile.with_id(id))))
}

#[cfg(not(feature = "local"))]
async fn embedded_model() -> anyhow::Result<Arc<dyn LanguageModel>> {
    anyhow::bail!(
        "this example was built without the embedded model: run `cargo xtask comparison`, which builds one that has \
         it, or choose `--lm sim` or `--lm MODEL@URL`"
    )
}
