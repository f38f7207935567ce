//! A file that is written beside its place, and put there when it is whole.
//!
//! Until then it has a hidden name of its own; what a process left behind that
//! was killed is removed by the next who writes into the same folder. Whoever
//! puts a file into its place holds the lock of the folder, so that of several
//! at once each sees what the one before has done.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, PermissionsExt};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs;
use weir_core::{Error, Kind, Result};
use weir_formats::Output;

use crate::format::Packing;
use crate::sink::check_stream;
use crate::source::Shared;
use weir_kit::beneath::{KERNEL_SYSTEMS, failed, not_allowed};

/// What names of files that are not whole begin with.
pub const PREFIX: &str = ".weir-";

/// How long the lock of a folder is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Level of Zstandard: about the speed of a disk.
const ZSTD_LEVEL: i32 = 3;

/// Where a file goes.
pub struct Place {
    root: Dir,
    /// The deepest folder of the path that is there.
    folder: Dir,
    /// The rest of the path, below that folder.
    rest: String,
    path: String,
}

impl Place {
    /// The place of `path`; refused where nothing may be written.
    pub fn of(shared: &Shared, path: &str) -> Result<Self> {
        check_stream(shared, path)?;
        if shared.rules.paths.read_only {
            return Err(
                Error::new(Kind::Forbidden, "this service writes no local files")
                    .code("path_not_allowed")
                    .hint("its operator set WEIR_FILE_READ_ONLY"),
            );
        }
        let root = shared.root()?;
        let own = |error: &io::Error| failed(path, error);
        let mut folder = root.try_clone().map_err(|error| own(&error))?;
        let mut rest = path;
        while let Some((first, below)) = rest.split_once('/') {
            folder = match folder.open_dir(first) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => {
                    // A link of several steps must be seen as a whole.
                    let so_far = &path[..path.len() - below.len() - 1];
                    root.open_dir(so_far).map_err(|error| own(&error))?
                }
            };
            rest = below;
        }
        let system = statfs::fstatfs(&folder).map_err(|error| own(&error.into()))?;
        if KERNEL_SYSTEMS.contains(&system.filesystem_type()) {
            return Err(not_allowed(path, "it is not on a disk"));
        }
        let place = Place {
            rest: rest.to_owned(),
            path: path.to_owned(),
            root,
            folder,
        };
        place.is_there()?;
        Ok(place)
    }

    /// Whether there is a file; refused where there is something else.
    pub fn is_there(&self) -> Result<bool> {
        match self.root.symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => Ok(true),
            Ok(found) if found.is_symlink() => Err(not_allowed(
                &self.path,
                "it is a link; write to what it leads to",
            )),
            Ok(_) => Err(not_allowed(&self.path, "it is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&self.path, &error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Error {
        written(&self.path, error)
    }
}

/// What the system says of writing.
fn written(path: &str, error: &io::Error) -> Error {
    use nix::libc::{EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS};
    match error.raw_os_error() {
        Some(ENOSPC | EDQUOT | EFBIG) => Error::source(
            weir_core::SourceFault::Unavailable,
            format!("there is no room to write `{path}`"),
        )
        .code("target_full")
        .hint("make room on the disk of the folder, and send the rows again"),
        Some(EACCES | EPERM | EROFS) => Error::source(
            weir_core::SourceFault::Permission,
            format!("the service's account may not write `{path}`"),
        )
        .hint("give it the right to write into the folder"),
        _ => failed(path, error),
    }
    .detail(error)
}

enum Packer {
    Plain(File),
    Gzip(Box<flate2::write::GzEncoder<File>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, File>>),
}

/// A file that has not its name yet; dropping it removes it.
pub struct Temporary {
    named: Named,
    packer: Packer,
}

/// The name that a file has for the time being.
struct Named {
    place: Place,
    name: String,
    is_gone: bool,
    /// Tells others that somebody is still at it.
    _lock: Option<Flock<File>>,
}

impl Drop for Named {
    fn drop(&mut self) {
        if !self.is_gone && self.place.folder.remove_file(&self.name).is_err() {
            tracing::warn!("a file that was not finished could not be removed");
        }
    }
}

impl Temporary {
    /// An empty file in the folder of `place`.
    pub fn beside(place: Place) -> Result<Self> {
        sweep(&place.folder);
        let (file, named) = Named::fresh(place)?;
        Ok(Temporary {
            named,
            packer: Packer::Plain(file),
        })
    }

    /// The same, packed from here on.
    pub fn packed(self, packing: Packing) -> Result<Self> {
        let Packer::Plain(file) = self.packer else {
            return Err(Error::internal("a file packed twice"));
        };
        let packer = match packing {
            Packing::Plain => Packer::Plain(file),
            Packing::Gzip => {
                // No name and no time: equal rows are equal bytes.
                Packer::Gzip(Box::new(flate2::write::GzEncoder::new(
                    file,
                    flate2::Compression::default(),
                )))
            }
            Packing::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL);
                Packer::Zstd(Box::new(encoder.map_err(|e| self.named.place.failed(&e))?))
            }
        };
        Ok(Temporary { packer, ..self })
    }

    /// Appends what was encoded.
    pub fn write(&mut self, mut out: Output) -> Result<()> {
        for chunk in out.take() {
            let wrote = match &mut self.packer {
                Packer::Plain(file) => file.write_all(&chunk),
                Packer::Gzip(packer) => packer.write_all(&chunk),
                Packer::Zstd(packer) => packer.write_all(&chunk),
            };
            wrote.map_err(|error| self.named.place.failed(&error))?;
        }
        Ok(())
    }

    /// The file, whole and on the disk.
    pub fn sealed(self) -> Result<Sealed> {
        let file = match self.packer {
            Packer::Plain(file) => Ok(file),
            Packer::Gzip(packer) => packer.finish(),
            Packer::Zstd(packer) => packer.finish(),
        };
        let synced = file.and_then(|file| file.sync_all().map(|()| file));
        let file = synced.map_err(|error| self.named.place.failed(&error))?;
        Ok(Sealed {
            named: self.named,
            file,
        })
    }
}

impl Named {
    fn fresh(place: Place) -> Result<(File, Self)> {
        let mut id = [0_u8; 8];
        let name = loop {
            fill(&mut id);
            let name = format!("{PREFIX}{}.tmp", u64::from_ne_bytes(id));
            if !place.folder.exists(&name) {
                break name;
            }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o666);
        let file = place.folder.open_with(&name, &options);
        let file = file.map_err(|error| place.failed(&error))?.into_std();
        let lock = file.try_clone().ok();
        let lock = lock.and_then(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).ok());
        let named = Named {
            place,
            name,
            is_gone: false,
            _lock: lock,
        };
        Ok((file, named))
    }

    /// Takes over who may do what with the file that was there.
    fn like_before(&self, file: &File) {
        if let Ok(before) = self.place.root.metadata(&self.place.path) {
            let mode = before.permissions().mode() & 0o777;
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            if let Err(error) = file.set_permissions(permissions) {
                tracing::debug!(%error, "a file keeps the permissions of a new one");
            }
        }
    }

    /// Gives the file its name.
    fn put(&mut self) -> Result<()> {
        let Place { folder, rest, .. } = &self.place;
        let named = || -> io::Result<()> {
            if let Some((folders, _)) = rest.rsplit_once('/') {
                folder.create_dir_all(folders)?;
            }
            folder.rename(&self.name, folder, rest)
        };
        named().map_err(|error| self.place.failed(&error))?;
        self.is_gone = true;
        // From here on it is there; a machine that fails now may forget the name.
        let parent = rest.rsplit_once('/').map_or(".", |(folders, _)| folders);
        if let Err(error) = self
            .place
            .folder
            .open(parent)
            .and_then(|dir| dir.sync_all())
        {
            tracing::warn!(%error, "the folder of a written file could not be synced");
        }
        Ok(())
    }
}

/// Numbers that nobody else has: of the clock, the process and a counter.
fn fill(id: &mut [u8; 8]) {
    use std::hash::{BuildHasher, Hasher};
    // Each state is made with random keys.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    *id = hasher.finish().to_ne_bytes();
}

/// Removes what nobody is at any more.
fn sweep(folder: &Dir) {
    let Ok(entries) = folder.entries() else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else {
            continue;
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW);
        let Ok(file) = folder.open_with(name, &options) else {
            continue;
        };
        // Made a moment ago, it may not be locked yet.
        let age = file.metadata().ok().and_then(|found| found.modified().ok());
        let age = age
            .and_then(|at| at.into_std().elapsed().ok())
            .unwrap_or_default();
        let is_left = Flock::lock(file.into_std(), FlockArg::LockExclusiveNonblock).is_ok();
        if is_left && age > LOCK_WAIT && folder.remove_file(name).is_ok() {
            tracing::info!("removed a file that was never finished");
        }
    }
}

fn is_ours(name: &str) -> bool {
    let middle = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(".tmp"));
    middle.is_some_and(|middle| !middle.is_empty() && middle.bytes().all(|b| b.is_ascii_digit()))
}

/// A file that is whole and only lacks its name.
pub struct Sealed {
    named: Named,
    file: File,
}

impl Sealed {
    /// Waits for whoever else puts files into the folder.
    #[expect(
        clippy::disallowed_methods,
        reason = "files are worked with on threads that may block"
    )]
    pub fn lock(self) -> Result<Locked> {
        let place = &self.named.place;
        let end = Instant::now() + LOCK_WAIT;
        // The handle of the folder itself is one for paths only.
        let folder = place.folder.open(".").map_err(|e| place.failed(&e))?;
        let mut folder = folder.into_std();
        loop {
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    return Ok(Locked {
                        sealed: self,
                        _lock: lock,
                    });
                }
                Err((again, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < end => {
                    folder = again;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(busy(&place.path)),
                Err((_, error)) => return Err(place.failed(&error.into())),
            }
        }
    }
}

fn busy(path: &str) -> Error {
    Error::source(
        weir_core::SourceFault::Unavailable,
        format!(
            "somebody else is writing beside `{path}` for {} s",
            LOCK_WAIT.as_secs()
        ),
    )
    .code("target_locked")
    .hint("try again later")
}

/// A file that nobody else can come before.
pub struct Locked {
    sealed: Sealed,
    _lock: Flock<File>,
}

impl Locked {
    /// Whether there is a file of that name.
    pub fn is_there(&self) -> Result<bool> {
        self.sealed.named.place.is_there()
    }

    /// Puts the file into its place; `point` is asked right before. Tells
    /// whether there was none.
    pub fn instead(mut self, point: &dyn Fn() -> Result<()>) -> Result<bool> {
        let is_new = !self.is_there()?;
        if !is_new {
            self.sealed.named.like_before(&self.sealed.file);
        }
        point()?;
        self.sealed.named.put()?;
        Ok(is_new)
    }

    /// Puts the rows of the file behind those that are there. `end` comes between
    /// them where the last line has none.
    pub fn behind(mut self, end: &[u8], point: &dyn Fn() -> Result<()>) -> Result<()> {
        let place = self.sealed.named.place.again()?;
        let path = place.path.clone();
        let own = |error: io::Error| written(&path, &error);
        let before = place.root.open(&place.path).map_err(own)?.into_std();
        let (mut file, mut named) = Named::fresh(place)?;
        let mut reader = &before;
        let length = io::copy(&mut reader, &mut file).map_err(own)?;
        let mut last = [0];
        if length > 0 && !end.is_empty() {
            before.read_exact_at(&mut last, length - 1).map_err(own)?;
            if last != *b"\n" {
                file.write_all(end).map_err(own)?;
            }
        }
        self.sealed.file.seek(SeekFrom::Start(0)).map_err(own)?;
        io::copy(&mut self.sealed.file, &mut file).map_err(own)?;
        file.sync_all().map_err(own)?;
        named.like_before(&file);
        point()?;
        named.put()
    }
}

impl Place {
    /// The same place, for another file.
    fn again(&self) -> Result<Self> {
        let clone = |dir: &Dir| dir.try_clone().map_err(|error| self.failed(&error));
        Ok(Place {
            root: clone(&self.root)?,
            folder: clone(&self.folder)?,
            rest: self.rest.clone(),
            path: self.path.clone(),
        })
    }
}
