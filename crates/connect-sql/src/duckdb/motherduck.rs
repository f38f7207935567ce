//! Databases of MotherDuck: reached by an extension of DuckDB that the operator
//! allows and brings. It speaks to the network itself, so neither egress rules nor
//! tunnels hold for it.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::LazyLock;

use libduckdb::{Connection, Error as Said};
use weir_core::{Error, Kind, Result, Secret, SourceFault};

/// What a path starts with that is no file.
const PREFIX: &str = "md:";

const MAX_NAME: usize = 255;

/// Attached alone, and without a way to what is local: files, extensions, settings.
const PARAMETERS: &str = "?attach_mode=single&saas_mode=true";

/// Fails where the instance is open to the outside, or its settings can be changed.
const HOLDS: &str = "
SELECT CASE WHEN CAST(current_setting('enable_external_access') AS BOOLEAN)
  OR NOT CAST(current_setting('lock_configuration') AS BOOLEAN)
  THEN error('it is open') ELSE true END";

/// Whether the path is one of MotherDuck, well formed or not.
pub fn is_meant(path: &str) -> bool {
    path.starts_with(PREFIX) || path.starts_with("motherduck:")
}

/// The database that the path names; none where it is the path of a file.
pub fn database(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX)
}

/// Checks path and token of a config together.
pub fn check(path: &str, token: Option<&Secret>) -> Result<()> {
    if !is_meant(path) {
        return match token {
            None => Ok(()),
            Some(_) => Err(
                Error::invalid("/motherduck_token", "a file is opened without a token")
                    .hint("leave it out, or name a database of MotherDuck as md:<database>"),
            ),
        };
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_name =
        |name: &str| !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain);
    if !database(path).is_some_and(is_name) {
        let message = "a database of MotherDuck is md: and a name of letters, digits, _ and -";
        return Err(
            Error::invalid("/path", message).hint("parameters are not taken; such as md:shop")
        );
    }
    let token = token.map(Secret::expose).unwrap_or_default();
    if token.is_empty() {
        return Err(
            Error::invalid("/motherduck_token", "motherduck_token is missing")
                .hint("MotherDuck takes an access token, made in its settings"),
        );
    }
    if token.chars().any(char::is_control) {
        let message = "the token holds a control character";
        return Err(Error::invalid("/motherduck_token", message));
    }
    Ok(())
}

/// The operator has not allowed it.
pub fn forbidden() -> Error {
    Error::new(Kind::Forbidden, "this service may not reach MotherDuck")
        .code("path_not_allowed")
        .hint("its operator sets WEIR_DUCKDB_MOTHERDUCK=true; then DuckDB's own extension speaks to the network, beside the egress rules")
}

/// A database, and what it takes to open it.
#[derive(Debug, Clone)]
pub struct MotherDuck {
    /// Its name.
    pub database: String,
    /// Who asks.
    pub token: Secret,
    /// Where the extension lies.
    pub extensions: PathBuf,
}

/// Keys of this process, so that nothing that is kept tells a token.
static KEYS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);

impl MotherDuck {
    /// Tells databases and tokens apart without holding a token.
    pub fn digest(&self) -> (u64, u64) {
        let what = (self.database.as_str(), self.token.expose());
        (KEYS.0.hash_one(what), KEYS.1.hash_one(what))
    }

    /// What DuckDB opens. The token is no part of it.
    pub fn path(&self) -> String {
        format!("{PREFIX}{}{PARAMETERS}", self.database)
    }

    /// What DuckDB is told beside what it is told for every database.
    pub fn settings(&self) -> Result<[(&'static str, String); 2]> {
        let Some(folder) = self.extensions.to_str() else {
            let message = "the path of the folder for extensions is not text";
            return Err(Error::source(SourceFault::Unavailable, message)
                .hint("WEIR_DATA_DIR must be text in UTF-8"));
        };
        Ok([
            ("extension_directory", folder.to_owned()),
            ("motherduck_token", self.token.expose().to_owned()),
        ])
    }
}

/// Shuts what had to be open for the extension to be loaded. It may have done so
/// itself and then forbids it here, so what counts is what holds afterwards.
pub fn lock_down(first: &mut Connection) -> Result<()> {
    for sql in ["SET GLOBAL enable_external_access = false", super::LOCK] {
        if let Err(error) = first.run(sql) {
            tracing::debug!(class = error.class(), "a setting is locked already");
        }
    }
    first.run(HOLDS).map(drop).map_err(|said| {
        let message = "the database could not be locked down, so it is not used";
        Error::source(SourceFault::Unavailable, message)
            .hint("another version of DuckDB and of its extension may do; tell whoever runs this service")
            .detail(said)
    })
}

/// Why a database could not be opened. What was said may quote the token, and is
/// for the log alone, where secrets are removed.
pub fn of_open(said: Said) -> Error {
    let text = said.message.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let error = if says(&["extension"]) {
        Error::source(
            SourceFault::Unavailable,
            "DuckDB's extension for MotherDuck is not on this machine, or does not fit the library",
        )
        .code("library_missing")
        .hint("whoever runs this service installs DuckDB's extension `motherduck`, of the same version as the library, into the folder duckdb-extensions of WEIR_DATA_DIR; it is never fetched here")
    } else if says(&[
        "token",
        "jwt",
        "authenticat",
        "unauthorized",
        "not authorized",
    ]) {
        Error::source(
            SourceFault::Authentication,
            "MotherDuck does not take the token",
        )
        .hint("check that motherduck_token is whole and has not expired")
    } else if says(&["no database", "does not exist", "not found"]) {
        Error::source(SourceFault::NotFound, "MotherDuck has no such database")
            .hint("check the name in path, and what the token may see")
    } else {
        Error::source(SourceFault::Unavailable, "MotherDuck cannot be reached")
            .hint("the service's machine must reach MotherDuck over the network; its log has what DuckDB said")
    };
    error.detail(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(database: &str, token: &str) -> MotherDuck {
        MotherDuck {
            database: database.into(),
            token: Secret::new(token),
            extensions: "/nowhere".into(),
        }
    }

    #[test]
    fn databases_and_tokens_are_told_apart() {
        let one = shop("shop", "a");
        assert_eq!(one.digest(), shop("shop", "a").digest());
        assert_ne!(one.digest(), shop("shop", "b").digest());
        assert_ne!(one.digest(), shop("sho", "pa").digest());
        assert!(!one.path().contains("token"));
        assert!(!format!("{:?}", shop("shop", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_locked_down_is_not_used() {
        let library = libduckdb::Library::open(&weir_tests::project::duckdb_library()).unwrap();
        let open = |settings: &[(&str, String)]| {
            let database = libduckdb::Database::open(&library, ":memory:", settings).unwrap();
            database.connect().unwrap()
        };
        let mut plain = open(&[]);
        lock_down(&mut plain).unwrap();
        assert!(plain.run("SET GLOBAL threads = 1").is_err());
        assert!(plain.run("ATTACH '/nowhere/a.db'").is_err());
        // What the extension has locked is fine as well.
        lock_down(&mut plain).unwrap();
        let mut locked_open = open(&[("lock_configuration", "true".into())]);
        let error = lock_down(&mut locked_open).unwrap_err();
        assert_eq!(error.stable_code(), "unavailable");
    }

    #[test]
    fn what_is_said_becomes_the_cause() {
        for (text, code) in [
            (
                "IO Error: Extension \"/x\" not found.\nInstall it first",
                "library_missing",
            ),
            ("Invalid Input Error: Jwt is expired", "authentication"),
            (
                "Catalog Error: no database named shop was found",
                "source_not_found",
            ),
            ("IO Error: failed to resolve host", "unavailable"),
        ] {
            let error = of_open(Said {
                message: text.into(),
            });
            assert_eq!(error.stable_code(), code, "{text}");
            assert!(error.hint_text().is_some() && !error.message().contains(text));
        }
    }
}
