//! Neither line lets anything out: statements are refused by the guard, and those
//! that would pass it reach nothing in an instance that is locked down.

use connect_sql::duckdb::{LOCK, OFF};
use weir_core::{Kind, SourceFault};

use crate::corpus::{BREAK_OUTS, HARMLESS, WRITES};
use crate::support::*;

const TABLES: &str = "
    create table t (id integer primary key, v text);
    insert into t select i, 'v' || i from range(100) r(i);
    create view w as select * from t;
    create sequence s;
    create macro peek() as table select * from t;
    create type mood as enum ('sad', 'ok');
    create schema other;
    create table other.u (a integer);";

/// All that a file holds, as text; taken on a connection of the test's own.
fn dump(file: &DuckFile) -> String {
    let mut connection = file.connection();
    let mut all = String::new();
    for sql in [
        "select sql from duckdb_tables() order by sql",
        "select sql from duckdb_views() where not internal order by sql",
        "select sequence_name, last_value from duckdb_sequences() order by 1",
        "select schema_name from duckdb_schemas() where not internal order by 1",
        "select function_name from duckdb_functions() where not internal order by 1",
        "select type_name from duckdb_types() where not internal order by 1",
        "select * from t order by id",
        "select * from other.u",
    ] {
        all.push_str(&format!("{:?}\n", connection.rows(sql, &[]).unwrap()));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_statements_leave_the_file_as_it_was() {
    let file = DuckFile::with(TABLES);
    let before = dump(&file);
    let source = source(&file).await;
    assert!(WRITES.len() + BREAK_OUTS.len() + HARMLESS.len() >= 200);
    let mut through = Vec::new();
    for text in WRITES.iter().chain(BREAK_OUTS) {
        if let Ok(batch) = rows(&source, &query(text, Vec::new())).await {
            through.push(format!("{text}: {} rows", batch.num_rows()));
        }
    }
    assert!(through.is_empty(), "got through:\n{}", through.join("\n"));
    for text in HARMLESS {
        let outcome = rows(&source, &query(text, Vec::new())).await;
        outcome.unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.source_message()));
    }
    drop(source);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(dump(&file), before);
    let left: Vec<_> = std::fs::read_dir(file.folder())
        .unwrap()
        .flatten()
        .collect();
    let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert!(left.len() <= 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_of_their_kind() {
    let file = DuckFile::with(TABLES);
    let source = source(&file).await;
    for (text, kind) in [
        ("delete from t", Kind::ReadOnly),
        ("select 1; select 2", Kind::ReadOnly),
        ("pragma database_list", Kind::ReadOnly),
        ("select * from read_csv('/etc/passwd')", Kind::ReadOnly),
        ("select nextval('s')", Kind::ReadOnly),
        ("explain select 1", Kind::Unsupported),
        ("select * from nothing", Kind::Source(SourceFault::Query)),
        ("select v::integer from t", Kind::Source(SourceFault::Data)),
        ("", Kind::Invalid),
    ] {
        let error = failure(&source, &query(text, Vec::new())).await;
        assert_eq!(error.kind(), kind, "{text}: {error}");
    }
}

/// The guard is bypassed: the statements run on the connection that a source uses.
/// What is in the list either fails, or reads and writes nothing outside.
#[test]
fn a_locked_down_instance_reaches_nothing() {
    let file = DuckFile::with(TABLES);
    let library = libduckdb::Library::open(&weir_tests::project::duckdb_library()).unwrap();
    let mut settings = vec![("temp_directory", String::new())];
    settings.extend(OFF.map(|name| (name, "false".to_owned())));
    let database = libduckdb::Database::open(&library, file.path(), &settings).unwrap();
    let mut connection = database.connect().unwrap();
    connection.run(LOCK).unwrap();
    assert!(BREAK_OUTS.len() >= 30);
    let mut open = Vec::new();
    for text in BREAK_OUTS {
        let mut connection = database.connect().unwrap();
        connection.run("BEGIN TRANSACTION READ ONLY").unwrap();
        if let Ok(batches) = connection.rows(text, &[]) {
            let shown = format!("{batches:?}");
            assert!(
                !shown.contains("root:"),
                "{text} read a file of the machine"
            );
            open.push(*text);
        }
    }
    // These tell settings or run text that is bound by the same lines.
    let known = |text: &str| {
        [
            "duckdb_",
            "current_setting",
            "query(",
            "query_table(",
            "pragma_",
            "which_secret",
            "getvariable",
            "CALL pragma",
        ]
        .iter()
        .any(|part| text.contains(part))
            || [
                "PRAGMA",
                "SET VARIABLE",
                "SET schema",
                "USE ",
                "CALL ",
                "RESET schema",
                "ATTACH ':memory:'",
                "SET SESSION",
                "DETACH",
                "LOAD ",
                "CHECKPOINT",
                "FORCE",
                "SELECT * FROM enable",
                "SELECT * FROM disable",
                "SELECT * FROM truncate",
                "SELECT json_",
                "SELECT * FROM json_execute",
                "SELECT write_log",
                "SELECT * FROM checkpoint",
                "SELECT * FROM force",
                "FROM checkpoint",
            ]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let unknown: Vec<_> = open.iter().filter(|text| !known(text)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
