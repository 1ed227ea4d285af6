//! What every run begins with: the task read, the data split, the models chosen.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::program::{Cancellation, Evaluator, Module as _, ModuleExt as _};
use promptopt_data::{SealedTest, SplitReport};
use promptopt_run::{Observer, RunOptions};
use serde::Serialize;
use serde_json::Value;

use crate::args::RunArgs;
use crate::data::{Parts, Undivided};
use crate::exit::Exit;
use crate::fleet::{Fleet, Identity};
use crate::interrupt::cancel_on_interrupt_saying;
use crate::keeping::Keeping;
use crate::meter::Gauge;
use crate::metrics;
use crate::models::{ChosenModel, Endpoints, TaskModels};
use crate::program::{self, Blueprint, PredictorChain, ServedTools};
use crate::secrets;
use crate::task_file::{ModelSection, TaskFile};

/// Rollouts under way at once where others make them and nobody says how many.
const FLEET_CONCURRENCY: usize = 256;

/// Everything a run works with.
pub(crate) struct Session {
    pub(crate) task: TaskFile,
    pub(crate) name: String,
    pub(crate) program: Box<dyn Evaluator>,
    /// What is known of the tools of its MCP servers.
    pub(crate) served: ServedTools,
    pub(crate) train: Vec<Example>,
    pub(crate) selection: Vec<Example>,
    /// What the split did.
    pub(crate) split: SplitReport,
    /// What a user should know of the data.
    pub(crate) notes: Vec<String>,
    test: SealedTest,
    pub(crate) model: ChosenModel,
    pub(crate) prompt_model: ChosenModel,
    pub(crate) concurrency: usize,
    /// How many errors a run bears.
    max_errors: u64,
    /// Calls of the program, of those who write instructions, and of judges.
    pub(crate) gauge: Arc<Gauge>,
    /// Where replies are kept.
    pub(crate) keeping: Keeping,
    /// Who makes the rollouts, if not this process.
    pub(crate) fleet: Fleet,
}

/// A session before it is known where replies are kept. Nobody was called.
pub(crate) struct Draft {
    task: TaskFile,
    /// Where the task file is, for messages.
    place: String,
    name: String,
    blueprint: Blueprint,
    chain: PredictorChain,
    models: TaskModels,
    parts: Parts,
    data: ContentHash,
    source: Value,
    concurrency: usize,
    max_errors: u64,
    fleet: Fleet,
}

/// What is known of a run before any model is called.
pub(crate) struct Facts<'a> {
    pub(crate) task: &'a TaskFile,
    /// Of all examples, in their order.
    pub(crate) data: ContentHash,
    /// Which data set of the hub it was; null for files.
    pub(crate) source: &'a Value,
    /// Of the program with the prompts it begins with.
    pub(crate) program: ContentHash,
    /// What the split did.
    pub(crate) split: &'a SplitReport,
}

impl Draft {
    /// Sets up what a task asks for. The program begins with the prompts of `from`, where that is given.
    pub(crate) async fn of(
        args: &RunArgs,
        from: Option<&Path>,
        task: TaskFile,
        endpoints: Endpoints,
    ) -> anyhow::Result<Self> {
        Self::set_up(args, from, task, endpoints).await.map_err(Exit::configuration)
    }

    async fn set_up(
        args: &RunArgs,
        from: Option<&Path>,
        task: TaskFile,
        mut endpoints: Endpoints,
    ) -> anyhow::Result<Self> {
        let place = format!("in the task file {}", args.task.display());
        // As with its other settings, the stop texts of the task file's model are not another one's.
        let other = args.lm.as_ref();
        let stop = task.model.stop.as_deref().filter(|_| other.is_none_or(|name| *name == task.model.name));
        let blueprint = Blueprint::of(&task.program)
            .with_context(|| place.clone())?
            .with_stop(stop.unwrap_or_default(), other.is_some());
        blueprint.check_variables().with_context(|| place.clone())?;
        let rows = Undivided::load(&task, &blueprint).await?;
        let url = args.fleet.as_deref().filter(|_| !endpoints.is_idle());
        if url.is_some() {
            endpoints.join_fleet();
        }
        let models = TaskModels::choose(&task, &blueprint, args, &rows, &mut endpoints).await?;
        let name = name(&task, &args.task);
        let blueprint = blueprint.equipped(folder_of(&args.task)).await.with_context(|| place.clone())?;
        let mut chain =
            PredictorChain::new(&name, &blueprint, models.program.is_embedded, folder_of(&args.task))
                .with_context(|| place.clone())?
                .listening_at(args.listen.as_deref())?;
        let fleet = url.map(|url| (url, Identity::of(&task, &chain, &models)));
        if let Some(path) = from {
            program::install(path, &mut chain).await?;
        }
        let (data, source) = (rows.hash(), rows.source.clone());
        let parts = rows.divide(&task.data, args)?;
        if parts.test.is_empty() {
            bail!("the sealed test has no rows; give `data.test` in the task file a share or a count");
        }
        let options = task.optimizer.run_options()?;
        // Elsewhere is room for more than this machine bears.
        let usual =
            if fleet.is_some() { options.concurrency.max(FLEET_CONCURRENCY) } else { options.concurrency };
        let concurrency = args.concurrency.unwrap_or(usual);
        if concurrency == 0 {
            bail!("the concurrency is 0, but must be at least 1");
        }
        // The metric is checked before a run is begun.
        metrics::build(&task.metric, &blueprint.signature, &task.folder, models.judges.clone())
            .with_context(|| place.clone())?;
        let max_errors = options.max_errors;
        let fleet = Fleet::join(fleet, &task.fleet).await?;
        Ok(Self {
            task,
            place,
            name,
            blueprint,
            chain,
            models,
            parts,
            data,
            source,
            concurrency,
            max_errors,
            fleet,
        })
    }

    /// What is known by now.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            task: &self.task,
            data: self.data,
            source: &self.source,
            program: hash(&self.chain),
            split: &self.parts.report,
        }
    }

    /// Who makes the rollouts, if not this process.
    pub(crate) fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// The session, with its replies kept.
    pub(crate) fn open(self, mut keeping: Keeping) -> anyhow::Result<Session> {
        let gauge = Arc::default();
        let models = self.models.kept(&mut keeping, &gauge, &self.task);
        let signature = &self.blueprint.signature;
        let metric = metrics::build(&self.task.metric, signature, &self.task.folder, models.judges)
            .context(self.place)
            .map_err(Exit::configuration)?;
        let chain = self.chain.with_models(models.predictors).with_asked(models.asked);
        Ok(Session {
            name: self.name,
            program: Box::new(chain.with_metric(metric)),
            served: self.blueprint.served(),
            train: self.parts.train,
            selection: self.parts.selection,
            split: self.parts.report,
            notes: self.parts.notes,
            test: self.parts.test,
            model: models.program,
            prompt_model: models.prompt,
            concurrency: self.concurrency,
            max_errors: self.max_errors,
            gauge,
            keeping,
            fleet: self.fleet,
            task: self.task,
        })
    }
}

impl Session {
    /// A session that keeps no run directory. The program begins with the prompts of `from`, where that is given.
    async fn open(args: &RunArgs, from: Option<&Path>, cancellation: &Cancellation) -> anyhow::Result<Self> {
        let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
        let redactor = secrets::redactor(&task);
        let draft = Draft::of(args, from, task, Endpoints::default()).await?;
        let keeping = Keeping::new(None, redactor, &draft.task, args, cancellation.clone());
        draft.open(keeping.map_err(Exit::configuration)?)
    }

    /// The same for as long as some work takes, which Ctrl-C ends; `ending` says what it ends. What is left of the work in the queue
    /// of a fleet is taken out, however the work ends.
    pub(crate) async fn during(
        args: &RunArgs,
        from: Option<&Path>,
        ending: &'static str,
        work: impl AsyncFnOnce(Self, Cancellation) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let cancellation = cancel_on_interrupt_saying(ending);
        let session = Self::open(args, from, &cancellation).await?;
        let fleet = session.fleet.clone();
        let result = work(session, cancellation).await;
        fleet.close().await;
        result
    }

    /// A session that calls nobody.
    pub(crate) async fn open_idle(args: &RunArgs, from: Option<&Path>) -> anyhow::Result<Self> {
        let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
        Draft::of(args, from, task, Endpoints::idle()).await?.open(Keeping::default())
    }

    /// What any work of the session is done with, besides options of an optimizer.
    pub(crate) fn run_options(
        &self,
        options: RunOptions,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
    ) -> RunOptions {
        let mut options = options;
        options.task_model = Some(Arc::clone(&self.model.model));
        options.prices = Some(self.task.prices.clone());
        options.concurrency = self.concurrency;
        options.observer = Some(observer);
        options.executor = self.fleet.executor();
        options.cancellation = cancellation;
        options
    }

    /// How many errors a measurement bears.
    pub(crate) fn max_errors(&self) -> u64 {
        self.max_errors
    }

    /// How many rows the sealed test has.
    pub(crate) fn test_rows(&self) -> usize {
        self.test.len()
    }

    /// The sealed test, opened; nothing is selected after this.
    pub(crate) fn open_test(&mut self) -> Vec<Arc<Example>> {
        let sealed = std::mem::replace(&mut self.test, SealedTest::new(Vec::new()));
        sealed.open().into_iter().map(Arc::new).collect()
    }
}

/// The name of a task: the program's, or else the file's.
pub(crate) fn name(task: &TaskFile, path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    task.program.name.clone().or(stem).unwrap_or_else(|| "task".to_owned())
}

/// The folder of a task file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The program of a task with its own prompts; `path` is where the task stands.
pub(crate) async fn chain(task: &TaskFile, path: &Path) -> anyhow::Result<PredictorChain> {
    chain_of(&Blueprint::of(&task.program)?.equipped(folder_of(path)).await?, task, path)
}

/// The same, of a blueprint that has its tools.
pub(crate) fn chain_of(
    blueprint: &Blueprint,
    task: &TaskFile,
    path: &Path,
) -> anyhow::Result<PredictorChain> {
    let embedded = task.model.name == "local" || task.model.name.starts_with("local/");
    PredictorChain::new(&name(task, path), blueprint, embedded, folder_of(path))
}

/// The hash of a program: predictors with all that is set in them, and the prompts it begins with.
pub(crate) fn hash(chain: &PredictorChain) -> ContentHash {
    let (shape, prompts) = shape(chain);
    ContentHash::of(&(chain.name(), shape, prompts))
}

/// What a program is, whatever its name.
pub(crate) fn shape(chain: &PredictorChain) -> (impl Serialize, impl Serialize) {
    let predictors = chain.predictors();
    let shape = predictors.iter().map(|one| (one.path().to_owned(), one.signature().clone(), one.settings()));
    (shape.collect::<Vec<_>>(), chain.candidate().prompts)
}

/// The models that a task names, with where each is named.
pub(crate) fn named_models(task: &TaskFile) -> Vec<(String, &ModelSection)> {
    let mut models = vec![("model".to_owned(), &task.model)];
    models.extend(task.prompt_model.as_ref().map(|section| ("prompt_model".to_owned(), section)));
    for predictor in &task.program.predictors {
        models.extend(
            predictor.model.as_ref().map(|section| (format!("predictor {}", predictor.name), section)),
        );
    }
    models.extend(task.metric.iter().filter_map(|metric| Some(("judge".to_owned(), metric.model.as_ref()?))));
    models
}
