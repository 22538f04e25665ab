//! Writing events and comments.

use crate::frame::lines;
use bytes::BufMut;

/// Appends one event: an `event:` line if it has a name, one `data:` line per line of `data` (LF, CR and CRLF all
/// end a line, and a reader joins them with LF), and the blank line. Empty data is an event with empty data.
/// Of a name that contains a line end only the part before it is written, for a name can never open another field.
pub fn event(out: &mut impl BufMut, name: Option<&str>, data: &[u8]) {
    if let Some(name) = name.and_then(|name| name.split(['\r', '\n']).next()) {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    if memchr::memchr2(b'\n', b'\r', data).is_none() {
        data_line(out, data);
    } else {
        for line in lines(data) {
            data_line(out, line);
        }
        // `lines` does not offer the empty line after a final line end, but a reader must see it.
        if data.ends_with(b"\n") || data.ends_with(b"\r") {
            data_line(out, b"");
        }
    }
    out.put_u8(b'\n');
}

/// Appends a comment, one `:` line per line of `text`, and a blank line. Clients ignore it; connections stay warm.
pub fn comment(out: &mut impl BufMut, text: &str) {
    for line in text.split(['\r', '\n']) {
        out.put_slice(b": ");
        out.put_slice(line.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// Appends an event as it came (its own bytes, see [`Frame::raw`](crate::Frame::raw)), with other data in the place of
/// its own: one `data:` line for each line of it, where the first of its own stood. Every other line stays.
pub fn with_data(out: &mut impl BufMut, raw: &[u8], data: &[u8]) {
    let mut written = false;
    for line in lines(raw) {
        let is_data =
            line.strip_prefix(b"data").is_some_and(|rest| matches!(rest.first(), None | Some(b':')));
        if !is_data {
            out.put_slice(line);
            out.put_u8(b'\n');
        } else if !std::mem::replace(&mut written, true) {
            lines(data).for_each(|line| data_line(out, line));
        }
    }
}

fn data_line(out: &mut impl BufMut, line: &[u8]) {
    out.put_slice(b"data: ");
    out.put_slice(line);
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_replaced_and_other_lines_stay() {
        let mut out = Vec::new();
        with_data(&mut out, b"id: 1\r\ndata: a\r\ndata:b\r\nretry: 2\r\n\r\n", b"c\nd");
        assert_eq!(out, b"id: 1\ndata: c\ndata: d\nretry: 2\n\n");
    }
}
