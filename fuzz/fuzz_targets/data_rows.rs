//! Rows of data files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promptopt_fuzz::data_rows(bytes));
