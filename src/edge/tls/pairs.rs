//! The server's certificates with their keys, and which of them a client gets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::staple::Staple;
use super::{days, fault, unix_s};
use crate::edge::acme::AcmeConfig;
use crate::edge::config::CertificateFiles;
use crate::fault::Fault;

/// A certificate chain and its key, ready to be shown.
#[derive(Debug)]
pub(super) struct Pair {
    bare: Arc<CertifiedKey>,
    /// The same with what its authority says of it, and until when that is worth something.
    stapled: Option<(Arc<CertifiedKey>, u64)>,
    not_after_s: u64,
}

impl Pair {
    pub(super) fn shown(&self, now: SystemTime) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some((stapled, until_s)) if unix_s(now) < *until_s => stapled,
            _ => &self.bare,
        }
    }

    fn can_sign(&self, schemes: &[SignatureScheme]) -> bool {
        self.bare.key.choose_scheme(schemes).is_some()
    }

    fn names(&self) -> Vec<String> {
        let leaf = self.bare.cert.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
        leaf.iter().flat_map(|leaf| leaf.valid_dns_names()).map(str::to_ascii_lowercase).collect()
    }
}

/// Reads every pair; all faults at once.
pub(super) fn load_all(
    files: &[CertificateFiles],
    key: &str,
    now: SystemTime,
    warnings: &mut Vec<Fault>,
) -> Result<Vec<Arc<Pair>>, Vec<Fault>> {
    let (mut pairs, mut faults) = (Vec::new(), Vec::new());
    for (index, files) in files.iter().enumerate() {
        let place = if index == 0 { key.to_owned() } else { format!("{key}.cert[{index}]") };
        match load_pair(files, &place, now, warnings) {
            Ok(pair) if index > 0 && pair.names().is_empty() => {
                let allowed = "a subject alternative name (DNS) in every certificate but the first, or no client is ever shown it";
                faults.push(fault(&files.certificate, format!("{place}.cert"), "covers no name", allowed));
            }
            Ok(pair) => pairs.push(Arc::new(pair)),
            Err(found) => faults.extend(found),
        }
    }
    if files.is_empty() {
        faults.push(Fault::new("", format!("{key}.cert"), "no certificate", "at least one certificate and its key"));
    }
    if faults.is_empty() { Ok(pairs) } else { Err(faults) }
}

/// What an authority has issued, or, where there is nothing good of it, a certificate that nobody has signed: it lets clients that look at
/// none come in, and lets others see what is amiss.
pub(super) fn issued(acme: &AcmeConfig, key: &str, now: SystemTime) -> Result<Vec<Arc<Pair>>, Fault> {
    let file = acme.certificate_file();
    let files = CertificateFiles { certificate: file.clone(), key: file, ocsp: None };
    let pair = match load_pair(&files, key, now, &mut Vec::new()) {
        Ok(pair) => pair,
        Err(_) => placeholder(&acme.domains).map_err(|found| {
            Fault::new(
                "",
                format!("{key}.acme"),
                found,
                "names that a certificate can be for, and working cryptography",
            )
        })?,
    };
    Ok(vec![Arc::new(pair)])
}

fn placeholder(domains: &[String]) -> Result<Pair, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let params = CertificateParams::new(domains).map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    let bare = CertifiedKey::new(vec![certificate.der().clone()], key);
    // As for the time until which it is good, there is no certificate.
    Ok(Pair { bare: Arc::new(bare), stapled: None, not_after_s: 0 })
}

fn load_pair(
    files: &CertificateFiles,
    place: &str,
    now: SystemTime,
    warnings: &mut Vec<Fault>,
) -> Result<Pair, Vec<Fault>> {
    let CertificateFiles { certificate, key, ocsp } = files;
    let fault = |path: &Path, field: &str, found: String, allowed: &str| {
        fault(path, format!("{place}.{field}"), found, allowed)
    };
    let chain = read_chain(certificate)
        .map_err(|found| fault(certificate, "cert", found, "a PEM file with the certificate chain, leaf first"));
    let signing_key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| error.to_string())
        .and_then(|key| aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string()))
        .map_err(|found| fault(key, "key", found, "a PEM file with an ECDSA, Ed25519 or RSA private key"));
    let (chain, signing_key) = match (chain, signing_key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    let bare = CertifiedKey::new(chain, signing_key);
    let mut faults = Vec::new();
    if !matches!(bare.keys_match(), Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown))) {
        let allowed = "the private key whose public half is in the first certificate of the chain";
        faults.push(fault(key, "key", format!("not the key of {}", certificate.display()), allowed));
    }
    let leaf = Leaf::read(&bare);
    if let Some(found) = leaf.as_ref().and_then(|leaf| leaf.validity_fault(unix_s(now))) {
        faults.push(fault(certificate, "cert", found, "a certificate that is valid now"));
    }
    let mut stapled = None;
    if let (Some(ocsp), Some(leaf)) = (ocsp, &leaf) {
        match leaf.staple(ocsp, now) {
            Ok(Ok((response, until_s))) => {
                let with_staple = CertifiedKey { ocsp: Some(response), ..bare.clone() };
                stapled = Some((Arc::new(with_staple), until_s));
            }
            Ok(Err(stale)) => {
                warnings.push(fault(ocsp, "ocsp", stale, "a response that is still to be replaced"));
            }
            Err(found) => faults.push(fault(ocsp, "ocsp", found, "the OCSP response for this certificate, in DER")),
        }
    }
    let not_after_s = leaf.map_or(u64::MAX, |leaf| leaf.not_after_s);
    if faults.is_empty() { Ok(Pair { bare: Arc::new(bare), stapled, not_after_s }) } else { Err(faults) }
}

/// Every certificate in a PEM file; at least one, and the first one readable as a server's.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let chain = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let leaf = chain.first().ok_or("no certificate in it")?;
    webpki::EndEntityCert::try_from(leaf).map_err(|error| format!("its first certificate cannot be used: {error}"))?;
    X509Certificate::from_der(leaf).map_err(|error| format!("its first certificate cannot be read: {error}"))?;
    Ok(chain)
}

/// What the first certificate of a chain says of itself.
struct Leaf {
    serial: Vec<u8>,
    not_before_s: u64,
    not_after_s: u64,
}

impl Leaf {
    fn read(pair: &CertifiedKey) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(pair.cert.first()?).ok()?;
        let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
        Some(Self {
            serial: leaf.raw_serial().to_vec(),
            not_before_s: seconds(leaf.validity().not_before.timestamp()),
            not_after_s: seconds(leaf.validity().not_after.timestamp()),
        })
    }

    fn validity_fault(&self, now_s: u64) -> Option<String> {
        if now_s > self.not_after_s {
            return Some(format!("has expired, {} ago", days(now_s - self.not_after_s)));
        }
        (now_s < self.not_before_s).then(|| format!("is not valid yet, for {}", days(self.not_before_s - now_s)))
    }

    /// The response in the file `path`, and until when it is worth something; inside, why it is worth nothing any more.
    fn staple(&self, path: &Path, now: SystemTime) -> Result<Result<(Vec<u8>, u64), String>, String> {
        let response = std::fs::read(path).map_err(|error| error.to_string())?;
        let staple = Staple::parse(&response).map_err(str::to_owned)?;
        if staple.serial != self.serial {
            return Err("is about another certificate".to_owned());
        }
        if !staple.is_good {
            return Err("says that the certificate is not good".to_owned());
        }
        let (now_s, until_s) = (unix_s(now), staple.next_update_s.unwrap_or(u64::MAX));
        match until_s > now_s {
            true => Ok(Ok((response, until_s))),
            false => Ok(Err(format!("should have been replaced {} ago, and is not sent", days(now_s - until_s)))),
        }
    }
}

/// Chooses a certificate by the name the client asks for (RFC 6066 §3) and the signatures it can verify.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Lower case; a wildcard as `*.example.com`. Of several for one name, the first whose signatures the client knows.
    pairs_by_name: HashMap<String, Vec<Arc<Pair>>>,
    /// In the order of the configuration. The first is for clients that name nobody, or somebody unknown: better a certificate they can look at
    /// than none.
    pairs: Vec<Arc<Pair>>,
}

impl Certificates {
    pub(super) fn new(pairs: Vec<Arc<Pair>>) -> Self {
        let mut pairs_by_name: HashMap<String, Vec<Arc<Pair>>> = HashMap::new();
        for pair in &pairs {
            for name in pair.names() {
                pairs_by_name.entry(name).or_default().push(Arc::clone(pair));
            }
        }
        Self { pairs_by_name, pairs }
    }

    pub(super) fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Pair>> {
        let for_name = name.and_then(|name| self.of_name(name));
        let candidates = for_name.or_else(|| self.pairs.get(..1)).unwrap_or_default();
        candidates.iter().find(|pair| pair.can_sign(schemes)).or(candidates.first())
    }

    fn of_name(&self, name: &str) -> Option<&[Arc<Pair>]> {
        let name = name.to_ascii_lowercase();
        let found = self.pairs_by_name.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.pairs_by_name.get(&format!("*.{parent}"))
        });
        found.map(Vec::as_slice)
    }

    pub(super) fn not_after_s(&self) -> Option<u64> {
        self.pairs.iter().map(|pair| pair.not_after_s).min()
    }

    /// Everything that is shown.
    pub(super) fn content(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for pair in &self.pairs {
            pair.bare.cert.iter().for_each(|certificate| digest.update(certificate));
            if let Some((stapled, _)) = &pair.stapled {
                digest.update(stapled.ocsp.as_deref().unwrap_or_default());
            }
        }
        digest.finalize().into()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.find(hello.server_name(), hello.signature_schemes())?;
        Some(Arc::clone(pair.shown(SystemTime::now())))
    }
}
