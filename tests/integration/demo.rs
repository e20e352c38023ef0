//! The demo page, as a newcomer meets it: two people chat, and a slider here moves a gauge there.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Puppet, Server, Setup, http};

fn start() -> Server {
    let routes = "\n  - { path: /mqtt, serve: mqtt }\n  - { path: /ws/, serve: json }\n  - { path: /, serve: demo }";
    Setup::new().section("routes", routes).start()
}

/// Waits in the page until the JavaScript expression `condition` holds, of `argument` and the text of the whole page, `text`.
fn until(browser: &mut Puppet, page: &str, condition: &str, argument: Value) {
    let script = format!(
        "return await new Promise((done) => {{
            const look = () => {{
                const text = document.body.innerText;
                if ({condition}) done(true); else setTimeout(look, 20);
            }};
            look();
        }})"
    );
    assert_eq!(browser.evaluate(page, &script, argument), true);
}

fn open(server: &Server, browser: &mut Puppet, page: &str) {
    browser.open(page, &server.url("https", "/"));
    until(browser, page, "document.getElementById('link').dataset.state === 'open'", Value::Null);
}

fn say(browser: &mut Puppet, page: &str, words: &str) {
    let script = "
        const field = document.getElementById('words');
        field.value = argument;
        field.form.requestSubmit();";
    browser.evaluate(page, script, json!(words));
}

#[test]
fn two_people_chat_and_a_slider_moves_a_gauge() {
    let server = start();
    let mut browser = Puppet::browser();
    open(&server, &mut browser, "alice");
    open(&server, &mut browser, "bob");

    say(&mut browser, "alice", "is the tide coming in?");
    until(&mut browser, "bob", "text.includes(argument)", json!("is the tide coming in?"));
    say(&mut browser, "bob", "<b>not</b> yet");
    until(&mut browser, "alice", "text.includes(argument)", json!("<b>not</b> yet"));

    let slide = "
        const slider = document.getElementById('slider');
        slider.value = String(argument);
        slider.dispatchEvent(new Event('input', { bubbles: true }));";
    browser.evaluate("bob", slide, json!(73));
    let reads = "document.getElementById('reading-dry').textContent === String(argument)";
    until(&mut browser, "alice", reads, json!(73));
    // Whoever comes later finds the gauge where it was left.
    open(&server, &mut browser, "carol");
    until(&mut browser, "carol", reads, json!(73));
    until(&mut browser, "alice", "/\\d ms/.test(document.getElementById('latency').textContent)", Value::Null);
}

#[test]
fn the_commands_it_shows_for_a_terminal_work() {
    let server = start();
    let mut browser = Puppet::browser();
    open(&server, &mut browser, "alice");
    let mut listener = Puppet::mosquitto_sub(&server, &["-t", "demo/#", "-v"]);
    say(&mut browser, "alice", "anybody at a terminal?");
    listener.wait("the message", |event| event["text"].as_str().is_some_and(|text| text.starts_with("demo/chat ")));

    for arguments in
        [["-t", "demo/gauge", "-r", "-m", "80"].as_slice(), &["-t", "demo/chat", "-m", "Hello from the shore"]]
    {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &server.address("mqtt").port().to_string()]).args(arguments);
        let status = command.status().expect("mosquitto_pub, which tests/run installs");
        assert!(status.success());
    }
    until(&mut browser, "alice", "document.getElementById('reading-dry').textContent === '80'", Value::Null);
    until(&mut browser, "alice", "text.includes('Hello from the shore')", Value::Null);
}

#[test]
fn it_says_when_the_connection_is_lost_and_comes_back() {
    let mut server = start();
    let mut browser = Puppet::browser();
    open(&server, &mut browser, "alice");
    server.kill();
    until(&mut browser, "alice", "document.getElementById('link').dataset.state === 'waiting'", Value::Null);
    server.start_again();
    until(&mut browser, "alice", "document.getElementById('link').dataset.state === 'open'", Value::Null);
}

#[test]
fn it_loads_nothing_from_elsewhere_and_complains_of_nothing() {
    let server = start();
    let mut browser = Puppet::browser();
    open(&server, &mut browser, "alice");
    let home = server.url("https", "/");
    for event in browser.unclaimed() {
        assert!(event["event"] != "pageerror" && event["event"] != "console", "{event}");
        if event["event"] == "request" {
            let url = event["url"].as_str().expect("a URL");
            assert!(url.starts_with(&home) || url.starts_with("data:") || url.starts_with("blob:"), "{url}");
        }
    }
    let answer = http::get(server.address("http"), "/");
    assert_eq!(answer.status, 200);
    let policy = answer.field("content-security-policy").expect("a Content-Security-Policy");
    assert!(policy.contains("default-src"), "{policy}");
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
}
