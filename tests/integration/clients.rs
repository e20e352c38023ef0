//! Everyone with everyone: foreign clients of every make, each publishing to all the others, at every QoS, text and bytes,
//! from nothing to a mebibyte.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::harness::{Puppet, Server, Setup, digest, payload, puppet};

const TOPIC: &str = "exchange/everyone";

/// How mosquitto's tools name the protocol versions.
const MOSQUITTO_VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

/// One foreign client that listens to [`TOPIC`] and can publish to it.
enum Party {
    /// `mosquitto_sub` listens, `mosquitto_pub` publishes.
    Mosquitto {
        version: &'static str,
        listener: Puppet,
        port: u16,
    },
    MqttJs {
        name: String,
        client: Puppet,
    },
    /// Eclipse paho in a page of the browser.
    PahoPage,
    /// The page of 2018, whose text payloads are what it knows; bytes go and come as base64.
    ActionPage,
}

/// What one party got.
#[derive(Debug, PartialEq)]
struct Got {
    digest: String,
    length: u64,
    /// `None` where the client does not say.
    qos: Option<u64>,
}

struct Exchange {
    server: Server,
    browser: Puppet,
    parties: Vec<Party>,
}

/// What is sent: a file, as mosquitto_pub wants it, and its bytes.
struct Parcel {
    file: PathBuf,
    bytes: Vec<u8>,
    is_text: bool,
}

impl Exchange {
    fn start() -> Self {
        let server = Setup::new()
            .page("article-one.html", "article-one.html")
            .page(puppet::installed().join("npm/node_modules/paho-mqtt-1.1/paho-mqtt.js"), "paho-mqtt.js")
            .page("article-two.html", "article-two.html")
            .page("article-two.js", "article-two.js")
            .start();
        let mut browser = Puppet::browser();
        let mut parties: Vec<_> = MOSQUITTO_VERSIONS.map(|version| mosquitto(&server, version)).into();
        for scheme in ["ws", "wss"] {
            parties.extend([4, 5].map(|version| mqtt_js(&server, scheme, version)));
        }
        open_paho_page(&server, &mut browser);
        open_action_page(&server, &mut browser);
        parties.extend([Party::PahoPage, Party::ActionPage]);
        Self { server, browser, parties }
    }

    /// Party `from` publishes the parcel, and everyone, itself included, gets it once and whole.
    fn pass(&mut self, from: usize, parcel: &Parcel, qos: u8) {
        self.parties[from].publish(&mut self.browser, parcel, qos);
        let expected =
            Got { digest: digest(&parcel.bytes), length: parcel.bytes.len() as u64, qos: Some(u64::from(qos)) };
        let sender = self.parties[from].name();
        for party in &mut self.parties {
            let mut got = party.receive(&mut self.browser, parcel);
            got.qos = got.qos.or(expected.qos);
            assert_eq!(got, expected, "{} got from {sender}", party.name());
        }
    }

    /// Nobody has got more than was waited for.
    fn finish(mut self) {
        let last = Parcel::new(self.server.directory(), 3, true);
        self.pass(0, &last, 2);
        for party in &mut self.parties {
            let more = match party {
                Party::Mosquitto { listener, .. } => listener.unclaimed().to_vec(),
                Party::MqttJs { client, .. } => client.unclaimed().to_vec(),
                Party::PahoPage | Party::ActionPage => continue,
            };
            assert!(!more.iter().any(is_message), "{}: {more:?}", party.name());
        }
        let more = self.browser.unclaimed();
        assert!(!more.iter().any(|event| is_message(event) || event["event"] == "pageerror"), "{more:?}");
    }
}

fn is_message(event: &Value) -> bool {
    event["event"] == "message" || event["text"].as_str().is_some_and(|text| text.starts_with("message "))
}

impl Parcel {
    fn new(directory: &Path, length: usize, is_text: bool) -> Self {
        let bytes = payload(length, is_text);
        let file = directory.join(format!("payload-{length}-{is_text}"));
        std::fs::write(&file, &bytes).expect("a writable file");
        Self { file, bytes, is_text }
    }
}

fn mosquitto(server: &Server, version: &'static str) -> Party {
    // Every message on a line: QoS and the payload in hex.
    let arguments = ["-V", version, "-t", TOPIC, "-q", "2", "-F", "message %q %x"];
    Party::Mosquitto {
        version,
        listener: Puppet::mosquitto_sub(server, &arguments),
        port: server.address("mqtt").port(),
    }
}

fn mqtt_js(server: &Server, scheme: &str, version: u8) -> Party {
    let name = format!("MQTT.js over {scheme}, protocol {version}");
    let url = server.url(scheme, "/mqtt").replace("127.0.0.1", "localhost");
    let options = json!({ "protocolVersion": version, "clientId": name });
    let mut client = Puppet::mqtt_js(&name, &url, options, &server.authority_file());
    client.expect("connected");
    client.tell(&json!({ "do": "subscribe", "filter": TOPIC, "qos": 2 }));
    client.expect("subscribed");
    Party::MqttJs { name, client }
}

fn open_paho_page(server: &Server, browser: &mut Puppet) {
    browser.open("paho", &server.url("https", "/article-one.html?version=4&id=paho"));
    browser.expect_from("paho", "connected");
    browser.evaluate("paho", "subscribe(argument, 2)", json!(TOPIC));
    browser.expect_from("paho", "subscribed");
}

fn open_action_page(server: &Server, browser: &mut Puppet) {
    browser.open("action", &server.url("https", "/article-two.html"));
    browser.expect_from("action", "open");
    // Beside the page's own listener, which only knows Topic and Payload, one that sees all of a delivery.
    let script = "
        const reports = [];
        let reported = Promise.resolve();
        socket.addEventListener('message', (message) => {
            const { Action, Topic, Payload, Encoding } = JSON.parse(message.data);
            if (Action !== 'publish' || Topic !== argument) return;
            reported = reported.then(async () => {
                const bytes = Encoding === 'base64'
                    ? Uint8Array.from(atob(Payload), (character) => character.charCodeAt(0))
                    : new TextEncoder().encode(Payload);
                const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
                const digest = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
                console.log(JSON.stringify({ event: 'message', encoding: Encoding, length: bytes.length, digest }));
            });
        });
        return await new Promise((done) => {
            socket.addEventListener('message', (message) => {
                if (JSON.parse(message.data).Id === 'listening') done(true);
            });
            socket.send(JSON.stringify({ Action: 'subscribe', Topic: argument, Id: 'listening' }));
        });";
    assert_eq!(browser.evaluate("action", script, json!(TOPIC)), true);
}

impl Party {
    fn name(&self) -> String {
        match self {
            Self::Mosquitto { version, .. } => format!("mosquitto ({version})"),
            Self::MqttJs { name, .. } => name.clone(),
            Self::PahoPage => "the paho page".to_owned(),
            Self::ActionPage => "the page of 2018".to_owned(),
        }
    }

    fn publish(&mut self, browser: &mut Puppet, parcel: &Parcel, qos: u8) {
        let encoded = BASE64.encode(&parcel.bytes);
        match self {
            Self::Mosquitto { version, port, .. } => mosquitto_pub(version, *port, parcel, qos),
            Self::MqttJs { client, .. } => {
                client.tell(&json!({ "do": "publish", "topic": TOPIC, "payload": encoded, "qos": qos }));
                client.expect("published");
            }
            Self::PahoPage => {
                let script = "publish(argument.topic, Uint8Array.from(atob(argument.payload), (c) => c.charCodeAt(0)), argument.qos)";
                browser.evaluate("paho", script, json!({ "topic": TOPIC, "payload": encoded, "qos": qos }));
            }
            Self::ActionPage => {
                let mut message = json!({ "Action": "publish", "Topic": TOPIC, "QoS": qos });
                if parcel.is_text {
                    message["Payload"] = json!(std::str::from_utf8(&parcel.bytes).expect("text"));
                } else {
                    message["Payload"] = json!(encoded);
                    message["Encoding"] = json!("base64");
                }
                browser.evaluate("action", "socket.send(JSON.stringify(argument))", message);
            }
        }
    }

    fn receive(&mut self, browser: &mut Puppet, parcel: &Parcel) -> Got {
        match self {
            Self::Mosquitto { listener, .. } => {
                let line = listener
                    .wait("a message", |event| event["text"].as_str().is_some_and(|text| text.starts_with("message ")));
                parse_mosquitto(line["text"].as_str().expect("a line"))
            }
            Self::MqttJs { client, .. } => parse_reported(&client.expect("message")),
            Self::PahoPage => parse_reported(&browser.expect_from("paho", "message")),
            Self::ActionPage => {
                let message = browser.expect_from("action", "message");
                let is_plain = message["encoding"].is_null();
                assert_eq!(
                    is_plain,
                    std::str::from_utf8(&parcel.bytes).is_ok(),
                    "text goes as it is, other bytes as base64"
                );
                parse_reported(&message)
            }
        }
    }
}

fn mosquitto_pub(version: &str, port: u16, parcel: &Parcel, qos: u8) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-V", version, "-t", TOPIC, "-q", &qos.to_string(), "-p", &port.to_string()]);
    // -f refuses an empty file; -n is how the tool spells an empty message.
    if parcel.bytes.is_empty() {
        command.arg("-n")
    } else {
        command.arg("-f").arg(&parcel.file)
    };
    let output = command.stdin(Stdio::null()).output().expect("mosquitto_pub, which tests/run installs");
    assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
}

fn parse_mosquitto(line: &str) -> Got {
    let mut words = line.split(' ').skip(1);
    let qos = words.next().and_then(|qos| qos.parse().ok());
    let hex = words.next().unwrap_or_default();
    let byte = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("hex");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    Got { digest: digest(&bytes), length: bytes.len() as u64, qos }
}

fn parse_reported(event: &Value) -> Got {
    Got {
        digest: event["digest"].as_str().expect("a digest").to_owned(),
        length: event["length"].as_u64().expect("a length"),
        qos: event["qos"].as_u64(),
    }
}

fn everyone_passes(length: usize) {
    let mut exchange = Exchange::start();
    let parcels = [true, false].map(|is_text| Parcel::new(exchange.server.directory(), length, is_text));
    for from in 0..exchange.parties.len() {
        for parcel in &parcels {
            for qos in 0..=2 {
                exchange.pass(from, parcel, qos);
            }
        }
    }
    exchange.finish();
}

#[test]
fn nothing_at_all() {
    everyone_passes(0);
}

#[test]
fn one_byte() {
    everyone_passes(1);
}

#[test]
fn sixty_four_kibibytes() {
    everyone_passes(64 << 10);
}

#[test]
fn a_mebibyte() {
    everyone_passes(1 << 20);
}

#[test]
fn mqtt_js_sees_the_properties_that_another_sent() {
    let server = Setup::new().start();
    let Party::MqttJs { client: mut sender, .. } = mqtt_js(&server, "wss", 5) else { unreachable!("made as MQTT.js") };
    let Party::MqttJs { client: mut receiver, .. } = mqtt_js(&server, "ws", 5) else { unreachable!("made as MQTT.js") };
    let properties = json!({ "contentType": "text/plain", "userProperties": { "colour": ["sea", "green"] } });
    sender.tell(&json!({ "do": "publish", "topic": TOPIC, "payload": "", "qos": 1, "properties": properties }));
    let message = receiver.expect("message");
    assert_eq!(message["contentType"], "text/plain");
    assert_eq!(message["userProperties"], json!({ "colour": ["sea", "green"] }));
}
