//! The second article's deployment: a page of 2018 that speaks JSON Actions, and the same script in node.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::transport::{BINARY, Ending, TEXT};
use crate::harness::{JsonClient, Over, Puppet, Server, Setup, puppet};

fn start() -> Server {
    Setup::new().page("article-two.html", "article-two.html").page("article-two.js", "article-two.js").start()
}

fn open_page(server: &Server, browser: &mut Puppet, page: &str) {
    browser.open(page, &server.url("https", "/article-two.html"));
    browser.expect_from(page, "open");
}

/// The article's script in node, with the npm package `ws` as its WebSocket.
fn open_node(server: &Server) -> Puppet {
    let mut command = Command::new("node");
    command.arg(puppet::script("action_node.mjs"));
    command.arg(server.directory().join("public/article-two.js"));
    command.arg(server.url("https", "")).arg(server.authority_file());
    let mut node = Puppet::start("node", command);
    node.expect("open");
    node
}

/// Waits until the server has answered what the page sent when it opened: its subscriptions are made then.
fn settle(browser: &mut Puppet, page: &str) {
    let script = "return await new Promise((done) => {
        socket.addEventListener('message', (message) => {
            if (JSON.parse(message.data).Id === 'settled') done(true);
        });
        socket.send(JSON.stringify({ Action: 'ping', Id: 'settled' }));
    })";
    assert_eq!(browser.evaluate(page, script, Value::Null), true);
}

#[test]
fn the_page_of_2018_works_and_recovers_from_a_crash_by_itself() {
    let mut server = start();
    let mut browser = Puppet::browser();
    open_page(&server, &mut browser, "alice");
    open_page(&server, &mut browser, "bob");
    settle(&mut browser, "alice");
    settle(&mut browser, "bob");

    browser.evaluate("alice", "say('/chat/room', { from: 'Alice', text: 'schön, dass es geht' })", Value::Null);
    for page in ["alice", "bob"] {
        let heard = browser.expect_from(page, "heard");
        assert_eq!(heard["payload"], json!({ "from": "Alice", "text": "schön, dass es geht" }));
    }
    browser.evaluate("bob", "say('/gauge/1', 42)", Value::Null);
    assert_eq!(browser.expect_from("alice", "gauge")["payload"], 42);

    server.kill();
    browser.expect_from("alice", "close");
    browser.expect_from("bob", "close");
    server.start_again();
    browser.expect_from("alice", "open");
    browser.expect_from("bob", "open");
    settle(&mut browser, "alice");
    settle(&mut browser, "bob");
    browser.evaluate("bob", "say('/chat/room', 'back again')", Value::Null);
    browser.wait("the message after the crash", |event| event["page"] == "alice" && event["payload"] == "back again");
    let errors: Vec<_> = browser.unclaimed().iter().filter(|event| event["event"] == "pageerror").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_same_script_works_in_node_and_recovers_by_itself() {
    let mut server = start();
    let mut node = open_node(&server);
    let mut other = JsonClient::open(&server, Over::Wss);
    other.subscribe("/chat/room");
    node.write("say('/chat/room', { from: 'node' })");
    assert_eq!(node.expect("heard")["payload"], json!({ "from": "node" }));
    other.expect(&json!({ "Action": "publish", "Topic": "/chat/room", "Payload": "{\"from\":\"node\"}" }));
    other.publish("/gauge/1", "7");
    assert_eq!(node.expect("gauge")["payload"], 7);

    server.kill();
    node.expect("close");
    server.start_again();
    node.expect("open");
    node.write("say('/chat/room', 'back again')");
    assert_eq!(node.expect("heard")["payload"], "back again");
}

#[test]
fn a_delivery_looks_as_it_did_in_2018() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Ws);
    // Keys without regard to case, no Id: no answers, and a delivery of exactly three members.
    client.send(&json!({ "action": "subscribe", "TOPIC": "/a" }));
    client.send(&json!({ "ACTION": "publish", "topic": "/a", "payload": "text" }));
    assert_eq!(client.receive(), json!({ "Action": "publish", "Topic": "/a", "Payload": "text" }));
    client.send(&json!({ "Action": "unsubscribe", "Topic": "/a" }));
    client.publish("/a", "nobody hears this");
    client.expect_nothing();
}

#[test]
fn the_first_message_may_be_a_large_one() {
    let server = start();
    let mut page = JsonClient::open(&server, Over::Wss);
    page.send(&json!({ "Action": "publish", "Topic": "chat", "Payload": "x".repeat(100_000), "Id": 1 }));
    page.expect(&json!({ "Action": "ack", "Id": 1 }));
}

#[test]
fn bytes_travel_as_base64() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Ws);
    client.subscribe("/bytes");
    client.send(&json!({ "Action": "publish", "Topic": "/bytes", "Payload": "/wCA", "Encoding": "base64" }));
    assert_eq!(
        client.receive(),
        json!({ "Action": "publish", "Topic": "/bytes", "Payload": "/wCA", "Encoding": "base64" })
    );
    // Bytes that are text go as text.
    client.send(&json!({ "Action": "publish", "Topic": "/bytes", "Payload": "aGk=", "Encoding": "base64" }));
    assert_eq!(client.receive(), json!({ "Action": "publish", "Topic": "/bytes", "Payload": "hi" }));
}

#[test]
fn replies_come_to_messages_that_carried_an_id() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Wss);
    for (index, message) in [
        json!({ "Action": "connect", "ClientId": "json-1" }),
        json!({ "Action": "subscribe", "Topic": "/r", "QoS": 1 }),
        json!({ "Action": "publish", "Topic": "/elsewhere", "Payload": "x", "QoS": 1 }),
        json!({ "Action": "unsubscribe", "Topic": "/r" }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = message;
        message["Id"] = json!(index);
        client.send(&message);
        client.expect(&json!({ "Action": "ack", "Id": index }));
    }
    client.send(&json!({ "Action": "ping", "Id": "p" }));
    client.expect(&json!({ "Action": "pong", "Id": "p" }));
}

#[test]
fn a_mistake_costs_an_error_frame_and_never_the_connection() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Ws);
    for mistake in [
        "not json",
        "",
        "[]",
        "7",
        "null",
        "{}",
        r#"{"Action":"dance"}"#,
        r#"{"Action":7}"#,
        r#"{"Action":"publish","Topic":"/a"}"#,
        r#"{"Action":"publish","Topic":"/a","Payload":7}"#,
        r#"{"Action":"publish","Topic":"/+","Payload":"x"}"#,
        r#"{"Action":"publish","Topic":"","Payload":"x"}"#,
        r#"{"Action":"publish","Topic":"/a","Payload":"x","QoS":3}"#,
        r#"{"Action":"publish","Topic":"/a","Payload":"?","Encoding":"base64"}"#,
        r#"{"Action":"subscribe"}"#,
        r#"{"Action":"subscribe","Topic":"a/#/b"}"#,
        r#"{"Action":"subscribe","Topic":"/a"#,
    ] {
        client.send_text(mistake);
        let answer = client.receive();
        assert_eq!(answer["Action"], "error", "{answer} for {mistake}");
        assert!(answer.get("Topic").is_none(), "{answer} for {mistake}");
        assert!(answer["Code"].is_string() && answer["Reason"].is_string(), "{answer} for {mistake}");
    }
    client.subscribe("/still/here");
}

#[test]
fn what_breaks_the_transport_closes_it_with_the_right_code() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Ws);
    client.transport.write_frame(true, BINARY, b"{}");
    assert_eq!(client.expect_closed(), Ending::Closed(Some(1003)), "binary where text belongs (RFC 6455 §7.4.1)");

    let mut client = JsonClient::open(&server, Over::Ws);
    client.transport.write_frame(true, TEXT, b"{\"Action\":\"\xff\"}");
    assert_eq!(client.expect_closed(), Ending::Closed(Some(1007)), "text that is not UTF-8");

    let mut client = JsonClient::open(&server, Over::Ws);
    let oversized = [0x81, 0xFF, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
    client.transport.write(&oversized);
    assert_eq!(
        client.expect_closed(),
        Ending::Closed(Some(1009)),
        "a message over the limit, judged by its length alone"
    );
}

#[test]
fn who_asks_for_qos_acknowledges_and_gets_what_was_missed() {
    let server = start();
    let connect =
        json!({ "Action": "connect", "ClientId": "kept", "CleanStart": false, "SessionExpiry": 600, "Id": 1 });
    let mut client = JsonClient::open(&server, Over::Ws);
    client.send(&connect);
    client.expect(&json!({ "Action": "ack", "Id": 1 }));
    client.send(&json!({ "Action": "subscribe", "Topic": "/q", "QoS": 1, "Id": 2 }));
    client.expect(&json!({ "Action": "ack", "Id": 2 }));
    let mut other = JsonClient::open(&server, Over::Ws);
    other.send(&json!({ "Action": "publish", "Topic": "/q", "Payload": "first", "QoS": 1, "Id": 3 }));
    other.expect(&json!({ "Action": "ack", "Id": 3 }));
    let first = client.expect(&json!({ "Action": "publish", "Payload": "first", "QoS": 1 }));
    client.send(&json!({ "Action": "ack", "Id": first["Id"] }));
    client.expect_nothing();
    drop(client);

    other.send(&json!({ "Action": "publish", "Topic": "/q", "Payload": "second", "QoS": 1, "Id": 4 }));
    other.expect(&json!({ "Action": "ack", "Id": 4 }));
    let mut client = JsonClient::open(&server, Over::Ws);
    client.send(&connect);
    client.expect(&json!({ "Action": "ack", "Id": 1 }));
    client.expect(&json!({ "Action": "publish", "Payload": "second", "QoS": 1 }));
}
