//! How long a provider asks to be left alone: what its error says in headers and body.
//!
//! Sources (seen 2026-11): RFC 9110 §10.2.3 (`retry-after`); the retry code of OpenAI's and Anthropic's SDKs
//! (`retry-after-ms`, `x-should-retry`); platform.openai.com/docs/guides/rate-limits (`x-ratelimit-reset-requests`,
//! `…-tokens`, and the sentence in `error.message`); docs.anthropic.com/en/api/rate-limits
//! (`anthropic-ratelimit-…-reset`); cloud.google.com/apis/design/errors (`google.rpc.RetryInfo`); Mistral's, Groq's and
//! OpenRouter's `x-ratelimit-reset…`.

use crate::instant;
use serde::Deserialize;
use std::time::Duration;

/// Longest hint that is believed: what is longer is a mistake or means never.
pub const HINT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Numbers from here on are seconds since the epoch, not from now: 2001-09-09.
const EPOCH_SECONDS_FROM: f64 = 1e9;
/// And from here on milliseconds since the epoch.
const EPOCH_MILLIS_FROM: f64 = 1e12;

/// What a provider says about asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryHint {
    /// How long to wait, said of this very failure.
    pub after: Option<Duration>,
    /// When its limits are renewed. Many providers say so with every answer; it means something for a 429 only.
    pub reset: Option<Duration>,
    /// Whether it says that asking again makes sense at all.
    pub should: Option<bool>,
    /// Whether the account's quota is spent, which waiting does not help.
    pub quota: bool,
}

/// Reads the hints of an error: its header fields as name and value, its body, and the time now (UTC microseconds
/// since the epoch). Never fails: what cannot be read says nothing.
///
/// The most explicit word counts: `retry-after-ms`, then `retry-after`, then the body's. Of several limits only
/// those that are used up (`…-remaining-…: 0`) count if any is, and of those the last reset.
pub fn read<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>, body: &[u8], now_us: i64) -> RetryHint {
    let mut read = Fields::default();
    for (name, value) in fields {
        if let Ok(value) = std::str::from_utf8(value) {
            read.take(name, value.trim(), now_us);
        }
    }
    let said = Said::of(body);
    let after = read.after_ms.or(read.after).or(said.after);
    let bounded = |hint: Option<Duration>| hint.map(|hint| hint.min(HINT_MAX));
    RetryHint {
        after: bounded(after),
        reset: bounded(read.reset.chosen()),
        should: read.should,
        quota: said.quota,
    }
}

#[derive(Default)]
struct Fields {
    after_ms: Option<Duration>,
    after: Option<Duration>,
    should: Option<bool>,
    reset: Resets,
}

impl Fields {
    fn take(&mut self, name: &str, value: &str, now_us: i64) {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "retry-after-ms" => self.after_ms = number(value).and_then(|ms| seconds(ms / 1e3)),
            "retry-after" => {
                self.after = number(value).and_then(seconds).or_else(|| http_date(value, now_us))
            }
            "x-should-retry" => self.should = value.parse().ok(),
            _ => self.limit(&name, value, now_us),
        }
    }

    fn limit(&mut self, name: &str, value: &str, now_us: i64) {
        let anthropic = name.strip_prefix("anthropic-ratelimit-");
        if let Some(rest) = anthropic {
            if let Some(what) = rest.strip_suffix("-reset") {
                self.reset.at(what, instant(value, now_us));
            } else if let Some(what) = rest.strip_suffix("-remaining") {
                self.reset.left(what, value);
            }
            return;
        }
        let Some(rest) = name.strip_prefix("x-ratelimit-").or_else(|| name.strip_prefix("ratelimit-")) else {
            return;
        };
        if let Some(what) = rest.strip_prefix("reset-after").or_else(|| rest.strip_prefix("reset")) {
            self.reset.at(what.trim_start_matches('-'), span_or_instant(value, now_us));
        } else if let Some(what) = rest.strip_prefix("remaining") {
            self.reset.left(what.trim_start_matches('-'), value);
        }
    }
}

/// The limits that an error names. There are a handful; further ones are not kept.
#[derive(Default)]
struct Resets {
    limits: Vec<Limit>,
}

struct Limit {
    what: String,
    reset: Option<Duration>,
    used_up: bool,
}

/// Limits kept of one error.
const LIMITS_MAX: usize = 16;

impl Resets {
    fn limit(&mut self, what: &str) -> Option<&mut Limit> {
        let place = self.limits.iter().position(|limit| limit.what == what);
        let place = match place {
            Some(place) => place,
            None if self.limits.len() < LIMITS_MAX => {
                self.limits.push(Limit { what: what.to_owned(), reset: None, used_up: false });
                self.limits.len() - 1
            }
            None => return None,
        };
        self.limits.get_mut(place)
    }

    fn at(&mut self, what: &str, reset: Option<Duration>) {
        if let Some(limit) = self.limit(what) {
            limit.reset = reset;
        }
    }

    fn left(&mut self, what: &str, value: &str) {
        if let Some(limit) = self.limit(what) {
            limit.used_up = number(value).is_some_and(|left| left <= 0.0);
        }
    }

    fn chosen(&self) -> Option<Duration> {
        let any = self.limits.iter().any(|limit| limit.used_up);
        self.limits.iter().filter(|limit| limit.used_up || !any).filter_map(|limit| limit.reset).max()
    }
}

/// What the body says.
#[derive(Default)]
struct Said {
    after: Option<Duration>,
    quota: bool,
}

#[derive(Deserialize)]
struct Envelope {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: Option<String>,
    /// A word with OpenAI, a number with Google.
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default, rename = "type")]
    kind: serde_json::Value,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default, rename = "retryDelay")]
    retry_delay: Option<String>,
}

impl Said {
    fn of(body: &[u8]) -> Said {
        // Gemini wraps the error of a streamed request in a list.
        let envelope = match body.trim_ascii_start() {
            [b'[', ..] => serde_json::from_slice(body).map(|[envelope]: [Envelope; 1]| envelope),
            _ => serde_json::from_slice(body),
        };
        let Ok(Envelope { error }) = envelope else { return Said::default() };
        let quota = [&error.code, &error.kind].into_iter().any(|word| {
            matches!(
                word.as_str(),
                Some("insufficient_quota" | "billing_error" | "billing_hard_limit_reached")
            )
        });
        let delay = error.details.iter().filter_map(|detail| span(detail.retry_delay.as_deref()?)).max();
        Said { after: delay.or_else(|| sentence(error.message.as_deref()?)), quota }
    }
}

/// `Please try again in 1.2s.`, `… in 20ms`, `… in 6m0s`, `… in 2 seconds`.
fn sentence(message: &str) -> Option<Duration> {
    const MARKS: [&str; 3] = ["try again in ", "retry in ", "retry after "];
    let lower = message.to_ascii_lowercase();
    let rest = MARKS.iter().find_map(|mark| Some(lower.split_once(mark)?.1))?;
    let of_span = |c: char| c.is_ascii_digit() || c == '.' || "hms".contains(c);
    let text = rest.split(|c| !of_span(c)).next()?.trim_end_matches('.');
    if let Some(span) = span(text) {
        return Some(span);
    }
    let unit = rest.get(text.len()..)?.trim_start();
    let scale = if unit.starts_with("second") {
        1.0
    } else if unit.starts_with("minute") {
        60.0
    } else {
        return None;
    };
    number(text).and_then(|count| seconds(count * scale))
}

/// A number without a sign.
fn number(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok())?
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// `1s`, `6m0s`, `1h2m3.5s`, `20ms`: numbers with units, the larger first.
fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, more) = rest.split_at_checked(digits)?;
        let scales = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
        let (unit, scale) = scales.into_iter().find(|(unit, _)| more.starts_with(unit))?;
        total += number(count)? * scale;
        rest = more.get(unit.len()..)?;
    }
    (!text.is_empty()).then(|| seconds(total))?
}

/// A span, a bare number of seconds from now or since the epoch, or an instant.
fn span_or_instant(text: &str, now_us: i64) -> Option<Duration> {
    let Some(figure) = number(text) else { return span(text).or_else(|| instant(text, now_us)) };
    #[expect(clippy::cast_precision_loss, reason = "a fraction of a second does not matter here")]
    let now = now_us as f64 / 1e6;
    match figure {
        ms if ms >= EPOCH_MILLIS_FROM => seconds((ms / 1e3 - now).max(0.0)),
        at if at >= EPOCH_SECONDS_FROM => seconds((at - now).max(0.0)),
        from_now => seconds(from_now),
    }
}

/// An instant of RFC 3339, as time from now; what is past is now.
fn instant(text: &str, now_us: i64) -> Option<Duration> {
    Some(from_now(instant::rfc_3339(text)?, now_us))
}

/// An HTTP date, as time from now.
fn http_date(text: &str, now_us: i64) -> Option<Duration> {
    Some(from_now(instant::http_date(text)?, now_us))
}

fn from_now(at_us: i64, now_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(at_us.saturating_sub(now_us)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-25T12:00:00Z.
    const NOW_US: i64 = 1_795_608_000_000_000;

    fn of(fields: &[(&str, &str)], body: &str) -> RetryHint {
        read(fields.iter().map(|(name, value)| (*name, value.as_bytes())), body.as_bytes(), NOW_US)
    }

    fn after(fields: &[(&str, &str)], body: &str) -> Option<u128> {
        let hint = of(fields, body);
        hint.after.or(hint.reset).map(|after| after.as_millis())
    }

    #[test]
    fn every_header_form_is_read() {
        for (name, value, ms) in [
            ("Retry-After", "3", 3_000),
            ("retry-after", "0", 0),
            ("retry-after", "1.5", 1_500),
            ("retry-after", "Wed, 25 Nov 2026 12:00:07 GMT", 7_000),
            ("retry-after", "Wed, 25 Nov 2026 11:00:00 GMT", 0),
            ("retry-after-ms", "250", 250),
            ("x-ratelimit-reset-requests", "1s", 1_000),
            ("x-ratelimit-reset-tokens", "6m0s", 360_000),
            ("x-ratelimit-reset-tokens", "17ms", 17),
            ("x-ratelimit-reset-after", "2", 2_000),
            ("x-ratelimit-reset", "1795608005", 5_000),
            ("x-ratelimit-reset", "1795608005500", 5_500),
            ("ratelimit-reset", "9", 9_000),
            ("anthropic-ratelimit-requests-reset", "2026-11-25T12:00:11Z", 11_000),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-25T12:00:01+00:00", 1_000),
        ] {
            assert_eq!(after(&[(name, value)], ""), Some(ms), "{name}: {value}");
        }
    }

    #[test]
    fn both_body_forms_are_read() {
        let gemini = r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}}"#;
        assert_eq!(after(&[], gemini), Some(3_500));
        assert_eq!(after(&[], &format!("[{gemini}]")), Some(3_500));
        for (words, ms) in
            [("1.2s", 1_200), ("20ms", 20), ("6m0s", 360_000), ("2 seconds", 2_000), ("1s", 1_000)]
        {
            let body = format!(
                r#"{{"error":{{"message":"Rate limit reached for gpt-4o: Limit 3, Used 3. Please try again in {words}. Visit …","type":"tokens","param":null,"code":"rate_limit_exceeded"}}}}"#
            );
            assert_eq!(after(&[], &body), Some(ms), "{words}");
        }
    }

    #[test]
    fn the_most_explicit_word_counts() {
        let body = r#"{"error":{"message":"Please try again in 20ms."}}"#;
        let all = [("x-ratelimit-reset-tokens", "9s"), ("retry-after", "3"), ("retry-after-ms", "250")];
        assert_eq!(after(&all, body), Some(250));
        assert_eq!(after(&all[..2], body), Some(3_000));
        assert_eq!(after(&all[..1], body), Some(20));
        assert_eq!(after(&all[..1], ""), Some(9_000));
    }

    #[test]
    fn a_limit_that_is_used_up_counts_before_one_that_is_not() {
        let fields = [
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "60s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2s"),
        ];
        assert_eq!(after(&fields, ""), Some(2_000));
        let anthropic = [
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-25T12:00:04Z"),
            ("anthropic-ratelimit-requests-remaining", "9"),
            ("anthropic-ratelimit-requests-reset", "2026-11-25T12:01:00Z"),
        ];
        assert_eq!(after(&anthropic, ""), Some(4_000));
    }

    #[test]
    fn whether_to_ask_again_and_a_spent_quota_are_told() {
        assert_eq!(of(&[("x-should-retry", "false")], "").should, Some(false));
        assert_eq!(of(&[("x-should-retry", "true")], "").should, Some(true));
        assert_eq!(of(&[("x-should-retry", "perhaps")], "").should, None);
        assert!(of(&[], r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#).quota);
        assert!(
            !of(&[], r#"{"error":{"message":"…","type":"requests","code":"rate_limit_exceeded"}}"#).quota
        );
    }

    #[test]
    fn what_cannot_be_read_says_nothing_and_what_is_absurd_is_bounded() {
        for value in ["", "soon", "-3", "1e9", "NaN", "inf", "3 s", "..", "99999999999999999999999999s"] {
            assert!(
                after(&[("retry-after", value), ("x-ratelimit-reset", value)], "")
                    .is_none_or(|ms| ms <= HINT_MAX.as_millis()),
                "{value}"
            );
        }
        assert_eq!(after(&[("retry-after", "-3")], ""), None);
        assert_eq!(of(&[("retry-after", "604800")], "").after, Some(HINT_MAX));
        assert_eq!(of(&[("retry-after", "604801")], "").after, Some(HINT_MAX));
        assert_eq!(of(&[], "<html>").after, None);
    }

    proptest! {
        #[test]
        fn it_never_fails(name in "(retry-after(-ms)?|x-ratelimit-reset(-tokens)?|anthropic-ratelimit-x-reset)", value: Vec<u8>, body: Vec<u8>, now_us: i64) {
            let hint = read([(name.as_str(), value.as_slice())].into_iter(), &body, now_us);
            prop_assert!(hint.after.max(hint.reset).is_none_or(|after| after <= HINT_MAX));
        }

        #[test]
        fn spans_read_back(hours in 0_u64..100, minutes in 0_u64..60, secs in 0_u64..60, ms in 0_u64..1000) {
            let text = format!("{hours}h{minutes}m{secs}s{ms}ms");
            let want = Duration::from_millis(((hours * 60 + minutes) * 60 + secs) * 1_000 + ms);
            prop_assert!(span(&text).unwrap().abs_diff(want) < Duration::from_micros(2));
        }
    }
}
