//! What every run begins with: the task read, the data split, the models chosen.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::{
    Cancellation, ContentHash, Evaluator, Example, LanguageModel, Module as _, ModuleExt as _,
};
use promptopt_data::{SealedTest, SplitReport};
use serde_json::Value;

use crate::args::RunArgs;
use crate::data::Rows;
use crate::exit::Exit;
use crate::keeping::Keeping;
use crate::meter::{Gauge, Metered};
use crate::metrics;
use crate::models::{self, ChosenModel, Endpoints};
use crate::program::{self, Blueprint, Chain};
use crate::secrets;
use crate::task_file::{MetricKind, ModelSection, TaskFile};

/// Everything a run works with.
pub(crate) struct Session {
    pub(crate) task: TaskFile,
    pub(crate) name: String,
    pub(crate) program: Box<dyn Evaluator>,
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
    /// Calls of the program, of those who write instructions, and of judges.
    pub(crate) gauge: Arc<Gauge>,
    /// Calls of judges alone.
    pub(crate) judging: Arc<Gauge>,
    /// Where replies are kept.
    pub(crate) keeping: Keeping,
}

/// What is known of a run before any model is called.
pub(crate) struct Facts<'a> {
    pub(crate) task: &'a TaskFile,
    /// Of all examples, in their order.
    pub(crate) data: ContentHash,
    /// Which data set of the hub it was; null for files.
    pub(crate) source: Value,
    /// Of the program with the prompts it begins with.
    pub(crate) program: ContentHash,
    /// What the split did.
    pub(crate) split: &'a SplitReport,
}

impl Session {
    /// A session that keeps no run directory. The program begins with the prompts of `from`, where that is given.
    pub(crate) async fn open(
        args: &RunArgs,
        from: Option<&Path>,
        cancellation: &Cancellation,
    ) -> anyhow::Result<Self> {
        let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
        let redactor = secrets::redactor(&task, args.lm.as_deref());
        let keep = |facts: &Facts<'_>| Keeping::new(None, redactor, facts.task, args, cancellation.clone());
        Self::open_kept(args, from, task, keep).await
    }

    /// A session that calls nobody.
    pub(crate) async fn open_idle(args: &RunArgs, from: Option<&Path>) -> anyhow::Result<Self> {
        let task = TaskFile::read(&args.task).map_err(Exit::configuration)?;
        let nowhere = |_: &Facts<'_>| Ok(Keeping::default());
        Self::set_up(args, from, task, nowhere, Endpoints::idle()).await.map_err(Exit::configuration)
    }

    /// A session whose replies are kept where `keep` says.
    pub(crate) async fn open_kept(
        args: &RunArgs,
        from: Option<&Path>,
        task: TaskFile,
        keep: impl FnOnce(&Facts<'_>) -> anyhow::Result<Keeping>,
    ) -> anyhow::Result<Self> {
        Self::set_up(args, from, task, keep, Endpoints::default()).await.map_err(Exit::configuration)
    }

    async fn set_up(
        args: &RunArgs,
        from: Option<&Path>,
        task: TaskFile,
        keep: impl FnOnce(&Facts<'_>) -> anyhow::Result<Keeping>,
        mut endpoints: Endpoints,
    ) -> anyhow::Result<Self> {
        let in_task = || format!("in the task file {}", args.task.display());
        let blueprint = Blueprint::of(&task.program).with_context(in_task)?;
        let rows = Rows::load(&task, &blueprint).await?;
        let examples: Vec<Example> = rows.all().cloned().collect();

        let gauge = Arc::new(Gauge::default());
        let metered = |chosen: ChosenModel| ChosenModel {
            model: Metered::around(chosen.model, &gauge, &task.prices),
            ..chosen
        };
        let mut bare = models::choose(&task.model, args.lm.as_deref(), &examples, &mut endpoints).await?;
        let mut bare_prompt_model = match &task.prompt_model {
            // `--lm` is about the whole run.
            Some(section) if args.lm.is_none() => {
                models::choose(section, None, &examples, &mut endpoints).await?
            }
            _ => bare.clone(),
        };
        let own_prompt_model = !Arc::ptr_eq(&bare.model, &bare_prompt_model.model);
        let mut judges = judges(&task, args, &examples, &bare_prompt_model, &mut endpoints).await?;
        let mut others = Vec::new();
        for step in blueprint.steps.iter().filter(|_| args.lm.is_none()) {
            if let Some(section) = &step.model {
                others.push((
                    step.name.clone(),
                    models::choose(section, None, &examples, &mut endpoints).await?.model,
                ));
            }
        }
        let name = name(&task, &args.task);
        let mut chain = Chain::new(&name, &blueprint, bare.is_embedded).with_context(in_task)?;
        if let Some(path) = from {
            let prompts = program::prompts(path, &chain)?;
            chain.install(&prompts).with_context(|| format!("taking the prompts of {}", path.display()))?;
        }
        drop(examples);
        let (data, source) = (rows.hash(), rows.source.clone());
        let splits = rows.divide(&task.data, args)?;
        if splits.test.is_empty() {
            bail!("the sealed test has no rows; give `data.test` in the task file a share or a count");
        }
        let concurrency = args.concurrency.or(task.optimizer.concurrency).unwrap_or(8);
        if concurrency == 0 {
            bail!("the concurrency is 0, but must be at least 1");
        }
        // The metric is checked before a run is begun.
        let judging = Arc::new(Gauge::default());
        let metric = |judges: Vec<Option<Arc<dyn LanguageModel>>>| {
            metrics::build(&task.metric, &blueprint.signature, &task.folder, judges).with_context(in_task)
        };
        metric(judges.clone())?;

        let facts = Facts { task: &task, data, source, program: hash(&chain), split: &splits.report };
        let mut keeping = keep(&facts)?;
        bare.model = keeping.around(bare.model);
        bare_prompt_model.model = match own_prompt_model {
            true => keeping.around(bare_prompt_model.model),
            false => Arc::clone(&bare.model),
        };
        for judge in judges.iter_mut().flatten() {
            let kept = keeping.around(Arc::clone(judge));
            let counted = Metered::around(kept, &gauge, &task.prices);
            *judge = Metered::around(counted, &judging, &task.prices);
        }
        for (_, other) in &mut others {
            let kept = keeping.around(Arc::clone(other));
            *other = Metered::around(kept, &gauge, &task.prices);
        }
        let chain = chain.with_models(others);
        let metric = metric(judges)?;
        Ok(Self {
            name,
            program: Box::new(chain.with_metric(metric)),
            train: splits.train,
            selection: splits.selection,
            split: splits.report,
            notes: splits.notes,
            test: splits.test,
            model: metered(bare),
            prompt_model: metered(bare_prompt_model),
            concurrency,
            gauge,
            judging,
            keeping,
            task,
        })
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

    /// How many errors a measurement bears.
    pub(crate) fn max_errors(&self) -> u64 {
        self.task.optimizer.max_errors.unwrap_or(10)
    }
}

/// The name of a task: the program's, or else the file's.
pub(crate) fn name(task: &TaskFile, path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    task.program.name.clone().or(stem).unwrap_or_else(|| "task".to_owned())
}

/// The program of a task with its own prompts; `path` is where the task stands.
pub(crate) fn chain(task: &TaskFile, path: &Path) -> anyhow::Result<Chain> {
    let embedded = task.model.name == "local" || task.model.name.starts_with("local/");
    Ok(Chain::new(&name(task, path), &Blueprint::of(&task.program)?, embedded)?)
}

/// One model for every metric that asks for a judge; `None` where it is simulated.
async fn judges(
    task: &TaskFile,
    args: &RunArgs,
    examples: &[Example],
    default: &ChosenModel,
    endpoints: &mut Endpoints,
) -> anyhow::Result<Vec<Option<Arc<dyn LanguageModel>>>> {
    let mut judges = Vec::new();
    for section in task.metric.iter().filter(|section| section.kind == MetricKind::Judge) {
        // A judge of its own stays the same whatever the program runs on, or scores could not be
        // compared; but whoever tries things out on the simulated model wants to call nobody.
        let own = section.model.as_ref().filter(|_| args.lm.as_deref() != Some("sim"));
        let chosen = match own {
            Some(section) => models::choose(section, None, examples, endpoints).await?,
            None => default.clone(),
        };
        judges.push((!chosen.is_simulated).then_some(chosen.model));
    }
    Ok(judges)
}

/// The hash of a program: predictors with all that is set in them, and the prompts it begins with.
fn hash(chain: &Chain) -> ContentHash {
    let predictors = chain.predictors();
    let shape: Vec<_> = predictors.iter().map(|one| (one.path(), one.signature(), one.settings())).collect();
    ContentHash::of(&(chain.name(), shape, chain.candidate().prompts))
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
