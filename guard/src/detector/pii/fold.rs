//! Numbers written with characters beyond ASCII: full-width digits and letters, blanks that do not break, typographic
//! dashes, characters without width.

use std::ops::Range;

/// A text with such characters replaced by the ASCII ones that they stand for, and where its bytes come from.
pub(super) struct Folded {
    text: Vec<u8>,
    shifts: Vec<Shift>,
}

/// From a place of the folded text on, bytes stand further back in the original.
struct Shift {
    /// Values that begin here or later begin `bytes` further back.
    start: usize,
    /// Values that end here or later end `bytes` further back.
    end: usize,
    bytes: usize,
}

/// What a character becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Keep,
    Drop,
    To(u8),
}

/// What a character of two or three bytes would become.
fn replacement(letter: &[u8]) -> Fold {
    match *letter {
        // No-break space; figure, thin and narrow spaces.
        [0xC2, 0xA0] | [0xE2, 0x80, 0x87 | 0x89 | 0xAF] => Fold::To(b' '),
        // Hyphen, non-breaking hyphen, figure dash, en dash; minus sign.
        [0xE2, 0x80, 0x90..=0x93] | [0xE2, 0x88, 0x92] => Fold::To(b'-'),
        // Soft hyphen; zero-width space, non-joiner, joiner; word joiner; byte order mark.
        [0xC2, 0xAD] | [0xE2, 0x80, 0x8B..=0x8D] | [0xE2, 0x81, 0xA0] | [0xEF, 0xBB, 0xBF] => Fold::Drop,
        [0xEF, ..] => wide(letter).map_or(Fold::Keep, Fold::To),
        _ => Fold::Keep,
    }
}

/// The ASCII character of a full-width one: U+FF01 to U+FF5E are 0x21 to 0x7E.
fn wide(letter: &[u8]) -> Option<u8> {
    match *letter {
        [0xEF, 0xBC, last @ 0x81..=0xBF] => Some(last - 0x60),
        [0xEF, 0xBD, last @ 0x80..=0x9E] => Some(last - 0x20),
        _ => None,
    }
}

/// What the character at a place becomes. It depends on its neighbours alone: a blank, a dash or a mark is read as ASCII
/// next to a digit, a full-width mark and a character without width between letters too.
fn fold(bytes: &[u8], place: usize, letter: &[u8]) -> Fold {
    let replacement = replacement(letter);
    let is_wide = wide(letter).is_some();
    match replacement {
        Fold::Keep => return Fold::Keep,
        Fold::To(b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'@') if is_wide => return replacement,
        _ => {}
    }
    let plain = |place: usize| bytes.get(place).copied().filter(u8::is_ascii);
    let before = place.checked_sub(1).and_then(plain);
    let before =
        before.or_else(|| wide(place.checked_sub(3).and_then(|from| bytes.get(from..place))?)).unwrap_or(0);
    let end = place + letter.len();
    let after = plain(end).or_else(|| wide(bytes.get(end..end + 3)?)).unwrap_or(0);
    let parenthesis = matches!(replacement, Fold::To(b'(' | b')'));
    let inside = (is_wide || replacement == Fold::Drop) && !parenthesis;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'@';
    let fits = before.is_ascii_digit() || after.is_ascii_digit() || (inside && word(before) && word(after));
    if fits { replacement } else { Fold::Keep }
}

/// Bytes of the character that begins with a byte.
fn width(first: u8) -> usize {
    match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0.. => 4,
        _ => 1,
    }
}

/// The text folded, if it has a character to fold.
pub(super) fn folded(text: &str) -> Option<Folded> {
    if text.is_ascii() {
        return None;
    }
    let bytes = text.as_bytes();
    if !worthwhile(bytes) {
        return None;
    }
    let mut folded = Folded { text: Vec::with_capacity(bytes.len()), shifts: Vec::new() };
    let (mut place, mut bytes_dropped) = (0, 0);
    while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
        let plain = rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        folded.text.extend_from_slice(rest.get(..plain).unwrap_or_default());
        place += plain;
        let end = place + width(bytes.get(place).copied().unwrap_or(0));
        let letter = bytes.get(place..end).unwrap_or_default();
        let at = folded.text.len();
        match fold(bytes, place, letter) {
            Fold::Keep => folded.text.extend_from_slice(letter),
            Fold::Drop => {
                bytes_dropped += letter.len();
                folded.shifts.push(Shift { start: at, end: at + 1, bytes: bytes_dropped });
            }
            Fold::To(ascii) => {
                folded.text.push(ascii);
                bytes_dropped += letter.len() - 1;
                folded.shifts.push(Shift { start: at + 1, end: at + 1, bytes: bytes_dropped });
            }
        }
        place = end;
    }
    Some(folded)
}

/// Whether any character is to be folded.
fn worthwhile(bytes: &[u8]) -> bool {
    memchr::memchr3_iter(0xC2, 0xE2, 0xEF, bytes).any(|place| {
        let end = place + width(bytes.get(place).copied().unwrap_or(0));
        bytes.get(place..end).is_some_and(|letter| fold(bytes, place, letter) != Fold::Keep)
    })
}

impl Folded {
    /// The folded text.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where a value of the folded text stands in the original.
    pub(super) fn origin(&self, start: usize, end: usize) -> Range<usize> {
        let bytes = |count: usize| {
            count.checked_sub(1).and_then(|last| self.shifts.get(last)).map_or(0, |shift| shift.bytes)
        };
        let before = self.shifts.partition_point(|shift| shift.start <= start);
        let within = self.shifts.partition_point(|shift| shift.end <= end);
        start + bytes(before)..end + bytes(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_stand() {
        for (text, plain, value) in [
            ("é ４１１１ x", "4111", "４１１１"),
            ("a 12\u{a0}34\u{202f}56 b", "12 34 56", "12\u{a0}34\u{202f}56"),
            ("a 12\u{2011}34, 5", "12-34", "12\u{2011}34"),
            ("é\u{200b}1\u{200b}2\u{200b} 3", "12", "1\u{200b}2"),
            ("ａ＠b．com １", "a@b.com", "ａ＠b．com"),
        ] {
            let folded = folded(text).unwrap();
            let whole = std::str::from_utf8(folded.text()).unwrap();
            let start = whole.find(plain).unwrap();
            assert_eq!(&text[folded.origin(start, start + plain.len())], value);
        }
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in [
            "plain 123",
            "naïve — “quoted” text…",
            "中文，文字。",
            "a\u{a0}: b",
            "été\u{a0}!",
            "日本語（カタカナ）",
        ] {
            assert!(folded(text).is_none(), "{text}");
        }
    }
}
