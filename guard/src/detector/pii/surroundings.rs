//! What a number stands in: a table of codes, an array of constants, hexadecimal bytes. A value there is none, however
//! well it is formed. Only what validates is looked at, so none of this is on the way of ordinary text.

use std::ops::Range;

use super::text::{self, DIGIT};

/// Digits of a number that no identifier has: 64 bits in decimal.
const CONSTANT_DIGITS: usize = 20;

/// Bytes on either side of a number in which such a constant makes it one of an array's.
const CONSTANT_REACH: usize = 64;

/// Digits of one group of a table of code points (`542E 542F 5430`): four, or five beyond the first plane.
const CODE_POINT: std::ops::RangeInclusive<usize> = 4..=5;

/// Lines on either side of a number whose first field is compared with its own.
const ROWS: usize = 2;

/// Bytes before and behind a number in which those lines are looked for.
const ROWS_REACH: usize = 240;

/// Most digits of a key that is shorter than any telephone number.
const KEY_DIGITS: usize = 7;

/// Digits with which keys of different lengths begin alike.
const KEY_BEGINS: usize = 4;

/// How far the keys of neighbouring rows are apart at most.
const KEY_STEP: u64 = 20;

/// Bytes before a value in which the name of a function that reads hexadecimal digits stands.
const FUNCTION_REACH: usize = 24;

/// The bytes of a range.
fn part(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

/// Whether groups of four digits stand in a table of hexadecimal code points: the group before or behind them, be it on
/// the next line, has a letter among its digits, or they count up.
pub(super) fn code_points(text: &[u8], value: &Range<usize>) -> bool {
    counts_up(part(text, value.clone())) || beside_code_points(text, value)
}

/// Groups that are one more than the one before them, at least, for a table.
const STEPS: usize = 2;

/// Whether most groups are one more than the one before them: `7944 7945 7946`.
fn counts_up(value: &[u8]) -> bool {
    let numbers: Vec<Option<u64>> = value.split(|byte| *byte == b' ').map(super::checksum::number).collect();
    let step = |pair: &[Option<u64>]| matches!(pair, [Some(a), Some(b)] if *b == a + 1);
    numbers.windows(2).filter(|pair| step(pair)).count() >= STEPS
}

fn beside_code_points(text: &[u8], value: &Range<usize>) -> bool {
    let code_point = |run: &[u8]| {
        CODE_POINT.contains(&run.len())
            && run.iter().all(u8::is_ascii_hexdigit)
            && run.iter().any(u8::is_ascii_digit)
            && run.iter().any(u8::is_ascii_uppercase)
    };
    let blank = |byte: u8| matches!(byte, b' ' | b'\n' | b'\t');
    let before = text.get(..value.start).unwrap_or_default();
    let left = before.iter().rev().take(2).take_while(|byte| blank(**byte)).count();
    let (from, _) = text::run_back(text, value.start - left);
    let behind = text.get(value.end..).unwrap_or_default();
    let right = value.end + behind.iter().take(2).take_while(|byte| blank(**byte)).count();
    let (to, _) = text::run(text, right);
    left > 0 && code_point(part(text, from..value.start - left))
        || right > value.end && code_point(part(text, right..to))
}

/// Whether a number stands beside one that is too long for anything but a constant, as in tests of arithmetic.
pub(super) fn constants(text: &[u8], value: &Range<usize>) -> bool {
    let holds =
        |part: &[u8]| part.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() == CONSTANT_DIGITS);
    holds(part(text, value.start.saturating_sub(CONSTANT_REACH)..value.start))
        || holds(part(text, value.end..(value.end + CONSTANT_REACH).min(text.len())))
}

/// Whether a number is the key of a row in a table of codes: it begins its line, and the rows next to it have keys that
/// are shorter than telephone numbers, that count up to it, or that begin alike and are longer or shorter.
pub(super) fn key_of_row(text: &[u8], value: &Range<usize>) -> bool {
    let byte = text::before(text, value.start);
    let separator = text::at(text, value.end);
    if !matches!(byte, b'\n' | 0) || !matches!(separator, b'|' | b',' | b';' | b'\t') {
        return false;
    }
    let own = part(text, value.clone());
    if !own.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let key = |line: &[u8]| {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0 && line.get(digits) == Some(&separator))
            .then(|| line.get(..digits))
            .flatten()
            .map(<[u8]>::to_vec)
    };
    let before = part(text, value.start.saturating_sub(ROWS_REACH)..value.start.saturating_sub(1));
    let behind = part(text, value.end..(value.end + ROWS_REACH).min(text.len()));
    let above = before.rsplit(|byte| *byte == b'\n').take(ROWS);
    let below = behind.split(|byte| *byte == b'\n').skip(1).take(ROWS);
    let code = |key: Vec<u8>| {
        let step = super::checksum::number(&key).zip(super::checksum::number(own));
        let near = key.len() == own.len() && step.is_some_and(|(a, b)| a.abs_diff(b) <= KEY_STEP);
        let begins = key.len() != own.len() && key.get(..KEY_BEGINS) == own.get(..KEY_BEGINS);
        key.len() <= KEY_DIGITS || near || begins
    };
    above.chain(below).filter_map(key).any(code)
}

/// Whether a value is the argument of a function that reads hexadecimal digits: `hex!("02 03 01 00 01")`.
pub(super) fn hexadecimal(text: &[u8], start: usize) -> bool {
    let before = part(text, start.saturating_sub(FUNCTION_REACH)..start);
    let quote = before.iter().rposition(|byte| !matches!(byte, b'"' | b'\'' | b'b' | b'&' | b'`'));
    let Some(name) = quote.and_then(|last| before.get(..=last)).and_then(|name| name.strip_suffix(b"("))
    else {
        return false;
    };
    let name = name.strip_suffix(b"!").unwrap_or(name).to_ascii_lowercase();
    name.ends_with(b"hex") || name.ends_with(b"hexlify")
}

/// Whether digits are a limit of integers (a power of two, give or take one) or such a number in octal.
pub(super) fn limit(digits: &[u8]) -> bool {
    let octal = matches!(digits, [b'0', b'1' | b'3' | b'7', rest @ ..]
        if rest.len() > 6 && (rest.iter().all(|digit| *digit == b'7') || rest.iter().all(|digit| *digit == b'0')));
    let power = |value: u64| value.is_power_of_two() || value.saturating_add(1).is_power_of_two();
    octal || digits.first() != Some(&b'0') && super::checksum::number(digits).is_some_and(power)
}

/// Whether what is read as a telephone number is something else: a time, a decimal number, a limit of integers, bytes, a
/// key, the last part of a name in a URL.
pub(super) fn no_telephone(text: &[u8], value: &Range<usize>) -> bool {
    let digits = part(text, value.clone());
    let bare = digits.iter().all(u8::is_ascii_digit);
    if bare {
        return limit(digits) || key_of_row(text, value) || named(text, value.start);
    }
    let time = text::at(text, value.end) == b':'
        && text::at(text, value.end + 1).is_ascii_digit()
        && digits.contains(&b'/');
    time || dotted_date(digits) || decimal(digits) || hexadecimal(text, value.start)
}

/// Digits before a decimal point that no telephone number has in one group before its last dot.
const WHOLE_DIGITS: usize = 6;

/// Whether a value is a number with a sign and decimals, `+35236450.6`.
fn decimal(value: &[u8]) -> bool {
    let mut groups = value.strip_prefix(b"+").unwrap_or(value).split(|byte| *byte == b'.');
    let (Some(whole), Some(decimals), None) = (groups.next(), groups.next(), groups.next()) else {
        return false;
    };
    whole.len() >= WHOLE_DIGITS
        && whole.iter().chain(decimals).all(u8::is_ascii_digit)
        && decimals.len() < whole.len()
}

/// Whether a value is a date, `01.12.2018`.
fn dotted_date(value: &[u8]) -> bool {
    let [d1, d2, b'.', m1, m2, b'.', year @ ..] = value else { return false };
    year.len() == 4 && date(&[year, &[*m1, *m2, *d1, *d2]].concat())
}

/// Whether a number ends a name in a URL, `https://…#comment-515575677`.
fn named(text: &[u8], start: usize) -> bool {
    let before = part(text, start.saturating_sub(super::email::URL_REACH)..start);
    let blank =
        before.iter().rposition(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'"' | b'\'' | b'<' | b'('));
    let word = blank.map_or(before, |at| before.get(at + 1..).unwrap_or_default());
    word.ends_with(b"-") && memchr::memmem::find(word, b"://").is_some()
}

/// Whether a run of digits is a date, `20240318`.
pub(super) fn date(digits: &[u8]) -> bool {
    let [y1, y2, _, _, m1, m2, d1, d2] = digits else { return false };
    let two = |a: &u8, b: &u8| u32::from(a & 15) * 10 + u32::from(b & 15);
    digits.iter().all(|byte| text::kind(*byte) == DIGIT)
        && (19..=20).contains(&two(y1, y2))
        && (1..=12).contains(&two(m1, m2))
        && (1..=31).contains(&two(d1, d2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, value: &str) -> Range<usize> {
        let start = text.find(value).unwrap();
        start..start + value.len()
    }

    #[test]
    fn groups_in_a_table_of_code_points_are_told() {
        let table = |text: &str| code_points(text.as_bytes(), &place(text, "5430 5439 5432 5455"));
        for text in [
            "542F 5430 5439 5432 5455 5434",
            "5430 5439 5432 5455 20BBF",
            "5411\n5430 5439 5432 5455\n543A",
            "542A\n5430 5439 5432 5455",
        ] {
            assert!(table(text), "{text}");
        }
        for text in [
            "card 5430 5439 5432 5455 1225",
            "Dean 5430 5439 5432 5455 face",
            "5430 5439 5432 5455 12C",
            "542F, 5430 5439 5432 5455",
        ] {
            assert!(!table(text), "{text}");
        }
    }

    #[test]
    fn groups_that_count_up_are_told() {
        for value in ["4100 7944 7945 7946", "5153 5154 5155 5156", "7944 7945 7946 4100"] {
            assert!(counts_up(value.as_bytes()), "{value}");
        }
        for value in ["4100 4101 7945 7949", "4111 1111 1111 1111", "7946 7945 7944 7943", "7944-7945-7946"] {
            assert!(!counts_up(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn constants_are_told_by_one_that_is_too_long() {
        let told = |text: &str| constants(text.as_bytes(), &place(text, "5503284107318959"));
        assert!(told("f(11270725851789228032, 435, 5503284107318959, 446)"));
        assert!(told("f(5503284107318959, 446, 11, 11270725851789228032)"));
        assert!(!told("1127072585178922803, 5503284107318959, 112707258517892280321"));
        let at = |gap: usize| told(&format!("11270725851789228032{}5503284107318959", " ".repeat(gap)));
        assert_eq!((at(CONSTANT_REACH - 20), at(CONSTANT_REACH - 19)), (true, false));
    }

    #[test]
    fn keys_of_a_table_are_told_by_their_neighbours() {
        let key = |text: &str, value: &str| key_of_row(text.as_bytes(), &place(text, value));
        assert!(key("467012|SPINBOX\n46701332|EU Tel\n46701334|EU Tel", "46701332"));
        assert!(
            key("26269303|SFR\n26269304|SFR\n", "26269304")
                && key("26269303|SFR\n26269304|SFR\n", "26269303")
        );
        assert!(key("1,a\n2,b\n46701332,c", "46701332"));
        assert!(key("553399979|Telemig\n55339998|Telemig\n", "55339998"));
        for (text, value) in [
            ("4155552671,Ann\n4155558113,Bob\n", "4155558113"),
            ("14155552671,Ann\n4155558113,Bob\n", "4155558113"),
            ("phone|name\n46701332|EU Tel\n", "46701332"),
            ("12 46701332|x\n12|y", "46701332"),
            ("7|x\n46701332 y", "46701332"),
        ] {
            assert!(!key(text, value), "{text}");
        }
        let step = |by: u64| key(&format!("26269303|a\n{}|b", 26_269_303 + by), "26269303");
        assert_eq!((step(KEY_STEP), step(KEY_STEP + 1)), (true, false));
    }

    #[test]
    fn what_is_no_telephone_number() {
        for (text, value) in [
            ("hex!(\"02 03 01 00 01\")", "02 03 01 00 01"),
            ("bytes.fromhex('02 03 01 00 01')", "02 03 01 00 01"),
            ("ends on 01.12.2018.", "01.12.2018"),
            ("v 0.9 1997/11/07 05:05:32", "0.9 1997/11/07 05"),
            ("Decimal('+35236450.6')", "+35236450.6"),
            ("larger than (4294967295)", "4294967295"),
            ("Octal number > 037777777777", "037777777777"),
            ("https://host.com/x/issues/211#issuecomment-515575677", "515575677"),
        ] {
            assert!(no_telephone(text.as_bytes(), &place(text, value)), "{text}");
        }
        for (text, value) in [
            ("call(\"02 33 01 00 01\")", "02 33 01 00 01"),
            ("+1.8005550123", "+1.8005550123"),
            ("+1.415.555.2671", "+1.415.555.2671"),
            ("06.12.20.18.44", "06.12.20.18.44"),
            ("03 44 12 34 56: Ann", "03 44 12 34 56"),
            ("4155552671", "4155552671"),
            ("phone-4155552671", "4155552671"),
            ("https://wa.me/4155552671", "4155552671"),
            ("0171777777", "0171777777"),
        ] {
            assert!(!no_telephone(text.as_bytes(), &place(text, value)), "{text}");
        }
    }

    #[test]
    fn limits_and_dates() {
        for digits in ["2147483647", "2147483648", "4294967295", "4294967296", "037777777777", "01000000000"]
        {
            assert!(limit(digits.as_bytes()), "{digits}");
        }
        for digits in ["2147483649", "4155552671", "0377777772", "0171777777"] {
            assert!(!limit(digits.as_bytes()), "{digits}");
        }
        assert!(date(b"20240318") && date(b"19991231"));
        assert!(!date(b"20241318") && !date(b"20240332") && !date(b"18991231") && !date(b"2024031"));
    }

    proptest::proptest! {
        #[test]
        fn every_place_has_an_answer(text in "[0-9A-F|.,:( \n\"hex!-]{0,80}", from in 0usize..80, len in 0usize..20) {
            let text = text.as_bytes();
            let from = from.min(text.len());
            let value = from..(from + len).min(text.len());
            let _ = (code_points(text, &value), constants(text, &value), no_telephone(text, &value));
        }
    }
}
