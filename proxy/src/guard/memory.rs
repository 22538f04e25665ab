//! Memory of what was found in the parts of bodies: agents send their history again with every turn.

use narrows_guard::Engine;
use narrows_guard::body::{Known, Memory};
use narrows_guard::cache::{Cache, Digest, Digester};
use narrows_guard::engine::Version;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the memory that are locked by themselves.
const SHARDS: usize = 16;

/// What a part of a body is known by. The key of the digests is secret and new with every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    organization: Digest,
    /// The member of the outermost object that it stands in: it decides who wrote what.
    name: Digest,
    part: Digest,
}

type Shard = Mutex<Cache<Part, Arc<Known>>>;

/// Findings by organization and part, of one engine's version.
pub(super) struct Findings {
    version: Version,
    capacity: usize,
    digester: Digester,
    shards: Vec<Shard>,
}

impl Findings {
    /// A memory of `capacity` bytes.
    pub(super) fn new(engine: &Engine, capacity: usize) -> Findings {
        let mut key = [0; 32];
        // Without a secret key digests could be crafted, and so nothing is remembered.
        let room = if getrandom::fill(&mut key).is_ok() { capacity / SHARDS } else { 0 };
        let shard = || Mutex::new(Cache::new(room, |known: &Arc<Known>| known.size()));
        Findings {
            version: engine.version(),
            capacity,
            digester: Digester::new(&key),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Whether it is of use to `engine`, and as large as is asked for.
    pub(super) fn fits(&self, engine: &Engine, capacity: Option<usize>) -> bool {
        self.version == engine.version() && capacity == Some(self.capacity)
    }

    /// The memory of one organization.
    pub(super) fn of(&self, organization: &str) -> OfOrganization<'_> {
        OfOrganization { findings: self, organization: self.digester.digest(organization.as_bytes()) }
    }

    /// Parts that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn shard(&self, part: &Part) -> Option<MutexGuard<'_, Cache<Part, Arc<Known>>>> {
        let at = usize::try_from(part.part.low() % SHARDS as u64).unwrap_or(0);
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The memory of one organization. No other's can be reached through it.
pub(super) struct OfOrganization<'a> {
    findings: &'a Findings,
    organization: Digest,
}

impl OfOrganization<'_> {
    fn part(&self, name: &str, part: &str) -> Part {
        let digest = |text: &str| self.findings.digester.digest(text.as_bytes());
        Part { organization: self.organization, name: digest(name), part: digest(part) }
    }
}

impl Memory for OfOrganization<'_> {
    fn recall(&self, name: &str, part: &str) -> Option<Arc<Known>> {
        let part = self.part(name, part);
        self.findings.shard(&part)?.get(&part).map(Arc::clone)
    }

    fn keep(&self, name: &str, part: &str, known: &Arc<Known>) {
        let part = self.part(name, part);
        if let Some(mut shard) = self.findings.shard(&part) {
            shard.put(part, Arc::clone(known));
        }
    }
}
