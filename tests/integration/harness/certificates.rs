//! A certificate authority and a server certificate for 127.0.0.1 and localhost, made once a run.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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

    /// The same, with a certificate to show.
    pub fn client_config_with(&self, identity: &Identity) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone()).expect("the authority's own certificate");
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("PEM");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_client_auth_cert(chain, key).expect("a key that fits"))
    }

    /// The same for these TLS versions only.
    pub fn client_config_for(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone()).expect("the authority's own certificate");
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}

/// An authority that signs clients' certificates.
pub struct ClientAuthority {
    pub certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a client shows, and what it proves it with.
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl ClientAuthority {
    pub fn new() -> Self {
        Self::named("Tidegate test clients")
    }

    /// One of this name, by which its lists are known.
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate_pem = params.self_signed(&key).expect("a self-signed certificate").pem();
        Self { certificate_pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for whomever `change` names, with this serial number.
    pub fn sign(&self, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(serial.into());
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// The same for a common name.
    pub fn sign_for(&self, serial: u64, name: &str) -> Identity {
        self.sign(serial, |params| params.distinguished_name.push(rcgen::DnType::CommonName, name))
    }

    /// A list that revokes these serial numbers, good for a long time.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |&serial: &u64| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: rcgen::date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2025, 1, 1),
            next_update: rcgen::date_time_ymd(4000, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).and_then(|list| list.pem()).expect("a signed list")
    }
}
