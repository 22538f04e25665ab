//! AWS Signature Version 4, in headers, over a body that is held whole.
//!
//! A signature is made last: whatever changes method, path, query, signed headers or body afterwards breaks it. Paths are
//! normalized and encoded once more than they are sent, as every service but S3 expects.
//! Source: "Create a signed AWS API request" in the IAM user guide (seen 2026-11); tested with AWS's own test suite.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The algorithm's name.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Header of the time.
pub const DATE: &str = "x-amz-date";
/// Header of a temporary credential's token.
pub const TOKEN: &str = "x-amz-security-token";
/// Header of the signature.
pub const AUTHORIZATION: &str = "authorization";
/// Headers that are never signed: proxies change them, or they are not there yet.
const UNSIGNED: [&str; 6] =
    [AUTHORIZATION, "connection", "content-length", "expect", "transfer-encoding", "user-agent"];

/// An access key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The key's id, which is no secret.
    pub access_key_id: &'a str,
    /// The secret.
    pub secret_access_key: &'a str,
    /// The token of a temporary key.
    pub session_token: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    /// The id alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What a signature holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The region, such as `eu-central-1`.
    pub region: &'a str,
    /// The service's signing name, such as `bedrock`.
    pub service: &'a str,
}

/// A request, ready to be sent but for its signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query as they are sent.
    pub target: &'a str,
    /// The header fields; `host` must be among them. Fields that proxies change are left unsigned.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
}

impl fmt::Debug for Request<'_> {
    /// Without values of headers and without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The header fields to add to a request, `at` so many seconds after the epoch. AWS takes them for five minutes.
pub fn sign(
    credentials: &Credentials<'_>,
    scope: &Scope<'_>,
    at: u64,
    request: &Request<'_>,
) -> Vec<(&'static str, String)> {
    let time = basic_time(at);
    let day = time.get(..8).unwrap_or_default();
    let mut added = vec![(DATE, time.clone())];
    added.extend(credentials.session_token.map(|token| (TOKEN, token.to_owned())));
    let own = added.iter().map(|(name, value)| (*name, value.as_str()));
    let headers = canonical_headers(request.headers.iter().copied().chain(own));
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    let names = names.join(";");
    let canonical = canonical_request(request, &headers, &names);
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("{ALGORITHM}\n{time}\n{place}\n{}", hex(&Sha256::digest(canonical)));
    let signature = hex(&code(&signing_key(credentials, scope, day), text.as_bytes()));
    let key = credentials.access_key_id;
    let value = format!("{ALGORITHM} Credential={key}/{place}, SignedHeaders={names}, Signature={signature}");
    added.push((AUTHORIZATION, value));
    added
}

/// The request as both sides write it before they sign it.
fn canonical_request(request: &Request<'_>, headers: &BTreeMap<String, String>, names: &str) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let body = hex(&Sha256::digest(request.body));
    let (path, query) = (canonical_path(path), canonical_query(query));
    format!("{}\n{path}\n{query}\n{lines}\n{names}\n{body}", request.method)
}

/// Names in lower case and order; values trimmed, with single blanks, joined where a name comes twice.
fn canonical_headers<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>) -> BTreeMap<String, String> {
    let mut canonical: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if UNSIGNED.contains(&name.as_str()) {
            continue;
        }
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        canonical.entry(name).and_modify(|before| *before = format!("{before},{value}")).or_insert(value);
    }
    canonical
}

/// A path without dot segments and empty segments (RFC 3986, section 5.2.4), encoded.
fn canonical_path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let mut canonical = String::with_capacity(path.len());
    for segment in &kept {
        canonical.push('/');
        encode(segment.as_bytes(), &mut canonical);
    }
    if folder || kept.is_empty() {
        canonical.push('/');
    }
    canonical
}

/// Parameters encoded, in the order of their names, then of their values.
fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let mut encoded = String::with_capacity(text.len());
        encode(&decode(text), &mut encoded);
        encoded
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (encoded(name), encoded(value))
    };
    let mut pairs: Vec<_> = parts.map(pair).collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn encode(bytes: &[u8], into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(*byte))
            }
            _ => {
                into.push('%');
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
                into.extend([digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// `%XX` as a byte; anything else as it is.
fn decode(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

/// The key of a day, region and service.
fn signing_key(credentials: &Credentials<'_>, scope: &Scope<'_>, day: &str) -> [u8; 32] {
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let parts = [day, scope.region, scope.service, "aws4_request"];
    let first = code(secret.as_bytes(), parts[0].as_bytes());
    parts.iter().skip(1).fold(first, |key, part| code(&key, part.as_bytes()))
}

/// HMAC-SHA256.
fn code(key: &[u8], text: &[u8]) -> [u8; 32] {
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length (RFC 2104, section 2)")
    };
    code.update(text);
    code.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// `20150830T123600Z`: ISO 8601's basic format.
fn basic_time(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The date of a day since the epoch, in a calendar whose years begin in March, so that leap days come last.
fn civil(day: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // Days since the first of March of the year 0.
    let day = day + 719_468;
    let (era, of_era) = (day / ERA, day % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests;
