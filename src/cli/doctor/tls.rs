//! A handshake that refuses nobody and writes down what it is shown: what that is worth is judged afterwards, fault by fault.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::wire::{Bounded, Wire};

/// What a server has shown of itself.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Such as `TLS 1.3, TLS13_AES_128_GCM_SHA256, X25519MLKEM768`.
    pub agreed: String,
    pub alpn: Option<String>,
    /// As it was sent: the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The stapled OCSP response; empty: none.
    pub ocsp: Vec<u8>,
}

/// Shakes hands. Nothing secret may be sent to a server whose certificate has not been judged by others.
///
/// # Errors
/// There is no common version or cipher, the server speaks no TLS, or cannot prove that it has the key.
pub fn handshake(bounded: Bounded, host: &str, alpn: &[&str]) -> io::Result<(Wire, Shown)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let recorder = Arc::new(Recorder { provider: Arc::clone(&provider), shown: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    // A server that knows one skips its certificate.
    config.resumption = rustls::client::Resumption::disabled();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut bounded = bounded;
    while connection.is_handshaking() {
        connection.complete_io(&mut bounded)?;
    }
    let mut shown = recorder.shown.lock().clone();
    shown.agreed = agreed(&connection);
    shown.alpn = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    Ok((Wire::Tls(Box::new(StreamOwned::new(connection, bounded))), shown))
}

fn agreed(connection: &ClientConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!(", {:?}", suite.suite()));
    let group = connection.negotiated_key_exchange_group().map(|group| format!(", {:?}", group.name()));
    format!("{version}{}{}", cipher.unwrap_or_default(), group.unwrap_or_default())
}

#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Shown>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [end_entity].into_iter().chain(intermediates);
        let mut shown = self.shown.lock();
        shown.chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        shown.ocsp = ocsp.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
