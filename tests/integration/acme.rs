//! Certificates from an authority: proven, issued, kept, renewed, and what becomes of it all when the authority will not.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use tidegate::mqtt::{QoS, Version};

use crate::harness::authority::{Authority, credulous};
use crate::harness::{Client, Over, PATIENCE, Server, Setup, Transport, http};

/// A server that has a certificate for `localhost` and another name issued; `more` is further settings of `tls.acme`.
fn setup(authority: &Authority, more: &str) -> Setup {
    let directory = authority.directory();
    Setup::new().section("log", "{ level: debug }").section(
        "tls",
        &format!(
            "{{ acme: {{ directory: \"{directory}\", domains: [Localhost, app.example], contact: [\"mailto:ops@app.example\"], \
             agree_to_terms: true, storage: acme, ca: certs/authority.pem, retry: 1s, {more} }} }}"
        ),
    )
}

/// The chain that a listener shows.
fn shown(server: &Server, scheme: &str) -> Vec<Vec<u8>> {
    let transport = Transport::tls_with(server.address(scheme), credulous(&[]));
    transport.session().peer_certificates().unwrap_or_default().iter().map(|certificate| certificate.to_vec()).collect()
}

/// Waits until clients that trust the authority are content with what the listener shows. Handshakes beforehand show something else.
fn wait_for_certificate(server: &Server, is_wanted: impl Fn(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let chain = shown(server, "mqtts");
        if is_wanted(&chain) {
            return chain;
        }
        assert!(Instant::now() < deadline, "it is not shown");
    }
}

fn is_issued(chain: &[Vec<u8>]) -> bool {
    chain.len() == 2
}

#[test]
fn a_certificate_comes_by_either_challenge_while_everybody_is_served() {
    for (challenge, scheme) in [("tls-alpn-01", "https"), ("http-01", "http")] {
        let authority = Authority::start();
        authority.behave(|behaviour| behaviour.bad_nonces = 1);
        // Every path leads elsewhere but that of a proof.
        let routes = "[{ path: /mqtt, serve: mqtt }, { path: /, redirect: \"https://elsewhere.example/\" }]";
        let server = setup(&authority, &format!("challenge: {challenge}")).section("routes", routes).start();
        // Before there is any: who does not look at the certificate is served, over plain TCP as well.
        assert_eq!(shown(&server, "https").len(), 1);
        assert_eq!(shown(&server, "mqtts").len(), 1);
        let mut early = Client::connect(&server, Over::Tcp, Version::V5, "early");
        early.subscribe("a", QoS::AtMostOnce);
        server.wait_for_line("No certificate yet");

        authority.validate_at(server.address(scheme));
        wait_for_certificate(&server, is_issued);
        let seen = authority.seen();
        assert_eq!((seen.accounts, seen.orders, seen.issued, seen.bad_nonces), (1, 1, 1, 1), "{challenge}: {seen:?}");
        assert_eq!(seen.contact, ["mailto:ops@app.example"]);
        let mut proofs = seen.proofs.clone();
        proofs.sort();
        assert_eq!(
            proofs,
            [("app.example", ""), ("localhost", "")].map(|(name, found)| (name.to_owned(), found.to_owned()))
        );
        // Clients that check find it good, on every listener, and the connection of before lives.
        for over in [Over::Tls, Over::Wss] {
            let transport = Transport::tls_with(server.address(over.scheme()), authority.client_config());
            assert!(!transport.session().is_handshaking());
        }
        early.publish("a", b"still here", QoS::AtMostOnce, false);
        early.expect_message("a", b"still here");
        server.wait_for_metric("tidegate_edge_acme_issued_total", |count| count == 1.0);
        server.wait_for_metric("tidegate_edge_acme_proofs_total", |count| count == 2.0);
        server.wait_for_metric("tidegate_edge_acme_certificate_not_after_seconds", |at| at > 1e9);
        server.wait_for_metric("tidegate_edge_tls_certificate_not_after_seconds", |at| at > 1e9);
        assert_eq!(server.metric("tidegate_edge_acme_failed_total"), 0.0);
    }
}

#[test]
fn there_is_a_proof_only_while_one_is_due() {
    let authority = Authority::start();
    let server = setup(&authority, "").start();
    authority.validate_at(server.address("https"));
    wait_for_certificate(&server, is_issued);
    // Whoever asks for a proof now finds no protocol in common.
    let mut session =
        rustls::ClientConnection::new(credulous(&[b"acme-tls/1"]), "localhost".try_into().expect("a name"))
            .expect("a session");
    let mut stream = std::net::TcpStream::connect(server.address("https")).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert!(session.complete_io(&mut stream).is_err());
    let answer = http::get(server.address("http"), "/.well-known/acme-challenge/token");
    assert_eq!(answer.status, 404);
}

#[test]
fn listeners_that_demand_client_certificates_prove_too() {
    let authority = Authority::start();
    let clients = crate::harness::certificates::ClientAuthority::new();
    let setup = setup(&authority, "").file("certs/clients.pem", &clients.certificate_pem);
    let yaml = setup.yaml();
    let tls = yaml.lines().find_map(|line| line.strip_prefix("tls: ")).expect("a tls section").trim().to_owned();
    let tls = tls.replacen('{', "{ client_ca: certs/clients.pem, client_auth: required,", 1);
    let server = setup.section("tls", &tls).start();
    authority.validate_at(server.address("https"));
    authority.wait(|seen| seen.issued == 1);
    server.wait_for_line("Certificate issued");
}

#[test]
fn what_was_issued_is_kept_and_nothing_is_ordered_at_the_next_start() {
    let authority = Authority::start();
    let mut server = setup(&authority, "").start();
    authority.validate_at(server.address("https"));
    let chain = wait_for_certificate(&server, is_issued);
    let folder = std::fs::read_dir(server.directory().join("acme")).expect("the storage").next().expect("one folder");
    let folder = folder.expect("a folder").path();
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["account.json", "certificate.pem"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }

    server.kill();
    server.start_again();
    assert_eq!(shown(&server, "https"), chain);
    server.wait_for_metric("tidegate_edge_acme_certificate_not_after_seconds", |at| at > 1e9);
    assert_eq!(authority.seen().orders, 1);

    // Damaged, it is had once more, by the same account.
    server.kill();
    std::fs::write(folder.join("certificate.pem"), "-----BEGIN NOTHING-----").expect("a writable file");
    server.start_again();
    let other = wait_for_certificate(&server, is_issued);
    assert_ne!(other[0], chain[0]);
    let seen = authority.seen();
    assert_eq!((seen.orders, seen.accounts), (2, 1));
}

#[test]
fn a_certificate_is_renewed_in_time_under_a_connection_that_notices_nothing() {
    let authority = Authority::start();
    authority.behave(|behaviour| behaviour.lifetime = Duration::from_secs(9));
    let server = setup(&authority, "").start();
    authority.validate_at(server.address("https"));
    let first = wait_for_certificate(&server, is_issued);
    let transport = Transport::tls_with(server.address("mqtts"), authority.client_config());
    let (mut client, connack) =
        Client::over(transport, Over::Tls, Version::V5).say(crate::harness::mqtt::connect(Version::V5, "c"));
    assert!((connack.reason as u8) < 0x80);
    client.subscribe("a", QoS::AtMostOnce);

    authority.behave(|behaviour| behaviour.lifetime = Duration::from_secs(86_400));
    let second = wait_for_certificate(&server, |chain| is_issued(chain) && chain[0] != first[0]);
    assert_ne!(first[0], second[0]);
    let _ = Transport::tls_with(server.address("https"), authority.client_config());
    client.publish("a", b"nothing happened", QoS::AtMostOnce, false);
    client.expect_message("a", b"nothing happened");
    server.wait_for_metric("tidegate_edge_acme_issued_total", |count| count == 2.0);
    assert_eq!(authority.seen().accounts, 1);
}

#[test]
fn a_proof_that_fails_is_told_and_tried_again_later_and_later() {
    let authority = Authority::start();
    let held = crate::harness::server::hold("127.0.0.1:0".parse().expect("an address"));
    authority.validate_at(held.local_addr().expect("a bound socket").as_socket().expect("of the internet"));
    let server = setup(&authority, "").start();
    let line = server.wait_for_line("No certificate from the authority");
    for part in ["ERROR", "tls-alpn-01", "localhost", "cannot connect", "urn:ietf:params:acme:error:connection"] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    let begun = Instant::now();
    authority.wait(|seen| seen.orders == 3);
    // One second, then two: no faster.
    assert!(begun.elapsed() >= Duration::from_millis(2500), "{:?}", begun.elapsed());
    server.wait_for_metric("tidegate_edge_acme_failed_total", |count| count >= 2.0);
    assert_eq!(server.metric("tidegate_edge_acme_certificate_not_after_seconds"), 0.0);
    Client::connect(&server, Over::Tcp, Version::V5, "served all the same");

    authority.validate_at(server.address("https"));
    wait_for_certificate(&server, is_issued);
    assert_eq!(authority.seen().accounts, 1);
}

#[test]
fn an_authority_that_asks_for_patience_gets_it() {
    let authority = Authority::start();
    authority.behave(|behaviour| behaviour.rate_limit = Some(4));
    let server = setup(&authority, "").start();
    authority.validate_at(server.address("https"));
    let line = server.wait_for_line("No certificate from the authority");
    assert!(line.contains("rateLimited") && line.contains("too many orders of late"), "{line}");
    authority.behave(|behaviour| behaviour.rate_limit = None);
    let begun = Instant::now();
    authority.wait(|seen| seen.orders == 1);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    wait_for_certificate(&server, is_issued);
    assert_eq!(authority.seen().refused_orders, 1);
}

#[test]
fn an_account_that_one_has_otherwise_is_bound() {
    let authority = Authority::start();
    authority.behave(|behaviour| {
        behaviour.external = Some(("kid-1".to_owned(), b"a key of 32 bytes for the binding".to_vec()))
    });
    // The same key in base64url.
    let key = "YSBrZXkgb2YgMzIgYnl0ZXMgZm9yIHRoZSBiaW5kaW5n\n";
    let server = setup(&authority, "eab: { kid: kid-1, key_file: eab.key }").file("eab.key", key).start();
    authority.validate_at(server.address("https"));
    wait_for_certificate(&server, is_issued);
}

#[test]
fn other_names_are_had_on_reload() {
    let authority = Authority::start();
    let server = setup(&authority, "").start();
    authority.validate_at(server.address("https"));
    let first = wait_for_certificate(&server, is_issued);
    let config = server.directory().join("tidegate.yaml");
    let yaml = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, yaml.replace("app.example]", "app.example, mqtt.example]")).expect("a writable file");
    wait_for_certificate(&server, |chain| is_issued(chain) && chain[0] != first[0]);
    let proven: Vec<String> = authority.seen().proofs.into_iter().map(|(domain, _)| domain).collect();
    assert!(proven.contains(&"mqtt.example".to_owned()), "{proven:?}");
}

#[test]
fn of_two_processes_with_one_storage_one_orders_and_both_show() {
    let authority = Authority::start();
    let shared = tempfile::tempdir().expect("a folder");
    let start = || {
        let setup = setup(&authority, "");
        let tls = setup.yaml();
        let tls = tls.lines().find_map(|line| line.strip_prefix("tls: ")).expect("a tls section").to_owned();
        setup.section("tls", &tls.replace("storage: acme", &format!("storage: {}", shared.path().display()))).start()
    };
    let first = start();
    authority.wait(|seen| seen.orders == 1);
    // It waits for the validator, and has the lock.
    let second = start();
    second.wait_for_line("Another process orders a certificate");
    authority.validate_at(first.address("https"));
    let chain = wait_for_certificate(&first, is_issued);
    assert_eq!(wait_for_certificate(&second, is_issued), chain);
    assert_eq!(authority.seen().orders, 1);
}

#[test]
fn what_could_never_work_is_a_fault_beforehand() {
    let authority = Authority::start();
    let setup = setup(&authority, "eab: { kid: k, key_file: certs/server.pem }").file("other.pem", "nothing");
    let yaml = setup.yaml().replace("storage: acme", "storage: /dev/null/acme");
    let yaml = yaml.replace("ca: certs/authority.pem", "ca: other.pem");
    let setup = setup.file("faulty.yaml", yaml);
    let file = setup.directory().join("faulty.yaml");
    let output = crate::harness::server::tidegate().arg("check").arg("-c").arg(file).output().expect("the binary");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for key in
        ["tls.acme.storage: cannot be written", "tls.acme.ca: no certificate in it", "tls.acme.eab.key_file: no key"]
    {
        assert!(told.contains(key), "{key} is missing in\n{told}");
    }
    assert_eq!(authority.seen().accounts, 0);
}
