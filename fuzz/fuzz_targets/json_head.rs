//! Any bytes as a request's body: judged as serde_json judges them, edited without collateral damage.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| narrows_llm::fuzzing::request::json_head(data));
