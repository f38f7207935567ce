//! What the conformance suite found: kept as files, from which the table in
//! `docs/CONNECTORS.md` is made, and held against every run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::project;

/// One half of the suite over one system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it ran against.
    pub server: String,
    /// Cases that passed, by part of the suite.
    pub passed: BTreeMap<String, usize>,
}

/// Halves: what reads, what writes.
pub const HALVES: [&str; 2] = ["source", "sink"];

/// Compares a run with its record; with `WEIR_UPDATE_GOLDEN=1` writes it.
pub fn recorded(kind: &str, half: &str, server: &str, passed: &[(&str, usize)]) {
    let passed = passed
        .iter()
        .map(|(part, count)| ((*part).to_owned(), *count));
    let found = Record {
        server: server.to_owned(),
        passed: passed.collect(),
    };
    if crate::setting("WEIR_UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        std::fs::write(path(kind, half), format!("{text}\n")).unwrap();
        return;
    }
    assert_eq!(
        Some(found),
        record(kind, half),
        "the record of {kind} is another: run with WEIR_UPDATE_GOLDEN=1, then make openapi"
    );
}

/// What was found last.
pub fn record(kind: &str, half: &str) -> Option<Record> {
    let text = std::fs::read_to_string(path(kind, half)).ok()?;
    Some(serde_json::from_str(&text).expect("a record"))
}

fn path(kind: &str, half: &str) -> std::path::PathBuf {
    project::root().join(format!("tests/golden/conformance/{kind}-{half}.json"))
}
