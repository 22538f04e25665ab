//! Any bytes as an external guardrail's answer: a verdict that fits, or an error; never a pass that was not said.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_guard::remote::fuzzing::verdict(input));
