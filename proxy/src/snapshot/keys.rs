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

    /// The line of the first that is not put aside; of the one whose time ends first, if all are.
    pub(super) fn line(&self, family: usize) -> Option<&Bytes> {
        let first = self.keys.first()?;
        // The usual case costs one read of memory and no look at the clock.
        let key = if first.aside_until.load(Ordering::Relaxed) == 0 {
            first
        } else {
            let now = now_ms();
            let ends = |key: &&Key| key.aside_until.load(Ordering::Relaxed);
            let usable = self.keys.iter().find(|key| !key.is_aside(now));
            usable.or_else(|| self.keys.iter().min_by_key(ends)).unwrap_or(first)
        };
        key.lines.get(family)
    }

    /// Notes an answer of the provider to a request with this line. After a refusal: the line of another key that is
    /// not put aside. A 401 is about the key, which is put aside for everybody; a 403 can be about what this one request
    /// asks for, and any caller can bring it about.
    pub(super) fn answered(&self, line: &Bytes, family: usize, status: u16) -> Option<&Bytes> {
        match status {
            401 => self.refused(line, family, true),
            403 => self.refused(line, family, false),
            ..=399 => {
                self.accepted(line, family);
                None
            }
            _ => None,
        }
    }

    /// Forgets that a key was put aside, when it was used nevertheless and is taken. An answer that was under way when
    /// the key was put aside says nothing: while another key is in use it does not count.
    fn accepted(&self, line: &Bytes, family: usize) {
        // The usual case costs one read of memory for each key and no look at the clock.
        let known =
            |key: &&Key| key.aside_until.load(Ordering::Relaxed) != 0 && key.lines.get(family) == Some(line);
        let Some(key) = self.keys.iter().find(known) else { return };
        let now = now_ms();
        if !key.is_aside(now) || self.keys.iter().all(|key| key.is_aside(now)) {
            key.aside_until.store(0, Ordering::Relaxed);
        }
    }

    fn refused(&self, line: &Bytes, family: usize, put_aside: bool) -> Option<&Bytes> {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if self.keys.len() < 2 {
            return None;
        }
        let now = now_ms();
        let until = now.saturating_add(u64::try_from(ASIDE.as_millis()).unwrap_or(u64::MAX));
        let is = |key: &&Key| key.lines.get(family) == Some(line);
        if let Some(key) = self.keys.iter().find(is).filter(|_| put_aside) {
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
        assert_eq!(keys.answered(line, 0, 401).unwrap(), "old");
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.aside()), (&b"old"[..], vec![1]));
        assert!(keys.answered(&Bytes::from_static(b"old"), 0, 401).is_none(), "both were refused");
        assert_eq!(keys.line(0).unwrap(), "new", "and the first is asked for again");
        assert_eq!((keys.refusals(), keys.aside()), (2, vec![1, 2]));
    }

    #[test]
    fn what_a_caller_may_not_have_puts_no_key_aside() {
        let keys = Keys::new(vec![lines("new"), lines("old")], None);
        let (new, old) = (Bytes::from_static(b"new"), Bytes::from_static(b"old"));
        for _ in 0..3 {
            assert_eq!(keys.answered(&new, 0, 403).unwrap(), "old", "this request tries the other");
            assert_eq!(keys.answered(&old, 0, 403).unwrap(), "new");
        }
        assert!(keys.answered(&new, 0, 500).is_none() && keys.answered(&new, 0, 429).is_none());
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.aside(), keys.refusals()), (&b"new"[..], vec![], 6));
    }

    #[test]
    fn of_those_that_are_put_aside_the_one_is_used_whose_time_ends_first() {
        let keys = Keys::new(vec![lines("new"), lines("old")], None);
        let (now, far) = (now_ms(), 1_000_000);
        keys.keys[0].aside_until.store(now + 2 * far, Ordering::Relaxed);
        keys.keys[1].aside_until.store(now + far, Ordering::Relaxed);
        assert_eq!(keys.line(0).unwrap(), "old");
        // It is taken after all: it stays in use, and the other where it is.
        assert!(keys.answered(&Bytes::from_static(b"old"), 0, 200).is_none());
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.aside()), (&b"old"[..], vec![1]));
        // An answer to a request from before the first was put aside brings it not back.
        assert!(keys.answered(&Bytes::from_static(b"new"), 0, 200).is_none());
        assert_eq!(keys.aside(), [1]);
    }

    #[test]
    fn what_was_put_aside_stays_so_in_the_next_snapshot() {
        let keys = Keys::new(vec![lines("new"), lines("old")], None);
        keys.answered(&Bytes::from_static(b"new"), 0, 401);
        let next = Keys::new(vec![lines("newer"), lines("new")], Some(&keys));
        assert_eq!(
            (next.line(0).unwrap().as_ref(), next.aside(), next.refusals()),
            (&b"newer"[..], vec![2], 1)
        );
    }

    #[test]
    fn one_alone_is_never_put_aside() {
        let keys = Keys::new(vec![lines("only")], None);
        assert!(keys.answered(&Bytes::from_static(b"only"), 0, 401).is_none());
        assert_eq!((keys.line(0).unwrap().as_ref(), keys.refusals()), (&b"only"[..], 1));
        assert!(Keys::new(Vec::new(), None).line(0).is_none());
    }
}
