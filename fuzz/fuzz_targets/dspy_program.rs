//! Program states of DSPy.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promptopt_fuzz::dspy_program(bytes));
