#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_llm::fuzzing::streams::usage_hide(input));
