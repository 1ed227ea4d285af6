//! What the command line says.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures promptopt and prints a table for each part.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Options {
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,
    /// Smaller sizes and fewer repetitions, without peers and without the embedded model: under five minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The folder that NAME.json of each part is written to.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
    /// Search: run DSPy as well, which is installed in target/peers.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Search: run our optimizers on DSPy's program as well, which is asked through the bridge.
    #[arg(long)]
    pub(crate) bridge: bool,
    /// Search and harm: only this landscape.
    #[arg(long)]
    pub(crate) landscape: Option<String>,
    /// Search, harm, real and tools: only these methods, by their names in the table.
    #[arg(long = "method", visible_alias = "methods", value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// Search, real and tools: these numbers of calls instead of those of the report.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub(crate) calls: Vec<u64>,
    /// Search: with a trial of the writer, and templates standing by, as the command has it.
    #[arg(long)]
    pub(crate) auto: bool,
    /// Search, harm, real and tools: seeds FROM-TO instead of those of the report.
    #[arg(long, value_parser = seeds)]
    pub(crate) seeds: Option<Seeds>,
    /// Harm: only this `caution`.
    #[arg(long)]
    pub(crate) caution: Option<f64>,
    /// Real: only these tasks, by their names in bench/real/tasks.py. Tools: only these of `accepted`, `refused`,
    /// `instructions` and `descriptions`.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// Real: `embedded`, `embedded+writer` (which writes the instructions) or `writer`, the model that
    /// PROMPTOPT_MODEL_PATH names. Default: the last two, or the first one without that variable.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// Real: rows of train, selection and test instead of those of the report.
    #[arg(long, value_name = "N,N,N", value_delimiter = ',')]
    pub(crate) sizes: Vec<usize>,
    /// Real: begin no run after so many minutes. The same command goes on with what is missing.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) max_minutes: Option<u64>,
    /// Real: measure nothing, and write the results that are there into performance.md and real-tasks.md of this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) docs: Option<PathBuf>,
    /// Search: where the plot goes, of runs over all landscapes.
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    /// Whether a method is to be measured: one that is named, or any where none is.
    pub(crate) fn wants(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|name| name == method)
    }
}

/// Seeds FROM-TO, both included.
#[derive(Debug, Clone)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let parsed =
        text.split_once('-').and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from <= to => Ok(Seeds((from..=to).collect())),
        _ => Err("must be FROM-TO, such as 0-4".to_owned()),
    }
}

/// One part of the measurement, a module of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// CPU time of a rollout apart from the model.
    Overhead,
    /// Rollouts a second against a server with latency, as a share of what the latency allows.
    Concurrency,
    /// Wall time of whole optimizer runs over the chain of calls that wait for each other.
    CriticalPath,
    /// What a service pays: many requests at once, one call beside bare HTTP, and memory over many calls.
    Serve,
    /// What the gateway costs a program that is not ours: CPU time a call, and the share of what the latency allows.
    Gateway,
    /// How far a fleet goes: slots kept busy, what a rollout costs its coordinator; needs a nats-server; only where it is
    /// named.
    Fleet,
    /// Peak resident memory.
    Memory,
    /// How cost grows with examples, candidates and predictors.
    Scaling,
    /// Sealed-test score for calls, beside the Python peers.
    Search,
    /// What is installed where there is nothing to gain, and where there is; only where it is named.
    Harm,
    /// Whether the probe for headroom is right, on simulated tasks.
    Probe,
    /// The embedded model.
    Model,
    /// Real tasks on real models, beside DSPy; only where it is named.
    Real,
    /// Function calling by the rows and checkers of the Berkeley leaderboard; only where it is named.
    Tools,
    /// Memory and files of a run of millions of calls; only where it is named.
    Soak,
}

impl Part {
    /// Every part that is measured where none is named, in the order of the page.
    pub(crate) const ALL: &[Self] = &[
        Self::Overhead,
        Self::Concurrency,
        Self::CriticalPath,
        Self::Serve,
        Self::Gateway,
        Self::Memory,
        Self::Scaling,
        Self::Search,
        Self::Probe,
        Self::Model,
    ];

    /// The name on the command line and of the JSON file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overhead => "overhead",
            Self::Concurrency => "concurrency",
            Self::CriticalPath => "critical-path",
            Self::Serve => "serve",
            Self::Gateway => "gateway",
            Self::Fleet => "fleet",
            Self::Memory => "memory",
            Self::Scaling => "scaling",
            Self::Search => "search",
            Self::Harm => "harm",
            Self::Probe => "probe",
            Self::Model => "model",
            Self::Real => "real",
            Self::Tools => "tools",
            Self::Soak => "soak",
        }
    }
}
