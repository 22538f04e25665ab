//! Small segments made into one.
//!
//! A gateway that serves a few exchanges a second writes a segment for each. They are joined later, those of a writer in the order
//! of their ids, as soon as the next one does not fit to them any more: so each record is written once more, and only once. The
//! joined segment keeps the id of the last and says which it was made of, so that records stay in their order and a page goes on
//! where the one before ended, whether segments were joined in between or not.

use crate::db::{
    self, Connection, OptionalExtension, Row, Transaction, TransactionBehavior, ValueRef, params,
};
use crate::record::Record;
use crate::rollup::HOUR_US;
use crate::segment::pack::Packer;
use crate::segment::parts::{self, Part};
use crate::segment::unpack::unpack;
use crate::store::records::rolled_up_to;

/// Most packed bytes of the segments that are joined into one: 1 MiB.
const JOINED_BYTES: i64 = 1 << 20;
/// Most time between the first and the last beginning in a joined segment, in microseconds: a search that knows the hour it looks
/// for passes the others over.
const JOINED_SPAN_US: i64 = HOUR_US;

/// What is known of a segment without reading it.
#[derive(Debug, Clone, Copy)]
struct Head {
    id: i64,
    first_at_us: i64,
    last_at_us: i64,
    records: i64,
    bytes: i64,
}

/// What becomes of the first segments of several.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// So many stay as they are for good.
    pass: usize,
    /// So many after them are joined.
    join: usize,
}

/// Decides about segments, the oldest first. `more` says whether others may follow that are there already.
fn plan(heads: &[Head], more: bool, records_max: u32) -> Plan {
    let mut pass = 0;
    loop {
        let rest = heads.get(pass..).unwrap_or_default();
        let join = fitting(rest, records_max);
        // What comes next may still fit.
        let open = join == rest.len() && !(more && pass == 0);
        if open {
            return Plan { pass, join: 0 };
        }
        if join > 1 {
            return Plan { pass, join };
        }
        pass += 1;
    }
}

/// How many of the first fit into one; at least one.
fn fitting(heads: &[Head], records_max: u32) -> usize {
    let (mut records, mut bytes) = (0_i64, 0_i64);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let fits = heads.iter().take_while(|head| {
        records = records.saturating_add(head.records);
        bytes = bytes.saturating_add(head.bytes);
        (first, last) = (first.min(head.first_at_us), last.max(head.last_at_us));
        records <= i64::from(records_max)
            && bytes <= JOINED_BYTES
            && last.saturating_sub(first) <= JOINED_SPAN_US
    });
    fits.count().max(1).min(heads.len())
}

/// Joins the next few segments of a writer (of the only one, where there is one) into one of at most `records_max` records. False
/// when there is nothing to do before more is written. All of it happens, or nothing.
pub(crate) fn step(connection: &mut Connection, writer: Option<i64>, records_max: u32) -> db::Result<bool> {
    if records_max < 2 || (connection.postgres().is_some() && writer.is_none()) {
        return Ok(false);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Beside)?;
    let place = Place::of(&transaction, writer)?;
    // One more than can be joined, so that it is seen what does not fit.
    let most = i64::from(records_max) + 1;
    let heads = place.heads(&transaction, most)?;
    let more = heads.len() as i64 == most;
    let Plan { pass, join } = plan(&heads, more, records_max);
    let done = heads.get(..pass + join).unwrap_or_default();
    let Some(last) = done.last() else { return Ok(false) };
    if let Some(run) = done.get(pass..).filter(|run| !run.is_empty()) {
        place.join(&transaction, run)?;
    }
    place.advance(&transaction, last.id)?;
    transaction.commit()?;
    Ok(more || join > 0)
}

/// Where a writer is.
struct Place {
    writer: Option<i64>,
    /// Segments up to this id stay as they are.
    joined_up_to: i64,
    /// Segments up to this id have their sums stored; the others are not touched.
    rolled_up_to: i64,
}

impl Place {
    /// Reads it, and keeps others from changing it until the transaction ends.
    fn of(transaction: &Transaction<'_>, writer: Option<i64>) -> db::Result<Place> {
        let (joined_up_to, rolled_up_to) = match writer {
            None => (
                transaction
                    .prepare_cached("SELECT value FROM meta WHERE name = 'joined_up_to'")?
                    .query_row([], |row| row.get(0))
                    .optional()?
                    .unwrap_or(0),
                rolled_up_to(transaction)?,
            ),
            Some(writer) => transaction
                .prepare_cached("SELECT joined_up_to, rolled_up_to FROM writers WHERE id = ?1 FOR UPDATE")?
                .query_row([writer], |row| Ok((row.get(0)?, row.get(1)?)))?,
        };
        Ok(Place { writer, joined_up_to, rolled_up_to })
    }

    /// Narrows a statement to this writer, as its parameter with this number.
    fn own(&self, number: usize) -> String {
        self.writer.map_or_else(String::new, |_| format!("AND writer = ?{number}"))
    }

    fn values<'v>(&self, values: &[i64]) -> Vec<ValueRef<'v>> {
        values.iter().copied().chain(self.writer).map(ValueRef::Integer).collect()
    }

    /// The first segments that may be joined.
    fn heads(&self, transaction: &Transaction<'_>, most: i64) -> db::Result<Vec<Head>> {
        let sql = format!(
            "SELECT id, first_at_us, last_at_us, records, CAST(length(body) AS BIGINT) FROM segments
             WHERE id > ?1 AND id <= ?2 {} ORDER BY id LIMIT {most}",
            self.own(3)
        );
        let read = |row: &Row<'_>| -> db::Result<Head> {
            Ok(Head {
                id: row.get(0)?,
                first_at_us: row.get(1)?,
                last_at_us: row.get(2)?,
                records: row.get(3)?,
                bytes: row.get(4)?,
            })
        };
        let values = self.values(&[self.joined_up_to, self.rolled_up_to]);
        transaction.prepare_cached(&sql)?.query_map(values.as_slice(), read)?.collect()
    }

    /// Puts the records of several segments into the last of them and deletes the others. Where one cannot be read they are left
    /// as they are: `verify` reports it.
    fn join(&self, transaction: &Transaction<'_>, run: &[Head]) -> db::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let mut made_of = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        for head in run {
            let Some((parts, more)) = read(transaction, head.id)? else { return Ok(()) };
            made_of.extend(parts);
            records.extend(more);
        }
        let mut packer = Packer::new();
        records.iter().for_each(|record| packer.push(record));
        let packed = packer.packed();
        let count = u32::try_from(packed.count).unwrap_or(u32::MAX);
        // What takes the place of others must say the same.
        if unpack(&packed.body, count).as_ref() != Ok(&records) {
            return Ok(());
        }
        let made_of = parts::encode(&made_of);
        transaction
            .prepare_cached(
                "UPDATE segments SET first_at_us = ?2, last_at_us = ?3, records = ?4, prints = ?5, body = ?6, parts = ?7
                 WHERE id = ?1",
            )?
            .execute(params![
                last.id,
                packed.first_at_us,
                packed.last_at_us,
                i64::from(count),
                packed.prints,
                packed.body,
                made_of
            ])?;
        let sql = format!("DELETE FROM segments WHERE id >= ?1 AND id < ?2 {}", self.own(3));
        let values = self.values(&[first.id, last.id]);
        transaction.prepare_cached(&sql)?.execute(values.as_slice())?;
        Ok(())
    }

    fn advance(&self, transaction: &Transaction<'_>, to: i64) -> db::Result<()> {
        match self.writer {
            None => transaction
                .prepare_cached(
                    "INSERT INTO meta VALUES ('joined_up_to', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute([to]),
            Some(writer) => transaction
                .prepare_cached("UPDATE writers SET joined_up_to = ?2 WHERE id = ?1")?
                .execute([writer, to]),
        }
        .map(drop)
    }
}

/// What a segment was made of (itself, if of no others) and its records; `None` where it cannot be read.
fn read(transaction: &Transaction<'_>, id: i64) -> db::Result<Option<(Vec<Part>, Vec<Record>)>> {
    let (count, made_of, body): (u32, Option<Vec<u8>>, Vec<u8>) = transaction
        .prepare_cached("SELECT records, parts, body FROM segments WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let made_of = match made_of {
        None => Ok(vec![Part { id, records: count }]),
        Some(made_of) => parts::decode(&made_of, count),
    };
    Ok(made_of.ok().zip(unpack(&body, count).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(id: i64, at_us: i64, records: i64) -> Head {
        Head { id, first_at_us: at_us, last_at_us: at_us, records, bytes: records * 100 }
    }

    fn heads(records: &[i64]) -> Vec<Head> {
        (1..).zip(records).map(|(id, records)| head(id, id, *records)).collect()
    }

    #[test]
    fn segments_are_joined_up_to_the_limit_and_not_before_the_next_one_does_not_fit() {
        let planned = |records: &[i64], more| {
            let Plan { pass, join } = plan(&heads(records), more, 10);
            (pass, join)
        };
        assert_eq!(planned(&[], false), (0, 0));
        assert_eq!(planned(&[4, 6], false), (0, 0), "at the limit; nothing has ended it yet");
        assert_eq!(planned(&[4, 6, 1], false), (0, 2));
        assert_eq!(planned(&[4, 7], false), (1, 0), "one past the limit");
        assert_eq!(planned(&[12, 11, 3, 3, 30], false), (2, 2), "large ones stay as they are");
        assert_eq!(planned(&[1, 1], true), (0, 2), "there is room for no more");
        assert_eq!(planned(&[30, 1, 1], true), (1, 0), "those are looked at again with what follows");
    }

    #[test]
    fn what_is_joined_began_within_an_hour_and_is_no_more_than_a_mebibyte() {
        let of = |times: &[i64], bytes: i64| {
            let heads: Vec<Head> =
                (1..).zip(times).map(|(id, at)| Head { bytes, ..head(id, *at, 1) }).collect();
            fitting(&heads, 1_000)
        };
        assert_eq!(of(&[0, JOINED_SPAN_US], 1), 2);
        assert_eq!(of(&[JOINED_SPAN_US, 0], 1), 2, "a long exchange ends after those that began later");
        assert_eq!(of(&[0, JOINED_SPAN_US + 1], 1), 1);
        assert_eq!(of(&[0, 0], JOINED_BYTES / 2), 2);
        assert_eq!(of(&[0, 0], JOINED_BYTES / 2 + 1), 1);
        assert_eq!(of(&[i64::MIN, i64::MAX], i64::MAX), 1);
    }

    proptest! {
        /// Going on from where a plan ended, every segment is passed or joined, or waits at the end for what fits to it.
        #[test]
        fn plans_end(records in prop::collection::vec(1_i64..15, 0..60), window in 11_usize..20) {
            let mut rest = heads(&records);
            loop {
                let seen = rest.get(..window).unwrap_or(&rest);
                let Plan { pass, join } = plan(seen, seen.len() == window, 10);
                prop_assert!(pass + join <= seen.len());
                prop_assert!(join != 1);
                let joined: i64 = seen[pass..pass + join].iter().map(|head| head.records).sum();
                prop_assert!(joined <= 10);
                if pass + join == 0 {
                    prop_assert!(rest.len() < window);
                    prop_assert_eq!(fitting(&rest, 10), rest.len());
                    break;
                }
                rest.drain(..pass + join);
            }
        }
    }
}
