//! Walking a tree of folders in the order of paths, from any place on: a folder
//! stands in that order as its name with `/`, so that the walk gives exactly the
//! order of the texts, and a page goes on where the one before ended without a
//! look at anything but the folders on the way there.

use std::time::Instant;

use cap_std::fs::{Dir, FileType};
use weir_core::{Error, Kind, Result, SourceFault};

use crate::format::{self, FileFormat, Kind as FileKind};
use weir_kit::beneath;

/// Folders within folders at most; deeper ones are left out.
const MAX_DEPTH: usize = 32;

/// Names in one folder at most.
const MAX_NAMES: usize = 1_000_000;

/// What the walk looks for.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Names that start with a dot, too.
    pub hidden: bool,
    /// Every file counts as of this format.
    pub format: Option<FileFormat>,
    /// How deep below the start to go.
    pub depth: usize,
    /// Tell of folders what they hold, but do not enter them.
    pub shallow: bool,
}

/// Says when a walk must end.
pub struct Stop<'a> {
    /// An error when the caller has gone or the time is up.
    pub go_on: &'a dyn Fn() -> Result<()>,
    /// When to stop for now.
    pub until: Instant,
}

impl Stop<'_> {
    fn check(&self) -> Result<()> {
        (self.go_on)()
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// Something on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below the root; a folder's ends with `/`.
    pub path: String,
    /// What kind of file; `None` for a folder.
    pub kind: Option<FileKind>,
    /// A link, which leads to a file or not.
    pub is_link: bool,
    /// For a folder: the one format of the readable files directly in it, when
    /// it has two or more.
    pub holds: Option<FileFormat>,
}

/// How the walk went on.
pub enum Step {
    /// There is one more.
    Found(Found),
    /// The time is up; go on from this place later.
    Pause(String),
    /// That was all.
    End,
}

struct Name {
    /// With `/` behind folders.
    key: String,
    kind: Option<FileKind>,
    is_link: bool,
}

struct Frame {
    dir: Dir,
    prefix: String,
    names: Vec<Name>,
    next: usize,
}

/// A walk.
pub struct Walk {
    rules: Rules,
    frames: Vec<Frame>,
    after: Option<String>,
    last: String,
}

impl Walk {
    /// Starts in `folder` (empty, or with `/` behind), after the place `after`.
    pub fn start(
        root: &Dir,
        folder: &str,
        rules: Rules,
        after: Option<&str>,
        stop: &Stop<'_>,
    ) -> Result<Self> {
        let mut walk = Walk {
            rules,
            frames: Vec::new(),
            after: after.map(str::to_owned),
            last: after.unwrap_or_default().to_owned(),
        };
        let dir = match folder.strip_suffix('/') {
            None => root.try_clone(),
            Some(path) => {
                beneath::check_path(path)?;
                root.open_dir(path)
            }
        };
        let dir = dir.map_err(|error| beneath::failed(folder, &error))?;
        walk.enter(dir, folder.to_owned(), stop)?;
        walk.skip_to(stop)?;
        Ok(walk)
    }

    fn enter(&mut self, dir: Dir, prefix: String, stop: &Stop<'_>) -> Result<()> {
        let names = list(&dir, &prefix, &self.rules, stop)?;
        self.frames.push(Frame {
            dir,
            prefix,
            names,
            next: 0,
        });
        Ok(())
    }

    /// Goes to the place to start after, into the folders that it lies in.
    fn skip_to(&mut self, stop: &Stop<'_>) -> Result<()> {
        let Some(after) = self.after.take() else {
            return Ok(());
        };
        while let Some(frame) = self.frames.last_mut() {
            let Some(rest) = after.strip_prefix(frame.prefix.as_str()) else {
                return Ok(());
            };
            frame.next = frame
                .names
                .partition_point(|name| name.key.as_str() <= rest);
            let Some(at) = frame.next.checked_sub(1) else {
                return Ok(());
            };
            let within = &frame.names[at].key;
            let is_within = within.ends_with('/') && rest.starts_with(within.as_str());
            if !is_within || self.rules.shallow {
                return Ok(());
            }
            if !self.descend(at, stop)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Enters the folder at a place of the last frame; false where it cannot be.
    fn descend(&mut self, at: usize, stop: &Stop<'_>) -> Result<bool> {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last() else {
            return Ok(false);
        };
        if depth > self.rules.depth.min(MAX_DEPTH) {
            return Ok(false);
        }
        let key = frame.names[at].key.clone();
        let prefix = format!("{}{key}", frame.prefix);
        let opened = frame.dir.open_dir(key.trim_end_matches('/'));
        let entered = match opened {
            Ok(dir) => self.enter(dir, prefix.clone(), stop),
            Err(error) => Err(beneath::failed(&prefix, &error)),
        };
        match entered {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::TooLarge) => Err(error),
            // A folder that may not be read, or is gone, hides what is in it
            // and not the rest of the tree.
            Err(error) => {
                tracing::debug!(code = error.stable_code(), "a folder is left out");
                Ok(false)
            }
        }
    }

    /// The next file or folder.
    pub fn step(&mut self, stop: &Stop<'_>) -> Result<Step> {
        loop {
            stop.check()?;
            let Some(frame) = self.frames.last_mut() else {
                return Ok(Step::End);
            };
            if stop.is_over() {
                return Ok(Step::Pause(self.last.clone()));
            }
            let at = frame.next;
            let Some(name) = frame.names.get(at) else {
                self.frames.pop();
                continue;
            };
            frame.next += 1;
            let path = format!("{}{}", frame.prefix, name.key);
            let (kind, is_link) = (name.kind, name.is_link);
            let is_folder = path.ends_with('/');
            self.last.clone_from(&path);
            if !is_folder {
                return Ok(Step::Found(Found {
                    path,
                    kind,
                    is_link,
                    holds: None,
                }));
            }
            if self.descend(at, stop)? {
                let holds = self.frames.last().and_then(one_format);
                if self.rules.shallow {
                    self.frames.pop();
                }
                return Ok(Step::Found(Found {
                    path,
                    kind: None,
                    is_link: false,
                    holds,
                }));
            }
        }
    }
}

fn one_format(frame: &Frame) -> Option<FileFormat> {
    let mut formats = frame.names.iter().filter_map(|name| name.kind);
    let first = formats.next()?.format;
    let mut rest = formats.peekable();
    rest.peek()?;
    rest.all(|kind| kind.format == first).then_some(first)
}

fn list(dir: &Dir, prefix: &str, rules: &Rules, stop: &Stop<'_>) -> Result<Vec<Name>> {
    let entries = dir
        .entries()
        .map_err(|error| beneath::failed(prefix, &error))?;
    let mut names = Vec::new();
    for (index, entry) in entries.enumerate() {
        if index % 1_024 == 0 {
            stop.check()?;
        }
        if index >= MAX_NAMES {
            return Err(Error::new(
                Kind::TooLarge,
                format!("the folder `{prefix}` has more than {MAX_NAMES} entries"),
            )
            .code("too_many_files")
            .hint("give a root further down, or spread the files over folders"));
        }
        let Ok(entry) = entry else { break };
        let Ok(name) = entry.file_name().into_string() else {
            // A name that is not UTF-8 has no text to ask for it with.
            continue;
        };
        let Ok(file_type) = entry.file_type() else {
            continue;
        };
        names.extend(named(name, file_type, rules));
    }
    names.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(names)
}

fn named(name: String, file_type: FileType, rules: &Rules) -> Option<Name> {
    if name.starts_with('.') && !rules.hidden {
        return None;
    }
    if file_type.is_dir() {
        return Some(Name {
            key: format!("{name}/"),
            kind: None,
            is_link: false,
        });
    }
    let is_link = file_type.is_symlink();
    if !file_type.is_file() && !is_link {
        return None;
    }
    let by_name = format::by_name(&name);
    let kind = match rules.format {
        Some(format) => FileKind {
            format,
            packing: format::packing(&name),
        },
        None => by_name?,
    };
    Some(Name {
        key: name,
        kind: Some(kind),
        is_link,
    })
}

/// Size and time of last change of a file that may be listed; `None` for what
/// is not a regular file below the root.
pub fn look(root: &Dir, found: &Found, hard_links: bool) -> Option<cap_std::fs::Metadata> {
    use cap_std::fs::MetadataExt;
    let looked = match found.is_link {
        true => root.metadata(&found.path),
        false => root.symlink_metadata(&found.path),
    };
    looked
        .ok()
        .filter(cap_std::fs::Metadata::is_file)
        .filter(|found| hard_links || found.nlink() <= 1)
}

/// The error of a walk that took too long.
pub fn too_slow() -> Error {
    Error::source(
        SourceFault::Unavailable,
        "looking for the files took too long",
    )
    .code("too_many_files")
    .hint("make the pattern start with a folder, or give a root further down")
}
