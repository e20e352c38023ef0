//! Enhanced authentication (MQTT 5.0 §4.12): SCRAM-SHA-256, by a client written from RFC 5802 and by MQTT.js with node's cryptography.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate::mqtt::packet::{Auth, ConnAck, Connect};
use tidegate::mqtt::property::AuthProperties;
use tidegate::mqtt::{Packet, ReasonCode, Version};

use crate::harness::server::tidegate;
use crate::harness::{Client, Over, Puppet, Server, Setup, mqtt, puppet};

const METHOD: &str = "SCRAM-SHA-256";

/// A server with `anna`, who has a SCRAM verifier that our own command wrote, and `old`, who has a hash of mosquitto's.
fn start(sections: &[(&str, &str)]) -> Server {
    let mut setup = Setup::new().users(&[("old", "hat")]);
    for (name, yaml) in sections {
        setup = setup.section(name, yaml);
    }
    let file = setup.directory().join("passwords");
    let mut command = tidegate();
    command.arg("passwd").arg(file).args(["anna", "--scram", "--iterations", "4096", "--stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the tidegate binary");
    writeln!(child.stdin.take().expect("a pipe"), "pässwörd").expect("a running child");
    assert!(child.wait().expect("a child").success());
    setup.start()
}

fn first(username: &str) -> String {
    format!("n,,n={username},r=fyko+d2lbbFgONRv9qkxdawL")
}

fn sign(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// client-final and the server-final that a true server sends (RFC 5802 §3).
fn last(username: &str, password: &str, server_first: &str) -> (String, String) {
    let attribute =
        |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).expect("an attribute");
    let salt = BASE64.decode(attribute("s=")).expect("base64");
    let mut salted = [0; 32];
    let iterations = attribute("i=").parse().expect("a number");
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
    let without_proof = format!("c=biws,r={}", attribute("r="));
    let signed = format!("{},{server_first},{without_proof}", first(username).trim_start_matches("n,,"));
    let key = sign(&salted, "Client Key");
    let signature = sign(&Sha256::digest(key), &signed);
    let proof: Vec<u8> = key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    let server = sign(&sign(&salted, "Server Key"), &signed);
    (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(server)))
}

fn connect_by(method: &str, data: &str) -> Connect {
    let mut connect = mqtt::connect(Version::V5, "scram");
    connect.properties.authentication_method = Some(method.into());
    connect.properties.authentication_data = Some(Bytes::copy_from_slice(data.as_bytes()));
    connect
}

fn auth(reason: ReasonCode, data: &str) -> Packet<'static> {
    let properties = AuthProperties {
        authentication_method: Some(METHOD.into()),
        authentication_data: Some(Bytes::copy_from_slice(data.as_bytes())),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason, properties })
}

/// The data of the AUTH that comes next.
fn expect_auth(client: &mut Client, reason: ReasonCode) -> String {
    match client.receive() {
        Packet::Auth(auth) => {
            assert_eq!(auth.reason, reason, "{auth:?}");
            assert_eq!(auth.properties.authentication_method.as_deref(), Some(METHOD));
            String::from_utf8(auth.properties.authentication_data.expect("data").to_vec()).expect("text")
        }
        other => panic!("{other:?} instead of AUTH"),
    }
}

fn expect_connack(client: &mut Client) -> ConnAck {
    match client.receive() {
        Packet::ConnAck(answer) => *answer,
        other => panic!("{other:?} instead of CONNACK"),
    }
}

/// Goes as far as client-final, which is sent; returns the server-final to expect.
fn prove(client: &mut Client, username: &str, password: &str) -> String {
    let server_first = expect_auth(client, ReasonCode::ContinueAuthentication);
    let (client_final, server_final) = last(username, password, &server_first);
    client.send(&auth(ReasonCode::ContinueAuthentication, &client_final));
    server_final
}

fn begin(server: &Server, over: Over, username: &str) -> Client {
    let mut client = Client::open(server, over, Version::V5);
    client.send(&Packet::Connect(Box::new(connect_by(METHOD, &first(username)))));
    client
}

#[test]
fn client_and_server_prove_themselves_over_every_transport() {
    let server = start(&[]);
    for over in Over::ALL {
        let mut client = begin(&server, over, "anna");
        let server_final = prove(&mut client, "anna", "pässwörd");
        let answer = expect_connack(&mut client);
        assert_eq!(answer.reason, ReasonCode::Success, "{over:?}");
        assert_eq!(answer.properties.authentication_method.as_deref(), Some(METHOD));
        assert_eq!(answer.properties.authentication_data.as_deref(), Some(server_final.as_bytes()));

        // Again, in session, with something else between.
        client.send(&auth(ReasonCode::ReAuthenticate, &first("anna")));
        let server_first = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
        client.expect_nothing();
        let (client_final, server_final) = last("anna", "pässwörd", &server_first);
        client.send(&auth(ReasonCode::ContinueAuthentication, &client_final));
        assert_eq!(expect_auth(&mut client, ReasonCode::Success), server_final);
        client.expect_nothing();

        client.send(&auth(ReasonCode::ReAuthenticate, &first("anna")));
        prove(&mut client, "anna", "wrong");
        client.expect_disconnect(ReasonCode::NotAuthorized);
    }
    server.wait_for_metric("tidegate_auth_answers_total{answer=\"accepted\"}", |count| count == 8.0);
    server.wait_for_metric("tidegate_auth_answers_total{answer=\"not_proven\"}", |count| count == 4.0);
}

#[test]
fn who_exists_cannot_be_told_from_the_answers() {
    let server = start(&[]);
    let challenge = |username: &str| {
        let mut client = begin(&server, Over::Tcp, username);
        let server_first = expect_auth(&mut client, ReasonCode::ContinueAuthentication);
        let (client_final, _) = last(username, "hat", &server_first);
        client.send(&auth(ReasonCode::ContinueAuthentication, &client_final));
        assert_eq!(expect_connack(&mut client).reason, ReasonCode::NotAuthorized, "{username}");
        client.expect_closed();
        // Without the nonce, which differs each time.
        server_first.split_once(",s=").expect("a salt").1.to_owned()
    };
    let known = challenge("anna");
    for username in ["old", "nobody", "anonymous", "#"] {
        let answer = challenge(username);
        assert_eq!(challenge(username), answer, "the same each time: {username}");
        assert_ne!(answer, known);
        assert_eq!(answer.len(), known.len(), "salt and iterations look alike: {username}");
    }
}

#[test]
fn the_same_entry_takes_a_plain_password() {
    let server = start(&[]);
    for (version, username, password, is_let_in) in [
        (Version::V3, "anna", "pässwörd", true),
        (Version::V4, "anna", "pässwörd", true),
        (Version::V5, "anna", "pässwörd", true),
        (Version::V4, "anna", "passwort", false),
        (Version::V4, "old", "hat", true),
    ] {
        let mut connect = mqtt::connect(version, "plain");
        connect.login = mqtt::login(username, password);
        let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert_eq!(answer.reason == ReasonCode::Success, is_let_in, "{username} {version}");
    }
}

#[test]
fn a_method_nobody_can_use_is_not_offered() {
    let refused = |server: &Server, method: &str| {
        let (mut client, answer) = Client::try_connect(server, Over::Ws, connect_by(method, &first("anna")));
        assert_eq!(answer.reason, ReasonCode::BadAuthenticationMethod, "{method}");
        client.expect_closed();
    };
    refused(&start(&[]), "GS2-KRB5");
    // A password file without a verifier, and none at all, where everybody else comes in.
    refused(&Setup::new().users(&[("old", "hat")]).start(), METHOD);
    refused(&Setup::new().start(), METHOD);
}

#[test]
fn an_exchange_costs_little_until_it_has_succeeded() {
    let server = start(&[]);
    // What is announced beyond the limit of those who are not known yet is refused at its header.
    let mut client = begin(&server, Over::Tcp, "anna");
    expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    client.send_bytes(&[0xF0, 0x80, 0x80, 0x01]);
    assert_eq!(expect_connack(&mut client).reason, ReasonCode::PacketTooLarge);
    client.expect_closed();
    // Packets that come along with CONNECT do not wait for its end.
    let mut client = Client::open(&server, Over::Tcp, Version::V5);
    let connect = Packet::Connect(Box::new(connect_by(METHOD, &first("anna"))));
    client.send_bytes(&[mqtt::bytes(&connect, Version::V5), vec![0xC0, 0]].concat());
    expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    assert_eq!(expect_connack(&mut client).reason, ReasonCode::ProtocolError);
    client.expect_closed();
    // Nor does an exchange hold its place for longer than a CONNECT may take.
    let server = start(&[("limits", "{ connect_timeout: 300ms }")]);
    let mut client = begin(&server, Over::Wss, "anna");
    expect_auth(&mut client, ReasonCode::ContinueAuthentication);
    client.expect_closed();
    server.wait_for_metric("tidegate_connection_open", |count| count == 0.0);
}

#[test]
fn an_exchange_keeps_its_seat_among_the_handshakes_until_connack() {
    let server = start(&[("limits", "{ handshaking_max: 1, handshake_age_min: 0s }")]);
    let mut slow = begin(&server, Over::Tcp, "anna");
    expect_auth(&mut slow, ReasonCode::ContinueAuthentication);
    // There is one seat, and the older gives way.
    let mut quick = begin(&server, Over::Tcp, "anna");
    slow.expect_closed();
    prove(&mut quick, "anna", "pässwörd");
    assert_eq!(expect_connack(&mut quick).reason, ReasonCode::Success);
    // Who is let in sits there no longer, not even while renewing.
    quick.send(&auth(ReasonCode::ReAuthenticate, &first("anna")));
    expect_auth(&mut quick, ReasonCode::ContinueAuthentication);
    let mut next = begin(&server, Over::Tcp, "anna");
    expect_auth(&mut next, ReasonCode::ContinueAuthentication);
    quick.expect_nothing();
}

fn mqtt_js(server: &Server, scheme: &str, username: &str, password: &str) -> Puppet {
    let url = server.url(scheme, if scheme.starts_with("ws") { "/mqtt" } else { "" }).replace("127.0.0.1", "localhost");
    let argument = json!({ "url": url, "username": username, "password": password, "ca": server.authority_file() });
    let mut command = Command::new("node");
    command.arg(puppet::script("mqtt_js_scram.mjs")).arg(argument.to_string());
    Puppet::start(&format!("MQTT.js over {scheme}"), command)
}

#[test]
fn mqtt_js_proves_itself_and_renews() {
    let server = start(&[]);
    for scheme in ["mqtt", "wss"] {
        let mut client = mqtt_js(&server, scheme, "anna", "pässwörd");
        let connected = client.expect("connected");
        assert_eq!((&connected["method"], &connected["isProven"]), (&json!(METHOD), &json!(true)), "{connected}");
        client.tell(&json!({ "do": "renew" }));
        client.tell(&json!({ "do": "ping" }));
        assert_eq!(client.expect("renewed")["isProven"], true);
        client.expect("echo");
    }
    let mut stranger = mqtt_js(&server, "mqtt", "anna", "wrong");
    assert_eq!(stranger.expect("refused")["code"], 0x87);
}
