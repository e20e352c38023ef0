//! TLS: which certificates answer to which names, whose certificates are believed, and the settings of every handshake.
//!
//! TLS 1.2 and 1.3; hybrid post-quantum key exchange first (X25519MLKEM768); tickets hold the session, this process keeps none.
//!
//! What is read from files is a [`Material`]; what a listener makes of it, its [`Terms`], is swapped whole: a handshake uses one from its
//! beginning to its end, and nothing that is connected notices.

mod clients;
mod guests;
mod pairs;
mod staple;
#[cfg(test)]
mod tests;
mod tickets;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, version};
use sha2::{Digest, Sha256};

use self::clients::Clients;
use self::guests::Guests;
use self::pairs::Certificates;
use super::config::{CertificateSource, ClientAuthConfig, KeyExchange, ListenerConfig, Scheme, TlsConfig, TlsVersion};
use super::development_certificate;
use crate::connection::{ClientCertificate, Standing};
use crate::fault::Fault;

/// What a listener hands to each new connection; swapped whole.
pub(crate) type Shared = Arc<ArcSwap<Terms>>;

/// What was read from files, whole and sound.
pub(crate) struct Material {
    config: TlsConfig,
    certificates: Arc<Certificates>,
    clients: Option<Arc<Clients>>,
    /// The certificate of the authority that signed the development certificate, where that is in use.
    pub(crate) development_ca: Option<PathBuf>,
    /// What works and should not stay so.
    pub(crate) warnings: Vec<Fault>,
}

impl Material {
    /// Reads the certificates, or makes a development certificate. The configuration calls them `key`.
    ///
    /// # Errors
    /// Every file that cannot be read, holds not what it should, does not fit its partner, or is of another time than `now`.
    pub(crate) fn load(config: &TlsConfig, key: &str, now: SystemTime) -> Result<Self, Vec<Fault>> {
        let (files, development_ca) = match &config.certificates {
            CertificateSource::Files(files) => (files.clone(), None),
            CertificateSource::Acme(_) => (Vec::new(), None),
            CertificateSource::Development { directory } => {
                let made = development_certificate::ensure(directory).map_err(|fault| vec![fault])?;
                (vec![made.files], Some(made.ca))
            }
        };
        let mut warnings = Vec::new();
        let pairs = match &config.certificates {
            CertificateSource::Acme(acme) => pairs::issued(acme, key, now).map_err(|fault| vec![fault]),
            _ => pairs::load_all(&files, key, now, &mut warnings),
        };
        let clients =
            config.clients.as_ref().map(|clients| Clients::load(clients, key, now, &mut warnings)).transpose();
        match (pairs, clients) {
            (Ok(pairs), Ok(clients)) => Ok(Self {
                config: config.clone(),
                certificates: Arc::new(Certificates::new(pairs)),
                clients: clients.map(Arc::new),
                development_ca,
                warnings,
            }),
            (pairs, clients) => Err([pairs.err(), clients.err()].into_iter().flatten().flatten().collect()),
        }
    }

    /// The faults and warnings of what is read for clients' certificates alone.
    pub(crate) fn check_clients(config: &ClientAuthConfig, key: &str, now: SystemTime) -> Vec<Fault> {
        let mut warnings = Vec::new();
        let faults = Clients::load(config, key, now, &mut warnings).err().unwrap_or_default();
        faults.into_iter().chain(warnings).collect()
    }

    /// The first second in which a certificate of the server is not valid any more, since 1970.
    pub(crate) fn not_after_s(&self) -> Option<u64> {
        self.certificates.not_after_s()
    }

    /// When the first revocation list is to be replaced, since 1970.
    pub(crate) fn crl_next_update_s(&self) -> Option<u64> {
        self.clients.as_ref()?.next_update_s()
    }

    /// What `listener` does with it, if it speaks TLS. Where nothing that a ticket stands for has changed since `previous`,
    /// its tickets go on being good.
    ///
    /// # Errors
    /// The cryptography provider does not work.
    pub(crate) fn terms(&self, listener: &ListenerConfig, previous: Option<&Terms>) -> Result<Option<Terms>, Fault> {
        let Some(protocols) = protocols(listener) else { return Ok(None) };
        let unusable =
            |error: rustls::Error| Fault::new("", "tls", error.to_string(), "a working cryptography provider");
        let basis = self.ticket_basis();
        let ticketer = match previous.filter(|previous| previous.ticket_basis == basis) {
            Some(previous) => previous.ticketer.clone(),
            None if self.config.tickets == 0 => None,
            None => Some(tickets::ticketer(self.config.ticket_rotation).map_err(unusable)?),
        };
        let config = self.server_config(protocols, ticketer.clone()).map_err(unusable)?;
        Ok(Some(Terms {
            config: Arc::new(config),
            clients: self.clients.clone(),
            guests: previous.map(|previous| Arc::clone(&previous.guests)).unwrap_or_default(),
            ticketer,
            ticket_basis: basis,
            content: self.content(),
        }))
    }

    fn server_config(
        &self,
        protocols: &[&[u8]],
        ticketer: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match self.config.version_min {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let verifier =
            self.clients.as_ref().map_or_else(WebPkiClientVerifier::no_client_auth, |clients| clients.verifier());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider(&self.config.key_exchange)))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<Certificates>::clone(&self.certificates));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if self.config.http2 && protocols.contains(&HTTP_1) {
            config.alpn_protocols.insert(0, H2.to_vec());
        }
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = self.config.tickets;
        if let Some(ticketer) = ticketer {
            config.ticketer = ticketer;
        }
        // 0-RTT data can be replayed (RFC 8446 §8).
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// All that a resumed handshake does not go through again. Certificates of the server are not among it: who has proven once to hold
    /// their keys has done so.
    fn ticket_basis(&self) -> [u8; 32] {
        let TlsConfig { certificates: _, clients, version_min, key_exchange, tickets, ticket_rotation, http2: _ } =
            &self.config;
        let mut digest = Sha256::new();
        digest.update(format!("{clients:?} {version_min:?} {key_exchange:?} {tickets} {ticket_rotation:?}"));
        if let Some(clients) = &self.clients {
            digest.update(clients.content());
        }
        digest.finalize().into()
    }

    /// All of it, to tell whether something has changed.
    fn content(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.ticket_basis());
        digest.update(self.certificates.content());
        digest.update([u8::from(self.config.http2)]);
        digest.finalize().into()
    }
}

/// The protocols of ALPN (RFC 7301) that `listener` agrees to, the one that is preferred first; `None`: it speaks no TLS.
///
/// A client that offers only others is refused, so that nothing meant for MQTT can be aimed at HTTP or the other way.
fn protocols(listener: &ListenerConfig) -> Option<&'static [&'static [u8]]> {
    match (listener.scheme, listener.takes_mqtt) {
        (Scheme::Https, false) => Some(&[HTTP_1, HTTP_1_0]),
        (Scheme::Https, true) => Some(&[HTTP_1, HTTP_1_0, MQTT]),
        (Scheme::Mqtts, _) => Some(&[MQTT]),
        (Scheme::Http | Scheme::Mqtt, _) => None,
    }
}

/// As IANA's registry "TLS Application-Layer Protocol Negotiation (ALPN) Protocol IDs" spells it.
pub(crate) const MQTT: &[u8] = b"mqtt";
const HTTP_1: &[u8] = b"http/1.1";
/// All that `curl --http1.0` offers, for one.
const HTTP_1_0: &[u8] = b"http/1.0";
pub(crate) const H2: &[u8] = b"h2";

/// What holds for the handshakes of one listener.
pub(crate) struct Terms {
    config: Arc<ServerConfig>,
    clients: Option<Arc<Clients>>,
    /// Handed on from one to the next.
    guests: Arc<Guests>,
    ticketer: Option<Arc<dyn ProducesTickets>>,
    ticket_basis: [u8; 32],
    content: [u8; 32],
}

impl Terms {
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether these are made of the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.content == other.content
    }

    /// The certificate of the client whose handshake is over, if it has shown one.
    ///
    /// A session that was resumed brings the certificate of the handshake it began with, and nobody has looked at it since: it may have
    /// expired, or have been revoked.
    ///
    /// # Errors
    /// The certificate, or its absence, is no longer accepted.
    fn client(&self, state: &ServerConnection) -> Result<Option<Presented>, String> {
        let Some(clients) = &self.clients else { return Ok(None) };
        let chain = state.peer_certificates().unwrap_or_default();
        if state.handshake_kind() == Some(HandshakeKind::Resumed) {
            clients.verify(chain, UnixTime::now()).map_err(|error| error.to_string())?;
        }
        let Some(leaf) = chain.first() else { return Ok(None) };
        let certificate = ClientCertificate::parse(leaf).map_err(|error| format!("client certificate: {error}"))?;
        Ok(Some(Presented { certificate: Arc::new(certificate), standing: self.guests.enter(chain) }))
    }

    /// Ends the standing of everybody who has come in with a certificate that these do not accept. Returns how many there were.
    pub(crate) fn check_guests(&self) -> usize {
        let now = UnixTime::now();
        self.guests.check(|chain| self.refusal(chain, now))
    }

    /// Why a chain that was accepted before is not any more. That something is over by the clock, be it a list of revocations, is no change
    /// of mind: it would end everybody at whatever reload comes next.
    fn refusal(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<String> {
        use rustls::CertificateError as E;
        let Some(clients) = &self.clients else { return Some("no authority of clients is named any more".to_owned()) };
        match clients.verify(chain, now) {
            Ok(())
            | Err(rustls::Error::InvalidCertificate(
                E::Expired
                | E::ExpiredContext { .. }
                | E::NotValidYet
                | E::NotValidYetContext { .. }
                | E::ExpiredRevocationList
                | E::ExpiredRevocationListContext { .. },
            )) => None,
            Err(error) => Some(error.to_string()),
        }
    }
}

/// The certificate that a client has shown.
pub(crate) struct Presented {
    pub(crate) certificate: Arc<ClientCertificate>,
    pub(crate) standing: Arc<Standing>,
}

/// The certificate of a client whose handshake by `terms` is over, if it has shown one.
///
/// # Errors
/// It is not accepted, or was when the handshake began and is not any more.
pub(crate) fn client(
    shared: &Shared,
    terms: &Arc<Terms>,
    state: &ServerConnection,
) -> Result<Option<Presented>, String> {
    let presented = terms.client(state)?;
    let present = shared.load();
    // Whoever checks the guests does so after the terms have changed, and so has this one among them, or has changed them by now.
    if presented.is_some()
        && !Arc::ptr_eq(terms, &present)
        && let Some(reason) = present.refusal(state.peer_certificates().unwrap_or_default(), UnixTime::now())
    {
        return Err(reason);
    }
    Ok(presented)
}

/// The provider of cryptography, with `key_exchange` alone to exchange keys by.
fn provider(key_exchange: &[KeyExchange]) -> CryptoProvider {
    let kx_groups = key_exchange.iter().map(|&group| kx_group(group)).collect();
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}

fn kx_group(group: KeyExchange) -> &'static dyn SupportedKxGroup {
    use aws_lc_rs::kx_group::{SECP256R1, SECP256R1MLKEM768, SECP384R1, X25519, X25519MLKEM768};
    match group {
        KeyExchange::X25519Mlkem768 => X25519MLKEM768,
        KeyExchange::Secp256r1Mlkem768 => SECP256R1MLKEM768,
        KeyExchange::X25519 => X25519,
        KeyExchange::Secp256r1 => SECP256R1,
        KeyExchange::Secp384r1 => SECP384R1,
    }
}

/// What was read from a file of this place in the configuration is at fault.
fn fault(path: &std::path::Path, key: String, found: impl Into<String>, allowed: &str) -> Fault {
    Fault::new(path.display().to_string(), key, found, allowed)
}

/// Seconds since 1970.
fn unix_s(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long ago, or how far ahead, in words.
fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
