//! Any bytes as the head of a provider's answer: what is passed on is whole lines, and nothing of the connection's.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| narrows::fuzzing::upstream_head(data));
