//! Copies of what streams through, to be looked at when it has passed: where no policy masks or refuses, nobody waits for
//! what they say.

use crate::buffers::Share;
use crate::exchange::coding;
use crate::guard::{Guard, Pieces, Sight};
use bytes::{Bytes, BytesMut};
use narrows_guard::Provenance;
use narrows_policy::{Coverage, Gap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Room that a copy takes at once, in bytes.
const STEP_BYTES: usize = 64 * 1024;

/// How long the end of an exchange waits for what was seen of a copy. The client has everything by then.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);

/// What a copy reads as.
pub(super) struct Reads {
    /// The content type.
    pub(super) kind: String,
    /// The content coding; `None` where it is not compressed.
    pub(super) coding: Option<Vec<u8>>,
    /// Who wrote what is no field of a form.
    pub(super) author: Provenance,
}

/// The beginning of a body that passes.
pub(super) struct Copy {
    reads: Reads,
    bytes: BytesMut,
    /// Most bytes that are copied.
    limit: usize,
    share: Share,
    /// Whether more came than was copied.
    is_cut: bool,
}

impl Copy {
    /// An empty copy of at most `limit` bytes, within what `share`'s budget can do without.
    pub(super) fn new(reads: Reads, limit: usize, share: Share) -> Copy {
        Copy { reads, bytes: BytesMut::new(), limit, share, is_cut: false }
    }

    /// Takes the next bytes that pass.
    pub(super) fn take(&mut self, part: &[u8]) {
        if self.is_cut {
            return;
        }
        let fits = part.len().min(self.limit.saturating_sub(self.bytes.len()));
        let room = (self.bytes.len() + fits).next_multiple_of(STEP_BYTES).min(self.limit);
        if !self.share.grow_spare(room) {
            self.is_cut = true;
            return;
        }
        self.bytes.extend_from_slice(part.get(..fits).unwrap_or(part));
        self.is_cut = fits < part.len();
    }

    /// Looks at what was copied, beside whatever comes next. `ended` says whether the body came to its end.
    pub(super) fn look(self, guard: &Arc<Guard>, organization: &str, ended: bool) -> Looking {
        let (guard, organization) = (Arc::clone(guard), organization.to_owned());
        Looking(tokio::task::spawn_blocking(move || {
            let mut looked = self.looked(&guard, &organization);
            if !ended {
                looked.sight.coverage = looked.sight.coverage.and(Coverage::Partial(Gap::Cut));
            }
            looked
        }))
    }

    fn looked(self, guard: &Guard, organization: &str) -> Looked {
        let Copy { reads, bytes, limit: _, mut share, is_cut } = self;
        let wire = bytes.freeze();
        let text = match &reads.coding {
            None => Ok(wire),
            // The beginning of what is compressed is not read.
            Some(_) if is_cut => Err(Gap::Streamed),
            Some(coding) => decoded(coding, &wire, guard.body_max, &mut share),
        };
        let (text, none) = match text {
            Ok(text) => (text, None),
            Err(gap) => (Bytes::new(), Some(gap)),
        };
        let take_apart = if is_cut { Pieces::of_beginning } else { Pieces::of };
        let pieces = take_apart(&reads.kind, &text, reads.author);
        let sight = match none {
            Some(gap) => Sight::none(gap),
            None => guard.search_pieces_here(organization, &pieces),
        };
        Looked { sight, pieces: Some(pieces), share: Some(share) }
    }
}

fn decoded(coding: &[u8], wire: &[u8], limit: usize, share: &mut Share) -> Result<Bytes, Gap> {
    let text = coding::decode_body(coding, wire, limit).map_err(|fault| match fault {
        coding::DecodeFault::TooLarge => Gap::ExpansionCap,
        coding::DecodeFault::Unknown | coding::DecodeFault::Corrupt => Gap::Undecodable,
    })?;
    if share.grow_spare(wire.len() + text.len()) { Ok(Bytes::from(text)) } else { Err(Gap::Streamed) }
}

/// What was seen of a copy.
pub(super) struct Looked {
    pub(super) sight: Sight,
    /// What was looked at; `None` where that was lost.
    pub(super) pieces: Option<Pieces>,
    /// Held as long as the copy is.
    #[expect(dead_code, reason = "it gives its room back when it is dropped")]
    share: Option<Share>,
}

impl Looked {
    /// The text that findings stand in.
    pub(super) fn text(&self) -> &str {
        self.pieces.as_ref().map(Pieces::text).unwrap_or_default()
    }

    fn nothing(gap: Gap) -> Looked {
        Looked { sight: Sight::none(gap), pieces: None, share: None }
    }
}

/// Looks at a copy.
pub(in crate::exchange) struct Looking(JoinHandle<Looked>);

impl Looking {
    /// What was seen, as soon as it is known.
    pub(super) async fn finish(self) -> Looked {
        match tokio::time::timeout(VERDICT_WITHIN, self.0).await {
            Ok(Ok(looked)) => looked,
            Ok(Err(_panic)) => Looked::nothing(Gap::Error),
            Err(_elapsed) => Looked::nothing(Gap::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::Buffers;

    fn copy(limit: usize, budget: usize) -> Copy {
        let reads = Reads { kind: "text/plain".to_owned(), coding: None, author: Provenance::Document };
        Copy::new(reads, limit, Buffers::new(budget).share())
    }

    #[test]
    fn a_copy_ends_at_its_limit_and_says_that_more_came() {
        let mut whole = copy(10, usize::MAX);
        whole.take(b"01234");
        whole.take(b"56789");
        assert_eq!((&whole.bytes[..], whole.is_cut), (&b"0123456789"[..], false));
        whole.take(b"");
        assert!(!whole.is_cut, "nothing is missing");
        whole.take(b"x");
        whole.take(b"y");
        assert_eq!((&whole.bytes[..], whole.is_cut), (&b"0123456789"[..], true));
        let mut at_once = copy(3, usize::MAX);
        at_once.take(b"0123");
        assert_eq!((&at_once.bytes[..], at_once.is_cut), (&b"012"[..], true));
    }

    #[test]
    fn a_copy_takes_no_room_that_others_need() {
        let mut copy = copy(1 << 20, 4 * STEP_BYTES);
        copy.take(&vec![b'x'; 2 * STEP_BYTES]);
        assert!(!copy.is_cut);
        copy.take(b"x");
        assert_eq!((copy.bytes.len(), copy.is_cut), (2 * STEP_BYTES, true));
        copy.take(b"x");
        assert_eq!(copy.bytes.len(), 2 * STEP_BYTES, "what comes behind a hole is not the beginning");
    }
}
