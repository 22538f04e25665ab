//! The way out of the network: a corporate proxy, and who is reached without it.

use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::secret::{REDACTED, Secret};
use super::tree::Node;
use super::url::BaseUrl;
use serde_json::{Value as Json, json};
use std::net::IpAddr;

/// Where a proxy is, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// Where it is; without a path.
    pub url: BaseUrl,
    /// User and password, `user:password`; never shown.
    pub credentials: Option<Secret>,
}

impl ProxyUrl {
    /// Reads `http://user:password@host:port`; user and password may be percent-encoded. The error never repeats
    /// the text, which may hold a password.
    fn parse(text: &str) -> Result<ProxyUrl, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it is not an absolute URL")?;
        let (credentials, rest) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((user, rest)) => (Some(decode(user).ok_or("its user or password is not usable")?), rest),
        };
        let url = BaseUrl::parse(&format!("{scheme}://{rest}")).map_err(|fault| format!("it {fault}"))?;
        if !url.path().is_empty() {
            return Err("it has a path, and a proxy is a host and a port".to_owned());
        }
        Ok(ProxyUrl { url, credentials: credentials.map(Secret::new) })
    }
}

/// Undoes percent-encoding; `None` for a broken escape, or what no header may carry.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

impl Form for ProxyUrl {
    type Out = ProxyUrl;

    fn shape() -> Shape {
        text("URL of a proxy", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ProxyUrl> {
        let scalar = reader.scalar(node, "the URL of a proxy")?;
        match ProxyUrl::parse(&scalar.text) {
            Ok(url) => Some(url),
            Err(cause) => {
                let suggestion = "write http://host:port or https://host:port, with user:password@ before the host if it \
                                  wants them (percent-encode `@`, `/` and `%` in them)";
                reader.problem(node.at, format!("not the URL of a proxy: {cause}"), suggestion);
                None
            }
        }
    }

    fn show(value: &ProxyUrl) -> Json {
        let url = value.url.to_string();
        json!(match (&value.credentials, url.split_once("://")) {
            (Some(_), Some((scheme, rest))) => format!("{scheme}://{REDACTED}@{rest}"),
            _ => url,
        })
    }
}

/// Hosts that are reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProxy {
    /// Every host.
    All,
    /// This host.
    Host(String),
    /// Hosts below this name, and with a leading dot only those. Lower case.
    Below(String),
    /// Addresses in this network.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads a name, `.name`, `*.name`, an address, a network `10.0.0.0/8`, or `*`.
    fn parse(text: &str) -> Option<NoProxy> {
        if text == "*" {
            return Some(NoProxy::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(NoProxy::Network(address, bits));
        }
        let lower = text.to_ascii_lowercase();
        if let Ok(address) = lower.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(NoProxy::Host(address.to_string()));
        }
        let (below, name) = match lower.strip_prefix("*.").or(lower.strip_prefix('.')) {
            Some(name) => (true, name),
            None => (false, lower.as_str()),
        };
        rustls_pki_types::DnsName::try_from(name).ok()?;
        Some(if below { NoProxy::Below(name.to_owned()) } else { NoProxy::Host(name.to_owned()) })
    }

    /// Whether `host`, a name in lower case or an address, is meant. Names are compared as they are written: nothing
    /// is resolved.
    pub(super) fn covers(&self, host: &str) -> bool {
        match self {
            NoProxy::All => true,
            NoProxy::Host(name) => name == host,
            NoProxy::Below(name) => host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')),
            NoProxy::Network(network, bits) => {
                host.parse::<IpAddr>().is_ok_and(|address| within(address, *network, *bits))
            }
        }
    }

    fn show_text(&self) -> String {
        match self {
            NoProxy::All => "*".to_owned(),
            NoProxy::Host(name) => name.clone(),
            NoProxy::Below(name) => format!(".{name}"),
            NoProxy::Network(address, bits) => format!("{address}/{bits}"),
        }
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

impl Form for NoProxy {
    type Out = NoProxy;

    fn shape() -> Shape {
        text("host, `.domain`, address, network or `*`", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<NoProxy> {
        let suggestion = "a name, .domain for all below it, an address, 10.0.0.0/8 or *";
        reader.parsed(node, "a host to reach without the proxy", suggestion, NoProxy::parse)
    }

    fn show(value: &NoProxy) -> Json {
        json!(value.show_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_proxy_is_a_host_a_port_and_who_we_are() {
        let proxy = ProxyUrl::parse("http://us%40er:p%3Ass@Proxy.corp:3128").unwrap();
        assert_eq!((proxy.url.host(), proxy.url.port(), proxy.url.is_tls()), ("proxy.corp", 3128, false));
        assert_eq!(proxy.credentials.as_ref().unwrap().reveal(), "us@er:p:ss");
        assert!(!format!("{proxy:?}{}", ProxyUrl::show(&proxy)).contains("p:ss"));
        assert!(ProxyUrl::parse("https://proxy:8443/").unwrap().credentials.is_none());
        for bad in [
            "proxy:3128",
            "socks5://proxy:1080",
            "http://",
            "http://u:p@proxy/path",
            "http://%zz@proxy",
            "http://@h",
        ] {
            let fault = ProxyUrl::parse(bad).unwrap_err();
            assert!(!fault.contains("proxy:"), "{fault}");
        }
    }

    #[test]
    fn hosts_are_excepted_as_written() {
        let covers = |entry: &str, host: &str| NoProxy::parse(entry).unwrap().covers(host);
        assert!(covers("*", "api.openai.com") && covers("API.internal", "api.internal"));
        assert!(covers(".internal", "api.internal") && covers("*.internal", "a.b.internal"));
        assert!(!covers(".internal", "internal") && !covers(".internal", "notinternal"));
        assert!(covers("10.0.0.0/8", "10.200.3.4") && !covers("10.0.0.0/8", "11.0.0.1"));
        assert!(covers("0.0.0.0/0", "8.8.8.8") && covers("::1", "::1") && covers("fd00::/8", "fd12::1"));
        assert!(!covers("10.0.0.0/8", "ten.example"));
        for bad in ["", "10.0.0.0/33", "a b", "http://x", "/8"] {
            assert_eq!(NoProxy::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_and_no_password_is_repeated(text in "\\PC{0,60}", host in "\\PC{0,30}") {
            if let Err(fault) = ProxyUrl::parse(&format!("http://u:s3cret@{text}")) {
                prop_assert!(!fault.contains("s3cret"));
            }
            if let Some(entry) = NoProxy::parse(&text) {
                entry.covers(&host);
            }
        }
    }
}
