#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_sse::fuzzing::sse_split(input));
