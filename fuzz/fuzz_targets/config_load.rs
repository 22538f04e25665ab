//! Any bytes as a configuration: taken, or refused with a place and what to do; no variable's value is shown.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| narrows::fuzzing::config_load(data));
