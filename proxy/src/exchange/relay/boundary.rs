//! Where a stream of events may be spoken into: between two events, and nowhere else.

use bytes::Bytes;

/// Last bytes that decide: a blank line is at most CR LF, and the line before it ends with one byte of either.
const TAIL_BYTES: usize = 3;

/// Watches the bytes that a client gets and knows whether they end between two events.
///
/// Bytes of the gateway's own (a ping, an error) within an event would damage it, and would be JSON in a body that is
/// none. So what is not plain `text/event-stream`, or turns out to be JSON under that name, is never between events.
#[derive(Debug, Clone, Copy)]
pub(super) enum Boundary {
    /// Not a stream of events that can be read: nothing may be put in.
    Never,
    /// Nothing was sent so far.
    Start,
    /// The last bytes sent; a missing one is 0.
    After([u8; TAIL_BYTES]),
}

impl Boundary {
    /// At the start of a stream of events.
    pub(super) fn of_events() -> Boundary {
        Boundary::Start
    }

    /// Of a body that is anything else.
    pub(super) fn of_no_events() -> Boundary {
        Boundary::Never
    }

    /// Takes note of a part that is sent.
    pub(super) fn sent(&mut self, part: &Bytes) {
        if part.is_empty() {
            return;
        }
        let before = match *self {
            Boundary::Never => return,
            // Some providers answer with one JSON value although they announce events.
            Boundary::Start if matches!(part.trim_ascii_start().first(), Some(b'{' | b'[')) => {
                *self = Boundary::Never;
                return;
            }
            Boundary::Start => [0; TAIL_BYTES],
            Boundary::After(tail) => tail,
        };
        *self = Boundary::After(match part.last_chunk::<TAIL_BYTES>() {
            Some(tail) => *tail,
            None => shifted(before, part),
        });
    }

    /// How many bytes of what would be sent next end between two events: the most that do. `None` where none does, within
    /// an event that goes on, or where nothing is ever between events.
    pub(super) fn last_between(self, next: &[Bytes]) -> Option<usize> {
        let (mut at, mut passed) = (self, 0);
        let mut last = self.is_between().then_some(0);
        for part in next {
            let before = at;
            at.sent(part);
            if matches!(at, Boundary::Never) {
                return None;
            }
            if let Some(bytes) = before.last_within(part) {
                last = Some(passed + bytes);
            }
            passed += part.len();
        }
        last
    }

    /// The same within one part, of which at least one byte is meant.
    fn last_within(self, part: &[u8]) -> Option<usize> {
        let before = match self {
            Boundary::Never => return None,
            Boundary::Start => [0; TAIL_BYTES],
            Boundary::After(tail) => tail,
        };
        (1..=part.len()).rev().find(|end| {
            let said = part.get(..*end).unwrap_or(part);
            is_blank_line(&said.last_chunk::<TAIL_BYTES>().copied().unwrap_or_else(|| shifted(before, said)))
        })
    }

    /// Whether nothing may ever be put in.
    pub(super) fn is_never(&self) -> bool {
        matches!(self, Boundary::Never)
    }

    /// Whether something of our own may be put in here.
    pub(super) fn is_between(&self) -> bool {
        match self {
            Boundary::Never => false,
            Boundary::Start => true,
            Boundary::After(tail) => is_blank_line(tail),
        }
    }
}

fn shifted(mut tail: [u8; TAIL_BYTES], part: &[u8]) -> [u8; TAIL_BYTES] {
    for byte in part {
        tail.rotate_left(1);
        if let Some(last) = tail.last_mut() {
            *last = *byte;
        }
    }
    tail
}

/// Whether the bytes end with a line end that follows another one. Lines end with LF, CR or CR LF.
fn is_blank_line(tail: &[u8]) -> bool {
    let before = tail.strip_suffix(b"\r\n").or(tail.strip_suffix(b"\n")).or(tail.strip_suffix(b"\r"));
    before.is_some_and(|before| before.ends_with(b"\n") || before.ends_with(b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(parts: &[&[u8]]) -> bool {
        let mut boundary = Boundary::of_events();
        for part in parts {
            boundary.sent(&Bytes::copy_from_slice(part));
        }
        boundary.is_between()
    }

    #[test]
    fn a_blank_line_ends_an_event_however_lines_end_and_chunks_are_cut() {
        assert!(after(&[]) && after(&[b""]));
        for whole in ["data: x\n\n", "data: x\r\n\r\n", "data: x\r\r", "data: x\n\r\n", ": note\n\n"] {
            let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
            assert!(after(&[whole.as_bytes()]) && after(&bytes), "{whole:?}");
        }
        for part in
            ["data: x", "data: x\n", "data: x\r\n", "data: x\r", "data: x\n\ndata:", "\n", "\r\n", "d"]
        {
            let bytes: Vec<&[u8]> = part.as_bytes().chunks(1).collect();
            assert!(!after(&[part.as_bytes()]) && !after(&bytes), "{part:?}");
        }
    }

    #[test]
    fn json_under_the_name_of_events_is_never_spoken_into() {
        for body in ["{\"a\":\n\n", "[\n\n", " \r\n{}\n\n"] {
            assert!(!after(&[body.as_bytes()]), "{body:?}");
        }
        let mut other = Boundary::of_no_events();
        other.sent(&Bytes::from_static(b"data: x\n\n"));
        assert!(!other.is_between());
    }

    #[test]
    fn what_would_be_sent_is_cut_after_its_last_whole_event() {
        let last = |sent: &[&str], next: &[&str]| {
            let mut boundary = Boundary::of_events();
            sent.iter().for_each(|part| boundary.sent(&Bytes::copy_from_slice(part.as_bytes())));
            boundary.last_between(
                &next.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect::<Vec<_>>(),
            )
        };
        assert_eq!(last(&[], &["data: x\n\ndata: y"]), Some(9));
        assert_eq!(last(&[], &["data: x\n", "\ndata: y\r\n\r\n", "d"]), Some(20));
        assert_eq!(last(&["data: x\n\n"], &["data: y"]), Some(0), "nothing of an event that only begins");
        assert_eq!(last(&["data: x\n"], &["\nda"]), Some(1));
        assert_eq!(last(&["data: x"], &["xx", "x\n"]), None, "within an event that goes on");
        assert_eq!(last(&[], &["{\n\n"]), None, "no events");
    }

    proptest! {
        #[test]
        fn the_last_place_between_events_is_where_one_may_be_spoken_into(
            sent in "[xd:\r\n]{0,4}",
            next in proptest::collection::vec("[xd:\r\n]{0,5}", 0..4),
        ) {
            let mut boundary = Boundary::of_events();
            boundary.sent(&Bytes::from(sent));
            let next: Vec<Bytes> = next.into_iter().map(Bytes::from).collect();
            let whole = next.concat();
            let between: Vec<usize> = (0..=whole.len())
                .filter(|end| {
                    let mut at = boundary;
                    at.sent(&Bytes::copy_from_slice(&whole[..*end]));
                    at.is_between()
                })
                .collect();
            prop_assert_eq!(boundary.last_between(&next), between.last().copied());
        }

        #[test]
        fn cutting_changes_nothing(text in "[xd:\r\n]{0,12}", cuts in proptest::collection::vec(0usize..12, 0..4)) {
            let bytes = text.as_bytes();
            let mut boundary = Boundary::of_events();
            let mut sorted: Vec<usize> = cuts.iter().map(|cut| cut.min(&bytes.len()).to_owned()).collect();
            sorted.sort_unstable();
            let mut from = 0;
            for to in sorted.into_iter().chain([bytes.len()]) {
                boundary.sent(&Bytes::copy_from_slice(&bytes[from..to]));
                from = to;
            }
            prop_assert_eq!(boundary.is_between(), after(&[bytes]));
        }
    }
}
