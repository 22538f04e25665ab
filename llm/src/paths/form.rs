//! One field of a form with files (`multipart/form-data`, RFC 7578), found while the form arrives.

use memchr::memmem;
use std::ops::Range;

/// Longest header of a part, in bytes.
pub const PART_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Longest value of a field that is looked for, in bytes.
pub const VALUE_BYTES_MAX: usize = 2 * 1024;
/// Longest boundary, in bytes (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What was found of a field so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Its value stands there.
    Found(Range<usize>),
    /// More of the form has to come.
    More,
    /// The form ends without it.
    Absent,
    /// The form cannot be read for certain: servers could find other fields in it, or the value is too long.
    Unreadable,
}

/// Looks through a form's bytes as they are gathered. Nothing is looked at twice but what may be cut.
#[derive(Debug, Clone)]
pub struct Form {
    /// `--boundary`.
    delimiter: Vec<u8>,
    at: usize,
}

impl Form {
    /// For a body with this content type; `None` if it is no form with files.
    pub fn new(content_type: &str) -> Option<Form> {
        delimiter(content_type, "multipart/form-data").map(|delimiter| Form { delimiter, at: 0 })
    }

    /// The next field called `field` in `form`, which holds all that was gathered so far: more than at the last call,
    /// never less.
    pub fn look(&mut self, field: &str, form: &[u8]) -> Look {
        loop {
            let rest = form.get(self.at..).unwrap_or_default();
            let Some(found) = memmem::find(rest, &self.delimiter) else {
                // The last bytes may be the beginning of a delimiter, and the line end before it is needed too.
                self.at = self.at.max(form.len().saturating_sub(self.delimiter.len() + 2));
                return Look::More;
            };
            let start = self.at + found;
            let after = start + self.delimiter.len();
            match delimits(form, start, after) {
                Line::Cut => return self.wait_at(start),
                Line::Unclear => return self.unreadable(start),
                Line::Ends => {
                    // What stands behind the end is read by servers that want another line end there.
                    let rest = form.get(after..).unwrap_or_default();
                    let goes_on = memmem::find(rest, &self.delimiter).is_some();
                    return if goes_on { self.unreadable(start) } else { Look::Absent };
                }
                Line::Begins => {}
                Line::Content => {
                    self.at = after;
                    continue;
                }
            }
            let header = after + 2;
            let Some(length) = within(form, header, PART_HEADER_BYTES_MAX, b"\r\n\r\n") else {
                let too_long = form.len() - header > PART_HEADER_BYTES_MAX;
                return if too_long { self.unreadable(start) } else { self.wait_at(start) };
            };
            let value = header + length + 4;
            match is_field(form.get(header..header + length).unwrap_or_default(), field) {
                None => return self.unreadable(start),
                Some(false) => self.at = value,
                Some(true) => {
                    let end = [b"\r\n", &*self.delimiter].concat();
                    let Some(length) = within(form, value, VALUE_BYTES_MAX, &end) else {
                        let too_long = form.len() - value > VALUE_BYTES_MAX + end.len();
                        return if too_long { self.unreadable(start) } else { self.wait_at(start) };
                    };
                    // The delimiter behind the value has its line end before it.
                    self.at = value + length + 2;
                    return Look::Found(value..value + length);
                }
            }
        }
    }

    fn wait_at(&mut self, start: usize) -> Look {
        self.at = start;
        Look::More
    }

    /// Whoever looks again finds the same.
    fn unreadable(&mut self, start: usize) -> Look {
        self.at = start;
        Look::Unreadable
    }
}

/// `--boundary` of a content type that begins so.
fn delimiter(content_type: &str, wanted: &str) -> Option<Vec<u8>> {
    let mut parameters = content_type.split(';').map(str::trim);
    let kind = parameters.next()?;
    let fits = if wanted.ends_with('/') {
        kind.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    } else {
        kind.eq_ignore_ascii_case(wanted)
    };
    if !fits {
        return None;
    }
    // Two boundaries, or one in pieces (RFC 2231), are read differently by different servers.
    let mut boundaries = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("boundary")).then_some((name, value))
    });
    let (name, value) = boundaries.next()?;
    let boundary = unquoted(value)?;
    if boundaries.next().is_some() || !name.trim().eq_ignore_ascii_case("boundary") {
        return None;
    }
    let fits = !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX;
    fits.then(|| [b"--", boundary.as_bytes()].concat())
}

/// Most parts of a form that are told apart.
pub const PARTS_MAX: usize = 1_000;

/// A part of a form, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of its field; empty where it has none, as in `multipart/related`.
    pub name: Box<str>,
    /// The name of the file that it is; `None` for a plain field.
    pub file: Option<Box<str>>,
    /// Its content type without parameters, in lower case; empty where it has none.
    pub kind: Box<str>,
    /// Whether its value is encoded (`content-transfer-encoding`), so that it does not read as it stands.
    pub is_encoded: bool,
    /// Where its header stands in the form, without the empty line behind it.
    pub header: Range<usize>,
    /// Where its value stands in the form.
    pub value: Range<usize>,
}

/// All parts of a form that is there whole. `None` where servers could tell other parts apart than these, where it does
/// not end as it should, or where it has more than [`PARTS_MAX`].
pub fn parts(content_type: &str, form: &[u8]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let end = gather(content_type, form, &mut parts)?;
    matches!(end, End::Whole).then_some(parts)
}

/// The parts of the beginning of a form, the last one as far as it has come. `None` where servers could tell other parts
/// apart than these, or where it has more than [`PARTS_MAX`].
pub fn parts_so_far(content_type: &str, form: &[u8]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    if let End::Within(mut part) = gather(content_type, form, &mut parts)? {
        part.value.end = form.len().max(part.value.start);
        parts.push(part);
    }
    Some(parts)
}

/// Where the bytes of a form end.
enum End {
    /// Behind its last line.
    Whole,
    /// Within this part.
    Within(Part),
    /// Between two parts, or within the header of one.
    Between,
}

/// Gathers the parts of a form that are there whole.
fn gather(content_type: &str, form: &[u8], parts: &mut Vec<Part>) -> Option<End> {
    let delimiter = delimiter(content_type, "multipart/")?;
    let (mut open, mut at): (Option<Part>, usize) = (None, 0);
    let within_part = |open: Option<Part>| Some(open.map_or(End::Between, End::Within));
    loop {
        let Some(found) = memmem::find(form.get(at..)?, &delimiter) else { return within_part(open) };
        let start = at + found;
        let after = start + delimiter.len();
        let ends = match delimits(form, start, after) {
            Line::Content => {
                at = after;
                continue;
            }
            Line::Cut => return within_part(open),
            Line::Unclear => return None,
            Line::Begins => false,
            Line::Ends => true,
        };
        match open.take() {
            // The delimiter has its line end before it.
            Some(mut part) => {
                part.value.end = start.saturating_sub(2).max(part.value.start);
                parts.push(part);
            }
            None if start > 0 => return None,
            None => {}
        }
        if ends {
            let rest = form.get(after + 2..)?;
            return rest.iter().all(u8::is_ascii_whitespace).then_some(End::Whole);
        }
        if parts.len() >= PARTS_MAX {
            return None;
        }
        let header = after + 2;
        let Some(length) = within(form, header, PART_HEADER_BYTES_MAX, b"\r\n\r\n") else {
            return (form.len().saturating_sub(header) <= PART_HEADER_BYTES_MAX).then_some(End::Between);
        };
        at = header + length + 4;
        open = Some(described(form, header..header + length, at)?);
        // An empty value has the delimiter's line end in its header's.
        at -= 2;
    }
}

/// What a part's header says, which stands there; its value begins at `value`.
fn described(form: &[u8], place: Range<usize>, value: usize) -> Option<Part> {
    let header = std::str::from_utf8(form.get(place.clone())?).ok()?;
    let value = value..value;
    let mut part =
        Part { name: "".into(), file: None, kind: "".into(), is_encoded: false, header: place, value };
    for line in header.split("\r\n") {
        if line.starts_with([' ', '\t']) || line.contains(['\r', '\n']) {
            return None;
        }
        let Some((name, said)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                for parameter in said.split(';').skip(1) {
                    let Some((name, value)) = parameter.split_once('=') else { continue };
                    let value = || value.trim().trim_matches('"');
                    match name.trim().to_ascii_lowercase().as_str() {
                        "name" => part.name = value().into(),
                        name if name.starts_with("filename") => part.file = Some(value().into()),
                        _ => {}
                    }
                }
            }
            "content-type" => {
                part.kind = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().into();
            }
            "content-transfer-encoding" => {
                let plain = ["binary", "8bit", "7bit"];
                part.is_encoded = !plain.iter().any(|word| said.trim().eq_ignore_ascii_case(word));
            }
            _ => {}
        }
    }
    Some(part)
}

/// What a boundary in a form is.
enum Line {
    /// The line before a part.
    Begins,
    /// The form's last line.
    Ends,
    /// Part of a file or of a longer boundary.
    Content,
    /// More has to come.
    Cut,
    /// A line to some servers only: with other line ends, or blanks behind it.
    Unclear,
}

/// What the boundary from `start` to `after` is.
fn delimits(form: &[u8], start: usize, after: usize) -> Line {
    let Some(behind) = form.get(after..after + 2) else { return Line::Cut };
    let before = form.get(..start).unwrap_or_default();
    let begins_line = before.is_empty() || before.ends_with(b"\n") || before.ends_with(b"\r");
    let on_its_own = before.is_empty() || before.ends_with(b"\r\n");
    match behind {
        _ if !begins_line => Line::Content,
        b"--" if on_its_own => Line::Ends,
        b"\r\n" if on_its_own => Line::Begins,
        b"--" | [b'\r' | b'\n', _] => Line::Unclear,
        [b' ' | b'\t', _] => {
            let rest = form.get(after..).unwrap_or_default();
            match rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
                None => Line::Cut,
                Some(b'\r' | b'\n') => Line::Unclear,
                Some(_) => Line::Content,
            }
        }
        _ => Line::Content,
    }
}

/// Where `needle` stands behind `from`, at most `most` bytes on.
fn within(form: &[u8], from: usize, most: usize, needle: &[u8]) -> Option<usize> {
    let window = form.get(from..(from + most + needle.len()).min(form.len()))?;
    memmem::find(window, needle)
}

/// Whether a part is the field; `None` for a header that servers could read differently.
fn is_field(header: &[u8], field: &str) -> Option<bool> {
    let header = std::str::from_utf8(header).ok()?;
    // A line that goes on the one before, or ends in another way.
    if header.split("\r\n").any(|line| line.starts_with([' ', '\t']) || line.contains(['\r', '\n'])) {
        return None;
    }
    let mut dispositions = header.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let disposition = dispositions.next()?;
    if dispositions.next().is_some() || disposition.contains('\\') {
        return None;
    }
    let mut named = None;
    let mut is_file = false;
    for parameter in disposition.split(';').skip(1) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "name" if named.is_some() => return None,
            "name" => named = Some(unquoted(value)?),
            // A name in another encoding or in pieces (RFC 2231).
            name if name.starts_with("name*") => return None,
            name if name.starts_with("filename") => is_file = true,
            _ => {}
        }
    }
    // To some servers a file of this name is a field too, and an encoded value is another one.
    let encoded = || header.to_ascii_lowercase().contains("content-transfer-encoding");
    match named {
        Some(name) if name == field => (!is_file && !encoded()).then_some(true),
        _ => Some(false),
    }
}

/// A parameter's value; `None` if it is quoted in part only.
fn unquoted(value: &str) -> Option<&str> {
    let value = value.trim();
    let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!plain.contains('"')).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: &str = "multipart/form-data; boundary=\"b-1\"";

    fn part(name: &str, value: &str) -> String {
        format!("--b-1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    fn file(content: &str) -> String {
        format!(
            "--b-1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b.wav\"\r\ncontent-type: audio/wav\r\n\r\n{content}\r\n"
        )
    }

    fn look(form: &str) -> Look {
        Form::new(KIND).unwrap().look("model", form.as_bytes())
    }

    fn found(form: &str) -> Option<&str> {
        match look(form) {
            Look::Found(range) => Some(&form[range]),
            Look::More | Look::Absent | Look::Unreadable => None,
        }
    }

    #[test]
    fn the_field_is_found_before_and_behind_files() {
        let form =
            format!("{}{}{}--b-1--\r\n", part("language", "en"), part("model", "whisper-1"), file("RIFF"));
        assert_eq!(found(&form), Some("whisper-1"));
        let form = format!("{}{}--b-1--\r\n", file("--b-1 is no delimiter\r\n--b-10"), part("model", "m"));
        assert_eq!(found(&form), Some("m"));
        assert_eq!(found(&format!("{}--b-1--\r\n", part("model", ""))), Some(""));
    }

    #[test]
    fn a_form_without_the_field_ends_and_a_cut_one_waits() {
        assert_eq!(look(&format!("{}--b-1--", file("x"))), Look::Absent);
        let form = format!("{}--b-1--", part("model", "m"));
        let end = form.find("\r\n--b-1--").unwrap() + "\r\n--b-1".len();
        for cut in 0..end {
            assert_eq!(look(&form[..cut]), Look::More, "{cut}");
        }
        assert_eq!(look(&format!("{}--b-1--", file("name=\"model\"\r\n\r\nevil\r\n"))), Look::Absent);
    }

    #[test]
    fn the_parts_of_a_form_are_told_apart() {
        let form = format!(
            "{}{}{}--b-1--\r\n",
            part("purpose", "batch"),
            file("{\"a\":1}\n--b-10"),
            part("empty", "")
        );
        let parts = parts(KIND, form.as_bytes()).unwrap();
        let values: Vec<(&str, Option<&str>, &str, &str)> = parts
            .iter()
            .map(|part| (&*part.name, part.file.as_deref(), &*part.kind, &form[part.value.clone()]))
            .collect();
        assert_eq!(values[0], ("purpose", None, "", "batch"));
        let headers: Vec<&str> = parts.iter().map(|part| &form[part.header.clone()]).collect();
        assert_eq!(headers[0], "Content-Disposition: form-data; name=\"purpose\"");
        assert!(
            headers[1].contains("filename=\"a;b.wav\"") && headers[1].ends_with("audio/wav"),
            "{headers:?}"
        );
        assert_eq!((values[1].0, values[1].2, values[1].3), ("file", "audio/wav", "{\"a\":1}\n--b-10"));
        assert!(values[1].1.is_some());
        assert_eq!(values[2], ("empty", None, "", ""));
        let related = "multipart/related; boundary=b-1";
        let form = "--b-1\r\nContent-Type: application/json; charset=utf-8\r\n\r\n{}\r\n--b-1--";
        let parts = super::parts(related, form.as_bytes()).unwrap();
        assert_eq!((&*parts[0].kind, &form[parts[0].value.clone()]), ("application/json", "{}"));
    }

    #[test]
    fn the_beginning_of_a_form_has_the_parts_that_came() {
        let form = format!("{}{}--b-1--", part("purpose", "batch"), file("some words"));
        let whole = parts(KIND, form.as_bytes()).unwrap();
        assert_eq!(parts_so_far(KIND, form.as_bytes()), Some(whole.clone()));
        let words = form.find("some words").unwrap();
        for cut in 0..form.len() {
            let came = parts_so_far(KIND, &form.as_bytes()[..cut]).unwrap();
            let first = came.first().map(|part| &form[part.value.clone()]);
            assert!(first.is_none_or(|value| "batch\r\n--b-1\r\n".starts_with(value)), "{cut}");
            if cut > words + 3 {
                let last = came.last().unwrap();
                assert_eq!((&last.kind, last.value.start), (&whole[1].kind, words), "{cut}");
                assert!(last.value.end <= cut && last.value.end > words + 3, "{cut}");
            }
        }
        for bad in ["hidden\r\n--b-1\r\n", "--b-1\n", "no form"] {
            let came = parts_so_far(KIND, bad.as_bytes());
            assert!(came.is_none_or(|parts| parts.is_empty()), "{bad}");
        }
        let long = format!("--b-1\r\nx: {}", "y".repeat(PART_HEADER_BYTES_MAX - 3));
        assert_eq!(parts_so_far(KIND, long.as_bytes()), Some(Vec::new()));
        assert_eq!(parts_so_far(KIND, format!("{long}y").as_bytes()), None);
    }

    #[test]
    fn a_form_that_could_be_read_otherwise_has_no_parts() {
        let good = format!("{}--b-1--", part("a", "x"));
        assert!(parts(KIND, good.as_bytes()).is_some());
        for (bad, why) in [
            (part("a", "x"), "it does not end"),
            (format!("hidden\r\n{good}"), "something stands before it"),
            (format!("{good}\r\nhidden"), "something stands behind it"),
            (good.replace("\r\n--b-1--", "\n--b-1--"), "another line end"),
            (good.replace("name=", "\r\n name="), "a header in two lines"),
        ] {
            assert_eq!(parts(KIND, bad.as_bytes()), None, "{why}");
        }
        assert_eq!(parts("text/plain; boundary=b-1", good.as_bytes()), None);
        let encoded = "--b-1\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b-1--";
        assert!(parts(KIND, encoded.as_bytes()).unwrap()[0].is_encoded);
    }

    #[test]
    fn a_form_has_a_largest_number_of_parts() {
        let form = |count: usize| part("a", "x").repeat(count) + "--b-1--";
        assert_eq!(parts(KIND, form(PARTS_MAX).as_bytes()).map(|parts| parts.len()), Some(PARTS_MAX));
        assert_eq!(parts(KIND, form(PARTS_MAX + 1).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn parts_of_any_bytes_lie_within_them_and_in_order(
            pieces in proptest::collection::vec("(--b-1|\r\n|--|a: b|content-disposition: form-data; name=x|\r\n\r\n|[a-z]{0,3})", 0..12)
        ) {
            let form = pieces.concat();
            let mut end = 0;
            for part in parts(KIND, form.as_bytes()).unwrap_or_default() {
                prop_assert!(part.value.start >= end && part.value.end >= part.value.start);
                end = part.value.end;
                prop_assert!(end <= form.len());
            }
        }
    }

    #[test]
    fn a_second_field_of_the_name_is_found_too() {
        let form = format!("{}{}--b-1--", part("model", "one"), part("model", "two"));
        let mut reader = Form::new(KIND).unwrap();
        let mut next = || reader.look("model", form.as_bytes());
        assert!(matches!(next(), Look::Found(range) if &form[range.clone()] == "one"));
        assert!(matches!(next(), Look::Found(range) if &form[range.clone()] == "two"));
        assert_eq!(next(), Look::Absent);
    }

    #[test]
    fn headers_that_servers_could_read_differently_are_not_guessed_at() {
        for name in [
            "name=\"mod\\el\"",
            "name=\"a\\\"b\"",
            "name=\"x\"; name=\"model\"",
            "name=\"x\"; name =\"model\"",
            "name=\"x\"; name*=utf-8''model",
            "name=\"x\"; name*0=mo; name*1=del",
            "name=\"mo\"del",
            "name=\"model\"; filename=\"\"",
            "name=\"model\"\r\nContent-Transfer-Encoding: base64",
            "\r\n name=\"model\"",
            "name=\"x\"\nContent-Disposition: form-data; name=\"model\"",
        ] {
            let form = format!("--b-1\r\nContent-Disposition: form-data; {name}\r\n\r\nm\r\n--b-1--");
            assert_eq!(look(&form), Look::Unreadable, "{name}");
        }
        assert_eq!(look("--b-1\r\nX: y\r\n\r\nm\r\n--b-1--"), Look::Unreadable);
        let blank = "--b-1\r\nContent-Disposition: form-data; name = \"model\"\r\n\r\nm\r\n--b-1--";
        assert_eq!(found(blank), Some("m"));
    }

    #[test]
    fn delimiters_that_servers_could_read_differently_are_not_guessed_at() {
        let field = "Content-Disposition: form-data; name=\"model\"\r\n\r\nm";
        for form in [
            format!("{}\n--b-1\r\n{field}\r\n--b-1--", file("x").trim_end()),
            format!("--b-1\n{field}\r\n--b-1--"),
            format!("--b-1 \r\n{field}\r\n--b-1--"),
            format!("{}--b-1--\r\n--b-1\r\n{field}\r\n--b-1--", file("x")),
        ] {
            assert_eq!(look(&form), Look::Unreadable, "{form}");
        }
    }

    #[test]
    fn headers_and_values_have_a_limit() {
        let header = |length: usize| {
            let start = "content-disposition: form-data; name=\"model\"\r\nx: ";
            format!("--b-1\r\n{start}{}\r\n\r\nm\r\n--b-1--", "y".repeat(length - start.len()))
        };
        assert_eq!(found(&header(PART_HEADER_BYTES_MAX)), Some("m"));
        assert_eq!(look(&header(PART_HEADER_BYTES_MAX + 1)), Look::Unreadable);
        let value = |length: usize| format!("{}--b-1--", part("model", &"m".repeat(length)));
        assert!(found(&value(VALUE_BYTES_MAX)).is_some());
        assert_eq!(look(&value(VALUE_BYTES_MAX + 1)), Look::Unreadable);
    }

    #[test]
    fn only_forms_with_files_and_a_boundary_are_looked_at() {
        for kind in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a; Boundary =b",
            "multipart/form-data; boundary=a; boundary*=utf-8''b",
            "multipart/form-data; boundary=\"a;b\"",
            "multipart/mixed; boundary=b",
        ] {
            assert!(Form::new(kind).is_none(), "{kind}");
        }
        assert!(Form::new(&format!("multipart/form-data; boundary={}", "b".repeat(70))).is_some());
        assert!(Form::new(&format!("multipart/form-data; boundary={}", "b".repeat(71))).is_none());
    }

    proptest! {
        #[test]
        fn any_gathering_finds_the_same(
            before in "[a-z\r\n-]{0,60}", value in "[a-z0-9-]{0,20}", cuts in proptest::collection::vec(0usize..400, 0..12),
        ) {
            let form = format!("{}{}{}--b-1--", file(&before), part("model", &value), file("x"));
            let whole = look(&form);
            let mut reader = Form::new(KIND).unwrap();
            let mut cuts = cuts;
            cuts.push(form.len());
            cuts.sort_unstable();
            let mut last = Look::More;
            for cut in cuts {
                if last == Look::More {
                    last = reader.look("model", &form.as_bytes()[..cut.min(form.len())]);
                }
            }
            prop_assert_eq!(last, whole);
        }

        #[test]
        fn no_input_panics(form in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Form::new("multipart/form-data; boundary=-").unwrap();
            let _ = reader.look("model", &form);
        }
    }
}
