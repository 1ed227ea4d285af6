//! Reads and writes program states of [DSPy](https://dspy.ai), so that prompts move between Rust and Python.
//!
//! Prompts that [promptopt](https://docs.rs/promptopt) optimized can be used in DSPy, and the other way round.
//!
//! A program state is the JSON file that `program.save("program.json")` writes in DSPy and
//! `program.load("program.json")` reads. It holds instruction and demos of every predictor, but
//! neither the names nor the types of their fields: those come from the program. So a [`Layout`]
//! says which predictors the program has, with their signatures, and where DSPy keeps each.
//!
//! ```
//! use promptopt_core::prompt::{Prompt, Prompts};
//! use promptopt_core::signature::Signature;
//! use promptopt_dspy::{DspyProgram, Layout, Versions};
//!
//! // `plan` reasons before it answers: in DSPy it is a `ChainOfThought`, kept at `plan.predict`.
//! let layout = Layout::new([
//!     ("plan", Signature::parse("question -> reasoning, steps: list[str]")?),
//!     ("answer", Signature::parse("question, steps: list[str] -> answer")?),
//! ]);
//! assert_eq!(layout.dspy_path("plan"), Some("plan.predict"));
//!
//! let mut prompts = Prompts::new();
//! prompts.insert("plan", Prompt::new("Plan in at most three steps."));
//! prompts.insert("answer", Prompt::new("Follow the plan.\nAnswer in one word."));
//! let written = DspyProgram::from_prompts(&prompts, &layout, &Versions::default())?.to_json();
//!
//! let program = DspyProgram::read(&written)?;
//! assert_eq!(program.prompts(&layout)?, prompts);
//! assert_eq!(program.to_json(), written);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To give new prompts to a file that DSPy saved, use [`DspyProgram::update`]: everything else in
//! the file (descriptions, model settings, keys of later versions) stays as it was.
//!
//! Checked against DSPy 3.4.1 (`tests/interop/run.sh` in the repository). States that are
//! pickled (`.pkl`, or a folder with the whole program) are not read.
//!
//! There are no cargo features.

mod error;
mod layout;
mod path;
mod prefix;
mod program;
mod react;
mod state;
mod versions;

pub use error::Error;
pub use layout::{LONE, Layout};
pub use program::{DspyProgram, MAX_BYTES};
pub use react::ReAct;
pub use versions::Versions;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
