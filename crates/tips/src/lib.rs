//! A library of prompting practices, chosen by what a signature shows.
//!
//! Someone who writes an instruction for a language model, be it a person or another model, does
//! better with a hint at what good instructions have: a tip. And a search over instructions does
//! better when its starting points differ: so each is written with other tips. [`PromptingTips`]
//! holds the practices as data (key, one line of text, when it applies, weight), and selects a
//! few by seed and by the [`Signature`](promptopt_core::signature::Signature) at hand: a tip about label
//! vocabulary is for signatures with a label among the outputs, a tip about clear language is
//! for all.
//!
//! ```
//! use promptopt_core::signature::Signature;
//! use promptopt_tips::{PromptingTips, Tip};
//!
//! let signature = Signature::parse("ticket -> department: enum[billing, sales, support]")?;
//! let tips = PromptingTips::default()
//!     .with_tip(Tip::new("house_style", "Write in the second person and in British English.")?)?;
//!
//! let selected = tips.select_with_seed(&signature, 7, 3);
//! assert_eq!(selected.len(), 3);
//! assert_eq!(selected, tips.select_with_seed(&signature, 7, 3));
//!
//! // What goes into the request to whoever writes the instruction.
//! println!("{}", promptopt_tips::format_for_prompt(selected));
//!
//! // There is no number to be written here, so the tip about numbers is never selected.
//! let numbers = tips.get("number_format").ok_or("there is such a tip")?;
//! assert_eq!(tips.relevance(numbers, &signature), 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
