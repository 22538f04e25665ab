//! Any bytes as a chunked body: however they are cut, the same comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| narrows::fuzzing::upstream_body(data));
