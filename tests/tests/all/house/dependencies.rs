//! Dependencies point one way, and what must exist once exists once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_tests::project::{built_packages, metadata};

/// Which crates of ours each crate may stand on. What is not listed is refused,
/// so a new arrow is a decision and not an accident.
const ALLOWED: &[(&str, &[&str])] = &[
    ("weir-core", &[]),
    ("weir-net", &["weir-core"]),
    ("weir-formats", &["weir-core"]),
    ("weir-vault", &["weir-core", "weir-net"]),
    ("weir-store", &["weir-core", "weir-net", "weir-vault"]),
    ("weir-values", &["weir-core"]),
    ("weir-engine", &["weir-core", "weir-formats", "weir-values"]),
    ("weir-wire", &["weir-core", "weir-formats"]),
    ("weir-listen", &["weir-core"]),
    ("weir-kit", &["weir-core", "weir-net"]),
    (
        "connect-files",
        &["weir-core", "weir-formats", "weir-kit", "weir-net"],
    ),
    ("connect-sample", &["weir-core", "weir-kit", "weir-net"]),
    (
        "connect-sql",
        &[
            "libduckdb",
            "weir-core",
            "weir-formats",
            "weir-kit",
            "weir-net",
        ],
    ),
    (
        "weir-catalog",
        &[
            "weir-core",
            "connect-files",
            "connect-sample",
            "connect-sql",
        ],
    ),
    (
        "weir-api",
        &[
            "weir-core",
            "weir-engine",
            "weir-net",
            "weir-store",
            "weir-vault",
            "weir-wire",
        ],
    ),
    (
        "weir",
        &[
            "weir-api",
            "weir-catalog",
            "weir-core",
            "weir-engine",
            "weir-listen",
            "weir-net",
            "weir-store",
            "weir-vault",
            "weir-wire",
        ],
    ),
    ("weir-conformance", &["weir-core"]),
    ("libduckdb", &[]),
    ("weir-tests", &["libduckdb"]),
];

/// What values of one version cannot pass to another, or what must not be linked twice.
const ONCE: [&str; 8] = [
    "arrow-array",
    "arrow-schema",
    "arrow-ipc",
    "rustls",
    "hyper",
    "axum",
    "sqlparser",
    "tokio-postgres",
];

/// The workspace's graph without dev-dependencies.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
    members: Vec<String>,
}

impl Graph {
    fn read() -> Self {
        let metadata = metadata();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names: BTreeMap<String, String> = list(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let edges = list(&metadata["resolve"]["nodes"])
            .map(|node| {
                let needed = list(&node["deps"]).filter(|dep| is_needed(dep));
                (
                    text(&node["id"]),
                    needed.map(|dep| text(&dep["pkg"])).collect(),
                )
            })
            .collect();
        let members = list(&metadata["workspace_members"]).map(text).collect();
        Graph {
            names,
            edges,
            members,
        }
    }

    /// Everything that these packages are built from, themselves included.
    fn below<'a>(&'a self, start: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = start.collect();
        while let Some(id) = open.pop() {
            if seen.insert(id.to_owned()) {
                open.extend(self.edges.get(id).into_iter().flatten().map(String::as_str));
            }
        }
        seen
    }

    fn id(&self, name: &str) -> &str {
        self.members
            .iter()
            .find(|id| self.names[*id] == name)
            .unwrap()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

/// Whether a dependency is part of what runs, and not for tests only.
fn is_needed(dep: &Value) -> bool {
    list(&dep["dep_kinds"]).any(|kind| kind["kind"] != "dev")
}

#[test]
fn arrows_between_our_crates_point_one_way() {
    let graph = Graph::read();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for id in &graph.members {
        let name = graph.names[id].as_str();
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table of this test"));
            continue;
        };
        for other in graph.edges[id]
            .iter()
            .filter(|other| graph.members.contains(other))
        {
            let other = graph.names[other].as_str();
            if !may.contains(&other) {
                wrong.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn core_knows_no_server_no_database_and_no_engine() {
    let graph = Graph::read();
    let below = graph.below(std::iter::once(graph.id("weir-core")));
    let found: Vec<&String> = below
        .iter()
        .map(|id| &graph.names[id])
        .filter(|name| {
            [
                "axum",
                "hyper",
                "reqwest",
                "sqlx",
                "tokio-postgres",
                "datafusion",
                "utoipa",
                "rustls",
            ]
            .contains(&name.as_str())
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_must_exist_once_exists_once() {
    let built = built_packages();
    for name in ONCE {
        let versions = built.get(name);
        assert_eq!(versions.map(BTreeSet::len), Some(1), "{name}: {versions:?}");
    }
    for name in ["openssl-sys", "native-tls", "openssl", "ring"] {
        assert_eq!(
            built.get(name),
            None,
            "{name} is a second TLS or crypto stack"
        );
    }
}
