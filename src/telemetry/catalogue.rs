//! The catalogue: every number that any module counts, under the name and with the meaning it has for operators.
//!
//! Names are `tidegate_<part>_<what>_<unit>[_total]`. A module's counter that is not named here is seen by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::{Metrics, Read};
use super::process;
use super::reloads::ReloadCounters;
use crate::auth::AuthCounters;
use crate::auth::counters::{HookCounters, KeyCounters};
use crate::auth::jwt::Rejected;
use crate::connection::counters::ConnectionCounters;
use crate::edge::EdgeCounters;
use crate::engine::{Engine, EngineCounters};
use crate::load::Load;
use crate::mqtt::ReasonCode;

/// Adds a row for each field of a module's counters: `kind "name" = field, "help";`.
macro_rules! rows {
    ($metrics:ident, $source:ident, $counters:path; $($kind:ident $name:literal = $field:ident, $help:literal;)*) => {
        $({
            let source = Arc::clone(&$source);
            $metrics.$kind($name, $help, move || read(&$counters(&source).$field));
        })*
    };
}

/// Adds one name whose values are fields, told apart by a label: `"value" = field;`.
macro_rules! by_label {
    ($metrics:ident, $source:ident, $counters:path, $name:literal, $help:literal, $label:literal;
     $($value:literal = $field:ident;)*) => {{
        let reads: Vec<(_, Read)> = vec![$({
            let source = Arc::clone(&$source);
            ($value, Box::new(move || read(&$counters(&source).$field)))
        }),*];
        $metrics.counters_by($name, $help, $label, reads);
    }};
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn own<T>(counters: &T) -> &T {
    counters
}

/// The process itself.
pub fn process(metrics: &mut Metrics) {
    let started = process::now_unix_s();
    metrics
        .gauge("process_start_time_seconds", "When the process started, in seconds since the epoch.", move || started);
    metrics.gauge("process_resident_memory_bytes", "Resident memory.", process::resident_bytes);
    metrics.gauge("process_open_fds", "Open file descriptors.", process::open_file_descriptors);
    metrics.counter("process_cpu_centiseconds", "Processor time used, user and system.", process::cpu_centiseconds);
}

/// How much the process carries.
pub fn load(metrics: &mut Metrics, load: Arc<Load>) {
    let gauge = |read: fn(&Load) -> u64| {
        let load = Arc::clone(&load);
        move || read(&load)
    };
    metrics.gauge(
        "memory_booked_bytes",
        "What waits for clients that do not read and for sessions, is in flight, or not whole yet.",
        gauge(|load| load.memory().used()),
    );
    metrics.gauge(
        "memory_max_bytes",
        "How much of that there may be; 0: any.",
        gauge(|load| load.memory().max().unwrap_or(0)),
    );
    metrics.gauge(
        "event_loop_lag_milliseconds",
        "How late a task ran that was due, when that was last measured.",
        gauge(Load::lag_ms),
    );
    metrics.gauge(
        "overloaded",
        "1 while newcomers are turned away, as there is too much of memory or lag.",
        gauge(|load| u64::from(load.overload().is_some())),
    );
}

/// What faces the network.
pub fn edge(metrics: &mut Metrics, counters: Arc<EdgeCounters>) {
    rows! { metrics, counters, own;
        counter "edge_connections_accepted" = connections_accepted, "TCP connections taken from the listen queues.";
        gauge "edge_connections_open" = connections_open, "Connections open, from accept to close.";
        counter "edge_connections_refused_full" = connections_refused_full, "Connections closed at once as connections_max were open.";
        counter "edge_addresses_forgotten" = addresses_forgotten, "Addresses whose rate was forgotten before its time, as addresses_remembered_max were known.";
        counter "edge_handshakes_shed" = handshakes_shed, "Handshakes ended as the oldest when handshaking_max were under way.";
        counter "edge_accept_errors" = accept_errors, "Failures to accept: out of file descriptors or memory.";
        counter "edge_proxy_headers_accepted" = proxy_headers_accepted, "PROXY protocol headers that were taken.";
        counter "edge_tls_handshakes" = tls_handshakes, "TLS handshakes that succeeded.";
        counter "edge_client_certificates" = client_certificates, "TLS handshakes that brought a verified client certificate.";
        counter "edge_client_certificates_revoked" = client_certificates_revoked, "Connections ended by a reload, as the certificate that their client had shown is no longer accepted.";
        gauge "edge_tls_certificate_not_after_seconds" = certificate_not_after_s, "When the first of the server's certificates expires, in seconds since 1970.";
        gauge "edge_tls_crl_next_update_seconds" = crl_next_update_s, "When the first revocation list of client certificates is overdue, in seconds since 1970.";
        counter "edge_acme_issued" = acme_issued, "Certificates that an authority has issued to this process.";
        counter "edge_acme_failed" = acme_failed, "Attempts to have a certificate issued that failed.";
        counter "edge_acme_proofs" = acme_proofs, "Handshakes and pages by which somebody looked for the proof that a name leads here.";
        gauge "edge_acme_certificate_not_after_seconds" = acme_not_after_s, "When the certificate that an authority has issued expires, in seconds since 1970; 0: there is none.";
        counter "edge_http_requests" = http_requests, "HTTP requests whose head was whole and sound.";
        counter "edge_http_malformed" = http_malformed, "HTTP connections closed for a head that was malformed or too large.";
        counter "edge_http_head_timed_out" = http_head_timed_out, "HTTP connections closed as a head did not come in time.";
        counter "edge_http2_connections" = http2_connections, "Connections of HTTP/2.";
        gauge "edge_http2_streams_open" = http2_streams_open, "Requests and WebSockets of HTTP/2 that are open.";
        counter "edge_http2_websockets" = http2_websockets, "WebSockets opened on streams of HTTP/2.";
        counter "edge_http2_streams_stalled" = http2_streams_stalled, "Answers over HTTP/2 cut as their client had no room for them in time.";
        counter "edge_answers_compressed" = answers_compressed, "Answers compressed on their way.";
        counter "edge_answers_not_compressed" = answers_not_compressed, "Answers that went as they were, as compress.answers_max were being compressed.";
        counter "edge_proxy_requests" = proxy_requests, "Requests for servers behind.";
        counter "edge_proxy_retries" = proxy_retries, "Requests put to another server, as the first one failed.";
        counter "edge_proxy_connections_opened" = proxy_connections_opened, "Connections opened to servers behind.";
        counter "edge_proxy_servers_out" = proxy_servers_out, "Times a server behind was left alone for its failures.";
        counter "edge_proxy_answers_cut" = proxy_answers_cut, "Answers that servers behind cut short, or stopped sending.";
        counter "edge_proxy_tunnels" = proxy_tunnels, "WebSockets to servers behind.";
        gauge "edge_proxy_tunnels_open" = proxy_tunnels_open, "WebSockets to servers behind that are open.";
        counter "edge_proxy_tunnels_timed_out" = proxy_tunnels_timed_out, "WebSockets to servers behind on which nothing was said for too long.";
        counter "edge_handed_over" = handed_over, "Connections with every handshake below MQTT behind them.";
    }
    by_label! { metrics, counters, own, "edge_overload_refused", "Connections refused as the server was overloaded.", "reason";
        "memory" = refused_memory;
        "lag" = refused_lag;
    }
    by_label! { metrics, counters, own, "edge_overload_shed", "Connections ended before they were let in, as the server was overloaded.", "reason";
        "memory" = shed_memory;
        "lag" = shed_lag;
    }
    by_label! { metrics, counters, own, "edge_addresses_refused", "Connections refused for what their address does.", "reason";
        "rate" = addresses_refused_rate;
        "open" = addresses_refused_open;
        "handshaking" = addresses_refused_handshaking;
    }
    by_label! { metrics, counters, own,
        "edge_proxy_headers_refused", "Connections closed for want of a PROXY protocol header that is believed.", "reason";
        "malformed" = proxy_headers_malformed;
        "timeout" = proxy_headers_timed_out;
        "untrusted" = proxy_headers_untrusted;
    }
    by_label! { metrics, counters, own,
        "edge_tls_handshakes_failed", "TLS handshakes that did not succeed.", "reason";
        "tls" = tls_handshakes_failed;
        "client_certificate" = client_certificates_refused;
        "timeout" = tls_handshakes_timed_out;
    }
    by_label! { metrics, counters, own, "edge_http2_refused", "Connections of HTTP/2 ended for what the client does.", "reason";
        "control_frames" = http2_floods_control;
        "resets" = http2_floods_resets;
        "violation" = http2_violations;
        "stalled" = http2_connections_stalled;
    }
    by_label! { metrics, counters, own, "edge_proxy_failures", "Requests that no server behind has answered.", "reason";
        "busy" = proxy_refused_busy;
        "unreachable" = proxy_unreachable;
        "timeout" = proxy_timed_out;
        "unsound" = proxy_unsound_answers;
        "content_too_large" = proxy_uploads_too_large;
        "content_cut" = proxy_uploads_cut;
    }
    by_label! { metrics, counters, own, "edge_upgrades_refused", "WebSocket upgrades refused.", "reason";
        "origin" = upgrades_refused_origin;
        "subprotocol" = upgrades_refused_subprotocol;
        "malformed" = upgrades_refused_malformed;
    }
}

/// Network Connections.
pub fn connection(metrics: &mut Metrics, counters: Arc<ConnectionCounters>) {
    rows! { metrics, counters, own;
        gauge "connection_open" = open, "Network Connections open.";
        counter "connection_accepted" = accepted, "Network Connections that reached the dialect.";
        counter "connection_connected" = connected, "CONNECTs answered with success.";
        counter "connection_received_bytes" = received_bytes, "Bytes read from clients, after TLS.";
        counter "connection_sent_bytes" = sent_bytes, "Bytes written to clients, before TLS.";
        counter "connection_connects_received" = connects_received, "CONNECT packets from clients.";
        counter "connection_packets_received" = packets_received, "Packets and JSON messages from clients.";
        counter "connection_answers_sent" = answers_sent, "Packets to clients but PUBLISH.";
        counter "connection_publishes_received" = publishes_received, "PUBLISH packets from clients.";
        counter "connection_publish_bytes_received" = publish_bytes_received, "Payload bytes of PUBLISH packets from clients.";
        counter "connection_outbox_full" = outbox_full, "Times that an outbox had no room for a message.";
        counter "connection_readers_cut" = readers_cut, "Connections cut as the largest of those that do not read, as memory_max was reached.";
        counter "connection_too_large" = too_large, "Messages larger than their receiver accepts.";
        counter "connection_topic_aliases_remapped" = topic_aliases_remapped, "Outgoing Topic Aliases given to another topic, as every one was taken.";
        counter "connection_frame_faults" = frame_faults, "WebSockets closed for a violation of RFC 6455 or of its limits.";
        counter "connection_publishers_slowed" = publishers_slowed, "Times that a client began to publish faster than its role may, and was read no faster.";
        counter "connection_tokens_warned" = tokens_warned, "Clients that were due a warning, as their token expires soon.";
        counter "connection_pings_unanswered" = pings_unanswered, "WebSockets closed as nothing came after pings.";
        counter "connection_logins_penalized" = logins_penalized, "Logins refused unseen, as too many from their address had failed.";
        counter "connection_logins_delayed" = logins_delayed, "Failed logins that were told so only after a while.";
        counter "connection_tokens_renewed" = tokens_renewed, "Tokens replaced in session by a later one.";
        counter "connection_tokens_expired" = tokens_expired, "Connections closed as their token had expired.";
        counter "connection_envelopes_verified" = envelopes_verified, "Messages whose envelope was opened, Wills included.";
        gauge "connection_envelopes_remembered" = envelopes_remembered, "Envelopes remembered against replay, as of the last one.";
        counter "policy_reviews" = policy_reviews, "Times that a policy was put in place of another and every session judged again.";
        counter "connection_json_mistakes" = json_mistakes, "JSON messages answered with an error frame.";
    }
    by_label! { metrics, counters, own, "connection_denied", "Operations refused by policy.", "action";
        "connect" = connects_denied;
        "publish" = publishes_denied;
        "subscribe" = subscriptions_denied;
    }
    by_label! { metrics, counters, own,
        "connection_connects_refused", "CONNECTs refused for how many there are, of a user or a Client Identifier.", "reason";
        "user_full" = connects_refused_user_full;
        "client_id_in_use" = connects_refused_in_use;
        "client_id_full" = connects_refused_client_id_full;
        "takeovers" = connects_refused_takeovers;
    }
    by_label! { metrics, counters, own, "connection_envelopes_refused", "Messages refused for their envelope.", "reason";
        "malformed" = envelopes_malformed;
        "token" = envelopes_bad_token;
        "stale" = envelopes_stale;
        "replayed" = envelopes_replayed;
        "window_full" = envelopes_window_full;
    }
    let closed = ReasonCode::ALL.iter().map(|&reason| {
        let counters = Arc::clone(&counters);
        let read: Read = Box::new(move || counters.closed(reason));
        (reason.name(), read)
    });
    metrics.counters_by("connection_closed", "Connections closed by the server.", "reason", closed.collect());
}

/// Who came in, and who did not.
pub fn auth(metrics: &mut Metrics, counters: &Arc<AuthCounters>) {
    fn keys(counters: &AuthCounters) -> &KeyCounters {
        &counters.keys
    }
    by_label! { metrics, counters, own, "auth_answers", "Answers to who a client is.", "answer";
        "accepted" = accepted;
        "anonymous" = anonymous;
        "bad_credentials" = bad_credentials;
        "not_authorized" = not_authorized;
        "unavailable" = unavailable;
        "unknown_method" = unknown_method;
        "not_proven" = not_proven;
    }
    rows! { metrics, counters, own;
        counter "auth_waiting_full" = waiting_full, "Logins refused at once, as waiting_max were waiting.";
    }
    rows! { metrics, counters, keys;
        counter "auth_key_fetches" = fetches, "Times that the token keys were asked for at their URL.";
        counter "auth_key_changes" = changes, "Times that other token keys were found.";
        counter "auth_key_failures" = failures, "Times that the token keys could not be had or were faulty.";
        gauge "auth_keys_fetched_timestamp_seconds" = fetched_at_s, "When the token keys were last had from their URL, in seconds since the epoch.";
    }
    tokens(metrics, counters);
    http(metrics, counters);
}

/// The HTTP server that is asked.
fn http(metrics: &mut Metrics, counters: &Arc<AuthCounters>) {
    fn http(counters: &AuthCounters) -> &HookCounters {
        &counters.http
    }
    rows! { metrics, counters, http;
        counter "auth_http_requests" = requests, "Questions to the authentication service.";
        counter "auth_http_shared" = shared, "Logins that waited for an answer that another one had asked for.";
        gauge "auth_http_under_way" = under_way, "Questions to the authentication service that wait for their answer.";
        gauge "auth_http_cached" = cached, "Answers of the authentication service that are kept, as of the last one.";
    }
    by_label! { metrics, counters, http, "auth_http_answers", "Answers of the authentication service.", "answer";
        "allowed" = allowed;
        "denied" = denied;
    }
    by_label! { metrics, counters, http, "auth_http_failures", "Questions that the authentication service did not answer.", "reason";
        "connect" = failed_connect;
        "timeout" = failed_timeout;
        "cut" = failed_cut;
        "status" = failed_status;
        "answer" = failed_answer;
    }
    by_label! { metrics, counters, http, "auth_http_cache_hits", "Logins answered by what the authentication service said before.", "answer";
        "allowed" = cached_allowed;
        "denied" = cached_denied;
        "stale" = cached_stale;
    }
}

fn tokens(metrics: &mut Metrics, counters: &Arc<AuthCounters>) {
    let accepted = Arc::clone(counters);
    metrics.counter("auth_tokens_accepted", "Tokens that were right.", move || read(&accepted.tokens.accepted));
    let rejected = Rejected::ALL.iter().map(|&reason| {
        let counters = Arc::clone(counters);
        let read: Read = Box::new(move || counters.tokens.rejected(reason));
        (reason.label(), read)
    });
    metrics.counters_by("auth_tokens_rejected", "Tokens that were not accepted.", "reason", rejected.collect());
}

/// Changed files, and what became of them.
pub fn reload(metrics: &mut Metrics, counters: Arc<ReloadCounters>) {
    rows! { metrics, counters, own;
        counter "reloads" = reloads, "Reloads that were taken.";
        counter "reloads_failed" = reloads_failed, "Reloads that changed nothing, as something was at fault.";
        counter "reload_looks" = reload_looks, "Times that files were looked at, as something had happened in their folders.";
        gauge "reload_folders_watched" = reload_folders_watched, "Folders watched at present; 0: only SIGHUP and the admin API reload.";
        gauge "reload_taken_timestamp_seconds" = reload_taken_at_s, "When the configuration was last taken, in seconds since the epoch.";
    }
}

/// Sessions and routing.
pub fn engine(metrics: &mut Metrics, engine: Arc<Engine>) {
    fn counters(engine: &Engine) -> &EngineCounters {
        engine.counters()
    }
    rows! { metrics, engine, counters;
        counter "engine_messages_received" = messages_received, "Messages given to the engine, Wills included.";
        counter "engine_deliveries" = deliveries, "Messages appended to a connection for the first time.";
        counter "engine_redeliveries" = redeliveries, "Messages appended again after a reconnect.";
        counter "engine_delivered_bytes" = delivered_bytes, "Payload bytes of messages appended to a connection.";
        counter "engine_queued" = queued, "Messages put into a session's queue.";
        counter "engine_handed_on" = handed_on, "Messages of Shared Subscriptions that another member got, as the one they were for left.";
        counter "engine_slow_disconnected" = slow_disconnected, "Connections closed as their client was too slow for a topic of slow_clients.";
        counter "engine_retained_refused" = retained_refused, "Messages that could not be retained for want of room.";
        counter "engine_sessions_refused" = sessions_refused, "Sessions refused as sessions_max was reached.";
        counter "engine_sessions_expired" = sessions_expired, "Sessions whose Session Expiry Interval passed.";
        counter "engine_takeovers" = takeovers, "Sessions taken over by another Network Connection.";
        counter "engine_subscriptions_refused" = subscriptions_refused, "Subscriptions refused for want of room.";
        counter "engine_wills_published" = wills_published, "Wills published.";
        counter "policy_sessions_reviewed" = sessions_reviewed, "Sessions judged again, by a new policy or for who came back to them.";
        gauge "engine_sessions" = sessions, "Sessions at present.";
        gauge "engine_sessions_connected" = sessions_connected, "Sessions with a Network Connection at present.";
        gauge "engine_subscriptions" = subscriptions, "Subscriptions at present.";
        gauge "engine_shared_subscriptions" = shared_subscriptions, "Shared Subscriptions at present.";
        gauge "engine_retained_messages" = retained_messages, "Retained messages at present.";
        gauge "engine_retained_bytes" = retained_bytes, "Bytes of the retained messages at present.";
    }
    by_label! { metrics, engine, counters, "policy_revoked", "What was granted and is not granted any more.", "what";
        "subscription" = subscriptions_revoked;
        "message" = messages_revoked;
        "will" = wills_revoked;
    }
    by_label! { metrics, engine, counters, "engine_dropped", "Messages that did not reach a receiver.", "reason";
        "offline" = dropped_offline;
        "outbox_full" = dropped_outbox_full;
        "queue_full_qos_0" = dropped_queue_full_qos_0;
        "queue_full" = dropped_queue_full;
        "conflated" = dropped_conflated;
        "memory" = dropped_memory;
        "too_large" = dropped_too_large;
        "expired" = dropped_expired;
        "closed" = dropped_closed;
        "session_ended" = dropped_session_ended;
        "denied" = dropped_denied;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Exposition;

    fn all() -> Metrics {
        let mut metrics = Metrics::default();
        process(&mut metrics);
        load(&mut metrics, Arc::default());
        edge(&mut metrics, Arc::default());
        connection(&mut metrics, Arc::default());
        auth(&mut metrics, &Arc::default());
        metrics
    }

    #[test]
    fn names_are_unique_and_sound() {
        let mut names: Vec<_> = all().names().collect();
        let sound = |name: &String| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(names.iter().all(sound), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_counter_shows_under_its_name() {
        let counters = Arc::new(EdgeCounters::default());
        let mut metrics = Metrics::default();
        edge(&mut metrics, Arc::clone(&counters));
        counters.upgrades_refused_origin.fetch_add(7, Ordering::Relaxed);
        let rendered = Exposition::new(metrics).render();
        assert!(rendered.contains("tidegate_edge_upgrades_refused_total{reason=\"origin\"} 7\n"), "{rendered}");
    }

    #[test]
    fn no_counter_is_seen_by_nobody() {
        let catalogue = include_str!("catalogue.rs");
        for counters in [
            include_str!("../auth/counters.rs"),
            include_str!("../edge/counters.rs"),
            include_str!("../connection/counters.rs"),
            include_str!("../engine/counters.rs"),
            include_str!("reloads.rs"),
        ] {
            let fields = counters.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
            let fields: Vec<_> = fields.filter(|(_, of)| of.contains("AtomicU64")).map(|(name, _)| name).collect();
            assert!(fields.len() > 4, "the fields are found");
            for name in fields {
                assert!(catalogue.contains(&format!("= {name}")), "{name} is counted and not named");
            }
        }
    }
}
