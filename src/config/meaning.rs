//! From the configuration as written to the one that is meant.

use std::time::Duration;

use super::identity;
use super::listen::{self, is_loopback};
use super::meant::{Config, LoadConfig, ReloadConfig};
use super::routes::{origin_rule, routes};
use super::sources::Origin;
use super::tls;
use super::written::{Typed, Written};
use crate::admin::AdminConfig;
use crate::auth::{AuthConfig, CertificateName, Method};
use crate::connection::{ConnectionConfig, PenaltyConfig, ResponseInformation, Revoked, RosterLimits};
use crate::edge::{
    AddressLimits, CertificateSource, EdgeConfig, EdgeLimits, ForwardedField, ListenerConfig, RouteAction, TokenSources,
};
use crate::engine::{EngineConfig, QueueFull, SlowClients, WhenFull};
use crate::fault::Fault;
use crate::mqtt::TopicFilter;
use crate::telemetry::{LogConfig, LogFormat};

/// Gives `root` its meaning; what it leaves to be concluded is added to it.
///
/// The result holds only if `faults` is still empty.
pub(super) fn config(root: &mut Written, faults: &mut Vec<Fault>) -> Config {
    let edge = edge(root, faults);
    let admin = AdminConfig {
        listen: listen::admin(section(root, "admin"), faults),
        token_file: section(root, "admin").path("token_file"),
    };
    timeouts(root, faults);
    answer_timeout(root, faults);
    let certificates = certificates(root, &edge);
    if !faults.iter().any(concerns_exposure) {
        exposure(root, certificates.is_some(), &edge, faults);
    }
    let anonymous = anonymous(root, certificates.is_some());
    let auth = auth(section(root, "auth"), anonymous, certificates, faults);
    let drain_timeout = duration(section(root, "limits"), "drain_timeout");
    Config {
        edge,
        connection: connection(root, faults),
        engine: EngineConfig {
            slow_clients: slow_clients(section(root, "slow_clients"), faults),
            ..engine(section(root, "engine"))
        },
        load: LoadConfig {
            memory_max: section(root, "limits").size("memory_max"),
            lag_max: duration(section(root, "limits"), "lag_max"),
        },
        auth,
        policy: root.path("policy"),
        admin,
        log: log(section(root, "log")),
        reload: ReloadConfig {
            watch: section(root, "reload").flag("watch").unwrap_or(true),
            settle: duration(section(root, "reload"), "settle"),
        },
        sys_interval: duration(section(root, "engine"), "sys_interval"),
        // Who is told last needs time to leave, too.
        drain_window: duration(section(root, "limits"), "drain_window").min(drain_timeout / 2),
        handover_timeout: duration(section(root, "limits"), "handover_timeout"),
        drain_timeout,
    }
}

fn auth(auth: &Written, anonymous: bool, certificates: Option<CertificateName>, faults: &mut Vec<Fault>) -> AuthConfig {
    AuthConfig {
        anonymous,
        passwords: auth.path("passwords"),
        jwt: identity::jwt(auth, faults),
        http: identity::http(auth, faults),
        certificates,
        order: order(auth, certificates.is_some(), faults),
        hashing_max: count(auth, "hashing_max"),
        waiting_max: count(auth, "waiting_max"),
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
        (Method::Jwt, has_keys(auth)),
        (Method::Certificates, takes_certificates),
        (Method::Passwords, auth.get("passwords").is_some()),
        (Method::Http, is_asked(auth)),
    ] {
        if let (Some(written), true) = (auth.get("order"), is_configured && !order.contains(&method)) {
            let name = method.name();
            faults.push(written.fault(format!("{name} is configured and is not in it"), format!("{name} as well")));
        }
    }
    order
}

fn has_keys(auth: &Written) -> bool {
    section(auth, "jwt").get("keys").is_some()
}

/// Whether there is an HTTP server that is asked.
fn is_asked(auth: &Written) -> bool {
    section(auth, "http").get("url").is_some()
}

/// Whether a request may carry a token.
fn is_token_taken(auth: &Written) -> bool {
    has_keys(auth) || is_asked(auth)
}

/// Which name of a client certificate is the username, if any listener asks for certificates and they are to say it.
fn certificates(root: &Written, edge: &EdgeConfig) -> Option<CertificateName> {
    let asks = |listener: &ListenerConfig| edge.tls_of(listener).is_some_and(|tls| tls.clients.is_some());
    let username = section(section(root, "auth"), "certificates").text("username")?;
    let name = CertificateName::ALL.into_iter().find(|name| name.name() == username);
    name.filter(|_| edge.listeners.iter().any(asks))
}

/// Whether anybody can say who he is.
fn has_method(auth: &Written, takes_certificates: bool) -> bool {
    auth.get("passwords").is_some() || is_token_taken(auth) || takes_certificates
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
            tcp_keepalive: duration(limits, "tcp_keepalive"),
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
        ping_timeout: duration(websocket, "ping_timeout"),
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
        penalty: penalty(root),
        duplicate_client_id: listen::duplicate_client_id(mqtt).unwrap_or_default(),
        connections_per_user_max: limits.count("connections_per_user_max"),
        roster: RosterLimits {
            per_client_id_max: count(limits, "connections_per_client_id_max"),
            takeovers_max: count(limits, "takeovers_max"),
            takeovers_window: duration(limits, "takeovers_window"),
            takeovers_remembered_max: count(limits, "takeovers_remembered_max"),
        },
        rate_patience: duration(limits, "rate_patience"),
        revoked: match mqtt.text("revoked") {
            Some("keep") => Revoked::Keep,
            _ => Revoked::Disconnect,
        },
        response_information: response_information(mqtt, faults),
        has_long_client_ids: mqtt.flag("long_client_ids").unwrap_or_default(),
    }
}

fn penalty(root: &Written) -> PenaltyConfig {
    let penalty = section(section(root, "auth"), "penalty");
    PenaltyConfig {
        free_failures: count(penalty, "free_failures"),
        delay: duration(penalty, "delay"),
        delay_max: duration(penalty, "delay_max"),
        memory: duration(penalty, "memory"),
        remembered_max: count(section(root, "limits"), "addresses_remembered_max"),
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
        slow_clients: SlowClients::default(),
    }
}

fn slow_clients(slow_clients: &Written, faults: &mut Vec<Fault>) -> SlowClients {
    let items = slow_clients.items("topics");
    if let Some(written) = slow_clients.get("topics").filter(|_| items.len() > SLOW_TOPICS_MAX) {
        faults.push(written.fault(format!("{} items", items.len()), format!("at most {SLOW_TOPICS_MAX}")));
    }
    let topics = items.iter().filter_map(|item| {
        let (Some(filter), Some(when_full)) = (item.get("filter"), when_full(item)) else {
            // What is there and cannot stand has been told.
            if !faults.iter().any(|fault| fault.key.starts_with(&item.path)) {
                faults.push(item.fault("is not whole", "a mapping of filter and when_full"));
            }
            return None;
        };
        match TopicFilter::parse(filter.as_text()?) {
            Ok(parsed) if parsed.share_name().is_none() => return Some((parsed, when_full)),
            Ok(_) => faults.push(filter.fault("is of a Shared Subscription", "the Topic Filter alone")),
            Err(error) => faults.push(filter.fault(error.to_string(), "a Topic Filter, such as prices/#")),
        }
        None
    });
    let topics = topics.collect();
    SlowClients { when_full: when_full(slow_clients).unwrap_or_default(), topics }
}

/// They are looked through for each message that some client is too slow for.
const SLOW_TOPICS_MAX: usize = 256;

fn when_full(section: &Written) -> Option<WhenFull> {
    Some(match section.text("when_full")? {
        "drop_oldest" => WhenFull::DropOldest,
        "conflate" => WhenFull::Conflate,
        "disconnect" => WhenFull::Disconnect,
        _ => WhenFull::DropNewest,
    })
}

fn log(log: &Written) -> LogConfig {
    LogConfig {
        level: log.text("level").and_then(|level| level.parse().ok()).unwrap_or(LogConfig::default().level),
        format: if log.text("format") == Some("json") { LogFormat::Json } else { LogFormat::Text },
    }
}

/// Whether clients without credentials come in; what is unset is concluded, and added to `root` as its default.
fn anonymous(root: &mut Written, takes_certificates: bool) -> bool {
    let auth = section(root, "auth");
    if let Some(written) = auth.flag("anonymous") {
        return written;
    }
    let concluded = !has_method(auth, takes_certificates);
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

/// Refuses a server that may take longer to say who a client is than the client may take to connect.
fn answer_timeout(root: &Written, faults: &mut Vec<Fault>) {
    let (auth, limits) = (section(root, "auth"), section(root, "limits"));
    let asked = section(auth, "http");
    if is_asked(auth) && duration(asked, "timeout") >= duration(limits, "connect_timeout") {
        let both = [asked.get("timeout"), limits.get("connect_timeout")];
        let written = both.into_iter().flatten().find(|written| written.origin != Origin::Default);
        let found = "clients would be cut before the authentication service has answered";
        let allowed = "auth.http.timeout shorter than limits.connect_timeout";
        faults.extend(written.map(|written| written.fault(found, allowed)));
    }
}

/// Whether the fault may hide what [`exposure`] asks for; what is nowhere may be a misspelt anything.
fn concerns_exposure(fault: &Fault) -> bool {
    let section = fault.key.split(['.', '[']).next().unwrap_or_default();
    matches!(section, "" | "listen" | "tls" | "routes" | "auth" | "policy")
}

/// Holds the same rule for the identity and policy of `root` behind the listeners of `running`.
pub(super) fn exposure_of(
    root: &Written,
    takes_certificates: bool,
    running: &Written,
    edge: &EdgeConfig,
    faults: &mut Vec<Fault>,
) {
    let mut both = root.clone();
    if let Typed::Section(both) = &mut both.typed {
        both.extend(running.get("listen").map(|listen| ("listen", listen.clone())));
    }
    exposure(&both, takes_certificates, edge, faults);
}

/// Holds the rule that what others can reach asks who they are, or says expressly that it does not, and has a policy in either case.
fn exposure(root: &Written, takes_certificates: bool, edge: &EdgeConfig, faults: &mut Vec<Fault>) {
    let serves =
        |route: &crate::edge::RouteConfig| matches!(route.action, RouteAction::ServeMqtt | RouteAction::ServeJson);
    let leads_in = |listener: &ListenerConfig| {
        !listener.scheme.is_http() || listener.takes_mqtt || edge.routes_of(listener).iter().any(serves)
    };
    let exposed: Vec<(&ListenerConfig, &Written)> = edge
        .listeners
        .iter()
        .zip(root.items("listen"))
        .filter(|(listener, _)| !is_loopback(&listener.address))
        .collect();

    if let Some((listener, written)) = exposed.iter().find(|(listener, _)| leads_in(listener)) {
        let auth = section(root, "auth");
        let url = &listener.url;
        if !has_method(auth, takes_certificates) && auth.flag("anonymous") != Some(true) {
            let allowed = "auth.passwords, or auth.jwt.keys, or auth.http.url, or tls.client_ca, or auth.anonymous: true, \
                           or a loopback address";
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
        && !has_method(section(root, "auth"), takes_certificates)
    {
        let allowed = "auth.passwords, auth.jwt.keys, auth.http.url or tls.client_ca as well";
        faults.push(written.fault("false without a method of authentication: nobody could come in", allowed));
    }
}

// What follows reads keys that the table gives a default, so that they are always there; a test reads every one of them.

pub(super) fn section<'a>(root: &'a Written, key: &str) -> &'a Written {
    root.get(key).expect("a section of the table is set by default")
}

pub(super) fn duration(section: &Written, key: &str) -> Duration {
    section.duration(key).expect("a duration with a default is set")
}

pub(super) fn count<T: TryFrom<u64>>(section: &Written, key: &str) -> T {
    let count = section.count(key).expect("a count with a default is set");
    T::try_from(count).ok().expect("the table's bounds are within the type's")
}

pub(super) fn size<T: TryFrom<u64>>(section: &Written, key: &str) -> T {
    let bytes = section.size(key).expect("a size with a default is set");
    T::try_from(bytes).ok().expect("the table's bounds are within the type's")
}
