//! Behaviour across crates is tested in `tests/`; this library is empty.
