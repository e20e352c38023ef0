//! What a `mosquitto.conf` comes to, printed.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::config::schema::{self, Kind};
use crate::config::units::{format_duration, format_size};

use super::super::draft::{heading, listed};
use super::super::yaml::{comment, quoted, word};
use super::{Bridge, Found, Imported, Listener, Note, Place, Placed, Settings, Value, note};

/// The policy of a mosquitto without an acl_file.
const ALLOW_ALL: [&str; 4] = [
    "version: 1",
    "roles: { everything: [ { topic: \"#\", rw: rw }, { topic: \"$SYS/#\", rw: r } ] }",
    "users: { \"*\": [everything], anonymous: [everything] }",
    "",
];

pub(super) fn print(found: Found, origin: &str) -> Imported {
    let mut printer = Printer { origin, notes: found.notes.clone(), later: Vec::new() };
    let listeners = printer.listeners(&found);
    let auth = printer.auth(&found, &listeners);
    let policy = printer.policy(&found, &listeners);
    let engine = printer.engine(&found);
    let limits = printer.limits(&found, &listeners);
    let log = printer.log(&found);
    printer.bridges(&found.bridges);

    let mut body = String::new();
    printer.listen(&mut body, &listeners);
    print_routes(&mut body, &listeners);
    section(&mut body, "websocket", &printer.websocket(&listeners));
    section(&mut body, "auth", &auth);
    body.push_str(&policy);
    section(&mut body, "engine", &engine);
    section(&mut body, "limits", &limits);
    section(&mut body, "log", &log);
    if !printer.later.is_empty() {
        body.push_str("\n# Not part of this version yet:\n");
        for line in &printer.later {
            writeln!(body, "# {}", comment(line)).expect("a String");
        }
    }
    let mut notes = printer.notes;
    notes.sort_by(|a, b| (&a.origin, a.line).cmp(&(&b.origin, b.line)));
    let remarks =
        ["A path that is relative was relative to where mosquitto was started; here it is relative to this file."
            .to_owned()];
    Imported { yaml: heading(&format!("{origin}, a configuration of mosquitto"), &remarks, &notes) + &body, notes }
}

const OPEN: &str = "left out, as it would let in whom mosquitto kept out";

/// Whether two listeners take different names from certificates.
fn differ_in_username(one: &Kept<'_>, other: &Kept<'_>) -> bool {
    one.clients().zip(other.clients()).is_some_and(|(one, other)| one.username != other.username)
}

/// A listener that is printed.
struct Kept<'f> {
    listener: &'f Listener,
    place: Option<Place>,
    scheme: &'static str,
    address: SocketAddr,
    tls: Option<Tls>,
    files: Option<String>,
}

/// How a listener speaks TLS.
#[derive(Debug, PartialEq, Eq)]
struct Tls {
    certificate: String,
    key: String,
    clients: Option<Clients>,
    is_1_3_only: bool,
}

/// The client certificates that a listener asks for.
#[derive(Debug, PartialEq, Eq)]
struct Clients {
    authority: String,
    crl: Option<String>,
    /// As `auth.certificates.username` calls it.
    username: &'static str,
}

impl Tls {
    /// Each key with its value.
    fn lines(&self) -> Vec<String> {
        let clients = self.clients.as_ref();
        let crl = clients.and_then(|clients| clients.crl.as_ref());
        let lines = [
            Some(format!("cert: {}", quoted(&self.certificate))),
            Some(format!("key: {}", quoted(&self.key))),
            clients.map(|clients| format!("client_ca: {}", quoted(&clients.authority))),
            crl.map(|crl| format!("crl: {}", quoted(crl))),
            self.is_1_3_only.then(|| "version_min: \"1.3\"".to_owned()),
        ];
        lines.into_iter().flatten().collect()
    }
}

impl Kept<'_> {
    fn is_websocket(&self) -> bool {
        matches!(self.scheme, "http" | "https")
    }

    fn clients(&self) -> Option<&Clients> {
        self.tls.as_ref()?.clients.as_ref()
    }

    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

struct Printer<'o> {
    origin: &'o str,
    notes: Vec<Note>,
    /// Lines for keys that this version does not have.
    later: Vec<String>,
}

impl Printer<'_> {
    fn note(&mut self, place: &Place, what: impl Into<String>, why: impl Into<String>, instead: impl Into<String>) {
        self.notes.push(note(place, what, why, instead));
    }

    fn listeners<'f>(&mut self, found: &'f Found) -> Vec<Kept<'f>> {
        let mut kept: Vec<Kept<'f>> = Vec::new();
        let is_default_open = found.default_listener.port.is_some() || found.listeners.is_empty();
        let default = is_default_open.then_some(&found.default_listener);
        let start = Place { origin: self.origin.into(), line: 1 };
        for listener in default.into_iter().chain(&found.listeners) {
            let place = listener.place.as_ref().unwrap_or(&start);
            match self.listener(listener, place, found) {
                Err((why, instead)) => self.note(place, "listener", why, instead),
                Ok(next) => match kept.iter().find(|other| other.address == next.address && next.address.port() != 0) {
                    Some(other) => {
                        let why = format!("{} listens on that address already", other.url());
                        self.note(place, "listener", why, "left out");
                    }
                    None => match kept.iter().find(|other| differ_in_username(other, &next)) {
                        Some(other) => {
                            let other = other.url();
                            let why = format!(
                                "takes another name from certificates than {other}, and here one holds for all"
                            );
                            self.note(place, "listener", why, OPEN);
                        }
                        None => kept.push(next),
                    },
                },
            }
        }
        kept
    }

    /// What is printed of a listener, or why it is not.
    fn listener<'f>(
        &mut self,
        listener: &'f Listener,
        place: &Place,
        found: &Found,
    ) -> Result<Kept<'f>, (String, &'static str)> {
        let settings = &listener.settings;
        if settings.text("psk_hint").is_some() {
            return Err(("asks for pre-shared keys, which there are none of".to_owned(), OPEN));
        }
        if let Some(prefix) = settings.text("mount_point") {
            return Err((
                format!("keeps its clients under the mount_point {prefix:?}, and the policy is for all listeners"),
                OPEN,
            ));
        }
        if settings.text("bind_interface").is_some() {
            return Err((
                "listens on one network interface; addresses are asked for".to_owned(),
                "left out; say its address",
            ));
        }
        let is_local_only = found.listeners.is_empty() && listener.port.is_none();
        let address =
            address(listener, is_local_only).map_err(|why| (why, "left out; say an IP address and a port"))?;
        let is_websocket = match settings.text("protocol") {
            None | Some("mqtt") => false,
            Some("websockets") => true,
            Some(other) => return Err((format!("speaks {other:?}"), "left out")),
        };
        let tls = match (settings.text("certfile"), settings.text("keyfile")) {
            (Some(certificate), Some(key)) => Some(Tls {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                clients: self.clients(listener, place)?,
                is_1_3_only: settings.text("tls_version") == Some("tlsv1.3"),
            }),
            (None, None) => None,
            _ => return Err(("has one of certfile and keyfile".to_owned(), "left out; it needs both")),
        };
        if let Some(version) = settings.text("tls_version").filter(|version| !matches!(*version, "tlsv1.2" | "tlsv1.3"))
        {
            self.note(place, format!("tls_version {version}"), "TLS 1.2 and 1.3 are spoken", "left out");
        }
        let scheme = match (is_websocket, tls.is_some()) {
            (false, false) => "mqtt",
            (false, true) => "mqtts",
            (true, false) => "http",
            (true, true) => "https",
        };
        let files = settings.text("http_dir").filter(|_| is_websocket).map(str::to_owned);
        if files.is_some() {
            let why = "its files are served beside MQTT, which takes any path there";
            self.note(place, "http_dir", why, "MQTT at /mqtt, files at every other path");
        }
        Ok(Kept { listener, place: listener.place.clone(), scheme, address, tls, files })
    }

    /// The client certificates that a listener with TLS asks for, if any; or why it is not printed.
    fn clients(&mut self, listener: &Listener, place: &Place) -> Result<Option<Clients>, (String, &'static str)> {
        let settings = &listener.settings;
        if settings.flag("require_certificate") != Some(true) {
            let why = "without require_certificate no client is asked for a certificate";
            for key in ["cafile", "crlfile"] {
                if let Some(placed) = settings.get(key) {
                    self.note(&placed.place, key, why, "left out");
                }
            }
            return Ok(None);
        }
        let Some(authority) = settings.text("cafile") else {
            return Err(("asks for client certificates, and no cafile has their authorities".to_owned(), OPEN));
        };
        let says = |key: &'static str| (settings.flag(key) == Some(true)).then_some(key);
        let username = match (says("use_identity_as_username"), says("use_subject_as_username")) {
            (Some(_), _) => "subject_cn",
            (None, Some(_)) => "subject",
            (None, None) => "none",
        };
        if let Some(key) = says("use_identity_as_username").or(says("use_subject_as_username")) {
            let why = "there a user name and a password in CONNECT are not looked at";
            self.note(place, key, why, "who brings them is let in by them alone; let such clients bring none");
        }
        Ok(Some(Clients {
            authority: authority.to_owned(),
            crl: settings.text("crlfile").map(str::to_owned),
            username,
        }))
    }

    /// Prints `listen`, and `tls` if there is one for all.
    fn listen(&mut self, out: &mut String, listeners: &[Kept<'_>]) {
        if listeners.is_empty() {
            let why = "no listener could be printed";
            let instead = "mqtt on a loopback port that the system chooses, so that the file can be checked";
            self.notes.push(Note {
                origin: self.origin.to_owned(),
                line: None,
                what: "listen".to_owned(),
                why: why.to_owned(),
                instead: instead.to_owned(),
            });
            out.push_str("listen:\n  - mqtt://127.0.0.1:0\n");
            return;
        }
        let all_tls: Vec<&Tls> = listeners.iter().filter_map(|listener| listener.tls.as_ref()).collect();
        let is_one_for_all = all_tls.windows(2).all(|two| two[0] == two[1]);
        out.push_str("listen:\n");
        for kept in listeners {
            let mut own = Vec::new();
            if let Some(tls) = kept.tls.as_ref().filter(|_| !is_one_for_all) {
                own.push(format!("tls: {{ {} }}", tls.lines().join(", ")));
            }
            if let Some(files) = &kept.files {
                own.push(format!(
                    "routes: [ {{ path: /mqtt, serve: mqtt }}, {{ path: /, files: {} }} ]",
                    quoted(files)
                ));
            }
            let url = kept.url();
            let line = kept.place.as_ref().map(|place| self.behind(place)).unwrap_or_default();
            match own.is_empty() {
                true => writeln!(out, "  - {}{line}", quoted(&url)),
                false => writeln!(out, "  - {{ url: {}, {} }}{line}", quoted(&url), own.join(", ")),
            }
            .expect("a String");
        }
        if let Some(tls) = all_tls.first().filter(|_| is_one_for_all) {
            section(out, "tls", &tls.lines());
        }
    }

    /// The comment behind what comes from a place.
    fn behind(&self, Place { origin, line }: &Place) -> String {
        match **origin == *self.origin {
            true => format!("  # line {line}"),
            false => format!("  # {}", comment(&format!("{origin}:{line}"))),
        }
    }

    fn websocket(&mut self, listeners: &[Kept<'_>]) -> Vec<String> {
        let websockets: Vec<&Kept<'_>> = listeners.iter().filter(|kept| kept.is_websocket()).collect();
        let Some(first) = websockets.first() else { return Vec::new() };
        let named: Vec<&str> =
            websockets.iter().filter_map(|kept| kept.listener.settings.text("websockets_origin")).collect();
        let place = first.listener.place.clone();
        if let Some(place) = place {
            let (why, instead) = match named.is_empty() {
                true => (
                    "pages of any origin may connect there",
                    "pages of the same origin only; name others under websocket.origins",
                ),
                false => (
                    "websockets_origin names who may connect",
                    "left out: list them under websocket.origins, as https://HOST",
                ),
            };
            self.note(&place, "protocol websockets", why, instead);
        }
        vec!["origins: [same]".to_owned()]
    }

    /// The value of a key that holds for all unless `per_listener_settings`; otherwise the one that all listeners have.
    fn shared<'f>(&mut self, found: &'f Found, key: &'static str) -> Option<&'f Placed<Value>> {
        let all = || std::iter::once(&found.default_listener).chain(&found.listeners);
        let mut values = all().filter_map(|listener| listener.settings.get(key));
        let last = values.next_back()?;
        if found.settings.flag("per_listener_settings") == Some(true)
            && all().any(|listener| listener.settings.get(key).is_none_or(|other| other.value != last.value))
            && !found.listeners.is_empty()
        {
            let why = "per_listener_settings: the listeners differ, and here one holds for all";
            self.note(&last.place, key, why, "the last one holds");
        }
        Some(last)
    }

    fn auth(&mut self, found: &Found, listeners: &[Kept<'_>]) -> Vec<String> {
        let username = listeners.iter().find_map(Kept::clients).map(|clients| clients.username);
        let passwords = self.shared(found, "password_file").cloned();
        // Where one listener says no, no holds.
        let anonymous: Vec<(Option<bool>, &Listener)> = std::iter::once(&found.default_listener)
            .chain(&found.listeners)
            .map(|listener| (listener.settings.flag("allow_anonymous"), listener))
            .collect();
        let is_local_only = found.listeners.is_empty() && found.default_listener.port.is_none();
        let is_per_listener = found.settings.flag("per_listener_settings") == Some(true);
        let said: Vec<bool> = anonymous.iter().filter_map(|(said, _)| *said).collect();
        let is_everywhere =
            |(said, listener): &(Option<bool>, &Listener)| *said == Some(true) || listener.place.is_none();
        let anonymous = match is_per_listener {
            true => !said.is_empty() && anonymous.iter().all(is_everywhere),
            false => said.last().copied().unwrap_or(is_local_only && passwords.is_none()),
        };
        let mut lines = vec![format!("anonymous: {anonymous}")];
        match &passwords {
            Some(Placed { value: Value::Text(path), .. }) => lines.push(format!("passwords: {}", quoted(path))),
            // Who shows a certificate is somebody.
            _ if username.is_some_and(|username| username != "none") => {}
            _ if !anonymous => {
                let why = "neither allow_anonymous nor a password_file lets anybody in (mosquitto 1 let everybody in unless told)";
                let place = found.listeners.first().and_then(|first| first.place.clone());
                let place = place.or_else(|| found.default_listener.place.clone());
                if let Some(place) = place {
                    self.note(&place, "allow_anonymous", why, "a password file to be made with `tidegate passwd`");
                }
                lines.push("passwords: passwords".to_owned());
            }
            _ => {}
        }
        lines.extend(username.map(|username| format!("certificates: {{ username: {username} }}")));
        lines
    }

    fn policy(&mut self, found: &Found, listeners: &[Kept<'_>]) -> String {
        let acl = self.shared(found, "acl_file").cloned();
        let has_passwords =
            found.listeners.iter().chain([&found.default_listener]).any(|l| l.settings.text("password_file").is_some());
        if let Some(Placed { place, value: Value::Text(path) }) = acl {
            let why = "the policy is YAML here";
            let instead = format!("tidegate import mosquitto-acl {} > policy.yaml", word_of_shell(&path));
            self.note(&place, "acl_file", why, instead);
            if !has_passwords {
                let why = "without a password_file mosquitto believes every username";
                self.note(
                    &place,
                    "acl_file",
                    why,
                    "without auth.passwords everybody is `anonymous`, and no `user` of it applies",
                );
            }
            return "policy: policy.yaml\n".to_owned();
        }
        if listeners.iter().all(|kept| kept.address.ip().is_loopback()) {
            return String::new();
        }
        let mut out =
            "# Without an acl_file everything is allowed to whoever comes in. That has to be said in policy.yaml:\n"
                .to_owned();
        for line in ALLOW_ALL.iter().filter(|line| !line.is_empty()) {
            writeln!(out, "#   {line}").expect("a String");
        }
        out.push_str("policy: policy.yaml\n");
        out
    }

    fn engine(&mut self, found: &Found) -> Vec<String> {
        let mut lines = Vec::new();
        let settings = &found.settings;
        if let Some(placed) = settings.get("persistent_client_expiration") {
            match settings.text("persistent_client_expiration").and_then(parse_expiration) {
                Some(expiration) => lines.push(self.bounded_duration(
                    placed,
                    "persistent_client_expiration",
                    "engine",
                    "session_expiry_max",
                    expiration,
                )),
                None => self.note(
                    &placed.place,
                    "persistent_client_expiration",
                    "is no number with h, d, w, m or y behind it",
                    "left out",
                ),
            }
        }
        for (key, name) in [
            ("max_inflight_messages", "inflight_max"),
            ("max_queued_bytes", "queue_bytes_max"),
            ("max_packet_size", "packet_bytes_max"),
        ] {
            if let (Some(placed), Some(value)) = (settings.get(key), settings.number(key)) {
                lines.extend(self.bounded(placed, key, "engine", name, value, value <= 0));
            }
        }
        if let (Some(placed), Some(value)) = (settings.get("message_size_limit"), settings.number("message_size_limit"))
        {
            let is_said = settings.number("max_packet_size").is_some();
            let why = "counts the payload alone";
            match is_said || value <= 0 {
                true => self.note(&placed.place, "message_size_limit", why, "left out; engine.packet_bytes_max"),
                false => {
                    self.note(
                        &placed.place,
                        "message_size_limit",
                        why,
                        "engine.packet_bytes_max, which counts the whole packet",
                    );
                    lines.extend(self.bounded(
                        placed,
                        "message_size_limit",
                        "engine",
                        "packet_bytes_max",
                        value,
                        false,
                    ));
                }
            }
        }
        if let (Some(placed), Some(value)) = (settings.get("sys_interval"), settings.number("sys_interval")) {
            let interval = Duration::from_secs(u64::try_from(value).unwrap_or(0));
            lines.push(self.bounded_duration(placed, "sys_interval", "engine", "sys_interval", interval));
        }
        if settings.flag("persistence") == Some(true) {
            let path = settings.text("persistence_location").unwrap_or("./data");
            self.later.push(format!("engine: {{ store: {{ path: {} }} }}", quoted(path)));
            let place = settings["persistence"].place.clone();
            self.note(&place, "persistence", "engine.store is not part of this version yet", "a comment at the end");
        }
        lines
    }

    fn limits(&mut self, found: &Found, listeners: &[Kept<'_>]) -> Vec<String> {
        let mut lines = Vec::new();
        let limits = |kept: &Kept<'_>, key| kept.listener.settings.number(key).filter(|limit| *limit > 0);
        let counts: Vec<i64> = listeners.iter().filter_map(|kept| limits(kept, "max_connections")).collect();
        let placed = listeners.iter().find_map(|kept| kept.listener.settings.get("max_connections"));
        if let Some(placed) = placed {
            if counts.len() == listeners.len() {
                let sum = counts.iter().fold(0_i64, |sum, count| sum.saturating_add(*count));
                if listeners.len() > 1 {
                    let why = "counts for one listener, here for all together";
                    self.note(&placed.place, "max_connections", why, "their sum");
                }
                lines.extend(self.bounded(placed, "max_connections", "limits", "connections_max", sum, false));
            } else {
                let why = "counts for one listener, here for all together";
                self.note(&placed.place, "max_connections", why, "left out, as not every listener has one");
            }
        }
        for (key, name) in
            [("max_topic_alias", "topic_aliases_max"), ("websockets_headers_size", "http_head_bytes_max")]
        {
            let values = listeners
                .iter()
                .filter_map(|kept| Some((kept.listener.settings.get(key)?, kept.listener.settings.number(key)?)));
            if let Some((placed, value)) = values.max_by_key(|(_, value)| *value) {
                lines.extend(self.bounded(placed, key, "limits", name, value, value < 0));
            }
        }
        if let (Some(placed), Some(value)) =
            (found.settings.get("max_keepalive"), found.settings.number("max_keepalive"))
        {
            match u64::try_from(value).ok().filter(|value| *value > 0) {
                None => self.note(&placed.place, "max_keepalive", "0 is any Keep Alive", "left out, which is the same"),
                Some(seconds) => lines.push(self.bounded_duration(
                    placed,
                    "max_keepalive",
                    "limits",
                    "keep_alive_max",
                    Duration::from_secs(seconds),
                )),
            }
        }
        lines
    }

    /// `name: value` within the bounds that the key has here; nothing for what stands for no limit.
    fn bounded(
        &mut self,
        placed: &Placed<Value>,
        key: &str,
        section: &str,
        name: &str,
        value: i64,
        is_unlimited: bool,
    ) -> Option<String> {
        let kind = kind(section, name);
        let (min, max) = match kind {
            Kind::Count { min, max } | Kind::Size { min, max } => (*min, *max),
            _ => unreachable!("{section}.{name} is a count or a size, as a test shows"),
        };
        let shown = |value: u64| if matches!(kind, Kind::Size { .. }) { format_size(value) } else { value.to_string() };
        if is_unlimited {
            self.note(
                &placed.place,
                format!("{key} {value}"),
                "means no limit",
                format!("left out; {section}.{name} has a limit always"),
            );
            return None;
        }
        let wanted = u64::try_from(value).unwrap_or(0);
        let given = wanted.clamp(min, max);
        if given != wanted {
            let why = format!("{section}.{name} is from {} to {}", shown(min), shown(max));
            self.note(&placed.place, format!("{key} {value}"), why, shown(given));
        }
        Some(format!("{name}: {}", shown(given)))
    }

    fn bounded_duration(
        &mut self,
        placed: &Placed<Value>,
        key: &str,
        section: &str,
        name: &str,
        wanted: Duration,
    ) -> String {
        let Kind::Duration { min, max } = kind(section, name) else {
            unreachable!("{section}.{name} is a duration, as a test shows")
        };
        let given = wanted.clamp(*min, *max);
        if given != wanted {
            let why = format!("{section}.{name} is from {} to {}", format_duration(*min), format_duration(*max));
            self.note(&placed.place, key, why, format_duration(given));
        }
        format!("{name}: {}", format_duration(given))
    }

    fn log(&mut self, found: &Found) -> Vec<String> {
        let has = |names: &[&str]| found.log_types.iter().any(|kind| names.contains(&kind.as_str()));
        let level = match () {
            () if found.log_types.is_empty() => return Vec::new(),
            () if has(&["all", "debug", "subscribe", "unsubscribe", "websockets"]) => "debug",
            () if has(&["notice", "information"]) => "info",
            () if has(&["warning"]) => "warn",
            () => "error",
        };
        vec![format!("level: {level}")]
    }

    fn bridges(&mut self, bridges: &[Bridge]) {
        if bridges.is_empty() {
            return;
        }
        self.later.push("uplinks:".to_owned());
        for bridge in bridges {
            let quote_all = |topics: &[String]| topics.iter().map(|topic| quoted(topic)).collect::<Vec<_>>().join(", ");
            let address = bridge.addresses.first().map_or("?", String::as_str);
            let address = if address.contains(':') { address.to_owned() } else { format!("{address}:1883") };
            let scheme = if bridge.others.iter().any(|key| key.contains("cafile") || key.contains("capath")) {
                "mqtts"
            } else {
                "mqtt"
            };
            self.later.push(format!(
                "  - {{ name: {}, mqtt: {}, out: [{}], in: [{}] }}",
                word(&bridge.name),
                quoted(&format!("{scheme}://{address}")),
                quote_all(&bridge.out_topics),
                quote_all(&bridge.in_topics)
            ));
            let mut instead = "a comment at the end".to_owned();
            if !bridge.others.is_empty() {
                write!(instead, ", without {}", listed(&bridge.others)).expect("a String");
            }
            self.note(
                &bridge.place,
                format!("connection {}", bridge.name),
                "uplinks are not part of this version yet",
                instead,
            );
        }
    }
}

fn section(out: &mut String, name: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    writeln!(out, "{name}:").expect("a String");
    for line in lines {
        writeln!(out, "  {line}").expect("a String");
    }
}

fn print_routes(out: &mut String, listeners: &[Kept<'_>]) {
    if listeners.iter().any(|kept| kept.is_websocket() && kept.files.is_none()) {
        out.push_str("routes:\n  - { path: /, serve: mqtt }  # mosquitto takes any path\n");
    }
}

/// Where a listener of mosquitto listens.
fn address(listener: &Listener, is_local_only: bool) -> Result<SocketAddr, String> {
    let port = listener.port.unwrap_or(1883);
    let open: IpAddr = match listener.settings.text("socket_domain") {
        Some("ipv6") => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let ip = match listener.bind.as_deref() {
        None if is_local_only => Ipv4Addr::LOCALHOST.into(),
        None => open,
        Some("localhost") => Ipv4Addr::LOCALHOST.into(),
        Some(path) if port == 0 => {
            return Err(format!("listens on the Unix socket {path}, and sockets of that kind are not listened on"));
        }
        Some(text) => {
            text.parse().map_err(|_| format!("listens on {text:?}, which is a name, and names are not looked up"))?
        }
    };
    if port == 0 {
        return Err("has no port".to_owned());
    }
    Ok(SocketAddr::new(ip, port))
}

/// Reads `2w` and the like; a month has 30 days and a year 365.
fn parse_expiration(text: &str) -> Option<Duration> {
    const HOUR_S: u64 = 3600;
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim_end().parse().ok()?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'm' => 30 * 24,
        'y' => 365 * 24,
        _ => return None,
    };
    Some(Duration::from_secs(number.saturating_mul(hours * HOUR_S)))
}

fn kind(section: &str, name: &str) -> &'static Kind {
    let section = schema::find(schema::ROOT, section).and_then(|key| key.kind.keys());
    let key = section.and_then(|keys| schema::find(keys, name));
    &key.expect("a key of the schema, as a test shows").kind
}

/// A path as one word of a shell.
fn word_of_shell(path: &str) -> String {
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
