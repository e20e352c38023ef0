//! Who listens where (`/proc/net/tcp`), and whether it is who should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::report::{Report, quoted};
use super::machine::Machine;
use crate::edge::EdgeConfig;

/// A socket that takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listening {
    address: SocketAddr,
    inode: u64,
}

/// The state LISTEN, as the kernel numbers it.
const LISTEN: &str = "0A";

/// What Tidegate's processes call themselves.
const OURS: &str = "tidegate";

/// Who was found at the addresses of the listeners.
pub(super) struct Found {
    /// The running server's process, as far as it may be seen.
    pub(super) process: Option<String>,
    /// Nobody listens at any address that is known.
    pub(super) is_absent: bool,
}

/// Looks at the address of every listener.
pub(super) fn check(machine: &Machine, edge: &EdgeConfig, report: &mut Report) -> Found {
    let all = listening(machine);
    let (mut process, mut absent, mut count) = (None, Vec::new(), 0);
    for listener in edge.listeners.iter().filter(|listener| listener.address.port() != 0) {
        count += 1;
        match all.iter().find(|found| overlap(found.address, listener.address)) {
            Some(found) => process = process.or(whose(machine, &listener.url, found.inode, report)),
            None => absent.push(listener.url.as_str()),
        }
    }
    if !absent.is_empty() {
        let found = format!("nobody listens on {}", absent.join(", "));
        let why = "Nobody gets in there: Tidegate does not run, or runs with another configuration.";
        let remedy = "Start it (systemctl status tidegate says why it has ended), or name its file with -c.";
        report.fault("listen", found, why, remedy);
    }
    Found { process, is_absent: count > 0 && absent.len() == count }
}

/// Tells who has the socket; the process, if it is Tidegate's.
fn whose(machine: &Machine, url: &str, inode: u64, report: &mut Report) -> Option<String> {
    let Some(process) = machine.owner(inode) else {
        report.skipped("listen", format!("{url}: somebody listens; only root sees who"));
        return None;
    };
    let name = machine.command(&process);
    if name.as_deref() == Some(OURS) {
        report.ok("listen", format!("{url}: tidegate, process {process}"));
        return Some(process);
    }
    let name = quoted(name.as_deref().unwrap_or("a process without a name"));
    let found = format!("{url} is taken by {name}, process {process}");
    let why = "Tidegate cannot listen there, and whoever comes meets another server.";
    report.fault("listen", found, why, format!("Stop {name}, or have one of the two listen elsewhere."));
    None
}

fn listening(machine: &Machine) -> Vec<Listening> {
    let texts = ["proc/net/tcp", "proc/net/tcp6"].into_iter().filter_map(|path| machine.text(path));
    texts.flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>()).collect()
}

/// `0: 0100007F:1F90 00000000:0000 0A … inode …`
fn parse(line: &str) -> Option<Listening> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    if *state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some(Listening { address, inode: inode.parse().ok()? })
}

/// Words of 32 bits, each in the machine's own order of bytes.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// Whether whoever connects to the one may meet the other.
fn overlap(found: SocketAddr, wanted: SocketAddr) -> bool {
    let (found_ip, wanted_ip) = (found.ip().to_canonical(), wanted.ip().to_canonical());
    let is_any = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
    found.port() == wanted.port()
        && (found_ip == wanted_ip || is_any(found_ip, wanted_ip) || is_any(wanted_ip, found_ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_both_versions_are_read() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        let v6 =
            "   0: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 8 1 0";
        let at = |line: &str| parse(line).map(|found| (found.address.to_string(), found.inode));
        assert_eq!(at(v4), Some(("127.0.0.1:8080".to_owned(), 4711)));
        assert_eq!(at(v6), Some(("[::1]:443".to_owned(), 8)));
        assert_eq!(at(&v4.replace(" 0A ", " 01 ")), None);
        assert_eq!(at("  sl  local_address rem_address   st"), None);
        assert_eq!(at("0: xyz 0 0A"), None);
    }

    #[test]
    fn whoever_listens_on_all_addresses_has_each() {
        let meets = |found: &str, wanted: &str| overlap(found.parse().unwrap(), wanted.parse().unwrap());
        assert!(meets("0.0.0.0:443", "127.0.0.1:443"));
        assert!(meets("[::]:443", "127.0.0.1:443"));
        assert!(meets("127.0.0.1:443", "0.0.0.0:443"));
        assert!(!meets("0.0.0.0:443", "[::1]:443"));
        assert!(!meets("127.0.0.1:443", "127.0.0.2:443"));
        assert!(!meets("0.0.0.0:443", "0.0.0.0:8443"));
    }
}
