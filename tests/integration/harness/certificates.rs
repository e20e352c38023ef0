//! A certificate authority and a server certificate for 127.0.0.1 and localhost, made once a run.

use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, SupportedProtocolVersion};

/// PEM texts, and the same authority as rustls wants it.
pub struct Certificates {
    pub authority_pem: String,
    pub server_pem: String,
    pub server_key_pem: String,
    authority: CertificateDer<'static>,
}

impl Certificates {
    /// The run's certificates.
    pub fn get() -> &'static Self {
        static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
        CERTIFICATES.get_or_init(Self::make)
    }

    fn make() -> Self {
        let authority_key = KeyPair::generate().expect("a key pair");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "Tidegate test authority");
        let authority_certificate = authority.self_signed(&authority_key).expect("a self-signed certificate");
        let issuer = Issuer::new(authority, authority_key);

        let server_key = KeyPair::generate().expect("a key pair");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("valid names");
        server.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let server = server.signed_by(&server_key, &issuer).expect("a signed certificate");
        Self {
            authority_pem: authority_certificate.pem(),
            server_pem: server.pem(),
            server_key_pem: server_key.serialize_pem(),
            authority: authority_certificate.der().clone(),
        }
    }

    /// A client configuration that trusts the run's authority and nobody else.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_config_for(rustls::ALL_VERSIONS))
    }

    /// The same for these TLS versions only.
    pub fn client_config_for(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone()).expect("the authority's own certificate");
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}
