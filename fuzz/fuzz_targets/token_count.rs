#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| narrows_tokenizer::fuzzing::count_split(input));
