//! Any bytes as a body: it is searched or refused, and with its findings masked it is still JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_guard::fuzzing::body(input));
