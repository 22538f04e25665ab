//! Who a request is from, when it came through balancers that are trusted to say so: `X-Forwarded-For`, or
//! `Forwarded` (RFC 7239).
//!
//! Each hop appends the address it was connected from, so the list is read from its end: as long as the hop that
//! wrote an entry is trusted, the entry is. What a client wrote itself stands before that and is never reached.

use crate::config::settings::{ForwardedHeader, TrustedProxies};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads the address in an entry.
type ReadEntry = fn(&[u8]) -> Option<IpAddr>;

/// Hops that are followed back.
pub(crate) const HOPS_MAX: usize = 32;

/// The address of the client of a request that came from `peer`. An entry that names no address ends the way back: the
/// hop before it is the last that is known.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let mut client = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.from.iter().any(|network| network.contains(address));
    let (name, read): (_, ReadEntry) = match trusted.header {
        ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, |entry| address(entry)),
        ForwardedHeader::Forwarded => (header::FORWARDED, forwarded),
    };
    let values = headers.get_all(name).into_iter().rev();
    let mut hops = values.flat_map(|value| entries(value, trusted.header)).take(HOPS_MAX);
    while is_trusted(client) {
        match hops.next().and_then(read) {
            Some(before) => client = before.to_canonical(),
            None => break,
        }
    }
    client
}

/// The entries of a value, the last first.
fn entries(value: &HeaderValue, header: ForwardedHeader) -> Vec<&[u8]> {
    let quotes = header == ForwardedHeader::Forwarded;
    if quotes && !is_well_quoted(value.as_bytes()) {
        // A client's open quote would swallow what the balancer wrote behind it: nothing here is believed.
        return vec![b""];
    }
    let mut entries: Vec<_> = Split { rest: Some(value.as_bytes()), at: b',', quotes }.collect();
    entries.reverse();
    entries
}

/// Whether every quoted string begins behind `=`, is closed, and ends its parameter (RFC 7239 §4). Only then do the
/// separators that a balancer wrote separate, whatever a client wrote before them.
fn is_well_quoted(value: &[u8]) -> bool {
    let (mut quoted, mut escaped, mut closed, mut before) = (false, false, false, b',');
    for &byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if quoted => (quoted, closed) = (false, true),
            b'"' if before != b'=' => return false,
            b'"' => quoted = true,
            b',' | b';' => closed &= quoted,
            b' ' | b'\t' => {}
            _ if closed && !quoted => return false,
            _ => {}
        }
        before = byte;
    }
    !quoted
}

/// The `for` of one element of `Forwarded`.
fn forwarded(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in (Split { rest: Some(element), at: b';', quotes: true }) {
        let equals = memchr::memchr(b'=', pair)?;
        let (name, value) = pair.split_at(equals);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            // Twice in one element is not allowed (§4), and says nothing.
            if found.is_some() {
                return None;
            }
            found = Some(address(value.get(1..)?)?);
        }
    }
    found
}

/// An address, bare, in quotes, in brackets, with a port. `None` for `unknown`, for names that hide the address
/// (`_hidden`, §6.3) and for anything else.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let text = match text.strip_prefix('"') {
        // Nothing in an address needs escaping.
        Some(quoted) => quoted.strip_suffix('"')?,
        None => text,
    };
    let bare = text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    // A port may be hidden as well (§6.2): `[2001:db8::9]:_port`.
    let with_name = || {
        let (address, port) = text.rsplit_once(":_")?;
        let plain =
            !port.is_empty() && port.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
        match address.strip_prefix('[') {
            _ if !plain => None,
            Some(address) => address.strip_suffix(']')?.parse().ok(),
            None => address.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
        }
    };
    bare.or_else(bracketed).or_else(with_port).or_else(with_name)
}

/// Parts between separators, those in quotes left alone.
struct Split<'a> {
    rest: Option<&'a [u8]>,
    at: u8,
    quotes: bool,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let (mut quoted, mut escaped) = (false, false);
        let ends = |byte: &u8| {
            if escaped {
                escaped = false;
                return false;
            }
            match *byte {
                b'\\' if quoted => escaped = true,
                b'"' if self.quotes => quoted = !quoted,
                byte => return byte == self.at && !quoted,
            }
            false
        };
        let end = rest.iter().position(ends);
        let part = end.map_or(rest, |end| rest.get(..end).unwrap_or_default());
        self.rest = end.and_then(|end| rest.get(end + 1..));
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Network;
    use proptest::prelude::*;

    fn trusted(header: ForwardedHeader) -> TrustedProxies {
        let from = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| Network::parse(text).unwrap()).to_vec();
        TrustedProxies { from, header }
    }

    fn client_of(header: ForwardedHeader, peer: &str, values: &[&str]) -> String {
        let name = match header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let values = values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap()));
        client(&values.collect(), peer.parse().unwrap(), &trusted(header)).to_string()
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        for (peer, values, client) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9,10.0.0.2"], "203.0.113.9"),
            // Who is not trusted is not believed.
            ("192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            // Nothing is said, or everything is trusted.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Forms that balancers write.
            ("10.0.0.1", &["203.0.113.9:50000"], "203.0.113.9"),
            ("10.0.0.1", &["2001:db8::9"], "2001:db8::9"),
            ("10.0.0.1", &["[2001:db8::9]:443, 2001:db8:1::7"], "2001:db8::9"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            // An entry that names nobody ends the way back.
            ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.9, 10.0.0.2x"], "10.0.0.1"),
        ] {
            assert_eq!(client_of(ForwardedHeader::XForwardedFor, peer, values), client, "{peer} {values:?}");
        }
    }

    #[test]
    fn forwarded_is_read_in_all_its_forms() {
        for (values, client) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["For=\"203.0.113.9:50000\";proto=https;by=10.0.0.1"], "203.0.113.9"),
            (&["for=192.0.2.60;proto=http, for=203.0.113.9 , For=\"[2001:db8:1::17]:4711\""], "203.0.113.9"),
            (&["for=192.0.2.60", "proto=https ; for=\"[2001:db8::9]\""], "2001:db8::9"),
            (&["for=\"[2001:db8::9]:_port\""], "2001:db8::9"),
            (&["for=203.0.113.9:_a.b-c"], "203.0.113.9"),
            // Separators in quotes separate nothing.
            (&["for=203.0.113.9;host=\"a,b;for=1.2.3.4\\\",\""], "203.0.113.9"),
            // What hides or breaks the address leaves the hop before.
            (&["for=192.0.2.1, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=unknown"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
            (&["for=203.0.113.9;for=203.0.113.8"], "10.0.0.1"),
            (&["for=\"203.0.113.9"], "10.0.0.1"),
            // A client's open quote does not swallow what the balancer appends, and breaks no other line.
            (&["for=1.2.3.4;x=\", for=203.0.113.9"], "10.0.0.1"),
            (&["for=1.2.3.4;x=\", for=203.0.113.9;host=\"a\\\"b\""], "10.0.0.1"),
            (&["for=1.2.3.4;x=\"\\, for=\"203.0.113.9\""], "10.0.0.1"),
            (&["for=1.2.3.4;x\", for=203.0.113.9;y=\""], "10.0.0.1"),
            (&["for=1.2.3.4;x=\"", "for=203.0.113.9"], "203.0.113.9"),
            (&["for"], "10.0.0.1"),
            (&["for=2001:db8::9:_p"], "10.0.0.1"),
        ] {
            assert_eq!(client_of(ForwardedHeader::Forwarded, "10.0.0.1", values), client, "{values:?}");
        }
        // The other header is the client's own word.
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("1.2.3.4"))]);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(client(&headers, peer, &trusted(ForwardedHeader::Forwarded)), peer);
    }

    #[test]
    fn the_way_back_has_a_limit() {
        let hops = |count: usize| {
            let text = ["203.0.113.9"].into_iter().chain(std::iter::repeat_n("10.0.0.2", count));
            text.collect::<Vec<_>>().join(",")
        };
        let ask = |count| client_of(ForwardedHeader::XForwardedFor, "10.0.0.1", &[&hops(count)]);
        assert_eq!(ask(HOPS_MAX - 1), "203.0.113.9");
        assert_eq!(ask(HOPS_MAX), "10.0.0.2");
    }

    proptest! {
        #[test]
        fn what_a_client_writes_before_changes_nothing(
            own in "[ -~]{0,80}",
        ) {
            // Its own header arrives as it is; the balancer adds a line or appends to it.
            for values in [vec![own.clone(), "203.0.113.9".to_owned()], vec![format!("{own}, 203.0.113.9")]] {
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                prop_assert_eq!(client_of(ForwardedHeader::XForwardedFor, "10.0.0.1", &values), "203.0.113.9");
            }
        }

        #[test]
        fn what_a_client_writes_into_forwarded_is_never_believed(
            own in r#"(for=1\.2\.3\.4;)?([a-z]=)?[ -~]{0,8}["\\,;=a ]{0,8}"#,
            appended in prop::sample::select(vec![
                "for=203.0.113.9",
                "for=\"203.0.113.9:443\";proto=https",
                "for=203.0.113.9;host=\"a\\\"b\"",
                "proto=\"https\";for=\"203.0.113.9\";by=\"_a\"",
            ]),
        ) {
            let client = |values: &[&str]| client_of(ForwardedHeader::Forwarded, "10.0.0.1", values);
            prop_assert_eq!(client(&[&own, appended]), "203.0.113.9");
            let one = client(&[&format!("{own}, {appended}")]);
            prop_assert!(one == "203.0.113.9" || one == "10.0.0.1", "{one}");
        }

        #[test]
        fn whatever_comes_is_read_without_a_panic(value in "[\\x20-\\x7e]{0,200}") {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                client_of(header, "10.0.0.1", &[&value]);
            }
        }
    }
}
