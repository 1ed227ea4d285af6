//! What a program in production asks of a run, from the command line: a real model, limits, and a folder in which the run
//! survives a crash.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use promptopt::core::data::ContentHash;
use promptopt::prelude::*;
use promptopt::report::Report;
use promptopt::run::{Error, Forecast};
use promptopt::store::{Manifest, Redactor, RunDirectory, StoredModel};
use serde::Serialize;

use crate::sealed::test_with;

/// Optimizes a program. Without options it runs on a stand-in for a model, without a key.
#[derive(Parser, Serialize)]
struct Args {
    /// A real model, such as gpt-5-mini; its key is in OPENAI_API_KEY. Default: a stand-in.
    #[arg(long)]
    model: Option<String>,
    /// An OpenAI-compatible server. Default: OpenAI's.
    #[arg(long, requires = "model")]
    #[serde(skip)]
    base_url: Option<String>,
    /// Dollars for a million tokens read and written, such as 0.15 0.60. Default: what is known of the model.
    #[arg(long, requires = "model", num_args = 2, value_names = ["READ", "WRITTEN"])]
    price: Vec<Money>,
    /// A folder for the run. A run that was killed goes on when it is started with the same folder again, and pays
    /// nothing twice.
    #[arg(long)]
    #[serde(skip)]
    run: Option<PathBuf>,
    /// Another optimizer than the example's own.
    #[arg(long)]
    optimizer: Option<Kind>,
    /// The most language-model calls of the search. Default: the example's.
    #[arg(long)]
    max_calls: Option<u64>,
    /// The most tokens of the search.
    #[arg(long)]
    max_tokens: Option<u64>,
    /// The most dollars that the search may cost.
    #[arg(long)]
    max_cost: Option<Money>,
    /// Language-model calls that may be under way at once. Default: 8.
    #[arg(long)]
    #[serde(skip)]
    concurrency: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Miprov2,
    Copro,
    Gepa,
}

/// A run as the command line wants it.
pub struct Session {
    args: Args,
    model: Arc<dyn LanguageModel>,
    prices: Option<Prices>,
    folder: Option<RunDirectory>,
}

impl Session {
    /// Reads the command line, chooses the model, and opens the folder of the run where there is to be one.
    ///
    /// # Errors
    ///
    /// When the model cannot be set up, or when the folder holds another run.
    pub fn begin(
        program: &dyn Evaluator,
        examples: &[Example],
        stand_in: impl LanguageModel + 'static,
    ) -> anyhow::Result<Self> {
        let args = Args::parse();
        let mut model: Arc<dyn LanguageModel> = match &args.model {
            None => Arc::new(stand_in),
            Some(name) => {
                let client = ChatClient::builder().model(name.clone());
                Arc::new(client.maybe_base_url(args.base_url.clone()).build()?)
            }
        };
        let prices = match (&args.model, args.price.as_slice()) {
            (Some(name), [read, written]) => Some(Prices::new().with(name, Price::new(*read, *written))),
            _ => None,
        };
        let folder = args.run.as_deref().map(|path| {
            let (data, prompts) = (ContentHash::of(examples), program.candidate().content_hash());
            let manifest = Manifest::new(serde_json::to_value(&args)?, data, prompts, 0, String::new());
            let folder = match path.join("run.json").exists() {
                true => RunDirectory::open(path, Redactor::default())?,
                false => RunDirectory::create(path, &manifest, Redactor::default())?,
            };
            folder.check(&manifest)?;
            anyhow::Ok(folder)
        });
        let folder = folder.transpose()?;
        if let Some(folder) = &folder {
            // Each reply is on the disk before anybody sees it, and is found there when it is asked for again.
            model = Arc::new(StoredModel::new(model, Some(folder.journal().clone()), None));
        }
        Ok(Self { args, model, prices, folder })
    }

    /// The model: a real one where one is named, else the stand-in.
    pub fn model(&self) -> Arc<dyn LanguageModel> {
        Arc::clone(&self.model)
    }

    /// The example's own optimizer, or another one, with what the command line says.
    pub fn optimizer(&self, own: impl Strategy + 'static) -> Box<dyn Optimizer> {
        let args = &self.args;
        let mut options = own.options();
        options.task_model = Some(self.model());
        options.concurrency = args.concurrency.unwrap_or(options.concurrency);
        options.max_calls = args.max_calls.or(options.max_calls);
        options.max_tokens = args.max_tokens.or(options.max_tokens);
        options.max_cost = args.max_cost.or(options.max_cost);
        options.prices.clone_from(&self.prices);
        let strategy: Box<dyn Strategy> = match args.optimizer {
            None => Box::new(own),
            Some(Kind::Miprov2) => Box::new(MIPROv2::default()),
            Some(Kind::Copro) => Box::new(COPRO::default()),
            Some(Kind::Gepa) => Box::new(GEPA::default()),
        };
        Box::new(Told { strategy, options })
    }

    /// Runs the sealed test, and writes what came of the run into its folder, with a report.
    ///
    /// # Errors
    ///
    /// What keeps the program from being evaluated, or the results from being written.
    pub async fn finish(
        &self,
        program: &dyn Evaluator,
        outcome: Outcome,
        test: &[Arc<Example>],
    ) -> anyhow::Result<()> {
        let mut options = RunOptions::builder().task_model(self.model()).build();
        options.concurrency = self.args.concurrency.unwrap_or(options.concurrency);
        options.prices.clone_from(&self.prices);
        let test = test_with(program, options, &outcome, test).await?;
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.write_result("outcome.json", &outcome)?;
        let mut report = Report::new(program.name(), outcome);
        report.model = self.model.profile().id;
        report.prompts_before =
            report.outcome.candidates.first().map(|original| original.prompts.clone()).unwrap_or_default();
        report.prompts_after = program.candidate().prompts;
        report.test = Some(test);
        report.configuration = serde_json::to_value(&self.args)?;
        println!("the report is {}", folder.write_text("report.html", &report.to_html()?)?.display());
        Ok(())
    }
}

/// A strategy under other options of those that every run has.
struct Told {
    strategy: Box<dyn Strategy>,
    options: RunOptions,
}

#[async_trait]
impl Strategy for Told {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    fn options(&self) -> RunOptions {
        self.options.clone()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        self.strategy.search(run).await
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        self.strategy.prepare(setup)
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        self.strategy.forecast(run)
    }
}
