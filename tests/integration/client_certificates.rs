//! Client certificates: who they say that a client is, beside passwords and nobody, and which ones do not count.

use std::process::{Command, Output};

use rcgen::{CertificateParams, DnType, SanType};
use serde_json::json;
use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::certificates::{Certificates, ClientAuthority, Identity};
use crate::harness::json::JsonClient;
use crate::harness::mqtt::{self, Client};
use crate::harness::transport::{Ending, upgrade_request};
use crate::harness::{Over, Server, Setup, Transport, puppet};

const POLICY: &str = "
version: 1
roles:
  own: [ { topic: \"/p/${username}/#\", rw: rw } ]
  host: [ { topic: \"/host/${claim.san_dns}/#\", rw: rw } ]
  ops: [ { topic: \"/#\", rw: rw } ]
users:
  \"*\": [own]
  anonymous: [own]
claims:
  - { when: { subject_o: Example }, roles: [host] }
  - { when: { subject_ou: ops }, roles: [ops] }
";

/// A server that believes `authority`; `tls` and `auth` are further settings.
fn setup(authority: &ClientAuthority, tls: &str, auth: &str) -> Setup {
    let tls = format!("{{ cert: certs/server.pem, key: certs/server.key, client_ca: certs/clients.pem{tls} }}");
    let setup = Setup::new().file("certs/clients.pem", &authority.certificate_pem).policy(POLICY);
    setup.section("tls", &tls).section("auth", auth)
}

fn start(authority: &ClientAuthority, tls: &str, auth: &str) -> Server {
    setup(authority, tls, auth).start()
}

fn connect_as(server: &Server, identity: &Identity, connect: Connect) -> (Client, ReasonCode) {
    let config = Certificates::get().client_config_with(identity);
    let transport = Transport::tls_with(server.address("mqtts"), config);
    let (client, connack) = Client::over(transport, Over::Tls, connect.version).say(connect);
    (client, connack.reason)
}

/// A client that lets its certificate speak.
fn client(server: &Server, identity: &Identity, client_id: &str) -> Client {
    let (client, reason) = connect_as(server, identity, mqtt::connect(Version::V5, client_id));
    assert_eq!(reason, ReasonCode::Success);
    client
}

/// Whether this client may publish there.
fn may_publish(client: &mut Client, topic: &str) -> bool {
    (client.publish(topic, b"x", QoS::AtLeastOnce, false) as u8) < 0x80
}

/// Puts an identity into files, for clients that want such.
fn write(server: &Server, name: &str, identity: &Identity) -> [String; 2] {
    [("pem", &identity.certificate_pem), ("key", &identity.key_pem)].map(|(extension, content)| {
        let path = server.directory().join(format!("{name}.{extension}"));
        std::fs::write(&path, content).expect("a writable file");
        path.to_str().expect("a path that is text").to_owned()
    })
}

/// `mosquitto_pub` over TLS, showing these files if any.
fn mosquitto_pub(server: &Server, identity: Option<&[String; 2]>, topic: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "localhost", "-p", &server.address("mqtts").port().to_string(), "--cafile"]);
    command.arg(server.authority_file()).args(["-q", "1", "-t", topic, "-m", "hello"]).args(arguments);
    if let Some([certificate, key]) = identity {
        command.args(["--cert", certificate, "--key", key]);
    }
    command.output().expect("mosquitto_pub, which tests/run installs")
}

#[test]
fn foreign_clients_are_whom_their_certificate_names() {
    let authority = ClientAuthority::new();
    let server = start(&authority, "", "{}");
    let alice = authority.sign_for(1, "alice");
    let files = write(&server, "alice", &alice);
    let mut listener = client(&server, &alice, "listener");
    assert_eq!(listener.subscribe("/p/alice/#", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let topic = format!("/p/alice/{version}");
        let output = mosquitto_pub(&server, Some(&files), &topic, &["-V", version]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let message = listener.expect_message(&topic, b"hello");
        listener.acknowledge(&message);
    }
    for (generation, protocol) in [("paho-1", "4"), ("paho-2", "5")] {
        let topic = format!("/p/alice/{generation}");
        let [certificate, key] = &files;
        let mut command = Command::new(puppet::installed().join(generation).join("bin/python"));
        command.arg(puppet::script("paho_certificate.py"));
        command.arg(server.address("mqtts").port().to_string()).arg(server.authority_file());
        let output = command
            .args([certificate, key, &*topic, "hello", protocol])
            .output()
            .expect("the Python that tests/run installs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let message = listener.expect_message(&topic, b"hello");
        listener.acknowledge(&message);
    }
}

#[test]
fn where_it_is_required_nobody_comes_without_a_good_one() {
    let authority = ClientAuthority::new();
    let setup = setup(&authority, ", crl: certs/clients.crl", "{ anonymous: true }");
    let server = setup.file("certs/clients.crl", authority.revoke(&[2])).start();
    let good = write(&server, "good", &authority.sign_for(1, "alice"));
    let revoked = write(&server, "revoked", &authority.sign_for(2, "alice"));
    // Its authority has the same name, and another key.
    let foreign = write(&server, "foreign", &ClientAuthority::new().sign_for(1, "alice"));
    let expired = authority.sign(3, |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    });
    let expired = write(&server, "expired", &expired);
    assert!(mosquitto_pub(&server, Some(&good), "/p/alice/x", &[]).status.success());
    for identity in [None, Some(&revoked), Some(&foreign), Some(&expired)] {
        assert!(!mosquitto_pub(&server, identity, "/p/alice/x", &[]).status.success(), "{identity:?}");
    }
    server.wait_for_metric("tidegate_edge_tls_handshakes_failed_total{reason=\"client_certificate\"}", |count| {
        count == 4.0
    });
    assert_eq!(server.metric("tidegate_edge_client_certificates_total"), 1.0);
    for reason in ["sent no certificates", "Revoked", "BadSignature", "expired"] {
        server.wait_for_line(reason);
    }
    // Who comes by another way is not asked.
    Client::connect(&server, Over::Tcp, Version::V5, "plain");
}

#[test]
fn where_it_is_optional_everybody_is_who_they_say() {
    let authority = ClientAuthority::new();
    let setup = setup(&authority, ", client_auth: optional", "{}").users(&[("bob", "correct horse")]);
    let server = setup.section("auth", "{ anonymous: true, passwords: passwords }").start();
    let alice = authority.sign_for(1, "alice");
    let is = |client: &mut Client, name: &str| {
        ["alice", "bob", "anonymous"]
            .iter()
            .all(|other| may_publish(client, &format!("/p/{other}/x")) == (*other == name))
    };
    let mut nobody = Client::connect(&server, Over::Tls, Version::V5, "nobody");
    assert!(is(&mut nobody, "anonymous"));
    assert!(is(&mut client(&server, &alice, "silent"), "alice"));
    for (username, password, expected) in [
        ("bob", "correct horse", Ok("bob")),
        ("bob", "wrong", Err(ReasonCode::BadUserNameOrPassword)),
        ("alice", "", Err(ReasonCode::BadUserNameOrPassword)),
    ] {
        let login = mqtt::login(username, password);
        let (mut client, reason) = connect_as(&server, &alice, Connect { login, ..mqtt::connect(Version::V5, "c") });
        match expected {
            Ok(name) => assert!(reason == ReasonCode::Success && is(&mut client, name)),
            Err(refusal) => assert_eq!(reason, refusal, "{username} {password}"),
        }
    }
    // A page: the browser shows the certificate, and its first message is let in.
    let mut transport = Transport::tls_with(server.address("https"), Certificates::get().client_config_with(&alice));
    transport.write(upgrade_request("/ws/", &server.address("https").to_string(), "").as_bytes());
    assert!(transport.read_head().starts_with("HTTP/1.1 101 "));
    let mut page = JsonClient { transport };
    page.send(&json!({ "Action": "publish", "Topic": "/p/bob/x", "Payload": "", "Id": 1 }));
    page.expect(&json!({ "Action": "error", "Code": "denied", "Id": 1 }));
    page.send(&json!({ "Action": "publish", "Topic": "/p/alice/x", "Payload": "", "Id": 2 }));
    page.expect(&json!({ "Action": "ack", "Id": 2 }));
}

#[test]
fn names_are_claims_for_the_policy() {
    let authority = ClientAuthority::new();
    let server = start(&authority, "", "{ certificates: { username: san_uri } }");
    let sign = |serial, uri: &str, attributes: &[(DnType, &str)], hosts: &[&str]| {
        authority.sign(serial, |params| {
            let names = attributes.iter().cloned();
            names.for_each(|(kind, value)| params.distinguished_name.push(kind, value));
            let hosts = hosts.iter().map(|&host| SanType::DnsName(host.try_into().expect("a name")));
            params.subject_alt_names = hosts.chain([SanType::URI(uri.try_into().expect("a URI"))]).collect();
        })
    };
    let example = (DnType::OrganizationName, "Example");
    let plain = sign(1, "urn:a", &[], &["a.example"]);
    let host = sign(2, "urn:b", std::slice::from_ref(&example), &["b.example"]);
    let two = sign(3, "urn:c", &[example], &["b.example", "c.example"]);
    let ops = sign(4, "urn:d", &[(DnType::OrganizationalUnitName, "ops")], &[]);
    for (identity, own, hosts) in [(&plain, "urn:a", false), (&host, "urn:b", true), (&ops, "urn:d", true)] {
        let mut client = client(&server, identity, own);
        assert!(may_publish(&mut client, &format!("/p/{own}/x")), "{own}");
        assert_eq!(may_publish(&mut client, "/host/b.example/x"), hosts, "{own}");
    }
    // A list stands for no level; who has a role that needs one is not let in without it.
    let (_, answer) = connect_as(&server, &two, mqtt::connect(Version::V5, "several"));
    assert_eq!(answer, ReasonCode::NotAuthorized);
}

#[test]
fn a_certificate_that_names_nobody_is_refused_and_the_log_says_why() {
    let authority = ClientAuthority::new();
    let server = start(&authority, "", "{ anonymous: true }");
    for (serial, identity, reason) in [
        (
            1,
            authority.sign(1, |params| params.distinguished_name.push(DnType::OrganizationName, "o")),
            "it has no subject_cn",
        ),
        (2, authority.sign_for(2, "anonymous"), "its subject_cn is the name of those who are nobody"),
        (3, authority.sign_for(3, "a\u{7}"), "its subject_cn holds a control character"),
    ] {
        let (_, answer) = connect_as(&server, &identity, mqtt::connect(Version::V5, "c"));
        assert_eq!(answer, ReasonCode::BadUserNameOrPassword, "{serial}");
        server.wait_for_line(reason);
    }
}

#[test]
fn a_connection_ends_when_its_certificate_does() {
    let authority = ClientAuthority::new();
    let server = start(&authority, "", "{ jwt: { warning: 0s, grace: 0s } }");
    let brief = authority.sign(1, |params| {
        params.distinguished_name.push(DnType::CommonName, "brief");
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let lifetime = since_epoch.expect("after 1970") + std::time::Duration::from_secs(3);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + lifetime;
    });
    let mut client = client(&server, &brief, "brief");
    client.expect_disconnect(ReasonCode::MaximumConnectTime);
}

/// The list of revocations, and the authorities, are replaced while clients of every kind are connected.
#[test]
fn a_reload_that_takes_a_certificate_back_ends_what_was_opened_with_it() {
    let (authority, other) = (ClientAuthority::new(), ClientAuthority::named("Other clients"));
    let tls = ", client_auth: optional, crl: [certs/clients.crl, certs/others.crl]";
    let setup = setup(&authority, tls, "{ anonymous: true }").users(&[("bob", "correct horse")]);
    let both = format!("{}{}", authority.certificate_pem, other.certificate_pem);
    let setup = setup
        .section("auth", "{ anonymous: true, passwords: passwords }")
        .file("certs/clients.pem", &both)
        .file("certs/clients.crl", authority.revoke(&[9]))
        .file("certs/others.crl", other.revoke(&[9]));
    let server = setup.start();
    let write = |name: &str, text: &str| {
        std::fs::write(server.directory().join("certs").join(name), text).expect("a writable file");
    };
    let (alice, carol) = (authority.sign_for(1, "alice"), authority.sign_for(2, "carol"));
    let dora = other.sign_for(1, "dora");
    let over_https = |identity: &Identity, protocol: &[u8]| {
        let mut config = (*Certificates::get().client_config_with(identity)).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Transport::tls_with(server.address("https"), std::sync::Arc::new(config))
    };
    let page = |identity: &Identity| {
        let mut transport = over_https(identity, b"http/1.1");
        transport.write(upgrade_request("/ws/", &server.address("https").to_string(), "").as_bytes());
        assert!(transport.read_head().starts_with("HTTP/1.1 101 "));
        let mut page = JsonClient { transport };
        page.send(&json!({ "Action": "ping", "Id": 1 }));
        page.expect(&json!({ "Action": "pong", "Id": 1 }));
        page
    };
    let visitor = |identity: &Identity| {
        let mut transport = over_https(identity, b"http/1.1");
        transport.write(b"GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(transport.read_head().starts_with("HTTP/1.1 404 "));
        transport
    };
    let by_http2 = |identity: &Identity| {
        let mut transport = over_https(identity, b"h2");
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        transport
    };
    let mut kept = vec![client(&server, &carol, "carol"), Client::connect(&server, Over::Tls, Version::V5, "nobody")];
    let mut others = client(&server, &dora, "dora");
    let (mut carols_page, mut doras_page) = (page(&carol), page(&dora));

    let mut new = client(&server, &alice, "5.0");
    let (mut old, _) = connect_as(&server, &alice, mqtt::connect(Version::V4, "3.1.1"));
    // The password is bob's own, but the connection is one that would not come about any more.
    let bob = Connect { login: mqtt::login("bob", "correct horse"), ..mqtt::connect(Version::V5, "bob") };
    let (mut bob, _) = connect_as(&server, &alice, bob);
    let mut alices_page = page(&alice);
    let (mut visit, mut visit_by_http2) = (visitor(&alice), by_http2(&alice));
    let mut carols_visit = visitor(&carol);

    // Something else changes: nobody is looked at.
    write("clients.crl", &authority.revoke(&[9, 10]));
    assert!(server.reload());
    assert_eq!(server.metric("tidegate_edge_client_certificates_revoked_total"), 0.0);

    write("clients.crl", &authority.revoke(&[1, 9]));
    assert!(server.reload());
    for client in [&mut new, &mut bob] {
        client.expect_disconnect(ReasonCode::NotAuthorized);
    }
    old.expect_closed();
    alices_page.expect(&json!({ "Action": "error" }));
    assert_eq!(alices_page.expect_closed(), Ending::Closed(Some(1008)));
    visit.read_to_end();
    visit_by_http2.read_to_end();
    assert_eq!(server.metric("tidegate_edge_client_certificates_revoked_total"), 6.0);
    server.wait_for_line("Revoked");
    let (_, answer) = Client::try_connect(&server, Over::Tls, mqtt::connect(Version::V5, "another"));
    assert_eq!(answer.reason, ReasonCode::Success);

    // An authority is no longer believed.
    write("clients.pem", &authority.certificate_pem);
    assert!(server.reload());
    others.expect_disconnect(ReasonCode::NotAuthorized);
    doras_page.expect(&json!({ "Action": "error" }));
    assert_eq!(doras_page.expect_closed(), Ending::Closed(Some(1008)));

    for client in &mut kept {
        client.send(&Packet::PingReq);
        assert!(matches!(client.receive(), Packet::PingResp));
    }
    carols_page.send(&json!({ "Action": "ping", "Id": 2 }));
    carols_page.expect(&json!({ "Action": "pong", "Id": 2 }));
    carols_visit.write(b"GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let again = carols_visit.read_head();
    assert!(again.contains("HTTP/1.1 404 "), "{again}");
    assert_eq!(server.metric("tidegate_edge_client_certificates_revoked_total"), 8.0);
}

/// Neither `check` nor a start goes on with a certificate that nobody could use.
#[test]
fn a_certificate_of_another_time_or_key_is_a_fault() {
    let certificates = Certificates::get();
    let key = rcgen::KeyPair::generate().expect("a key pair");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let expired = params.self_signed(&key).expect("a certificate").pem();
    for (certificate, key, expected) in [
        (&expired, &key.serialize_pem(), "tls.cert: has expired, "),
        (&certificates.server_pem, &key.serialize_pem(), "tls.key: not the key of "),
        (&certificates.server_key_pem, &certificates.server_key_pem, "tls.cert: no certificate in it"),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let text = "listen: [\"mqtts://127.0.0.1:0\"]\ntls: { cert: a.pem, key: a.key }\nadmin: { listen: none }\n";
        for (name, content) in [("tidegate.yaml", text), ("a.pem", certificate), ("a.key", key)] {
            std::fs::write(directory.path().join(name), content).expect("a writable file");
        }
        for command in [&["check"][..], &[]] {
            let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(command)
                .current_dir(directory.path())
                .env_remove("TIDEGATE_TEST_CLIENTS")
                .env_remove("TIDEGATE_TEST_BINARY")
                .output()
                .expect("the tidegate binary");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {told}");
            assert!(told.contains(expected), "{command:?}: {told}");
        }
    }
}
