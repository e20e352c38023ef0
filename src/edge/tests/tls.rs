use std::io::{Read, Write};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::connection::{Protocol, Stream};

/// A client that trusts the development authority and nobody else.
pub(super) fn client(
    edge: &Running,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&edge.ca).expect("the certificate is there"))
        .expect("it is an authority's");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider knows the versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(8);
    TlsConnector::from(Arc::new(config))
}

pub(super) async fn connect(
    edge: &Running,
    scheme: Scheme,
    connector: &TlsConnector,
    name: &str,
) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    in_time(connector.connect(name, edge.connect(scheme).await)).await.expect("the handshake succeeds")
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn both_versions_are_spoken_for_every_local_name() {
    let edge = Running::start(&[Scheme::Https, Scheme::Mqtts], |_| {});
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        for name in ["localhost", "127.0.0.1", "::1"] {
            for scheme in [Scheme::Https, Scheme::Mqtts] {
                let connector = client(&edge, &[], &[version]);
                let stream = connect(&edge, scheme, &connector, name).await;
                assert_eq!(stream.get_ref().1.protocol_version(), Some(expected), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn key_exchange_is_hybrid_and_sessions_are_resumed() {
    let edge = Running::start(&[Scheme::Https], |_| {});
    let connector = client(&edge, &[b"http/1.1"], BOTH);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = connect(&edge, Scheme::Https, &connector, "localhost").await;
        let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        // The ticket comes with the first bytes after the handshake.
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the edge reads");
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn who_offers_the_oldest_http_alone_is_served() {
    let edge = Running::start(&[Scheme::Https], |_| {});
    let connector = client(&edge, &[b"http/1.0"], BOTH);
    let mut stream = connect(&edge, Scheme::Https, &connector, "localhost").await;
    stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await.expect("the edge reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.0 200 "));
}

#[tokio::test]
async fn a_protocol_of_the_other_listener_is_refused() {
    let edge = Running::start(&[Scheme::Https, Scheme::Mqtts], |_| {});
    for (scheme, protocol) in [(Scheme::Https, &b"mqtt"[..]), (Scheme::Mqtts, b"http/1.1"), (Scheme::Https, b"h3")] {
        let connector = client(&edge, &[protocol], BOTH);
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connected = in_time(connector.connect(name, edge.connect(scheme).await)).await;
        assert!(connected.is_err(), "{scheme:?}");
    }
    let mqtt = client(&edge, &[b"mqtt"], BOTH);
    connect(&edge, Scheme::Mqtts, &mqtt, "localhost").await;
    until(|| read(&edge.counters.tls_handshakes_failed) == 3).await;
}

#[tokio::test]
async fn what_is_no_tls_is_refused_and_counted() {
    let edge = Running::start(&[Scheme::Https], |_| {});
    let mut stream = edge.connect(Scheme::Https).await;
    let answer = ask(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("https:// before it.\r\n"), "{answer}");
    let (_, content) = answer.split_once("\r\n\r\n").expect("it has content");
    assert!(answer.contains(&format!("content-length: {}\r\n", content.len())), "{answer}");
    for bytes in [&b"\x10\x0c\0\x04MQTT"[..], b"\0\0\0\0\0", b"\x16\x03\x01\0\x05hello"] {
        let mut stream = edge.connect(Scheme::Https).await;
        ask(&mut stream, bytes).await;
    }
    until(|| read(&edge.counters.tls_handshakes_failed) == 4).await;
}

/// SECURITY A, "Slowloris", in the TLS hello.
#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let edge =
        Running::start(&[Scheme::Https], |config| config.limits.tls_handshake_timeout = Duration::from_millis(50));
    let mut stream = edge.connect(Scheme::Https).await;
    stream.write_all(&[22, 3, 1, 2]).await.expect("the edge reads");
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(read(&edge.counters.tls_handshakes_timed_out), 1);
}

/// SECURITY A, "TLS library loops/panics".
#[tokio::test]
async fn a_hello_in_pieces_is_understood_and_a_goodbye_in_its_middle_harms_nobody() {
    let edge = Running::start(&[Scheme::Https], |_| {});
    let connector = client(&edge, &[b"http/1.1"], BOTH);
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut hello = Vec::new();
    let mut state = rustls::ClientConnection::new(Arc::clone(connector.config()), name).expect("the name is sound");
    state.write_tls(&mut hello).expect("writing to memory does not fail");

    let mut stream = edge.connect(Scheme::Https).await;
    stream.set_nodelay(true).expect("it is connected");
    for piece in hello.chunks(97) {
        stream.write_all(piece).await.expect("the edge reads");
        tokio::task::yield_now().await;
    }
    while state.is_handshaking() {
        let mut bytes = [0; 4096];
        let count = in_time(stream.read(&mut bytes)).await.expect("the edge answers");
        assert_ne!(count, 0, "the edge has not closed");
        let mut bytes = &bytes[..count];
        while !bytes.is_empty() {
            state.read_tls(&mut bytes).expect("reading from memory does not fail");
            state.process_new_packets().expect("it is TLS");
        }
        let mut answer = Vec::new();
        while state.wants_write() {
            state.write_tls(&mut answer).expect("writing to memory does not fail");
        }
        stream.write_all(&answer).await.expect("the edge reads");
    }
    until(|| read(&edge.counters.tls_handshakes) == 1).await;

    let mut leaving = edge.connect(Scheme::Https).await;
    leaving.write_all(&hello).await.expect("the edge reads");
    // An alert: warning, close_notify (RFC 8446 §6.1).
    leaving.write_all(&[21, 3, 3, 0, 2, 1, 0]).await.expect("the edge reads");
    read_to_end(&mut leaving).await;
    until(|| read(&edge.counters.tls_handshakes_failed) == 1).await;
    connect(&edge, Scheme::Https, &connector, "localhost").await;
}

#[tokio::test]
async fn mqtt_over_tls_is_handed_over_bare_and_works() {
    let mut edge = Running::start(&[Scheme::Mqtts], |_| {});
    let connector = client(&edge, &[], BOTH);
    let mut stream = connect(&edge, Scheme::Mqtts, &connector, "localhost").await;
    let accepted = edge.next_accepted().await;
    assert_eq!(accepted.protocol, Protocol::Mqtt);
    stream.write_all(b"hello").await.expect("the stream is open");
    stream.flush().await.expect("the stream is open");
    let Stream::Tls(tcp, mut tls) = accepted.stream else { panic!("it is TLS") };
    let mut received = accepted.early;
    in_time(read_plaintext(&tcp, &mut tls, &mut received, 5)).await;
    assert_eq!(received, b"hello");
    write_plaintext(&tcp, &mut tls, b"world").await;
    let mut answer = [0; 5];
    in_time(stream.read_exact(&mut answer)).await.expect("the stream is open");
    assert_eq!(&answer, b"world");
}

/// Reads as a connection does: the socket without waiting, the TLS state beside it.
pub(super) async fn read_plaintext(
    tcp: &TcpStream,
    tls: &mut rustls::ServerConnection,
    into: &mut Vec<u8>,
    count: usize,
) {
    while into.len() < count {
        tcp.readable().await.expect("the socket is open");
        let mut socket = [0; 4096];
        let Ok(length) = tcp.try_read(&mut socket) else { continue };
        let mut bytes = &socket[..length];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).expect("reading from memory does not fail");
            let fresh = tls.process_new_packets().expect("it is TLS").plaintext_bytes_to_read();
            let start = into.len();
            into.resize(start + fresh, 0);
            tls.reader().read_exact(&mut into[start..]).expect("it has as much as it says");
        }
    }
}

pub(super) async fn write_plaintext(tcp: &TcpStream, tls: &mut rustls::ServerConnection, bytes: &[u8]) {
    tls.writer().write_all(bytes).expect("the buffer is large enough");
    let mut records = Vec::new();
    tls.write_tls(&mut records).expect("writing to memory does not fail");
    tcp.writable().await.expect("the socket is open");
    assert_eq!(tcp.try_write(&records).expect("the socket is open"), records.len());
}
