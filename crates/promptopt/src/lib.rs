//! Makes the prompts of a program that calls language models better by measurement.
//!
//! Give it a program, examples and a metric. It runs the program, studies what happened, writes better instructions,
//! picks better demos (worked examples in the prompt), and shows the gain on examples that played no part in the
//! search. The optimizers are those of DSPy and of newer papers: MIPROv2, COPRO, GEPA, SIMBA and random search.
//!
//! ```
//! use promptopt::prelude::*;
//!
//! /// Answer the question with one word.
//! #[derive(Signature)]
//! struct Answer {
//!     #[input]
//!     question: String,
//!     #[output]
//!     answer: String,
//! }
//!
//! /// The model is a `ChatClient`, or anything else that implements the trait.
//! async fn optimize(model: Arc<dyn LanguageModel>, train_examples: Vec<Example>) -> promptopt::anyhow::Result<()> {
//!     // A program: one predictor. A struct of several is a program, too (`#[derive(Module)]`), and so is a closure
//!     // (`module_fn`).
//!     let program = Predict::<Answer>::typed("answer").with_model(model);
//!
//!     // What a good answer is.
//!     let metric = metric_typed(|expected: &AnswerOutput, given: &AnswerOutput| expected.answer == given.answer);
//!
//!     // The better prompt is in the program afterwards.
//!     let mut program = program.with_metric(metric);
//!     let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
//!     let outcome = optimizer.compile(&mut program, train_examples).await?;
//!     println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> promptopt::anyhow::Result<()> {
//! #     let task = promptopt_testkit::HiddenRules::new(12, 1);
//! #     optimize(Arc::new(task.model(1)), task.examples(60)).await
//! # }
//! ```
//!
//! An example is a row of data, such as `Example::typed(Answer { question, answer })?`; the feature `data` reads them
//! from files. The command `promptopt` (crate `promptopt-cli`) does the same from a TOML file, without any Rust.
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
//! | `gateway` | programs that are not ours: an HTTP gateway for their calls |
//! | `fleet` | rollouts on many machines, over NATS JetStream |
//! | `mcp` | tools of MCP servers for agents, over stdio |
//! | `data` | JSONL, JSON, CSV and TSV; splits with a sealed test |
//! | `parquet`, `hub` | Parquet files; datasets of the Hugging Face Hub |
//! | `store` | the journal that makes a run safe to kill, and a cache of replies |
//! | `report` | what a run came to, as a page |
//! | `tracing` | spans of `tracing`, with OpenTelemetry's names: calls, predictors, tools, rollouts, runs |
//! | `otlp` | those spans sent over OTLP |
//!
//! Each part is a crate of its own, for whoever wants no more than that. The first page of [`promptopt_core`] has the
//! map of them and explains [the words](promptopt_core#words). The guide for Rust engineers is `docs/guide-rust.md` in
//! the repository.

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
#[cfg(feature = "fleet")]
pub use promptopt_fleet as fleet;
#[cfg(feature = "gateway")]
pub use promptopt_gateway as gateway;
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
