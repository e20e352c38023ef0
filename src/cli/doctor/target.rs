//! The address that clients use, as they write it.

use std::fmt;

use hyper::Uri;

/// What a URL of a deployment looks like, for faults.
pub const TARGET_FORM: &str = "wss://host/path, ws://…, https://…, http://…, mqtts://host or mqtt://host";

/// Where a deployment is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub is_tls: bool,
    /// A WebSocket; otherwise MQTT straight on the connection.
    pub is_web: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub path: String,
    text: String,
}

impl Target {
    /// Reads a URL; `https` and `http` are where a page comes from, and the WebSocket beside it.
    ///
    /// # Errors
    /// Why it is none. Credentials in it are not repeated.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        let (is_tls, is_web, default) = match uri.scheme_str() {
            Some("wss" | "https") => (true, true, 443),
            Some("ws" | "http") => (false, true, 80),
            Some("mqtts") => (true, false, 8883),
            Some("mqtt") => (false, false, 1883),
            Some(_) => return Err("has a scheme that is not known here"),
            None => return Err("has no scheme"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("has credentials in it; they are given as --user and --password-file");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("has no host");
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(0) => return Err("has port 0"),
            None if has_port => return Err("has a port that is none"),
            port => port.unwrap_or(default),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // A query may hold somebody's token.
        let text = text.split('?').next().unwrap_or(text).to_owned();
        Ok(Self { is_tls, is_web, host, port, path: path.to_owned(), text })
    }

    /// The host with its port where that is not the scheme's own: as in `Host` and Origin.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let is_usual = self.port == if self.is_tls { 443 } else { 80 };
        if is_usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The Origin of a page that lies on the same host.
    #[must_use]
    pub fn own_origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }

    /// The same place under another path.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// The same place on the port of plain HTTP.
    #[must_use]
    pub fn without_tls(&self) -> Self {
        Self { is_tls: false, port: 80, ..self.clone() }
    }
}

/// Without the query.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_its_port() {
        for (text, port, authority) in [
            ("wss://a.example/mqtt?token=x", 443, "a.example"),
            ("https://a.example", 443, "a.example"),
            ("ws://[::1]:8080/", 8080, "[::1]:8080"),
            ("mqtts://a.example", 8883, "a.example:8883"),
            ("mqtt://127.0.0.1:1", 1, "127.0.0.1:1"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.port, target.authority().as_str()), (port, authority), "{text}");
        }
        assert_eq!(Target::parse("wss://a.example/mqtt?token=x").unwrap().to_string(), "wss://a.example/mqtt");
        assert_eq!(Target::parse("wss://a.example/mqtt?token=x").unwrap().path, "/mqtt?token=x");
    }

    #[test]
    fn what_is_none_says_why() {
        for text in ["", "a.example", "ftp://a/", "wss://u:p@a/", "wss://a:0/", "wss://a:/", "wss:///x"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
