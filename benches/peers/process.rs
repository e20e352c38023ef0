//! What the kernel says of a server's processes: CPU time and private memory, its children included.

use std::{fs, process::Command, time::Duration};

use anyhow::Context;

/// Clock ticks a second in `/proc/<pid>/stat`: `USER_HZ`, 100 on every Linux architecture Rust runs on.
const TICKS_PER_S: u64 = 100;

/// User and system time of `root` and all its descendants since they started.
pub(crate) fn cpu_time(root: u32) -> anyhow::Result<Duration> {
    tree(root).into_iter().map(ticks).sum::<anyhow::Result<u64>>().map(of_ticks)
}

/// User and system time of this process alone, all its threads.
pub(crate) fn own_cpu_time() -> anyhow::Result<Duration> {
    ticks(std::process::id()).map(of_ticks)
}

/// Private dirty memory of `root` and all its descendants, in bytes (`/proc/<pid>/smaps_rollup`).
pub(crate) fn private_bytes(root: u32) -> anyhow::Result<u64> {
    tree(root).into_iter().map(private_dirty).sum()
}

/// `root` and every process below it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children(parent));
        next += 1;
    }
    found
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS_PER_S)
}

fn ticks(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("{path}: the server has ended"))?;
    // The second field, the name, may hold spaces; what follows its closing parenthesis does not. utime and stime are fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    field(14).zip(field(15)).map(|(user, system)| user + system).with_context(|| format!("{path}: unknown form"))
}

fn private_dirty(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("{path}: the server has ended"))?;
    let kib =
        rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")?.split_whitespace().next()?.parse().ok());
    kib.map(|kib: u64| kib * 1024).with_context(|| format!("{path}: no Private_Dirty"))
}

/// Sends `signal` to `root` and its descendants, deepest first.
pub(crate) fn signal(root: u32, signal: &str) {
    for process in tree(root).into_iter().rev() {
        let _ = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    }
}
