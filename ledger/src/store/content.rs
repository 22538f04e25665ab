//! Content in the store: plain SQL, every statement about it stands here.

use crate::content::seal::{DataKey, KeyWrap, Place, SealedSide, WrappedKey};
use crate::content::{
    Content, ContentFilter, ContentState, ContentStates, Erasure, ErasureSubject, Hold, NewHold, Side,
};
use crate::db::{self, Connection, OptionalExtension, Row, ToSql, params};
use crate::error::LedgerError;

/// Most rows that one step of a sweep takes.
pub(crate) const SWEEP_ROWS: usize = 500;

const KEY_COLUMNS: &str = "id, organization, scope, holder, day, master, wrapped_key";

const COLUMNS: &str = "record, organization, team, \"user\", service_account, at_us, expires_at_us, key_id, \
    request_state, request_bytes, request, answer_state, answer_bytes, answer, gone, gone_at_us";

/// Whether a hold is on the content `c`.
const IS_HELD: &str = "EXISTS (SELECT 1 FROM content_holds h WHERE h.released_at_us IS NULL
    AND h.organization = c.organization AND (h.team = '' OR h.team = c.team)
    AND (h.\"user\" = '' OR h.\"user\" = c.\"user\") AND (h.record IS NULL OR h.record = c.record)
    AND c.at_us >= h.from_us AND c.at_us < h.to_us)";

const HOLD_COLUMNS: &str = "h.id, h.organization, h.team, h.\"user\", h.record, h.from_us, h.to_us, h.reason, \
    h.created_at_us, h.created_by, h.released_at_us, h.released_by, h.release_reason";

/// Content that was sealed.
pub(crate) struct SealedContent {
    pub(crate) record: u128,
    pub(crate) organization: String,
    pub(crate) team: String,
    pub(crate) user: String,
    pub(crate) service_account: String,
    pub(crate) at_us: i64,
    pub(crate) expires_at_us: i64,
    pub(crate) key_id: String,
    pub(crate) request: SealedSide,
    pub(crate) answer: SealedSide,
    /// How it went, if it did.
    pub(crate) gone: Option<ContentState>,
    pub(crate) gone_at_us: Option<i64>,
}

impl SealedContent {
    /// What is known of it without its key.
    fn told(&self) -> Content {
        let side = |side: &SealedSide| Side {
            state: self.gone.filter(|_| side.state.is_kept()).unwrap_or(side.state),
            whole_bytes: side.whole_bytes,
            bytes: None,
        };
        Content {
            record: self.record,
            organization: self.organization.clone(),
            team: some(self.team.clone()),
            user: some(self.user.clone()),
            service_account: some(self.service_account.clone()),
            at_us: self.at_us,
            expires_at_us: self.expires_at_us,
            gone_at_us: self.gone_at_us,
            request: side(&self.request),
            answer: side(&self.answer),
            unopened: None,
        }
    }

    /// Opens it with its key; without one for what is gone.
    pub(crate) fn open(&self, key: Option<&DataKey>) -> Result<Content, LedgerError> {
        let mut content = self.told();
        let sides =
            [(&mut content.request, &self.request, "request"), (&mut content.answer, &self.answer, "answer")];
        for (side, sealed, name) in sides {
            let Some(bytes) = sealed.sealed.as_ref().filter(|_| side.state.is_kept()) else { continue };
            let key = key.ok_or_else(|| damaged("the key of this content is gone"))?;
            let place = Place { record: self.record, side: name, organization: &self.organization };
            let opened = key.open(place, bytes);
            side.bytes = Some(
                opened.ok_or_else(|| damaged("stored content was changed, or belongs to another record"))?,
            );
        }
        Ok(content)
    }
}

fn damaged(cause: &'static str) -> LedgerError {
    LedgerError::ContentKey(cause.to_owned())
}

fn some(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

fn id_of(bytes: &[u8]) -> u128 {
    <[u8; 16]>::try_from(bytes).map_or(0, u128::from_be_bytes)
}

/// The key of a holder's day under a master key, if there is one. There are several where content was kept between a
/// rewrapping and the change of the master key, and the rest was brought over afterwards; any of them is as good.
pub(crate) fn key_of_day(
    connection: &Connection,
    organization: &str,
    scope: &str,
    holder: &str,
    day: i64,
    master: &str,
) -> db::Result<Option<WrappedKey>> {
    let sql = format!(
        "SELECT {KEY_COLUMNS} FROM content_keys
         WHERE organization = ?1 AND scope = ?2 AND holder = ?3 AND day = ?4 AND master = ?5
         ORDER BY id LIMIT 1"
    );
    let named = params![organization, scope, holder, day, master];
    connection.prepare_cached(&sql)?.query_row(named, wrapped_of).optional()
}

/// The key with this id, if it was not destroyed.
pub(crate) fn key(connection: &Connection, id: &str) -> db::Result<Option<WrappedKey>> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM content_keys WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], wrapped_of).optional()
}

/// Every key.
pub(crate) fn keys(connection: &Connection) -> db::Result<Vec<WrappedKey>> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM content_keys");
    connection.prepare(&sql)?.query_map([], wrapped_of)?.collect()
}

/// Keeps a new key.
pub(crate) fn put_key(connection: &Connection, key: &WrappedKey) -> db::Result<()> {
    let sql = format!("INSERT INTO content_keys ({KEY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let WrappedKey { id, organization, scope, holder, day, master, wrapped_key } = key;
    connection
        .prepare_cached(&sql)?
        .execute(params![id, organization, scope, holder, day, master, wrapped_key])
        .map(drop)
}

/// Gives a key another wrapping.
pub(crate) fn rewrap_key(connection: &Connection, key: &WrappedKey) -> db::Result<()> {
    connection
        .prepare_cached("UPDATE content_keys SET master = ?2, wrapped_key = ?3 WHERE id = ?1")?
        .execute(params![key.id, key.master, key.wrapped_key])
        .map(drop)
}

fn wrapped_of(row: &Row<'_>) -> db::Result<WrappedKey> {
    Ok(WrappedKey {
        id: row.get(0)?,
        organization: row.get(1)?,
        scope: row.get(2)?,
        holder: row.get(3)?,
        day: row.get(4)?,
        master: row.get(5)?,
        wrapped_key: row.get(6)?,
    })
}

/// Keeps content. A record has one content: what comes again is left out.
pub(crate) fn put(connection: &Connection, content: &SealedContent) -> db::Result<()> {
    let sql = format!(
        "INSERT INTO content ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, NULL, NULL)
         ON CONFLICT (record) DO NOTHING"
    );
    let SealedContent { request, answer, .. } = content;
    connection
        .prepare_cached(&sql)?
        .execute(params![
            content.record.to_be_bytes(),
            content.organization,
            content.team,
            content.user,
            content.service_account,
            content.at_us,
            content.expires_at_us,
            content.key_id,
            request.state.as_str(),
            signed(request.whole_bytes),
            request.sealed,
            answer.state.as_str(),
            signed(answer.whole_bytes),
            answer.sealed,
        ])
        .map(drop)
}

/// The content of a record, if some was kept.
pub(crate) fn get(connection: &Connection, record: u128) -> db::Result<Option<SealedContent>> {
    let sql = format!("SELECT {COLUMNS} FROM content WHERE record = ?1");
    connection.prepare_cached(&sql)?.query_row([record.to_be_bytes()], content_of).optional()
}

/// Hands on content that matches and is there, the newest first, as long as `take` wants more.
pub(crate) fn scan(
    connection: &Connection,
    filter: &ContentFilter,
    before: Option<u128>,
    take: &mut dyn FnMut(SealedContent) -> Result<bool, LedgerError>,
) -> Result<(), LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM content WHERE gone IS NULL AND record < ?1 AND at_us >= ?2 AND at_us < ?3
            AND (?4 = '' OR organization = ?4) AND (?5 = '' OR team = ?5) AND (?6 = '' OR \"user\" = ?6)
            AND (?7 = '' OR service_account = ?7)
         ORDER BY record DESC"
    );
    let mut statement = connection.prepare(&sql)?;
    let before = before.unwrap_or(u128::MAX).to_be_bytes();
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut rows = statement.stream(params![
        before,
        filter.from_us.unwrap_or(i64::MIN),
        filter.to_us.unwrap_or(i64::MAX),
        name(&filter.organization),
        name(&filter.team),
        name(&filter.user),
        name(&filter.service_account),
    ])?;
    while let Some(row) = rows.next()? {
        if !take(content_of(&row)?)? {
            break;
        }
    }
    Ok(())
}

fn content_of(row: &Row<'_>) -> db::Result<SealedContent> {
    let side = |at: usize| -> db::Result<SealedSide> {
        let state: String = row.get(at)?;
        let whole: i64 = row.get(at + 1)?;
        Ok(SealedSide {
            state: ContentState::from_word(&state).unwrap_or_default(),
            whole_bytes: u64::try_from(whole).unwrap_or(0),
            sealed: row.get(at + 2)?,
        })
    };
    let record: Vec<u8> = row.get(0)?;
    let gone: Option<String> = row.get(14)?;
    Ok(SealedContent {
        record: id_of(&record),
        organization: row.get(1)?,
        team: row.get(2)?,
        user: row.get(3)?,
        service_account: row.get(4)?,
        at_us: row.get(5)?,
        expires_at_us: row.get(6)?,
        key_id: row.get(7)?,
        request: side(8)?,
        answer: side(11)?,
        gone: gone.as_deref().and_then(ContentState::from_word),
        gone_at_us: row.get(15)?,
    })
}

/// The states of a record as they are now: what it said when it was written, what came of that when it was stored, and
/// whether it has gone since.
pub(crate) fn now(connection: &Connection, record: u128, states: ContentStates) -> db::Result<ContentStates> {
    if !states.is_kept() {
        return Ok(states);
    }
    let found = connection
        .prepare_cached("SELECT request_state, answer_state, gone FROM content WHERE record = ?1")?
        .query_row([record.to_be_bytes()], |row| {
            let word = |at: usize| -> db::Result<ContentState> {
                Ok(ContentState::from_word(row.get_ref(at)?.as_str()?).unwrap_or_default())
            };
            let gone: Option<String> = row.get(2)?;
            let stored = ContentStates { request: word(0)?, answer: word(1)? };
            let gone = gone.as_deref().and_then(ContentState::from_word);
            Ok(gone.map_or(stored, |how| stored.gone(how)))
        })
        .optional()?;
    Ok(found.unwrap_or(states))
}

/// Removes content whose time is over and that nothing holds, up to [`SWEEP_ROWS`] at once, and keys that seal nothing any
/// more. Gives how many exchanges lost their content.
pub(crate) fn sweep(connection: &Connection, now_us: i64, today: i64) -> db::Result<usize> {
    let sql = format!(
        "SELECT c.record FROM content c WHERE c.gone IS NULL AND c.expires_at_us <= ?1 AND NOT {IS_HELD} LIMIT ?2"
    );
    let limit = i64::try_from(SWEEP_ROWS).unwrap_or(i64::MAX);
    let over: Vec<Vec<u8>> = connection
        .prepare_cached(&sql)?
        .query_map([now_us, limit], |row| row.get(0))?
        .collect::<db::Result<_>>()?;
    let mut empty = connection.prepare_cached(
        "UPDATE content SET request = NULL, answer = NULL, key_id = '', gone = 'expired', gone_at_us = ?2
         WHERE record = ?1",
    )?;
    for record in &over {
        empty.execute(params![record, now_us])?;
    }
    // A key of today may be in use for what is not stored yet.
    connection
        .prepare_cached(
            "DELETE FROM content_keys WHERE day < ?1
                AND NOT EXISTS (SELECT 1 FROM content c WHERE c.key_id = content_keys.id AND c.gone IS NULL)",
        )?
        .execute([today.saturating_sub(1)])?;
    Ok(over.len())
}

/// Whether a sweep would find anything; costs no lock for writing.
pub(crate) fn is_due(connection: &Connection, now_us: i64) -> db::Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM content c WHERE c.gone IS NULL AND c.expires_at_us <= ?1 AND NOT {IS_HELD})"
    );
    connection.prepare_cached(&sql)?.query_row([now_us], |row| row.get(0))
}

/// The part of a `WHERE` that means a subject, and its value.
fn means(subject: &ErasureSubject) -> (&'static str, Box<dyn ToSql>) {
    match subject {
        ErasureSubject::User(name) => ("c.\"user\" = ?2", Box::new(name.clone())),
        ErasureSubject::ServiceAccount(name) => ("c.service_account = ?2", Box::new(name.clone())),
        ErasureSubject::Record(id) => ("c.record = ?2", Box::new(id.to_be_bytes())),
    }
}

/// Whether content of a subject was ever kept; what went is remembered.
pub(crate) fn is_known(
    connection: &Connection,
    organization: &str,
    subject: &ErasureSubject,
) -> db::Result<bool> {
    let (condition, value) = means(subject);
    let sql = format!("SELECT EXISTS (SELECT 1 FROM content c WHERE c.organization = ?1 AND {condition})");
    connection.query_row(&sql, params![organization, *value], |row| row.get(0))
}

/// The organization whose content that of a record is, also if it went.
pub(crate) fn organization_of(connection: &Connection, record: u128) -> db::Result<Option<String>> {
    let sql = "SELECT organization FROM content WHERE record = ?1";
    connection.prepare_cached(sql)?.query_row([record.to_be_bytes()], |row| row.get(0)).optional()
}

/// Holds on content of a subject that is still there.
pub(crate) fn holds_on(
    connection: &Connection,
    organization: &str,
    subject: &ErasureSubject,
) -> db::Result<Vec<String>> {
    let (condition, value) = means(subject);
    let sql = format!(
        "SELECT DISTINCT h.id FROM content_holds h, content c
         WHERE c.organization = ?1 AND {condition} AND c.gone IS NULL AND h.released_at_us IS NULL
            AND h.organization = c.organization AND (h.team = '' OR h.team = c.team)
            AND (h.\"user\" = '' OR h.\"user\" = c.\"user\") AND (h.record IS NULL OR h.record = c.record)
            AND c.at_us >= h.from_us AND c.at_us < h.to_us
         ORDER BY h.id"
    );
    connection.prepare(&sql)?.query_map(params![organization, *value], |row| row.get(0))?.collect()
}

/// Erases a subject's content, and destroys the keys that sealed nothing but that.
pub(crate) fn erase(
    connection: &Connection,
    organization: &str,
    subject: &ErasureSubject,
    now_us: i64,
) -> db::Result<Erasure> {
    let (condition, value) = means(subject);
    // The name of a table that is changed cannot be shortened everywhere.
    let condition = condition.replace("c.", "content.");
    let sql = format!(
        "UPDATE content SET request = NULL, answer = NULL, key_id = '', gone = 'erased', gone_at_us = ?3
         WHERE organization = ?1 AND {condition} AND gone IS NULL"
    );
    let records = connection.prepare(&sql)?.execute(params![organization, *value, now_us])?;
    let keys = match subject {
        ErasureSubject::User(name) | ErasureSubject::ServiceAccount(name) => connection
            .prepare("DELETE FROM content_keys WHERE organization = ?1 AND scope = ?2 AND holder = ?3")?
            .execute(params![organization, subject.describe().0, name])?,
        ErasureSubject::Record(_) => 0,
    };
    Ok(Erasure {
        organization: organization.to_owned(),
        subject: subject.clone(),
        at_us: now_us,
        records: records as u64,
        keys: keys as u64,
    })
}

/// Keeps a new hold.
pub(crate) fn put_hold(connection: &Connection, hold: &Hold) -> db::Result<()> {
    let held = &hold.held;
    connection
        .prepare_cached(
            "INSERT INTO content_holds (id, organization, team, \"user\", record, from_us, to_us, reason, created_at_us,
                created_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            hold.id,
            held.organization,
            held.team.as_deref().unwrap_or_default(),
            held.user.as_deref().unwrap_or_default(),
            held.record.map(u128::to_be_bytes),
            held.from_us.unwrap_or(i64::MIN),
            held.to_us.unwrap_or(i64::MAX),
            held.reason,
            hold.created_at_us,
            hold.created_by,
        ])
        .map(drop)
}

/// Holds, the oldest first; those of one organization if it is named, those that were released only if asked for.
pub(crate) fn holds(
    connection: &Connection,
    organization: Option<&str>,
    with_released: bool,
) -> db::Result<Vec<Hold>> {
    let sql = format!(
        "SELECT {HOLD_COLUMNS} FROM content_holds h
         WHERE (?1 = '' OR h.organization = ?1) AND (?2 = 1 OR h.released_at_us IS NULL)
         ORDER BY h.created_at_us, h.id"
    );
    let rows = params![organization.unwrap_or_default(), i64::from(with_released)];
    connection.prepare(&sql)?.query_map(rows, hold_of)?.collect()
}

/// How many holds there are that were not released.
pub(crate) fn open_holds(connection: &Connection) -> db::Result<i64> {
    connection
        .query_row("SELECT count(*) FROM content_holds WHERE released_at_us IS NULL", [], |row| row.get(0))
}

/// A hold.
pub(crate) fn hold(connection: &Connection, id: &str) -> db::Result<Option<Hold>> {
    let sql = format!("SELECT {HOLD_COLUMNS} FROM content_holds h WHERE h.id = ?1");
    connection.prepare(&sql)?.query_row([id], hold_of).optional()
}

/// Releases a hold that was not released before.
pub(crate) fn release(
    connection: &Connection,
    id: &str,
    actor: &str,
    reason: &str,
    now_us: i64,
) -> db::Result<()> {
    connection
        .prepare_cached(
            "UPDATE content_holds SET released_at_us = ?2, released_by = ?3, release_reason = ?4
             WHERE id = ?1 AND released_at_us IS NULL",
        )?
        .execute(params![id, now_us, actor, reason])
        .map(drop)
}

fn hold_of(row: &Row<'_>) -> db::Result<Hold> {
    let record: Option<Vec<u8>> = row.get(4)?;
    let (from_us, to_us): (i64, i64) = (row.get(5)?, row.get(6)?);
    Ok(Hold {
        id: row.get(0)?,
        held: NewHold {
            organization: row.get(1)?,
            team: some(row.get(2)?),
            user: some(row.get(3)?),
            record: record.map(|bytes| id_of(&bytes)),
            from_us: Some(from_us).filter(|at| *at != i64::MIN),
            to_us: Some(to_us).filter(|at| *at != i64::MAX),
            reason: row.get(7)?,
        },
        created_at_us: row.get(8)?,
        created_by: row.get(9)?,
        released_at_us: row.get(10)?,
        released_by: row.get(11)?,
        release_reason: row.get(12)?,
    })
}

/// Opens content with the keys of a store, one after the other.
pub(crate) struct Opener<'a> {
    connection: &'a Connection,
    wrap: &'a dyn KeyWrap,
    /// The key that was used last: content of one person stands together.
    last: Option<(String, DataKey)>,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(connection: &'a Connection, wrap: &'a dyn KeyWrap) -> Opener<'a> {
        Opener { connection, wrap, last: None }
    }

    /// Opens content. What cannot be opened is told without its bytes, and why: one row is not in the way of others.
    pub(crate) fn open_or_tell(&mut self, sealed: &SealedContent) -> Result<Content, LedgerError> {
        match self.open(sealed) {
            Err(LedgerError::ContentKey(cause)) => Ok(Content { unopened: Some(cause), ..sealed.told() }),
            opened => opened,
        }
    }

    pub(crate) fn open(&mut self, sealed: &SealedContent) -> Result<Content, LedgerError> {
        if sealed.gone.is_some() {
            return sealed.open(None);
        }
        if self.last.as_ref().is_none_or(|(id, _)| *id != sealed.key_id) {
            self.last = match key(self.connection, &sealed.key_id)? {
                Some(wrapped) => Some((sealed.key_id.clone(), wrapped.open(self.wrap)?)),
                None => None,
            };
        }
        sealed.open(self.last.as_ref().map(|(_, key)| key))
    }
}
