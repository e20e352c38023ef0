//! What differs between two configurations, key by key, and which of it a running server takes.

use super::Loaded;
use super::written::{Typed, Written};

/// The keys that differ between a running configuration and another, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new values a running server takes.
    pub taken: Vec<String>,
    /// Keys that stay as they are until the server starts again.
    pub needs_restart: Vec<String>,
}

/// What a reload takes. Whatever is not named here needs a restart, so that a key which is forgotten is said to have no effect, rather
/// than silently to have none.
const TAKEN: [&str; 13] = [
    "policy",
    "auth",
    "tls",
    "routes",
    "websocket",
    "mqtt",
    "limits",
    "engine.packet_bytes_max",
    "trusted_proxies",
    "forwarded_field",
    "reload",
    "log.level",
    "admin.token_file",
];

/// What sockets and the memory of envelopes were given at the start, though it stands among those.
const NOT_TAKEN: [&str; 3] = ["limits.backlog", "limits.tcp_keepalive", "limits.envelopes_remembered_max"];

/// What a reload takes of a listener that is the same otherwise.
const OF_LISTENER: [&str; 2] = ["tls", "routes"];

impl Changes {
    /// From `running` to `new`.
    #[must_use]
    pub fn between(running: &Loaded, new: &Loaded) -> Self {
        let mut keys = Vec::new();
        compare(Some(&running.written), Some(&new.written), &mut keys);
        let keys = keys.into_iter().flat_map(|key| {
            let listeners = running.written.nearest(&key).zip(new.written.nearest(&key));
            let listeners = listeners.filter(|_| key.starts_with("listen["));
            match listeners.and_then(|(old, new)| taken_of_listener(old, new)) {
                Some(names) => names.into_iter().map(|name| format!("{key}.{name}")).collect(),
                None => vec![key],
            }
        });
        let (taken, needs_restart) = keys.partition(|key| is_taken(key));
        Self { taken, needs_restart }
    }
}

fn is_taken(key: &str) -> bool {
    let is_within =
        |above: &str| key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let is_of_listener =
        key.starts_with("listen[") && OF_LISTENER.iter().any(|name| key.ends_with(&format!("].{name}")));
    is_of_listener || TAKEN.iter().any(|above| is_within(above)) && !NOT_TAKEN.iter().any(|above| is_within(above))
}

/// Notes the keys that differ: those of sections one by one, items of lists each as a whole.
fn compare(old: Option<&Written>, new: Option<&Written>, keys: &mut Vec<String>) {
    let Some(either) = new.or(old) else { return };
    match (old.map(|old| &old.typed), new.map(|new| &new.typed)) {
        (Some(Typed::Section(old)), Some(Typed::Section(new))) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            names.for_each(|name| compare(old.get(name), new.get(name), keys));
        }
        (None, Some(Typed::Section(values))) | (Some(Typed::Section(values)), None) => {
            values.values().for_each(|value| keys.push(value.path.clone()));
        }
        (Some(Typed::List(old)), Some(Typed::List(new))) => {
            for index in 0..old.len().max(new.len()) {
                let (old, new) = (old.get(index), new.get(index));
                let is_same = old.zip(new).is_some_and(|(old, new)| means_the_same(old, new));
                keys.extend(new.or(old).filter(|_| !is_same).map(|item| item.path.clone()));
            }
        }
        (Some(old), Some(new)) if scalars_are_equal(old, new) => {}
        _ => keys.push(either.path.clone()),
    }
}

/// What differs between two listeners, if a reload takes all of it.
fn taken_of_listener(old: &Written, new: &Written) -> Option<Vec<&'static str>> {
    let url = |listener: &Written| listener.as_text().or(listener.text("url")).map(str::to_owned);
    let others = |listener: &Written| match &listener.typed {
        Typed::Section(values) => {
            let is_other = |name: &&str| *name != "url" && !OF_LISTENER.contains(name);
            Typed::Section(
                values.iter().filter(|(name, _)| is_other(name)).map(|(name, value)| (*name, value.clone())).collect(),
            )
        }
        _ => Typed::Section(Default::default()),
    };
    let without_taken = |listener: &Written| Written { typed: others(listener), ..listener.clone() };
    if url(old) != url(new) || !means_the_same(&without_taken(old), &without_taken(new)) {
        return None;
    }
    let differs = |name: &&str| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) => !means_the_same(old, new),
        (None, None) => false,
        _ => true,
    };
    Some(OF_LISTENER.into_iter().filter(differs).collect())
}

/// Whether both say the same, wherever they say it.
fn means_the_same(old: &Written, new: &Written) -> bool {
    match (&old.typed, &new.typed) {
        (Typed::Section(old), Typed::Section(new)) => {
            old.len() == new.len()
                && old.iter().zip(new).all(|((name, old), (other, new))| name == other && means_the_same(old, new))
        }
        (Typed::List(old), Typed::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| means_the_same(old, new))
        }
        (old, new) => scalars_are_equal(old, new),
    }
}

fn scalars_are_equal(old: &Typed, new: &Typed) -> bool {
    !matches!(old, Typed::Section(_) | Typed::List(_)) && old == new
}

#[cfg(test)]
mod tests {
    use super::super::{Request, load};
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.yaml");
        std::fs::write(&file, text).unwrap();
        let mut loaded = load(Request { file: Some(file), environment: Vec::new() }).unwrap();
        // Paths are relative to the file, which lies elsewhere each time.
        strip(&mut loaded.written, folder.path());
        loaded
    }

    fn strip(written: &mut Written, folder: &std::path::Path) {
        match &mut written.typed {
            Typed::Path(path) => *path = path.strip_prefix(folder).unwrap_or(path).to_owned(),
            Typed::List(items) => items.iter_mut().for_each(|item| strip(item, folder)),
            Typed::Section(values) => values.values_mut().for_each(|value| strip(value, folder)),
            _ => {}
        }
    }

    fn changes(old: &str, new: &str) -> (String, String) {
        let changes = Changes::between(&loaded(old), &loaded(new));
        (changes.taken.join(" "), changes.needs_restart.join(" "))
    }

    #[test]
    fn each_key_that_differs_is_named_once() {
        let texts = |taken: &str, needs_restart: &str| (taken.to_owned(), needs_restart.to_owned());
        assert_eq!(changes("", "# nothing\nlog: { level: info }\n"), texts("", ""));
        assert_eq!(
            changes("log: { level: info }\n", "\n\nlog: { level: debug, format: json }\n"),
            texts("log.level", "log.format")
        );
        assert_eq!(
            changes("policy: p\n", "auth: { passwords: f }\n"),
            texts("auth.anonymous auth.passwords policy", "")
        );
        let (old, new) = ("listen: [mqtt://127.0.0.1:1]\n", "listen: [mqtt://127.0.0.1:2, mqtt://127.0.0.1:3]\n");
        assert_eq!(changes(old, new), texts("", "listen[0] listen[1]"));
        assert_eq!(changes(new, old), texts("", "listen[0] listen[1]"));
        let routes =
            |path: &str| format!("routes:\n  - {{ path: /, serve: mqtt }}\n  - {{ path: {path}, serve: json }}\n");
        assert_eq!(changes(&routes("/ws/"), &routes("/json/")), texts("routes[1]", ""));
        assert_eq!(changes("", "engine: { sessions_max: 7 }\n"), texts("", "engine.sessions_max"));
    }

    #[test]
    fn how_listeners_speak_tls_and_their_routes_are_taken() {
        let (old, new) = ("tls: { tickets: 1 }\n", "tls: { tickets: 2 }\n");
        assert_eq!(changes(old, new), ("tls.tickets".to_owned(), String::new()));
        let listen = |of_first: &str, second: &str| {
            format!("listen:\n  - {{ url: \"mqtts://127.0.0.1:1\"{of_first} }}\n  - {second}\n")
        };
        let old = listen(", tls: { tickets: 1 }", "https://127.0.0.1:2");
        let new = listen("", "{ url: \"https://127.0.0.1:2\", tls: { tickets: 1 } }");
        assert_eq!(changes(&old, &new), ("listen[0].tls listen[1].tls".to_owned(), String::new()));
        let new = listen("", "{ url: \"https://127.0.0.1:2\", routes: [{ path: /, serve: mqtt }] }");
        assert_eq!(changes(&old, &new), ("listen[0].tls listen[1].routes".to_owned(), String::new()));
        let new =
            listen("", "{ url: \"https://127.0.0.1:2\", routes: [{ path: /, serve: mqtt }], proxy_protocol: true }");
        assert_eq!(
            changes(&old, &format!("trusted_proxies: [127.0.0.2]\n{new}")),
            ("listen[0].tls trusted_proxies".to_owned(), "listen[1]".to_owned())
        );
        let new = listen("", "{ url: \"https://127.0.0.1:3\", tls: { tickets: 1 } }");
        assert_eq!(changes(&old, &new), ("listen[0].tls".to_owned(), "listen[1]".to_owned()));
    }

    #[test]
    fn what_those_who_come_are_held_to_is_taken() {
        let (taken, needs_restart) = changes(
            "auth: { jwt: { keys: k } }\n",
            "auth: { jwt: { keys: k, grace: 1s }, penalty: { delay: 2s } }\nlimits: { connections_max: 7, idle_timeout: 1h, lag_max: 1s, drain_window: 1s, drain_timeout: 1m, handover_timeout: 2m }\n\
             websocket: { ping_interval: 5s }\nmqtt: { revoked: keep }\nforwarded_field: forwarded\n",
        );
        assert_eq!(needs_restart, "");
        for key in [
            "auth.jwt.grace",
            "auth.penalty.delay",
            "limits.connections_max",
            "limits.idle_timeout",
            "limits.lag_max",
            "limits.drain_window",
            "limits.drain_timeout",
            "limits.handover_timeout",
        ] {
            assert!(taken.split(' ').any(|named| named == key), "{key}: {taken}");
        }
        for key in ["websocket.ping_interval", "mqtt.revoked", "forwarded_field"] {
            assert!(taken.split(' ').any(|named| named == key), "{key}: {taken}");
        }
    }

    #[test]
    fn what_sockets_and_the_engine_were_given_needs_a_restart() {
        let (taken, needs_restart) =
            changes("", "limits: { backlog: 7, tcp_keepalive: 7s, connections_max: 9 }\nengine: { inflight_max: 3 }\n");
        assert_eq!(taken, "limits.connections_max");
        for key in ["limits.backlog", "limits.tcp_keepalive", "engine.inflight_max"] {
            assert!(needs_restart.split(' ').any(|named| named == key), "{key}: {needs_restart}");
        }
    }
}
