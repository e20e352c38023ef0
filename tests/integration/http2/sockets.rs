//! WebSockets over HTTP/2 (RFC 8441).

use serde_json::{Value, json};

use super::frames::{Connection, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, field};
use crate::harness::transport::{self, CLOSE, TEXT};
use crate::harness::{JsonClient, Over, Puppet, Server, Setup};

const SOCKETS: &str = "tidegate_edge_http2_websockets_total";

/// Opens a WebSocket in the page under a name, and waits until it is open.
fn open(browser: &mut Puppet, name: &str, path: &str, subprotocols: Value) {
    let script = "
        const [name, path, subprotocols] = argument;
        const socket = new WebSocket(location.origin.replace('http', 'ws') + path, subprotocols);
        socket.binaryType = 'arraybuffer';
        window.heard ??= {};
        window.sockets ??= {};
        heard[name] = [];
        sockets[name] = socket;
        socket.onmessage = (event) => heard[name].push(
            typeof event.data === 'string' ? JSON.parse(event.data) : [...new Uint8Array(event.data)]);
        return await new Promise((done) => {
            socket.onopen = () => done('open');
            socket.onclose = (event) => done('closed ' + event.code);
        })";
    assert_eq!(browser.evaluate("page", script, json!([name, path, subprotocols])), "open", "{name}");
}

fn send(browser: &mut Puppet, name: &str, message: &Value) {
    let script = "
        const [name, message] = argument;
        sockets[name].send(Array.isArray(message) ? new Uint8Array(message) : JSON.stringify(message));";
    browser.evaluate("page", script, json!([name, message]));
}

/// Waits in the page until something has come by this WebSocket for which `condition`, of `message`, holds.
fn hear(browser: &mut Puppet, name: &str, condition: &str) -> Value {
    let script = format!(
        "return await new Promise((done) => {{
            const look = () => {{
                const found = heard[argument].findIndex((message) => {condition});
                if (found >= 0) done(heard[argument].splice(found, 1)[0]); else setTimeout(look, 10);
            }};
            look();
        }})"
    );
    browser.evaluate("page", &script, json!(name))
}

#[test]
fn chromium_opens_several_on_one_connection_and_each_is_a_session() {
    let server = Setup::new().start();
    let mut browser = Puppet::browser();
    browser.open("page", &server.url("https", "/"));
    for name in ["first", "second"] {
        open(&mut browser, name, "/ws/", json!([]));
        send(&mut browser, name, &json!({ "Action": "subscribe", "Topic": format!("to/{name}"), "Id": "s" }));
        hear(&mut browser, name, "message.Action === 'ack'");
    }
    open(&mut browser, "mqtt", "/mqtt", json!(["mqtt"]));
    // CONNECT of version 3.1.1 with a clean session, and SUBSCRIBE to `to/mqtt`.
    send(&mut browser, "mqtt", &json!([0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 1, 98]));
    hear(&mut browser, "mqtt", "message[0] === 0x20 && message[3] === 0");
    send(&mut browser, "mqtt", &json!([0x82, 12, 0, 1, 0, 7, 116, 111, 47, 109, 113, 116, 116, 0]));
    hear(&mut browser, "mqtt", "message[0] === 0x90");
    assert_eq!(server.metric(SOCKETS), 3.0);
    assert_eq!(server.metric("tidegate_edge_http2_connections_total"), 1.0, "beside the page, on its connection");
    assert_eq!(server.metric("tidegate_connection_open"), 3.0);

    send(&mut browser, "first", &json!({ "Action": "publish", "Topic": "to/second", "Payload": "from the first" }));
    hear(&mut browser, "second", "message.Payload === 'from the first'");
    send(&mut browser, "second", &json!({ "Action": "publish", "Topic": "to/mqtt", "Payload": "x".repeat(200_000) }));
    hear(&mut browser, "mqtt", "message[0] === 0x30 && message.length > 200_000");

    let closed = "return await new Promise((done) => {
        sockets.first.onclose = (event) => done(event.code);
        sockets.first.close(1000);
    })";
    assert_eq!(browser.evaluate("page", closed, Value::Null), 1000, "closed in order");
    server.wait_for_metric("tidegate_connection_open", |count| count == 2.0);
    let fetched = "return (await fetch('/index.html')).status";
    assert_eq!(browser.evaluate("page", fetched, Value::Null), 200);
    let mut other = JsonClient::open(&server, Over::Ws);
    other.publish("to/second", "still there");
    hear(&mut browser, "second", "message.Payload === 'still there'");
    assert_eq!(server.metric("tidegate_edge_http2_connections_total"), 1.0);

    browser.evaluate("page", "sockets.second.close(); sockets.mqtt.close();", Value::Null);
    server.wait_for_metric("tidegate_connection_open", |count| count == 1.0);
    server.wait_for_metric("tidegate_edge_http2_streams_open", |count| count == 0.0);
}

#[test]
fn chromium_is_told_of_a_restart_on_each_of_them() {
    let mut server = Setup::new().start();
    let mut browser = Puppet::browser();
    browser.open("page", &server.url("https", "/"));
    for name in ["first", "second"] {
        open(&mut browser, name, "/ws/", json!([]));
        send(&mut browser, name, &json!({ "Action": "ping" }));
        hear(&mut browser, name, "message.Action === 'pong'");
    }
    let watch = "window.codes = []; for (const s of Object.values(sockets)) s.onclose = (e) => codes.push(e.code);";
    browser.evaluate("page", watch, Value::Null);
    assert_eq!(server.terminate(), Some(0));
    let codes = "return await new Promise((done) => {
        const look = () => { if (codes.length === 2) done(codes); else setTimeout(look, 10); };
        look();
    })";
    assert_eq!(browser.evaluate("page", codes, Value::Null), json!([1012, 1012]));
}

/// Asks for a WebSocket at `path` on a stream.
fn connect(connection: &mut Connection, stream: u32, path: &str, more: &[(&str, &str)]) {
    let mut block = connection.request("CONNECT", path);
    for (name, value) in [(":protocol", "websocket"), ("sec-websocket-version", "13")].iter().chain(more) {
        block.extend(field(name, value));
    }
    connection.send(HEADERS, END_HEADERS, stream, &block);
}

fn is_ok(answer: &super::frames::Frame) -> bool {
    answer.payload.first() == Some(&0x88)
}

fn start(limits: &str) -> Server {
    Setup::new()
        .section("limits", limits)
        .section("websocket", "{ origins: [\"https://app.example\"] }")
        .section(
            "routes",
            "\n  - { path: /mqtt, serve: mqtt }\n  - { path: /ws/, serve: json }\n  - { path: /, respond: hi }",
        )
        .start()
}

#[test]
fn the_setting_says_that_it_is_spoken() {
    let server = start("{}");
    let mut connection = Connection::open(&server, &[]);
    let settings = connection.wait_for(SETTINGS);
    assert!(settings.payload.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]), "{settings:?}");
}

#[test]
fn a_handshake_is_judged_as_over_http_1() {
    let server = start("{}");
    let mut connection = Connection::open(&server, &[]);
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(&str, Fields, bool); 7] = [
        ("/ws/", &[], true),
        ("/ws/", &[("origin", "https://app.example")], true),
        ("/ws/", &[("origin", "https://evil.example")], false),
        ("/mqtt", &[("sec-websocket-protocol", "mqtt")], true),
        ("/mqtt", &[("sec-websocket-protocol", "json")], false),
        ("/ws/", &[("sec-websocket-version", "14")], false),
        ("/elsewhere", &[], false),
    ];
    for (index, (path, more, is_opened)) in cases.into_iter().enumerate() {
        let stream = 2 * index as u32 + 1;
        connect(&mut connection, stream, path, more);
        let answer = connection.wait_for(HEADERS);
        assert_eq!((answer.stream, is_ok(&answer)), (stream, is_opened), "{path} {more:?}");
    }
    let refused = |reason: &str| server.metric(&format!("tidegate_edge_upgrades_refused_total{{reason=\"{reason}\"}}"));
    assert_eq!((refused("origin"), refused("subprotocol")), (1.0, 1.0));
}

#[test]
fn a_stream_that_is_reset_ends_its_session_and_no_other() {
    let server = start("{}");
    let mut connection = Connection::open(&server, &[]);
    for stream in [1, 3] {
        connect(&mut connection, stream, "/ws/", &[]);
        assert!(is_ok(&connection.wait_for(HEADERS)));
        connection.send(DATA, 0, stream, &transport::frame(true, TEXT, br#"{"Action":"ping"}"#));
        assert_eq!(connection.wait_for(DATA).stream, stream);
    }
    server.wait_for_metric("tidegate_connection_open", |count| count == 2.0);
    connection.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    server.wait_for_metric("tidegate_connection_open", |count| count == 1.0);
    connection.send(DATA, 0, 3, &transport::frame(true, TEXT, br#"{"Action":"ping"}"#));
    assert_eq!(connection.wait_for(DATA).stream, 3);
    // And one that says goodbye gets one.
    connection.send(DATA, 0, 3, &transport::frame(true, CLOSE, &1000_u16.to_be_bytes()));
    let reply = connection.wait_for(DATA);
    assert_eq!(reply.payload, [0x80 | CLOSE, 2, 0x03, 0xE8]);
    server.wait_for_metric("tidegate_connection_open", |count| count == 1.0);
    connection.send(DATA, END_STREAM, 3, &[]);
    server.wait_for_metric("tidegate_connection_open", |count| count == 0.0);
}

#[test]
fn each_counts_wherever_a_connection_does() {
    let server = start("{ connections_per_address_max: 3, addresses_exempt: [] }");
    let mut connection = Connection::open(&server, &[]);
    let opened: Vec<bool> = [1, 3, 5]
        .into_iter()
        .map(|stream| {
            connect(&mut connection, stream, "/ws/", &[]);
            is_ok(&connection.wait_for(HEADERS))
        })
        .collect();
    assert_eq!(opened, [true, true, false], "the connection itself, two on it, and no more");
    connection.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    server.wait_for_metric("tidegate_edge_connections_open", |count| count == 2.0);
    connect(&mut connection, 7, "/ws/", &[]);
    assert!(is_ok(&connection.wait_for(HEADERS)));
}
