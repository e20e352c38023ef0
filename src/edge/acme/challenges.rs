//! The proofs that the authority is about to look for. There are some only while an order waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// RFC 8737 §6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// RFC 8555 §8.3.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// What listeners look at: nothing, but for the moments in which a proof is due.
#[derive(Default)]
pub(crate) struct Challenges(ArcSwapOption<Proofs>);

/// The proofs of one order.
#[derive(Default)]
pub(crate) struct Proofs {
    key_authorizations: HashMap<String, String>,
    handshakes: HashMap<String, Arc<ServerConfig>>,
}

impl Challenges {
    pub(crate) fn is_pending(&self) -> bool {
        self.0.load().is_some()
    }

    /// What is to be read at `path`, if a proof lies there.
    pub(crate) fn page(&self, path: &str) -> Option<String> {
        let proofs = self.0.load();
        let token = path.strip_prefix(WELL_KNOWN)?;
        proofs.as_ref()?.key_authorizations.get(token).cloned()
    }

    /// How to shake hands with who asks for a proof and nothing else (RFC 8737 §3).
    pub(crate) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let proofs = self.0.load();
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        proofs.as_ref()?.handshakes.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }

    /// Shows `proofs` for as long as the result lives.
    pub(super) fn show(&self, proofs: Proofs) -> Shown<'_> {
        self.0.store(Some(Arc::new(proofs)));
        Shown(self)
    }
}

pub(super) struct Shown<'a>(&'a Challenges);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}

impl Proofs {
    pub(super) fn add_page(&mut self, token: &str, key_authorization: &str) {
        self.key_authorizations.insert(token.to_owned(), key_authorization.to_owned());
    }

    /// # Errors
    /// No certificate can be made for `domain`.
    pub(super) fn add_handshake(&mut self, domain: &str, digest: &[u8]) -> Result<(), String> {
        let config = config(domain, digest).map_err(|error| format!("no proof can be made: {error}"))?;
        self.handshakes.insert(domain.to_ascii_lowercase(), Arc::new(config));
        Ok(())
    }
}

/// Shows the certificate of RFC 8737 §3, whatever else the listener asks of its clients.
fn config(domain: &str, digest: &[u8]) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let pair = CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_supported_type(&key)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        // The library would refuse to show a certificate whose extensions it does not know.
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_there_for_its_token_and_while_it_is_shown() {
        let challenges = Challenges::default();
        assert!(!challenges.is_pending());
        let mut proofs = Proofs::default();
        proofs.add_page("token", "token.thumbprint");
        proofs.add_handshake("App.Example", &[7; 32]).unwrap();
        let shown = challenges.show(proofs);
        assert!(challenges.is_pending());
        assert_eq!(challenges.page("/.well-known/acme-challenge/token").as_deref(), Some("token.thumbprint"));
        for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/token", "token"] {
            assert_eq!(challenges.page(path), None, "{path}");
        }
        drop(shown);
        assert!(!challenges.is_pending());
        assert_eq!(challenges.page("/.well-known/acme-challenge/token"), None);
    }
}
