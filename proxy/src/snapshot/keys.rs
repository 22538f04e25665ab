//! The gateway's own credentials for one provider: the first that it takes.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a credential that was refused is put aside, if there is another.
pub(crate) const ASIDE: Duration = Duration::from_secs(300);

/// One dialect of each family wants another header.
const FAMILIES: usize = super::FAMILIES.len();

/// Header lines, ready to be sent. They hold secrets: never printed.
pub(crate) struct Keys {
    keys: Vec<Key>,
    /// Refusals since the start, carried on from snapshot to snapshot.
    refusals: Arc<AtomicU64>,
}

struct Key {
    lines: [Bytes; FAMILIES],
    /// Until when it is put aside, in milliseconds on [`now_ms`]; 0 when it is not.
    aside_until: AtomicU64,
}

impl Keys {
    /// Takes header lines in the order in which they are to be used. What was put aside before stays so.
    pub(super) fn new(lines: Vec<[Bytes; FAMILIES]>, before: Option<&Keys>) -> Keys {
        let aside = |lines: &[Bytes; FAMILIES]| {
            let known = before?.keys.iter().find(|key| key.lines == *lines)?;
            Some(known.aside_until.load(Ordering::Relaxed))
        };
        let key = |lines| Key { aside_until: AtomicU64::new(aside(&lines).unwrap_or(0)), lines };
        Keys {
            keys: lines.into_iter().map(key).collect(),
            refusals: before.map(|before| Arc::clone(&before.refusals)).unwrap_or_default(),
        }
    }

    /// The line of the first that is not put aside; of the first of all, if all are.
    pub(super) fn line(&self, family: usize) -> Option<&Bytes> {
        let first = self.keys.first()?;
        // The usual case costs one read of memory and no look at the clock.
        let key = if first.aside_until.load(Ordering::Relaxed) == 0 {
            first
        } else {
            let now = now_ms();
            self.keys.iter().find(|key| !key.is_aside(now)).unwrap_or(first)
        };
        key.lines.get(family)
    }

    /// Notes a refusal; the line of another key that is not put aside.
    pub(super) fn refused(&self, line: &Bytes, family: usize) -> Option<&Bytes> {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if self.keys.len() < 2 {
            return None;
        }
        let now = now_ms();
        let until = now.saturating_add(u64::try_from(ASIDE.as_millis()).unwrap_or(u64::MAX));
        let is = |key: &&Key| key.lines.get(family) == Some(line);
        if let Some(key) = self.keys.iter().find(is) {
            key.aside_until.store(until, Ordering::Relaxed);
        }
        let other = self.keys.iter().find(|key| !is(key) && !key.is_aside(now))?;
        other.lines.get(family)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Positions, from 1, of those that are put aside.
    pub(crate) fn aside(&self) -> Vec<usize> {
        let now = now_ms();
        let numbered = (1..).zip(&self.keys);
        numbered.filter(|(_, key)| key.is_aside(now)).map(|(number, _)| number).collect()
    }

    /// How often one was refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

impl Key {
    fn is_aside(&self, now_ms: u64) -> bool {
        self.aside_until.load(Ordering::Relaxed) > now_ms
    }
}

/// Milliseconds since the first call, from 1: 0 says "never".
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> [Bytes; FAMILIES] {
        std::array::from_fn(|_| Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_first_is_used_until_it_is_refused() {
        let keys = Keys::new(vec![lines("new"), lines("old")], None);
        let line = keys.line(0).unwrap();
        assert_eq!(line, "new");
        assert_eq!(keys.refused(line, 0).unwrap(), "old");
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.aside()), (&b"old"[..], vec![1]));
        assert!(keys.refused(&Bytes::from_static(b"old"), 0).is_none(), "both were refused");
        assert_eq!(keys.line(0).unwrap(), "new", "and the first is asked for again");
        assert_eq!((keys.refusals(), keys.aside()), (2, vec![1, 2]));
    }

    #[test]
    fn what_was_put_aside_stays_so_in_the_next_snapshot() {
        let keys = Keys::new(vec![lines("new"), lines("old")], None);
        keys.refused(&Bytes::from_static(b"new"), 0);
        let next = Keys::new(vec![lines("newer"), lines("new")], Some(&keys));
        assert_eq!(
            (next.line(0).unwrap().as_ref(), next.aside(), next.refusals()),
            (&b"newer"[..], vec![2], 1)
        );
    }

    #[test]
    fn one_alone_is_never_put_aside() {
        let keys = Keys::new(vec![lines("only")], None);
        assert!(keys.refused(&Bytes::from_static(b"only"), 0).is_none());
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.refusals()), (&b"only"[..], 1));
        assert!(Keys::new(Vec::new(), None).line(0).is_none());
    }
}
