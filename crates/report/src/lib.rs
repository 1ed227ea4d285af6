//! One run of an optimizer as one HTML page that works offline, or as JSON.
//!
//! A [`Report`] is data: what the optimizer did ([`promptopt_core::Outcome`]), the prompts before and
//! after, the sealed test, what failed, what it cost. [`Report::to_html`] draws it: a page without
//! network requests, readable without JavaScript, in dark and light, on a telephone and on paper.
//!
//! ```
//! use promptopt_core::{Prompt, Prompts};
//! use promptopt_report::Report;
//!
//! let report = Report {
//!     task: "tickets".into(),
//!     optimizer: "MIPROv2".into(),
//!     prompts_before: Prompts::from_iter([("route", Prompt::new("Route the ticket."))]),
//!     prompts_after: Prompts::from_iter([("route", Prompt::new("Route the <b>urgent</b> ticket."))]),
//!     ..Report::default()
//! };
//! let page = report.to_html()?;
//! assert!(page.contains("MIPROv2 on tickets"));
//! // What comes from outside is text, whatever it looks like.
//! assert!(!page.contains("<b>urgent"));
//! # Ok::<(), promptopt_report::Error>(())
//! ```
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
mod diff;
mod error;
mod examples;
mod format;
mod frontier;
mod headline;
mod heat;
mod interval_plot;
mod lineage;
mod lineage_layout;
mod page;
mod problems;
mod prompts;
mod render;
mod report;
mod splits;
mod text;
mod trials;

pub use error::Error;
pub use report::{ErrorLine, ExampleRow, ExampleStatus, Report, StageCost, TestReport};
