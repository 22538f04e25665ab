//! Keys for placeholders and fingerprints: one for each organization.

use crate::config::settings::Settings;
use narrows_guard::placeholder::Key;
use sha2::{Digest, Sha256};
use std::fmt;

/// What keys of organizations are derived from.
#[derive(Clone)]
pub(crate) struct MaskingKeys {
    root: Key,
    /// Whether the root was made at random, and so is new when the gateway starts again.
    is_random: bool,
}

impl fmt::Debug for MaskingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskingKeys").field("is_random", &self.is_random).finish_non_exhaustive()
    }
}

impl MaskingKeys {
    /// The configured key; else one that is random and stays while the gateway runs.
    pub(crate) fn new(settings: &Settings, previous: Option<&MaskingKeys>) -> MaskingKeys {
        if let Some(secret) = &settings.guard.masking_key {
            let digest = Sha256::digest(secret.reveal().as_bytes());
            return MaskingKeys { root: Key::new(digest.into()), is_random: false };
        }
        if let Some(previous) = previous.filter(|previous| previous.is_random) {
            return previous.clone();
        }
        let mut bytes = [0; 32];
        // Without randomness of the system nothing that is secret can be made: placeholders are then as guessable as the
        // time, and are placeholders all the same.
        if getrandom::fill(&mut bytes).is_err() {
            let now = format!("{:?} {:?}", std::time::SystemTime::now(), std::thread::current().id());
            bytes = Sha256::digest(now.as_bytes()).into();
        }
        MaskingKeys { root: Key::new(bytes), is_random: true }
    }

    /// The key of an organization.
    pub(super) fn of(&self, organization: &str) -> Key {
        self.root.derive("organization", organization)
    }
}
