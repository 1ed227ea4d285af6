//! Draws a search for better prompts as one HTML page that works offline, or writes it as JSON.
//!
//! An optimizer of [promptopt](https://docs.rs/promptopt) returns an [`Outcome`](promptopt_run::Outcome): the prompts
//! it tried, their scores, and what it cost. A [`Report`] is that outcome together with the prompts before and after,
//! the sealed test, and what failed. [`Report::to_html`] draws it as a page without network requests, readable without
//! JavaScript, in dark and light, on a telephone and on paper. The words used here are explained in
//! [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use miprov2::MIPROv2;
//! use promptopt_core::data::Example;
//! use promptopt_core::program::{Evaluator, ModuleExt as _};
//! use promptopt_report::Report;
//! use promptopt_run::Optimizer as _;
//!
//! /// Optimizes a program that comes with a metric and a model, and returns the page.
//! async fn optimize(program: &mut dyn Evaluator, train_examples: Vec<Example>) -> anyhow::Result<String> {
//!     let prompts_before = program.candidate().prompts;
//!     let outcome = MIPROv2::builder().max_calls(400).build().compile(program, train_examples).await?;
//!
//!     let mut report = Report::new("tickets", outcome);
//!     report.prompts_before = prompts_before;
//!     report.prompts_after = program.candidate().prompts;
//!     Ok(report.to_html()?) // or `report.write("report.html")`
//! }
//! # fn main() -> anyhow::Result<()> {
//! #     use promptopt_testkit::{HiddenRules, toy};
//! #     let task = HiddenRules::new(12, 1);
//! #     let model = std::sync::Arc::new(task.model(1));
//! #     let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
//! #     let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! #     let page = runtime.block_on(optimize(&mut program, task.examples(60)))?;
//! #     assert!(page.contains("MIPROv2 on tickets"));
//! #     Ok(())
//! # }
//! ```
//!
//! [`TestReport`] adds the original and the optimized program on examples that no search has seen. [`comparison`] sets
//! several optimizers side by side, as text.
//!
//! The outcome of an optimizer of your own is shown, too: origins of candidates appear in its own words, kinds of
//! trials under their own names, and details of the outcome that no section draws as a list.
//!
//! Every text of a report counts as untrusted. The template engine escapes it, a Content-Security-Policy lets nothing
//! but the page's own style and script through, and what is long is cut with a note.
//!
//! There are no cargo features.

mod axis;
mod candidates;
mod choices;
pub mod comparison;
mod cost;
mod demos;
mod depths;
mod details;
mod diff;
mod error;
mod error_line;
mod example_row;
mod examples;
mod format;
mod frontier;
mod headline;
mod headroom;
mod heat;
mod interval_plot;
mod lineage;
mod lineage_layout;
mod page;
mod problems;
mod prompts;
mod render;
mod report;
mod rules;
mod splits;
mod steps;
mod test_report;
mod text;
mod thumbnails;
mod trials;

pub use error::Error;
pub use error_line::ErrorLine;
pub use example_row::{ExampleRow, ExampleStatus};
pub use report::{Report, StageCost};
pub use steps::StepRow;
pub use test_report::TestReport;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
