//! One page of what a folder has.

use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use globset::GlobMatcher;
use weir_core::{Discover, Page, Result, StreamInfo};

use crate::Rules;
use crate::config::FilesConfig;
use crate::format;
use crate::walk::{self, Found, Step, Stop, Walk};
use weir_kit::beneath;

/// How long one page may walk. What is found by then is the page, and the next
/// one goes on from there.
const PAGE_TIME: Duration = Duration::from_secs(2);

/// What a page is made from.
pub struct Listing<'a> {
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

impl Listing<'_> {
    /// One page, in the order of the ids.
    pub fn page(&self, ask: &Discover) -> Result<Page<StreamInfo>> {
        let stop = Stop {
            go_on: self.go_on,
            until: Instant::now() + PAGE_TIME,
        };
        let Some(mut walk) = self.walk(ask, &stop)? else {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        };
        let search = ask.search.as_ref().map(|part| part.to_lowercase());
        let mut items = Vec::new();
        loop {
            let found = match walk.step(&stop)? {
                Step::Found(found) => found,
                Step::Pause(place) => {
                    return Ok(Page {
                        items,
                        next: Some(place),
                    });
                }
                Step::End => return Ok(Page { items, next: None }),
            };
            let is_named = search
                .as_ref()
                .is_none_or(|part| found.path.to_lowercase().contains(part));
            if !is_named {
                continue;
            }
            let Some(info) = self.info(&found) else {
                continue;
            };
            if items.len() == ask.limit {
                let next = items.last().map(|last: &StreamInfo| last.stream.clone());
                return Ok(Page { items, next });
            }
            items.push(info);
        }
    }

    /// `None` where the folder of the namespace is not there.
    fn walk(&self, ask: &Discover, stop: &Stop<'_>) -> Result<Option<Walk>> {
        let rules = walk::Rules {
            hidden: self.config.hidden,
            format: self.config.format,
            depth: usize::MAX,
            shallow: ask.namespace.is_some(),
        };
        let folder = match &ask.namespace {
            None => String::new(),
            Some(name) => {
                beneath::check_path(name).map_err(|error| error.at("/namespace", "no folder"))?;
                format!("{name}/")
            }
        };
        let walk = Walk::start(self.root, &folder, rules, ask.after.as_deref(), stop);
        match walk {
            Ok(walk) => Ok(Some(walk)),
            Err(error) if ask.namespace.is_some() && is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn info(&self, found: &Found) -> Option<StreamInfo> {
        let plain = found.path.trim_end_matches('/');
        let (namespace, name) = match plain.rsplit_once('/') {
            Some((folder, name)) => (Some(folder.to_owned()), name),
            None => (None, plain),
        };
        let info = StreamInfo {
            stream: found.path.clone(),
            name: name.to_owned(),
            namespace,
            path: Some(found.path.clone()),
            ..StreamInfo::default()
        };
        let Some(kind) = found.kind else {
            // With a pattern, a folder is no longer the sum of its files.
            let holds = found.holds.filter(|_| self.only.is_none())?;
            return Some(StreamInfo {
                kind: "folder",
                format: Some(holds.name()),
                ..info
            });
        };
        if self.only.is_some_and(|only| !only.is_match(&found.path)) {
            return None;
        }
        let looked = walk::look(self.root, found, self.rules.paths.hard_links)?;
        Some(StreamInfo {
            kind: "file",
            size_bytes: Some(looked.len()),
            modified_at: beneath::modified(looked.modified()),
            format: Some(kind.format.name()),
            content_type: format::content_type(name),
            ..info
        })
    }
}

fn is_missing(error: &weir_core::Error) -> bool {
    error.kind() == weir_core::Kind::Source(weir_core::SourceFault::NotFound)
}

/// A look at the start of `walk` for a test: the first file that may be read.
pub fn first_file(listing: &Listing<'_>) -> Result<Option<StreamInfo>> {
    let mut ask = Discover {
        limit: 100,
        ..Discover::default()
    };
    for _ in 0..5 {
        let page = listing.page(&ask)?;
        let file = page.items.into_iter().find(|info| info.kind == "file");
        match (file, page.next) {
            (Some(file), _) => return Ok(Some(file)),
            (None, None) => return Ok(None),
            (None, next) => ask.after = next,
        }
    }
    Ok(None)
}
