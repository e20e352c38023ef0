//! One foreign library as a judge: a process that runs any number of its clients; see `tests/clients/judge_mqtt_js.mjs`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::server::metric;
use crate::harness::{PATIENCE, Puppet, Server, puppet};

/// Who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    MqttJs,
    Paho,
}

/// A library, the version it speaks and what it speaks it over.
pub struct Judge {
    pub make: Make,
    pub version: u8,
    scheme: &'static str,
    url: String,
    admin: SocketAddr,
    puppet: Puppet,
}

impl Judge {
    pub fn start(server: &Server, make: Make, version: u8, scheme: &'static str) -> Self {
        let path = if scheme == "ws" { "/mqtt" } else { "" };
        let command = match make {
            Make::MqttJs => {
                let mut command = Command::new("node");
                command.arg(puppet::script("judge_mqtt_js.mjs"));
                command
            }
            Make::Paho => {
                let mut command = Command::new(puppet::installed().join("paho-2/bin/python"));
                command.arg(puppet::script("judge_paho.py"));
                command
            }
        };
        let name = format!("{make:?}, protocol {version} over {scheme}");
        let (url, admin) = (server.url(scheme, path), server.address("admin"));
        Self { make, version, scheme, url, admin, puppet: Puppet::start(&name, command) }
    }

    /// Who judges, for messages.
    pub fn name(&self) -> String {
        format!("{:?}, protocol {} over {}", self.make, self.version, self.scheme)
    }

    pub fn is_new(&self) -> bool {
        self.version == 5
    }

    /// Gives `client` a command; `more` are its arguments.
    pub fn tell(&mut self, client: &str, what: &str, mut more: Value) {
        let command = more.as_object_mut().expect("an object of arguments");
        command.insert("do".to_owned(), json!(what));
        command.insert("client".to_owned(), json!(client));
        self.puppet.tell(&more);
    }

    /// Waits for an event of `client`.
    pub fn expect(&mut self, client: &str, event: &str) -> Value {
        let what = format!("{event} of {client}");
        self.puppet.wait(&what, |found| found["client"] == client && found["event"] == event)
    }

    /// Connects, with `client` as Client Identifier unless `options` say otherwise, without waiting for the answer.
    pub fn begin_connect(&mut self, client: &str, mut options: Value) {
        let members = options.as_object_mut().expect("an object of options");
        members.entry("id").or_insert_with(|| json!(client));
        members.entry("url").or_insert_with(|| json!(self.url));
        members.insert("version".to_owned(), json!(self.version));
        self.tell(client, "connect", options);
    }

    /// Connects and is let in.
    pub fn connect(&mut self, client: &str, options: Value) -> Value {
        self.begin_connect(client, options);
        self.expect(client, "connected")
    }

    /// Connects to a session that is kept.
    pub fn connect_kept(&mut self, client: &str) -> Value {
        self.connect(client, json!({ "clean": false, "expiry": 600 }))
    }

    /// Subscribes and returns the reasons.
    pub fn subscribe(&mut self, client: &str, filter: &str, qos: u8, mut more: Value) -> Value {
        more["filter"] = json!(filter);
        more["qos"] = json!(qos);
        self.tell(client, "subscribe", more);
        self.expect(client, "subscribed")["reasons"].take()
    }

    /// Publishes, waits until the exchange is complete, and returns the reason.
    pub fn publish(&mut self, client: &str, topic: &str, payload: &str, qos: u8, more: Value) -> Value {
        self.begin_publish(client, topic, payload, qos, more);
        self.expect(client, "published")["reason"].take()
    }

    pub fn begin_publish(&mut self, client: &str, topic: &str, payload: &str, qos: u8, mut more: Value) {
        more["topic"] = json!(topic);
        more["payload"] = json!(payload);
        more["qos"] = json!(qos);
        self.tell(client, "publish", more);
    }

    /// The next message of `client` must have this payload.
    pub fn expect_message(&mut self, client: &str, payload: &str) -> Value {
        let message = self.expect(client, "message");
        assert_eq!(message["payload"], payload, "{}: {message}", self.name());
        message
    }

    /// Nothing more has come to `client`: what the server had to say, it would have said before it answers.
    pub fn expect_nothing(&mut self, client: &str) {
        self.tell(client, "unsubscribe", json!({ "filter": "nothing/of/the/kind" }));
        self.expect(client, "unsubscribed");
        let name = self.name();
        let more =
            self.puppet.unclaimed().iter().find(|event| event["client"] == client && event["event"] == "message");
        assert_eq!(more, None, "{name}");
    }

    /// Says goodbye and waits until the server has seen to it.
    pub fn disconnect(&mut self, client: &str, more: Value) {
        self.leave(client, "disconnect", more);
    }

    /// Ends the connection without a word and waits until the server has seen to it.
    pub fn cut(&mut self, client: &str) {
        self.leave(client, "cut", json!({}));
    }

    fn leave(&mut self, client: &str, how: &str, more: Value) {
        const CONNECTED: &str = "tidegate_engine_sessions_connected";
        let before = metric(self.admin, CONNECTED);
        self.tell(client, how, more);
        self.expect(client, "closed");
        // The client's end of a connection is not yet the server's.
        let deadline = Instant::now() + PATIENCE;
        while metric(self.admin, CONNECTED) >= before {
            assert!(Instant::now() < deadline, "{}: {client} is still there", self.name());
        }
    }
}
