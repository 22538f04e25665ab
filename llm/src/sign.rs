//! Signatures over finished requests, for providers and services that take no bearer token.
//!
//! Pure: the time is an argument, and who holds the credentials is the caller's affair.

pub mod sigv4;
