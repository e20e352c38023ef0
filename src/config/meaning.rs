//! From the configuration as written to the one that is meant.

use std::time::Duration;

use super::listen::{self, is_loopback};
use super::meant::Config;
use super::routes::{origin_rule, routes};
use super::sources::Origin;
use super::tls;
use super::written::{Typed, Written};
use crate::admin::AdminConfig;
use crate::auth::jwt::Rules;
use crate::auth::{AuthConfig, CertificateName, JwtConfig, Method};
use crate::connection::{ConnectionConfig, ResponseInformation, Revoked};
use crate::edge::{
    AddressLimits, CertificateSource, EdgeConfig, EdgeLimits, ForwardedField, ListenerConfig, RouteAction, TokenSources,
};
use crate::engine::{EngineConfig, QueueFull};
use crate::fault::Fault;
use crate::telemetry::{LogConfig, LogFormat};

/// Gives `root` its meaning; what it leaves to be concluded is added to it.
///
/// The result holds only if `faults` is still empty.
pub(super) fn config(root: &mut Written, faults: &mut Vec<Fault>) -> Config {
    let edge = edge(root, faults);
    let admin = AdminConfig { listen: listen::admin(section(root, "admin"), faults) };
    timeouts(root, faults);
    if !faults.iter().any(concerns_exposure) {
        exposure(root, &edge, faults);
    }
    let anonymous = anonymous(root, &edge);
    let auth = auth(section(root, "auth"), anonymous, certificates(root, &edge), faults);
    let drain_timeout = duration(section(root, "limits"), "drain_timeout");
    Config {
        edge,
        connection: connection(root, faults),
        engine: engine(section(root, "engine")),
        auth,
        policy: root.path("policy"),
        admin,
        log: log(section(root, "log")),
        sys_interval: duration(section(root, "engine"), "sys_interval"),
        // Who is told last needs time to leave, too.
        drain_window: duration(section(root, "limits"), "drain_window").min(drain_timeout / 2),
        handover_timeout: duration(section(root, "limits"), "handover_timeout"),
        drain_timeout,
    }
}

fn auth(auth: &Written, anonymous: bool, certificates: Option<CertificateName>, faults: &mut Vec<Fault>) -> AuthConfig {
    let jwt = section(auth, "jwt");
    let is_written = |key: &&&str| jwt.get(key).is_some_and(|written| written.origin != Origin::Default);
    if let (None, Some(key)) = (jwt.get("keys"), ["audience", "issuer", "cookie"].iter().find(is_written)) {
        faults.extend(
            jwt.get(key).map(|written| written.fault("without keys no token is taken", "auth.jwt.keys as well")),
        );
    }
    AuthConfig {
        anonymous,
        passwords: auth.path("passwords"),
        jwt: jwt.path("keys").map(|keys| JwtConfig {
            keys,
            rules: Rules {
                audience: jwt.text("audience").map(Into::into),
                issuer: jwt.text("issuer").map(Into::into),
                username_claim: jwt.text("username_claim").unwrap_or_default().into(),
                leeway: duration(jwt, "leeway"),
                token_bytes_max: size(jwt, "token_bytes_max"),
            },
            refresh: duration(jwt, "refresh"),
        }),
        certificates,
        order: order(auth, certificates.is_some(), faults),
        hashing_max: count(auth, "hashing_max"),
    }
}

/// The methods in their order: each once, and every one that is configured.
fn order(auth: &Written, takes_certificates: bool, faults: &mut Vec<Fault>) -> Vec<Method> {
    let mut order = Vec::new();
    for item in auth.items("order") {
        let method = Method::ALL.into_iter().find(|method| item.as_text() == Some(method.name()));
        match method {
            Some(method) if order.contains(&method) => faults.push(item.fault("is given twice", "each method once")),
            method => order.extend(method),
        }
    }
    for (method, is_configured) in [
        (Method::Jwt, is_token_taken(auth)),
        (Method::Certificates, takes_certificates),
        (Method::Passwords, auth.get("passwords").is_some()),
    ] {
        if let (Some(written), true) = (auth.get("order"), is_configured && !order.contains(&method)) {
            let name = method.name();
            faults.push(written.fault(format!("{name} is configured and is not in it"), format!("{name} as well")));
        }
    }
    order
}

fn is_token_taken(auth: &Written) -> bool {
    section(auth, "jwt").get("keys").is_some()
}

/// Which name of a client certificate is the username, if any listener asks for certificates and they are to say it.
fn certificates(root: &Written, edge: &EdgeConfig) -> Option<CertificateName> {
    let asks = |listener: &ListenerConfig| edge.tls_of(listener).is_some_and(|tls| tls.clients.is_some());
    let username = section(section(root, "auth"), "certificates").text("username")?;
    let name = CertificateName::ALL.into_iter().find(|name| name.name() == username);
    name.filter(|_| edge.listeners.iter().any(asks))
}

/// Whether anybody can say who he is.
fn has_method(root: &Written, edge: &EdgeConfig) -> bool {
    let auth = section(root, "auth");
    auth.get("passwords").is_some() || is_token_taken(auth) || certificates(root, edge).is_some()
}

fn edge(root: &Written, faults: &mut Vec<Fault>) -> EdgeConfig {
    let limits = section(root, "limits");
    let auth = section(root, "auth");
    EdgeConfig {
        tokens: is_token_taken(auth).then(|| tokens(section(auth, "jwt"), faults)),
        listeners: listen::listeners(root, faults),
        tls: tls::tls(section(root, "tls"), faults).unwrap_or_default(),
        routes: routes(root, faults),
        origins: section(root, "websocket")
            .get("origins")
            .and_then(|rule| origin_rule(rule, faults))
            .unwrap_or_default(),
        trusted_proxies: listen::networks(root, "trusted_proxies", faults),
        forwarded_field: match root.text("forwarded_field") {
            Some("forwarded") => ForwardedField::Forwarded,
            _ => ForwardedField::XForwardedFor,
        },
        limits: EdgeLimits {
            connections_max: count(limits, "connections_max"),
            handshaking_max: count(limits, "handshaking_max"),
            handshake_age_min: duration(limits, "handshake_age_min"),
            proxy_header_timeout: duration(limits, "proxy_header_timeout"),
            tls_handshake_timeout: duration(limits, "tls_handshake_timeout"),
            http_head_timeout: duration(limits, "http_head_timeout"),
            http_idle_timeout: duration(limits, "http_idle_timeout"),
            http_head_bytes_max: size(limits, "http_head_bytes_max"),
            http_headers_max: count(limits, "http_headers_max"),
            addresses: AddressLimits {
                connects_per_s: count(limits, "address_connects_per_s"),
                connects_burst: count(limits, "address_connects_burst"),
                connections_max: count(limits, "connections_per_address_max"),
                handshaking_max: count(limits, "handshaking_per_address_max"),
                exempt: listen::networks(limits, "addresses_exempt", faults),
                remembered_max: count(limits, "addresses_remembered_max"),
            },
            backlog: count(limits, "backlog"),
        },
    }
}

fn tokens(jwt: &Written, faults: &mut Vec<Fault>) -> TokenSources {
    // RFC 6265 §4.1.1: a token of HTTP.
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if let Some(written) = jwt.get("cookie").filter(|written| !written.as_text().is_some_and(is_name)) {
        faults.push(written.fault("cannot be the name of a cookie", "a name without spaces, = and ;"));
    }
    TokenSources { cookie: jwt.text("cookie").map(str::to_owned) }
}

fn connection(root: &Written, faults: &mut Vec<Fault>) -> ConnectionConfig {
    let jwt = section(section(root, "auth"), "jwt");
    let (limits, engine, websocket) = (section(root, "limits"), section(root, "engine"), section(root, "websocket"));
    let mqtt = section(root, "mqtt");
    let keep_alive_max_s = limits.duration("keep_alive_max").map_or(0, |longest| longest.as_secs());
    ConnectionConfig {
        connect_timeout: duration(limits, "connect_timeout"),
        idle_timeout: duration(limits, "idle_timeout"),
        close_timeout: duration(limits, "close_timeout"),
        ping_interval: duration(websocket, "ping_interval"),
        do_pongs_keep_alive: websocket.flag("pongs_keep_alive").unwrap_or(true),
        outbox_bytes_max: size(limits, "outbox_bytes_max"),
        message_bytes_max: size(websocket, "message_bytes_max"),
        packet_bytes_max: size(engine, "packet_bytes_max"),
        connect_bytes_max: size(limits, "connect_bytes_max"),
        user_properties_max: count(limits, "user_properties_max"),
        filters_max: count(limits, "filters_max"),
        topic_alias_maximum: count(limits, "topic_aliases_max"),
        topic_aliases_out_max: count(limits, "topic_aliases_out_max"),
        envelopes_remembered_max: count(limits, "envelopes_remembered_max"),
        receive_maximum: count(engine, "inflight_max"),
        keep_alive_max_s: u16::try_from(keep_alive_max_s).unwrap_or(u16::MAX),
        session_expiry_max: duration(engine, "session_expiry_max"),
        token_warning: duration(jwt, "warning"),
        token_grace: duration(jwt, "grace"),
        revoked: match mqtt.text("revoked") {
            Some("keep") => Revoked::Keep,
            _ => Revoked::Disconnect,
        },
        response_information: response_information(mqtt, faults),
        has_long_client_ids: mqtt.flag("long_client_ids").unwrap_or_default(),
    }
}

fn response_information(mqtt: &Written, faults: &mut Vec<Fault>) -> Option<ResponseInformation> {
    let written = mqtt.get("response_information")?;
    match ResponseInformation::parse(written.as_text()?) {
        Ok(template) => Some(template),
        Err(error) => {
            let allowed = "the beginning of a topic, with ${username} or ${clientid} once a level";
            faults.push(written.fault(error.to_string(), allowed));
            None
        }
    }
}

fn engine(engine: &Written) -> EngineConfig {
    EngineConfig {
        queue_bytes_max: size(engine, "queue_bytes_max"),
        queue_full: match engine.text("queue_full") {
            Some("drop_oldest") => QueueFull::DropOldest,
            _ => QueueFull::DropNewest,
        },
        inflight_max: count(engine, "inflight_max"),
        sessions_max: count(engine, "sessions_max"),
        subscriptions_max: count(engine, "subscriptions_max"),
        subscription_bytes_max: size(engine, "subscription_bytes_max"),
        retained_messages_max: count(engine, "retained_messages_max"),
        retained_bytes_max: size(engine, "retained_bytes_max"),
        session_expiry_max: duration(engine, "session_expiry_max"),
    }
}

fn log(log: &Written) -> LogConfig {
    LogConfig {
        level: log.text("level").and_then(|level| level.parse().ok()).unwrap_or(LogConfig::default().level),
        format: if log.text("format") == Some("json") { LogFormat::Json } else { LogFormat::Text },
    }
}

/// Whether clients without credentials come in; what is unset is concluded, and added to `root` as its default.
fn anonymous(root: &mut Written, edge: &EdgeConfig) -> bool {
    let auth = section(root, "auth");
    if let Some(written) = auth.flag("anonymous") {
        return written;
    }
    let concluded = !has_method(root, edge);
    let written = Written { typed: Typed::Flag(concluded), origin: Origin::Default, path: "auth.anonymous".to_owned() };
    if let Typed::Section(root) = &mut root.typed
        && let Some(Typed::Section(auth)) = root.get_mut("auth").map(|auth| &mut auth.typed)
    {
        auth.insert("anonymous", written);
    }
    concluded
}

/// Refuses timeouts that would undo each other.
fn timeouts(root: &Written, faults: &mut Vec<Fault>) {
    let (limits, websocket) = (section(root, "limits"), section(root, "websocket"));
    if duration(limits, "idle_timeout") <= duration(websocket, "ping_interval") {
        let both = [limits.get("idle_timeout"), websocket.get("ping_interval")];
        let written = both.into_iter().flatten().find(|written| written.origin != Origin::Default);
        let allowed =
            "limits.idle_timeout longer than websocket.ping_interval, or silent pages are cut before they are pinged";
        faults.extend(
            written.map(|written| written.fault("the ping interval is not shorter than the idle timeout", allowed)),
        );
    }
}

/// Whether the fault may hide what [`exposure`] asks for; what is nowhere may be a misspelt anything.
fn concerns_exposure(fault: &Fault) -> bool {
    let section = fault.key.split(['.', '[']).next().unwrap_or_default();
    matches!(section, "" | "listen" | "tls" | "routes" | "auth" | "policy")
}

/// Holds the rule that what others can reach asks who they are, or says expressly that it does not, and has a policy in either case.
fn exposure(root: &Written, edge: &EdgeConfig, faults: &mut Vec<Fault>) {
    let serves =
        |route: &crate::edge::RouteConfig| matches!(route.action, RouteAction::ServeMqtt | RouteAction::ServeJson);
    let leads_in =
        |listener: &ListenerConfig| !listener.scheme.is_http() || edge.routes_of(listener).iter().any(serves);
    let exposed: Vec<(&ListenerConfig, &Written)> = edge
        .listeners
        .iter()
        .zip(root.items("listen"))
        .filter(|(listener, _)| !is_loopback(&listener.address))
        .collect();

    if let Some((listener, written)) = exposed.iter().find(|(listener, _)| leads_in(listener)) {
        let auth = section(root, "auth");
        let url = &listener.url;
        if !has_method(root, edge) && auth.flag("anonymous") != Some(true) {
            let allowed =
                "auth.passwords, or auth.jwt.keys, or tls.client_ca, or auth.anonymous: true, or a loopback address";
            faults.push(
                written.fault(format!("{url} is not loopback, and nobody there has to say who they are"), allowed),
            );
        }
        if root.get("policy").is_none() {
            let found = format!("{url} is not loopback, and no policy says what is allowed there");
            faults.push(written.fault(found, "policy with a file, or a loopback address"));
        }
    }
    let untrusted = |listener: &ListenerConfig| {
        let certificates = edge.tls_of(listener).map(|tls| &tls.certificates);
        matches!(certificates, Some(CertificateSource::Development { .. }))
    };
    if let Some((listener, written)) = exposed.iter().find(|(listener, _)| untrusted(listener)) {
        let found = format!("{} is not loopback, and the development certificate is for localhost", listener.url);
        faults.push(written.fault(found, "tls.cert and tls.key, or a loopback address"));
    }
    if let Some(written) = section(root, "auth").get("anonymous")
        && written.typed == Typed::Flag(false)
        && !has_method(root, edge)
    {
        let allowed = "auth.passwords, auth.jwt.keys or tls.client_ca as well";
        faults.push(written.fault("false without a method of authentication: nobody could come in", allowed));
    }
}

// What follows reads keys that the table gives a default, so that they are always there; a test reads every one of them.

fn section<'a>(root: &'a Written, key: &str) -> &'a Written {
    root.get(key).expect("a section of the table is set by default")
}

fn duration(section: &Written, key: &str) -> Duration {
    section.duration(key).expect("a duration with a default is set")
}

fn count<T: TryFrom<u64>>(section: &Written, key: &str) -> T {
    let count = section.count(key).expect("a count with a default is set");
    T::try_from(count).ok().expect("the table's bounds are within the type's")
}

fn size<T: TryFrom<u64>>(section: &Written, key: &str) -> T {
    let bytes = section.size(key).expect("a size with a default is set");
    T::try_from(bytes).ok().expect("the table's bounds are within the type's")
}
