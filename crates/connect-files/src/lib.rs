//! Files: folders of the machine that Weir runs on, below the roots that its
//! operator allows. Every file is opened beneath a folder's handle, so that no
//! path and no link leads out, and written beside its place before it is put there.

mod bytes;
mod config;
mod discover;
mod flow;
mod format;
mod pattern;
mod replace;
mod scan;
mod sink;
mod source;
mod table;
mod union;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use weir_core::{
    AnyConnector, Category, Connector, Context, Descriptor, Entry, Result, TestedAgainst,
};

pub use config::FilesConfig;
use source::Folder;
use weir_formats::decode::DecodeLimits;
pub use weir_kit::PathRules;

/// What the operator lets sources read.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Which paths they may open.
    pub paths: PathRules,
    /// What the content of a file may ask for.
    pub limits: DecodeLimits,
}

/// The connector.
pub struct Files {
    rules: Arc<Rules>,
}

/// The connector for the catalogue.
pub fn entry(rules: Rules) -> Arc<dyn AnyConnector> {
    let rules = Arc::new(rules);
    Entry::of(Files { rules }).with_source().with_sink().build()
}

#[async_trait]
impl Connector for Files {
    type Config = FilesConfig;
    type Handle = Folder;

    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "files",
            title: "Local files",
            category: Category::Files,
            auth_modes: &["none"],
            example: serde_json::json!({"root": "/srv/data/exports"}),
            docs: DOCS,
            tested_against: TestedAgainst::Live,
            config_version: 1,
        }
    }

    fn validate(&self, config: &FilesConfig) -> Result<()> {
        config.validate()
    }

    async fn open(&self, config: FilesConfig, _: &Context) -> Result<Folder> {
        Ok(Folder::new(config, Arc::clone(&self.rules)))
    }
}

const DOCS: &str = "\
Files in a folder of the machine that Weir runs on. The folder must lie below one of `WEIR_FILE_ROOTS`, which only the operator sets; \
without it nothing can be read.

A stream is the path of a file below `root`: `events/2024-01.csv`. Formats are told by the name (`csv tsv json ndjson jsonl arrow feather \
parquet xlsx xlsm xlsb xls ods`, text formats also with `.gz` or `.zst` behind), by `format`, or by the first bytes. Three more forms name \
several files or a part of one:

- `events/2024-*.parquet` or `**/*.csv`: all files that match, in the order of their names, as one stream. `*` and `?` stop at `/`, `**` does not. \
A file whose name has such characters is meant literally.
- `events/`: all readable files directly in that folder. Discovery lists it, as kind `folder`, when there are two or more and they have one format.
- `book.xlsx#Sheet 2`: one sheet; without it the first.

Files read as one stream must agree: columns go by name in the order in which they first appear; a file that lacks a column gives nulls there; \
integers widen, and whole numbers become `float64` where another file has decimals; any other difference of types is an error that names both files.

Discovery leaves out hidden files, links that lead out of `root` and what has no known format. It does not follow links to folders; read by path they work. \
Text is read as a stream: types come from the first 10,000 rows or 8 MiB. Parquet is read by columns, and only those row groups and pages \
that the filter does not rule out. A spreadsheet is read whole, up to a bound of cells.

Files are written in every format but spreadsheets, by their name, with the modes `append` (csv, tsv and ndjson), `replace` and `fail`. Folders on the way are made. \
A file is written under a hidden name and put into its place when it is whole, so readers see the old rows or the new ones. With `deterministic=true` equal rows give equal bytes of CSV. \
`WEIR_FILE_READ_ONLY` forbids all of it.";
