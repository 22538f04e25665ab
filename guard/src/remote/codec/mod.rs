//! One file for each guardrail: its settings, its calls, its verdicts.

pub mod crowdstrike_aidr;
pub mod presidio;
pub mod webhook;
