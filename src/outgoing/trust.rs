//! Whose certificates are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::fault::Fault;

const CA_FORM: &str = "a PEM file with the certificates of authorities";

/// How TLS is spoken with others. Cheap to clone; sessions are resumed among the clones.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

impl PartialEq for Trust {
    /// Whether the same is offered to the same: sessions that were resumed may still be.
    fn eq(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots && self.config.alpn_protocols == other.config.alpn_protocols
    }
}

impl Trust {
    /// Believes the authorities in the file `ca` alone; without one, those that the system believes. `protocols` are offered by ALPN.
    ///
    /// Who names an authority means that one: were the system's believed beside it, any of them could speak for the name. Reads files, so
    /// not for the event loop.
    ///
    /// # Errors
    /// The file cannot be read, or there is no authority to believe; `key` is what the configuration calls it.
    pub fn load(ca: Option<&Path>, protocols: &[&[u8]], key: &str) -> Result<Self, Fault> {
        let roots = Arc::new(roots(ca, key)?);
        let unusable = |error: rustls::Error| Fault::new("", key, error.to_string(), "a working cryptography provider");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self { config: Arc::new(config), roots })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// The authorities in the file `ca`, or those that the system believes.
///
/// # Errors
/// As [`Trust::load`].
pub fn roots(ca: Option<&Path>, key: &str) -> Result<RootCertStore, Fault> {
    match ca {
        Some(path) => authorities(path).map_err(|found| fault(path, key, found)),
        None => system_authorities().map_err(|found| {
            let allowed = "certificates of authorities on this system, or a file of them as `ca`";
            Fault::new("", key, found, allowed)
        }),
    }
}

fn fault(path: &Path, key: &str, found: String) -> Fault {
    Fault::new(path.display().to_string(), key, found, CA_FORM)
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| format!("holds one that cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

/// A single one that cannot be used is passed over, as it is nobody's here to mend.
fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let reason = found.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
    Err(format!("no certificate of an authority on this system: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_authority_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let found = |path: &Path| Trust::load(Some(path), &[], "auth.http.ca").unwrap_err();
        assert_eq!(found(&path).key, "auth.http.ca");
        for (text, expected) in [
            ("", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(found(&path).found.contains(expected), "{}", found(&path));
        }
    }
}
