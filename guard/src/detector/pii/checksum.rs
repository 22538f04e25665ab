//! Check digits that several identifiers share. All are total: input of another shape is simply not valid.

/// The value of an ASCII digit. Other bytes give a number above 9.
pub(super) fn digit(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0'))
}

/// The digits of a value that has exactly `N` bytes, all of them digits.
pub(super) fn digits<const N: usize>(value: &[u8]) -> Option<[u32; N]> {
    let bytes: &[u8; N] = value.try_into().ok()?;
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(digit))
}

/// The value of a digit (0 to 9) or a letter (10 to 35) in base 36.
pub(super) fn base36(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(36)
}

/// A value of at most 19 digits as a number.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

/// The sum of products of digits and weights, up to the shorter of both.
pub(super) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// Luhn's formula (ISO/IEC 7812-1, annex B) over digits, the last of which is the check digit.
pub(super) fn luhn(value: &[u8]) -> bool {
    let mut sum = 0;
    for (place, &byte) in value.iter().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return false;
        }
        let digit = digit(byte) << (place & 1);
        sum += if digit > 9 { digit - 9 } else { digit };
    }
    !value.is_empty() && sum.is_multiple_of(10)
}

/// The remainder by 97 of digits and letters, a letter standing for two digits (ISO/IEC 7064, MOD 97-10).
pub(super) fn mod97(value: impl IntoIterator<Item = u8>) -> Option<u32> {
    let mut rest = 0;
    for byte in value {
        let digit = base36(byte)?;
        rest = (rest * if digit > 9 { 100 } else { 10 } + digit) % 97;
    }
    Some(rest)
}

/// ISO/IEC 7064, MOD 11,10, over digits, the last of which is the check digit.
pub(super) fn mod11_10(value: &[u8]) -> bool {
    let Some((check, body)) = value.split_last() else { return false };
    let mut product = 10;
    for &byte in body {
        let sum = (digit(byte) + product) % 10;
        product = (if sum == 0 { 10 } else { sum } * 2) % 11;
    }
    value.iter().all(u8::is_ascii_digit) && (product + digit(*check)) % 10 == 1
}

/// Verhoeff's check (J. Verhoeff, "Error Detecting Decimal Codes", 1969), the last digit being the check digit.
pub(super) fn verhoeff(value: &[u8]) -> bool {
    let mut check = 0;
    for (place, &byte) in value.iter().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return false;
        }
        check = dihedral(check, permuted(place, digit(byte)));
    }
    !value.is_empty() && check == 0
}

/// The product in the dihedral group of order ten: 0 to 4 are rotations, 5 to 9 reflections.
fn dihedral(a: u32, b: u32) -> u32 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b) % 5,
        (false, true) => 5 + (a - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Verhoeff's permutation, applied as often as the place says.
fn permuted(place: usize, digit: u32) -> u32 {
    const STEP: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut digit = digit;
    for _ in 0..place % 8 {
        digit = usize::try_from(digit).ok().and_then(|digit| STEP.get(digit).copied()).unwrap_or(0);
    }
    digit
}

/// Whether all bytes are equal: numbers that forms and tests are filled with.
pub(super) fn uniform(value: &[u8]) -> bool {
    value.windows(2).all(|pair| pair.first() == pair.last())
}

/// Whether two digits of a year, a month and a day make a date: the month 1 to 12, the day no later than the month has.
pub(super) fn is_day(month: u32, day: u32) -> bool {
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 29,
        _ => return false,
    };
    (1..=last).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_vectors() {
        assert!(luhn(b"79927398713"), "Luhn's own example");
        assert!((0..10).filter(|last| luhn(format!("7992739871{last}").as_bytes())).eq([3]));
        assert!(verhoeff(b"2363") && !verhoeff(b"2362"), "236 has the check digit 3");
        assert!(mod11_10(b"36574261809"), "Steuer-ID of the specification");
        assert_eq!(
            mod97(*b"3214282912345698765432161182"),
            Some(1),
            "GB82 WEST 1234 5698 7654 32, rearranged"
        );
    }

    #[test]
    fn other_shapes_are_not_valid() {
        for value in [&b""[..], b"a", b"12a4", b"\xff\xff"] {
            assert!(!luhn(value) && !verhoeff(value) && !mod11_10(value));
        }
        assert_eq!(digits::<2>(b"123"), None);
        assert_eq!(digits::<2>(b"1x"), None);
        assert_eq!(number(b"+12"), None);
    }

    proptest! {
        #[test]
        fn a_changed_digit_is_noticed(body in "[0-9]{5,18}", place in 0usize..18, other in 1u32..10) {
            for valid in [luhn as fn(&[u8]) -> bool, verhoeff, mod11_10] {
                let value = (0..10).map(|check| format!("{body}{check}")).find(|value| valid(value.as_bytes()));
                let Some(value) = value else { continue };
                let mut bytes = value.into_bytes();
                let place = place % bytes.len();
                bytes[place] = b'0' + u8::try_from((digit(bytes[place]) + other) % 10).unwrap();
                prop_assert!(!valid(&bytes));
            }
        }
    }
}
