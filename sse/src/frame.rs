//! One event, borrowed from the bytes it came in.

use std::borrow::Cow;

/// Length of a field value and where it starts, counted from the start of its event.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start..self.end).unwrap_or_default()
    }
}

/// What the complete lines of a pending event have said so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields {
    name: Span,
    data: Span,
    data_lines: usize,
}

impl Fields {
    /// Takes one line without its end; `offset` is where it starts in the event.
    #[inline]
    pub(crate) fn line(&mut self, line: &[u8], offset: usize) {
        if let Some(at) = value_offset(line, b"data") {
            if self.data_lines == 0 {
                self.data = Span { start: offset + at, end: offset + line.len() };
            }
            self.data_lines += 1;
        } else if let Some(at) = value_offset(line, b"event") {
            self.name = Span { start: offset + at, end: offset + line.len() };
        }
    }

    /// The event these lines make, or nothing when no line carried data (then nothing is dispatched).
    #[inline]
    pub(crate) fn frame<'a>(
        &self,
        raw: &'a [u8],
        start: u64,
        end: u64,
        incomplete: bool,
    ) -> Option<Frame<'a>> {
        (self.data_lines > 0).then(|| Frame {
            raw,
            name: self.name.of(raw),
            first: self.data.of(raw),
            first_at: self.data.start,
            data_lines: self.data_lines,
            start,
            end,
            incomplete,
        })
    }
}

/// Where the value of the field called `name` starts in `line`, if the line is that field. The name is case
/// sensitive; exactly one space after the colon is not part of the value; a line without a colon is a name with
/// an empty value.
#[inline]
fn value_offset(line: &[u8], name: &[u8]) -> Option<usize> {
    match line.strip_prefix(name)? {
        [] => Some(name.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}

/// One dispatched event. All parts are bytes: a stream that is not UTF-8 is framed like any other.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    first: &'a [u8],
    first_at: usize,
    data_lines: usize,
    start: u64,
    end: u64,
    incomplete: bool,
}

impl<'a> Frame<'a> {
    /// Value of the last `event` field; empty when there is none (the type is then `message`).
    pub fn event(&self) -> &'a [u8] {
        self.name
    }

    /// The data: borrowed when it stood on one line, joined with LF when it stood on several.
    pub fn data(&self) -> Cow<'a, [u8]> {
        if self.data_lines <= 1 { Cow::Borrowed(self.first) } else { Cow::Owned(self.joined()) }
    }

    /// Where the data stands in [`raw`](Self::raw), in bytes; `None` when it stands on several lines.
    pub fn data_at(&self) -> Option<usize> {
        (self.data_lines <= 1).then_some(self.first_at)
    }

    /// Offset in the whole stream of the event's first line that is not a comment, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset in the whole stream just past the blank line that ended the event, in bytes. When that line is a lone
    /// CR at the end of a chunk, an LF that follows belongs to it too but is not counted here (waiting for it
    /// would hold the event back).
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The event's own bytes, from [`start`](Self::start) to [`end`](Self::end) (without an LF swallowed after CR).
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether the stream ended before the blank line. A browser discards such an event; a meter looks at it.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    fn joined(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.raw.len());
        let mut seen = 0;
        for line in lines(self.raw) {
            if let Some(at) = value_offset(line, b"data") {
                if seen > 0 {
                    data.push(b'\n');
                }
                seen += 1;
                data.extend_from_slice(line.get(at..).unwrap_or_default());
            }
        }
        data
    }
}

/// The lines of a text, ended by LF, CR or CRLF and without their ends. A CRLF counts as one end.
pub(crate) fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let Some(at) = memchr::memchr2(b'\n', b'\r', text) else {
            return Some(std::mem::take(&mut text));
        };
        let (line, rest) = text.split_at(at);
        text = rest.strip_prefix(b"\r\n").unwrap_or_else(|| rest.get(1..).unwrap_or_default());
        Some(line)
    })
}
