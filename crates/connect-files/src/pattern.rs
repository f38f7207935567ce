//! Which files a stream id means: a path, a pattern, a folder, or one sheet of
//! a spreadsheet. What exists under the literal name is always meant literally.

use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use globset::GlobMatcher;
use weir_core::{Error, Kind, Result};

use crate::Rules;
use crate::config::{FilesConfig, matcher};
use crate::format::{self, FileFormat};
use crate::walk::{self, Step, Stop, Walk};
use weir_kit::beneath;

/// Files of one stream at most.
const MAX_FILES: usize = 10_000;

/// How long to look for them.
const LOOKING: Duration = Duration::from_secs(20);

/// What a stream id means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// Paths of the files, in their order.
    pub paths: Vec<String>,
    /// The sheet of a spreadsheet.
    pub sheet: Option<String>,
    /// Several files read as one, also when only one was found.
    pub is_union: bool,
}

/// Finds out what is meant by a stream id.
pub struct Resolver<'a> {
    /// The root's handle.
    pub root: &'a Dir,
    /// The source.
    pub config: &'a FilesConfig,
    /// The service's rules.
    pub rules: &'a Rules,
    /// Files that exist for the source; all when none.
    pub only: Option<&'a GlobMatcher>,
    /// An error when the caller has gone or the time is up.
    pub go_on: &'a dyn Fn() -> Result<()>,
}

impl Resolver<'_> {
    /// The files of `id`.
    pub fn resolve(&self, id: &str) -> Result<Meant> {
        if let Some(folder) = id.strip_suffix('/') {
            beneath::check_path(folder)?;
            return self.union(id, id, 0, |_| true);
        }
        beneath::check_path(id)?;
        let one = |path: &str, sheet: Option<&str>| Meant {
            paths: vec![path.to_owned()],
            sheet: sheet.map(str::to_owned),
            is_union: false,
        };
        if self.exists(id)? {
            return Ok(one(id, None));
        }
        if let Some((path, sheet)) = id.rsplit_once('#')
            && format::by_name(path).is_some_and(|kind| kind.format == FileFormat::Excel)
            && self.exists(path)?
        {
            return Ok(one(path, Some(sheet)));
        }
        if !id.contains(['*', '?', '[', '{']) {
            return Err(beneath::not_found(id));
        }
        self.glob(id)
    }

    /// Whether there is something by that name which this source may have. What
    /// it is, its handle will say.
    fn exists(&self, path: &str) -> Result<bool> {
        match self.root.metadata(path) {
            Ok(_) if self.only.is_none_or(|only| only.is_match(path)) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => {
                let failed = beneath::failed(path, &error);
                match failed.kind() {
                    Kind::Source(weir_core::SourceFault::NotFound) => Ok(false),
                    _ => Err(failed),
                }
            }
        }
    }

    fn glob(&self, pattern: &str) -> Result<Meant> {
        let matches = matcher(pattern).map_err(|text| Error::invalid("/stream", text))?;
        let special = pattern.find(['*', '?', '[', '{']).unwrap_or(0);
        let fixed = pattern[..special].rfind('/').map_or(0, |at| at + 1);
        let depth = match pattern.contains("**") || pattern.contains('{') {
            true => usize::MAX,
            false => pattern[fixed..].matches('/').count(),
        };
        self.union(pattern, &pattern[..fixed], depth, |path| {
            matches.is_match(path)
        })
    }

    fn union(
        &self,
        id: &str,
        folder: &str,
        depth: usize,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Meant> {
        let stop = Stop {
            go_on: self.go_on,
            until: Instant::now() + LOOKING,
        };
        let rules = walk::Rules {
            hidden: self.config.hidden,
            format: self.config.format,
            depth,
            shallow: false,
        };
        let mut found = Walk::start(self.root, folder, rules, None, &stop)?;
        let mut paths = Vec::new();
        loop {
            let item = match found.step(&stop)? {
                Step::Found(item) => item,
                Step::Pause(_) => return Err(walk::too_slow()),
                Step::End => break,
            };
            let is_file = item.kind.is_some()
                && is_meant(&item.path)
                && self.only.is_none_or(|only| only.is_match(&item.path))
                && walk::look(self.root, &item, self.rules.paths.hard_links).is_some();
            if !is_file {
                continue;
            }
            if paths.len() >= MAX_FILES {
                return Err(Error::new(
                    Kind::TooLarge,
                    format!("more than {MAX_FILES} files match"),
                )
                .code("too_many_files")
                .hint("narrow the pattern and read the files in several streams"));
            }
            paths.push(item.path);
        }
        if paths.is_empty() {
            return Err(beneath::not_found(id));
        }
        Ok(Meant {
            paths,
            sheet: None,
            is_union: true,
        })
    }
}
