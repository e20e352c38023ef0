//! What a client claims about itself, and who it turns out to be.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::certificate::ClientCertificate;

/// The username of whoever came without credentials. No password file may name it.
pub const ANONYMOUS: &str = "anonymous";

/// Who a client is, after authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub username: Arc<str>,
    /// Whether it came without credentials, by the rule of `auth.anonymous`.
    pub is_anonymous: bool,
    /// Verified claims by name (from a token or a client certificate); empty for passwords.
    pub claims: BTreeMap<String, String>,
    /// Verified claims that are lists, by name. A list gives roles by what it holds; it stands for no level of a topic.
    pub claim_lists: BTreeMap<String, Vec<String>>,
    /// When what proves it is over, as a token's `exp` or a certificate's end says.
    pub expires_at: Option<Instant>,
}

impl Principal {
    /// The identity of whoever came without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { is_anonymous: true, ..Self::user(ANONYMOUS) }
    }

    /// An authenticated identity without claims.
    #[must_use]
    pub fn user(username: &str) -> Self {
        Self {
            username: username.into(),
            is_anonymous: false,
            claims: BTreeMap::new(),
            claim_lists: BTreeMap::new(),
            expires_at: None,
        }
    }

    /// Whether the claim of this name is `value`, or a list that holds it.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        self.claims.get(name).is_some_and(|claim| claim == value)
            || self.claim_lists.get(name).is_some_and(|list| list.iter().any(|item| item == value))
    }
}

/// A token as it came. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// What a client says to prove who it is. Its `Debug` shows no password and no token.
#[derive(Clone)]
pub struct Credentials {
    pub username: Option<Box<str>>,
    pub password: Option<Bytes>,
    /// Of the request that opened the WebSocket. What CONNECT says goes before it.
    pub token: Option<Token>,
    /// Of the TLS handshake, which has verified it. It speaks for a client that says nothing of its own.
    pub certificate: Option<Arc<ClientCertificate>>,
    pub client_id: Box<str>,
    /// Where it comes from, as far as the edge believes it.
    pub address: Option<IpAddr>,
}

impl Credentials {
    /// Whether the client said nothing that could be checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.username.is_none() && self.password.is_none() && self.token.is_none() && self.certificate.is_none()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "redacted"))
            .field("token", &self.token)
            .field("certificate", &self.certificate.as_ref().map(|certificate| &certificate.subject))
            .field("client_id", &self.client_id)
            .field("address", &self.address)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let credentials = Credentials {
            username: Some("client".into()),
            password: Some(Bytes::from_static(b"hunter2")),
            token: Some(Token::new("ey.hunter2")),
            certificate: None,
            client_id: "c1".into(),
            address: None,
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("client") && shown.contains("redacted"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    }
}
