//! Base URLs of providers.

use std::fmt;
use std::net::IpAddr;

/// Where a provider is: scheme, host, port and the path its API lives under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// What is wrong with a base URL. Never holds the URL itself, which may carry a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Not an absolute URL.
    #[error("is not an absolute URL")]
    Malformed,
    /// A scheme other than http and https.
    #[error("has a scheme other than http or https")]
    Scheme,
    /// A user name or password before the host.
    #[error("carries a user name or password")]
    UserInfo,
    /// A query or fragment.
    #[error("carries a query or a fragment")]
    Query,
    /// Port 0, or not a port.
    #[error("has no usable port")]
    Port,
}

impl BaseUrl {
    /// Reads an absolute http or https URL without user, query and fragment. A trailing slash is dropped.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<BaseUrl, BaseUrlError> {
        if text.contains('#') {
            return Err(BaseUrlError::Query);
        }
        let Ok(uri) = text.parse::<http::Uri>() else { return Err(BaseUrlError::Malformed) };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BaseUrlError::Malformed);
        };
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(BaseUrlError::Scheme),
        };
        if authority.as_str().contains('@') {
            return Err(BaseUrlError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(BaseUrlError::Query);
        }
        let host = authority.host().to_ascii_lowercase();
        let written = authority.as_str().get(host.len()..).unwrap_or_default();
        let port = match (written.strip_prefix(':'), authority.port_u16()) {
            (None, _) => default_port(tls),
            (Some(_), Some(port)) if port > 0 => port,
            _ => return Err(BaseUrlError::Port),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || bare.starts_with('.') || bare.contains("..") {
            return Err(BaseUrlError::Malformed);
        }
        Ok(BaseUrl { tls, host, port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host: a name in lower case, or an address (IPv6 without brackets).
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// The port, 443 or 80 when the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path the API lives under: empty, or starting with and not ending in a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as they stand in a `host` header: no port when it is the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let url = BaseUrl::parse("https://API.openai.com/v1/").unwrap();
        assert_eq!((url.host(), url.port(), url.path(), url.is_tls()), ("api.openai.com", 443, "/v1", true));
        assert_eq!(url.to_string(), "https://api.openai.com/v1");
        let url = BaseUrl::parse("http://[::1]:11434").unwrap();
        assert_eq!((url.host(), url.port(), url.path()), ("::1", 11434, ""));
        assert_eq!(url.ip(), Some("::1".parse().unwrap()));
        assert_eq!(url.authority(), "[::1]:11434");
        assert_eq!(BaseUrl::parse("http://ollama:80").unwrap().authority(), "ollama");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("api.openai.com", BaseUrlError::Malformed),
            ("/v1", BaseUrlError::Malformed),
            ("https://", BaseUrlError::Malformed),
            ("https://a..b", BaseUrlError::Malformed),
            ("https://a b", BaseUrlError::Malformed),
            ("ftp://host", BaseUrlError::Scheme),
            ("https://user:pass@host", BaseUrlError::UserInfo),
            ("https://host/v1?x=1", BaseUrlError::Query),
            ("https://host/v1#x", BaseUrlError::Query),
            ("https://host:0", BaseUrlError::Port),
            ("https://host:", BaseUrlError::Port),
            ("https://host:99999", BaseUrlError::Port),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(error), "{text}");
        }
    }
}
