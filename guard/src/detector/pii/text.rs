//! Bytes of a text as detectors see them: letters and digits, words, and what stands next to a value.

/// A digit.
pub(super) const DIGIT: u8 = 1;
/// An ASCII capital.
pub(super) const UPPER: u8 = 2;
/// An ASCII small letter.
pub(super) const LOWER: u8 = 4;
/// Any ASCII letter.
pub(super) const LETTER: u8 = UPPER | LOWER;
/// A letter or a digit.
pub(super) const WORD: u8 = DIGIT | LETTER;

/// Bytes of the longest run of letters and digits that is looked at; longer ones are no value of any kind.
pub(super) const MAX_TOKEN: usize = 128;

const KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// The kind of a byte: one of [`DIGIT`], [`UPPER`] and [`LOWER`], or 0.
#[inline(always)]
pub(super) fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

/// The byte at a place, or 0 outside of the text.
#[inline(always)]
pub(super) fn at(text: &[u8], place: usize) -> u8 {
    text.get(place).copied().unwrap_or(0)
}

/// The byte before a place, or 0 at the beginning.
#[inline(always)]
pub(super) fn before(text: &[u8], place: usize) -> u8 {
    place.checked_sub(1).map_or(0, |place| at(text, place))
}

/// The run of letters and digits that begins at a place: its end, and the kinds in it. At most [`MAX_TOKEN`] bytes.
#[inline]
pub(super) fn run(text: &[u8], start: usize) -> (usize, u8) {
    let (mut end, mut seen) = (start, 0);
    while end - start < MAX_TOKEN {
        let kind = kind(at(text, end));
        if kind == 0 {
            break;
        }
        seen |= kind;
        end += 1;
    }
    (end, seen)
}

/// The run of letters and digits that ends at a place: its start, and the kinds in it. At most [`MAX_TOKEN`] bytes.
#[inline]
pub(super) fn run_back(text: &[u8], end: usize) -> (usize, u8) {
    let (mut start, mut seen) = (end, 0);
    while end - start < MAX_TOKEN {
        let kind = kind(before(text, start));
        if kind == 0 {
            break;
        }
        seen |= kind;
        start -= 1;
    }
    (start, seen)
}

/// What the bytes from a place on are, as sets of bits: bit `i` stands for byte `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds {
    /// Digits.
    pub(super) digits: u32,
    /// Letters and digits.
    pub(super) words: u32,
}

/// The kinds of the 32 bytes from a place on; beyond the end of the text there is nothing.
pub(super) fn kinds_from(text: &[u8], start: usize) -> Kinds {
    let bytes = text.get(start..).unwrap_or_default();
    bytes.iter().take(32).zip(0u32..).fold(Kinds::default(), |kinds, (&byte, at)| {
        let kind = kind(byte);
        Kinds {
            digits: kinds.digits | u32::from(kind & DIGIT) << at,
            words: kinds.words | u32::from(kind != 0) << at,
        }
    })
}

/// Whether a place follows an escape of source code, such as the two characters `\\n`: its letter is not a part of a value.
pub(super) fn escape(text: &[u8], place: usize) -> bool {
    matches!(before(text, place), b'n' | b'r' | b't')
        && place.checked_sub(1).is_some_and(|place| before(text, place) == b'\\')
}

/// Whether a byte joins two parts of one number, name or path: a number next to it is a part of something longer.
fn joins(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'/')
}

/// Whether a run looks like a part of a number: it has a digit, or is short and hexadecimal (as in a UUID).
fn numeric(run: &[u8], seen: u8) -> bool {
    seen & DIGIT != 0 || (run.len() == 4 && run.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a run beside a value looks like one more of its groups: digits, or a pair of hexadecimal ones.
fn same_kind(run: &[u8], seen: u8) -> bool {
    seen == DIGIT || (run.len() == 2 && run.iter().all(u8::is_ascii_hexdigit))
}

/// Whether the value that begins at a place, with a first group of `group` bytes, continues something to its left.
pub(super) fn joined_left(text: &[u8], start: usize, group: usize) -> bool {
    let byte = before(text, start);
    if byte == b'_' || byte == b'+' {
        return true;
    }
    if joins(byte) {
        let (from, seen) = run_back(text, start - 1);
        let run = text.get(from..start - 1).unwrap_or_default();
        // A number behind a slash is a part of a path.
        return numeric(run, seen) || (byte == b'/' && group == 0 && !run.is_empty());
    }
    if byte == b' ' && group != 0 {
        let (from, seen) = run_back(text, start - 1);
        return start - 1 - from == group && same_kind(text.get(from..start - 1).unwrap_or_default(), seen);
    }
    false
}

/// Whether the value that ends at a place, with a last group of `group` bytes, goes on to its right.
pub(super) fn joined_right(text: &[u8], end: usize, group: usize) -> bool {
    let byte = at(text, end);
    if byte == b'_' || kind(byte) != 0 {
        return true;
    }
    if joins(byte) {
        let (to, seen) = run(text, end + 1);
        return numeric(text.get(end + 1..to).unwrap_or_default(), seen);
    }
    if byte == b' ' && group != 0 {
        let (to, seen) = run(text, end + 1);
        return to - end - 1 == group && same_kind(text.get(end + 1..to).unwrap_or_default(), seen);
    }
    false
}

/// Most groups beside a value that are counted.
const GROUPS_MAX: usize = 2;

/// How many groups of so many digits stand before and behind a value, each behind one blank; counted to [`GROUPS_MAX`] on
/// each side.
pub(super) fn groups_beside(text: &[u8], value: &std::ops::Range<usize>, group: usize) -> usize {
    let (mut left, mut right) = (0, 0);
    let mut start = value.start;
    while left < GROUPS_MAX && before(text, start) == b' ' {
        let (from, seen) = run_back(text, start - 1);
        if start - 1 - from != group || seen != DIGIT {
            break;
        }
        (left, start) = (left + 1, from);
    }
    let mut end = value.end;
    while right < GROUPS_MAX && at(text, end) == b' ' {
        let (to, seen) = run(text, end + 1);
        if to - end - 1 != group || seen != DIGIT {
            break;
        }
        (right, end) = (right + 1, to);
    }
    left + right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_beside_a_value_are_counted() {
        let text = b"1 22 3333 4444 VVVV 5555 66";
        assert_eq!(groups_beside(text, &(15..19), 4), 3);
        assert_eq!(groups_beside(text, &(15..19), 3), 0);
        assert_eq!(groups_beside(b"1111 2222 3333 VVVV", &(15..19), 4), GROUPS_MAX);
        assert_eq!(groups_beside(b"VVVV", &(0..4), 4), 0);
    }

    #[test]
    fn a_part_of_something_longer_is_no_value() {
        let left = |text: &str, start, group| joined_left(text.as_bytes(), start, group);
        assert!(left("1-23", 2, 0) && left("1.23", 2, 0) && left("a_23", 2, 0) && left("+23", 1, 0));
        assert!(left("abcd-23", 5, 0), "hexadecimal groups of a UUID");
        assert!(!left("id-23", 3, 0) && !left("12 23", 3, 0) && !left(": 23", 2, 2) && !left("23", 0, 2));
        assert!(left("12 23", 3, 2) && !left("123 23", 4, 2));
        let right = |text: &str, end, group| joined_right(text.as_bytes(), end, group);
        assert!(right("23-1", 2, 0) && right("23.1", 2, 0) && right("23_", 2, 0) && right("23a", 2, 0));
        assert!(
            !right("23. End", 2, 0) && !right("23, 1", 2, 0) && !right("23", 2, 0) && right("23 45", 2, 2)
        );
    }
}
