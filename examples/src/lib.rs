//! The examples are the binaries in `src/bin`; this library is empty.
