//! Puts an engine together.

use super::{Engine, Version};
use crate::detector::Detector;
use crate::finding::{Class, Rule, Tier};
use crate::rules::RuleSet;
use crate::secret::Secrets;
use sha2::{Digest, Sha256};

/// Revision of the engine's own code. Whoever changes what is found in the same text with the same rules counts it up.
const REVISION: u32 = 2;

/// Most rules of an engine.
pub const MAX_ENGINE_RULES: usize = 20_000;

/// Why an engine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Two rules of a class have one name.
    #[error("two rules of the class {class} are called `{id}`")]
    Twice {
        /// The class.
        class: &'static str,
        /// The name.
        id: String,
    },
    /// There are more than [`MAX_ENGINE_RULES`].
    #[error("{0} rules, more than {MAX_ENGINE_RULES}")]
    TooMany(usize),
}

/// An engine's parts.
pub struct Builder {
    secrets: RuleSet,
    detectors: Vec<Box<dyn Detector>>,
    wanted: Box<dyn Fn(&Rule) -> bool + Send + Sync>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            secrets: RuleSet::default(),
            detectors: Vec::new(),
            wanted: Box::new(|rule| rule.class != Class::Secret || rule.tier != Tier::C),
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("secrets", &self.secrets.patterns.len()).finish_non_exhaustive()
    }
}

impl Builder {
    /// Adds rules for secrets. A set whose rule has the name of an earlier set's rule replaces that rule.
    #[must_use]
    pub fn secrets(mut self, set: RuleSet) -> Builder {
        for pattern in &mut self.secrets.patterns {
            if set.patterns.iter().any(|new| new.rule.id == pattern.rule.id) {
                pattern.silent = true;
                pattern.rule.id = format!("{}-replaced", pattern.rule.id).into();
            }
        }
        self.secrets.append(set);
        self
    }

    /// Adds a detector.
    #[must_use]
    pub fn detector(mut self, detector: impl Detector + 'static) -> Builder {
        self.detectors.push(Box::new(detector));
        self
    }

    /// Which rules count; without this, all but secrets of tier C. Other detectors have settings of their own.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Rule) -> bool + Send + Sync + 'static) -> Builder {
        self.wanted = Box::new(wanted);
        self
    }

    /// Every rule of the engine to be, in its order, before anything of it is compiled.
    pub fn rules(&self) -> Vec<Rule> {
        let secrets = self.secrets.patterns.iter().map(|pattern| pattern.rule.clone());
        secrets.chain(self.detectors.iter().flat_map(|detector| detector.rules())).collect()
    }

    /// The engine.
    pub fn build(mut self) -> Result<Engine, BuildError> {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(bytes);
        };
        part(&REVISION.to_le_bytes());
        part(self.secrets.source());
        for pattern in &mut self.secrets.patterns {
            // A rule that does not count is not even searched for, but may serve others.
            pattern.silent |= !(self.wanted)(&pattern.rule);
        }
        let secrets = Secrets::new(self.secrets);
        let mut rules: Vec<Rule> = secrets.rules().cloned().collect();
        let mut detectors = Vec::new();
        for detector in self.detectors {
            let base = u32::try_from(rules.len()).unwrap_or(u32::MAX);
            rules.extend(detector.rules());
            part(&detector.revision());
            detectors.push((base, detector));
        }
        if rules.len() > MAX_ENGINE_RULES {
            return Err(BuildError::TooMany(rules.len()));
        }
        let mut names = std::collections::HashSet::new();
        if let Some(rule) = rules.iter().find(|rule| !names.insert((rule.class, &*rule.id))) {
            return Err(BuildError::Twice { class: rule.class.as_str(), id: rule.id.to_string() });
        }
        let enabled: Vec<bool> = rules.iter().map(|rule| (self.wanted)(rule)).collect();
        for (rule, enabled) in rules.iter().zip(&enabled) {
            part(rule.class.as_str().as_bytes());
            part(rule.id.as_bytes());
            part(rule.entity.as_bytes());
            part(&[u8::from(*enabled)]);
        }
        let mut version = [0; 16];
        version.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        Ok(Engine { secrets, detectors, rules, enabled, version: Version(version) })
    }
}
