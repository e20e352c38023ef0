//! The first article's deployment: a page with Eclipse paho over wss, a Python backend on port 1883's listener, and nginx gone.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tidegate::mqtt::{QoS, Version};

use crate::harness::{Client, Over, Puppet, Server, Setup, mqtt, puppet};

/// The article's own access rules: rows of (username, topic, rw), where 1 is reading and 2 is both.
const POLICY: &str = "
version: 1
acl:
  - [client, /p/client/upload, 2]
  - [client, /p/client/download, 1]
  - [server, /p/client/upload, 2]
  - [server, /p/client/download, 2]
  - [server, /p/other/download, 2]
users: { client: [], server: [] }
";

fn start(paho: &str) -> Server {
    Setup::new()
        .users(&[("client", "password"), ("server", "secret")])
        .policy(POLICY)
        .page("article-one.html", "article-one.html")
        .page(puppet::installed().join("npm/node_modules").join(paho).join("paho-mqtt.js"), "paho-mqtt.js")
        .start()
}

/// The article's page, logged in as `client` over wss, with its subscription made.
fn open_page(server: &Server, browser: &mut Puppet, version: u8) {
    let query = format!("version={version}&username=client&password=password&id=page-{version}");
    browser.open("page", &server.url("https", &format!("/article-one.html?{query}")));
    browser.expect_from("page", "connected");
    browser.evaluate("page", "subscribe('/p/client/download', 1)", Value::Null);
    let subscribed = browser.expect_from("page", "subscribed");
    assert_eq!(subscribed["granted"], json!([1]));
}

/// The backend's whole program, under the Python paho of this generation.
fn publish_single(server: &Server, generation: &str, payload: &str) {
    let output = Command::new(puppet::installed().join(generation).join("bin/python"))
        .arg(puppet::script("paho_publish.py"))
        .arg(server.address("mqtt").port().to_string())
        .args(["server", "secret", "/p/client/download", payload, "2"])
        .output()
        .expect("the Python that tests/run installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A backend that listens to everything the policy lets it.
fn backend(server: &Server) -> Client {
    let mut connect = mqtt::connect(Version::V4, "backend");
    connect.login = mqtt::login("server", "secret");
    let mut backend = Client::connect_with(server, Over::Tcp, connect);
    backend.subscribe("/p/client/upload", QoS::ExactlyOnce);
    backend.subscribe("/p/client/download", QoS::ExactlyOnce);
    backend
}

fn the_article_works(paho: &str, version: u8) {
    let server = start(paho);
    let mut browser = Puppet::browser();
    open_page(&server, &mut browser, version);
    let mut backend = backend(&server);

    browser.evaluate("page", "publish('/p/client/upload', 'from the page', 1)", Value::Null);
    browser.expect_from("page", "delivered");
    backend.expect_message("/p/client/upload", b"from the page");

    for generation in ["paho-1", "paho-2"] {
        let text = format!("hello mqtt from {generation}");
        publish_single(&server, generation, &text);
        let message = browser.expect_from("page", "message");
        assert_eq!(message["text"], text);
        assert_eq!(message["topic"], "/p/client/download");
        assert_eq!(message["qos"], 1, "QoS 2, subscribed with 1");
        backend.expect_message("/p/client/download", text.as_bytes());
    }

    // The page may only read what it is sent: this goes nowhere, and the backend's next message is the one after it.
    browser.evaluate("page", "publish('/p/client/download', 'forged', 0)", Value::Null);
    browser.evaluate("page", "publish('/p/client/upload', 'after the forgery', 1)", Value::Null);
    backend.expect_message("/p/client/upload", b"after the forgery");
    backend.expect_nothing();

    browser.evaluate("page", "subscribe('/p/other/download', 1)", Value::Null);
    let refused = browser.wait("an answer", |event| event["event"] == "refused" || event["event"] == "subscribed");
    if version == 4 {
        assert_eq!(refused["event"], "refused", "{refused}");
        assert_eq!(refused["code"], 128);
    } else {
        // MQTT 3.1 §3.9 has no code for a refusal: the client is told the QoS that it asked for, and gets nothing.
        assert_eq!(refused["granted"], json!([1]), "{refused}");
        backend.publish("/p/other/download", b"not for the page", QoS::AtLeastOnce, false);
    }

    // Exactly once: after a message that comes last, nothing else has come.
    publish_single(&server, "paho-2", "the last");
    browser.wait("the last message", |event| event["text"] == "the last");
    let more: Vec<_> = browser.unclaimed().iter().filter(|event| event["event"] == "message").collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn paho_1_0_speaks_mqtt_3_1() {
    the_article_works("paho-mqtt-1.0", 3);
}

#[test]
fn paho_1_0_speaks_mqtt_3_1_1() {
    the_article_works("paho-mqtt-1.0", 4);
}

#[test]
fn paho_1_1_speaks_mqtt_3_1() {
    the_article_works("paho-mqtt-1.1", 3);
}

#[test]
fn paho_1_1_speaks_mqtt_3_1_1() {
    the_article_works("paho-mqtt-1.1", 4);
}

#[test]
fn a_wrong_password_is_told_apart_from_a_lost_connection() {
    let server = start("paho-mqtt-1.1");
    let mut browser = Puppet::browser();
    browser.open("page", &server.url("https", "/article-one.html?version=4&username=client&password=wrong"));
    let failed = browser.expect_from("page", "failed");
    // paho's code for a CONNACK with a refusal; the text names the return code.
    assert_eq!(failed["code"], 6, "{failed}");
    let text = failed["text"].as_str().expect("a text");
    assert!(text.contains("bad user name or password") || text.contains("not authorized"), "{failed}");
}

#[test]
fn a_page_of_another_site_may_not_connect() {
    let server = start("paho-mqtt-1.1");
    let other_site = start("paho-mqtt-1.1");
    let mut browser = Puppet::browser();
    browser.open("page", &other_site.url("https", "/index.html"));
    let script = "return await new Promise((done) => {
        const socket = new WebSocket(argument, 'mqtt');
        socket.onopen = () => done('open');
        socket.onclose = () => done('closed');
    })";
    assert_eq!(browser.evaluate("page", script, json!(server.url("wss", "/mqtt"))), "closed");
    assert_eq!(browser.evaluate("page", script, json!(other_site.url("wss", "/mqtt"))), "open");
}

#[test]
fn the_files_route_serves_the_page_as_it_lies_on_disk() {
    let server = start("paho-mqtt-1.0");
    let answer = crate::harness::http::get_tls(server.address("https"), "/article-one.html");
    assert_eq!(answer.status, 200);
    assert!(answer.field("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{}", answer.head);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages/article-one.html");
    assert_eq!(answer.body, std::fs::read_to_string(page).expect("the page"));
}
