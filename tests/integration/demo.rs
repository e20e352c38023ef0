//! The demo page, as a newcomer meets it: two people chat, and a slider here moves a gauge there.

use serde_json::{Value, json};

use crate::harness::{Puppet, Setup};

#[test]
fn it_loads_nothing_from_elsewhere_and_connects() {
    let routes = "\n  - { path: /mqtt, serve: mqtt }\n  - { path: /ws/, serve: json }\n  - { path: /, serve: demo }";
    let server = Setup::new().section("routes", routes).start();
    let mut browser = Puppet::browser();
    let home = server.url("https", "/");
    browser.open("alice", &home);
    browser.open("bob", &home);
    // The page shows its connection's state; both come to be connected.
    let connected = "return await new Promise((done) => {
        const look = () => /connected/i.test(document.body.innerText) ? done(true) : requestAnimationFrame(look);
        look();
    })";
    for page in ["alice", "bob"] {
        assert_eq!(browser.evaluate(page, connected, Value::Null), true);
    }
    for event in browser.unclaimed() {
        assert_ne!(event["event"], "pageerror", "{event}");
        if event["event"] == "request" {
            let url = event["url"].as_str().expect("a URL");
            assert!(url.starts_with(&home) || url.starts_with("data:") || url.starts_with("blob:"), "{url}");
        }
    }
    // What Alice writes, Bob reads.
    let write = "
        const field = document.querySelector('form input[type=text], form input:not([type]), form textarea');
        field.value = argument;
        field.dispatchEvent(new Event('input', { bubbles: true }));
        field.form.requestSubmit();";
    browser.evaluate("alice", write, json!("hello from the test"));
    let read = "return await new Promise((done) => {
        const look = () => document.body.innerText.includes(argument) ? done(true) : requestAnimationFrame(look);
        look();
    })";
    assert_eq!(browser.evaluate("bob", read, json!("hello from the test")), true);
}
