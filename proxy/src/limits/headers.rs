//! How rate limits stand, in the headers that SDKs read.
//!
//! Sources: platform.openai.com/docs/guides/rate-limits (headers), docs.anthropic.com/en/api/rate-limits (response headers),
//! seen 2026-11. Gemini has none.

use bytes::BytesMut;
use narrows_llm::Family;
use narrows_meter::rate::Room;

/// What stands before a limit, before what is left of it, and before when it is whole again.
type Names = [&'static str; 3];

/// Of requests, and of tokens.
const OPENAI: [Names; 2] = [
    [
        "x-ratelimit-limit-requests: ",
        "\r\nx-ratelimit-remaining-requests: ",
        "\r\nx-ratelimit-reset-requests: ",
    ],
    ["x-ratelimit-limit-tokens: ", "\r\nx-ratelimit-remaining-tokens: ", "\r\nx-ratelimit-reset-tokens: "],
];

/// Of requests, and of tokens.
const ANTHROPIC: [Names; 2] = [
    [
        "anthropic-ratelimit-requests-limit: ",
        "\r\nanthropic-ratelimit-requests-remaining: ",
        "\r\nanthropic-ratelimit-requests-reset: ",
    ],
    [
        "anthropic-ratelimit-tokens-limit: ",
        "\r\nanthropic-ratelimit-tokens-remaining: ",
        "\r\nanthropic-ratelimit-tokens-reset: ",
    ],
];

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
        let [requests, tokens] = match family {
            Family::Openai => &OPENAI,
            Family::Anthropic => &ANTHROPIC,
            Family::Gemini => return,
        };
        for (names, room) in [(requests, self.requests), (tokens, self.tokens)] {
            let (Some(Room { limit, left, resets_in_us }), [of_limit, of_left, of_reset]) = (room, names)
            else {
                continue;
            };
            lines.extend_from_slice(of_limit.as_bytes());
            put_number(lines, limit);
            lines.extend_from_slice(of_left.as_bytes());
            put_number(lines, left);
            lines.extend_from_slice(of_reset.as_bytes());
            match family {
                Family::Openai => put_duration(lines, resets_in_us),
                _ => lines.extend_from_slice(second(now_us.saturating_add(resets_in_us)).as_bytes()),
            }
            lines.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a header of a provider says how *its* limits stand: where ours apply, ours are told.
pub(crate) fn is_theirs(name: &[u8]) -> bool {
    // Asked of every header field of every answer: most are told apart by their first byte.
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    match name.first() {
        Some(b'x' | b'X') => begins(b"x-ratelimit-"),
        Some(b'a' | b'A') => begins(b"anthropic-ratelimit-"),
        _ => false,
    }
}

fn narrower(one: Option<Room>, other: Option<Room>) -> Option<Room> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.left < one.left { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn put_number(lines: &mut BytesMut, number: u64) {
    lines.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A time as OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
fn put_duration(lines: &mut BytesMut, us: i64) {
    let ms = us.max(0).unsigned_abs().div_ceil(1_000);
    let (hours, minutes, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    if hours == 0 && minutes == 0 && ms < 1_000 {
        put_number(lines, ms);
        lines.extend_from_slice(b"ms");
        return;
    }
    if hours > 0 {
        put_number(lines, hours);
        lines.extend_from_slice(b"h");
    }
    if hours > 0 || minutes > 0 {
        put_number(lines, minutes);
        lines.extend_from_slice(b"m");
    }
    put_number(lines, ms / 1_000);
    if ms % 1_000 > 0 {
        // Three digits, with the zeros before them and without those behind.
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(ms % 1_000 + 1_000).trim_end_matches('0');
        lines.extend_from_slice(b".");
        lines.extend_from_slice(digits.get(1..).unwrap_or_default().as_bytes());
    }
    lines.extend_from_slice(b"s");
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
        let times = [
            (0, "0ms"),
            (1_000_000, "1s"),
            (1_040_000, "1.04s"),
            (60_000_000, "1m0s"),
            (3_600_000_000, "1h0m0s"),
            (3_661_500_000, "1h1m1.5s"),
            (-5, "0ms"),
        ];
        for (us, text) in times {
            let mut lines = BytesMut::new();
            put_duration(&mut lines, us);
            assert_eq!(lines, text.as_bytes());
        }
    }

    #[test]
    fn a_provider_s_headers_are_known_by_their_beginning() {
        assert!(is_theirs(b"X-RateLimit-Limit-Requests") && is_theirs(b"anthropic-ratelimit-tokens-reset"));
        assert!(!is_theirs(b"retry-after") && !is_theirs(b"x-ratelimit"));
    }
}
