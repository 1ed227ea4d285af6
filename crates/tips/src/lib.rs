//! Tips for whoever writes an instruction for a language model: a library of prompting practices.
//!
//! A writer, be it a person or another model, does better with a hint at what good instructions have. And a search over
//! instructions does better when its starting points differ, so each is written with other tips. [`PromptingTips`]
//! holds the practices as data (key, one line of text, when it applies, weight). It selects a few by seed and by the
//! [`Signature`](promptopt_core::signature::Signature) at hand, which names and types what the model gets and gives: a
//! tip about labels is for signatures with a label among the outputs, a tip about clear language is for all.
//!
//! The optimizer `miprov2` of [promptopt](https://docs.rs/promptopt) writes its instructions with them. This crate
//! works alone.
//!
//! ```
//! use promptopt_core::signature::Signature;
//! use promptopt_tips::{PromptingTips, Tip, format_for_prompt};
//!
//! let signature = Signature::parse("ticket -> department: enum[billing, sales, support]")?;
//! let tips = PromptingTips::default()
//!     .with_tip(Tip::new("house_style", "Write in the second person and in British English.")?)?;
//!
//! // Three tips for this signature. The same seed gives the same tips.
//! let selected = tips.select_with_seed(&signature, 7, 3);
//! assert_eq!(selected.len(), 3);
//! assert_eq!(selected, tips.select_with_seed(&signature, 7, 3));
//!
//! // What goes into the request to whoever writes the instruction.
//! println!("{}", format_for_prompt(selected));
//!
//! // There is no number to be written here, so the tip about numbers is never selected.
//! let numbers = tips.get("number_format").ok_or("there is such a tip")?;
//! assert_eq!(tips.relevance(numbers, &signature), 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There are no cargo features.

mod error;
mod library;
mod practices;
mod select;
mod sign;
mod tip;

pub use error::TipError;
pub use library::PromptingTips;
pub use sign::Sign;
pub use tip::{Applies, MAX_KEY_CHARS, MAX_TEXT_CHARS, MAX_WEIGHT, Tip, format_for_prompt};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
