//! One cell of the real tasks: rows, the optimization by ours or a peer, and the sealed test, each by the command that
//! a user has.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use promptopt_core::money::Usage;
use promptopt_core::prompt::Prompts;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::real_cells::{Cell, Key, ORIGINAL, Spent};
use crate::real_served::Served;

/// Room for the markers of the chat format, in tokens.
const MARKERS: u32 = 48;
/// The most tokens of an instruction, for ours and for peers.
const INSTRUCTION_TOKENS: u32 = 400;
/// Calls under way at once.
const CONCURRENCY: usize = 4;
/// What begins the name of a peer's method.
const PEER: &str = "dspy-";
/// The file of the metric's verdicts, a line for each answer.
const VERDICTS: &str = "verdicts.jsonl";

/// The programs that a cell is made with.
pub(crate) struct Workshop {
    /// The interpreter that has reasoning-gym and DSPy.
    pub(crate) python: PathBuf,
    /// The command `promptopt`.
    pub(crate) promptopt: PathBuf,
    /// Where each cell has a folder for its files.
    pub(crate) folder: PathBuf,
}

/// The models of a cell.
#[derive(Clone, Copy)]
pub(crate) struct Roles<'a> {
    pub(crate) task: &'a Served,
    /// The model that writes instructions, where it is another one.
    pub(crate) writer: Option<&'a Served>,
    /// Requests are `name: value` lines, for models that are too small for markers.
    pub(crate) is_plain: bool,
    /// Ours have instructions from templates, because no model here can write any.
    pub(crate) by_template: bool,
}

/// What `tasks.py` says of a task.
#[derive(Debug, Deserialize)]
struct About {
    input: String,
    output: String,
    instruction: String,
    tokens: u32,
}

/// What `promptopt` wrote of a program.
#[derive(Debug, Deserialize)]
struct Saved {
    prompts: Prompts,
    prompts_before: Prompts,
    test_usage: Usage,
}

/// A cell under way.
struct Work<'a> {
    workshop: &'a Workshop,
    key: &'a Key,
    roles: Roles<'a>,
    folder: PathBuf,
    about: About,
}

impl Workshop {
    /// Makes a cell. A method that ends with an error is a result, too: it has the scores of the original.
    pub(crate) async fn make(&self, key: &Key, original: Option<&Cell>, roles: Roles<'_>) -> Result<Cell> {
        let folder = self.folder.join(format!("{}-{}-{}-{}", key.model, key.task, key.method, key.seed));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let folder = fs::canonicalize(folder)?;
        let mut rows = Command::new(&self.python);
        rows.arg(script("real/tasks.py")?).args(["rows", &key.task, &key.seed.to_string(), &sizes(key)]);
        checked(run(rows.arg(&folder), &folder, "rows").await?)?;
        let about = serde_json::from_str(&fs::read_to_string(folder.join("task.json"))?)?;
        let work = Work { workshop: self, key, roles, folder, about };
        work.write_task()?;
        work.make(original).await
    }
}

impl Work<'_> {
    async fn make(&self, original: Option<&Cell>) -> Result<Cell> {
        let mut cell = Cell {
            key: self.key.clone(),
            error: None,
            spent: Spent::default(),
            seconds: 0.0,
            instruction: self.about.instruction.clone(),
            demos: 0,
            scores: Vec::new(),
        };
        self.taken();
        if self.key.method == ORIGINAL {
            cell.scores = self.sealed(None).await?;
            return Ok(cell);
        }
        let original = original.context("the original has no scores yet")?;
        let started = Instant::now();
        let found = match self.key.method.strip_prefix(PEER) {
            Some(method) => self.peer(method).await?,
            None => self.ours().await?,
        };
        (cell.seconds, cell.spent) = (started.elapsed().as_secs_f64(), self.taken());
        let mut is_changed = false;
        match found {
            Err(error) => cell.error = Some(error),
            Ok(tested) => {
                cell.spent = cell.spent.without(tested);
                let saved = self.saved()?;
                is_changed = saved.prompts != saved.prompts_before;
                let (_, prompt) = saved.prompts.iter().next().context("the program has no prompt")?;
                (cell.instruction, cell.demos) = (prompt.instruction.clone(), prompt.demos.len());
            }
        }
        cell.scores = match is_changed {
            true => self.sealed(Some("program.json")).await?,
            // The model draws nothing, so the same prompt has the same scores.
            false => original.scores.clone(),
        };
        Ok(cell)
    }

    /// What both models were asked since the last time.
    fn taken(&self) -> Spent {
        let task = self.roles.task.take();
        let writer = self.roles.writer.map(Served::take).unwrap_or_default();
        Spent {
            task_calls: task.calls,
            writer_calls: writer.calls,
            tokens_read: task.prompt_tokens + writer.prompt_tokens,
            tokens_written: task.completion_tokens + writer.completion_tokens,
        }
    }

    /// `promptopt optimize`, which has one row of a sealed test. Gives what that row took, or why there is no program.
    async fn ours(&self) -> Result<Result<Usage, String>> {
        let arguments =
            ["optimize", "task.toml", "--test", "1", "--no-run", "--no-report", "--out", "program.json"];
        let ended = self.promptopt(&arguments, "optimize").await?;
        if !ended.status.success() {
            return Ok(Err(ended.said));
        }
        Ok(Ok(self.saved()?.test_usage))
    }

    /// An optimizer of DSPy on the same rows. Its program is read by `promptopt import`.
    async fn peer(&self, method: &str) -> Result<Result<Usage, String>> {
        let About { input, output, instruction, .. } = &self.about;
        let writer = self.roles.writer.unwrap_or(self.roles.task);
        let given = json!({
            "signature": format!("{input} -> {output}"),
            "instruction": instruction,
            "input": input,
            "output": output,
            "max_tokens": self.tokens(),
            "budget": self.key.max_calls,
            "task": self.key.task,
            "seed": self.key.seed,
            "sizes": self.key.sizes,
            "plain": self.roles.is_plain,
            "writer": {"base_url": writer.base_url(), "max_tokens": INSTRUCTION_TOKENS},
            "train": self.rows("train")?,
            "selection": self.rows("selection")?,
        });
        fs::write(self.folder.join("data.json"), given.to_string())?;
        let mut command = Command::new(&self.workshop.python);
        command
            .arg(script("peers/dspy_peer.py")?)
            .args([
                method,
                &self.roles.task.base_url(),
                "data.json",
                "state.json",
                &self.key.seed.to_string(),
            ])
            .env("DSPY_CACHEDIR", self.folder.join("cache"))
            .env("TQDM_DISABLE", "1")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        let ended = run(&mut command, &self.folder, "peer").await?;
        if !ended.status.success() {
            return Ok(Err(ended.said));
        }
        let arguments = ["import", "state.json", "--task", "task.toml", "--out", "program.json"];
        checked(self.promptopt(&arguments, "import").await?)?;
        Ok(Ok(Usage::default()))
    }

    /// The score of every row of the sealed test, by `promptopt eval`. An answer that does not fit the format is wrong.
    async fn sealed(&self, program: Option<&str>) -> Result<Vec<f64>> {
        let verdicts = self.folder.join(VERDICTS);
        let _ = fs::remove_file(&verdicts);
        let program = program.map(|program| ["--program", program]);
        let arguments: Vec<&str> =
            ["eval", "task.toml", "--json"].into_iter().chain(program.into_iter().flatten()).collect();
        checked(self.promptopt(&arguments, "eval").await?)?;
        let said: Value = serde_json::from_str(&fs::read_to_string(self.folder.join("eval.out"))?)?;
        let missing = said.pointer("/test/missing").and_then(Value::as_u64).unwrap_or_default();
        ensure!(
            missing == 0,
            "{missing} rows of the sealed test have no score; see {}",
            self.folder.display()
        );
        #[derive(Deserialize)]
        struct Verdict {
            question: String,
            score: f64,
        }
        let known: HashMap<String, f64> = fs::read_to_string(&verdicts)
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str::<Verdict>(line).map(|one| (one.question, one.score)))
            .collect::<Result<_, _>>()?;
        let question = |row: &Value| row.get(&self.about.input).and_then(Value::as_str).map(str::to_owned);
        let rows = self.rows("test")?;
        Ok(rows
            .iter()
            .map(|row| question(row).and_then(|text| known.get(&text).copied()).unwrap_or(0.0))
            .collect())
    }

    /// The program that was found.
    fn saved(&self) -> Result<Saved> {
        Ok(serde_json::from_str(&fs::read_to_string(self.folder.join("program.json"))?)?)
    }

    async fn promptopt(&self, arguments: &[&str], name: &str) -> Result<Ended> {
        let mut command = Command::new(&self.workshop.promptopt);
        run(command.args(arguments).arg("--quiet"), &self.folder, name).await
    }

    fn rows(&self, part: &str) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.folder.join(format!("{part}.jsonl")))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The most tokens of an answer in the format of the model.
    fn tokens(&self) -> u32 {
        self.about.tokens + if self.roles.is_plain { 0 } else { MARKERS }
    }

    fn write_task(&self) -> Result<()> {
        let About { input, output, instruction, .. } = &self.about;
        let Key { task, seed, method, max_calls, .. } = self.key;
        let optimizer = if method == ORIGINAL || method.starts_with(PEER) { "miprov2" } else { method };
        let (format, stop) = if self.roles.is_plain { ("plain", json!(["\n"])) } else { ("chat", json!([])) };
        let command = json!([
            self.workshop.python,
            script("real/tasks.py")?,
            "judge",
            task,
            seed.to_string(),
            sizes(self.key),
            VERDICTS
        ]);
        let writer = self.roles.writer.unwrap_or(self.roles.task).base_url();
        let mut own = String::new();
        if self.roles.by_template {
            own += "proposer = \"template\"\n";
        }
        // A verifier gives a little for an answer that has the right one in it; that is no demo.
        if ["miprov2", "random_search"].contains(&optimizer) {
            own += "metric_threshold = 1.0\n";
        }
        // Texts and lists of texts are written in TOML as in JSON.
        let text = format!(
            "[program]\nname = \"answer\"\nsignature = \"{input} -> {output}\"\ninstruction = {}\nformat = \
             \"{format}\"\n\n[model]\nname = \"task\"\nbase_url = \"{}\"\ntemperature = 0.0\nmax_tokens = \
             {}\nstop = {stop}\ntimeout = 1200\nmax_retries = 0\n\n[prompt_model]\nname = \"writer\"\nbase_url = \
             \"{writer}\"\nmax_tokens = {INSTRUCTION_TOKENS}\ntimeout = 1200\nmax_retries = 0\n\n[data]\ntrain = \
             \"train.jsonl\"\nselection = \"selection.jsonl\"\ntest = \"test.jsonl\"\n\n[metric]\nkind = \
             \"command\"\ncommand = {command}\ntimeout = 300\n\n[optimizer]\nkind = \"{optimizer}\"\nseed = \
             {seed}\nmax_calls = {max_calls}\nconcurrency = {CONCURRENCY}\n{own}",
            json!(instruction),
            self.roles.task.base_url(),
            self.tokens(),
        );
        Ok(fs::write(self.folder.join("task.toml"), text)?)
    }
}

impl Spent {
    /// Without what one row of a sealed test took.
    fn without(self, tested: Usage) -> Self {
        Self {
            task_calls: self.task_calls.saturating_sub(tested.calls),
            tokens_read: self.tokens_read.saturating_sub(tested.prompt_tokens),
            tokens_written: self.tokens_written.saturating_sub(tested.completion_tokens),
            ..self
        }
    }
}

/// How a program ended, and the line of standard error that says why.
struct Ended {
    status: ExitStatus,
    said: String,
}

/// Runs a program in a folder to its end. What it says goes to NAME.out and NAME.log there.
async fn run(command: &mut Command, folder: &Path, name: &str) -> Result<Ended> {
    let log = folder.join(format!("{name}.log"));
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(File::create(folder.join(format!("{name}.out")))?)
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    // The server of the models runs in this process, on other threads.
    let status = tokio::task::spawn_blocking(move || child.wait()).await??;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let why = lines().find(|line| line.starts_with("error:")).or_else(|| lines().next_back());
    Ok(Ended { status, said: why.unwrap_or("nothing was said").to_owned() })
}

/// A program without which no cell can be made.
fn checked(ended: Ended) -> Result<()> {
    if !ended.status.success() {
        bail!("a step ended with {}: {}", ended.status, ended.said);
    }
    Ok(())
}

/// A script of this folder.
fn script(path: &str) -> Result<PathBuf> {
    let script = Path::new("bench").join(path);
    fs::canonicalize(&script)
        .with_context(|| format!("{} is not here; run this in the repository's root", script.display()))
}

fn sizes(key: &Key) -> String {
    key.sizes.map(|size| size.to_string()).join(",")
}
