//! What the system allows, against what the configuration promises.

use super::super::report::Report;
use super::machine::Machine;
use crate::config::Config;
use crate::config::units::format_size;
use crate::edge::{EdgeConfig, RouteAction};

/// Up to so many open files, nobody has raised the system's default.
const FILES_FEW: u64 = 4096;

/// Files that are open without any connection.
const FILES_BESIDE: u64 = 64;

/// An idle connection over TLS, and the most of one whose handshake runs (see `limits` in the reference).
const CONNECTION_BYTES: u64 = 9 * 1024;
const HANDSHAKE_BYTES: u64 = 50 * 1024;

/// `tcp_mem` counts pages. Where they are larger than this, there is only more room.
const PAGE_BYTES: u64 = 4096;

/// Looks at every limit; `process` is the running server's, or `self`.
pub(super) fn check(machine: &Machine, config: &Config, process: &str, report: &mut Report) {
    let release = machine.text("proc/sys/kernel/osrelease").unwrap_or_default();
    report.ok(
        "kernel",
        if release.trim().is_empty() { "unknown".to_owned() } else { format!("Linux {}", release.trim()) },
    );
    files(machine, &config.edge, process, report);
    backlog(machine, &config.edge, report);
    ports(machine, &config.edge, report);
    tracked(machine, &config.edge, report);
    memory(machine, config, process, report);
    overcommit(machine, report);
    buffers(machine, &config.edge, report);
}

fn files(machine: &Machine, edge: &EdgeConfig, process: &str, report: &mut Report) {
    let Some((soft, hard)) = machine.open_files_max(process) else {
        return report.skipped("files", "the limit of open files cannot be read");
    };
    // A running server has raised its soft limit as far as it could.
    let (limit, whose) = match process {
        "self" => (hard, "may be open in this shell (a unit of systemd has its own LimitNOFILE)".to_owned()),
        process => (soft, format!("may be open in process {process}")),
    };
    let wanted = connections_max(edge) + proxied_max(edge) + FILES_BESIDE;
    if limit >= wanted {
        return report.ok("files", format!("{limit} {whose}, {wanted} are wanted at the most"));
    }
    let found = format!("{limit} {whose}, and {wanted} are wanted by limits.connections_max");
    let why = "Beyond it no connection is accepted, however much memory is left.";
    let remedy = format!("LimitNOFILE={wanted} in the unit, or a limits.connections_max below it.");
    match limit <= FILES_FEW {
        true => report.fault("files", found, why, remedy),
        false => report.warning("files", found, why, remedy),
    }
}

fn connections_max(edge: &EdgeConfig) -> u64 {
    edge.limits.connections_max as u64
}

/// Every route that passes requests on.
pub(super) fn proxies(edge: &EdgeConfig) -> impl Iterator<Item = &crate::edge::ProxyConfig> {
    let own = edge.listeners.iter().filter_map(|listener| listener.routes.as_deref()).flatten();
    edge.routes.iter().chain(own).filter_map(|route| match &route.action {
        RouteAction::Proxy(proxy) => Some(&**proxy),
        _ => None,
    })
}

/// Connections to servers behind.
fn proxied_max(edge: &EdgeConfig) -> u64 {
    proxies(edge).map(|proxy| (proxy.to.len() * (proxy.connections_max + proxy.idle_connections_max)) as u64).sum()
}

fn backlog(machine: &Machine, edge: &EdgeConfig, report: &mut Report) {
    let wanted = u64::from(edge.limits.backlog);
    for (path, key) in [
        ("proc/sys/net/core/somaxconn", "net.core.somaxconn"),
        ("proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog"),
    ] {
        match machine.number(path) {
            None => report.skipped("backlog", format!("{key} cannot be read")),
            Some(found) if found >= wanted => report.ok("backlog", format!("{key} is {found}")),
            Some(found) => report.warning(
                "backlog",
                format!("{key} is {found}, and limits.backlog {wanted}"),
                "When all clients come back at once, those that find no room wait for seconds before they try again.",
                format!("sysctl -w {key}={wanted}, and a line in /etc/sysctl.d."),
            ),
        }
    }
}

fn ports(machine: &Machine, edge: &EdgeConfig, report: &mut Report) {
    let wanted = proxies(edge).map(|proxy| (proxy.connections_max + proxy.idle_connections_max) as u64).max();
    let range = machine.numbers("proc/sys/net/ipv4/ip_local_port_range");
    let (Some(wanted), &[first, last]) = (wanted, &*range) else { return };
    let count = last.saturating_add(1).saturating_sub(first);
    if count >= wanted {
        return report
            .ok("ports", format!("{count} ports for connections to each server behind, {wanted} at the most"));
    }
    report.warning(
        "ports",
        format!("{count} ports for connections to one server behind, and connections_max asks for {wanted}"),
        "Beyond it requests fail with 502 while the server behind is idle.",
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or reach the server by a unix socket.",
    );
}

fn tracked(machine: &Machine, edge: &EdgeConfig, report: &mut Report) {
    // There is none where nothing tracks connections.
    let Some(max) = machine.number("proc/sys/net/netfilter/nf_conntrack_max") else { return };
    let count = machine.number("proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
    let wanted = connections_max(edge) + proxied_max(edge);
    let remedy = format!(
        "sysctl -w net.netfilter.nf_conntrack_max={}, or do not track these ports.",
        wanted.max(max).saturating_mul(2)
    );
    let found = format!("nf_conntrack_max is {max}, {count} are tracked, and up to {wanted} may be wanted");
    if count > max / 10 * 9 {
        let why = "The firewall drops new connections without a word when its table is full.";
        report.fault("conntrack", found, why, remedy);
    } else if max < wanted {
        report.warning("conntrack", found, "The firewall drops new connections when its table is full.", remedy);
    } else {
        report.ok("conntrack", found);
    }
}

fn memory(machine: &Machine, config: &Config, process: &str, report: &mut Report) {
    let limits = &config.edge.limits;
    let wanted = connections_max(&config.edge) * CONNECTION_BYTES
        + limits.handshaking_max as u64 * HANDSHAKE_BYTES
        + config.engine.retained_bytes_max as u64;
    let group = machine.cgroup_memory_max(process).map(|bytes| (bytes, "its control group allows"));
    let all = machine.memory_bytes("MemTotal").map(|bytes| (bytes, "the machine has"));
    let Some((bytes, whose)) = [group, all].into_iter().flatten().min() else {
        return report.skipped("memory", "cannot be read");
    };
    let (bytes_text, wanted_text) = (mebibytes(bytes), mebibytes(wanted));
    if bytes >= wanted {
        let found =
            format!("{whose} {bytes_text}; {wanted_text} are wanted where every client is idle and all is retained");
        return report.ok("memory", found);
    }
    report.warning(
        "memory",
        format!("{whose} {bytes_text}, and idle clients and retained messages alone may want {wanted_text}"),
        "Before its limits are reached the kernel kills the process, and every client comes back at once.",
        "Lower limits.connections_max or engine.retained_bytes_max, or give it more memory.",
    );
}

fn mebibytes(bytes: u64) -> String {
    format_size(bytes.div_ceil(1 << 20).saturating_mul(1 << 20))
}

fn overcommit(machine: &Machine, report: &mut Report) {
    if machine.number("proc/sys/vm/overcommit_memory") == Some(2) {
        report.warning(
            "overcommit",
            "vm.overcommit_memory is 2: memory that is only reserved counts as used",
            "Allocations fail, and the process ends, while memory is free.",
            "sysctl -w vm.overcommit_memory=0, unless other programs on this machine need it.",
        );
    }
}

fn buffers(machine: &Machine, edge: &EdgeConfig, report: &mut Report) {
    let pages = machine.numbers("proc/sys/net/ipv4/tcp_mem");
    let (receive, send) =
        (machine.numbers("proc/sys/net/ipv4/tcp_rmem"), machine.numbers("proc/sys/net/ipv4/tcp_wmem"));
    let (&[_, _, pages_max], &[receive_min, ..], &[send_min, ..]) = (&*pages, &*receive, &*send) else { return };
    let (have, wanted) = (
        pages_max.saturating_mul(PAGE_BYTES),
        connections_max(edge).saturating_mul(receive_min.saturating_add(send_min)),
    );
    let have_text = mebibytes(have);
    if have >= wanted {
        return report.ok("buffers", format!("the kernel keeps up to {have_text} for TCP"));
    }
    report.warning(
        "buffers",
        format!("net.ipv4.tcp_mem allows {have_text}, and as many slow clients as may come hold {}", mebibytes(wanted)),
        "At this bound the kernel drops what connections send, of all of them.",
        "Raise net.ipv4.tcp_mem, or lower limits.connections_max.",
    );
}
