//! Where somebody is, as an operator writes it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery};

/// What an operator may write.
pub const URL_FORM: &str = "https://host:port/path, http://host:port/path or unix:/path/to.sock:/path";

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    Http {
        host: Box<str>,
        port: u16,
    },
    /// HTTP over TLS.
    Https {
        host: Box<str>,
        port: u16,
    },
    /// HTTP over a socket in the file system.
    Unix(PathBuf),
}

impl Upstream {
    /// Whether nothing leaves this machine on the way there.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Http { host, .. } | Self::Https { host, .. } => match host.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().is_loopback(),
                // RFC 6761 §6.3.
                Err(_) => host.eq_ignore_ascii_case("localhost"),
            },
        }
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Https { .. })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Http { host, port } => ("http", host, port),
            Self::Https { host, port } => ("https", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// Whom to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    upstream: Upstream,
    /// As it was written, for `Host`; `localhost` for a socket.
    authority: Authority,
    /// `None` where only `http://host:port` is written.
    target: Option<PathAndQuery>,
}

/// Why a text is no [`Url`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is no URL")]
    Malformed,
    #[error("has the scheme {0:?}")]
    Scheme(String),
    #[error("has no host")]
    NoHost,
    #[error("has credentials in it, which logs would show")]
    Credentials,
    #[error("has a fragment, which is never sent")]
    Fragment,
    #[error("has a relative path to a socket")]
    RelativeSocket,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it. Credentials in it are not repeated.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return Self::parse_unix(rest);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?.clone();
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let host: Box<str> = authority.host().trim_start_matches('[').trim_end_matches(']').into();
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = |default: u16| match authority.port_u16() {
            Some(0) => Err(UrlError::Malformed),
            None if has_port => Err(UrlError::Malformed),
            port => Ok(port.unwrap_or(default)),
        };
        let upstream = match uri.scheme_str() {
            Some("http") => Upstream::Http { host, port: port(80)? },
            Some("https") => Upstream::Https { host, port: port(443)? },
            Some(other) => return Err(UrlError::Scheme(other.to_owned())),
            None => return Err(UrlError::Malformed),
        };
        let has_target = text.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
        let target = uri.path_and_query().filter(|_| has_target).cloned();
        Ok(Self { upstream, authority, target })
    }

    /// `/path/to.sock`, and behind a colon what to ask for there, as nginx spells it.
    fn parse_unix(rest: &str) -> Result<Self, UrlError> {
        let (socket, target) = match rest.split_once(':') {
            Some((socket, target)) if target.starts_with('/') && !target.contains('#') => {
                (socket, Some(target.parse().map_err(|_| UrlError::Malformed)?))
            }
            Some(_) => return Err(UrlError::Malformed),
            None => (rest, None),
        };
        if !Path::new(socket).is_absolute() {
            return Err(UrlError::RelativeSocket);
        }
        Ok(Self { upstream: Upstream::Unix(socket.into()), authority: Authority::from_static("localhost"), target })
    }

    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The host, with its port if one was written.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Path and query, where any are written behind the host.
    #[must_use]
    pub fn target(&self) -> Option<&PathAndQuery> {
        self.target.as_ref()
    }

    /// The absolute form (RFC 9112 §3.2.2). A socket's has the scheme that is spoken there.
    #[must_use]
    pub fn uri(&self) -> Uri {
        let scheme = if self.upstream.is_tls() { "https" } else { "http" };
        let target = self.target.clone().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let builder = Uri::builder().scheme(scheme).authority(self.authority.clone()).path_and_query(target);
        builder.build().expect("its parts were those of a URI")
    }
}

impl fmt::Display for Url {
    /// Without its query, in which some put a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.upstream, &self.target) {
            (Upstream::Unix(_), Some(target)) => write!(f, "{}:{}", self.upstream, target.path()),
            (_, Some(target)) => write!(f, "{}{}", self.upstream, target.path()),
            (_, None) => write!(f, "{}", self.upstream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_its_parts() {
        for (text, shown, uri, is_local) in [
            (
                "http://127.0.0.1:8000/auth?key=x",
                "http://127.0.0.1:8000/auth",
                "http://127.0.0.1:8000/auth?key=x",
                true,
            ),
            ("https://Login.Example/jwks", "https://Login.Example:443/jwks", "https://Login.Example/jwks", false),
            ("http://[::1]:8000", "http://[::1]:8000", "http://[::1]:8000/", true),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]:80/", "http://[::ffff:127.0.0.1]/", true),
            ("http://localhost", "http://localhost:80", "http://localhost/", true),
            ("http://localhost.example", "http://localhost.example:80", "http://localhost.example/", false),
            ("http://128.0.0.1/?a", "http://128.0.0.1:80/", "http://128.0.0.1/?a", false),
            ("unix:/run/a.sock", "unix:/run/a.sock", "http://localhost/", true),
            ("unix:/run/a.sock:/auth?x=1", "unix:/run/a.sock:/auth", "http://localhost/auth?x=1", true),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.to_string(), url.uri().to_string()), (shown.to_owned(), uri.to_owned()));
            assert_eq!(url.upstream().is_local(), is_local, "{text}");
        }
        assert_eq!(Url::parse("http://a").unwrap().target(), None);
        assert_eq!(Url::parse("http://a/").unwrap().target().unwrap(), "/");
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, error) in [
            ("", UrlError::Malformed),
            ("auth", UrlError::Malformed),
            ("/auth", UrlError::Malformed),
            ("http://a:0/", UrlError::Malformed),
            ("http://a:99999/", UrlError::Malformed),
            ("http://a:/", UrlError::Malformed),
            ("http://a b/", UrlError::Malformed),
            ("ftp://a/", UrlError::Scheme("ftp".to_owned())),
            ("http://u:p@a/", UrlError::Credentials),
            ("http://a/#x", UrlError::Fragment),
            ("unix:a.sock", UrlError::RelativeSocket),
            ("unix:", UrlError::RelativeSocket),
            ("unix:/a.sock:auth", UrlError::Malformed),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }
}
