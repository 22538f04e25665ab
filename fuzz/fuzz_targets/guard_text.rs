//! Any text: hits are in it, a stream of it finds the same, and what is masked comes back.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_guard::fuzzing::text(input));
