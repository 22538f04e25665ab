//! Escapes: undone for searching, and found again for masking.
//!
//! RFC 8259 §7. What is no escape is taken as it stands, and half a surrogate pair as U+FFFD: the text is searched, not
//! judged.

use memchr::memchr;

/// Appends the text of a raw string (what stands between its quotes) to `out`.
pub fn decode(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let (character, length) = escape(escaped);
        out.push(character);
        rest = escaped.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Turns places in the decoded text, in rising order, into places in the raw string. A place is a character boundary.
pub fn locate(raw: &str, places: &mut [usize]) {
    let (mut at, mut decoded, mut next) = (0, 0, 0);
    while let Some(found) = memchr(b'\\', raw.as_bytes().get(at..).unwrap_or_default()) {
        // Up to and with the beginning of the escape both run alike.
        next += settle(places.get_mut(next..).unwrap_or_default(), decoded, decoded + found, at);
        if next == places.len() {
            return;
        }
        let (character, length) = escape(raw.get(at + found..).unwrap_or_default());
        at += found + length;
        decoded += found + character.len_utf8();
    }
    settle(places.get_mut(next..).unwrap_or_default(), decoded, usize::MAX, at);
}

/// [`locate`] for ranges in any order, which may overlap. Reads the raw string once, however many there are.
pub fn locate_ranges(raw: &str, ranges: &mut [[usize; 2]]) {
    if let [range] = ranges {
        return locate(raw, range);
    }
    let mut places: Vec<usize> = ranges.iter().flatten().copied().collect();
    places.sort_unstable();
    let mut located = places.clone();
    locate(raw, &mut located);
    for place in ranges.iter_mut().flatten() {
        let at = places.partition_point(|other| other < place);
        *place = located.get(at).copied().unwrap_or(*place);
    }
}

/// Settles the places up to `last`, of a stretch that begins at `decoded` and at `raw`; how many there were.
fn settle(places: &mut [usize], decoded: usize, last: usize, raw: usize) -> usize {
    let mut settled = 0;
    for place in places.iter_mut().take_while(|place| **place <= last) {
        *place = place.saturating_sub(decoded) + raw;
        settled += 1;
    }
    settled
}

/// The character of the escape that `text` begins with, and how many bytes it takes.
fn escape(text: &str) -> (char, usize) {
    let simple = |character| (character, 2);
    match text.as_bytes().get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'/') => simple('/'),
        Some(b'u') => unicode(text),
        // No escape: the backslash is text.
        _ => ('\\', 1),
    }
}

fn unicode(text: &str) -> (char, usize) {
    let Some(first) = unit(text) else { return ('\\', 1) };
    if let Some(character) = char::from_u32(first) {
        return (character, 6);
    }
    let second = text.get(6..).filter(|rest| rest.starts_with("\\u")).and_then(unit);
    let pair = second.filter(|second| first < 0xDC00 && (0xDC00..0xE000).contains(second));
    let character =
        pair.and_then(|second| char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)));
    character.map_or((char::REPLACEMENT_CHARACTER, 6), |character| (character, 12))
}

/// The UTF-16 code unit of the escape that `text` begins with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}
