//! What can be seen as a client: real proxies and brokers, each with a mistake that operators make.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use super::authority::{Authority, Pair, self_signed};
use super::nginx::{Nginx, UPGRADE};
use super::{Said, doctor};
use crate::harness::server::hold;
use crate::harness::{Mosquitto, Server, Setup};

/// Tidegate behind a proxy: pages of every origin, as the proxy has another port.
fn behind() -> Server {
    Setup::new().listeners(["http://127.0.0.1:0"]).section("websocket", "{ origins: any }").start()
}

/// Looks at `/mqtt` of an nginx in front of Tidegate.
fn seen_through(server: &str, location: &str) -> Said {
    let tidegate = behind();
    let nginx = Nginx::start(tidegate.address("http"), None, server, location);
    doctor(tidegate.directory(), [format!("ws://127.0.0.1:{}/mqtt", nginx.port()).as_str()])
}

/// The same over TLS, as `localhost`.
fn seen_with(pair: &Pair, root_pem: &str) -> Said {
    let tidegate = behind();
    std::fs::write(tidegate.directory().join("root.pem"), root_pem).expect("a writable file");
    let nginx = Nginx::start(tidegate.address("http"), Some(pair), LARGE_HEADERS, UPGRADE);
    let url = format!("wss://127.0.0.1:{}/mqtt", nginx.port());
    doctor(tidegate.directory(), [url.as_str(), "--ca", "root.pem"])
}

const LARGE_HEADERS: &str = "large_client_header_buffers 4 32k;";

#[test]
fn tidegate_is_well_on_every_listener() {
    let server = Setup::new()
        .users(&[("anna", "hat")])
        .section("websocket", "{ ping_interval: 1s }")
        .file("password", "hat\n")
        .start();
    let urls =
        [("wss", "/mqtt"), ("ws", "/mqtt"), ("mqtts", ""), ("mqtt", "")].map(|(scheme, path)| server.url(scheme, path));
    let options = ["--ca", "certs/authority.pem", "--user", "anna", "--password-file", "password"];
    let said = doctor(server.directory(), urls[1..].iter().map(String::as_str).chain(options));
    said.is_well();
    assert_eq!(said.all("warning"), []);
    let said = doctor(server.directory(), [urls[0].as_str(), "--idle", "2s"].into_iter().chain(options));
    said.is_well();
    assert_eq!(said.all("warning"), []);
    for (check, found) in [
        ("name", "127.0.0.1"),
        ("subprotocol", "mqtt"),
        ("cookies", "16 KiB"),
        ("strangers", "403"),
        ("mqtt", "5.0"),
        ("anonymous", "0x87"),
        ("login", "anna is let in"),
        ("idle", "nothing is cut within 2 s"),
        ("pings", "the server pings every"),
        ("keep-alive", "missed after"),
    ] {
        assert!(said.found("ok", check).contains(found), "{check}: {:#}", said.answer);
    }
}

#[test]
fn whoever_lets_everybody_in_is_warned() {
    let server = Setup::new().start();
    let said = doctor(server.directory(), [server.url("ws", "/mqtt").as_str(), &server.url("mqtt", "")]);
    said.is_well();
    assert!(said.found("warning", "anonymous").contains("may subscribe to #"), "{:#}", said.answer);
}

#[test]
fn others_are_well_where_they_are_set_up_well() {
    let said = seen_through(LARGE_HEADERS, UPGRADE);
    said.is_well();
    assert!(said.found("warning", "strangers").contains("any other site"), "{:#}", said.answer);
    assert_eq!(said.found("ok", "subprotocol"), "mqtt");
    let mosquitto = Mosquitto::start("");
    let said = doctor(Path::new("."), [format!("mqtt://{}", mosquitto.address()).as_str(), "--idle", "1s"]);
    said.is_well();
    assert!(said.found("warning", "anonymous").contains("may subscribe to #"), "{:#}", said.answer);
    assert!(said.found("ok", "keep-alive").contains("missed after"), "{:#}", said.answer);
}

#[test]
fn silence_that_is_cut_is_found_to_the_second() {
    let tidegate = Setup::new()
        .listeners(["http://127.0.0.1:0"])
        .section("websocket", "{ origins: any, ping_interval: 30s }")
        .start();
    let location = UPGRADE.replace("proxy_read_timeout 1h", "proxy_read_timeout 2s");
    let nginx = Nginx::start(tidegate.address("http"), None, LARGE_HEADERS, &location);
    let said = doctor(Path::new("."), [format!("ws://127.0.0.1:{}/mqtt", nginx.port()).as_str(), "--idle", "30s"]);
    said.suffers_from("idle", " s of silence: the connection was closed without a WebSocket Close");
    let found = said.found("fault", "idle");
    let second: u64 = found.split(' ').nth(2).and_then(|word| word.parse().ok()).expect("cut after N s");
    assert!((2..10).contains(&second), "{found}");
}

#[test]
fn tidegates_pings_keep_a_hasty_proxy_from_cutting() {
    let server = Setup::new()
        .listeners(["http://127.0.0.1:0"])
        .section("websocket", "{ origins: any, ping_interval: 1s }")
        .start();
    let location = UPGRADE.replace("proxy_read_timeout 1h", "proxy_read_timeout 3s");
    let nginx = Nginx::start(server.address("http"), None, LARGE_HEADERS, &location);
    let said = doctor(Path::new("."), [format!("ws://127.0.0.1:{}/mqtt", nginx.port()).as_str(), "--idle", "5s"]);
    said.is_well();
    assert!(said.found("ok", "pings").starts_with("the server pings every"), "{:#}", said.answer);
}

#[test]
fn an_upgrade_that_is_not_passed_on_is_named() {
    let said = seen_through(LARGE_HEADERS, "proxy_http_version 1.1;");
    said.suffers_from("upgrade", "and with the same where no WebSocket is asked for");
    assert!(said.answer.to_string().contains("proxy_set_header Upgrade $http_upgrade"), "{:#}", said.answer);
}

#[test]
fn a_proxy_without_anybody_behind_is_named() {
    let held = hold((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let behind = held.local_addr().expect("a bound socket").as_socket().expect("an Internet address");
    let nginx = Nginx::start(behind, None, LARGE_HEADERS, UPGRADE);
    let said = doctor(Path::new("."), [format!("ws://127.0.0.1:{}/mqtt", nginx.port()).as_str()]);
    said.suffers_from("upgrade", "502 from nginx");
    let refused = doctor(Path::new("."), [format!("mqtt://{behind}").as_str()]);
    refused.suffers_from("tcp", "refused");
}

#[test]
fn a_redirect_and_a_wrong_path_are_told_with_where_to_go() {
    let said = seen_through("location = /mqtt { return 301 https://$host$request_uri; }", UPGRADE);
    said.suffers_from("upgrade", "301 from nginx");
    let tidegate = behind();
    let said = doctor(tidegate.directory(), [tidegate.url("ws", "/mqqt").as_str()]);
    said.suffers_from("upgrade", "404");
    assert!(said.answer.to_string().contains("A WebSocket is at /mqtt"), "{:#}", said.answer);
}

#[test]
fn cookies_that_are_too_large_are_found_where_they_are() {
    let small = "large_client_header_buffers 4 2k; client_header_buffer_size 1k;";
    seen_through(small, UPGRADE).suffers_from("cookies", "cookies of 4 KiB are refused with 400");
    let usual = seen_through("", UPGRADE);
    usual.is_well();
    assert!(usual.found("warning", "cookies").contains("of 8 KiB are refused with 400"), "{:#}", usual.answer);
}

#[test]
fn a_subprotocol_that_gets_lost_is_named() {
    let said = seen_through(LARGE_HEADERS, &format!("{UPGRADE} proxy_hide_header Sec-WebSocket-Protocol;"));
    said.suffers_from("subprotocol", "the answer has no Sec-WebSocket-Protocol");
}

#[test]
fn each_certificate_has_its_own_fault() {
    let authority = Authority::new("Our root");
    let root = &authority.root_pem;
    let whole = seen_with(&authority.pair("127.0.0.1", true, |_| {}), root);
    whole.is_well();
    assert_eq!(whole.found("ok", "chain"), "complete, with 2 certificates sent");
    assert!(whole.found("ok", "http2").contains("spoken, without WebSockets"), "{:#}", whole.answer);

    let wrong_name = authority.pair("a.example", true, |_| {});
    seen_with(&wrong_name, root).suffers_from("name", "is for a.example, not for 127.0.0.1");
    let expired = authority.pair("127.0.0.1", true, |params| params.not_after = rcgen::date_time_ymd(2025, 1, 1));
    seen_with(&expired, root).suffers_from("expiry", "expired ");
    let early = authority.pair("127.0.0.1", true, |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    seen_with(&early, root).suffers_from("expiry", "not valid yet");
    let alone = authority.pair("127.0.0.1", false, |_| {});
    seen_with(&alone, root).suffers_from("chain", "missing intermediate: the server sends only its own certificate");
    seen_with(&self_signed("127.0.0.1"), root).suffers_from("chain", "signed by itself");
    let strangers = Authority::new("Their root").pair("127.0.0.1", true, |_| {});
    let namesake = Authority::new("Our root").pair("127.0.0.1", true, |_| {});
    seen_with(&namesake, root).suffers_from("chain", "the same name and another key");
    seen_with(&strangers, root).suffers_from("chain", "and not that of “CN=Their root”");
}

#[test]
fn no_password_goes_where_the_certificate_is_not_trusted() {
    let server = Setup::new().users(&[("anna", "hat")]).file("password", "hat").start();
    let stranger = Authority::new("Their root").root_pem;
    std::fs::write(server.directory().join("root.pem"), stranger).expect("a writable file");
    let login = ["--user", "anna", "--password-file", "password", "--ca", "root.pem"];
    let said = doctor(server.directory(), [server.url("wss", "/mqtt").as_str()].into_iter().chain(login));
    said.suffers_from("chain", "missing intermediate");
    assert!(said.found("skipped", "login").contains("no password is sent"), "{:#}", said.answer);
    assert_eq!(server.metric("tidegate_auth_answers_total{answer=\"accepted\"}"), 0.0);
}

#[test]
fn a_server_that_asks_for_certificates_says_so() {
    let tls = "{ cert: certs/server.pem, key: certs/server.key, client_ca: certs/authority.pem }";
    let server = Setup::new().section("tls", tls).start();
    for url in [server.url("wss", "/mqtt"), server.url("mqtts", "")] {
        let said = doctor(server.directory(), [url.as_str(), "--ca", "certs/authority.pem"]);
        said.suffers_from("client-cert", "CertificateRequired");
    }
}

#[test]
fn the_culprit_is_the_first_line_that_is_read() {
    let tidegate = behind();
    let output = crate::harness::server::tidegate().args(["doctor", &tidegate.url("ws", "/mqqt")]).output();
    let output = output.expect("the tidegate binary");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("ws://127.0.0.1:") && lines[1].starts_with("  FAULT    upgrade     answered"),
        "{text}"
    );
    assert_eq!(lines.last(), Some(&"  1 fault, 4 ok"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_login_that_is_refused_says_why() {
    let server = Setup::new().users(&[("anna", "hat")]).file("password", "cap").start();
    let login = ["--user", "anna", "--password-file", "password"];
    let said = doctor(server.directory(), [server.url("mqtt", "").as_str()].into_iter().chain(login));
    said.suffers_from("login", "anna is refused: Bad User Name or Password (0x86)");
}

#[test]
fn pages_that_are_not_let_in_are_named() {
    let server = Setup::new().start();
    let url = server.url("ws", "/mqtt");
    let said = doctor(server.directory(), [url.as_str(), "--origin", "https://app.example"]);
    said.suffers_from("origin", "pages of https://app.example are refused");
}

#[test]
fn an_answer_that_is_not_for_this_request_and_a_clock_that_is_wrong_are_found() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/mqtt", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nUpgrade: websocket\r\n\
                  Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            );
        }
    });
    let said = doctor(Path::new("."), [url.as_str()]);
    let faults: Vec<_> = said.all("fault").into_iter().map(|(check, _)| check).collect();
    assert_eq!(faults, ["clock", "upgrade"], "{:#}", said.answer);
}

#[test]
fn one_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let urls = ["ws", "wss", "mqtt", "mqtts"].map(|scheme| format!("{scheme}://{address}"));
    let said = doctor(Path::new("."), urls.iter().map(String::as_str).chain(["--timeout", "100ms"]));
    let faults: Vec<_> = said.all("fault").into_iter().map(|(check, _)| check).collect();
    assert_eq!(faults, ["upgrade", "tls", "mqtt", "tls"], "{:#}", said.answer);
}

#[test]
fn what_is_no_url_is_a_fault_of_usage() {
    let output = crate::harness::server::tidegate().args(["doctor", "ftp://a", "wss://b:0"]).output();
    let output = output.expect("the tidegate binary");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.lines().count(), 2, "{errors}");
}
