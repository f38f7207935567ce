//! A database that is one file below a folder that the operator allows.
//!
//! The library that reads the file opens it by path, and names of its own beside
//! it. So the path is taken apart here, every part is looked at from the handle of
//! the folder, and what comes out is free of links. The file itself is never
//! opened here: closing it would drop every lock that this process has on it.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use nix::sys::statfs;
use weir_core::{Error, Kind, Result, SourceFault};
use weir_kit::PathRules;
use weir_kit::beneath::{self, KERNEL_SYSTEMS, shown};

/// Which file is wanted, and for what.
pub struct Wanted<'a> {
    /// What the operator allows.
    pub rules: &'a PathRules,
    /// Its absolute path, as the config has it.
    pub path: &'a str,
    /// What the library puts behind the name for files of its own.
    pub siblings: &'a [&'a str],
    /// Whether it is written to.
    pub write: bool,
    /// Whether it may be missing.
    pub create: bool,
}

/// A file that may be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Its path without links.
    pub path: PathBuf,
    /// Device and inode; none where it is not there yet.
    pub identity: Option<(u64, u64)>,
    /// Its size in bytes.
    pub size: u64,
}

/// Checks of `path` what needs no look at the disk.
pub fn check(path: &str) -> Result<()> {
    beneath::check_absolute(path, "/path")?;
    if path.ends_with('/') {
        return Err(Error::invalid("/path", "it names a folder, not a file"));
    }
    Ok(())
}

impl Wanted<'_> {
    /// Looks at the file and what lies beside it.
    pub fn find(&self) -> Result<DatabaseFile> {
        check(self.path)?;
        if self.write && self.rules.read_only {
            return Err(
                Error::new(Kind::Forbidden, "this service writes no local files")
                    .code("path_not_allowed")
                    .hint("its operator set WEIR_FILE_READ_ONLY"),
            );
        }
        let (folder, name) = self.parts()?;
        let dir = beneath::open_folder(self.rules, folder, "/path")?;
        let failed = |error: &io::Error| beneath::failed(self.path, error);
        let system = statfs::fstatfs(&dir).map_err(|error| failed(&error.into()))?;
        if KERNEL_SYSTEMS.contains(&system.filesystem_type()) {
            return Err(beneath::not_allowed(
                self.path,
                "it is not a file on a disk",
            ));
        }
        let found = self.look(&dir, name)?;
        if found.is_none() && !(self.write && self.create) {
            return Err(self.missing());
        }
        for sibling in self.siblings {
            self.look(&dir, &format!("{name}{sibling}"))?;
        }
        Ok(DatabaseFile {
            path: self.canonical(&dir, folder)?.join(name),
            identity: found.as_ref().map(|found| (found.dev(), found.ino())),
            size: found.map_or(0, |found| found.len()),
        })
    }

    /// The folder and the name in it.
    fn parts(&self) -> Result<(&str, &str)> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        if name.is_empty() {
            return Err(Error::invalid("/path", "it names no file"));
        }
        Ok((if folder.is_empty() { "/" } else { folder }, name))
    }

    /// What stands under `name`; refused where it is no file of its own.
    fn look(&self, dir: &Dir, name: &str) -> Result<Option<Metadata>> {
        let found = match dir.symlink_metadata(name) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(beneath::failed(self.path, &error)),
        };
        if found.is_symlink() {
            let why = "it, or a file beside it that belongs to it, is a link";
            return Err(beneath::not_allowed(self.path, why));
        }
        if !found.is_file() {
            let why = "it, or what lies beside it under a name of its own, is not a regular file";
            return Err(beneath::not_allowed(self.path, why));
        }
        if found.nlink() > 1 && !self.rules.hard_links {
            let message = format!(
                "`{}` has another name, which may be outside of the root",
                shown(self.path)
            );
            return Err(Error::new(Kind::Forbidden, message)
                .code("hard_link")
                .hint("copy the file, or have the operator set WEIR_FILE_HARD_LINKS=true"));
        }
        Ok(Some(found))
    }

    /// The path of the folder that `dir` is, without links.
    fn canonical(&self, dir: &Dir, folder: &str) -> Result<PathBuf> {
        let failed = |error: &io::Error| beneath::failed(self.path, error);
        let path = Path::new(folder).canonicalize().map_err(|e| failed(&e))?;
        let here = dir.dir_metadata().map_err(|e| failed(&e))?;
        if identity(&path).map_err(|e| failed(&e))? == (here.dev(), here.ino()) {
            return Ok(path);
        }
        let why = "its folder was changed while it was looked at";
        Err(beneath::not_allowed(self.path, why))
    }

    fn missing(&self) -> Error {
        let name = shown(self.path);
        let error = Error::source(SourceFault::NotFound, format!("no file `{name}`"));
        if self.write {
            return error.hint("create=true in the source's config makes it with the first write");
        }
        error.hint("it must exist on the machine that the service runs on")
    }
}

impl DatabaseFile {
    /// Refuses what was put into the place of the file while it was opened.
    pub fn verify(&self) -> Result<()> {
        let now = identity(&self.path).ok();
        if self.identity.is_none() || now == self.identity {
            return Ok(());
        }
        let message = "the database file was replaced while it was opened";
        Err(Error::source(SourceFault::Unavailable, message).hint("try again"))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        home: tempfile::TempDir,
        rules: PathRules,
    }

    impl Place {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("roots/mine")).unwrap();
            fs::write(home.path().join("secret.db"), "outside").unwrap();
            fs::write(home.path().join("roots/mine/a.db"), "inside").unwrap();
            let rules = PathRules {
                roots: vec![home.path().join("roots")],
                ..PathRules::default()
            };
            Place { home, rules }
        }

        fn mine(&self, name: &str) -> PathBuf {
            self.home.path().join("roots/mine").join(name)
        }

        fn find(&self, path: &Path, write: bool) -> Result<DatabaseFile> {
            let wanted = Wanted {
                rules: &self.rules,
                path: path.to_str().unwrap(),
                siblings: &["-wal", "-journal"],
                write,
                create: write,
            };
            wanted.find()
        }

        fn refusal(&self, path: &Path) -> &'static str {
            self.find(path, false).unwrap_err().stable_code()
        }
    }

    #[test]
    fn a_file_below_a_root_is_found_without_links() {
        let place = Place::new();
        let found = place.find(&place.mine("a.db"), false).unwrap();
        assert_eq!(found.size, 6);
        found.verify().unwrap();
        symlink(place.mine(""), place.home.path().join("roots/way")).unwrap();
        // An absolute link leads out of the handle, even to where it may go.
        let by_link = place.home.path().join("roots/way/a.db");
        assert_eq!(place.refusal(&by_link), "path_not_allowed");
        symlink("mine", place.home.path().join("roots/near")).unwrap();
        let near = place.find(&place.home.path().join("roots/near/a.db"), false);
        assert_eq!(near.unwrap().path, found.path);
    }

    #[test]
    fn links_second_names_and_what_is_no_file_are_refused() {
        let mut place = Place::new();
        symlink("../../secret.db", place.mine("link.db")).unwrap();
        fs::hard_link(place.home.path().join("secret.db"), place.mine("hard.db")).unwrap();
        nix::unistd::mkfifo(&place.mine("fifo.db"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(place.refusal(&place.mine("link.db")), "path_not_allowed");
        assert_eq!(place.refusal(&place.mine("fifo.db")), "path_not_allowed");
        assert!(check("/srv/data/").is_err() && check("data.db").is_err());
        assert_eq!(place.refusal(&place.mine("hard.db")), "hard_link");
        let outside = place.home.path().join("secret.db");
        assert_eq!(place.refusal(&outside), "path_not_allowed");
        assert_eq!(place.refusal(&place.mine("none.db")), "source_not_found");
        symlink("../../secret.db", place.mine("a.db-wal")).unwrap();
        assert_eq!(place.refusal(&place.mine("a.db")), "path_not_allowed");
        place.rules.roots.clear();
        assert_eq!(place.refusal(&place.mine("a.db")), "no_file_roots");
    }

    #[test]
    fn a_missing_file_is_made_by_writes_only() {
        let mut place = Place::new();
        let made = place.find(&place.mine("new.db"), true).unwrap();
        assert_eq!(made.identity, None);
        place.rules.read_only = true;
        let error = place.find(&place.mine("a.db"), true).unwrap_err();
        assert_eq!(error.stable_code(), "path_not_allowed");
    }

    #[test]
    fn a_file_that_was_replaced_is_noticed() {
        let place = Place::new();
        let found = place.find(&place.mine("a.db"), false).unwrap();
        fs::write(place.mine("b.db"), "another").unwrap();
        fs::rename(place.mine("b.db"), place.mine("a.db")).unwrap();
        assert!(found.verify().is_err());
    }
}
