//! zlib under zlib-ng's crate name.
//!
//! Pingora asks flate2 for its zlib-ng backend, whose build script needs cmake. Narrows never compresses, so
//! the speed of that backend buys nothing; the two crates declare the same C interface, and classic zlib builds
//! with a C compiler alone.
#![no_std]

pub use libz_sys::*;
