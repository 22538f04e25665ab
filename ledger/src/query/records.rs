//! Single records.

use super::hours::Hours;
use super::search::Search;
use super::{Cursor, Filter, PAGE_LIMIT, Page, PageRequest, Reader};
use crate::db::{self, Connection, OptionalExtension, Row, params};
use crate::error::LedgerError;
use crate::record::Record;
use crate::rollup::hour_of;
use crate::segment::parts::{self, Part};
use crate::segment::unpack::unpack;
use crate::segment::{PRINT_BYTES, print_of};
use crate::store;
use crate::store::migrate::{WITH_CONTENT, WITH_PERIODS, WITH_RECORDS, WITH_REPORTS};
use crate::store::records::unrolled_ids;
use std::collections::HashSet;

/// Most records looked at for one page. A page of a rare filter is short when this is reached, and says where to go on.
const SCAN_RECORDS: usize = 200_000;
/// Most segments that are passed over for one page, because nothing that is wanted can be in them.
const SCAN_SEGMENTS: usize = 1_000_000;
/// How far from the time in its id an exchange may have begun, in microseconds.
const ID_TIME_SLACK_US: i64 = 60_000_000;

/// How much is looked at for one page.
#[derive(Clone, Copy)]
struct Scan {
    records: usize,
    segments: usize,
}

/// What of a segment is known without reading its records.
struct Head {
    id: i64,
    first_at_us: i64,
    last_at_us: i64,
}

impl Head {
    fn of(row: &Row<'_>) -> db::Result<Head> {
        Ok(Head { id: row.get(0)?, first_at_us: row.get(1)?, last_at_us: row.get(2)? })
    }
}

/// Where records that match can be.
struct Places {
    from_us: i64,
    to_us: i64,
    /// The hours that have sums of matching groups; `None` is any hour.
    hours: Option<Hours>,
    /// Segments that have no sums yet.
    unsummed: HashSet<i64>,
}

impl Places {
    fn may_have(&mut self, view: &Connection, head: &Head) -> db::Result<bool> {
        if head.last_at_us < self.from_us || head.first_at_us >= self.to_us {
            return Ok(false);
        }
        match &mut self.hours {
            Some(hours) if !self.unsummed.contains(&head.id) => {
                hours.any(view, hour_of(head.first_at_us)..=hour_of(head.last_at_us))
            }
            _ => Ok(true),
        }
    }
}

/// Segments whose records are handed out, each by what it was made of, the oldest first.
#[derive(Default)]
struct Open(Vec<Vec<(i64, Vec<Record>)>>);

impl Open {
    /// Takes the newest part whose id is larger than this.
    fn newest_after(&mut self, id: i64) -> Option<(i64, Vec<Record>)> {
        self.0.retain(|parts| !parts.is_empty());
        let newest = |parts: &Vec<(i64, Vec<Record>)>| parts.last().map(|(part, _)| *part);
        let parts = self.0.iter_mut().max_by_key(|parts| newest(parts))?;
        parts.pop_if(|(part, _)| *part > id)
    }
}

impl Reader {
    /// One page of the records that match, the last settled first.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn records(&self, filter: &Filter, page: PageRequest) -> Result<Page, LedgerError> {
        self.search(&Search { filter: filter.clone(), ..Search::default() }, page)
    }

    /// One page of the records that match, the last settled first. What sums are kept by is looked for in the hours alone
    /// that have some; the rest is looked at record by record, up to a limit for one page.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a limit out of range, [`LedgerError::Damaged`], or a failure of the store.
    pub fn search(&self, search: &Search, page: PageRequest) -> Result<Page, LedgerError> {
        self.search_within(search, page, Scan { records: SCAN_RECORDS, segments: SCAN_SEGMENTS })
    }

    fn search_within(&self, search: &Search, page: PageRequest, scan: Scan) -> Result<Page, LedgerError> {
        if page.limit == 0 || page.limit > PAGE_LIMIT {
            return Err(LedgerError::BadQuery("a page has 1 to 1000 records"));
        }
        let mut found = Page { records: Vec::new(), next: None };
        if self.version < WITH_RECORDS {
            return Ok(found);
        }
        let view = self.connection.unchecked_transaction()?;
        let mut places = self.places(search)?;
        let start = page.cursor.unwrap_or(Cursor { segment: i64::MAX, before: u32::MAX });
        let mut open = Open::default();
        for head in self.around(&view, start.segment)? {
            if places.may_have(&view, &head)? {
                open.0.push(self.parts_of(&view, head.id, start.segment)?);
            }
        }
        let mut heads = view.prepare(&self.heads("WHERE id <= ?1 ORDER BY id DESC"))?;
        let mut rows = heads.stream([start.segment])?;
        let (mut scanned, mut passed) = (0, 0);
        loop {
            let head = rows.next()?.map(|row| Head::of(&row)).transpose()?;
            // What the last segments were made of may have come before this one and after.
            while let Some((id, records)) = open.newest_after(head.as_ref().map_or(i64::MIN, |head| head.id))
            {
                for (place, record) in (0_u32..).zip(records).collect::<Vec<_>>().into_iter().rev() {
                    if id == start.segment && place >= start.before {
                        continue;
                    }
                    if found.records.len() == page.limit || scanned == scan.records {
                        found.next = Some(Cursor { segment: id, before: place + 1 });
                        return Ok(found);
                    }
                    scanned += 1;
                    if search.matches(&record) {
                        found.records.push(self.with_content(record)?);
                    }
                }
            }
            let Some(head) = head else { return Ok(found) };
            if places.may_have(&view, &head)? {
                open.0.push(self.parts_of(&view, head.id, start.segment)?);
                continue;
            }
            passed += 1;
            if passed > scan.segments {
                found.next = Some(Cursor { segment: head.id, before: u32::MAX });
                return Ok(found);
            }
        }
    }

    /// The segments with larger ids than this that may be made of one with this id or a smaller one: of each writer the next.
    fn around(&self, view: &Connection, id: i64) -> Result<Vec<Head>, LedgerError> {
        if self.version < WITH_PERIODS || id == i64::MAX {
            return Ok(Vec::new());
        }
        let sql = match view {
            Connection::Sqlite(_) => self.heads("WHERE id > ?1 ORDER BY id LIMIT 1"),
            Connection::Postgres(_) => {
                "SELECT next.id, first_at_us, last_at_us FROM writers CROSS JOIN LATERAL
                (SELECT id, first_at_us, last_at_us, parts FROM segments WHERE writer = writers.id AND id > ?1
                 ORDER BY id LIMIT 1) AS next WHERE next.parts IS NOT NULL"
                    .to_owned()
            }
        };
        Ok(view.prepare_cached(&sql)?.query_map([id], Head::of)?.collect::<db::Result<_>>()?)
    }

    /// The records of a segment by the segments that it was made of, the oldest first: of those with ids up to `last`.
    fn parts_of(
        &self,
        view: &Connection,
        segment: i64,
        last: i64,
    ) -> Result<Vec<(i64, Vec<Record>)>, LedgerError> {
        let made_of = if self.version >= WITH_PERIODS { "parts" } else { "NULL" };
        let sql = format!("SELECT records, body, {made_of} FROM segments WHERE id = ?1");
        let mut statement = view.prepare_cached(&sql)?;
        let mut rows = statement.query([segment])?;
        let Some(row) = rows.next()? else { return Ok(Vec::new()) };
        let (count, made_of): (u32, Option<Vec<u8>>) = (row.get(0)?, row.get(2)?);
        let damaged = |cause| LedgerError::Damaged { segment, cause };
        let parts = match made_of {
            None => vec![Part { id: segment, records: count }],
            Some(made_of) => parts::decode(&made_of, count).map_err(damaged)?,
        };
        if parts.first().is_none_or(|part| part.id > last) {
            return Ok(Vec::new());
        }
        let mut records = unpack(row.get_ref(1)?.as_blob()?, count).map_err(damaged)?.into_iter();
        let mut take = |part: Part| (part.id, records.by_ref().take(part.records as usize).collect());
        Ok(parts.into_iter().take_while(|part| part.id <= last).map(&mut take).collect())
    }

    /// Reads of segments what is in their index, where there is one.
    fn heads(&self, which: &str) -> String {
        let index = if self.version >= WITH_REPORTS { "INDEXED BY segments_by_time" } else { "" };
        format!("SELECT id, first_at_us, last_at_us FROM segments {index} {which}")
    }

    fn places(&self, search: &Search) -> Result<Places, LedgerError> {
        let filter = &search.filter;
        let mut places = Places {
            from_us: filter.from_us.unwrap_or(i64::MIN),
            to_us: filter.to_us.unwrap_or(i64::MAX),
            hours: None,
            unsummed: unrolled_ids(&self.connection)?,
        };
        if self.version >= WITH_REPORTS {
            places.hours = self.hours_of(search)?;
        }
        Ok(places)
    }

    /// Hands on every record that matches, in the order in which they were stored (each writer's, where several write). Reads all segments of the time asked for,
    /// in one consistent view.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], or a failure of the store.
    pub fn each(&self, filter: &Filter, take: &mut dyn FnMut(&Record)) -> Result<(), LedgerError> {
        if self.version < WITH_RECORDS {
            return Ok(());
        }
        let search = Search { filter: filter.clone(), ..Search::default() };
        let (from, to) = (filter.from_us.unwrap_or(i64::MIN), filter.to_us.unwrap_or(i64::MAX));
        let view = self.connection.unchecked_transaction()?;
        let mut statement = view.prepare(
            "SELECT id, records, body FROM segments WHERE last_at_us >= ?1 AND first_at_us < ?2 ORDER BY id",
        )?;
        let mut rows = statement.stream(params![from, to])?;
        while let Some(row) = rows.next()? {
            let segment: i64 = row.get(0)?;
            let body = row.get_ref(2)?.as_blob()?;
            let records =
                unpack(body, row.get(1)?).map_err(|cause| LedgerError::Damaged { segment, cause })?;
            records.iter().filter(|record| search.matches(record)).for_each(&mut *take);
        }
        Ok(())
    }

    /// The record with this id.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], or a failure of the store.
    pub fn record(&self, id: u128) -> Result<Option<Record>, LedgerError> {
        if self.version < WITH_RECORDS {
            return Ok(None);
        }
        let view = self.connection.unchecked_transaction()?;
        if let Some(record) = self.record_by_time(&view, id)? {
            return self.with_content(record).map(Some);
        }
        let wanted = print_of(id).to_le_bytes();
        // The prints stand before the body in a row, so SQLite reads only them.
        let mut prints = view.prepare("SELECT id, prints FROM segments ORDER BY id DESC")?;
        let mut rows = prints.stream([])?;
        while let Some(row) = rows.next()? {
            let prints = row.get_ref(1)?.as_blob()?;
            if prints.chunks_exact(PRINT_BYTES).any(|print| print == wanted)
                && let Some(record) = record_in(&view, row.get(0)?, id)?
            {
                return self.with_content(record).map(Some);
            }
        }
        Ok(None)
    }

    /// The record as it is now: content that it says is kept may have gone since.
    fn with_content(&self, mut record: Record) -> Result<Record, LedgerError> {
        if self.version >= WITH_CONTENT {
            record.content = store::content::now(&self.connection, record.id, record.content)?;
        }
        Ok(record)
    }

    /// The record with this id among those that began when its id says: the first 48 bits of a UUIDv7 are milliseconds since
    /// the epoch (RFC 9562 §5.7).
    fn record_by_time(&self, view: &Connection, id: u128) -> Result<Option<Record>, LedgerError> {
        let at_us = i64::try_from(id >> 80).unwrap_or(i64::MAX).saturating_mul(1_000);
        let sql = self.heads("WHERE last_at_us >= ?1 AND first_at_us <= ?2 ORDER BY id DESC");
        let mut heads = view.prepare(&sql)?;
        let (from, to) = (at_us.saturating_sub(ID_TIME_SLACK_US), at_us.saturating_add(ID_TIME_SLACK_US));
        let mut rows = heads.stream(params![from, to])?;
        let wanted = print_of(id).to_le_bytes();
        while let Some(row) = rows.next()? {
            let segment: i64 = row.get(0)?;
            let prints: Vec<u8> = view
                .prepare_cached("SELECT prints FROM segments WHERE id = ?1")?
                .query_row([segment], |row| row.get(0))?;
            if prints.chunks_exact(PRINT_BYTES).any(|print| print == wanted)
                && let Some(record) = record_in(view, segment, id)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

fn record_in(connection: &Connection, segment: i64, id: u128) -> Result<Option<Record>, LedgerError> {
    Ok(records_of(connection, segment)?.into_iter().find(|record| record.id == id))
}

/// The records of a segment; none where there is no such segment.
fn records_of(connection: &Connection, segment: i64) -> Result<Vec<Record>, LedgerError> {
    let stored: Option<(u32, Vec<u8>)> = connection
        .prepare_cached("SELECT records, body FROM segments WHERE id = ?1")?
        .query_row([segment], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((count, body)) = stored else { return Ok(Vec::new()) };
    unpack(&body, count).map_err(|cause| LedgerError::Damaged { segment, cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, LedgerOptions, sample};
    use std::time::Duration;

    const ALL: Scan = Scan { records: SCAN_RECORDS, segments: SCAN_SEGMENTS };

    fn filled(count: u64, batch_limit: usize) -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { batch_limit, joined_records: 0, ..LedgerOptions::default() };
        let ledger = Ledger::open(&folder.path().join("n.db"), options).unwrap();
        (0..count).for_each(|number| ledger.submit(sample::record(number)));
        ledger.flush(Duration::from_secs(60)).unwrap();
        (folder, ledger)
    }

    #[test]
    fn each_record_that_matches_is_handed_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { batch_limit: 7, ..LedgerOptions::default() };
        let ledger = Ledger::open(&folder.path().join("n.db"), options).unwrap();
        let records: Vec<Record> = (0..40).map(sample::record).collect();
        records.iter().for_each(|record| ledger.submit(record.clone()));
        ledger.flush(Duration::from_secs(60)).unwrap();
        let (from_us, to_us) = (records[5].started_at_us, records[30].started_at_us);
        let filter = Filter {
            from_us: Some(from_us),
            to_us: Some(to_us),
            provider: Some("anthropic".into()),
            ..Filter::default()
        };
        let mut found = Vec::new();
        ledger.reader().unwrap().each(&filter, &mut |record| found.push(record.clone())).unwrap();
        let expected: Vec<Record> =
            records[5..30].iter().filter(|record| record.provider.is_some()).cloned().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_page_ends_at_the_scan_limit_and_goes_on_from_there() {
        let (_folder, ledger) = filled(20, 4_096);
        let reader = ledger.reader().unwrap();
        let rare = Search { conversation: Some("none".into()), ..Search::default() };
        let page = |records| {
            reader
                .search_within(&rare, PageRequest { limit: 10, cursor: None }, Scan { records, ..ALL })
                .unwrap()
        };
        assert_eq!(page(20), Page { records: Vec::new(), next: None }, "at the limit everything was seen");
        let short = page(19);
        let next = short.next.unwrap();
        assert!(short.records.is_empty());
        let rest = reader.records(&Filter::default(), PageRequest { limit: 10, cursor: Some(next) }).unwrap();
        assert_eq!(rest.records, [sample::record(0)], "only the oldest was left");
    }

    #[test]
    fn segments_without_a_match_are_passed_over_up_to_a_limit() {
        let (_folder, ledger) = filled(40, 4);
        let reader = ledger.reader().unwrap();
        let nobody = Search {
            filter: Filter { user: Some("nobody".into()), ..Filter::default() },
            ..Search::default()
        };
        let page = |segments, cursor| {
            let scan = Scan { records: 0, segments };
            reader.search_within(&nobody, PageRequest { limit: 10, cursor }, scan).unwrap()
        };
        // With room for no record at all: none is read.
        let heads: usize = reader
            .connection
            .query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, i64>(0))
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(page(heads, None).next, None, "at the limit everything was seen");
        let next = page(heads - 1, None).next.unwrap();
        assert_eq!(page(1, Some(next)).next, None, "only the oldest was left");
    }

    #[test]
    fn what_has_no_sums_yet_is_found() {
        let (folder, ledger) = filled(40, 4);
        let store = rusqlite::Connection::open(folder.path().join("n.db")).unwrap();
        store
            .execute_batch("DELETE FROM rollups; UPDATE meta SET value = 0 WHERE name = 'rolled_up_to'")
            .unwrap();
        let ada = Filter { user: Some("ada".into()), ..Filter::default() };
        let page = ledger.records(&ada, PageRequest { limit: 100, cursor: None }).unwrap();
        assert_eq!(page.records.len(), 14);
    }

    #[test]
    fn heads_are_read_from_their_index_alone() {
        let (_folder, ledger) = filled(4, 4);
        let reader = ledger.reader().unwrap();
        for which in
            ["WHERE id <= 9 ORDER BY id DESC", "WHERE last_at_us >= 1 AND first_at_us <= 2 ORDER BY id DESC"]
        {
            let plan: Vec<String> = reader
                .connection
                .prepare(&format!("EXPLAIN QUERY PLAN {}", reader.heads(which)))
                .unwrap()
                .query_map([], |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(plan.len(), 1, "no sorting: {plan:?}");
            assert!(plan[0].contains("COVERING INDEX segments_by_time"), "{plan:?}");
        }
    }
}
