//! The examples are the binaries in `src/bin`. Here is what they share, and pages of the documentation, which are compiled.

mod sealed;
mod session;
pub mod stand_in;

pub use sealed::sealed_test;
pub use session::Session;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide-rust.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../docs/rust-compared.md")]
struct Compared;

#[cfg(doctest)]
#[doc = include_str!("../../docs/tracing.md")]
struct Traces;

#[cfg(doctest)]
#[doc = include_str!("../../docs/production.md")]
struct Production;
