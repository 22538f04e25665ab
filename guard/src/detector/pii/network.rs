//! Addresses of machines. Sources: RFC 791, RFC 4291 and RFC 5952 (text forms), IEEE 802 (hardware), IANA's registries of
//! special-purpose addresses.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::entity::{Entity, Proof};
use super::text;
use crate::Tier;

/// Bytes of the longest IPv6 address in text.
const MAX_V6: usize = 45;

const CONTEXT: &[&str] = &[
    "ip",
    "ip address",
    "ipaddress",
    "ipaddr",
    "ipv4",
    "ipv6",
    "host",
    "client",
    "remote",
    "addr",
    "address",
    "server",
    "adresse",
    "dirección ip",
    "indirizzo ip",
    "endereço ip",
    "x-forwarded-for",
    "visitor",
    "login from",
    "logged in from",
    "source",
    "src",
    "dst",
    "ping",
    "ssh",
    "peer",
    "IP地址",
    "IPアドレス",
];

pub(super) const IP: Entity = Entity {
    id: "ip-address",
    entity: "IP_ADDRESS",
    tier: Tier::B,
    about: "IPv4 or IPv6 address of the Internet",
    proof: Proof::Shape,
    forms: &[],
    context: CONTEXT,
};

pub(super) const PRIVATE_IP: Entity = Entity {
    id: "ip-address-private",
    entity: "IP_ADDRESS",
    tier: Tier::B,
    about: "IPv4 or IPv6 address of a private network",
    proof: Proof::Shape,
    forms: &[],
    context: CONTEXT,
};

pub(super) const SPECIAL_IP: Entity = Entity {
    id: "ip-address-special",
    entity: "IP_ADDRESS",
    tier: Tier::C,
    about: "IPv4 or IPv6 address of the machine itself, of a group or of documentation",
    proof: Proof::Shape,
    forms: &[],
    context: CONTEXT,
};

pub(super) const MAC: Entity = Entity {
    id: "mac-address",
    entity: "MAC_ADDRESS",
    tier: Tier::B,
    about: "Hardware address of a network card",
    proof: Proof::Shape,
    forms: &[],
    context: &[
        "mac",
        "mac address",
        "macaddress",
        "hwaddr",
        "ether",
        "hardware address",
        "physical address",
        "bssid",
        "wlan",
        "wifi",
        "ethernet",
        "bluetooth",
        "device",
        "adresse mac",
        "mac-adresse",
        "dirección mac",
        "indirizzo mac",
    ],
};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Public,
    Private,
    Special,
}

/// The IPv4 address that begins at a run of digits.
pub(super) fn v4(text: &[u8], start: usize) -> Option<(Range<usize>, Reach)> {
    let mut octets = [0; 4];
    let mut place = start;
    for (index, octet) in octets.iter_mut().enumerate() {
        let (end, seen) = text::run(text, place);
        let digits = text.get(place..end)?;
        if seen != text::DIGIT || digits.len() > 3 || (digits.len() > 1 && digits.first() == Some(&b'0')) {
            return None;
        }
        *octet = std::str::from_utf8(digits).ok()?.parse::<u8>().ok()?;
        place = end;
        if index < 3 {
            if text::at(text, place) != b'.' {
                return None;
            }
            place += 1;
        }
    }
    let next = text::at(text, place);
    let longer = matches!(next, b'.' | b'-') && text::kind(text::at(text, place + 1)) != 0 || next == b'_';
    let before = text::before(text, start);
    let inside =
        matches!(before, b'.' | b'_' | b'-' | b'+') && text::kind(text::before(text, start - 1)) != 0;
    if longer || inside || versioned(text, start) {
        return None;
    }
    Some((start..place, reach4(Ipv4Addr::from(octets))))
}

/// Bytes before four numbers in which a word makes them a version.
const VERSION_REACH: usize = 20;

/// Whether the words before a place make four numbers a version.
fn versioned(text: &[u8], start: usize) -> bool {
    let from = start.saturating_sub(VERSION_REACH);
    let before = text.get(from..start).unwrap_or_default().to_ascii_lowercase();
    let marks = [&b"=="[..], b"^", b"~"].iter().any(|mark| memchr::memmem::find(&before, mark).is_some());
    let words =
        [&b"version"[..], b"release", b"build", b"ver.", b"ver ", b"revision", b"section", b"chrome/"];
    // `ver` is a word, and not the end of `server`.
    let word = |word: &[u8]| {
        memchr::memmem::find_iter(&before, word)
            .any(|at| !text::before(text, from + at).is_ascii_alphabetic())
    };
    marks || words.iter().any(|each| word(each))
}

fn reach4(address: Ipv4Addr) -> Reach {
    let [a, b, ..] = address.octets();
    if address.is_private() || (a == 100 && b & 0xC0 == 64) || address.is_link_local() {
        Reach::Private
    } else if address.is_loopback() || a == 0 || a >= 224 || address.is_documentation() {
        Reach::Special
    } else {
        Reach::Public
    }
}

/// The IPv6 address around a colon.
pub(super) fn v6(text: &[u8], colon: usize) -> Option<(Range<usize>, Reach)> {
    let fits = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let mut start = colon;
    while fits(text::before(text, start)) {
        start -= 1;
        if colon - start > MAX_V6 {
            return None;
        }
    }
    let mut end = colon;
    while fits(text::at(text, end)) {
        end += 1;
        if end - start > MAX_V6 + 1 {
            return None;
        }
    }
    let joined = |byte: u8| text::kind(byte) != 0 || byte == b'_';
    if joined(text::before(text, start)) || joined(text::at(text, end)) {
        return None;
    }
    let value = text.get(start..end)?;
    // The dot of a sentence, the colon of a list.
    let value = value.strip_suffix(b".").unwrap_or(value);
    let value = if value.ends_with(b"::") { value } else { value.strip_suffix(b":").unwrap_or(value) };
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let address: Ipv6Addr = std::str::from_utf8(value).ok()?.parse().ok()?;
    (digits > 0).then(|| (start..start + value.len(), reach6(address)))
}

fn reach6(address: Ipv6Addr) -> Reach {
    let [first, second, ..] = address.segments();
    if let Some(inner) = address.to_ipv4_mapped() {
        return reach4(inner);
    }
    match first {
        0xFC00..=0xFDFF | 0xFE80..=0xFEBF => Reach::Private,
        0x2001 if second == 0xDB8 => Reach::Special,
        0x2000..=0x3FFF => Reach::Public,
        _ => Reach::Special,
    }
}

/// Bytes of a hardware address in pairs.
const MAC_PAIRS: usize = 17;
/// Bytes of a hardware address in three groups of four.
const MAC_FOURS: usize = 14;

/// The hardware address that begins at a place: `00:1b:63:84:45:e6`, with dashes, or `001b.6384.45e6`.
pub(super) fn mac(text: &[u8], start: usize) -> Option<Range<usize>> {
    let group = |len: usize, width: usize, separators: &[u8]| {
        let value = text.get(start..start + len)?;
        let separator = *value.get(width)?;
        let fits = value.iter().enumerate().all(|(place, &byte)| {
            if place % (width + 1) == width { byte == separator } else { byte.is_ascii_hexdigit() }
        });
        (fits && separators.contains(&separator)).then_some(start..start + len)
    };
    let range = group(MAC_PAIRS, 2, b":-").or_else(|| group(MAC_FOURS, 4, b"."))?;
    let value = text.get(range.clone())?;
    let same =
        |wanted: u8| value.iter().all(|byte| !byte.is_ascii_hexdigit() || byte.eq_ignore_ascii_case(&wanted));
    let joined = |byte: u8, next: bool| match byte {
        b':' => next,
        other => text::kind(other) != 0 || matches!(other, b'_' | b'-'),
    };
    let followed = joined(text::at(text, range.end), text::kind(text::at(text, range.end + 1)) != 0);
    let preceded = joined(text::before(text, start), start > 0 && hex_before(text, start - 1));
    (!preceded && !followed && !same(b'0') && !same(b'f')).then_some(range)
}

fn hex_before(text: &[u8], place: usize) -> bool {
    let (start, _) = text::run_back(text, place);
    let run = text.get(start..place).unwrap_or_default();
    run.len() == 2 && run.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(text: &str) -> Option<(&str, Reach)> {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        v4(text.as_bytes(), start).map(|(range, reach)| (&text[range], reach))
    }

    fn six(text: &str) -> Option<(&str, Reach)> {
        let colon = text.find("::").or_else(|| text.find(':'))?;
        v6(text.as_bytes(), colon).map(|(range, reach)| (&text[range], reach))
    }

    #[test]
    fn four_numbers_are_an_address_unless_they_are_a_version() {
        assert_eq!(four("from 8.8.8.8:53"), Some(("8.8.8.8", Reach::Public)));
        assert_eq!(four("from 10.1.2.3/24."), Some(("10.1.2.3", Reach::Private)));
        assert_eq!(four("server 8.8.8.8"), Some(("8.8.8.8", Reach::Public)));
        assert_eq!(four("at 127.0.0.1"), Some(("127.0.0.1", Reach::Special)));
        assert_eq!(four("at 203.0.113.9."), Some(("203.0.113.9", Reach::Special)));
        for other in [
            "1.2.3.4.5",
            "256.1.1.1",
            "version 1.2.3.4",
            "ver. 1.2.3.4",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4-rc1",
            "1.2.3.4b",
        ] {
            assert_eq!(four(other), None, "{other}");
        }
    }

    #[test]
    fn colons_are_an_address_if_they_parse() {
        assert_eq!(six("[2606:4700::1111]:443"), Some(("2606:4700::1111", Reach::Public)));
        assert_eq!(six("at fe80::1%eth0"), Some(("fe80::1", Reach::Private)));
        assert_eq!(six("at 2001:db8::1."), Some(("2001:db8::1", Reach::Special)));
        assert_eq!(six("::ffff:8.8.8.8"), Some(("::ffff:8.8.8.8", Reach::Public)));
        assert_eq!(
            six("2a00:1450:4001:82a:0:0:0:200e: x"),
            Some(("2a00:1450:4001:82a:0:0:0:200e", Reach::Public))
        );
        for other in ["std::fade", "10:20:30", "a::b", "x2::1", "1:2:3:4:5:6:7", "::"] {
            assert_eq!(six(other), None, "{other}");
        }
    }

    #[test]
    fn pairs_are_a_hardware_address() {
        let found = |text: &str| mac(text.as_bytes(), 0).map(|range| range.len());
        assert_eq!(found("00:1b:63:84:45:e6"), Some(17));
        assert_eq!(found("00-1B-63-84-45-E6 "), Some(17));
        assert_eq!(found("001b.6384.45e6"), Some(14));
        for other in [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "00:1b:63:84:45",
            "00:1b:63:84:45:e6:77",
            "00:1b-63:84:45:e6",
            "0g:1b:63:84:45:e6",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
