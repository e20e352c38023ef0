//! What the system knows about this process, from `/proc`; 0 where it does not say.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Resident memory in bytes.
pub(super) fn resident_bytes() -> u64 {
    status_field("VmRSS:").map_or(0, |kibibytes| kibibytes * 1024)
}

/// How much memory the process may have: what its control group allows, or else what the machine has.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let machine =
        fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal:")).map(|kib| kib * 1024);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Control groups, version 2: `0::/path`. In a container the root of what is seen is its own group.
    let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let own = format!("/sys/fs/cgroup{}/memory.max", path.trim_end_matches('/'));
    let files = [&own, "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = files.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

/// Open file descriptors.
pub(super) fn open_file_descriptors() -> u64 {
    // Since Linux 6.2 the folder's size is their number; before, it is 0, and they are counted.
    match fs::metadata("/proc/self/fd").map(|folder| folder.len()) {
        Ok(0) => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        Ok(count) => count,
        Err(_) => 0,
    }
}

/// Processor time used since the start, user and system, in hundredths of a second.
pub(super) fn cpu_centiseconds() -> u64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return 0 };
    // The name of the program comes before, in parentheses, and may hold anything (proc(5)); then utime is the 12th field, stime the
    // 13th, in ticks of which Linux shows 100 a second.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Seconds since the epoch.
pub(super) fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn status_field(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    field(&status, name)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_it_knows() {
        assert!(resident_bytes() > 100_000);
        assert!(memory_bytes().is_some_and(|bytes| bytes > resident_bytes()));
        let before = open_file_descriptors();
        let _file = fs::File::open("/proc/self/stat").expect("it is there");
        assert!(before > 2 && open_file_descriptors() > 2);
        let start = cpu_centiseconds();
        while cpu_centiseconds() == start {
            std::hint::black_box(status_field("VmRSS:"));
        }
    }
}
