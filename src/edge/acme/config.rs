//! What an operator says about certificates that an authority is to issue.

use std::path::PathBuf;
use std::time::Duration;

use super::store::Store;
use crate::outgoing::Url;

/// Which certificate to have, from whom, and how to prove that its names are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The authority's directory (RFC 8555 §7.1.1), an https URL.
    pub directory: Url,
    /// The names that the certificate is for, in lower case; none with a wildcard.
    pub domains: Vec<String>,
    /// Where the authority may write to: `mailto:` URLs.
    pub contact: Vec<String>,
    pub challenge: AcmeChallenge,
    /// The folder in which account and certificate are kept.
    pub storage: PathBuf,
    /// Whose certificates are believed of the authority's own server, instead of the system's authorities.
    pub ca: Option<PathBuf>,
    pub eab: Option<ExternalAccount>,
    /// How long before its end a certificate is renewed; at the latest when a third of its life is left.
    pub renew_before: Duration,
    /// How long to wait after a failure; doubled with each further one.
    pub retry: Duration,
}

impl AcmeConfig {
    /// Where the certificate lies, with its key, once one is issued.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        Store::new(self).certificate()
    }
}

/// How it is proven that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8737: by a handshake on port 443.
    TlsAlpn01,
    /// RFC 8555 §8.3: by a page on port 80.
    Http01,
}

impl AcmeChallenge {
    /// As RFC 8555 spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// An account that the operator has with the authority otherwise (RFC 8555 §7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    pub kid: String,
    /// The file with the MAC key, in base64url as authorities hand it out.
    pub key_file: PathBuf,
}
