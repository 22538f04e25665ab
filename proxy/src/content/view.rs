//! Kept content for people: as JSON, as words that can be searched, and as exports.

use crate::guard::words;
use narrows_ledger::{Content, ContentFilter, Ledger, LedgerError, ScanLimits, Scanned, Side, time};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most exchanges that one search looks at.
pub(crate) const SEARCH_RECORDS_MAX: usize = 5_000;
/// Most bytes of content that one search opens: 64 MiB.
pub(crate) const SEARCH_BYTES_MAX: usize = 64 << 20;
/// Most exchanges that one search gives.
pub(crate) const SEARCH_FOUND_MAX: usize = 100;
/// Longest text that is searched for, in bytes.
pub(crate) const NEEDLE_BYTES_MAX: usize = 256;
/// Characters around what was found, on each side.
const AROUND: usize = 60;

/// One side as JSON.
fn side(side: &Side) -> Value {
    let text = side.bytes.as_deref().map(String::from_utf8_lossy);
    json!({"state": side.state, "bytes": side.whole_bytes, "text": text})
}

/// An id of a record as people write it.
pub(crate) fn id_text(id: u128) -> String {
    uuid::Uuid::from_u128(id).hyphenated().to_string()
}

/// Content as JSON.
pub(crate) fn content(content: &Content) -> Value {
    json!({
        "record": id_text(content.record),
        "organization": content.organization,
        "team": content.team,
        "user": content.user,
        "service_account": content.service_account,
        "started_at": time(content.at_us),
        "expires_at": time(content.expires_at_us),
        "gone_at": content.gone_at_us.and_then(time),
        "unopened": content.unopened,
        "request": side(&content.request),
        "answer": side(&content.answer),
    })
}

/// What a search came to.
pub(crate) struct Search {
    /// Exchanges in which the text stands, the newest first.
    pub(crate) found: Vec<Value>,
    pub(crate) scanned: Scanned,
    /// In how many it was found, by the organizations whose content was looked through.
    pub(crate) by_organization: BTreeMap<String, usize>,
    /// Why the first of those could not be opened that were not.
    pub(crate) unopened: Option<String>,
}

impl Search {
    /// As JSON. `next` says where to go on: it stopped at a limit.
    pub(crate) fn json(&self) -> Value {
        json!({
            "found": self.found,
            "records_searched": self.scanned.records,
            "bytes_searched": self.scanned.bytes,
            "records_unopened": self.scanned.unopened,
            "unopened": self.unopened,
            "next": self.scanned.next.map(id_text),
        })
    }
}

/// Looks for a text, whatever its case, in what was said: in a stream over its pieces, in JSON as it reads.
pub(crate) fn search(
    ledger: &Ledger,
    filter: &ContentFilter,
    needle: &str,
    before: Option<u128>,
) -> Result<Search, LedgerError> {
    if needle.is_empty() || needle.len() > NEEDLE_BYTES_MAX {
        return Err(LedgerError::BadQuery("a text to look for has 1 to 256 bytes"));
    }
    let limits = ScanLimits { records: SEARCH_RECORDS_MAX, bytes: SEARCH_BYTES_MAX };
    let needle = needle.to_lowercase();
    let (mut found, mut unopened, mut by_organization) = (Vec::new(), None, BTreeMap::new());
    let scanned = ledger.scan_content(filter, before, limits, &mut |content| {
        if unopened.is_none() {
            unopened.clone_from(&content.unopened);
        }
        let sides = [("request", &content.request), ("answer", &content.answer)];
        let hits: Vec<Value> = sides
            .into_iter()
            .filter_map(|(name, side)| {
                let excerpt = excerpt(&words(side.bytes.as_deref()?), &needle)?;
                Some(json!({"side": name, "excerpt": excerpt}))
            })
            .collect();
        let rows: &mut usize = by_organization.entry(content.organization.clone()).or_default();
        if !hits.is_empty() {
            *rows += 1;
            found.push(json!({
                "record": id_text(content.record),
                "organization": content.organization,
                "team": content.team,
                "user": content.user,
                "service_account": content.service_account,
                "started_at": time(content.at_us),
                "hits": hits,
            }));
        }
        found.len() < SEARCH_FOUND_MAX
    })?;
    Ok(Search { found, scanned, by_organization, unopened })
}

/// A filter as the trail tells it: names and values.
pub(crate) fn asked(filter: &ContentFilter) -> Vec<(&'static str, String)> {
    let all = [
        ("organization", filter.organization.clone()),
        ("team", filter.team.clone()),
        ("user", filter.user.clone()),
        ("service_account", filter.service_account.clone()),
        ("from", filter.from_us.and_then(time)),
        ("to", filter.to_us.and_then(time)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The entries of the trail about content that was looked through, each with its rows: one of the organization that was
/// asked for; without one an entry of each that content was of, so that whoever may see the trail of one sees it.
pub(crate) fn entries(
    asked: Option<String>,
    by_organization: BTreeMap<String, usize>,
) -> Vec<(Option<String>, usize)> {
    if asked.is_some() || by_organization.is_empty() {
        return vec![(asked, by_organization.into_values().sum())];
    }
    by_organization.into_iter().map(|(organization, rows)| (Some(organization), rows)).collect()
}

/// Where a text stands first, with what is around it.
fn excerpt(text: &str, needle: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let at = lower.find(needle)?;
    let from = lower.get(..at)?.chars().rev().take(AROUND).map(char::len_utf8).sum::<usize>();
    let end = at + needle.len();
    let to = lower.get(end..)?.chars().take(AROUND).map(char::len_utf8).sum::<usize>();
    lower.get(at - from..end + to).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_what_is_around() {
        let long = format!("{}Needle{}", "ä".repeat(100), "ö".repeat(100));
        let found = excerpt(&long, "needle").unwrap();
        assert_eq!(found, format!("{}needle{}", "ä".repeat(AROUND), "ö".repeat(AROUND)));
        assert_eq!(excerpt("a needle", "needle").as_deref(), Some("a needle"));
        assert_eq!(excerpt("nothing", "needle"), None);
    }
}
