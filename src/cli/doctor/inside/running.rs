//! What the running server says of itself on its admin listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::super::report::{Report, quoted};
use super::machine::Machine;
use crate::admin::AdminConfig;
use crate::outgoing::client::{Client, ExchangeLimits};
use crate::outgoing::{Answer, OutgoingError, Url};

/// All metrics are shorter.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What should be nothing: the series, what it means, and what to do.
const TROUBLE: [(&str, &str, &str); 20] = [
    ("edge_accept_errors", "connections could not be accepted", "Look at the limit of open files (files)."),
    (
        "edge_connections_refused_full",
        "connections were refused, as connections_max were open",
        "Raise limits.connections_max.",
    ),
    (
        "edge_handshakes_shed",
        "handshakes were ended, as too many were under way",
        "A flood, or everybody came back at once.",
    ),
    (
        "edge_addresses_refused",
        "connections were refused for what their address does",
        "See connect_refused in the log.",
    ),
    (
        "edge_proxy_headers_refused",
        "connections came without a PROXY protocol header that is believed",
        "Compare proxy_protocol and trusted_proxies with the load balancer.",
    ),
    (
        "edge_upgrades_refused",
        "WebSockets were refused for their origin, subprotocol or form",
        "Compare websocket.origins with where pages come from.",
    ),
    ("edge_proxy_failures", "requests were not answered by servers behind", "Look at those servers (behind)."),
    (
        "connection_outbox_full",
        "times a client read too slowly for what it was sent",
        "Slow clients; limits.outbox_bytes_max, or fewer messages.",
    ),
    (
        "engine_slow_disconnected",
        "clients were closed, too slow for a topic of slow_clients",
        "Those clients, or fewer messages for them.",
    ),
    ("connection_publishers_slowed", "times a client published faster than it may", "See the policy's limits."),
    (
        "connection_connects_refused",
        "logins were refused for how many there are of a user or Client Identifier",
        "Two clients may share a Client Identifier.",
    ),
    ("connection_pings_unanswered", "clients were gone without a word", "Usual with phones; else look at the network."),
    (
        "auth_waiting_full",
        "logins were refused, as too many were waiting",
        "Raise auth.waiting_max, or give it more cores.",
    ),
    ("auth_key_failures", "times the keys of tokens could not be had", "Look at the issuer (behind)."),
    ("auth_http_failures", "questions were not answered by auth.http", "Look at that server (behind)."),
    ("engine_sessions_refused", "sessions were refused", "Raise engine.sessions_max."),
    ("engine_subscriptions_refused", "Subscriptions were refused for want of room", "Raise engine.subscriptions_max."),
    (
        "engine_retained_refused",
        "messages were not retained for want of room",
        "Raise engine.retained_messages_max or retained_bytes_max.",
    ),
    ("engine_dropped", "messages did not reach a receiver", "The labels of tidegate_engine_dropped_total say why."),
    ("reloads_failed", "reloads were refused", "Run tidegate check."),
];

/// Drops of these kinds are nobody's fault.
const EXPECTED: [&str; 4] =
    ["reason=\"offline\"", "reason=\"expired\"", "reason=\"session_ended\"", "reason=\"conflated\""];

/// Asks whether it is ready, and what it has counted.
pub(super) async fn check(
    admin: &AdminConfig,
    machine: &Machine,
    process: &str,
    timeout: Duration,
    report: &mut Report,
) {
    let Some(address) = admin.listen.filter(|address| address.port() != 0) else {
        return report.skipped("running", "admin.listen names no port to ask");
    };
    match ask(address, "readyz", timeout).await {
        Ok(answer) if answer.status == 200 => report.ok("running", "ready"),
        Ok(answer) => {
            let said = quoted(String::from_utf8_lossy(&answer.body).trim());
            let why = "It takes no new clients while it starts or drains.";
            return report.fault("running", format!("not ready: {said}"), why, "Wait, or look at its log.");
        }
        Err(error) => {
            let found = format!("http://{address} does not answer: {error}");
            let why = "Nobody can see how it does, and probes take it for dead.";
            return report.fault("running", found, why, "Start it, or compare admin.listen with what runs.");
        }
    }
    match ask(address, "metrics", timeout).await {
        Ok(answer) => metrics(&String::from_utf8_lossy(&answer.body), machine, process, report),
        Err(error) => report.skipped("counters", format!("no metrics: {error}")),
    }
}

async fn ask(address: SocketAddr, path: &str, timeout: Duration) -> Result<Answer, OutgoingError> {
    // Who listens on all addresses is asked on one.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let text = format!("http://{}/{path}", SocketAddr::new(ip, address.port()));
    let malformed = |_| OutgoingError::Connect(std::io::ErrorKind::InvalidInput.into());
    let limits = ExchangeLimits { timeout, body_bytes_max: BODY_BYTES_MAX, idle_max: 0 };
    Client::new(Url::parse(&text).map_err(malformed)?, None, None, limits).get().await
}

fn metrics(page: &str, machine: &Machine, process: &str, report: &mut Report) {
    let mut is_quiet = true;
    for (name, meaning, remedy) in TROUBLE {
        let count = counted(page, name);
        if count > 0.0 {
            is_quiet = false;
            let why = format!("tidegate_{name}_total has counted it since the start.");
            report.warning("counters", format!("{count} {meaning}"), why, remedy);
        }
    }
    if is_quiet {
        report.ok("counters", "no refusals, no drops, no failures since the start");
    }
    open_files(page, machine, process, report);
}

/// The sum of a counter over all its labels.
fn counted(page: &str, name: &str) -> f64 {
    let series = format!("tidegate_{name}_total");
    let values = page.lines().filter_map(|line| line.strip_prefix(&series)).filter(|rest| rest.starts_with(['{', ' ']));
    let values = values.filter(|rest| !EXPECTED.iter().any(|label| rest.contains(label)));
    values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn open_files(page: &str, machine: &Machine, process: &str, report: &mut Report) {
    let open =
        page.lines().find_map(|line| line.strip_prefix("tidegate_process_open_fds ")?.trim().parse::<u64>().ok());
    let limit = machine.open_files_max(process).filter(|_| process != "self");
    let (Some(open), Some((limit, _))) = (open, limit) else { return };
    if open > limit / 10 * 9 {
        report.fault(
            "open-files",
            format!("{open} files are open, of {limit}"),
            "Beyond it no connection is accepted.",
            "Raise LimitNOFILE in the unit, and restart.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_but_for_what_is_nobodys_fault() {
        let page = "# HELP tidegate_engine_dropped x\ntidegate_engine_dropped_total{reason=\"offline\"} 9\n\
                    tidegate_engine_dropped_total{reason=\"queue_full\"} 2\ntidegate_engine_dropped_total{reason=\"closed\"} 1\n\
                    tidegate_engine_dropped_total_else 5\n";
        assert_eq!(counted(page, "engine_dropped"), 3.0);
    }

    /// A counter that is renamed would never be told of again.
    #[test]
    fn every_counter_is_in_the_catalogue() {
        let catalogue = include_str!("../../../telemetry/catalogue.rs");
        for (name, ..) in TROUBLE {
            assert!(catalogue.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
