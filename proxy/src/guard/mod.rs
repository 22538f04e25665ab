//! Inspection: what is looked for in the content of every exchange, and what follows from it.
//!
//! The engine finds, the policies decide, and what is here carries bodies to the one and evidence to the other. The
//! exchange asks at its steps and does what it is told.

mod alert;
mod judge;
mod kept;
mod keys;
mod memory;
mod pieces;
pub(crate) mod remote;
mod repeats;
pub(crate) mod report;
mod restore;
mod rewrite;
mod search;
mod stream;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use alert::alert;
pub(crate) use judge::{Judged, Judging, Values};
pub(crate) use keys::MaskingKeys;
pub(crate) use pieces::{Pieces, is_media};
pub(crate) use remote::{About, Consulted, Subject};
pub(crate) use repeats::emptied;
pub(crate) use restore::minted_in;
pub(crate) use rewrite::scrub::{Scrubber, words};
pub(crate) use rewrite::{Gate, Rewrite};
pub(crate) use search::{Otherwise, Reading, Sight};
pub(crate) use stream::{Decode, Seen, Tap};

use crate::config::settings::Settings;
use memory::Findings;
use narrows_guard::Engine;
use narrows_policy::{PolicySet, Stage};
use std::sync::Arc;

/// What a rule of the engine is called in records.
pub(crate) struct Label {
    pub(crate) rule: Arc<str>,
    pub(crate) entity: Arc<str>,
    pub(crate) class: narrows_guard::Class,
}

/// Detectors and policies of one configuration.
pub(crate) struct Guard {
    pub(crate) engine: Arc<Engine>,
    pub(crate) policies: Arc<PolicySet>,
    /// By rule of the engine.
    labels: Vec<Label>,
    keys: MaskingKeys,
    /// Findings in messages that come again with every turn.
    findings: Option<Arc<Findings>>,
    /// Largest body that is inspected, in bytes.
    pub(crate) body_max: usize,
    /// External guardrails that policies name.
    pub(crate) remote: remote::Guardrails,
    /// Text of one stream that may wait for its scanner, in bytes.
    stream_queue: usize,
    /// Text of a gated stream that waits for what comes after it, in bytes.
    stream_window: usize,
}

impl Guard {
    /// Makes what `settings` describe. What was remembered stays, as long as the same detectors found it.
    ///
    /// # Errors
    /// Rules of detectors that cannot be used.
    pub(crate) fn new(settings: &Settings, previous: Option<&Guard>) -> anyhow::Result<Guard> {
        let engine = match settings.policies.is_empty() {
            // Nobody asks it anything: rules are not compiled for nothing.
            true => Arc::new(Engine::builder().build()?),
            false => settings.detection.engine().map_err(|error| anyhow::anyhow!("guard: {error}"))?,
        };
        let labels = engine.rules().iter().map(|rule| Label {
            rule: Arc::from(&*rule.id),
            entity: Arc::from(&*rule.entity),
            class: rule.class,
        });
        let capacity = settings.guard.cache;
        let kept = previous.and_then(|previous| previous.findings.as_ref());
        let kept = kept.filter(|kept| kept.fits(&engine, capacity)).map(Arc::clone);
        let findings = kept.or_else(|| capacity.map(|bytes| Arc::new(Findings::new(&engine, bytes))));
        Ok(Guard {
            labels: labels.collect(),
            keys: MaskingKeys::new(settings, previous.map(|previous| &previous.keys)),
            findings,
            body_max: settings.guard.limits.inspected_body,
            stream_queue: settings.guard.limits.stream_queue,
            stream_window: settings.guard.limits.stream_window,
            policies: settings.policies.shared(),
            remote: remote::Guardrails::default(),
            engine,
        })
    }

    /// The version of the policies.
    pub(crate) fn policy_version(&self) -> u64 {
        self.policies.version().get()
    }

    /// Whether any policy looks at any stage.
    pub(crate) fn is_idle(&self) -> bool {
        self.policies.is_empty()
    }

    fn label(&self, rule: narrows_guard::RuleIndex) -> Option<&Label> {
        self.labels.get(usize::try_from(rule.0).unwrap_or(usize::MAX))
    }
}

/// The word for a stage's content in messages to people.
pub(crate) fn content_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Request => "request",
        Stage::Response | Stage::Stream => "answer",
    }
}
