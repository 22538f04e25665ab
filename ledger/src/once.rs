//! Requests that are done once however often they are sent: what is remembered of them.

use crate::db::{OptionalExtension, params};
use crate::error::LedgerError;
use crate::keystore::KeyStore;
use std::time::Duration;

/// How long a request is not done again.
pub const ONCE_LIFETIME: Duration = Duration::from_secs(86_400);
/// Most requests that are remembered at a time.
pub const ONCE_MAX: usize = 100_000;

/// Whether a request was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Never; from now on it was.
    First,
    /// It was begun at this time, UTC microseconds since the epoch.
    Before {
        /// When.
        at_us: i64,
    },
    /// Another request has this name.
    Other,
}

impl KeyStore {
    pub(crate) fn begin_once(
        &self,
        actor: &str,
        name: &str,
        fingerprint: &[u8; 32],
    ) -> Result<Begun, LedgerError> {
        self.begin_once_within(actor, name, fingerprint, ONCE_MAX)
    }

    fn begin_once_within(
        &self,
        actor: &str,
        name: &str,
        fingerprint: &[u8; 32],
        limit: usize,
    ) -> Result<Begun, LedgerError> {
        self.change(|transaction, now| {
            let lifetime_us = i64::try_from(ONCE_LIFETIME.as_micros()).unwrap_or(i64::MAX);
            transaction
                .prepare_cached("DELETE FROM begun_once WHERE at_us <= ?1")?
                .execute([now.saturating_sub(lifetime_us)])?;
            let known: Option<([u8; 32], i64)> = transaction
                .prepare_cached("SELECT fingerprint, at_us FROM begun_once WHERE actor = ?1 AND name = ?2")?
                .query_row([actor, name], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((before, at_us)) = known {
                return Ok(if before == *fingerprint { Begun::Before { at_us } } else { Begun::Other });
            }
            let count: i64 = transaction
                .prepare_cached("SELECT count(*) FROM begun_once")?
                .query_row([], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= limit {
                return Err(LedgerError::TooManyOnce { limit });
            }
            transaction
                .prepare_cached("INSERT INTO begun_once VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![actor, name, fingerprint, now])?;
            Ok(Begun::First)
        })
    }

    pub(crate) fn forget_once(&self, actor: &str, name: &str) -> Result<(), LedgerError> {
        let connection = self.lock();
        connection.execute("DELETE FROM begun_once WHERE actor = ?1 AND name = ?2", [actor, name])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, LedgerOptions};

    #[test]
    fn a_request_is_first_once_until_it_is_forgotten_or_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.db");
        let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
        let begin = |actor, print| ledger.begin_once(actor, "k", &[print; 32]).unwrap();
        assert_eq!(begin("a", 1), Begun::First);
        assert!(matches!(begin("a", 1), Begun::Before { at_us } if at_us > 0));
        assert_eq!((begin("a", 2), begin("b", 2)), (Begun::Other, Begun::First));
        let other = Ledger::open(&path, LedgerOptions::default()).unwrap();
        assert!(matches!(other.begin_once("a", "k", &[1; 32]).unwrap(), Begun::Before { .. }));
        ledger.forget_once("a", "k").unwrap();
        assert_eq!(begin("a", 2), Begun::First);
        // As if it had been a day ago, but for a second.
        let lifetime_us = i64::try_from(ONCE_LIFETIME.as_micros()).unwrap();
        let age = |us: i64| {
            let store = rusqlite::Connection::open(&path).unwrap();
            store.execute("UPDATE begun_once SET at_us = at_us - ?1", [us]).unwrap();
        };
        age(lifetime_us - 60_000_000);
        assert!(matches!(begin("a", 2), Begun::Before { .. }));
        age(60_000_000);
        assert_eq!(begin("a", 2), Begun::First);
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
        let begin = |name: &str| ledger.keys.begin_once_within("a", name, &[1; 32], 2);
        assert_eq!((begin("1").unwrap(), begin("2").unwrap()), (Begun::First, Begun::First));
        assert!(matches!(begin("3"), Err(LedgerError::TooManyOnce { limit: 2 })));
        assert!(matches!(begin("1").unwrap(), Begun::Before { .. }), "the known are still known");
    }
}
