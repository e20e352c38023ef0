//! The server's own life: ready, told to stop, killed, and started again where it was.

use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, Setup, http, mqtt};

#[test]
fn the_admin_listener_says_alive_and_ready() {
    let server = Setup::new().start();
    for path in ["/livez", "/readyz"] {
        assert_eq!(http::get(server.address("admin"), path).status, 200, "{path}");
    }
    let metrics = http::get(server.address("admin"), "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("tidegate_"), "{}", metrics.body);
    assert_eq!(http::get(server.address("admin"), "/nothing").status, 404);
}

#[test]
fn healthcheck_asks_it() {
    let mut server = Setup::new().start();
    let url = format!("http://{}", server.address("admin"));
    let ask = || {
        let output = crate::harness::server::tidegate().args(["healthcheck", "--url", &url]).output();
        output.expect("the tidegate binary").status.code()
    };
    assert_eq!(ask(), Some(0));
    server.kill();
    assert_eq!(ask(), Some(1));
}

#[test]
fn being_told_to_stop_is_told_on() {
    let mut server = Setup::new().start();
    let mut five = Client::connect(&server, Over::Wss, Version::V5, "five");
    let mut four = Client::connect(&server, Over::Tcp, Version::V4, "four");
    let mut json = JsonClient::open(&server, Over::Wss);
    json.expect_nothing();
    assert_eq!(server.terminate(), Some(0), "{}", server.printed());
    five.expect_disconnect(ReasonCode::ServerShuttingDown);
    assert!(matches!(four.expect_closed(), Ending::Closed(_)));
    assert!(matches!(json.expect_closed(), Ending::Closed(_)));
}

#[test]
fn killed_and_started_again_it_serves_on_the_same_ports() {
    let mut server = Setup::new().start();
    for over in Over::ALL {
        Client::connect(&server, over, Version::V5, "before").expect_nothing();
    }
    let addresses = ["https", "http", "mqtts", "mqtt"].map(|scheme| server.address(scheme));
    for _ in 0..3 {
        server.kill();
        server.start_again();
    }
    assert_eq!(addresses, ["https", "http", "mqtts", "mqtt"].map(|scheme| server.address(scheme)));
    for over in Over::ALL {
        let mut connect = mqtt::connect(Version::V5, "after");
        connect.clean_start = false;
        let (mut client, answer) = Client::try_connect(&server, over, connect);
        assert!(!answer.session_present, "sessions are kept in memory");
        client.subscribe("t", QoS::AtLeastOnce);
        client.publish("t", b"x", QoS::AtMostOnce, false);
        client.expect_message("t", b"x");
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let server = Setup::new().start();
    let setup = Setup::new();
    let config = setup.directory().join("taken.yaml");
    let taken = server.address("mqtt");
    std::fs::write(&config, format!("listen: [\"mqtt://{taken}\"]\nauth: {{ anonymous: true }}\n"))
        .expect("a writable file");
    let output = crate::harness::server::tidegate().arg("-c").arg(&config).output().expect("the tidegate binary");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&taken.to_string()), "{text}");
}

#[test]
fn the_built_in_default_needs_no_file() {
    // Its ports are fixed, so it is only checked here, in an empty directory; the shipped lines are the other tests'.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let mut command = crate::harness::server::tidegate();
        command.args(arguments).current_dir(directory.path()).output().expect("the tidegate binary")
    };
    let check = run(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let show = run(&["config", "show"]);
    let text = String::from_utf8_lossy(&show.stdout);
    for promised in ["https://127.0.0.1:8443", "mqtt://127.0.0.1:1883", "/mqtt", "/ws/"] {
        assert!(text.contains(promised), "{promised} is missing from {text}");
    }
}

#[test]
fn a_development_certificate_is_made_once_and_kept() {
    let server = Setup::new().section("tls", "{}").start();
    let read = || std::fs::read(server.directory().join("certs/dev/server.pem")).ok();
    let first: Vec<_> = std::fs::read_dir(server.directory().join("certs/dev")).into_iter().flatten().collect();
    assert!(!first.is_empty(), "nothing under certs/dev");
    let before = read();
    let mut server = server;
    server.kill();
    server.start_again();
    assert_eq!(std::fs::read(server.directory().join("certs/dev/server.pem")).ok(), before);
}
