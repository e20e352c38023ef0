//! Whose certificates are believed: the authorities of clients, and what these have revoked.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::{days, fault, unix_s};
use crate::edge::config::ClientAuthConfig;
use crate::fault::Fault;

/// Verifies client certificates.
pub(crate) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    content: [u8; 32],
}

impl Clients {
    /// Reads what `config` names; the configuration calls the section it is in `key`.
    ///
    /// # Errors
    /// Every file that cannot be read or holds not what it should.
    pub(super) fn load(
        config: &ClientAuthConfig,
        key: &str,
        now: SystemTime,
        warnings: &mut Vec<Fault>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut content = Sha256::new();
        let mut roots = RootCertStore::empty();
        let allowed = "a PEM file with the certificates of the authorities that sign clients' certificates";
        let at_fault = |found: String| fault(&config.authorities, format!("{key}.client_ca"), found, allowed);
        match read::<CertificateDer<'_>>(&config.authorities, "certificate") {
            Err(found) => faults.push(at_fault(found)),
            Ok(certificates) => {
                for certificate in certificates {
                    content.update(&certificate);
                    if let Err(error) = roots.add(certificate) {
                        faults.push(at_fault(format!("one of its certificates cannot be used: {error}")));
                    }
                }
            }
        }
        let mut crls = Vec::new();
        for (index, path) in config.crls.iter().enumerate() {
            let place = if config.crls.len() == 1 { format!("{key}.crl") } else { format!("{key}.crl[{index}]") };
            match read_crls(path, config, now) {
                Err(found) => faults.push(fault(path, place, found, "a PEM file with certificate revocation lists")),
                Ok((lists, stale)) => {
                    lists.iter().for_each(|list| content.update(list));
                    crls.extend(lists);
                    warnings
                        .extend(stale.map(|found| fault(path, place, found, "a list that is still to be replaced")));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let verifier = verifier(config, roots, crls).map_err(|found| vec![at_fault(found)])?;
        Ok(Self { verifier, content: content.finalize().into() })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// What was read.
    pub(super) fn content(&self) -> [u8; 32] {
        self.content
    }

    /// Verifies a chain, leaf first, that some handshake has brought.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), rustls::Error> {
        match chain.split_first() {
            Some((leaf, rest)) => self.verifier.verify_client_cert(leaf, rest, now).map(drop),
            None if self.verifier.client_auth_mandatory() => Err(rustls::Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }
}

fn verifier(
    config: &ClientAuthConfig,
    roots: RootCertStore,
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).with_crls(crls);
    if !config.is_required {
        builder = builder.allow_unauthenticated();
    }
    if !config.allows_expired_crls {
        builder = builder.enforce_revocation_expiration();
    }
    builder.build().map_err(|error| error.to_string())
}

/// The lists of one file; and, if one of them should have been replaced, what that means.
fn read_crls(
    path: &Path,
    config: &ClientAuthConfig,
    now: SystemTime,
) -> Result<(Vec<CertificateRevocationListDer<'static>>, Option<String>), String> {
    let lists = read::<CertificateRevocationListDer<'_>>(path, "revocation list")?;
    let now_s = unix_s(now);
    let mut stale = None;
    for list in &lists {
        webpki::BorrowedCertRevocationList::from_der(list)
            .map_err(|error| format!("one of its revocation lists cannot be used: {error}"))?;
        let (_, parsed) = CertificateRevocationList::from_der(list)
            .map_err(|_| "one of its revocation lists cannot be read".to_owned())?;
        let next = parsed.next_update().and_then(|next| u64::try_from(next.timestamp()).ok());
        if let Some(next_s) = next.filter(|&next_s| next_s < now_s) {
            let what_now = match config.allows_expired_crls {
                true => "it counts on, as crl_expired: allow says",
                false => "no certificate of its authority is accepted",
            };
            let ago = days(now_s - next_s);
            stale = Some(format!("the list of {} should have been replaced {ago} ago; {what_now}", parsed.issuer()));
        }
    }
    Ok((lists, stale))
}

/// Everything of one kind in a PEM file; at least one.
fn read<T: PemObject + Debug>(path: &Path, what: &str) -> Result<Vec<T>, String> {
    let found = T::pem_file_iter(path).map_err(|error| error.to_string())?;
    let found = found.collect::<Result<Vec<T>, _>>().map_err(|error| error.to_string())?;
    if found.is_empty() { Err(format!("no {what} in it")) } else { Ok(found) }
}
