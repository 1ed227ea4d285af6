//! Files of run directories.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promptopt_fuzz::run_directory(bytes));
