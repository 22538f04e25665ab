//! Searching a body: here, or beside the workers if it is long.

use super::Guard;
use super::table::TABLE;
use bytes::Bytes;
use narrows_guard::body::{self, Forgetful, Found, Passages, Report, Room};
use narrows_guard::json::Spot;
use narrows_guard::{Hit, Provenance};
use narrows_policy::{Coverage, Gap};
use std::cell::RefCell;
use std::sync::Arc;

/// Bodies up to this many bytes are searched where they are; a longer one would keep other exchanges waiting.
const HERE_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    /// Memory for searching, for each thread.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// What was seen of a body.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) found: Vec<Found>,
    /// Bytes of text that were searched.
    pub(crate) scanned: usize,
    pub(crate) coverage: Coverage,
}

impl Sight {
    /// Nothing was looked at.
    pub(crate) fn none(gap: Gap) -> Sight {
        Sight { found: Vec::new(), scanned: 0, coverage: Coverage::None(gap) }
    }

    fn of(report: Report) -> Sight {
        let gap = match (report.more_texts, report.more_found) {
            (true, _) => Some(Gap::DepthCap),
            (false, true) => Some(Gap::FindingsCap),
            (false, false) => (report.left_alone.unseen > 0).then_some(Gap::NotText),
        };
        let coverage = gap.map_or(Coverage::Full, Coverage::Partial);
        Sight { found: report.found, scanned: report.scanned, coverage }
    }
}

/// What a body that is no JSON is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Unreadable: it should have been JSON.
    Unreadable,
    /// One text.
    Text(Provenance),
}

/// How content is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As a body of JSON, or else as this.
    Body(Otherwise),
    /// As one text, whatever it looks like.
    Text(Provenance),
}

impl Guard {
    /// Searches content on behalf of an organization.
    pub(crate) async fn read(self: &Arc<Self>, organization: &str, text: &Bytes, reading: Reading) -> Sight {
        let provenance = match reading {
            Reading::Body(otherwise) => return self.search(organization, text, otherwise).await,
            Reading::Text(provenance) => provenance,
        };
        let search = move |guard: &Guard, text: &Bytes| match std::str::from_utf8(text) {
            Ok(text) => guard.search_text(text, provenance),
            Err(_) => Sight::none(Gap::Undecodable),
        };
        if text.len() <= HERE_BYTES_MAX {
            return search(self, text);
        }
        let (guard, text) = (Arc::clone(self), text.clone());
        let searching = tokio::task::spawn_blocking(move || search(&guard, &text));
        searching.await.unwrap_or_else(|_lost| Sight::none(Gap::Error))
    }

    /// The texts of content, for those who judge them elsewhere.
    pub(super) async fn passages(&self, text: &Bytes, reading: Reading) -> Result<Passages, Gap> {
        if text.len() > self.body_max {
            return Err(Gap::TooLarge);
        }
        if text.len() <= HERE_BYTES_MAX {
            return passages(text, reading);
        }
        let text = text.clone();
        let listing = tokio::task::spawn_blocking(move || passages(&text, reading));
        listing.await.unwrap_or(Err(Gap::Error))
    }

    /// Searches a body on behalf of an organization.
    pub(crate) async fn search(
        self: &Arc<Self>,
        organization: &str,
        text: &Bytes,
        otherwise: Otherwise,
    ) -> Sight {
        if text.len() > self.body_max {
            return Sight::none(Gap::TooLarge);
        }
        if text.len() <= HERE_BYTES_MAX {
            return self.search_here(organization, text, otherwise);
        }
        let (guard, organization, text) = (Arc::clone(self), organization.to_owned(), text.clone());
        let searching =
            tokio::task::spawn_blocking(move || guard.search_here(&organization, &text, otherwise));
        // It does not come back only if it panics or the runtime ends: then nothing was inspected.
        searching.await.unwrap_or_else(|_lost| Sight::none(Gap::Error))
    }

    /// Searches a body on this thread.
    pub(crate) fn search_here(&self, organization: &str, text: &[u8], otherwise: Otherwise) -> Sight {
        if text.is_empty() {
            return Sight { found: Vec::new(), scanned: 0, coverage: Coverage::Full };
        }
        let Ok(text) = simdutf8::basic::from_utf8(text) else { return Sight::none(Gap::Undecodable) };
        ROOM.with_borrow_mut(|room| {
            let searched = match &self.findings {
                Some(findings) => body::search(&self.engine, text, &TABLE, &findings.of(organization), room),
                None => body::search(&self.engine, text, &TABLE, &Forgetful, room),
            };
            match (searched, otherwise) {
                (Ok(report), _) => Sight::of(report),
                (Err(fault), _) if fault.too_deep => Sight::none(Gap::DepthCap),
                (Err(_), Otherwise::Unreadable) => Sight::none(Gap::Undecodable),
                (Err(_), Otherwise::Text(provenance)) => self.search_text(text, provenance),
            }
        })
    }

    /// Searches JSON on this thread that does not come again: nothing of it is remembered.
    pub(super) fn search_once(&self, text: &str) -> Option<Sight> {
        let search = |room: &mut _| body::search(&self.engine, text, &TABLE, &Forgetful, room);
        ROOM.with_borrow_mut(search).ok().map(Sight::of)
    }

    /// Searches one text that stands by itself.
    pub(super) fn search_text(&self, text: &str, provenance: Provenance) -> Sight {
        let (mut hits, mut scratch) = (Vec::new(), narrows_guard::Scratch::default());
        let scanned = self.engine.scan(text, provenance, &mut scratch, &mut hits);
        let found = |hit: Hit| Found {
            rule: hit.rule,
            score: hit.score,
            raw: hit.range,
            levels: 0,
            spot: Spot::Value,
            provenance,
            path: "".into(),
        };
        let coverage = if scanned.capped { Coverage::Partial(Gap::FindingsCap) } else { Coverage::Full };
        Sight { found: hits.into_iter().map(found).collect(), scanned: scanned.bytes, coverage }
    }
}

fn passages(text: &[u8], reading: Reading) -> Result<Passages, Gap> {
    let text = std::str::from_utf8(text).map_err(|_fault| Gap::Undecodable)?;
    let otherwise = match reading {
        Reading::Text(provenance) => return Ok(Passages::whole(text, provenance)),
        Reading::Body(_) if text.is_empty() => return Ok(Passages::default()),
        Reading::Body(otherwise) => otherwise,
    };
    match (Passages::of(text, &TABLE), otherwise) {
        (Ok(passages), _) => Ok(passages),
        (Err(fault), _) if fault.too_deep => Err(Gap::DepthCap),
        (Err(_), Otherwise::Unreadable) => Err(Gap::Undecodable),
        (Err(_), Otherwise::Text(provenance)) => Ok(Passages::whole(text, provenance)),
    }
}
