//! Opening the library.

use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::raw::{Api, Handle};

/// The oldest version whose interface has everything that is called here.
const OLDEST: (u32, u32) = (1, 4);
/// Another major version may mean something else by the same names.
const MAJOR: u32 = 1;

/// What DuckDB says of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Its words. They may quote values.
    pub message: String,
}

/// Results of calls.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Error {
            message: message.into(),
        }
    }

    /// The kind of error that its words begin with: `Parser`, `Binder`,
    /// `Catalog`, `Conversion`, `Constraint`, `IO`, `INTERRUPT` …
    pub fn class(&self) -> &str {
        match self.message.split_once(" Error: ") {
            Some((class, _)) if class.len() < 40 => class,
            _ => "",
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Why there is no library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// None could be opened at this place; what the system said.
    Missing(PathBuf, String),
    /// It is not DuckDB, or lacks a function.
    Foreign(PathBuf, &'static str),
    /// A version that is not spoken here.
    Version(String),
}

/// The opened library. It stays loaded until the process ends: DuckDB has
/// threads of its own.
#[derive(Clone)]
pub struct Library {
    pub(crate) api: Arc<Api>,
    version: Arc<str>,
}

impl Library {
    /// Opens the library at `path`, or the one that the system finds by a bare
    /// name. Code of the file runs at once, so only the operator may name it.
    pub fn open(path: &Path) -> std::result::Result<Self, LoadError> {
        // SAFETY: opening runs the initialisers of the file. The operator named it
        // as DuckDB's; nothing that a caller of the service sends gets here.
        let opened = unsafe { libloading::Library::new(path) };
        let opened =
            opened.map_err(|error| LoadError::Missing(path.to_owned(), error.to_string()))?;
        // SAFETY: it is forgotten below, so it stays loaded; that it is DuckDB is
        // what the names of all these functions say.
        let api = unsafe { Api::of(&opened) };
        let api = api.map_err(|name| LoadError::Foreign(path.to_owned(), name))?;
        // SAFETY: gives a static text.
        let version = unsafe { text((api.library_version)()) };
        std::mem::forget(opened);
        check(&version)?;
        Ok(Library {
            api: Arc::new(api),
            version: version.into(),
        })
    }

    /// Its version, such as `v1.5.6`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn check(version: &str) -> std::result::Result<(), LoadError> {
    let mut parts = version.trim_start_matches('v').split(['.', '-']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number()) {
        (Some(MAJOR), Some(minor)) if (MAJOR, minor) >= OLDEST => Ok(()),
        _ => Err(LoadError::Version(version.to_owned())),
    }
}

/// A text of the library, copied.
///
/// # Safety
///
/// `text` is null or ends with a NUL.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// A text of the library that is the caller's to free.
///
/// # Safety
///
/// `owned` is null or a text that `duckdb_free` takes.
pub(crate) unsafe fn take_text(api: &Api, owned: *mut c_char) -> Option<String> {
    if owned.is_null() {
        return None;
    }
    // SAFETY: as promised; it is not used afterwards.
    unsafe {
        let copy = text(owned);
        (api.free)(owned.cast());
        Some(copy)
    }
}

/// Takes what an error object says, and frees it.
///
/// # Safety
///
/// `error` is null or an error object that nobody else holds.
pub(crate) unsafe fn take_error(api: &Api, mut error: Handle) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as promised.
    unsafe {
        let failed = (api.error_is_set)(error);
        let message = text((api.error_text)(error));
        (api.destroy_error)(&raw mut error);
        if failed {
            return Err(Error { message });
        }
    }
    Ok(())
}

/// A text for the library; one with a NUL cannot be said.
pub(crate) fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new("Invalid Input Error: a NUL character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_versions_are_taken() {
        for version in ["v1.5.6", "v1.4.0", "1.10.0", "v1.6.0-dev12"] {
            assert!(check(version).is_ok(), "{version}");
        }
        for version in ["v1.3.2", "v0.10.3", "v2.0.0", "", "main"] {
            assert!(check(version).is_err(), "{version}");
        }
    }

    #[test]
    fn what_is_missing_or_foreign_is_told() {
        let missing = Library::open(Path::new("/nowhere/libduckdb.so")).err();
        assert!(matches!(missing, Some(LoadError::Missing(..))));
        let foreign = Library::open(Path::new("libc.so.6")).err();
        assert!(matches!(
            foreign,
            Some(LoadError::Foreign(_, "duckdb_library_version"))
        ));
    }

    #[test]
    fn errors_have_a_class() {
        assert_eq!(Error::new("Binder Error: no column").class(), "Binder");
        assert_eq!(
            Error::new("INTERRUPT Error: Interrupted!").class(),
            "INTERRUPT"
        );
        assert_eq!(Error::new("what").class(), "");
    }
}
