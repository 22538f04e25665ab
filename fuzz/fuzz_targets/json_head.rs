//! Any bytes as a request's body: what serde_json takes is taken, the outline is valid, edits touch nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| narrows_llm::fuzzing::request::json_head(data));
