//! How a guardrail describes itself to configuration, documentation and tests.

use super::error::RemoteError;
use super::input::Stage;
use thiserror::Error;

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, from and to inclusive.
    Count(u64, u64),
    /// A number from 0 to 1.
    Share,
    /// A list of texts.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number for each name.
    Numbers,
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Its name, as in the configuration.
    pub name: &'static str,
    /// Whether there is no default.
    pub required: bool,
    /// Its value.
    pub shape: Shape,
    /// What it means, and its default.
    pub description: &'static str,
}

/// A kind of guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The stable name, as in configuration, records and metrics.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// The vendor's page on the contract, with the date it was read.
    pub documentation: &'static str,
    /// What it takes to sign in, for people.
    pub credential: &'static str,
    /// The settings beside address and credential.
    pub needs: &'static [Need],
    /// When it can be asked.
    pub stages: &'static [Stage],
    /// Whether it can say how the text may go on.
    pub masks: bool,
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// No guardrail has this name.
    #[error("no guardrail is called {0:?}")]
    UnknownKind(String),
    /// A value is missing, unknown, of the wrong type or out of its range.
    #[error("{kind}: {message}")]
    Invalid {
        /// The guardrail.
        kind: &'static str,
        /// What is wrong; quotes settings, which hold no credentials.
        message: String,
    },
}

/// Both directions.
pub(crate) const BOTH: &[Stage] = &[Stage::Input, Stage::Output];

/// A setting that has a default.
pub(crate) const fn optional(name: &'static str, shape: Shape, description: &'static str) -> Need {
    Need { name, required: false, shape, description }
}

/// A setting without a default.
pub(crate) const fn required(name: &'static str, shape: Shape, description: &'static str) -> Need {
    Need { name, required: true, shape, description }
}

/// What every codec's settings can do.
pub(crate) trait Check {
    /// What serde cannot see: ranges, texts that are empty, settings that exclude one another.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The vendor's public address, where it has one.
    fn base(&self) -> Option<String> {
        None
    }
}

/// An error for a text that is empty.
pub(crate) fn not_empty(name: &str, value: &str) -> Result<(), String> {
    match value.trim().is_empty() {
        true => Err(format!("{name} is empty")),
        false => Ok(()),
    }
}

/// An error for a number that is no share.
pub(crate) fn share(name: &str, value: f64) -> Result<(), String> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is not between 0 and 1")),
    }
}

/// What codecs give.
pub(crate) type Given<T> = Result<T, RemoteError>;
