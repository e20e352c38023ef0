//! Servers behind, as an operator writes them.

use std::fmt;

use crate::outgoing::url::UrlError;
use crate::outgoing::{Upstream, Url};

/// Where a server behind is, and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    pub url: Url,
    pub version: HttpVersion,
}

/// A version of HTTP that is spoken to servers behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http11,
    /// In the clear by prior knowledge (RFC 9113 §3.3), over TLS by ALPN.
    Http2,
}

/// What an operator may write for a [`ServerAddress`].
pub const SERVER_ADDRESS_FORM: &str = "http://host:port/path, https://, h2c:// or h2:// (HTTP/2, without TLS or with it), unix:/path/to.sock:/path or h2c://unix:";

impl ServerAddress {
    /// Reads a URL; the schemes of HTTP/2 are those of Apache's ProxyPass. nginx's spelling of a socket (`http://unix:/run/app.sock`) means
    /// the same as `unix:/run/app.sock`.
    ///
    /// # Errors
    /// What is wrong with it. Credentials in it are not repeated.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (clear, version) = match text.strip_prefix("h2c://") {
            Some(rest) => (Some(rest), HttpVersion::Http2),
            None => (text.strip_prefix("http://"), HttpVersion::Http11),
        };
        if let Some(socket) = clear.filter(|rest| rest.starts_with("unix:")) {
            return Ok(Self { url: Url::parse(socket)?, version });
        }
        if let (Some(rest), HttpVersion::Http2) = (clear, version) {
            return Ok(Self { url: Url::parse(&format!("http://{rest}"))?, version });
        }
        if let Some(rest) = text.strip_prefix("h2://") {
            return Ok(Self { url: Url::parse(&format!("https://{rest}"))?, version: HttpVersion::Http2 });
        }
        Ok(Self { url: Url::parse(text)?, version })
    }
}

impl fmt::Display for ServerAddress {
    /// Without a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstream = self.url.upstream();
        let shown = upstream.to_string();
        match (self.version, upstream) {
            (HttpVersion::Http11, _) => f.write_str(&shown),
            (HttpVersion::Http2, Upstream::Unix(_)) => write!(f, "h2c://{shown}"),
            (HttpVersion::Http2, Upstream::Http { .. }) => write!(f, "h2c{}", shown.trim_start_matches("http")),
            (HttpVersion::Http2, Upstream::Https { .. }) => write!(f, "h2{}", shown.trim_start_matches("https")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_says_what_is_spoken() {
        for (text, shown, version, is_tls) in [
            ("http://a", "http://a:80", HttpVersion::Http11, false),
            ("https://a/b", "https://a:443", HttpVersion::Http11, true),
            ("h2c://a", "h2c://a:80", HttpVersion::Http2, false),
            ("h2c://[::1]:8080/b/", "h2c://[::1]:8080", HttpVersion::Http2, false),
            ("h2://a", "h2://a:443", HttpVersion::Http2, true),
            ("unix:/run/a.sock", "unix:/run/a.sock", HttpVersion::Http11, false),
            ("http://unix:/run/a.sock:/b", "unix:/run/a.sock", HttpVersion::Http11, false),
            ("h2c://unix:/run/a.sock:/b", "h2c://unix:/run/a.sock", HttpVersion::Http2, false),
        ] {
            let server = ServerAddress::parse(text).unwrap();
            assert_eq!((server.to_string().as_str(), server.version), (shown, version), "{text}");
            assert_eq!(server.url.upstream().is_tls(), is_tls, "{text}");
            assert_eq!(server.url.target().is_some(), text.contains("/b"), "{text}");
        }
        for text in ["h3://a", "h2c://", "h2://u:p@a", "h2://unix:/run/a.sock", "h2c://http://a", "h2c:a"] {
            assert!(ServerAddress::parse(text).is_err(), "{text}");
        }
    }
}
