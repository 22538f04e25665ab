//! Single records.

use super::{Cursor, Filter, PAGE_LIMIT, Page, PageRequest, Reader};
use crate::error::LedgerError;
use crate::record::Record;
use crate::segment::unpack::unpack;
use crate::segment::{PRINT_BYTES, print_of};
use crate::store::migrate::WITH_RECORDS;
use rusqlite::{OptionalExtension, params};

/// Most records looked at for one page. A page of a rare filter is short when this is reached, and says where to go on.
const SCAN_RECORDS: usize = 200_000;

impl Reader {
    /// One page of the records that match, the last settled first.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a limit out of range, [`LedgerError::Damaged`], or a failure of the store.
    pub fn records(&self, filter: &Filter, page: PageRequest) -> Result<Page, LedgerError> {
        self.records_within(filter, page, SCAN_RECORDS)
    }

    fn records_within(&self, filter: &Filter, page: PageRequest, scan: usize) -> Result<Page, LedgerError> {
        if page.limit == 0 || page.limit > PAGE_LIMIT {
            return Err(LedgerError::BadQuery("a page has 1 to 1000 records"));
        }
        let mut found = Page { records: Vec::new(), next: None };
        if self.version < WITH_RECORDS {
            return Ok(found);
        }
        let start = page.cursor.unwrap_or(Cursor { segment: i64::MAX, before: u32::MAX });
        let mut statement = self.connection.prepare(
            "SELECT id, records, body FROM segments
             WHERE id <= ?1 AND last_at_us >= ?2 AND first_at_us < ?3 ORDER BY id DESC",
        )?;
        let (from, to) = (filter.from_us.unwrap_or(i64::MIN), filter.to_us.unwrap_or(i64::MAX));
        let mut rows = statement.query(params![start.segment, from, to])?;
        let mut scanned = 0;
        while let Some(row) = rows.next()? {
            let segment: i64 = row.get(0)?;
            let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let records =
                unpack(body, row.get(1)?).map_err(|cause| LedgerError::Damaged { segment, cause })?;
            let places = (0_u32..).zip(records).collect::<Vec<_>>();
            for (place, record) in places.into_iter().rev() {
                if segment == start.segment && place >= start.before {
                    continue;
                }
                if found.records.len() == page.limit || scanned == scan {
                    found.next = Some(Cursor { segment, before: place + 1 });
                    return Ok(found);
                }
                scanned += 1;
                if matches(filter, &record) {
                    found.records.push(record);
                }
            }
        }
        Ok(found)
    }

    /// The record with this id.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], or a failure of the store.
    pub fn record(&self, id: u128) -> Result<Option<Record>, LedgerError> {
        if self.version < WITH_RECORDS {
            return Ok(None);
        }
        let wanted = print_of(id).to_le_bytes();
        // The prints stand before the body in a row, so SQLite reads only them.
        let mut prints = self.connection.prepare("SELECT id, prints FROM segments ORDER BY id DESC")?;
        let mut rows = prints.query([])?;
        while let Some(row) = rows.next()? {
            let prints = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if prints.chunks_exact(PRINT_BYTES).any(|print| print == wanted)
                && let Some(record) = self.record_in(row.get(0)?, id)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn record_in(&self, segment: i64, id: u128) -> Result<Option<Record>, LedgerError> {
        let stored: Option<(u32, Vec<u8>)> = self
            .connection
            .query_row("SELECT records, body FROM segments WHERE id = ?1", [segment], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((count, body)) = stored else { return Ok(None) };
        let records = unpack(&body, count).map_err(|cause| LedgerError::Damaged { segment, cause })?;
        Ok(records.into_iter().find(|record| record.id == id))
    }
}

fn matches(filter: &Filter, record: &Record) -> bool {
    let caller = &*record.caller;
    let same = |wanted: &Option<String>, name: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| name.unwrap_or_default() == wanted)
    };
    filter.from_us.is_none_or(|from| record.started_at_us >= from)
        && filter.to_us.is_none_or(|to| record.started_at_us < to)
        && same(&filter.organization, Some(&caller.organization))
        && same(&filter.team, caller.team.as_deref())
        && same(&filter.user, caller.user.as_deref())
        && same(&filter.service_account, caller.service_account.as_deref())
        && same(&filter.project, caller.project.as_deref())
        && same(&filter.key, caller.key_id.as_deref())
        && same(&filter.model, record.model_sent.as_deref())
        && same(&filter.provider, record.provider.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, LedgerOptions, sample};
    use std::time::Duration;

    #[test]
    fn a_page_ends_at_the_scan_limit_and_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
        (0..20).for_each(|number| ledger.submit(sample::record(number)));
        ledger.flush(Duration::from_secs(60)).unwrap();
        let reader = ledger.reader().unwrap();
        let rare = Filter { user: Some("nobody".into()), ..Filter::default() };
        let page =
            |scan| reader.records_within(&rare, PageRequest { limit: 10, cursor: None }, scan).unwrap();
        assert_eq!(page(20), Page { records: Vec::new(), next: None }, "at the limit everything was seen");
        let short = page(19);
        let next = short.next.unwrap();
        assert!(short.records.is_empty());
        let rest = reader.records(&Filter::default(), PageRequest { limit: 10, cursor: Some(next) }).unwrap();
        assert_eq!(rest.records, [sample::record(0)], "only the oldest was left");
    }
}
