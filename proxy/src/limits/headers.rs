//! How rate limits stand, in the headers that SDKs read.
//!
//! Sources: platform.openai.com/docs/guides/rate-limits (headers), docs.anthropic.com/en/api/rate-limits (response headers),
//! seen 2026-11. Gemini has none.

use bytes::BytesMut;
use narrows_llm::Family;
use narrows_meter::rate::Room;
use std::fmt::Write;

/// How the narrowest limits of requests and of tokens stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// The one with the fewest requests left.
    pub(crate) requests: Option<Room>,
    /// The one with the fewest tokens left.
    pub(crate) tokens: Option<Room>,
}

impl Rooms {
    /// Takes in one more limit.
    pub(crate) fn narrow(&mut self, requests: Option<Room>, tokens: Option<Room>) {
        self.requests = narrower(self.requests, requests);
        self.tokens = narrower(self.tokens, tokens);
    }

    /// Whether there is something to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }

    /// The header lines in a family's own words. `now_us` is UTC microseconds since the epoch.
    pub(crate) fn put(&self, lines: &mut BytesMut, family: Family, now_us: i64) {
        for (what, room) in [("requests", self.requests), ("tokens", self.tokens)] {
            let Some(Room { limit, left, resets_in_us }) = room else { continue };
            // Writing to memory does not fail.
            let _ = match family {
                Family::Openai => write!(
                    lines,
                    "x-ratelimit-limit-{what}: {limit}\r\nx-ratelimit-remaining-{what}: {left}\r\n\
                     x-ratelimit-reset-{what}: {}\r\n",
                    duration(resets_in_us)
                ),
                Family::Anthropic => write!(
                    lines,
                    "anthropic-ratelimit-{what}-limit: {limit}\r\nanthropic-ratelimit-{what}-remaining: {left}\r\n\
                     anthropic-ratelimit-{what}-reset: {}\r\n",
                    second(now_us.saturating_add(resets_in_us))
                ),
                Family::Gemini => Ok(()),
            };
        }
    }
}

/// Whether a header of a provider says how *its* limits stand: where ours apply, ours are told.
pub(crate) fn is_theirs(name: &[u8]) -> bool {
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    begins(b"x-ratelimit-") || begins(b"anthropic-ratelimit-")
}

fn narrower(one: Option<Room>, other: Option<Room>) -> Option<Room> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.left < one.left { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// A time as OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
fn duration(us: i64) -> String {
    let ms = us.max(0).unsigned_abs().div_ceil(1_000);
    let (hours, minutes, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let seconds = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match (hours, minutes) {
        (0, 0) if ms < 1_000 => format!("{ms}ms"),
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A time in whole seconds, rounded up (RFC 3339).
fn second(at_us: i64) -> String {
    let seconds = at_us.div_euclid(1_000_000) + i64::from(at_us.rem_euclid(1_000_000) > 0);
    jiff::Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(family: Family) -> String {
        let mut rooms = Rooms::default();
        rooms.narrow(Some(Room { limit: 60, left: 10, resets_in_us: 361_500_000 }), None);
        rooms.narrow(
            Some(Room { limit: 9, left: 3, resets_in_us: 1_500_000 }),
            Some(Room { limit: 1_000, left: 0, resets_in_us: 19_500 }),
        );
        let mut lines = BytesMut::new();
        rooms.put(&mut lines, family, 1_700_000_000_000_000);
        String::from_utf8(lines.to_vec()).unwrap()
    }

    #[test]
    fn the_narrowest_limit_is_told_in_each_family_s_words() {
        assert_eq!(
            lines(Family::Openai),
            "x-ratelimit-limit-requests: 9\r\nx-ratelimit-remaining-requests: 3\r\nx-ratelimit-reset-requests: 1.5s\r\n\
             x-ratelimit-limit-tokens: 1000\r\nx-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 20ms\r\n"
        );
        assert_eq!(
            lines(Family::Anthropic),
            "anthropic-ratelimit-requests-limit: 9\r\nanthropic-ratelimit-requests-remaining: 3\r\n\
             anthropic-ratelimit-requests-reset: 2023-11-14T22:13:22Z\r\nanthropic-ratelimit-tokens-limit: 1000\r\n\
             anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2023-11-14T22:13:21Z\r\n"
        );
        assert_eq!(lines(Family::Gemini), "");
    }

    #[test]
    fn times_are_written_as_openai_does() {
        let times =
            [(0, "0ms"), (1_000_000, "1s"), (60_000_000, "1m0s"), (3_661_500_000, "1h1m1.5s"), (-5, "0ms")];
        for (us, text) in times {
            assert_eq!(duration(us), text);
        }
    }

    #[test]
    fn a_provider_s_headers_are_known_by_their_beginning() {
        assert!(is_theirs(b"X-RateLimit-Limit-Requests") && is_theirs(b"anthropic-ratelimit-tokens-reset"));
        assert!(!is_theirs(b"retry-after") && !is_theirs(b"x-ratelimit"));
    }
}
