//! The command line.

mod app;

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use promptopt_store::CacheMode;
use serde::{Deserialize, Serialize};

use crate::exit::EXIT_CODES;
use crate::optimizers::Kind;
use crate::program::path_pair;

pub(crate) use app::{ApplyArgs, DiscoverArgs};

/// Makes the prompts of an LLM program better by measurement.
///
/// Give it a program, examples and a metric in a task file; it runs the program, studies its
/// traces, writes better instructions, picks better demonstrations, and proves the gain on a test
/// set it did not choose on.
///
/// Begin with `promptopt init`.
#[derive(Debug, Parser)]
#[command(name = "promptopt", version, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How much is said, and in which form.
#[derive(Debug, Clone, Copy, Arguments)]
pub(crate) struct OutputArgs {
    /// Print the result as one JSON object on standard output, for machines.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress; only results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say what happens inside, on standard error.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// Who is told of every call.
#[derive(Debug, Arguments)]
pub(crate) struct TraceArgs {
    /// Send the calls as OpenTelemetry spans, over OTLP, to this address or to that of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[arg(long, global = true, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) otlp: Option<String>,
    /// Let the spans say what was said as well: messages, replies, arguments and results of tools.
    #[arg(long, global = true)]
    pub(crate) trace_content: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented task file and a small data set to begin with.
    Init(InitArgs),
    Discover(DiscoverArgs),
    /// Optimize the prompts of a task and measure the gain on its sealed test.
    #[command(after_long_help = EXIT_CODES)]
    Optimize(OptimizeArgs),
    /// Find out whether better prompts are to be expected at all, with a few calls.
    #[command(after_long_help = EXIT_CODES)]
    Probe(ProbeArgs),
    /// Say what an optimization is going to cost, without calling any model.
    #[command(after_long_help = EXIT_CODES)]
    Estimate(EstimateArgs),
    /// Go on with a run that was interrupted or killed; nothing that was paid is paid again.
    #[command(after_long_help = EXIT_CODES)]
    Resume(ResumeArgs),
    Apply(ApplyArgs),
    /// Evaluate a task's prompts, or optimized ones, on its sealed test.
    #[command(after_long_help = EXIT_CODES)]
    Eval(EvalArgs),
    /// Run several optimizers on one task and put them side by side.
    #[command(after_long_help = EXIT_CODES)]
    Compare(CompareArgs),
    /// Show the prompt as it goes over the wire.
    Show(ShowArgs),
    /// Show what differs between the prompts of two programs.
    Diff(DiffArgs),
    /// Write out a prompt for use elsewhere: as text, chat messages, Markdown, or for DSPy.
    Export(ExportArgs),
    /// Take the prompts of a program that DSPy saved.
    Import(ImportArgs),
    /// Write the report of an optimized program as one HTML page.
    Report(ReportArgs),
    /// Make rollouts that `--fleet` of another process hands out, until it is told to leave (Ctrl-C, SIGTERM).
    #[command(after_long_help = EXIT_CODES)]
    Worker(WorkerArgs),
    /// Look at a fleet of workers.
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Show the models of a task, whether their keys are set, and whether they can be reached.
    Models(ModelsArgs),
    /// Fetch and find the weights of the embedded model.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Print the JSON Schema of the task file, for editors.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
}

/// What all kinds of run take.
#[derive(Debug, Clone, Arguments, Serialize, Deserialize)]
pub(crate) struct RunArgs {
    /// The task file (TOML).
    pub(crate) task: PathBuf,
    /// The model, instead of the task file's: `local` or `local/NAME-OR-PATH` (embedded), `sim`
    /// (simulated, for trying things out), `PROVIDER/MODEL` such as `groq/…`, or `MODEL@BASE_URL`
    /// (OpenAI-compatible).
    #[arg(long, value_name = "MODEL")]
    pub(crate) lm: Option<String>,
    /// Language-model calls under way at once. Never changes the result.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,
    /// Training examples to use, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) train: Option<usize>,
    /// Selection examples to use, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) selection: Option<usize>,
    /// Sealed test examples to use, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) test: Option<usize>,
    /// Take replies from this folder, and add to it, so that runs share what they paid for.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// How the cache is used: `off`, `read` or `read-write`.
    #[arg(long, value_name = "MODE", value_parser = cache_mode)]
    pub(crate) cache_mode: Option<CacheMode>,
    /// Let a program that is not ours reach the gateway from a container or another machine: by this address of this machine.
    /// Without it the gateway is on the loopback interface alone. What goes over the network is not encrypted.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Have the rollouts made by workers (`promptopt worker`) that meet at this NATS server, or at that of `[fleet]` in the task
    /// file. The data goes to them. Calls of language models are made here, but for `on_workers`.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    #[serde(skip)]
    pub(crate) fleet: Option<String>,
}

impl RunArgs {
    /// For a task on a model, with nothing else said.
    #[cfg_attr(not(feature = "fleet"), expect(dead_code, reason = "workers alone need it"))]
    pub(crate) fn of_task(task: &std::path::Path, lm: Option<String>) -> Self {
        Self {
            task: task.to_owned(),
            lm,
            concurrency: None,
            train: None,
            selection: None,
            test: None,
            cache: None,
            cache_mode: None,
            listen: None,
            fleet: None,
        }
    }
}

/// What a worker takes.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct WorkerArgs {
    /// The task file (TOML), the same as the coordinator's, with the files of its program.
    pub(crate) task: PathBuf,
    /// The NATS server where the fleet meets. Default: that of `[fleet]` in the task file.
    #[arg(long, value_name = "URL")]
    pub(crate) fleet: Option<String>,
    /// Rollouts at once. Default: that of `[fleet]`, or 1.
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<usize>,
    /// The model, where the coordinator has another one than the task file's. It is called by the coordinator alone.
    #[arg(long, value_name = "MODEL")]
    pub(crate) lm: Option<String>,
    /// Leave after so many seconds without a rollout. Default: never.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: Option<u64>,
}

/// What there is to see of a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// List workers and runs, and how many rollouts wait.
    Status(FleetStatusArgs),
}

/// Which fleet.
#[derive(Debug, Arguments)]
pub(crate) struct FleetStatusArgs {
    /// A task file with `[fleet]`.
    pub(crate) task: Option<PathBuf>,
    /// The NATS server where the fleet meets.
    #[arg(long, value_name = "URL")]
    pub(crate) fleet: Option<String>,
}

/// How a cache is used, by its name.
fn cache_mode(name: &str) -> Result<CacheMode, String> {
    match name {
        "off" => Ok(CacheMode::Off),
        "read" => Ok(CacheMode::Read),
        "read-write" => Ok(CacheMode::ReadWrite),
        _ => Err("the modes are `off`, `read` and `read-write`".to_owned()),
    }
}

/// What shapes an optimization.
#[derive(Debug, Clone, Arguments, Serialize, Deserialize)]
pub(crate) struct SearchArgs {
    /// Begin with the prompts of this program instead of the task file's: an optimized program, a run
    /// directory, or what DSPy saved.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// The optimizer, instead of the task file's. Options in the file that it does not have are left
    /// out.
    #[arg(long, value_name = "NAME")]
    pub(crate) optimizer: Option<Kind>,
    /// Seed of every random choice, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Candidates for every predictor, instead of the task file's (miprov2).
    #[arg(long, value_name = "N")]
    pub(crate) candidates: Option<usize>,
    /// Trials, instead of the task file's (miprov2).
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<usize>,
    /// The most language-model calls the optimization may make.
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<u64>,
    /// The most tokens it may read and write, the sealed test included.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    /// The most it may cost, in dollars, such as `5` or `0.25`, the sealed test included. Needs the models'
    /// prices.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_cost: Option<String>,
    /// The longest it may take, such as `90s`, `15m` or `1h30m`, the sealed test included.
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<String>,
}

#[derive(Debug, Arguments)]
pub(crate) struct EstimateArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

#[derive(Debug, Clone, Arguments, Serialize, Deserialize)]
pub(crate) struct OptimizeArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) search: SearchArgs,
    /// Only say what it is going to cost, as `promptopt estimate` does.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) dry_run: bool,
    /// Where to keep the run, so that it can be resumed. Default: NAME.run beside the program, with a
    /// number where that is taken.
    #[arg(long = "run", value_name = "DIR", conflicts_with = "no_run")]
    #[serde(skip)]
    pub(crate) run_directory: Option<PathBuf>,
    /// Keep no run directory: a run that is killed is lost.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) no_run: bool,
    /// Where to write the optimized program. Default: NAME.optimized.json in this folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write no HTML report beside the program.
    #[arg(long)]
    pub(crate) no_report: bool,
    /// End with code 5 when the sealed test's score is below this.
    #[arg(long, value_name = "SCORE")]
    pub(crate) fail_under: Option<f64>,
}

#[derive(Debug, Arguments)]
pub(crate) struct ResumeArgs {
    /// The run directory.
    pub(crate) directory: PathBuf,
    /// Language-model calls under way at once. Never changes the result.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,
    /// Have the rollouts made by workers that meet at this NATS server, or at that of `[fleet]` in the task file.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub(crate) fleet: Option<String>,
}

#[derive(Debug, Arguments)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// An optimized program, a run directory, or what DSPy saved. Default: the task's own prompts.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// End with code 5 when the score is below this.
    #[arg(long, value_name = "SCORE")]
    pub(crate) fail_under: Option<f64>,
}

/// Finds out whether better prompts are to be expected at all, with a few calls.
///
/// It runs a few deliberately different prompts on some selection rows: yours as they are, the same without demos,
/// strict about the form of the reply, with demos from the training rows, and long. Nobody is asked to write anything.
/// It then says what gain is to be expected, whether form, examples or the instruction brings it, how many rows would
/// show it, and whether a search is likely to pay. The sealed test stays sealed.
#[derive(Debug, Arguments)]
pub(crate) struct ProbeArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// An optimized program, a run directory, or what DSPy saved. Default: the task's own prompts.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Rows to run every prompt on. More rows tell smaller gains from luck, and cost more.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub(crate) rows: u64,
    /// Seed of the draw of rows, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The most language-model calls it may make, instead of the task file's. With fewer, it takes fewer rows.
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<u64>,
    /// End with code 5 when the expected gain is below this.
    #[arg(long, value_name = "GAIN")]
    pub(crate) fail_under: Option<f64>,
}

#[derive(Debug, Arguments)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The optimizers, separated by commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) optimizers: Vec<Kind>,
    /// Runs of each, with as many seeds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// The first seed, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The most language-model calls that each run may make.
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<u64>,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct InitArgs {
    /// The folder to write into; it is made where it is missing. Default: this folder.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Arguments)]
pub(crate) struct ShowArgs {
    /// The task file (TOML).
    pub(crate) task: PathBuf,
    /// An optimized program, a run directory, or what DSPy saved. Default: the task's own prompts.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// The model it is for, instead of the task file's: the embedded one (`local`) gets another format.
    #[arg(long, value_name = "MODEL")]
    pub(crate) lm: Option<String>,
    /// Which example of the data to show it for, counted from 1.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) example: usize,
}

#[derive(Debug, Arguments)]
pub(crate) struct DiffArgs {
    /// An optimized program, a run directory, a task file (its own prompts), or what DSPy saved.
    pub(crate) before: PathBuf,
    /// Another one. Default: the original and the optimized prompts of the first.
    pub(crate) after: Option<PathBuf>,
    /// The task file, which programs of DSPy need.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Where DSPy keeps a predictor, where the names differ: OURS=THEIRS, as in `route=classify.predict`.
    #[arg(long, value_name = "OURS=THEIRS", value_parser = path_pair)]
    pub(crate) map: Vec<(String, String)>,
}

#[derive(Debug, Arguments)]
pub(crate) struct ExportArgs {
    /// An optimized program, a run directory, or a task file (its own prompts).
    pub(crate) program: PathBuf,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    pub(crate) format: ExportFormat,
    /// Where to write it. Default: standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A program that DSPy saved, which is to get these prompts and keep all else (dspy).
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    /// The task file, where the program does not say what it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Where DSPy keeps a predictor, where the names differ: OURS=THEIRS, as in `route=classify.predict`.
    #[arg(long, value_name = "OURS=THEIRS", value_parser = path_pair)]
    pub(crate) map: Vec<(String, String)>,
}

/// A form in which a prompt is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The chat as plain text, `{{field}}` where an input goes.
    Text,
    /// The chat as JSON messages with role and content, `{{field}}` where an input goes.
    Messages,
    /// A page for people: instruction, fields, demonstrations, and the chat.
    Markdown,
    /// A program state that DSPy loads.
    Dspy,
}

#[derive(Debug, Arguments)]
pub(crate) struct ImportArgs {
    /// What `program.save("….json")` wrote in DSPy.
    pub(crate) state: PathBuf,
    /// The task file that says what the program's fields are.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: PathBuf,
    /// Where to write the program. Default: NAME.imported.json in this folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Where DSPy keeps a predictor, where the names differ: OURS=THEIRS, as in `route=classify.predict`.
    #[arg(long, value_name = "OURS=THEIRS", value_parser = path_pair)]
    pub(crate) map: Vec<(String, String)>,
}

#[derive(Debug, Arguments)]
pub(crate) struct ReportArgs {
    /// A run directory, or an optimized program as `optimize` writes it.
    pub(crate) program: PathBuf,
    /// Where to write the page. Default: beside the program with the ending .html, or in the run directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct ModelsArgs {
    /// The task file (TOML).
    pub(crate) task: PathBuf,
    /// Seconds to wait for an endpoint.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) timeout: f64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Fetch the weights of a known model, checked and at once.
    Pull {
        /// Name of the model; see `list`. Default: the small one.
        name: Option<String>,
    },
    /// Show the known models and which of them are here.
    List,
    /// Print where the weights of a model are.
    Path {
        /// Name or path of the model. Default: the small one.
        name: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
