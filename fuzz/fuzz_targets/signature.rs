//! Signatures and types.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promptopt_fuzz::signature(bytes));
