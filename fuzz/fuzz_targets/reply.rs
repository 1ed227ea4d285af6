//! Replies of models.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promptopt_fuzz::reply(bytes));
