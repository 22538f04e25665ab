//! Narrows: the AI gateway.

pub mod config;
