//! Networks: an address, or all that share its beginning.

use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::tree::Node;
use serde_json::{Value as Json, json};
use std::fmt;
use std::net::IpAddr;

/// A network, `10.0.0.0/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The beginning; the bits after it are zero.
    address: IpAddr,
    /// How many bits begin it.
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8` or `10.1.2.3`. `None` also for a beginning with bits after it: which of the two is wrong
    /// only its author knows.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            None => (text.parse::<IpAddr>().ok()?, None),
            Some((address, bits)) => {
                let plain = !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
                (address.parse().ok()?, Some(plain.then(|| bits.parse().ok())??))
            }
        };
        let network = Network { address, bits: bits.unwrap_or(width(&address)) };
        (network.bits <= width(&address) && network.begins() == number(&address)).then_some(network)
    }

    /// Whether `address` is in it. IPv4 in IPv6 is taken as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = if self.address.is_ipv4() { address.to_canonical() } else { address };
        address.is_ipv4() == self.address.is_ipv4() && number(&address) & self.mask() == number(&self.address)
    }

    /// Whether every address is in it.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    fn mask(&self) -> u128 {
        let after = u32::from(width(&self.address) - self.bits);
        u128::MAX.checked_shl(after).unwrap_or(0)
    }

    fn begins(&self) -> u128 {
        number(&self.address) & self.mask()
    }
}

fn width(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(&self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Form for Network {
    type Out = Network;

    fn shape() -> Shape {
        text("network", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Network> {
        let examples = "an address or its beginning: 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32, with no bits after the beginning";
        reader.parsed(node, "a network", examples, Network::parse)
    }

    fn show(value: &Network) -> Json {
        json!(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_shown() {
        for text in ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::1", "::/0", "192.0.2.128/25"]
        {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Network::parse("10.1.2.3/32").unwrap().to_string(), "10.1.2.3");
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "::/129",
            "a.b",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_in_their_networks_only() {
        let contains = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.128/25", "192.0.2.128") && !contains("192.0.2.128/25", "192.0.2.127"));
        assert!(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.2"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"), "a dual-stack socket shows IPv4 so");
        assert!(contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "::1") && !contains("::/0", "1.2.3.4"));
        assert!(!contains("::/96", "1.2.3.4"));
    }
}
