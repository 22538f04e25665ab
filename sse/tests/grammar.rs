//! Vectors from the grammar of WHATWG HTML, "Server-sent events".

use narrows_sse::{Framer, write};

/// Name, data, whether the stream ended before the blank line.
type Event = (String, String, bool);

fn events(stream: &[u8]) -> Vec<Event> {
    let mut all = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut framer = Framer::new();
    framer.push(stream, &mut |frame| {
        all.push((text(frame.event()), text(&frame.data()), frame.is_incomplete()));
    });
    framer.finish(&mut |frame| all.push((text(frame.event()), text(&frame.data()), frame.is_incomplete())));
    all
}

fn check(stream: impl AsRef<[u8]>, expected: &[(&str, &str, bool)]) {
    let stream = stream.as_ref();
    let expected: Vec<Event> = expected.iter().map(|(n, d, i)| ((*n).into(), (*d).into(), *i)).collect();
    assert_eq!(events(stream), expected, "stream {:?}", String::from_utf8_lossy(stream));
}

#[test]
fn line_ends_are_lf_cr_and_crlf_and_nothing_else() {
    check("data: a\n\ndata: b\n\n", &[("", "a", false), ("", "b", false)]);
    check("data: a\r\rdata: b\r\r", &[("", "a", false), ("", "b", false)]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a", false), ("", "b", false)]);
    check("data: a\r\n\ndata: b\n\r\n\r", &[("", "a", false), ("", "b", false)]);
    check("data: a\u{85}b\u{2028}c\u{b}d\u{c}e\n\n", &[("", "a\u{85}b\u{2028}c\u{b}d\u{c}e", false)]);
}

#[test]
fn a_leading_mark_is_skipped_once() {
    check("\u{feff}data: a\n\n", &[("", "a", false)]);
    check("\u{feff}\u{feff}data: a\n\n", &[]);
    check("data: a\n\n\u{feff}data: b\n\n", &[("", "a", false)]);
    check(b"\xEF\xBBdata: a\n\ndata: b\n\n", &[("", "b", false)]);
    check(b"\xEF\xBB", &[]);
}

#[test]
fn one_space_after_the_colon_is_not_data() {
    check("data:a\n\n", &[("", "a", false)]);
    check("data:  a \n\n", &[("", " a ", false)]);
    check("data:\ta\n\n", &[("", "\ta", false)]);
    check("data: a:b\n\n", &[("", "a:b", false)]);
}

#[test]
fn data_lines_are_joined() {
    check("data: a\ndata\ndata:\ndata: b\n\n", &[("", "a\n\n\nb", false)]);
    check("data: {\r\ndata: }\r\n\r\n", &[("", "{\n}", false)]);
    check("data\n\n", &[("", "", false)]);
    check("data:\n\n", &[("", "", false)]);
}

#[test]
fn names_are_exact_and_reset() {
    check("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a", false), ("", "b", false)]);
    check("event: x\nevent: y\ndata: a\n\n", &[("y", "a", false)]);
    check("event: x\nevent\ndata: a\n\n", &[("", "a", false)]);
    check("event: x\n\ndata: a\n\n", &[("", "a", false)]);
    check("Data: a\n data: b\ndatax: c\ndata : d\n\n", &[]);
    check("id: 1\nretry: 10\nfoo\nfoo: bar\ndata: a\n\n", &[("", "a", false)]);
}

#[test]
fn comments_are_nothing() {
    check(": hi\n\n:\n\ndata: a\n: in between\ndata: b\n\n: bye", &[("", "a\nb", false)]);
}

#[test]
fn the_pending_event_at_the_end_is_offered_as_incomplete() {
    check("data: a\n\ndata: b\n", &[("", "a", false), ("", "b", true)]);
    check("data: a\n\nevent: x\ndata: b", &[("", "a", false), ("x", "b", true)]);
    check("data: a\ndata: b\r", &[("", "a\nb", true)]);
    check("event: x\n", &[]);
    check("dat", &[]);
    check("data", &[("", "", true)]);
}

#[test]
fn positions_cut_exactly_the_event() {
    let stream =
        b"\xEF\xBB\xBF: hello\n\n:x\nid: 1\ndata: a\n\n\n\nevent: e\r\n: c\r\ndata: b\r\n\r\ndata: end";
    for size in 1..=stream.len() {
        let mut framer = Framer::new();
        let mut cuts = Vec::new();
        let mut cut = |frame: narrows_sse::Frame<'_>| {
            let (start, end) =
                (usize::try_from(frame.start()).unwrap(), usize::try_from(frame.end()).unwrap());
            assert_eq!(frame.raw(), &stream[start..end]);
            cuts.push(String::from_utf8(stream[start..end].to_vec()).unwrap());
        };
        for chunk in stream.chunks(size) {
            framer.push(chunk, &mut cut);
        }
        assert_eq!(framer.position(), stream.len() as u64);
        framer.finish(&mut cut);
        // The LF of a final CRLF is not waited for when it comes in the next chunk.
        let second = if cuts[1].ends_with('\n') { "\n" } else { "" };
        assert_eq!(
            cuts,
            ["id: 1\ndata: a\n\n", &format!("event: e\r\n: c\r\ndata: b\r\n\r{second}"), "data: end"]
        );
    }
}

#[test]
fn a_blank_line_of_cr_dispatches_at_once() {
    let mut framer = Framer::new();
    let mut count = 0;
    framer.push(b"data: a\r\r", &mut |_| count += 1);
    assert_eq!(count, 1, "no waiting for an LF");
    framer.push(b"\ndata: b\n\n", &mut |frame| {
        count += 1;
        assert_eq!((frame.start(), frame.end()), (10, 19), "the LF belonged to the line before");
    });
    assert_eq!(count, 2);
}

#[test]
fn the_limit_holds_at_the_limit_and_one_past_it() {
    let event = |length: usize| format!("data: {}\n\n", "x".repeat(length - "data: \n\n".len()));
    for size in [1, 3, 7, 1000] {
        for (length, overflows) in [(64, false), (65, true)] {
            let stream = format!("{}{}{}", event(20), event(length), event(20));
            let mut framer = Framer::with_carry_limit(64);
            let mut count = 0;
            for chunk in stream.as_bytes().chunks(size) {
                framer.push(chunk, &mut |_| count += 1);
                assert!(framer.pending().len() <= 64);
            }
            assert_eq!(framer.overflowed(), overflows, "length {length} in chunks of {size}");
            assert_eq!(framer.position(), stream.len() as u64);
            framer.finish(&mut |_| count += 1);
            assert_eq!(count, if overflows { 1 } else { 3 });
        }
    }
}

#[test]
fn nothing_is_kept_between_events() {
    let mut framer = Framer::new();
    framer.push(b"data: a\n\n: comment\ndata", &mut |_| ());
    assert_eq!(framer.pending(), b"data");
    framer.push(b": b\n\n", &mut |_| ());
    assert!(framer.pending().is_empty());
    framer.push(b": a comment\n", &mut |_| ());
    assert!(framer.pending().is_empty(), "a comment is not part of an event");
}

#[test]
fn what_is_written_reads_back() {
    for (name, data, read) in [
        (None, "a", "a"),
        (Some("x"), "", ""),
        (Some("x"), "a\nb\r\nc\rd", "a\nb\nc\nd"),
        (None, "a\n", "a\n"),
        (None, " a", " a"),
        (Some("x\ndata: forged"), "a", "a"),
    ] {
        let mut out = Vec::new();
        write::comment(&mut out, "keep\nalive");
        write::event(&mut out, name, data.as_bytes());
        let expected = name.map(|name| name.split('\n').next().unwrap()).unwrap_or_default();
        check(&out, &[(expected, read, false)]);
    }
    let mut out = Vec::new();
    write::event(&mut out, Some("message_stop"), b"{}");
    assert_eq!(out, b"event: message_stop\ndata: {}\n\n");
}
