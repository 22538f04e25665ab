//! Points in time as they are typed and shown.

use crate::config::duration;
use anyhow::{Result, anyhow};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Now, in UTC microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A point in time: a time before (`sign` −1) or after (1) now, a day, or a time of RFC 3339.
pub(crate) fn point_us(text: &str, sign: i64, now_us: i64) -> Result<i64> {
    if let Some(span) = span(text) {
        let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        return Ok(now_us.saturating_add(span_us.saturating_mul(sign)));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_microsecond());
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-11-01".len()
        && let Ok(start) = date.to_zoned(TimeZone::UTC)
    {
        return Ok(start.timestamp().as_microsecond());
    }
    Err(anyhow!("`{text}` is not a time; write 24h or 90d, a day as 2026-11-01, or 2026-11-01T08:00:00Z"))
}

/// A month of the calendar (`2026-10`, UTC): its first moment, and that of the next one.
pub(crate) fn month_us(text: &str) -> Result<(i64, i64)> {
    let wrong = || anyhow!("`{text}` is no month; write 2026-10");
    let first = format!("{text}-01").parse::<Date>().ok().filter(|_| text.len() == "2026-10".len());
    let first = first.ok_or_else(wrong)?;
    let start = |date: Date| date.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_microsecond());
    let next = first.checked_add(jiff::Span::new().months(1))?;
    Ok((start(first)?, start(next)?))
}

/// A point in time to come, of the option with this name.
pub(crate) fn future_us(option: &str, text: &str) -> Result<i64> {
    let now_us = now_us();
    let at_us = point_us(text, 1, now_us)?;
    if at_us <= now_us {
        return Err(anyhow!("{option} is in the past; write 90d or a day to come"));
    }
    Ok(at_us)
}

/// A length of time. Longer ones than a configuration may have are fine here: keys live for months.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= DAYS_MAX);
    days.map(|days| Duration::from_secs(days * 86_400)).or_else(|| duration(text))
}

/// Longest time in days: a hundred years.
const DAYS_MAX: u64 = 36_525;

/// A point in time for people: UTC, to the second.
pub(crate) fn show(at_us: i64) -> String {
    match Timestamp::from_microsecond(at_us) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => at_us.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_ways() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let point = |text: &str, sign| point_us(text, sign, now.as_microsecond());
        assert_eq!(show(point("24h", -1).unwrap()), "2026-11-19 12:00:00Z");
        assert_eq!(show(point("1d", -1).unwrap()), "2026-11-19 12:00:00Z");
        assert_eq!(show(point("90d", 1).unwrap()), "2027-02-18 12:00:00Z");
        assert_eq!(show(point("2026-11-01", -1).unwrap()), "2026-11-01 00:00:00Z");
        assert_eq!(show(point("2026-11-01T08:00:00+02:00", -1).unwrap()), "2026-11-01 06:00:00Z");
        let (from, to) = month_us("2026-12").unwrap();
        assert_eq!((&*show(from), &*show(to)), ("2026-12-01 00:00:00Z", "2027-01-01 00:00:00Z"));
        for text in ["2026-13", "2026-1", "2026", "2026-10-01", ""] {
            assert!(month_us(text).is_err(), "{text}");
        }
        for text in ["", "yesterday", "5", "2026-13-01", "40000d"] {
            assert!(point(text, -1).is_err(), "{text}");
        }
    }
}
