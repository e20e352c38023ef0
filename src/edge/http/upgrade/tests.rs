use hyper::Request;

use super::*;
use crate::edge::config::OriginRule;

const MQTT: &[&str] = &["mqtt", "mqttv3.1"];

/// A sound opening handshake, with fields set, added or (by an empty list) removed.
struct Handshake(request::Parts);

impl Handshake {
    fn new() -> Self {
        let request = Request::get("/mqtt")
            .header("Host", "tide.example")
            .header("Upgrade", "websocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        Self(request.body(()).expect("the request is sound").into_parts().0)
    }

    fn with(mut self, name: &'static str, values: &[&[u8]]) -> Self {
        self.0.headers.remove(name);
        for value in values {
            self.0.headers.append(name, HeaderValue::from_bytes(value).expect("the value fits a field"));
        }
        self
    }

    fn check(&self, subprotocols: &[&'static str]) -> Result<Option<&'static str>, (u16, Cause)> {
        let origins = Origins::new(&OriginRule::Same).expect("the rule is sound");
        let own_origin = Origin::new("https", b"tide.example");
        let requirements = Requirements { origins: &origins, own_origin: own_origin.as_ref(), subprotocols };
        let checked = check(&self.0, &requirements);
        checked.map(|checked| checked.subprotocol).map_err(|refusal| (refusal.status.as_u16(), refusal.cause))
    }
}

#[test]
fn a_sound_handshake_passes() {
    assert_eq!(Handshake::new().check(MQTT), Ok(None));
    assert_eq!(Handshake::new().with("Upgrade", &[b"h2c, WebSocket"]).check(MQTT), Ok(None));
    assert_eq!(Handshake::new().with("Connection", &[b"keep-alive", b"upgrade"]).check(MQTT), Ok(None));
    assert_eq!(Handshake::new().with("Content-Length", &[b"0"]).check(MQTT), Ok(None));
}

#[test]
fn each_requirement_is_required() {
    let cases: &[(&'static str, &[&[u8]], u16)] = &[
        ("Upgrade", &[b"h2c"], 426),
        ("Upgrade", &[b"websocketx"], 426),
        ("Upgrade", &[b"\xff"], 426),
        ("Connection", &[], 400),
        ("Connection", &[b"close"], 400),
        ("Connection", &[b"upgrades"], 400),
        ("Sec-WebSocket-Version", &[], 426),
        ("Sec-WebSocket-Version", &[b"8"], 426),
        ("Sec-WebSocket-Version", &[b"13, 8"], 426),
        ("Sec-WebSocket-Version", &[b"13", b"13"], 426),
        ("Sec-WebSocket-Key", &[], 400),
        ("Sec-WebSocket-Key", &[b"xx"], 400),
        ("Sec-WebSocket-Key", &[b""], 400),
        ("Sec-WebSocket-Key", &[b"dGhlIHNhbXBsZSBub25jZTEyMw=="], 400),
        ("Sec-WebSocket-Key", &[b"dGhlIHNhbXBsZSBub25jZTE9"], 400),
        ("Sec-WebSocket-Key", &[b"dGhlIHNhbXBsZSBub25j\xff\xff=="], 400),
        ("Sec-WebSocket-Key", &[b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ=="], 400),
        ("Content-Length", &[b"5"], 400),
        ("Content-Length", &[b"+0"], 400),
        ("Transfer-Encoding", &[b"chunked"], 400),
    ];
    for &(name, values, status) in cases {
        let refused = Handshake::new().with(name, values).check(MQTT);
        assert_eq!(refused, Err((status, Cause::Malformed)), "{name}: {values:?}");
    }
}

#[test]
fn a_look_with_a_browser_is_no_fault() {
    assert_eq!(Handshake::new().with("Upgrade", &[]).check(MQTT), Err((426, Cause::NoUpgrade)));
}

#[test]
fn the_version_spoken_is_named() {
    let origins = Origins::Any;
    let handshake = Handshake::new().with("Sec-WebSocket-Version", &[b"8"]);
    let requirements = Requirements { origins: &origins, own_origin: None, subprotocols: MQTT };
    let refusal = check(&handshake.0, &requirements).expect_err("version 8 is refused");
    assert_eq!(refusal.field, Some((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))));
}

#[test]
fn method_and_http_version_are_held_to() {
    for method in [Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let mut handshake = Handshake::new();
        handshake.0.method = method.clone();
        assert_eq!(handshake.check(MQTT), Err((405, Cause::Malformed)), "{method}");
    }
    let mut handshake = Handshake::new();
    handshake.0.version = Version::HTTP_10;
    assert_eq!(handshake.check(MQTT), Err((400, Cause::Malformed)));
}

#[test]
fn the_origin_is_one_and_allowed() {
    let own: &[u8] = b"https://tide.example";
    assert_eq!(Handshake::new().with("Origin", &[own]).check(MQTT), Ok(None));
    let refused: &[&[&[u8]]] = &[
        &[b"https://evil.example"],
        &[b"https://tide.example.evil"],
        &[b"https://tide.exampl"],
        &[b"http://tide.example"],
        &[b"null"],
        &[b""],
        &[b"\xff"],
        &[own, own],
        &[own, b"https://evil.example"],
    ];
    for origins in refused {
        assert_eq!(Handshake::new().with("Origin", origins).check(MQTT), Err((403, Cause::Origin)), "{origins:?}");
    }
}

#[test]
fn the_first_offered_subprotocol_that_is_spoken_is_chosen() {
    let hundred = vec!["x"; 99].join(",") + ", mqtt";
    let cases: &[(&[&[u8]], Option<&str>)] = &[
        (&[], None),
        (&[b""], None),
        (&[b" , ,"], None),
        (&[b"mqtt"], Some("mqtt")),
        (&[b"mqttv3.1"], Some("mqttv3.1")),
        (&[b"mqtt, mqttv3.1"], Some("mqtt")),
        (&[b"mqttv3.1,mqtt"], Some("mqttv3.1")),
        (&[b"mqtt, mqtt"], Some("mqtt")),
        (&[b"bearer.x", b"mqtt"], Some("mqtt")),
        (&[hundred.as_bytes()], Some("mqtt")),
    ];
    for (offers, expected) in cases {
        assert_eq!(Handshake::new().with("Sec-WebSocket-Protocol", offers).check(MQTT), Ok(*expected), "{offers:?}");
    }
}

#[test]
fn offers_nobody_speaks_are_refused() {
    let long = vec![b'a'; 30_000];
    let spaces = vec![b' '; 30_000];
    let refused: &[&[&[u8]]] =
        &[&[b"MQTT"], &[b"graphql-ws"], &[b"\xc3\xa9"], &[b"\xff\xfe"], &[b"a b"], &[b"mqtt x"], &[&long]];
    for offers in refused {
        let checked = Handshake::new().with("Sec-WebSocket-Protocol", offers).check(MQTT);
        assert_eq!(checked, Err((400, Cause::Subprotocol)), "{offers:.40?}");
    }
    assert_eq!(Handshake::new().with("Sec-WebSocket-Protocol", &[&spaces]).check(MQTT), Ok(None));
    assert_eq!(Handshake::new().check(&[]), Ok(None));
    let json = Handshake::new().with("Sec-WebSocket-Protocol", &[b"mqtt"]).check(&[]);
    assert_eq!(json, Err((400, Cause::Subprotocol)));
}
