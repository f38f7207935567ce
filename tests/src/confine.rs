//! A limit of memory around a running process: the kernel's where this account
//! may set one, else only what is measured.

use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// The group of the kernel that bounds memory, version 1 and 2.
const GROUPS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

/// A group with a limit, with one process in it; taken away when dropped.
#[derive(Debug)]
pub struct Confined {
    folder: PathBuf,
    home: PathBuf,
}

impl Confined {
    /// Puts `pid` into a new group of `bytes`; nothing where that is not allowed.
    pub fn enter(pid: Pid, bytes: u64) -> Option<Self> {
        GROUPS
            .iter()
            .find_map(|(home, limit)| Confined::within(Path::new(home), limit, pid, bytes))
    }

    fn within(home: &Path, limit: &str, pid: Pid, bytes: u64) -> Option<Self> {
        let folder = home.join(crate::unique("weir-test"));
        std::fs::create_dir(&folder).ok()?;
        let group = Confined {
            folder,
            home: home.to_owned(),
        };
        std::fs::write(group.folder.join(limit), bytes.to_string()).ok()?;
        // Memory of the limit must not hide on disk, where there is a swap.
        for (name, value) in [("memory.swappiness", "0"), ("memory.swap.max", "0")] {
            let path = group.folder.join(name);
            if path.exists() {
                std::fs::write(path, value).ok()?;
            }
        }
        std::fs::write(group.folder.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(group)
    }

    /// What kind of limit it is.
    pub fn kind(&self) -> &'static str {
        if self.folder.join("memory.max").exists() {
            "cgroup v2"
        } else {
            "cgroup v1"
        }
    }

    /// The most that the group used, page cache included, in bytes.
    pub fn peak(&self) -> Option<u64> {
        ["memory.max_usage_in_bytes", "memory.peak"]
            .iter()
            .find_map(|name| std::fs::read_to_string(self.folder.join(name)).ok())
            .and_then(|text| text.trim().parse().ok())
    }

    /// How often the kernel ended a process of the group.
    pub fn kills(&self) -> u64 {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let text = read("memory.events") + &read("memory.oom_control");
        text.lines()
            .filter_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let processes = std::fs::read_to_string(self.folder.join("cgroup.procs"));
        for process in processes.unwrap_or_default().lines() {
            let _gone = std::fs::write(self.home.join("cgroup.procs"), process);
        }
        let _left = std::fs::remove_dir(&self.folder);
    }
}
