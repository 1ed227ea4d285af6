//! Measures promptopt: each part is a table of ratios and counts from one run, printed and written as JSON.
//!
//! `cargo xtask bench` builds this in release and runs it.

mod child;
mod concurrency;
mod cpu;
mod critical_path;
mod fleet;
mod gateway;
mod gateway_program;
mod harm;
mod machine;
mod memory;
mod model;
#[cfg(feature = "local")]
mod model_scribe;
#[cfg(feature = "local")]
mod model_tasks;
mod options;
mod overhead;
mod plot;
mod probe;
mod real;
mod real_cells;
mod real_served;
mod real_table;
mod real_work;
mod scaling;
mod search;
mod search_bridge;
mod search_counting;
mod search_methods;
mod search_peers;
mod search_plot;
mod search_series;
mod serve;
mod server;
mod simulated_fleet;
mod soak;
mod table;
mod task;
mod tools;
mod tools_package;
mod tools_program;
mod tools_search;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use options::{Options, Part};
use table::Row;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = child::play(&arguments).unwrap_or_else(|| run(&Options::parse()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let parts = if options.parts.is_empty() { Part::ALL } else { options.parts.as_slice() };
    let mut missed = Vec::new();
    for part in parts {
        let start = std::time::Instant::now();
        let rows = runtime(*part)?
            .block_on(measure(*part, options))
            .with_context(|| format!("measuring {}", part.name()))?;
        table::publish(part.name(), &rows, options, start.elapsed())?;
        if *part == Part::Gateway && rows.iter().any(|row| row.met == Some(false)) {
            missed.push(part.name());
        }
    }
    ensure!(missed.is_empty(), "goals of {} are missed: see the table", missed.join(", "));
    Ok(())
}

/// One thread for rollouts and their connections, as the command has it; all of them for a service and the simulated tasks.
fn runtime(part: Part) -> std::io::Result<Runtime> {
    let mut builder = match part {
        Part::Serve | Part::Memory | Part::Search | Part::Harm | Part::Model | Part::Real | Part::Tools => {
            Builder::new_multi_thread()
        }
        _ => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn measure(part: Part, options: &Options) -> Result<Vec<Row>> {
    match part {
        Part::Overhead => overhead::run(options).await,
        Part::Concurrency => concurrency::run(options).await,
        Part::CriticalPath => critical_path::run(options).await,
        Part::Serve => serve::run(options).await,
        Part::Gateway => gateway::run(options).await,
        Part::Fleet => fleet::run(options).await,
        Part::Memory => memory::run(options).await,
        Part::Scaling => scaling::run(options).await,
        Part::Search => search::run(options).await,
        Part::Harm => harm::run(options).await,
        Part::Probe => probe::run(options).await,
        Part::Soak => soak::run(options).await,
        Part::Model => model::run(options).await,
        Part::Real => real::run(options).await,
        Part::Tools => tools::run(options).await,
    }
}
