//! What the kernel says of itself and of its processes, as text in files.

use std::fs;
use std::path::{Path, PathBuf};

/// `/proc`, `/sys` and `/run`, below a root that may be another machine's, or made up.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

/// Processes that are looked at, to find who has a socket.
const PROCESSES_MAX: usize = 100_000;

impl Machine {
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The text of a file, such as `proc/meminfo`; `None`: there is none that may be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// A file that holds one number.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// A file that holds several.
    #[must_use]
    pub fn numbers(&self, path: &str) -> Vec<u64> {
        let text = self.text(path).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The number on the line of `proc/meminfo` that begins so, in bytes.
    #[must_use]
    pub fn memory_bytes(&self, name: &str) -> Option<u64> {
        let text = self.text("proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
    }

    /// Soft and hard limit of open files of a process (`self` is the doctor's own); `u64::MAX`: unlimited.
    #[must_use]
    pub fn open_files_max(&self, process: &str) -> Option<(u64, u64)> {
        let text = self.text(&format!("proc/{process}/limits"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let limit = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
        let mut words = line.split_whitespace();
        Some((limit(words.next()?)?, limit(words.next()?)?))
    }

    /// What the memory controller allows a process and those with it, by cgroups of version 2 or 1; `None`: no limit is set.
    #[must_use]
    pub fn cgroup_memory_max(&self, process: &str) -> Option<u64> {
        let text = self.text(&format!("proc/{process}/cgroup"))?;
        let of_version = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            match (parts.next()?, parts.next()?) {
                ("", path) => Some(("sys/fs/cgroup", "memory.max", path.to_owned())),
                (names, path) if names.split(',').any(|name| name == "memory") => {
                    Some(("sys/fs/cgroup/memory", "memory.limit_in_bytes", path.to_owned()))
                }
                _ => None,
            }
        };
        let limits = text.lines().filter_map(of_version).flat_map(|(mount, file, path)| {
            // Every level above limits as well. In a container, the file may lie at the very top.
            let levels: Vec<_> = Path::new(&path).ancestors().map(Path::to_owned).collect();
            levels.into_iter().filter_map(move |level| {
                let below = level.to_string_lossy().trim_start_matches('/').to_owned();
                let place =
                    if below.is_empty() { format!("{mount}/{file}") } else { format!("{mount}/{below}/{file}") };
                self.number(&place)
            })
        });
        // Version 1 says "unlimited" by a number that no machine has.
        limits.min().filter(|bytes| *bytes < 1 << 60)
    }

    /// The names of all processes.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("proc")).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).take(PROCESSES_MAX).collect()
    }

    /// What a process calls itself.
    #[must_use]
    pub fn command(&self, process: &str) -> Option<String> {
        Some(self.text(&format!("proc/{process}/comm"))?.trim().to_owned())
    }

    /// Who has this socket open, as far as it may be known: only root sees other users' processes.
    #[must_use]
    pub fn owner(&self, inode: u64) -> Option<String> {
        let link = format!("socket:[{inode}]");
        self.processes().into_iter().find(|process| {
            let open = fs::read_dir(self.root.join(format!("proc/{process}/fd"))).into_iter().flatten();
            open.filter_map(Result::ok)
                .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == link.as_str()))
        })
    }
}
