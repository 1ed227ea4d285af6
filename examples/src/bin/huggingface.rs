//! A data set of the Hugging Face Hub: a prompt for it, and how much better that is on held-out rows.
//!
//! By default on a simulated model, without a key, which shows the way and not what a real model
//! gains; with `--lm MODEL@URL` (and OPENAI_API_KEY) on any OpenAI-compatible server. Where the hub
//! cannot be reached, set HF_ENDPOINT to a mirror, or give a file:
//!
//! `cargo run -p promptopt-examples --features hub --bin huggingface`
//! `cargo run -p promptopt-examples --features hub --bin huggingface -- --file examples/data/tickets.jsonl --input ticket --output department`

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use promptopt::data::{HubDataset, Portion, SameInputs, UnknownFields, without_leakage};
use promptopt::prelude::*;
use promptopt_testkit::SimulatedLm;

/// More different answers than this are not named in the prompt.
const MAX_LABELS: usize = 20;

/// Optimizes a prompt on a data set of the Hugging Face Hub.
#[derive(Parser, Clone)]
struct Args {
    /// The data set on the hub, `owner/name`.
    #[arg(long, default_value = "SetFit/ag_news")]
    repo: String,
    /// Its configuration, where it has several.
    #[arg(long)]
    config: Option<String>,
    /// The split to learn from.
    #[arg(long, default_value = "train")]
    split: String,
    /// The split to measure on.
    #[arg(long, default_value = "test")]
    test_split: String,
    /// A branch, tag or commit of the data set.
    #[arg(long)]
    revision: Option<String>,
    /// Rows to learn from: half of them for training, half for selection.
    #[arg(long, default_value_t = 200)]
    limit: usize,
    /// Rows to measure on.
    #[arg(long, default_value_t = 200)]
    test_limit: usize,
    /// A file (.jsonl, .json, .csv, .tsv, .parquet) instead of the hub; part of it is held out.
    #[arg(long)]
    file: Option<PathBuf>,
    /// The column with the text.
    #[arg(long, default_value = "text")]
    input: String,
    /// The column with the answer.
    #[arg(long, default_value = "label_text")]
    output: String,
    /// `sim` (simulated), or `MODEL@URL` (OpenAI-compatible; the key from OPENAI_API_KEY).
    #[arg(long, default_value = "sim")]
    lm: String,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Rows to learn from, and rows held out.
struct Data {
    train: Vec<Example>,
    selection: Vec<Example>,
    test: SealedTest,
    /// Every row: what the simulated model knows of the world.
    world: Vec<Example>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Files and the hub are read by blocking calls.
    let reading = args.clone();
    let data = tokio::task::spawn_blocking(move || data(&reading)).await??;
    let model = model(&args, &data.world)?;
    let mut program = Predict::new("classify", signature(&data.train)?)
        .with_model(Arc::clone(&model))
        .with_metric(metric_fn(|example: &Example, prediction: &Prediction| {
            example.get("answer") == prediction.get("answer")
        }));
    println!(
        "{} training, {} selection, {} held-out test examples; model: {}",
        data.train.len(),
        data.selection.len(),
        data.test.len(),
        if args.lm == "sim" {
            "simulated, so the gain shows that the search works and nothing of a real model"
        } else {
            &args.lm
        }
    );

    let optimizer = MIPROv2::builder()
        .num_candidates(10)
        .num_trials(20)
        .minibatch_size(25)
        .seed(args.seed)
        .valset(data.selection)
        .build();
    let outcome = optimizer.compile(&mut program, data.train).await?;

    // The winner is installed, so the seal may be opened.
    let test: Vec<_> = data.test.open().into_iter().map(Arc::new).collect();
    let original = Arc::new(outcome.candidates[0].prompts.clone());
    let mut run = Run::bare(&program, model);
    let before = evaluate(&mut run, &original, &test).await?;
    let after = evaluate(&mut run, &Arc::default(), &test).await?;
    let gain = compare(&before.evidence(), &after.evidence(), 0.95)?;
    println!("baseline on the test: {:.3}", before.estimate.mean);
    println!(
        "optimized on the test: {:.3} (gain {:+.3}, 95 % interval {:+.3} to {:+.3}) with {} calls",
        after.estimate.mean,
        gain.difference,
        gain.low,
        gain.high,
        outcome.spending.total().calls
    );
    for (path, prompt) in program.candidate().prompts.iter() {
        println!("{path}: {} ({} demos)", prompt.instruction, prompt.demos.len());
    }
    Ok(())
}

fn data(args: &Args) -> anyhow::Result<Data> {
    let options = LoadOptions::default()
        .with_columns(
            [("text".to_owned(), args.input.clone()), ("answer".to_owned(), args.output.clone())].into(),
        )
        .with_inputs(vec!["text".to_owned()])
        // Columns that are not needed are not even read.
        .with_unknown_fields(UnknownFields::Drop);
    let (world, train, selection, test) = match &args.file {
        Some(file) => {
            let sizes = SplitOptions::default().with_seed(args.seed);
            let world = load(file, &options)?;
            let parts = split(world.clone(), &sizes)?;
            println!("{}: {}", file.display(), parts.report);
            (world, parts.train, parts.selection, parts.test)
        }
        None => {
            let learn = from_hub(args, &args.split, args.limit, &options)?;
            let test = from_hub(args, &args.test_split, args.test_limit, &options)?;
            let world = learn.iter().chain(&test).cloned().collect();
            let half = SplitOptions::default()
                .with_train(Portion::Ratio(0.5))
                .with_selection(Portion::Ratio(0.5))
                .with_test(None)
                .with_seed(args.seed);
            let parts = split(learn, &half)?;
            (world, parts.train, parts.selection, SealedTest::new(test))
        }
    };
    let kept = without_leakage(train, selection, &test, SameInputs::Normalized);
    if !kept.report.is_clean() {
        println!("{}", kept.report);
    }
    Ok(Data { train: kept.train, selection: kept.selection, test, world })
}

fn from_hub(args: &Args, split: &str, limit: usize, options: &LoadOptions) -> anyhow::Result<Vec<Example>> {
    let dataset = HubDataset::new(&args.repo, split)
        .with_config(args.config.clone())
        .with_revision(args.revision.clone())
        .with_limit(limit);
    let loaded = dataset.load(options).with_context(|| {
        format!(
            "loading the split `{split}` of `{}` (a file does as well: `--file examples/data/tickets.jsonl --input ticket \
             --output department`)",
            args.repo
        )
    })?;
    let source = loaded.source;
    println!(
        "{} {} {} at {}: {} rows",
        source.repo,
        source.config,
        split,
        source.revision,
        loaded.examples.len()
    );
    Ok(loaded.examples)
}

/// A text in, one of the answers of the training examples out.
fn signature(train: &[Example]) -> anyhow::Result<Signature> {
    let answers: BTreeSet<&str> = train.iter().filter_map(|example| example.get_str("answer")).collect();
    let mut answer = Field::new("answer");
    if (1..=MAX_LABELS).contains(&answers.len()) {
        answer = answer.typed(FieldType::literals(answers));
    }
    Ok(Signature::new([Field::new("text")], [answer], "Classify the text.")?)
}

fn model(args: &Args, world: &[Example]) -> anyhow::Result<Arc<dyn LanguageModel>> {
    if args.lm == "sim" {
        return Ok(Arc::new(SimulatedLm::over_examples(world, args.seed)));
    }
    let (model, url) = match args.lm.split_once('@') {
        Some((model, url)) => (model, Some(url.to_owned())),
        None => (args.lm.as_str(), None),
    };
    Ok(Arc::new(ChatClient::builder().model(model).maybe_base_url(url).build()?))
}
