//! Where things are: the repository, the built binary, the server programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// The repository: the nearest folder above with a lock file. Not where this was
/// built: clones that share a build folder share this program too.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = std::env::current_dir().unwrap();
        let root = here
            .ancestors()
            .find(|dir| dir.join("Cargo.lock").is_file());
        root.expect("run inside of the repository").to_owned()
    });
    &ROOT
}

/// The service: `WEIR_TEST_BINARY`, or what was built beside this test.
pub fn weir() -> PathBuf {
    if let Some(given) = crate::setting("WEIR_TEST_BINARY") {
        return PathBuf::from(given);
    }
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let binary = profile.join("weir");
    let binary = if binary.exists() {
        binary
    } else {
        test.with_file_name("weir")
    };
    assert!(
        binary.exists(),
        "the service is not built at {}: run `cargo build -p weir` first (`make test` does)",
        binary.display()
    );
    binary
}

/// What a command line of the service prints.
pub fn printed(command: &str) -> String {
    let output = Command::new(weir())
        .args(command.split(' '))
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "weir {command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `cargo metadata` of the workspace, with the resolved graph.
pub fn metadata() -> Value {
    serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--locked"])).unwrap()
}

/// Names and versions of all that is built into the workspace's crates on this
/// platform with the features that are on, tests left out.
pub fn built_packages() -> BTreeMap<String, BTreeSet<String>> {
    let text = cargo(&[
        "tree",
        "--locked",
        "--workspace",
        "-e",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions
                .entry(name.to_owned())
                .or_default()
                .insert(version.to_owned());
        }
    }
    versions
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Files that git knows, relative to the repository.
pub fn tracked_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).unwrap();
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// The folder with the server programs of the newest PostgreSQL.
pub fn postgres_programs() -> PathBuf {
    let given = crate::setting("WEIR_TEST_PG_BIN").map(PathBuf::from);
    let has_server = |folder: &PathBuf| folder.join("initdb").exists();
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_server(folder))
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, folder)| folder);
    given.or(newest).or_else(from_pg_config).filter(has_server).expect(
        "no PostgreSQL server programs on this machine: run scripts/install-deps (`make test` does), \
         or set WEIR_TEST_PG_BIN to their folder",
    )
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The Python that has the reference readers of `tests/reference/`.
pub fn python() -> PathBuf {
    let given = crate::setting("WEIR_TEST_PYTHON").map(PathBuf::from);
    given.filter(|path| path.exists()).expect(
        "WEIR_TEST_PYTHON names no Python with the reference readers: run \
         `export WEIR_TEST_PYTHON=$(scripts/reference-python)` first (`make test` does)",
    )
}

/// DuckDB's shared library.
pub fn duckdb_library() -> PathBuf {
    let given = crate::setting("WEIR_TEST_DUCKDB").map(PathBuf::from);
    given.filter(|path| path.exists()).expect(
        "WEIR_TEST_DUCKDB names no library of DuckDB: run \
         `export WEIR_TEST_DUCKDB=$(scripts/duckdb-lib)` first (`make test` does)",
    )
}

/// The folder of the Node tools of `tests/clients/`.
pub fn node_tools() -> PathBuf {
    let given = crate::setting("WEIR_TEST_NODE").map(PathBuf::from);
    given
        .filter(|path| path.join("node_modules").exists())
        .expect(
            "WEIR_TEST_NODE names no folder with the tools of tests/clients: run \
         `export WEIR_TEST_NODE=$(scripts/node-tools)` first (`make test` does)",
        )
}

/// A Chromium: `WEIR_TEST_BROWSER`, or the one that `scripts/install-deps test`
/// installs. Panics without one: a page that nobody rendered is not a passed test.
pub fn browser() -> PathBuf {
    let given = crate::setting("WEIR_TEST_BROWSER").map(PathBuf::from);
    let installed = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    let installed = installed
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    given
        .or(installed)
        .expect("no Chromium: run scripts/install-deps test, or set WEIR_TEST_BROWSER")
}
