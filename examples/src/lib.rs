//! The examples are the binaries in `src/bin`; this library is empty but for the guide, which it compiles.

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide-rust.md")]
struct Guide;
