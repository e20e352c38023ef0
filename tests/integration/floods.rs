//! Who comes too often, and who guesses: whose address it is, what it costs them, and the line in the log that says so.
//!
//! Loopback is exempt, so clients come from documentation addresses: this test is the load balancer that says so by the PROXY protocol.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidegate::mqtt::packet::ConnAck;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::transport::upgrade_request;
use crate::harness::{Client, Over, PATIENCE, Server, Setup, Transport, mqtt};

/// Only `anna` may come in, and a load balancer on loopback is believed.
fn setup(penalty: &str) -> Setup {
    Setup::new()
        .users(&[("anna", "hat")])
        .section("auth", &format!("{{ anonymous: false, passwords: passwords, penalty: {penalty} }}"))
        .section("trusted_proxies", "[127.0.0.1/32]")
        .listeners(["http://127.0.0.1:0", "{ url: \"mqtt://127.0.0.1:0\", proxy_protocol: required }"])
}

/// A client of this address, as far as TCP.
fn arrive(server: &Server, address: &str) -> Transport {
    let mut transport = Transport::tcp(server.address("mqtt"));
    transport.write(format!("PROXY TCP4 {address} 192.0.2.1 40000 1883\r\n").as_bytes());
    transport
}

fn log_in(server: &Server, address: &str, username: &str, password: &str) -> (Client, ConnAck) {
    let mut connect = mqtt::connect(Version::V5, "c");
    connect.login = mqtt::login(username, password);
    Client::speak(arrive(server, address), Over::Tcp, connect)
}

fn reason_of(server: &Server, address: &str, username: &str, password: &str) -> ReasonCode {
    log_in(server, address, username, password).1.reason
}

#[test]
fn whoever_guesses_is_refused_for_a_while_and_nobody_else_is() {
    let server = setup("{ free_failures: 2, delay: 10m }").start();
    // She has been there before.
    assert_eq!(reason_of(&server, "203.0.113.1", "anna", "hat"), ReasonCode::Success);
    let failed: Vec<_> = (0..3).map(|_| reason_of(&server, "203.0.113.7", "anna", "guess")).collect();
    assert_eq!(failed, [ReasonCode::BadUserNameOrPassword; 3]);
    let (_, answer) = log_in(&server, "203.0.113.7", "anna", "hat");
    assert_eq!(answer.reason, ReasonCode::ConnectionRateExceeded, "not even the right password is looked at");
    let words = answer.properties.reason_string.expect("it says why");
    assert!(words.contains("too many failed logins"), "{words}");
    assert_eq!(reason_of(&server, "203.0.113.8", "anna", "hat"), ReasonCode::Success, "from elsewhere");
    // Somebody guesses beside her: who is known from there is let through.
    for at in 0..3 {
        assert_eq!(
            reason_of(&server, "203.0.113.1", &format!("user-{at}"), "guess"),
            ReasonCode::BadUserNameOrPassword
        );
    }
    assert_eq!(reason_of(&server, "203.0.113.1", "user-3", "guess"), ReasonCode::ConnectionRateExceeded);
    assert_eq!(reason_of(&server, "203.0.113.1", "anna", "hat"), ReasonCode::Success);
    server.wait_for_metric("tidegate_connection_logins_penalized_total", |value| value == 2.0);
    server.wait_for_line("auth_failed ip=203.0.113.7 user=\"anna\" client_id=\"c\" reason=penalty ");
}

#[test]
fn refusals_come_later_and_later() {
    let server = setup("{ free_failures: 1, delay: 1s }").start();
    assert_eq!(reason_of(&server, "203.0.113.7", "anna", "guess"), ReasonCode::BadUserNameOrPassword);
    let start = Instant::now();
    assert_eq!(reason_of(&server, "203.0.113.7", "anna", "guess"), ReasonCode::BadUserNameOrPassword);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    // By name alone, from addresses that are new: slower, but never refused unseen.
    let start = Instant::now();
    assert_eq!(reason_of(&server, "203.0.113.8", "anna", "guess"), ReasonCode::BadUserNameOrPassword);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(reason_of(&server, "203.0.113.9", "anna", "hat"), ReasonCode::Success);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    server.wait_for_metric("tidegate_connection_logins_delayed_total", |value| value == 2.0);
}

#[test]
fn an_older_client_is_told_that_the_server_is_unavailable() {
    let server = setup("{ free_failures: 0, delay: 10m }").start();
    let log_in = || {
        let mut connect = mqtt::connect(Version::V4, "c");
        connect.login = mqtt::login("anna", "guess");
        Client::speak(arrive(&server, "203.0.113.7"), Over::Tcp, connect).1.reason
    };
    assert_eq!(log_in(), ReasonCode::BadUserNameOrPassword);
    assert_eq!(log_in(), ReasonCode::ServerUnavailable);
}

#[test]
fn loopback_pays_nothing() {
    let server = Setup::new()
        .users(&[("anna", "hat")])
        .section("auth", "{ anonymous: false, passwords: passwords, penalty: { free_failures: 0, delay: 10m } }")
        .start();
    let log_in = |password: &str| {
        let mut connect = mqtt::connect(Version::V5, "c");
        connect.login = mqtt::login("anna", password);
        Client::speak(Transport::tcp(server.address("mqtt")), Over::Tcp, connect).1.reason
    };
    assert_eq!((0..3).map(|_| log_in("guess")).collect::<Vec<_>>(), [ReasonCode::BadUserNameOrPassword; 3]);
    assert_eq!(log_in("hat"), ReasonCode::Success);
}

/// DEMAND 9: an address is refused by its rate, and others are not.
#[test]
fn an_address_that_connects_too_often_is_refused_and_named_in_the_log() {
    let server = setup("{}").section("limits", "{ address_connects_per_s: 1, address_connects_burst: 2 }").start();
    let mut flood: Vec<_> = (0..20).map(|_| arrive(&server, "203.0.113.7")).collect();
    server.wait_for_metric("tidegate_edge_addresses_refused_total{reason=\"rate\"}", |value| value >= 10.0);
    flood.clear();
    let (mut client, answer) = log_in(&server, "203.0.113.8", "anna", "hat");
    assert_eq!(answer.reason, ReasonCode::Success);
    client.subscribe("t", QoS::AtMostOnce);
    server.wait_for_line("connect_refused ip=203.0.113.7 reason=address_connects ");
}

/// SECURITY A, "XFF spoof / PROXY from anyone", through the real binary.
#[test]
fn whoever_is_not_trusted_names_nobody() {
    let setup = Setup::new().users(&[("anna", "hat")]).section("trusted_proxies", "[192.0.2.0/24]");
    let listeners = ["http://127.0.0.1:0", "{ url: \"mqtt://127.0.0.1:0\", proxy_protocol: true }"];
    let server = setup.listeners(listeners).start();
    // The line is MQTT's to refuse: byte 0x50 is no CONNECT.
    arrive(&server, "203.0.113.7").read_to_end();
    let mut guess = mqtt::connect(Version::V5, "c");
    guess.login = mqtt::login("anna", "guess");
    let mut transport = Transport::tcp(server.address("http"));
    let fields = "Sec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 203.0.113.7\r\n";
    transport.write(upgrade_request("/mqtt", "localhost", fields).as_bytes());
    transport.read_head();
    let (_, answer) = Client::speak(transport, Over::Ws, guess);
    assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword);
    server.wait_for_line("auth_failed ip=127.0.0.1 user=\"anna\" ");
    assert!(!server.printed().contains("203.0.113.7"), "{}", server.printed());
}

/// A user name cannot end its line, nor its quotes, nor have another address banned.
#[test]
fn what_clients_choose_cannot_forge_a_line() {
    let server = setup("{}").start();
    let forged = "x\" reason=bad_credentials\n2026-01-01T00:00:00.000000Z  INFO tidegate::connection::logins: auth_failed ip=198.51.100.1 user=\"";
    let (_, answer) = log_in(&server, "203.0.113.7", forged, "guess");
    assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword);
    server.wait_for_line("auth_failed ip=203.0.113.7 user=\"x\\\" reason=bad_credentials\\n2026-01-01");
    let (banned, _) = fail2ban(&server.printed());
    assert_eq!(banned, ["203.0.113.7"]);
}

#[test]
fn fail2ban_finds_whoever_guesses_or_floods_and_nobody_else() {
    let server = setup("{ free_failures: 0, delay: 10m }")
        .section("limits", "{ address_connects_per_s: 1, address_connects_burst: 2 }")
        .start();
    assert_eq!(reason_of(&server, "203.0.113.1", "anna", "hat"), ReasonCode::Success);
    assert_eq!(reason_of(&server, "203.0.113.2", "anna", "guess"), ReasonCode::BadUserNameOrPassword);
    assert_eq!(reason_of(&server, "203.0.113.2", "anna", "hat"), ReasonCode::ConnectionRateExceeded);
    let _flood: Vec<_> = (0..10).map(|_| arrive(&server, "203.0.113.3")).collect();
    server.wait_for_line("ip=203.0.113.2 user=\"anna\" client_id=\"c\" reason=penalty ");
    server.wait_for_line("connect_refused ip=203.0.113.3 reason=address_connects ");
    // Without credentials nothing is guessed.
    let (_, answer) = Client::speak(arrive(&server, "203.0.113.4"), Over::Tcp, mqtt::connect(Version::V5, "c"));
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    server.wait_for_line("auth_failed ip=203.0.113.4 user=\"\" client_id=\"c\" reason=no_credentials ");
    let printed = server.printed();
    // As it stands in a file, and as syslog or the journal hands it on.
    let through_syslog: String =
        printed.lines().map(|line| format!("Nov 22 19:21:48 edge tidegate[7]: {line}\n")).collect();
    for log in [printed, through_syslog] {
        let (mut banned, matched_count) = fail2ban(&log);
        assert!(matched_count >= 3, "{matched_count} in\n{log}");
        banned.sort();
        banned.dedup();
        assert_eq!(banned, ["203.0.113.2", "203.0.113.3"]);
    }
}

/// The addresses in which fail2ban itself finds a failure, one for each line, and how many lines that are.
fn fail2ban(log: &str) -> (Vec<String>, usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("tidegate.log");
    std::fs::write(&file, log).expect("a writable file");
    let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/fail2ban/filter.d/tidegate.conf");
    let output = Command::new("fail2ban-regex").args(["--out", "ip"]).arg(&file).arg(filter).output();
    let output = output.expect("fail2ban-regex, which tests/run installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let addresses: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let count = addresses.len();
    (addresses, count)
}

/// A real nginx before the server: its stream module writes the PROXY protocol, its HTTP module X-Forwarded-For.
struct Nginx {
    child: Child,
    stream: SocketAddr,
    http: SocketAddr,
    _directory: tempfile::TempDir,
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

impl Nginx {
    fn start(server: &Server) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // nginx cannot say which port the system gave it; taken and left, it is given to nobody else so soon.
        let address = || TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).expect("a free port");
        let (stream, http) = (address(), address());
        // Debian has it as a module, others have built it in.
        let is_module = std::path::Path::new(STREAM_MODULE).exists();
        let load = if is_module { format!("load_module {STREAM_MODULE};\n") } else { String::new() };
        let root = directory.path().display();
        let configuration = format!(
            "{load}daemon off; master_process off; pid {root}/pid; error_log stderr warn;\nevents {{ worker_connections 64; }}\n\
             stream {{ server {{ listen {stream}; proxy_protocol on; proxy_pass {mqtt}; }} }}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
             uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen {http}; set_real_ip_from 127.0.0.1; real_ip_header X-Test-Client; location / {{\n\
             proxy_pass http://{backend}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection upgrade; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
            mqtt = server.address("mqtt"),
            backend = server.address("http"),
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("a writable file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file).arg("-e").arg("stderr");
        let child = command.stdin(Stdio::null()).spawn().expect("nginx, which tests/run installs");
        let nginx = Self { child, stream, http, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(http).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn behind_a_real_nginx_the_client_is_the_one_that_nginx_names() {
    let server = setup("{}").start();
    let nginx = Nginx::start(&server);
    // By the PROXY protocol: nginx names us, by the address and the port that we have.
    let mut guess = mqtt::connect(Version::V5, "by-stream");
    guess.login = mqtt::login("anna", "guess");
    let (_, answer) = Client::speak(Transport::tcp(nginx.stream), Over::Tcp, guess.clone());
    assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword);
    server.wait_for_line("auth_failed ip=127.0.0.1 user=\"anna\" client_id=\"by-stream\" ");
    server.wait_for_metric("tidegate_edge_proxy_headers_accepted_total", |value| value >= 1.0);
    // By X-Forwarded-For: nginx takes us for another (real_ip), and appends that to whatever we make up.
    guess.client_id = "by-http".into();
    let mut transport = Transport::tcp(nginx.http);
    let fields = "Sec-WebSocket-Protocol: mqtt\r\nX-Test-Client: 203.0.113.7\r\nX-Forwarded-For: 198.51.100.1\r\n";
    transport.write(upgrade_request("/mqtt", "localhost", fields).as_bytes());
    let head = transport.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (_, answer) = Client::speak(transport, Over::Ws, guess);
    assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword);
    server.wait_for_line("auth_failed ip=203.0.113.7 user=\"anna\" client_id=\"by-http\" ");
}
