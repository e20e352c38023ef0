use std::path::Path;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

use super::tls::connect;
use super::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority, and what it signs in its folder.
struct Authority {
    folder: tempfile::TempDir,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Clients");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        let authority = Self { folder: tempfile::tempdir().unwrap(), certificate, issuer: Issuer::new(params, key) };
        authority.write("ca.pem", &authority.certificate);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A certificate for `name` with this serial number.
    fn sign(&self, name: &str, serial: u64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial.into());
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes `clients.crl`, which revokes these serial numbers and is good for some time from `now` on.
    fn revoke(&self, serials: &[u64], good_until: SystemTime) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let since = |at: SystemTime| epoch + at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let revoked_certs = serials
            .iter()
            .map(|&serial| RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: since(good_until - 2 * DAY),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: since(good_until - 2 * DAY),
            next_update: since(good_until),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write("clients.crl", &params.signed_by(&self.issuer).unwrap().pem().unwrap());
    }

    fn asks(&self, is_required: bool) -> ClientAuthConfig {
        let crls = [self.path("clients.crl")].into_iter().filter(|path| path.exists()).collect();
        ClientAuthConfig { authorities: self.path("ca.pem"), is_required, crls, allows_expired_crls: false }
    }
}

struct Identity {
    certificate: String,
    key: String,
}

/// A client that believes everybody, as it is the server that is to be convinced here.
fn client(edge: &Running, identity: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&edge.ca).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Who the edge says has come; `None`: it was closed before. In TLS 1.3 a client learns that it is refused after its own handshake is over.
async fn visit(edge: &mut Running, connector: &TlsConnector) -> Option<(Option<String>, HandshakeKind)> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = in_time(connector.connect(name, edge.connect(Scheme::Mqtts).await)).await.ok()?;
    let came = tokio::select! {
        biased;
        accepted = edge.accepted.recv() => accepted,
        _ = stream.read_u8() => None,
    }?;
    let Stream::Tls(tcp, mut tls) = came.stream else { panic!("it is TLS") };
    // The ticket travels with the first bytes.
    super::tls::write_plaintext(&tcp, &mut tls, b"x").await;
    in_time(stream.read_u8()).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let kind = if kind == HandshakeKind::FullWithHelloRetryRequest { HandshakeKind::Full } else { kind };
    Some((came.certificate.map(|certificate| certificate.subject_cn.join(",")), kind))
}

fn start(change: impl FnOnce(&mut EdgeConfig)) -> Running {
    Running::start(&[Scheme::Mqtts], change)
}

const FULL: HandshakeKind = HandshakeKind::Full;
const RESUMED: HandshakeKind = HandshakeKind::Resumed;

fn came(name: &str, kind: HandshakeKind) -> Option<(Option<String>, HandshakeKind)> {
    Some((Some(name.to_owned()), kind))
}

#[tokio::test]
async fn a_certificate_is_asked_for_and_travels_along() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (alice, mallory) = (ours.sign("alice", 1), others.sign("alice", 1));
    for version in BOTH {
        for is_required in [true, false] {
            let mut edge = start(|config| config.tls.clients = Some(ours.asks(is_required)));
            let with = client(&edge, Some(&alice), &[version]);
            assert_eq!(visit(&mut edge, &with).await, came("alice", FULL));
            let stranger = client(&edge, Some(&mallory), &[version]);
            assert_eq!(visit(&mut edge, &stranger).await, None);
            let without = client(&edge, None, &[version]);
            let expected = (!is_required).then_some((None, FULL));
            assert_eq!(visit(&mut edge, &without).await, expected, "{version:?} {is_required}");
            let refused = if is_required { 2 } else { 1 };
            until(|| read(&edge.counters.client_certificates_refused) == refused).await;
            assert_eq!(read(&edge.counters.client_certificates), 1);
        }
    }
}

#[tokio::test]
async fn a_resumed_session_keeps_its_certificate_as_long_as_that_is_good() {
    let ours = Authority::new();
    let alice = ours.sign("alice", 7);
    let good_until = SystemTime::now() + DAY;
    for version in BOTH {
        ours.revoke(&[], good_until);
        let mut edge = start(|config| config.tls.clients = Some(ours.asks(true)));
        let connector = client(&edge, Some(&alice), &[version]);
        assert_eq!(visit(&mut edge, &connector).await, came("alice", FULL));
        assert_eq!(visit(&mut edge, &connector).await, came("alice", RESUMED));
        // Nothing has changed: tickets go on being good.
        assert_eq!(edge.reload(|_| {}), Ok(Reloaded { listeners_changed: 0 }));
        assert_eq!(visit(&mut edge, &connector).await, came("alice", RESUMED));
        // Another list with nothing in it: what a ticket stands for has changed, the certificate is as good as before.
        ours.revoke(&[8], good_until);
        assert_eq!(edge.reload(|_| {}), Ok(Reloaded { listeners_changed: 1 }));
        assert_eq!(visit(&mut edge, &connector).await, came("alice", FULL));
        ours.revoke(&[7], good_until);
        assert_eq!(edge.reload(|_| {}), Ok(Reloaded { listeners_changed: 1 }));
        assert_eq!(visit(&mut edge, &connector).await, None, "{version:?}");
        until(|| read(&edge.counters.client_certificates_refused) == 1).await;
    }
}

/// A ticket outlives the certificate in it, as nothing that was read from files changes when that expires.
#[tokio::test]
async fn a_session_is_not_resumed_with_a_certificate_that_has_expired_meanwhile() {
    let ours = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "brief");
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch + Duration::from_secs(3);
    let certificate = params.signed_by(&key, &ours.issuer).unwrap();
    let brief = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
    let mut edge = start(|config| config.tls.clients = Some(ours.asks(true)));
    let connector = client(&edge, Some(&brief), &BOTH);
    assert_eq!(visit(&mut edge, &connector).await, came("brief", FULL));
    let end = in_time(async {
        loop {
            match visit(&mut edge, &connector).await {
                Some(seen) => assert_eq!(seen, (Some("brief".to_owned()), RESUMED)),
                None => break SystemTime::now(),
            }
        }
    });
    let since_epoch_then = end.await.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(since_epoch_then > since_epoch + Duration::from_secs(2), "refused too early");
}

#[tokio::test]
async fn a_list_that_should_have_been_replaced_refuses_unless_it_may_not() {
    let ours = Authority::new();
    let (alice, bob) = (ours.sign("alice", 1), ours.sign("bob", 2));
    ours.revoke(&[2], SystemTime::now() - DAY);
    for allows_expired_crls in [false, true] {
        let mut edge = start(|config| {
            config.tls.clients = Some(ClientAuthConfig { allows_expired_crls, ..ours.asks(true) });
        });
        let faults = Edge::check(&edge.config).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].key, "tls.crl");
        assert!(
            faults[0].found.starts_with("the list of CN=Clients should have been replaced 1 day ago"),
            "{faults:?}"
        );
        let [alices, bobs] = [&alice, &bob].map(|identity| client(&edge, Some(identity), &BOTH));
        assert_eq!(visit(&mut edge, &alices).await.is_some(), allows_expired_crls);
        assert_eq!(visit(&mut edge, &bobs).await, None);
    }
}

#[tokio::test]
async fn a_faulty_reload_changes_nothing_and_names_the_faults() {
    let ours = Authority::new();
    let alice = ours.sign("alice", 1);
    let mut edge = start(|config| config.tls.clients = Some(ours.asks(true)));
    let connector = client(&edge, Some(&alice), &BOTH);
    assert_eq!(visit(&mut edge, &connector).await, came("alice", FULL));
    let server = ours.sign("localhost", 3);
    ours.write("server.pem", &server.certificate);
    ours.write("server.key", &alice.key);
    let pair = CertificateFiles { certificate: ours.path("server.pem"), key: ours.path("server.key"), ocsp: None };
    let faults = edge.reload(|config| config.tls.certificates = CertificateSource::Files(vec![pair]));
    assert!(faults.as_ref().is_err_and(|faults| faults[0].key == "tls.key"), "{faults:?}");
    ours.write("ca.pem", "");
    let faults = edge.reload(|_| {}).unwrap_err();
    assert_eq!((faults[0].key.as_str(), &*faults[0].found), ("tls.client_ca", "no certificate in it"));
    assert_eq!(visit(&mut edge, &connector).await, came("alice", RESUMED));
}

/// What a listener says for itself holds for it alone, and a shared file at fault is told once.
#[tokio::test]
async fn listeners_may_ask_differently() {
    let ours = Authority::new();
    let alice = ours.sign("alice", 1);
    let mut edge = Running::start(&[Scheme::Mqtts, Scheme::Https], |config| {
        config.tls.clients = Some(ours.asks(true));
        config.listeners[1].tls = Some(TlsConfig { clients: None, ..config.tls.clone() });
    });
    let without = client(&edge, None, &BOTH);
    assert_eq!(visit(&mut edge, &without).await, None);
    connect(&edge, Scheme::Https, &without, "localhost").await;
    let with = client(&edge, Some(&alice), &BOTH);
    assert_eq!(visit(&mut edge, &with).await, came("alice", FULL));
    let listed = edge.config.certificate_files();
    assert_eq!(listed, [ours.path("ca.pem")]);
    let missing = |config: &mut EdgeConfig| {
        for clients in [&mut config.tls.clients, &mut config.listeners[1].tls.as_mut().unwrap().clients] {
            let authorities = Path::new("/no/such.pem").to_owned();
            *clients = Some(ClientAuthConfig { authorities, ..ours.asks(true) });
        }
    };
    assert_eq!(edge.reload(missing).unwrap_err().len(), 1);
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate_and_open_connections_nothing() {
    let ours = Authority::new();
    let pair = |name: &str, serial| {
        let made = ours.sign(name, serial);
        ours.write("server.pem", &made.certificate);
        ours.write("server.key", &made.key);
        CertificateFiles { certificate: ours.path("server.pem"), key: ours.path("server.key"), ocsp: None }
    };
    let files = pair("first", 1);
    let mut edge = start(|config| config.tls.certificates = CertificateSource::Files(vec![files]));
    edge.ca = ours.path("ca.pem");
    let mut open = Vec::new();
    for _ in 0..200 {
        let connector = client(&edge, None, &BOTH);
        let stream = connect(&edge, Scheme::Mqtts, &connector, "localhost").await;
        open.push((stream, edge.next_accepted().await));
    }
    pair("second", 2);
    assert_eq!(edge.reload(|_| {}), Ok(Reloaded { listeners_changed: 1 }));
    let seen = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        crate::connection::ClientCertificate::parse(&certificate).unwrap().subject_cn.join(",")
    };
    let connector = client(&edge, None, &BOTH);
    assert_eq!(seen(&connect(&edge, Scheme::Mqtts, &connector, "localhost").await), "second");
    for (mut stream, accepted) in open {
        assert_eq!(seen(&stream), "first");
        let Stream::Tls(tcp, mut tls) = accepted.stream else { panic!("it is TLS") };
        super::tls::write_plaintext(&tcp, &mut tls, b"x").await;
        assert_eq!(in_time(stream.read_u8()).await.unwrap(), b'x');
    }
}

#[tokio::test]
async fn settings_are_what_is_spoken() {
    let edge = start(|config| {
        config.tls.version_min = TlsVersion::V1_3;
        config.tls.key_exchange = vec![KeyExchange::Secp384r1];
        config.tls.tickets = 0;
    });
    let old = client(&edge, None, &BOTH[1..]);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    assert!(in_time(old.connect(name, edge.connect(Scheme::Mqtts).await)).await.is_err());
    let mut edge = edge;
    let connector = client(&edge, None, &BOTH);
    let stream = connect(&edge, Scheme::Mqtts, &connector, "localhost").await;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(rustls::NamedGroup::secp384r1));
    edge.next_accepted().await;
    for _ in 0..2 {
        assert_eq!(visit(&mut edge, &connector).await, Some((None, FULL)));
    }
    for count in [1, 3] {
        let mut edge = start(|config| config.tls.tickets = count);
        let connector = client(&edge, None, &BOTH);
        assert_eq!(visit(&mut edge, &connector).await, Some((None, FULL)));
        // A ticket is used once; each connection brings as many as were asked for.
        let mut open = Vec::new();
        for _ in 0..count {
            let stream = connect(&edge, Scheme::Mqtts, &connector, "localhost").await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(RESUMED));
            open.push((stream, edge.next_accepted().await));
        }
        let stream = connect(&edge, Scheme::Mqtts, &connector, "localhost").await;
        assert_ne!(stream.get_ref().1.handshake_kind(), Some(RESUMED));
    }
}
