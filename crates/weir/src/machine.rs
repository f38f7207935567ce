//! What the machine, or the container around the process, gives it.

use std::path::{Path, PathBuf};

/// Bytes of memory the process may have: of the machine, or of the control
/// group that bounds it.
pub fn memory() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups
        .lines()
        .flat_map(files)
        .filter_map(|file| limit(&std::fs::read_to_string(file).ok()?));
    limits.chain(of_machine()).min()
}

fn of_machine() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The limits of a group and of those around it. A line of the list is
/// `id:controllers:path`; in a container the path may be that of the host, and
/// the group's own files then lie at the top.
fn files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
    let (root, name) = match controllers {
        Some("") => ("/sys/fs/cgroup", "memory.max"),
        Some(list) if list.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = Path::new(path.unwrap_or_default().trim_start_matches('/'));
    path.ancestors()
        .map(|group| Path::new(root).join(group).join(name))
        .collect()
}

/// `max` and the enormous number of the first version mean none.
fn limit(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_found() {
        let shown = |line| -> Vec<String> {
            let files = files(line).into_iter();
            files.map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            shown("0::/a/b"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            shown("9:cpu,memory:/x"),
            [
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert!(shown("3:cpu:/x").is_empty());
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!(limit("max"), None);
        assert_eq!(limit("9223372036854771712"), None);
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
