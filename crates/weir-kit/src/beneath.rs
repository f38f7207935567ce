//! Opening files so that nothing outside of the root is ever read: by handles of
//! folders (on Linux `openat2` with `RESOLVE_BENEATH`), and with every decision
//! made on the opened handle, never on a path that was looked at before.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use nix::libc;
use nix::sys::statfs;
use weir_core::{Error, Kind, Result, SourceFault};

/// What the operator lets sources do with paths of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Folders below which sources may have their root; none by default.
    pub roots: Vec<PathBuf>,
    /// Whether files with several names may be read: the other name may be
    /// outside of the root.
    pub hard_links: bool,
    /// Whether no file is ever written.
    pub read_only: bool,
}

/// Bytes of a path at most; longer ones no system opens.
const PATH_BYTES: usize = 4096;

/// File systems of the kernel's own: their "files" are the machine's state, such
/// as the environment of this process.
pub const KERNEL_SYSTEMS: &[statfs::FsType] = &[
    statfs::PROC_SUPER_MAGIC,
    statfs::CGROUP_SUPER_MAGIC,
    statfs::CGROUP2_SUPER_MAGIC,
    statfs::DEBUGFS_MAGIC,
    statfs::DEVPTS_SUPER_MAGIC,
    statfs::BPF_FS_MAGIC,
    statfs::SECURITYFS_MAGIC,
    statfs::SYSFS_MAGIC,
    statfs::TRACEFS_MAGIC,
    statfs::SELINUX_MAGIC,
];

/// A regular file, opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// Its handle.
    pub file: File,
    /// What it was when it was opened.
    pub stamp: Stamp,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device and inode.
    pub identity: (u64, u64),
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed: seconds and nanoseconds.
    pub modified: (i64, i64),
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        Stamp {
            identity: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }

    /// The stamp of `file` as it is now.
    pub fn now(file: &File) -> io::Result<Self> {
        Ok(Stamp::of(&file.metadata()?))
    }
}

/// The error of a path that must not be read; it names what was asked for and
/// nothing that lies behind it.
pub fn not_allowed(path: &str, why: &str) -> Error {
    Error::new(
        Kind::Forbidden,
        format!("`{}` cannot be read: {why}", shown(path)),
    )
    .code("path_not_allowed")
    .hint("only regular files below the source's root are read; write their path as discovery gives it")
}

/// The error of a file or folder that is not there.
pub fn not_found(path: &str) -> Error {
    Error::source(
        SourceFault::NotFound,
        format!("no file `{}` below the source's root", shown(path)),
    )
    .hint("GET /v1/sources/{source}/streams lists what can be read")
}

/// A path as it may stand in a text.
pub fn shown(path: &str) -> String {
    let mut text: String = path.chars().take(200).collect();
    if text.len() < path.len() {
        text.push('…');
    }
    text.escape_debug().to_string()
}

/// Refuses what is not a plain path below a folder. `%2e` is a name like any
/// other: nothing here is decoded.
pub fn check_path(path: &str) -> Result<()> {
    if path.is_empty() || path.len() > PATH_BYTES {
        return Err(not_allowed(path, "it is empty or too long"));
    }
    if path.contains('\0') {
        return Err(not_allowed(path, "it has a NUL character"));
    }
    if path.starts_with('/') {
        return Err(not_allowed(path, "it is not below the root"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(not_allowed(path, "`.`, `..` and empty names lead nowhere"));
    }
    Ok(())
}

/// Opens the root of a source: by the handle of the allowed folder that it lies
/// below, so that it cannot lead out of that one.
pub fn open_root(rules: &PathRules, root: &str) -> Result<Dir> {
    open_folder(rules, root, "/root")
}

/// The same for a folder that the config names at `pointer`.
pub fn open_folder(rules: &PathRules, root: &str, pointer: &str) -> Result<Dir> {
    if rules.roots.is_empty() {
        return Err(
            Error::new(Kind::Forbidden, "this service may read no local files")
                .code("no_file_roots")
                .hint("its operator names the folders in WEIR_FILE_ROOTS"),
        );
    }
    let wanted = Path::new(root);
    let allowed = rules
        .roots
        .iter()
        .filter(|allowed| wanted.starts_with(allowed))
        .max_by_key(|allowed| allowed.components().count())
        .ok_or_else(|| {
            Error::new(
                Kind::Forbidden,
                format!("the folder `{}` may not be read", shown(root)),
            )
            .code("path_not_allowed")
            .at(pointer, "not below a folder that this service may read")
            .hint("its operator names the folders in WEIR_FILE_ROOTS")
        })?;
    let top = Dir::open_ambient_dir(allowed, ambient_authority());
    let top = top.map_err(|error| root_failed(root, &error))?;
    let rest = wanted.strip_prefix(allowed).unwrap_or(Path::new(""));
    if rest.as_os_str().is_empty() {
        return Ok(top);
    }
    top.open_dir(rest)
        .map_err(|error| root_failed(root, &error))
}

/// Whether `root` can be the root of a source at all.
pub fn check_root(root: &str) -> Result<()> {
    check_absolute(root, "/root")
}

/// Whether the path that the config names at `pointer` can lie below an allowed
/// folder at all.
pub fn check_absolute(root: &str, pointer: &str) -> Result<()> {
    let path = Path::new(root);
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let is_fine = path.is_absolute()
        && path.components().all(is_plain)
        && !root.contains('\0')
        && !root.split('/').any(|part| part == ".");
    if is_fine && root.len() <= PATH_BYTES {
        return Ok(());
    }
    let message = "it is an absolute path without `.` and `..`";
    Err(Error::invalid(pointer, message))
}

/// What cap-std answers where a path or a link leads out has no errno.
fn leads_out(error: &io::Error) -> bool {
    let is_escape =
        error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none();
    is_escape
        || error.raw_os_error() == Some(libc::ELOOP)
        || error.raw_os_error() == Some(libc::EXDEV)
}

fn root_failed(root: &str, error: &io::Error) -> Error {
    let root = shown(root);
    let failed = if leads_out(error) {
        Error::new(
            Kind::Forbidden,
            format!("the folder `{root}` leads out of what this service may read"),
        )
        .code("path_not_allowed")
        .hint("a link in it leads elsewhere; give the folder itself")
    } else {
        match error.raw_os_error() {
            Some(libc::ENOENT) => {
                Error::source(SourceFault::NotFound, format!("no folder `{root}`"))
                    .hint("it must exist on the machine that the service runs on")
            }
            Some(libc::ENOTDIR) => {
                Error::source(SourceFault::NotFound, format!("`{root}` is not a folder"))
                    .hint("give the folder as root, and the file as stream")
            }
            Some(libc::EACCES | libc::EPERM) => Error::source(
                SourceFault::Permission,
                format!("the service's account may not open the folder `{root}`"),
            )
            .hint("give it the right to read and to pass the folder"),
            _ => Error::source(
                SourceFault::Unavailable,
                format!("the folder `{root}` cannot be opened"),
            ),
        }
    };
    failed.detail(error)
}

/// The error of an operation on `path` that the system refused.
pub fn failed(path: &str, error: &io::Error) -> Error {
    if leads_out(error) {
        return not_allowed(path, "a link leads out of the root, or in a circle").detail(error);
    }
    let name = shown(path);
    let failed = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => not_found(path),
        Some(libc::EACCES | libc::EPERM) => Error::source(
            SourceFault::Permission,
            format!("the service's account may not read `{name}`"),
        )
        .hint("give it the right to read the file and to pass its folders"),
        // A socket, or a device without a driver.
        Some(libc::ENXIO | libc::ENODEV) => not_allowed(path, "it is not a regular file"),
        Some(libc::EISDIR) => is_folder(path),
        Some(libc::EMFILE | libc::ENFILE) => Error::new(
            Kind::Busy,
            "this service has no file handles left; try again soon",
        ),
        _ => Error::source(SourceFault::Unavailable, format!("`{name}` cannot be read")),
    };
    failed.detail(error)
}

fn is_folder(path: &str) -> Error {
    Error::source(
        SourceFault::NotFound,
        format!("`{}` is a folder", shown(path)),
    )
    .hint(format!(
        "read `{}/` or a pattern such as `{}/*.csv` to read its files as one stream",
        shown(path),
        shown(path)
    ))
}

/// Opens a regular file beneath `root`.
pub fn open_file(root: &Dir, path: &str, rules: &PathRules) -> Result<Opened> {
    check_path(path)?;
    let mut options = OpenOptions::new();
    // A FIFO without a writer would hang, a terminal would become ours.
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = root
        .open_with(path, &options)
        .map_err(|error| failed(path, &error))?
        .into_std();
    let found = file.metadata().map_err(|error| failed(path, &error))?;
    if found.is_dir() {
        return Err(is_folder(path));
    }
    if !found.is_file() {
        return Err(not_allowed(path, "it is not a regular file"));
    }
    if found.nlink() > 1 && !rules.hard_links {
        return Err(Error::new(
            Kind::Forbidden,
            format!(
                "`{}` has another name, which may be outside of the root",
                shown(path)
            ),
        )
        .code("hard_link")
        .hint("copy the file, or have the operator set WEIR_FILE_HARD_LINKS=true"));
    }
    let system = statfs::fstatfs(&file).map_err(|error| failed(path, &error.into()))?;
    if KERNEL_SYSTEMS.contains(&system.filesystem_type()) {
        return Err(not_allowed(path, "it is not a file on a disk"));
    }
    let stamp = Stamp::of(&found);
    Ok(Opened { file, stamp })
}

/// Time of last change, for listings.
pub fn modified(
    time: io::Result<cap_std::time::SystemTime>,
) -> Option<chrono::DateTime<chrono::Utc>> {
    let time: SystemTime = time.ok()?.into_std();
    Some(time.into())
}

#[cfg(test)]
mod tests;
