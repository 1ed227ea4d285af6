//! Makes the prompts of a program that calls language models better by measurement.
//!
//! Give it a program, examples and a metric. It runs the program, studies what happened, writes better instructions,
//! picks better demonstrations, and proves the gain on examples that it did not choose on.
//!
//! ```
//! use promptopt::prelude::*;
//! # use promptopt_testkit::HiddenRules;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> promptopt::anyhow::Result<()> {
//! # let task = HiddenRules::new(12, 1);
//! # let (train_examples, model) = (task.examples(60), Arc::new(task.model(1)));
//!
//! // A program: one predictor. Anything that implements `Module` will do, and so will a closure (`module_fn`).
//! let program = Predict::new("answer", Signature::parse("question -> answer")?).with_model(model);
//!
//! // What a good answer is.
//! let metric = metric_fn(|example: &Example, prediction: &Prediction| {
//!     example.get("answer") == prediction.get("answer")
//! });
//!
//! let mut module = program.with_metric(metric);
//! let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
//! let outcome = optimizer.compile(&mut module, train_examples).await?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # Ok(())
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `miprov2` (default) | [`MIPROv2`](prelude::MIPROv2): instructions and demos, searched together |
//! | `copro` | `COPRO`: instructions refined from ranked attempts |
//! | `gepa` | `GEPA`: instructions evolved by reflection on traces |
//! | `random-search` | `RandomSearch`: the best of many demo sets |
//! | `simba` | `SIMBA`: demos and rules from runs that differ most |
//! | `lm` (default) | clients of language models that speak the OpenAI dialect |
//! | `providers` | the providers' own APIs besides: Anthropic, Gemini, Ollama |
//! | `mcp` | tools of MCP servers for agents, over stdio |
//! | `data` | JSONL, JSON, CSV and TSV; splits with a sealed test |
//! | `parquet`, `hub` | Parquet files; datasets of the Hugging Face Hub |
//! | `store` | the journal that makes a run safe to kill, and a cache of replies |
//! | `report` | what a run came to, as a page |
//! | `tracing` | spans of `tracing`, with OpenTelemetry's names: calls, predictors, tools, rollouts, runs |
//! | `otlp` | those spans sent over OTLP |
//!
//! Each part is a crate of its own, for whoever wants no more than that: the map is the first page of
//! [`promptopt_core`]. The guide for Rust engineers stands in the repository under `docs/`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod prelude;

pub use anyhow;
pub use async_trait::async_trait;
#[cfg(feature = "miprov2")]
pub use miprov2;
#[cfg(feature = "copro")]
pub use promptopt_copro as copro;
pub use promptopt_core as core;
#[cfg(feature = "data")]
pub use promptopt_data as data;
pub use promptopt_evaluator as evaluator;
#[cfg(feature = "gepa")]
pub use promptopt_gepa as gepa;
#[cfg(feature = "lm")]
pub use promptopt_lm as lm;
#[doc(inline)]
pub use promptopt_macros::{Module, Signature};
#[cfg(feature = "mcp")]
pub use promptopt_mcp as mcp;
#[cfg(feature = "otlp")]
pub use promptopt_otel as otel;
pub use promptopt_predict as predict;
pub use promptopt_proposer as proposer;
#[cfg(feature = "random-search")]
pub use promptopt_random_search as random_search;
#[cfg(feature = "report")]
pub use promptopt_report as report;
pub use promptopt_run as run;
#[cfg(feature = "simba")]
pub use promptopt_simba as simba;
pub use promptopt_statistics as statistics;
#[cfg(feature = "store")]
pub use promptopt_store as store;
pub use promptopt_trace_gen as trace_gen;

/// Compiles the page "Write your own optimizer" and the README.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/own-optimizer.md")]
    struct OwnOptimizer;

    #[doc = include_str!("../README.md")]
    struct Readme;
}
