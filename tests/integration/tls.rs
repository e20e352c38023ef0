//! TLS as clients find it: versions, the hybrid key exchange, resumption, ALPN, and foreign clients that check the certificate.

use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tidegate::mqtt::{Packet, Version};

use crate::harness::certificates::Certificates;
use crate::harness::{Over, Puppet, Server, Setup, Transport, http, mqtt};

#[test]
fn both_versions_are_spoken_and_the_newer_is_preferred() {
    let server = Setup::new().start();
    for over in [Over::Tls, Over::Wss] {
        let address = server.address(over.scheme());
        let session = |versions| {
            let transport = Transport::tls_with(address, Arc::new(Certificates::get().client_config_for(versions)));
            transport.session().protocol_version()
        };
        assert_eq!(session(rustls::ALL_VERSIONS), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session(&[&rustls::version::TLS12]), Some(ProtocolVersion::TLSv1_2));
    }
}

#[test]
fn the_hybrid_key_exchange_is_on() {
    let server = Setup::new().start();
    let transport = Transport::tls(server.address("https"));
    let group = transport.session().negotiated_key_exchange_group().expect("a full handshake");
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn who_comes_back_resumes() {
    let server = Setup::new().start();
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let config = Arc::new(Certificates::get().client_config_for(versions));
        let kinds = [(), ()].map(|()| {
            let mut transport = Transport::tls_with(server.address("mqtts"), Arc::clone(&config));
            // A ticket of TLS 1.3 comes with the first data.
            let connect = Packet::Connect(Box::new(mqtt::connect(Version::V4, "")));
            transport.write(&mqtt::bytes(&connect, Version::V4));
            transport.write(&[0xE0, 0]);
            transport.read_to_end();
            transport.session().handshake_kind()
        });
        assert!(matches!(kinds[0], Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)), "{kinds:?}");
        assert_eq!(kinds[1], Some(HandshakeKind::Resumed), "{versions:?}");
    }
}

#[test]
fn http_2_is_agreed_on_where_it_is_offered_and_not_switched_off() {
    let agreed = |server: &Server, offered: &[&[u8]]| {
        let mut config = Certificates::get().client_config_for(rustls::ALL_VERSIONS);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let transport = Transport::tls_with(server.address("https"), Arc::new(config));
        transport.session().alpn_protocol().map(<[u8]>::to_vec)
    };
    let server = Setup::new().start();
    assert_eq!(agreed(&server, &[b"http/1.1", b"h2"]).as_deref(), Some(&b"h2"[..]));
    assert_eq!(agreed(&server, &[b"http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(agreed(&server, &[]), None);
    let server = Setup::new().section("tls", "{ cert: certs/server.pem, key: certs/server.key, http2: false }").start();
    assert_eq!(agreed(&server, &[b"h2", b"http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn mosquitto_checks_the_certificate_and_is_content() {
    let server = Setup::new().start();
    let authority = server.authority_file();
    let authority = authority.to_str().expect("an ASCII path");
    let mut listener = Puppet::mosquitto_sub(&server, &["-t", "secure", "-F", "message %p"]);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let port = server.address("mqtts").port().to_string();
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "localhost", "-p", &port, "--cafile", authority, "-V", version]);
        let output = command.args(["-q", "2", "-t", "secure", "-m", version]).output().expect("mosquitto_pub");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = format!("message {version}");
        listener.wait(&expected, |event| event["text"] == expected);
    }
}

#[test]
fn the_built_in_default_makes_its_own_certificate_and_shows_the_demo() {
    let server = Setup::built_in().start();
    let ca = std::fs::read_to_string(server.directory().join("certs/dev/ca.pem")).expect("the development authority");
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM");
    roots.add(ca).expect("an authority");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let address = server.address("https");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = http::ask(Transport::tls_with(address, Arc::new(config)), request.as_bytes());
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("<title>Tidegate</title>"), "{}", answer.body);
    let printed = server.printed();
    for hint in [format!("https://{address}/"), "mosquitto_sub".to_owned(), server.address("mqtt").port().to_string()] {
        assert!(printed.contains(&hint), "{hint} is missing from\n{printed}");
    }
}
