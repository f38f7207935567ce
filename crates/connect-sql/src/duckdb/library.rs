//! Finding the library, once, when it is first needed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libduckdb::{Library, LoadError};
use weir_core::{Error, Result, SourceFault};

/// Where it is looked for without a setting: what the system's loader finds.
const USUAL: [&str; 3] = [
    "libduckdb.so",
    "/usr/local/lib/libduckdb.so",
    "libduckdb.dylib",
];

const HINT: &str = "whoever runs this service puts DuckDB's shared library (1.4 or later, from \
    duckdb.org) on the machine and names it in WEIR_DUCKDB_LIB";

/// Opens the library when it is first asked for. A failure is tried again, so that
/// the library can be brought while the service runs.
pub struct Loader {
    named: Option<PathBuf>,
    opened: OnceLock<Library>,
}

impl Loader {
    /// `named` is the operator's setting.
    pub fn new(named: Option<PathBuf>) -> Self {
        Loader {
            named,
            opened: OnceLock::new(),
        }
    }

    /// The library. Blocks while it is opened.
    pub fn get(&self) -> Result<Library> {
        if let Some(library) = self.opened.get() {
            return Ok(library.clone());
        }
        let library = self.find().map_err(explained)?;
        tracing::info!(version = library.version(), "opened the library of DuckDB");
        Ok(self.opened.get_or_init(|| library).clone())
    }

    fn find(&self) -> Result<Library, LoadError> {
        if let Some(path) = &self.named {
            return Library::open(path);
        }
        let mut first = None;
        for name in USUAL {
            match Library::open(Path::new(name)) {
                Ok(library) => return Ok(library),
                Err(error @ LoadError::Missing(..)) => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or(LoadError::Version(String::new())))
    }
}

fn explained(error: LoadError) -> Error {
    let (message, detail) = match error {
        LoadError::Missing(path, said) => (
            "the library of DuckDB is not on this machine".to_owned(),
            format!("{}: {said}", path.display()),
        ),
        LoadError::Foreign(path, name) => (
            "the library that was found is not one of DuckDB that can be used".to_owned(),
            format!("{} has no {name}", path.display()),
        ),
        LoadError::Version(version) => {
            let shown: String = version.chars().take(40).collect();
            (
                format!("version {shown} of DuckDB is not supported"),
                version,
            )
        }
    };
    Error::source(SourceFault::Unavailable, message)
        .code("library_missing")
        .hint(HINT)
        .detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_says_how_to_get_it() {
        let error = Loader::new(Some("/nowhere/libduckdb.so".into()))
            .get()
            .err()
            .unwrap();
        assert_eq!(error.stable_code(), "library_missing");
        assert!(error.hint_text().unwrap().contains("WEIR_DUCKDB_LIB"));
        assert!(!error.message().contains("nowhere"));
    }
}
