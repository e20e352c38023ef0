//! mosquitto's keys, what their values are, and what becomes of them.

use super::Value;

/// A key of `mosquitto.conf`.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) meaning: Meaning,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Flag,
    Number,
    Text,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// It is printed, with what `printed` makes of it.
    Global,
    /// Likewise, for one listener.
    OfListener,
    /// It is listed.
    NoEqual { why: &'static str, instead: &'static str },
}

use Kind::{Flag, Number, Text};
use Meaning::{Global, NoEqual, OfListener};

const LEFT_OUT: &str = "left out";

/// Says that a key has no equal, and why.
const fn none(name: &'static str, kind: Kind, why: &'static str) -> Known {
    Known { name, kind, meaning: NoEqual { why, instead: LEFT_OUT } }
}

const fn global(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, meaning: Global }
}

const fn of_listener(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, meaning: OfListener }
}

const KNOWN: &[Known] = &[
    global("per_listener_settings", Flag),
    // Under per_listener_settings these three are the listener's; `printed` looks at both.
    of_listener("allow_anonymous", Flag),
    of_listener("password_file", Text),
    of_listener("acl_file", Text),
    of_listener("protocol", Text),
    of_listener("certfile", Text),
    of_listener("keyfile", Text),
    of_listener("cafile", Text),
    of_listener("crlfile", Text),
    of_listener("require_certificate", Flag),
    of_listener("use_identity_as_username", Flag),
    of_listener("use_subject_as_username", Flag),
    of_listener("psk_hint", Text),
    of_listener("mount_point", Text),
    of_listener("bind_interface", Text),
    of_listener("socket_domain", Text),
    of_listener("http_dir", Text),
    of_listener("max_connections", Number),
    of_listener("websockets_origin", Text),
    of_listener("max_topic_alias", Number),
    of_listener("tls_version", Text),
    of_listener("websockets_headers_size", Number),
    global("max_inflight_messages", Number),
    global("max_queued_bytes", Number),
    global("max_packet_size", Number),
    global("message_size_limit", Number),
    global("max_keepalive", Number),
    global("persistent_client_expiration", Text),
    global("sys_interval", Number),
    global("persistence", Flag),
    global("persistence_location", Text),
    none("persistence_file", Text, "engine.store is not part of this version yet"),
    none("autosave_interval", Number, "engine.store is not part of this version yet"),
    none("autosave_on_changes", Flag, "engine.store is not part of this version yet"),
    none("retained_persistence", Flag, "engine.store is not part of this version yet"),
    Known {
        name: "max_queued_messages",
        kind: Number,
        meaning: NoEqual {
            why: "bounds a queue by messages, here bytes bound it",
            instead: "left out; engine.queue_bytes_max, 1MiB unless said",
        },
    },
    none("max_inflight_bytes", Number, "engine.inflight_max counts messages"),
    none("memory_limit", Number, "every queue has its own limit here"),
    Known {
        name: "max_qos",
        kind: Number,
        meaning: NoEqual {
            why: "the policy says so, role by role",
            instead: "left out; limits: {ROLE: {max_qos: …}} in the policy file",
        },
    },
    Known {
        name: "retain_available",
        kind: Flag,
        meaning: NoEqual {
            why: "the policy says so, role by role",
            instead: "left out; limits: {ROLE: {retain: …}} in the policy file",
        },
    },
    none("queue_qos0_messages", Flag, "QoS 0 is kept for nobody who is away"),
    none("upgrade_outgoing_qos", Flag, "a delivery never has a higher QoS than its message"),
    none("allow_zero_length_clientid", Flag, "a client without an identifier is given one"),
    none("auto_id_prefix", Text, "the identifiers given to clients have a form of their own"),
    none("use_username_as_clientid", Flag, "a client has the identifier that it names"),
    Known {
        name: "clientid_prefixes",
        kind: Text,
        meaning: NoEqual {
            why: "nothing checks how a client identifier begins",
            instead: "left out; the policy can bind ${clientid} into topics",
        },
    },
    none("allow_duplicate_messages", Flag, "Subscriptions that overlap are treated as the standard says"),
    none("check_retain_source", Flag, "a retained message is judged by who reads it"),
    none("log_dest", Text, "logs go to standard error"),
    none("log_facility", Number, "logs go to standard error"),
    none("log_timestamp", Flag, "every line of the log has its time"),
    none("log_timestamp_format", Text, "every line of the log has its time"),
    none("connection_messages", Flag, "connections are logged at log.level debug"),
    none("websockets_log_level", Number, "there is one log"),
    none("pid_file", Text, "the process writes no file of that kind"),
    none("user", Text, "the process keeps the user that starts it"),
    none("set_tcp_nodelay", Flag, "it is always so"),
    none("capath", Text, "the authorities of clients are in one file, tls.client_ca"),
    none("dhparamfile", Text, "there is only ephemeral key exchange over elliptic curves and post-quantum hybrids"),
    none("ciphers", Text, "the ciphers are those of TLS 1.2 and 1.3 that are sound"),
    none("ciphers_tls1.3", Text, "the ciphers are those of TLS 1.2 and 1.3 that are sound"),
    none("tls_engine", Text, "keys are read from PEM files"),
    none("tls_engine_kpass_sha1", Text, "keys are read from PEM files"),
    none("tls_keyform", Text, "keys are read from PEM files"),
    none("psk_file", Text, "there are no pre-shared keys"),
    Known {
        name: "plugin",
        kind: Text,
        meaning: NoEqual { why: "there are no plugins", instead: "left out; who it let in, it lets in no more" },
    },
    Known {
        name: "auth_plugin",
        kind: Text,
        meaning: NoEqual { why: "there are no plugins", instead: "left out; who it let in, it lets in no more" },
    },
    none("auth_plugin_deny_special_chars", Flag, "such names are refused where a rule would use them"),
];

/// What is known of a key; options of plugins are all alike, and their values may be secret.
pub(super) fn known(key: &str) -> Option<&'static Known> {
    const PLUGIN_OPTION: Known = none("plugin_opt_…", Text, "there are no plugins");
    const OPTION: &Known = &PLUGIN_OPTION;
    if key.starts_with("plugin_opt_") || key.starts_with("auth_opt_") {
        return Some(OPTION);
    }
    KNOWN.iter().find(|known| known.name == key)
}

/// Whether a key is about the bridge that was named last.
pub(super) fn is_of_bridge(key: &str) -> bool {
    const OTHERS: [&str; 24] = [
        "address",
        "addresses",
        "topic",
        "cleansession",
        "local_cleansession",
        "clientid",
        "keepalive_interval",
        "idle_timeout",
        "local_clientid",
        "local_password",
        "local_username",
        "notification_topic",
        "notifications",
        "notifications_local_only",
        "password",
        "username",
        "remote_clientid",
        "remote_password",
        "remote_username",
        "restart_timeout",
        "round_robin",
        "start_type",
        "threshold",
        "try_private",
    ];
    key.starts_with("bridge_") || OTHERS.contains(&key)
}

impl Kind {
    /// Reads a value, or says what it would have to be.
    pub(super) fn read(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Flag => match text {
                "true" | "1" => Ok(Value::Flag(true)),
                "false" | "0" => Ok(Value::Flag(false)),
                _ => Err("true or false"),
            },
            Number => text.parse().map(Value::Number).map_err(|_| "a whole number"),
            Text => Ok(Value::Text(text.to_owned())),
        }
    }
}
