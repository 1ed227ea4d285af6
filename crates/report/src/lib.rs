//! One run of an optimizer as one HTML page that works offline, or as JSON.
//!
//! A [`Report`] is data: what the optimizer did ([`promptopt_run::Outcome`]), the prompts before and
//! after, the sealed test, what failed, what it cost. [`Report::to_html`] draws it: a page without
//! network requests, readable without JavaScript, in dark and light, on a telephone and on paper.
//!
//! ```
//! use promptopt_core::prompt::{Prompt, Prompts};
//! use promptopt_report::Report;
//! use promptopt_run::Outcome;
//!
//! let mut report = Report::new("tickets", Outcome::new("MIPROv2"));
//! report.prompts_before = Prompts::from_iter([("route", Prompt::new("Route the ticket."))]);
//! report.prompts_after = Prompts::from_iter([("route", Prompt::new("Route the <b>urgent</b> ticket."))]);
//! let page = report.to_html()?;
//! assert!(page.contains("MIPROv2 on tickets"));
//! // What comes from outside is text, whatever it looks like.
//! assert!(!page.contains("<b>urgent"));
//! # Ok::<(), promptopt_report::Error>(())
//! ```
//!
//! An optimizer of anybody's shows too: origins of candidates stand there in its own words, kinds of trials under their
//! own names, and details of the outcome that no section draws as a list.
//!
//! Every text of a report is taken for untrusted: the template engine escapes it, a Content-Security-
//! Policy lets nothing but the page's own style and script through, and what is long is cut with a note.

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
