//! Durations and sizes as they are written.

use std::time::Duration;

/// Longest duration that can be written.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Largest size that can be written, in bytes.
pub const SIZE_MAX: u64 = 1 << 40;

/// Reads `500ms`, `30s`, `5m`, `1h`, `1d`; a unit is required. At most [`DURATION_MAX`].
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(millis)?);
    (duration <= DURATION_MAX).then_some(duration)
}

/// Writes a duration in the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis > 0 && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    format!("{millis}ms")
}

/// Reads `12345`, `64KiB`, `32MiB`, `1GB`: bytes, binary and decimal units. At most [`SIZE_MAX`].
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor).filter(|bytes| *bytes <= SIZE_MAX)
}

/// Writes a size in the largest binary unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Digits, then a unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("7d"), Some(DURATION_MAX));
        for text in
            ["", "5", "s", "5 s", "-5s", "5.5s", "5S", "5min", "604800001ms", "99999999999999999999s", "8d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("12345", 12345), ("64KiB", 65536), ("32MiB", 33_554_432), ("1GB", 1_000_000_000)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        assert_eq!(size("1024GiB"), Some(SIZE_MAX));
        for text in ["", "KiB", "1kib", "1 MiB", "1.5MiB", "-1", "1025GiB", "99999999999999999999", "1TB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 999, 1000, 60_000, 3_600_000, 86_400_000, 90_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(time)), Some(time));
        }
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 30) + 1024, 1_000_000_000] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
    }
}
