//! Servers behind that speak HTTP/2: node's own, with and without TLS.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::certificates::Certificates;
use crate::harness::puppet::{self, Puppet};
use crate::harness::{Server, Setup};

/// The servers, and a client before them, in one process of node.
fn start() -> (Server, Puppet) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a writable file");
        folder.path().join(name)
    };
    let certificates = Certificates::get();
    let mut command = Command::new("node");
    command.arg(puppet::script("http2_behind.mjs"));
    command.args([
        file("cert.pem", &certificates.server_pem),
        file("key.pem", &certificates.server_key_pem),
        file("ca.pem", &certificates.authority_pem),
    ]);
    let mut node = Puppet::start("http2_behind", command);
    let ready = node.expect("ready");
    let server = Setup::new()
        .file("ca.pem", &certificates.authority_pem)
        .section(
            "routes",
            &format!(
                "\n  - {{ path: /clear/, proxy: \"h2c://127.0.0.1:{}\" }}\n  - {{ path: /tls/, proxy: {{ to: \"h2://127.0.0.1:{}/base/\", ca: ca.pem }} }}
  - {{ path: /old/, proxy: {{ to: \"https://127.0.0.1:{}\", ca: ca.pem, connect_timeout: 1s }} }}",
                ready["clear"], ready["tls"], ready["tls"]
            ),
        )
        .start();
    (server, node)
}

fn ask(server: &Server, node: &mut Puppet, path: &str, fields: Value, pieces: &[&str]) -> Value {
    let url = server.url("https", path).replace("127.0.0.1", "localhost");
    let trailers = json!({ "x-sent": "last" });
    node.tell(&json!({ "do": "ask", "url": url, "fields": fields, "pieces": pieces, "trailers": trailers }));
    node.wait("an answer", |event| event["event"] == "answer" || event["event"] == "failed")
}

#[test]
fn a_dialogue_goes_through_with_its_trailers() {
    let (server, mut node) = start();
    let authority = format!("localhost:{}", server.address("https").port());
    for (path, asked) in [("/clear/a%2Fb?c=d", "/clear/a%2Fb?c=d"), ("/tls//a/./b?c", "/base/a/b?c")] {
        let fields = json!({ "content-type": "application/grpc", "te": "trailers" });
        let answer = ask(&server, &mut node, path, fields, &["one", "two", "three"]);
        assert_eq!(answer["head"][":status"], 200, "{answer}");
        assert_eq!(answer["head"]["x-asked"], format!("{authority}{asked}"));
        assert_eq!(answer["pieces"], json!(["one", "two", "three"]), "{answer}");
        for (name, value) in [("grpc-status", "0"), ("x-te", "trailers"), ("x-sent", "last")] {
            assert_eq!(answer["trailers"][name], value, "{answer}");
        }
    }
    assert_eq!(server.metric("tidegate_edge_proxy_connections_opened_total"), 2.0);
    node.finish();
}

#[test]
fn a_websocket_goes_through_on_streams() {
    let (server, mut node) = start();
    let fields = json!({ ":protocol": "websocket", "sec-websocket-version": "13" });
    let answer = ask(&server, &mut node, "/clear/live", fields, &["there", "and back"]);
    assert_eq!(
        (&answer["head"][":status"], &answer["pieces"]),
        (&json!(200), &json!(["there", "and back"])),
        "{answer}"
    );
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |open| open == 0.0);
    assert_eq!(server.metric("tidegate_edge_proxy_tunnels_total"), 1.0);
    node.finish();
}

#[test]
fn what_nodes_server_takes_back_is_cut() {
    let (server, mut node) = start();
    let answer = ask(&server, &mut node, "/clear/cut", json!({}), &["x"]);
    assert_eq!(answer["event"], "failed", "{answer}");
    let curl = |version: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", version, "-m", "20", "-o", "/dev/null", "--cacert"]).arg(server.authority_file());
        command.args(["-d", "x"]).arg(server.url("https", "/clear/cut")).status().expect("curl").code()
    };
    // 18: partial file; 52: closed before any of it was sent; 92: the stream was not closed cleanly.
    assert!(matches!(curl("--http1.1"), Some(18 | 52)));
    assert_eq!(curl("--http2"), Some(92));
    assert_eq!(server.metric("tidegate_edge_proxy_answers_cut_total"), 3.0);
    node.finish();
}

#[test]
fn a_server_that_does_not_agree_on_a_version_is_not_reached() {
    let (server, mut node) = start();
    // Node's secure server of HTTP/2 takes no HTTP/1.1, as ALPN has it.
    let answer = ask(&server, &mut node, "/old/", json!({}), &["x"]);
    assert_eq!(answer["head"][":status"], 502, "{answer}");
    node.finish();
}
