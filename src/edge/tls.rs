//! TLS: which certificates answer to which names, and the settings of every handshake.
//!
//! TLS 1.2 and 1.3; hybrid post-quantum key exchange first (X25519MLKEM768); tickets hold the session, this process keeps none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::{CertificateFiles, Scheme, TlsConfig};
use super::development_certificate;
use crate::fault::Fault;

/// The settings a listener hands to each new connection; swapped whole.
pub(crate) type Shared = Arc<ArcSwap<ServerConfig>>;

/// TLS for listeners that share certificates.
pub(crate) struct Tls {
    https: Option<Shared>,
    mqtts: Option<Shared>,
    /// The certificate of the authority that signed the development certificate, where that is in use.
    pub(crate) development_ca: Option<PathBuf>,
}

impl Tls {
    /// For listeners without TLS.
    pub(crate) fn none() -> Self {
        Self { https: None, mqtts: None, development_ca: None }
    }

    /// Reads the certificates, or makes a development certificate. The configuration calls them `key`.
    ///
    /// # Errors
    /// Every file that cannot be read, holds no certificate or key, or does not fit its partner.
    pub(crate) fn load(config: &TlsConfig, key: &str) -> Result<Self, Vec<Fault>> {
        let (files, development_ca) = match config {
            TlsConfig::Files(files) => (files.clone(), None),
            TlsConfig::Development { directory } => {
                let made = development_certificate::ensure(directory).map_err(|fault| vec![fault])?;
                (vec![made.files], Some(made.ca))
            }
        };
        let resolver = Arc::new(Certificates::new(load_all(&files, key)?));
        // A client that offers only other protocols is refused, so that nothing meant for MQTT can be aimed at HTTP or the other way.
        let https = server_config(&resolver, &[b"http/1.1"]).map_err(|fault| vec![fault])?;
        let mqtts = server_config(&resolver, &[b"mqtt"]).map_err(|fault| vec![fault])?;
        let shared = |config| Some(Arc::new(ArcSwap::from_pointee(config)));
        Ok(Self { https: shared(https), mqtts: shared(mqtts), development_ca })
    }

    /// The settings for listeners of `scheme`.
    pub(crate) fn config(&self, scheme: Scheme) -> Option<Shared> {
        match scheme {
            Scheme::Https => self.https.clone(),
            Scheme::Mqtts => self.mqtts.clone(),
            Scheme::Http | Scheme::Mqtt => None,
        }
    }
}

fn server_config(certificates: &Arc<Certificates>, protocols: &[&[u8]]) -> Result<ServerConfig, Fault> {
    let unusable = |error: rustls::Error| Fault::new("", "tls", error.to_string(), "a working cryptography provider");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::<Certificates>::clone(certificates));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Sessions travel in tickets; one is enough, as every resumption brings the next.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // 0-RTT data can be replayed (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(config)
}

/// Reads every pair; all faults at once.
fn load_all(files: &[CertificateFiles], key: &str) -> Result<Vec<Arc<CertifiedKey>>, Vec<Fault>> {
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for (index, files) in files.iter().enumerate() {
        match load_pair(files, index, key) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(found) => faults.extend(found),
        }
    }
    if files.is_empty() {
        faults.push(Fault::new("", format!("{key}.cert"), "no certificate", "at least one certificate and its key"));
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn load_pair(files: &CertificateFiles, index: usize, key: &str) -> Result<CertifiedKey, Vec<Fault>> {
    let key_path =
        |field: &str| if index == 0 { format!("{key}.{field}") } else { format!("{key}.cert[{index}].{field}") };
    let fault = |path: &Path, field: &str, found: String, allowed: &str| {
        Fault::new(path.display().to_string(), key_path(field), found, allowed)
    };
    let chain = read_chain(&files.certificate)
        .map_err(|found| fault(&files.certificate, "cert", found, "a PEM file with the certificate chain, leaf first"));
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| error.to_string())
        .and_then(|key| aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string()))
        .map_err(|found| fault(&files.key, "key", found, "a PEM file with an ECDSA, Ed25519 or RSA private key"));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => {
            let allowed = "the private key whose public half is in the first certificate of the chain";
            let found = format!("not the key of {}", files.certificate.display());
            Err(vec![fault(&files.key, "key", found, allowed)])
        }
    }
}

/// Every certificate in a PEM file; at least one, and the first one readable as a server's.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let chain = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let leaf = chain.first().ok_or("no certificate in it")?;
    webpki::EndEntityCert::try_from(leaf).map_err(|error| format!("its first certificate cannot be used: {error}"))?;
    Ok(chain)
}

/// Chooses a certificate by the name the client asks for (RFC 6066 §3).
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Lower case; a wildcard as `*.example.com`.
    key_by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name nobody, or somebody unknown: better a certificate they can look at than none.
    fallback: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// The first of `keys` that is valid for a name serves it; the first of all serves the rest.
    pub(crate) fn new(keys: Vec<Arc<CertifiedKey>>) -> Self {
        let mut key_by_name = HashMap::new();
        for key in &keys {
            let leaf = key.cert.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
            for name in leaf.iter().flat_map(|leaf| leaf.valid_dns_names()) {
                key_by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(key));
            }
        }
        Self { key_by_name, fallback: keys.into_iter().next() }
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.key_by_name.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.key_by_name.get(&format!("*.{parent}"))
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.find(name)).or(self.fallback.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(directory: &Path, name: &str, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
        let files = CertificateFiles {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, made.cert.pem()).expect("the folder can be written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("the folder can be written");
        files
    }

    #[test]
    fn the_name_chooses_the_certificate() {
        let directory = tempfile::tempdir().expect("a folder");
        let files = [
            write_pair(directory.path(), "one", &["one.example", "shared.example"]),
            write_pair(directory.path(), "two", &["*.two.example", "shared.example"]),
        ];
        let keys = load_all(&files, "tls").expect("both are sound");
        let certificates = Certificates::new(keys.clone());
        let found = |name: &str| certificates.find(name).map(|key| Arc::ptr_eq(key, &keys[0]));
        assert_eq!(found("one.example"), Some(true));
        assert_eq!(found("ONE.example"), Some(true));
        assert_eq!(found("shared.example"), Some(true));
        assert_eq!(found("a.two.example"), Some(false));
        assert_eq!(found("b.a.two.example"), None);
        assert_eq!(found("two.example"), None);
        assert!(certificates.fallback.is_some_and(|key| Arc::ptr_eq(&key, &keys[0])));
    }

    #[test]
    fn all_faults_of_all_files_come_at_once() {
        let directory = tempfile::tempdir().expect("a folder");
        let one = write_pair(directory.path(), "one", &["one.example"]);
        let two = write_pair(directory.path(), "two", &["two.example"]);
        let crossed = CertificateFiles { certificate: one.certificate.clone(), key: two.key.clone() };
        let swapped = CertificateFiles { certificate: two.key.clone(), key: two.certificate.clone() };
        let missing = CertificateFiles { certificate: "/no/such.pem".into(), key: "/no/such.key".into() };
        let faults = load_all(&[one, crossed, swapped, missing], "tls").expect_err("three pairs are faulty");
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["tls.cert[1].key", "tls.cert[2].cert", "tls.cert[2].key", "tls.cert[3].cert", "tls.cert[3].key"]
        );
        assert!(load_all(&[], "tls").is_err());
    }

    #[test]
    fn hybrid_key_exchange_comes_first() {
        let groups = aws_lc_rs::default_provider().kx_groups;
        assert_eq!(groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    }
}
