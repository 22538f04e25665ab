//! What callers write: bodies, query parameters, times. Everything unknown is refused by name, so that a typing error
//! never quietly asks another question.

use super::audit::told;
use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use narrows_policy::Blame;
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most query parameters of one request.
pub(super) const PARAMETERS_MAX: usize = 32;
/// Longest time that may be written in days: a hundred years.
const DAYS_MAX: u64 = 36_525;
/// How times may be written.
pub(super) const TIME_FORMS: &str = "a day (2026-11-01) or a time (2026-11-01T08:00:00Z)";

/// A body that was read, or could not be.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The JSON object in a body; an empty body is an empty object.
pub(super) fn object<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    object_within(body, super::api::BODY_BYTES_MAX)
}

/// The JSON object in the body of an endpoint that takes `limit` bytes.
pub(super) fn object_within<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, ApiError> {
    let bytes = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the body is larger than {limit} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        } else {
            ApiError::body("the body could not be read to its end")
        }
    })?;
    let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
    // The message names the field, and what is accepted in its place.
    serde_json::from_slice(bytes).map_err(|error| ApiError::body(format!("the body does not fit: {error}")))
}

/// The query parameters of a request, taken out one by one; [`Parameters::end`] refuses what is left.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    accepted: Vec<&'static str>,
}

impl Parameters {
    /// Reads a query. Each parameter may stand once.
    pub(super) fn new(query: Option<&str>) -> Result<Parameters, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let Some((name, value)) = decoded else {
                return Err(ApiError::query(format!(
                    "the query parameter `{pair}` is not valid percent-encoding"
                )));
            };
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(ApiError::query(format!("the query parameter `{name}` stands there twice")));
            }
            if pairs.len() == PARAMETERS_MAX {
                let message = format!("there are more than {PARAMETERS_MAX} query parameters");
                return Err(ApiError::query(message));
            }
            pairs.push((name, value));
        }
        Ok(Parameters { pairs, accepted: Vec::new() })
    }

    /// All that nobody took yet, for the trail.
    pub(super) fn told(&self) -> String {
        told(self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The value of a parameter, if it is there and not empty.
    pub(super) fn take(&mut self, name: &'static str) -> Option<String> {
        self.accepted.push(name);
        let place = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(place).1).filter(|value| !value.is_empty())
    }

    /// The value of a parameter that `read` understands; `accepted` says what that is.
    pub(super) fn take_as<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::query(format!("`{name}` is `{text}`; it takes {accepted}"))),
        }
    }

    /// Whether a switch is on.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, ApiError> {
        let read = |text: &str| text.parse::<bool>().ok();
        Ok(self.take_as(name, "`true` or `false`", read)?.unwrap_or(false))
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) if self.accepted.is_empty() => {
                Err(ApiError::query(format!("unknown query parameter `{name}`: this path takes none")))
            }
            Some((name, _)) => {
                let accepted = self.accepted.join(", ");
                Err(ApiError::query(format!("unknown query parameter `{name}`; this path takes {accepted}")))
            }
        }
    }
}

/// Decodes `%XX` and `+`. `None` for a broken escape or bytes that are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// A point in time, UTC microseconds since the epoch: see [`TIME_FORMS`].
pub(super) fn point_us(text: &str) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_microsecond());
    }
    let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-01".len())?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// A length of time: `30m`, `24h`, `90d`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= DAYS_MAX);
    if let Some(days) = days {
        return Some(Duration::from_secs(days * 86_400));
    }
    // As programs write what people wrote in days.
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| *seconds <= DAYS_MAX * 86_400).map(Duration::from_secs);
    seconds.or_else(|| crate::config::duration(text))
}

/// Whose doing an end was, by its word; `completed` is nobody's.
pub(crate) fn outcome(text: &str) -> Option<Blame> {
    match text {
        "completed" => Some(Blame::Nobody),
        "caller" => Some(Blame::Caller),
        "policy" => Some(Blame::Policy),
        "provider" => Some(Blame::Provider),
        "gateway" => Some(Blame::Gateway),
        _ => None,
    }
}

/// A status, or a class of them as `4xx`.
pub(crate) fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    if let Some(class) = class {
        return (1..=5).contains(&class).then(|| class * 100..=class * 100 + 99);
    }
    let status = text.parse().ok().filter(|status| (100..=599).contains(status))?;
    Some(status..=status)
}

/// Dollars with at most nine decimals, as nano-dollars.
pub(crate) fn nano_usd(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

/// A time to come, UTC microseconds since the epoch.
pub(super) fn future_us(text: &str) -> Result<i64, ApiError> {
    let now_us = Timestamp::now().as_microsecond();
    let at_us = span(text)
        .and_then(|span| now_us.checked_add(i64::try_from(span.as_micros()).ok()?))
        .or_else(|| point_us(text))
        .ok_or_else(|| {
            ApiError::body(format!("`expires_at` is `{text}`; it takes a length of time (90d), {TIME_FORMS}"))
        })?;
    if at_us <= now_us {
        return Err(ApiError::body(format!("`expires_at` is `{text}`, which is in the past")));
    }
    Ok(at_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_ledger::time;

    fn message(error: ApiError) -> String {
        format!("{error:?}")
    }

    #[test]
    fn parameters_are_taken_once_and_the_rest_is_refused() {
        let mut parameters = Parameters::new(Some("team=a%20b+c&by=&limit=5")).unwrap();
        assert_eq!(parameters.take("team").as_deref(), Some("a b c"));
        assert_eq!(parameters.take("by"), None, "empty is as good as absent");
        let refused = message(parameters.end().unwrap_err());
        assert!(refused.contains("`limit`") && refused.contains("team, by"), "{refused}");
        assert!(message(Parameters::new(Some("a=1&a=1")).err().unwrap()).contains("twice"));
        for broken in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Parameters::new(Some(broken)).is_err(), "{broken}");
        }
        assert!(Parameters::new(None).unwrap().end().is_ok());
    }

    #[test]
    fn the_number_of_parameters_has_a_limit() {
        let query = |count: usize| (0..count).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert!(Parameters::new(Some(&query(PARAMETERS_MAX))).is_ok());
        assert!(Parameters::new(Some(&query(PARAMETERS_MAX + 1))).is_err());
    }

    #[test]
    fn statuses_are_one_or_a_class() {
        assert_eq!(statuses("404"), Some(404..=404));
        assert_eq!(statuses("4xx"), Some(400..=499));
        for wrong in ["", "xx", "6xx", "0xx", "99", "600", "4x", "-1", "65536"] {
            assert_eq!(statuses(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dollars_are_read_to_the_nano() {
        for (text, wanted) in [("0", 0), ("0.25", 250_000_000), ("12", 12_000_000_000), ("0.000000001", 1)] {
            assert_eq!(nano_usd(text), Some(wanted), "{text}");
        }
        assert_eq!(nano_usd("18446744073.709551615"), Some(u64::MAX));
        for wrong in ["", ".5", "1.", "-1", "1e3", "0.0000000001", "18446744073.709551616", "1,5"] {
            assert_eq!(nano_usd(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(time(point_us("2026-11-01").unwrap()).unwrap(), "2026-11-01T00:00:00.000000Z");
        assert_eq!(
            time(point_us("2026-11-01T08:00:00+02:00").unwrap()).unwrap(),
            "2026-11-01T06:00:00.000000Z"
        );
        for text in ["", "yesterday", "5", "2026-13-01", "2026-11-01T08:00:00"] {
            assert_eq!(point_us(text), None, "{text}");
        }
        assert_eq!(span("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(span("36525d"), Some(Duration::from_secs(36_525 * 86_400)));
        assert_eq!(span("604800s"), span("7d"));
        assert_eq!((span("36526d"), span("-1h"), span("5"), span("3155760001s")), (None, None, None, None));
    }
}
