//! The command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand};

/// Makes the prompts of an LLM program better by measurement.
///
/// Give it a program, examples and a metric in a task file; it runs the program, studies its
/// traces, writes better instructions, picks better demonstrations, and proves the gain on a test
/// set it did not choose on.
#[derive(Debug, Parser)]
#[command(name = "promptopt", version)]
pub(crate) struct Args {
    /// Say what happens inside, on standard error.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Optimize the prompts of a task and measure the gain on its sealed test.
    Optimize(OptimizeArgs),
    /// Evaluate a task's prompts, or optimized ones, on its sealed test.
    Eval(EvalArgs),
    /// Fetch and find the weights of the embedded model.
    #[command(subcommand)]
    Model(ModelCommand),
}

/// What both kinds of run take.
#[derive(Debug, Arguments)]
pub(crate) struct RunArgs {
    /// The task file (TOML).
    pub(crate) task: PathBuf,
    /// The model, instead of the task file's: `local` or `local/NAME-OR-PATH` (embedded), `sim`
    /// (simulated, for trying things out), or `MODEL@BASE_URL` (OpenAI-compatible).
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
}

#[derive(Debug, Arguments)]
pub(crate) struct OptimizeArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Seed of every random choice, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Candidates for every predictor, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) candidates: Option<usize>,
    /// Trials, instead of the task file's.
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<usize>,
    /// The most language-model calls the optimization may make.
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<u64>,
    /// Where to write the optimized program. Default: NAME.optimized.json in this folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// An optimized program, as `optimize` writes it. Default: the task's own prompts.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
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
