//! An authority with an intermediate, as public ones have it, and certificates of every kind of mistake.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The root, and who signs servers' certificates in its name.
pub struct Authority {
    pub root_pem: String,
    intermediate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What a server shows, and its key.
pub struct Pair {
    pub chain_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = || KeyPair::generate().expect("a key pair");
        let (root_key, intermediate_key) = (key(), key());
        let root_params = authority(name);
        let root = root_params.self_signed(&root_key).expect("a self-signed certificate");
        let params = authority(&format!("{name}'s intermediate"));
        let intermediate =
            params.signed_by(&intermediate_key, &Issuer::new(root_params, root_key)).expect("a signed certificate");
        Self { root_pem: root.pem(), intermediate, issuer: Issuer::new(params, intermediate_key) }
    }

    /// A certificate for this name alone, with the whole chain or without, and whatever else `change` makes of it.
    pub fn pair(&self, name: &str, is_whole: bool, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a valid name");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        let intermediate = if is_whole { self.intermediate.pem() } else { String::new() };
        Pair { chain_pem: leaf.pem() + &intermediate, key_pem: key.serialize_pem() }
    }
}

/// A certificate that nobody but its own key has signed.
pub fn self_signed(name: &str) -> Pair {
    let key = KeyPair::generate().expect("a key pair");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a valid name");
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a self-signed certificate");
    Pair { chain_pem: certificate.pem(), key_pem: key.serialize_pem() }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
