//! Text in, findings out.
//!
//! This crate finds secrets, personal data and prompt injection in text, replaces what was found, and puts it back.
//! It knows neither providers nor HTTP nor policy: whoever calls it says which text there is and where it came from, and
//! decides what a finding means. Everything here is pure: no sockets, files, clocks or environment.

mod anchor;
pub mod body;
pub mod cache;
pub mod classifier;
pub mod detector;
pub mod engine;
pub mod evidence;
pub mod finding;
pub mod fold;
#[doc(hidden)]
pub mod fuzzing;
pub mod json;
pub mod mask;
pub mod placeholder;
pub mod regex;
pub mod remote;
pub mod rules;
pub mod secret;
pub mod stream;
pub mod unmask;
pub mod window;

pub use detector::Detector;
pub use engine::{Builder, Engine, Scanned, Scratch, Version};
pub use finding::{Class, Hit, Provenance, Rule, RuleIndex, Tier};
