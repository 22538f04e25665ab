//! Decimal numbers as text, read and written exactly: money never passes through floating point.

use std::fmt::Write as _;

/// Why a text is no decimal number of the kind that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It is not digits with at most one point between them.
    #[error("not a decimal number such as 0.15")]
    Malformed,
    /// It has more digits after the point than are kept.
    #[error("more than {0} digits after the point")]
    TooFine(u32),
    /// It is larger than any figure of its kind may be.
    #[error("too large")]
    TooLarge,
}

/// `text` × 10^`decimals`, exactly. Digits with at most one point between them: no sign, no exponent, no blanks.
///
/// # Errors
/// When it is anything else, is finer than `decimals` digits, or does not fit in `u64`.
pub fn scaled(text: &str, decimals: u32) -> Result<u64, DecimalError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(DecimalError::Malformed),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(DecimalError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = u32::try_from(fraction.len()).ok().and_then(|length| decimals.checked_sub(length));
    let missing = missing.ok_or(DecimalError::TooFine(decimals))?;
    let add = |sum: u64, byte: u8| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    let number = whole.bytes().chain(fraction.bytes()).try_fold(0, add);
    let scale = 10_u64.checked_pow(missing);
    number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale)).ok_or(DecimalError::TooLarge)
}

/// The inverse of [`scaled`]: `amount` / 10^`decimals` as the shortest text that is exactly it.
pub fn text(amount: u64, decimals: u32) -> String {
    let Some(scale) = 10_u64.checked_pow(decimals) else {
        // 10^20 and more: every `u64` is below one.
        return text_of(0, amount, decimals);
    };
    text_of(amount / scale, amount % scale, decimals)
}

fn text_of(whole: u64, fraction: u64, decimals: u32) -> String {
    let mut out = whole.to_string();
    if fraction > 0 {
        // Writing into a `String` cannot fail.
        let _ = write!(out, ".{fraction:0width$}", width = decimals as usize);
        out.truncate(out.trim_end_matches('0').len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_read_is_exact() {
        assert_eq!(scaled("0.15", 6), Ok(150_000));
        assert_eq!(scaled("2", 6), Ok(2_000_000));
        assert_eq!(scaled("0.003625", 6), Ok(3_625));
        assert_eq!(scaled("1.5000000000", 6), Ok(1_500_000), "zeros at the end say nothing");
        assert_eq!(scaled("18446744073709.551615", 6), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_decimal_number_is_refused() {
        for text in ["", ".", ".5", "5.", "-1", "+1", "1e3", "1,5", " 1", "1.2.3", "NaN", "١"] {
            assert_eq!(scaled(text, 6), Err(DecimalError::Malformed), "{text:?}");
        }
        assert_eq!(scaled("0.1234567", 6), Err(DecimalError::TooFine(6)));
        assert_eq!(scaled("18446744073709.551616", 6), Err(DecimalError::TooLarge));
        assert_eq!(scaled("99999999999999999999999", 0), Err(DecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(amount: u64, decimals in 0_u32..=19) {
            prop_assert_eq!(scaled(&text(amount, decimals), decimals), Ok(amount));
        }
    }
}
