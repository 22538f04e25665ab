//! The forms of addresses and URLs.

use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::settings::NameServer;
use super::tree::Node;
use super::url::BaseUrl;
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};

impl Form for SocketAddr {
    type Out = SocketAddr;

    fn shape() -> Shape {
        text("address:port", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<SocketAddr> {
        let examples = "an IP address and a port: 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080";
        reader.parsed(node, "an address with a port", examples, |text| text.parse().ok())
    }

    fn show(value: &SocketAddr) -> Json {
        json!(value.to_string())
    }
}

impl Form for NameServer {
    type Out = NameServer;

    fn shape() -> Shape {
        text("address or address:port", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<NameServer> {
        let parse = |text: &str| {
            let bare = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
            bare.or_else(|| text.parse().ok()).map(NameServer)
        };
        reader.parsed(
            node,
            "the address of a name server",
            "an IP address, as 10.0.0.2 or 10.0.0.2:53",
            parse,
        )
    }

    fn show(value: &NameServer) -> Json {
        json!(value.0.to_string())
    }
}

impl Form for BaseUrl {
    type Out = BaseUrl;

    fn shape() -> Shape {
        text("URL", Some("^(https?://.+|\\$\\{.+)$"))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<BaseUrl> {
        let scalar = reader.scalar(node, "a URL")?;
        match BaseUrl::parse(&scalar.text) {
            Ok(url) => Some(url),
            Err(error) => {
                // Not even a literal URL is repeated: the part that is wrong may be a password.
                let suggestion = "write scheme, host and path only: https://api.example.com/v1";
                reader.problem(node.at, format!("the URL {error}"), suggestion);
                None
            }
        }
    }

    fn show(value: &BaseUrl) -> Json {
        json!(value.to_string())
    }
}

/// Whether nothing but this machine can reach an address.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
