//! Any text as a file of rules: it is read or refused, and what is read can be searched with.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_guard::fuzzing::rules(input));
