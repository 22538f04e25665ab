//! Prompts and answers, where an operator wants them kept: whose, what of an exchange, and how it gets to the ledger.
//!
//! Where nobody's are kept an exchange asks once and does nothing. Where somebody's are, the bodies that pass anyway are
//! held on to, within the budget of buffered bytes, and handed to the ledger's thread when the exchange has ended; what
//! takes time (decoding, masking secrets, sealing) happens there.

mod capture;
pub(crate) mod export;
pub(crate) mod view;

#[cfg(test)]
mod tests;

pub(crate) use capture::Capture;

use crate::config::settings::{KeepRule, Settings, Sides};
use crate::credentials;
use crate::credentials::seal::MasterKey;
use crate::guard::Scrubber;
use anyhow::Context;
use narrows_guard::Engine;
use narrows_guard::detector::secret;
use narrows_policy::Caller;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The built-in rules for secrets, compiled when content is kept for the first time.
static SECRETS: LazyLock<Result<Arc<Engine>, String>> = LazyLock::new(|| {
    let rules = secret::built_in().map_err(|error| error.to_string())?;
    Engine::builder().secrets(rules).build().map(Arc::new).map_err(|error| error.to_string())
});

/// Whose content is kept, under one configuration.
pub(crate) struct Keeping {
    rules: Vec<KeepRule>,
    /// Masks secrets in what is kept; absent while nothing is.
    scrubber: Option<Arc<Scrubber>>,
    /// What seals and opens content, if there is one.
    master: Option<Arc<MasterKey>>,
}

/// What is to be kept of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) sides: Sides,
    pub(crate) retention: Duration,
    /// Most bytes of a side.
    pub(crate) bytes_max: usize,
}

impl Keeping {
    /// What `settings` say.
    ///
    /// # Errors
    /// Content is to be kept and there is no master key.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Keeping> {
        let rules = settings.content.keep.clone();
        let keeps = settings.content.keep.iter().any(|rule| rule.store);
        let given = credentials::master_key(settings.master_key.as_ref()).map(Arc::new);
        // Without one, what was kept before stays closed.
        let master = match given {
            Ok(master) => Some(master),
            Err(cause) if keeps => {
                return Err(anyhow::anyhow!(cause))
                    .context("content.keep: prompts and answers are kept sealed only");
            }
            Err(_none) => None,
        };
        let scrubber = if keeps { Some(Arc::new(scrubber(settings)?)) } else { None };
        Ok(Keeping { rules, scrubber, master })
    }

    /// Whether nobody's content is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.scrubber.is_none()
    }

    /// What masks secrets.
    pub(crate) fn scrubber(&self) -> Option<&Arc<Scrubber>> {
        self.scrubber.as_ref()
    }

    /// The key that seals and opens content.
    pub(crate) fn master(&self) -> Option<&Arc<MasterKey>> {
        self.master.as_ref()
    }

    /// What is to be kept of a caller's exchange. A rule against it wins; of those for it the first.
    pub(crate) fn terms(&self, caller: &Caller) -> Option<Terms> {
        let mut found = None;
        for rule in self.rules.iter().filter(|rule| is_about(rule, caller)) {
            let KeepRule { store, sides, retention, max_bytes, .. } = *rule;
            if !store {
                return None;
            }
            found.get_or_insert(Terms { sides, retention, bytes_max: max_bytes });
        }
        found
    }
}

/// Whether a rule is about a caller.
fn is_about(rule: &KeepRule, caller: &Caller) -> bool {
    let KeepRule { organization, team, user, service_account, application, .. } = rule;
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    let named = caller.metadata.iter().find(|(name, _)| name == "application");
    is(organization, Some(&caller.organization))
        && is(team, caller.team.as_deref())
        && is(user, caller.user.as_deref())
        && is(service_account, caller.service_account.as_deref())
        && is(application, named.map(|(_, value)| value.as_str()))
}

/// The built-in rules, whatever the configuration makes of them, and what it adds.
fn scrubber(settings: &Settings) -> anyhow::Result<Scrubber> {
    let known = LazyLock::force(&SECRETS).clone().map_err(|error| anyhow::anyhow!("content: {error}"))?;
    let mut engines = vec![known];
    if !settings.policies.is_empty() {
        engines.push(settings.detection.engine().map_err(|error| anyhow::anyhow!("guard: {error}"))?);
    }
    Ok(Scrubber::new(engines))
}
