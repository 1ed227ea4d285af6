//! The commands for programs that are not ours.

use std::path::PathBuf;

use clap::Args as Arguments;

#[cfg(feature = "gateway")]
use crate::task_file::ProgramSection;

/// Find the prompts of a program that exists already, and write a task file with them.
///
/// It runs the program on a few rows, shows what it asks of language models, and looks for the texts that stay the same from
/// row to row. Where such a text is the content of a file, the task file names that file.
///
/// The program runs as it is. Its calls go through a gateway on this machine: it is given an address and a key by the
/// variables that clients read, such as OPENAI_BASE_URL and OPENAI_API_KEY, and never sees a real key. Each row goes in as a
/// JSON object on standard input and in the places `{input}` of the command's arguments, and the answer, text or JSON, comes
/// out of standard output.
///
/// Your key comes from OPENAI_API_KEY or ANTHROPIC_API_KEY, and the address of a server of your own from OPENAI_BASE_URL.
#[derive(Debug, Arguments)]
#[command(after_help = "Examples:
  promptopt discover --data questions.jsonl -- python3 app.py
  promptopt discover --data questions.csv -- node ask.mjs {question}
  promptopt discover --input question=\"What is tea?\" -- python3 app.py
  promptopt discover --data questions.jsonl --serve -- node agent.mjs
  promptopt discover --data questions.jsonl --url http://127.0.0.1:9000/answer")]
pub(crate) struct DiscoverArgs {
    /// The rows: a JSONL, JSON or CSV file. Columns called `answer`, `label`, `expected` and the like, or else the last one,
    /// are what should come out.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task", "input"])]
    pub(crate) data: Option<PathBuf>,
    /// A task file that says how the program is asked and where the rows are, and lacks the texts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "signature"])]
    pub(crate) task: Option<PathBuf>,
    /// An input of the program, instead of rows. Given several times under one name, each is a row.
    #[arg(long, value_name = "NAME=TEXT", value_parser = named)]
    pub(crate) input: Vec<(String, String)>,
    /// What goes in and what comes out, such as `question, context -> answer`. Default: by the names of the columns.
    #[arg(long, value_name = "TEXT")]
    pub(crate) signature: Option<String>,
    /// Rows of a file to run.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rows: u64,
    /// The most language-model calls that all rows together may make.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) max_calls: u64,
    /// A model that answers all calls: `PROVIDER/MODEL`, `MODEL@BASE_URL` or `sim`. Default: what the program asks for.
    #[arg(long, value_name = "MODEL")]
    pub(crate) lm: Option<String>,
    /// The command is started once, and asked in lines of JSON.
    #[arg(long, conflicts_with = "url")]
    pub(crate) serve: bool,
    /// The program is a service that is asked over HTTP, at this address.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<String>,
    /// An environment variable that is to hold an input, such as `QUESTION=question`.
    #[arg(long, value_name = "VARIABLE=INPUT", value_parser = named, conflicts_with_all = ["task", "serve", "url"])]
    pub(crate) variable: Vec<(String, String)>,
    /// An environment variable of yours that the program gets besides the usual ones.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "task")]
    pub(crate) env: Vec<String>,
    /// Seconds that the program may take for one row. Default: 120.
    #[arg(long, value_name = "SECONDS", conflicts_with = "task")]
    pub(crate) timeout: Option<f64>,
    /// Let a program in a container or on another machine reach the gateway by this address of this machine. Default: it is on
    /// the loopback interface alone. What goes over the network is not encrypted.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// The task file to write. The program runs in its folder. Default: task.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write over a file that is there. With --task, add the texts to it.
    #[arg(long)]
    pub(crate) force: bool,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Put the better texts into the files of a program, after showing them as a diff.
///
/// What changes is shown as a diff first. A file is written where its text is still the one that the run began with, and
/// nothing but the text changes in it. To take it back, use your version control, or give the diff to
/// `patch -R -p1` in the folder of the task file, where lines end with a line feed alone.
#[derive(Debug, Arguments)]
pub(crate) struct ApplyArgs {
    /// The task file, or an optimized program. Of a task file the program in this folder or beside it is taken,
    /// NAME.optimized.json.
    pub(crate) program: PathBuf,
    /// The task file whose folder has the files. Default: the one that the program was made from, beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Write without being asked.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Reads `NAME=TEXT`.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("it should be NAME=VALUE".to_owned()),
    }
}

#[cfg(feature = "gateway")]
impl DiscoverArgs {
    /// Whether the command line says how a program is asked.
    pub(crate) fn has_door(&self) -> bool {
        !self.command.is_empty() || self.url.is_some()
    }

    /// The program as a task file has it.
    pub(crate) fn program(&self, signature: &str) -> ProgramSection {
        let command = (!self.command.is_empty()).then(|| self.command.clone());
        let (run, serve) = if self.serve { (None, command) } else { (command, None) };
        ProgramSection {
            signature: Some(signature.to_owned()),
            run,
            serve,
            url: self.url.clone(),
            variables: self.variable.iter().cloned().collect(),
            env: self.env.clone(),
            timeout: self.timeout,
            ..ProgramSection::default()
        }
    }

    /// The file that is written where there is no task file yet.
    pub(crate) fn out_or_default(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("task.toml"))
    }
}
