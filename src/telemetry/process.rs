//! What the system knows about this process, from `/proc`; 0 where it does not say.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Resident memory in bytes.
pub(super) fn resident_bytes() -> u64 {
    status_field("VmRSS:").map_or(0, |kibibytes| kibibytes * 1024)
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
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_it_knows() {
        assert!(resident_bytes() > 100_000);
        let before = open_file_descriptors();
        let _file = fs::File::open("/proc/self/stat").expect("it is there");
        assert!(before > 2 && open_file_descriptors() > 2);
        let start = cpu_centiseconds();
        while cpu_centiseconds() == start {
            std::hint::black_box(status_field("VmRSS:"));
        }
    }
}
