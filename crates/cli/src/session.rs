//! What every run begins with: the task read, the data split, the models chosen.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::{Evaluator, Example};
use promptopt_data::{LoadOptions, Portion, SplitOptions, Splits, UnknownFields};

use crate::args::RunArgs;
use crate::models::{self, ChosenModel};
use crate::program;
use crate::task_file::TaskFile;

/// Everything a run works with.
pub(crate) struct Session {
    pub(crate) task: TaskFile,
    pub(crate) name: String,
    pub(crate) program: Box<dyn Evaluator>,
    pub(crate) splits: Splits,
    pub(crate) model: ChosenModel,
    pub(crate) prompt_model: Option<ChosenModel>,
    pub(crate) concurrency: usize,
}

impl Session {
    pub(crate) async fn open(args: &RunArgs) -> anyhow::Result<Self> {
        let task = TaskFile::read(&args.task)?;
        let examples = load(&task)?;
        let model = models::choose(&task.model, args.lm.as_deref(), &examples).await?;
        let prompt_model = match &task.prompt_model {
            // `--lm` is about the whole run.
            Some(section) if args.lm.is_none() => Some(models::choose(section, None, &examples).await?),
            _ => None,
        };
        let program = program::program(&task.program, &task.metric, model.is_embedded)
            .with_context(|| format!("in the task file {}", args.task.display()))?;
        let splits = split(&task, args, examples)?;
        if splits.test.is_empty() {
            bail!("the sealed test has no rows; give `data.test` in the task file a share or a count");
        }
        let concurrency = args.concurrency.or(task.optimizer.concurrency).unwrap_or(8);
        let stem = args.task.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = task.program.name.clone().or(stem).unwrap_or_else(|| "task".to_owned());
        Ok(Self { task, name, program, splits, model, prompt_model, concurrency })
    }

    /// The sealed test, opened; nothing is selected after this.
    pub(crate) fn open_test(splits: Splits) -> Vec<Arc<Example>> {
        splits.test.open().into_iter().map(Arc::new).collect()
    }
}

fn load(task: &TaskFile) -> anyhow::Result<Vec<Example>> {
    let options = LoadOptions {
        columns: task.data.columns.clone(),
        unknown_fields: task.data.unknown_fields.unwrap_or(UnknownFields::Error),
        limit: task.data.limit,
        ..LoadOptions::for_signature(&program::signature(&task.program)?)
    };
    Ok(promptopt_data::load(&task.data.path, &options)?)
}

fn split(task: &TaskFile, args: &RunArgs, examples: Vec<Example>) -> anyhow::Result<Splits> {
    let defaults = SplitOptions::default();
    let data = &task.data;
    let given = data.train.is_some() || data.selection.is_some() || data.test.is_some();
    let portion = |given_by_flag: Option<usize>, of_task: Option<Portion>, default: Option<Portion>| {
        given_by_flag.map(Portion::Count).or(if given { of_task } else { default })
    };
    let options = SplitOptions {
        train: portion(args.train, data.train, defaults.train),
        selection: portion(args.selection, data.selection, defaults.selection),
        test: portion(args.test, data.test, defaults.test),
        seed: data.seed,
        stratify_by: data.stratify_by.clone(),
    };
    promptopt_data::split(examples, &options).context("splitting the data")
}
