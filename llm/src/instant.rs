//! Points in time as headers write them: RFC 3339 §5.6 and HTTP dates (RFC 9110 §5.6.7), to microseconds since the epoch.
//! By hand, because a library of dates brings a clock along, and this crate has none.

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
/// Names of months in HTTP dates.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `2026-11-25T12:00:04.5Z`, or with an offset as `+01:00`.
pub(crate) fn rfc_3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, date) = (figure(date.get(..4)?)?, date.get(4..)?);
    let (month, day) = date.strip_prefix('-')?.split_once('-')?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |more| 1 + more.find(|c: char| !c.is_ascii_digit()).unwrap_or(more.len()));
    let (fraction, zone) = rest.split_at_checked(digits)?;
    let offset_s = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            sign * (figure(hours)? * 3_600 + figure(minutes)? * 60)
        }
    };
    let whole = days(year, figure(month)?, figure(day)?)? * 86_400 + seconds_of_day(clock)? - offset_s;
    Some(whole * SECOND_US + micros(fraction)?)
}

/// `Wed, 25 Nov 2026 12:00:07 GMT`.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let (_weekday, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, name, year) = (words.next()?, words.next()?, words.next()?);
    let (clock, zone) = (words.next()?, words.next()?);
    let month = MONTHS.iter().zip(1..).find(|(month, _)| name.eq_ignore_ascii_case(month))?.1;
    if words.next().is_some() || !matches!(zone, "GMT" | "UTC") {
        return None;
    }
    Some((days(figure(year)?, month, figure(day)?)? * 86_400 + seconds_of_day(clock)?) * SECOND_US)
}

/// A number of up to four digits.
fn figure(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// `12:00:07`. A leap second is the one before it.
fn seconds_of_day(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(figure);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let holds = parts.next().is_none() && hours < 24 && minutes < 60 && seconds <= 60;
    holds.then(|| hours * 3_600 + minutes * 60 + seconds.min(59))
}

/// `.5`, or nothing.
fn micros(fraction: &str) -> Option<i64> {
    let digits = fraction.strip_prefix('.').unwrap_or_default();
    if fraction.len() == 1 {
        return None;
    }
    let six: String = digits.chars().chain("000000".chars()).take(6).collect();
    six.parse().ok()
}

/// Days from the epoch to a date of the Gregorian calendar; `None` for a day that its month does not have.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March: a leap day is then the last one, and months have a regular length.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-25T12:00:00Z", 1_795_608_000),
            ("2026-11-25T13:00:00+01:00", 1_795_608_000),
            ("2026-11-25t06:30:00-05:30", 1_795_608_000),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(rfc_3339(text), Some(seconds * SECOND_US), "{text}");
        }
        assert_eq!(rfc_3339("1970-01-01T00:00:01.25Z"), Some(1_250_000));
        assert_eq!(rfc_3339("1970-01-01T00:00:01.1234567Z"), Some(1_123_456));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777 * SECOND_US));
    }

    #[test]
    fn what_is_none_is_none() {
        for text in [
            "",
            "2026-11-25",
            "2026-11-25T12:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-25T24:00:00Z",
            "2026-11-25T12:00:00.Z",
            "2026-11-25T12:00:00+0100",
            "ä026-11-25T12:00:00Z",
        ] {
            assert_eq!(rfc_3339(text), None, "{text}");
        }
        for text in
            ["06 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 PST"]
        {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_each_other(year in 1i64..9999, month in 1i64..=12, day in 1i64..=31) {
            if let Some(today) = days(year, month, day) {
                let tomorrow = days(year, month, day + 1)
                    .or_else(|| days(year, month + 1, 1))
                    .or_else(|| days(year + 1, 1, 1));
                prop_assert_eq!(tomorrow, Some(today + 1));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (rfc_3339(&text), http_date(&text));
        }
    }
}
