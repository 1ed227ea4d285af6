//! Real tasks on real models: generators of reasoning-gym and two data files; ours, and DSPy over the same served model.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use promptopt_core::lm::LanguageModel;
use promptopt_testkit::ScriptedLm;

use crate::options::Options;
use crate::real_cells::{Cells, Key, plan};
use crate::real_served::Served;
use crate::real_table;
use crate::real_work::{Roles, Workshop};
use crate::search_peers::{DSPY, installed};
use crate::table::{Row, say};

const REASONING_GYM: &str = "0.1.25";
/// Seeds of the report. What is measured on was chosen on seeds from 90.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
const SIZES: [usize; 3] = [60, 40, 100];
const MAX_CALLS: u64 = 300;
const TASKS: [&str; 8] = [
    "cities",
    "tickets",
    "letter_counting",
    "chain_sum",
    "gcd",
    "calendar_arithmetic",
    "needle_haystack",
    "number_format",
];
const METHODS: [&str; 8] =
    ["miprov2", "copro", "gepa", "simba", "random_search", "dspy-miprov2", "dspy-copro", "dspy-gepa"];
/// A task's model, and the one that writes instructions.
const MODELS: [(&str, &str, &str); 3] =
    [("embedded", EMBEDDED, EMBEDDED), ("embedded+writer", EMBEDDED, WRITER), ("writer", WRITER, WRITER)];
const EMBEDDED: &str = "embedded";
/// The model that `PROMPTOPT_MODEL_PATH` names.
const WRITER: &str = "writer";
/// A model that says the same to everything, and what shows with it that all of this works.
const STUB: &str = "stub";
const QUICK_METHODS: [&str; 2] = ["miprov2", "random_search"];
const QUICK_SIZES: [usize; 3] = [12, 10, 10];
const QUICK_CALLS: u64 = 60;

/// What is to be measured.
struct Wanted {
    plan: Vec<Key>,
    python: PathBuf,
    until: Option<Instant>,
}

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let home = options.out.join("real");
    // What a model that is none comes to is kept by nobody.
    let quick = options.quick.then(tempfile::tempdir).transpose()?;
    let home = quick.as_ref().map_or(home, |folder| folder.path().to_owned());
    let mut cells = Cells::open(&home.join("cells.jsonl"))?;
    if options.docs.is_none() {
        let Wanted { plan, python, until } = wanted(options)?;
        let promptopt = std::env::current_exe()?.with_file_name("promptopt");
        ensure!(
            promptopt.exists(),
            "{} is not there; `cargo xtask bench real` builds it",
            promptopt.display()
        );
        let workshop = Workshop { python, promptopt, folder: home.join("work") };
        let mut served = HashMap::new();
        let missing = cells
            .fill(&plan, until, async |key, original| {
                let (task, writer) = models(&key.model)?;
                for name in [task, writer] {
                    if !served.contains_key(name) {
                        served.insert(name, Served::start(load(name).await?).await?);
                    }
                }
                let is_alone = task == writer;
                let roles = Roles {
                    task: served.get(task).context("the model is not served")?,
                    writer: served.get(writer).filter(|_| !is_alone),
                    is_plain: task != WRITER,
                    by_template: is_alone && task != WRITER,
                };
                workshop.make(key, original, roles).await
            })
            .await?;
        if missing > 0 {
            say(&format!("{missing} cells are missing; the same command goes on with them"));
        }
    }
    if let Some(docs) = &options.docs {
        real_table::write(&cells, docs)?;
    }
    real_table::rows(&cells)
}

/// What the command line asks for.
fn wanted(options: &Options) -> Result<Wanted> {
    let named = |given: &[String], all: &[&str]| -> Vec<String> {
        if given.is_empty() { all.iter().map(|name| (*name).to_owned()).collect() } else { given.to_vec() }
    };
    let sizes = match options.sizes.as_slice() {
        [] if options.quick => QUICK_SIZES,
        [] => SIZES,
        [train, selection, test] => [*train, *selection, *test],
        _ => bail!("--sizes takes the rows of train, selection and test, such as 40,30,60"),
    };
    let max_calls = match options.calls.as_slice() {
        [] if options.quick => QUICK_CALLS,
        [] => MAX_CALLS,
        [calls] => *calls,
        _ => bail!("--calls takes one number with `real`"),
    };
    let seeds: Vec<u64> = options.seeds.clone().map_or_else(|| SEEDS.collect(), |seeds| seeds.0);
    let (models, tasks, methods, seeds, python) = if options.quick {
        let methods = named(&options.methods, &QUICK_METHODS);
        (vec![STUB.to_owned()], vec!["tickets".to_owned()], methods, vec![1], PathBuf::from("python3"))
    } else {
        let gym = format!("reasoning-gym=={REASONING_GYM}");
        let dspy = format!("dspy[optuna]=={DSPY}");
        let python = installed(&format!("dspy-{DSPY}-reasoning-gym-{REASONING_GYM}"), &[&dspy, &gym])?;
        let python = std::path::absolute(python)?;
        (
            named(&options.models, &default_models()),
            named(&options.tasks, &TASKS),
            named(&options.methods, &METHODS),
            seeds,
            python,
        )
    };
    for method in &methods {
        ensure!(
            METHODS.contains(&method.as_str()),
            "there is no method `{method}`; there are {}",
            METHODS.join(", ")
        );
    }
    let plan = plan([&models, &tasks, &methods], &seeds, sizes, max_calls);
    let until = options.max_minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    Ok(Wanted { plan, python, until })
}

/// The models of a name.
fn models(name: &str) -> Result<(&'static str, &'static str)> {
    if name == STUB {
        return Ok((STUB, STUB));
    }
    let known = MODELS.iter().find(|(known, ..)| *known == name);
    let names = MODELS.map(|(known, ..)| known).join(", ");
    known
        .map(|(_, task, writer)| (*task, *writer))
        .with_context(|| format!("there is no model `{name}`; there are {names}"))
}

/// With a writer, both models.
fn default_models() -> Vec<&'static str> {
    if std::env::var_os("PROMPTOPT_MODEL_PATH").is_some() {
        vec!["embedded+writer", WRITER]
    } else {
        vec![EMBEDDED]
    }
}

/// A model by its name.
async fn load(name: &str) -> Result<Arc<dyn LanguageModel>> {
    if name == STUB {
        return Ok(Arc::new(ScriptedLm::answering("billing")));
    }
    local(name).await
}

/// The embedded model, or the one of the environment.
#[cfg(feature = "local")]
async fn local(name: &str) -> Result<Arc<dyn LanguageModel>> {
    use std::path::Path;

    use promptopt_lm_local::{LocalModel, LocalModelOptions, MODEL_PATH_VARIABLE, cache_dir, resolve_in};

    let path = if name == WRITER {
        let path = std::env::var_os(MODEL_PATH_VARIABLE).with_context(|| {
            format!("{MODEL_PATH_VARIABLE} must name the weights of the model that writes")
        })?;
        resolve_in(None, Some(Path::new(&path)), Path::new(""))?
    } else {
        resolve_in(None, None, &cache_dir()?)
            .context("finding the weights; `promptopt model pull` fetches them")?
    };
    let settings = LocalModelOptions::builder().path(path).context_length(4096).build();
    Ok(Arc::new(LocalModel::load(settings).await.with_context(|| format!("loading the model `{name}`"))?))
}

#[cfg(not(feature = "local"))]
async fn local(name: &str) -> Result<Arc<dyn LanguageModel>> {
    bail!("the model `{name}` takes a build with `--features local`, as `cargo xtask bench real` makes it")
}
