//! The folder that a process spills into: its own, locked while it lives, gone
//! when it ends. What a killed process left is removed by the next one to start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use weir_core::{Error, Result};

/// A folder of this process alone.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

const LOCK: &str = "lock";

/// What the names of such folders begin with. The folder around them may be
/// anybody's, and nothing else in it is ours to remove.
const PREFIX: &str = "weir-spilled-";

impl Scratch {
    /// Makes one below `base`, and removes those there that nobody holds.
    pub(crate) fn claim(base: &Path) -> Result<Self> {
        make(base)?;
        sweep(base);
        let path = base.join(format!("{PREFIX}{}", uuid::Uuid::now_v7()));
        make(&path)?;
        let lock = open(&path.join(LOCK)).map_err(Error::internal)?;
        lock.try_lock().map_err(Error::internal)?;
        Ok(Scratch { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is by the next process.
        let _left = fs::remove_dir_all(&self.path);
    }
}

fn make(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        Error::internal(format!("cannot make {}: {error}", path.display())).code("storage_full")
    })
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

/// Removes what no process holds: folders of our name that have a lock nobody
/// has. One without a lock is just being made.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::info!("removed what a process that ended had spilled");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_hold_is_not() {
        let base = tempfile::tempdir().unwrap();
        let strangers = base.path().join("strangers");
        fs::create_dir(&strangers).unwrap();
        fs::write(strangers.join(LOCK), "").unwrap();
        let dead = base.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("rows"), "spilled").unwrap();
        let living = Scratch::claim(base.path()).unwrap();
        assert!(!dead.exists());
        assert!(strangers.exists());
        let other = Scratch::claim(base.path()).unwrap();
        assert!(living.path().exists());
        let path = living.path().to_owned();
        drop((living, other));
        assert!(!path.exists());
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }
}
