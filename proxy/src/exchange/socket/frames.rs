//! WebSocket frames (RFC 6455 §5.2), read while they pass: messages are put together from fragments, within a bound.
//! Nothing is changed, and compression is never negotiated.

/// Longest head of a frame, in bytes.
const HEAD_BYTES_MAX: usize = 14;
/// Longest payload of a control frame, in bytes (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole message; see [`Frames::take_message`].
    Message,
    /// A whole message that was longer than is kept.
    LongMessage,
    /// A ping or pong.
    Control,
    /// The end of the conversation, as one side says it.
    Close,
}

/// What is read is not a WebSocket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotWebSocket;

/// A reader of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    frame: Option<Frame>,
    message: Vec<u8>,
    limit: usize,
    too_long: bool,
    /// Whether a message was begun and its last fragment is still to come.
    fragmented: bool,
    /// Whether the message was given out, and the next byte begins another.
    given: bool,
}

/// The frame whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: u64,
    mask: Option<[u8; 4]>,
    at: usize,
    opcode: u8,
    last: bool,
}

impl Frames {
    /// A reader that keeps messages of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Frames {
        Frames {
            head: [0; HEAD_BYTES_MAX],
            head_len: 0,
            frame: None,
            message: Vec::new(),
            limit,
            too_long: false,
            fragmented: false,
            given: false,
        }
    }

    /// Reads from the front of `bytes` until something is complete. `None` when they are used up.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, NotWebSocket> {
        if std::mem::take(&mut self.given) {
            self.message = Vec::new();
            self.too_long = false;
        }
        loop {
            let Some(frame) = self.frame else {
                if !self.read_head(bytes)? {
                    return Ok(None);
                }
                continue;
            };
            let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            let (payload, rest) = bytes.split_at(taken);
            *bytes = rest;
            if frame.opcode < 8 {
                self.keep(payload, &frame);
            }
            let left = frame.left - taken as u64;
            if left > 0 {
                self.frame = Some(Frame { left, at: frame.at.wrapping_add(taken), ..frame });
                return Ok(None);
            }
            self.frame = None;
            match frame.opcode {
                8 => return Ok(Some(Event::Close)),
                9.. => return Ok(Some(Event::Control)),
                _ if frame.last => {
                    (self.fragmented, self.given) = (false, true);
                    return Ok(Some(if self.too_long { Event::LongMessage } else { Event::Message }));
                }
                _ => self.fragmented = true,
            }
        }
    }

    /// The message of the last [`Event::Message`]. Its room is the caller's: a long one's is not kept for short ones.
    pub(super) fn take_message(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message)
    }

    /// Whether the bytes so far end between two frames.
    pub(super) fn between_frames(&self) -> bool {
        self.frame.is_none() && self.head_len == 0
    }

    /// Whether they end between two messages.
    pub(super) fn between_messages(&self) -> bool {
        self.between_frames() && !self.fragmented
    }

    fn keep(&mut self, payload: &[u8], frame: &Frame) {
        if self.too_long || self.message.len() + payload.len() > self.limit {
            (self.too_long, self.message) = (true, Vec::new());
            return;
        }
        match frame.mask {
            None => self.message.extend_from_slice(payload),
            Some(mask) => {
                let masks = mask.iter().cycle().skip(frame.at % 4);
                self.message.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
            }
        }
    }

    /// Reads what there is of a head; whether it is complete.
    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<bool, NotWebSocket> {
        loop {
            let wanted = head_length(self.head.get(..self.head_len).unwrap_or_default());
            if self.head_len == wanted {
                break;
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(false) };
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = *byte;
            }
            (self.head_len, *bytes) = (self.head_len + 1, rest);
        }
        let frame = parse_head(self.head.get(..self.head_len).unwrap_or_default()).ok_or(NotWebSocket)?;
        self.head_len = 0;
        // A continuation continues something; a new message does not begin within another.
        let continues = frame.opcode == 0;
        if frame.opcode < 8 && continues != self.fragmented {
            return Err(NotWebSocket);
        }
        self.frame = Some(frame);
        Ok(true)
    }
}

/// The length of a head that begins with these bytes.
fn head_length(head: &[u8]) -> usize {
    let Some(second) = head.get(1) else { return 2 };
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

fn parse_head(head: &[u8]) -> Option<Frame> {
    let (first, second) = (*head.first()?, *head.get(1)?);
    let (opcode, last) = (first & 0x0F, first & 0x80 != 0);
    let masked = second & 0x80 != 0;
    let end = head.len() - if masked { 4 } else { 0 };
    let long = head.get(2..end)?;
    let left = match second & 0x7F {
        length @ 0..=125 => u64::from(length),
        _ => long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    let mask = if masked { Some(head.get(end..)?.try_into().ok()?) } else { None };
    let known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
    // Bits that only an extension gives a meaning, and none is negotiated.
    let plain = first & 0x70 == 0;
    let fits = if opcode >= 8 { last && left <= CONTROL_BYTES_MAX } else { left >> 63 == 0 };
    (known && plain && fits).then_some(Frame { left, mask, at: 0, opcode, last })
}

/// A message as one frame, with the opcode and the mask of the frame that it takes the place of. `None` if that is no
/// frame's beginning.
pub(super) fn like(first: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let head = first.get(..head_length(first))?;
    let frame = parse_head(head)?;
    let masked = if frame.mask.is_some() { 0x80 } else { 0 };
    let mut wire = vec![0x80 | frame.opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => wire.push(masked | length),
        (_, Ok(length)) => {
            wire.push(masked | 126);
            wire.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            wire.push(masked | 127);
            wire.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    match frame.mask {
        None => wire.extend_from_slice(payload),
        Some(mask) => {
            wire.extend_from_slice(&mask);
            wire.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    Some(wire)
}

/// A close frame as a server sends it. The reason has at most 123 bytes.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..reason.len().min(123)).unwrap_or_default();
    let mut frame = vec![0x88, u8::try_from(reason.len() + 2).unwrap_or(2)];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as either side sends it.
    fn frame(opcode: u8, last: bool, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![opcode | if last { 0x80 } else { 0 }];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..=125 => wire.push(bit | u8::try_from(length).unwrap()),
            length @ 126..=65535 => {
                wire.push(bit | 126);
                wire.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                wire.push(bit | 127);
                wire.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        wire.extend(mask.iter().flatten());
        let masks = mask.unwrap_or_default();
        wire.extend(payload.iter().zip(masks.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        wire
    }

    type Read = Result<Vec<(Event, Vec<u8>)>, NotWebSocket>;

    fn read(wire: &[u8], cuts: &[usize], limit: usize) -> Read {
        let (mut frames, mut events, mut from) = (Frames::new(limit), Vec::new(), 0);
        for to in cuts.iter().copied().chain([wire.len()]) {
            let to = to.clamp(from, wire.len());
            let mut bytes = &wire[from..to];
            from = to;
            while let Some(event) = frames.next(&mut bytes)? {
                let message = if event == Event::Message { frames.take_message() } else { Vec::new() };
                assert!(message.len() <= limit && frames.message.len() <= limit);
                events.push((event, message));
            }
        }
        Ok(events)
    }

    #[test]
    fn messages_are_put_together_and_control_frames_may_stand_between_fragments() {
        let wire = [
            frame(1, false, None, b"he"),
            frame(9, true, None, b"ping"),
            frame(0, true, None, b"llo"),
            frame(2, true, Some([1, 2, 3, 4]), &[7; 70_000]),
            frame(1, true, None, b""),
            close(1001, "bye"),
        ]
        .concat();
        let events = read(&wire, &[], 1 << 20).unwrap();
        let kinds: Vec<_> = events.iter().map(|(event, _)| *event).collect();
        assert_eq!(kinds, [Event::Control, Event::Message, Event::Message, Event::Message, Event::Close]);
        assert_eq!(
            (events[1].1.as_slice(), events[2].1.len(), events[3].1.len()),
            (&b"hello"[..], 70_000, 0)
        );
        assert!(events[2].1.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn another_payload_goes_in_a_frame_like_the_first() {
        for mask in [None, Some([1, 2, 3, 4])] {
            for length in [0, 125, 126, 65_535, 65_536] {
                let payload = vec![b'x'; length];
                let first = frame(1, false, mask, b"something else");
                assert_eq!(like(&first, &payload), Some(frame(1, true, mask, &payload)), "{length}");
            }
        }
        assert_eq!(like(b"", b"x"), None);
    }

    #[test]
    fn a_message_has_a_limit_and_the_next_one_is_read_again() {
        let wire = [frame(1, true, None, &[b'x'; 10]), frame(1, true, None, b"y")].concat();
        let kinds =
            |limit| read(&wire, &[3], limit).unwrap().into_iter().map(|(event, _)| event).collect::<Vec<_>>();
        assert_eq!(kinds(10), [Event::Message, Event::Message]);
        assert_eq!(kinds(9), [Event::LongMessage, Event::Message]);
    }

    #[test]
    fn what_no_websocket_sends_is_refused() {
        for bad in [
            vec![0xC1, 0],           // compressed, though nothing was negotiated
            vec![0x83, 0],           // a reserved opcode
            vec![0x09, 0],           // a control frame in fragments
            vec![0x89, 126, 0, 126], // a long control frame
            vec![0x80, 0],           // a continuation of nothing
            [frame(1, false, None, b"a"), frame(1, true, None, b"b")].concat(),
            vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], // a length of more than 63 bits
        ] {
            assert_eq!(read(&bad, &[], 100), Err(NotWebSocket), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            parts in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>(), proptest::option::of(any::<[u8; 4]>())),
                0..8,
            ),
            cuts in proptest::collection::vec(0usize..2500, 0..20),
        ) {
            let (mut wire, mut open) = (Vec::new(), false);
            for (payload, last, mask) in &parts {
                wire.extend(frame(if open { 0 } else { 1 }, *last, *mask, payload));
                open = !last;
            }
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(read(&wire, &cuts, 500), read(&wire, &[], 500));
        }

        #[test]
        fn no_input_panics_and_any_split_of_it_is_read_alike(
            wire in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300,
        ) {
            prop_assert_eq!(read(&wire, &[cut], 64), read(&wire, &[], 64));
        }
    }
}
