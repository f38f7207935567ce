//! Opening, sharing, stopping and closing files, and what is wrong with some.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use weir_core::{
    Context, Deadline, Discover, Kind, SourceFault, StreamId, Value, Write, WriteMode,
};

use crate::support::*;
use crate::writing::numbers;

const MANY: &str = "select a.range as i, repeat('x', 100) as t from range(20000) a, range(20000) b";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_load_stops_the_statement_and_spoils_nothing() {
    let file = DuckFile::with("create table t as select 1 as a");
    let source = source_with(&file, json!({"pool": {"max": 1, "idle_seconds": 1}})).await;
    for round in 0..20 {
        let scan = source
            .scan(&context(), &query(MANY, Vec::new()))
            .await
            .unwrap();
        let mut stream = scan.stream;
        assert!(
            stream.next().await.unwrap().unwrap().num_rows() > 0,
            "round {round}"
        );
        drop(stream);
    }
    let read = query("select $1::integer + 1", vec![Value::Int(41)]);
    let begun = Instant::now();
    assert_eq!(
        texts(&rows(&source, &read).await.unwrap(), 0),
        [Some("42".to_owned())]
    );
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(source.connections(), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_gives_no_row_ends_with_its_deadline() {
    let file = DuckFile::with("create table t as select 1 as a");
    let source = source_with(&file, json!({"pool": {"max": 1, "idle_seconds": 1}})).await;
    let text =
        "select count(*) from range(3000000) a, range(3000000) b where a.range + b.range = -1";
    let ctx = Context {
        deadline: Deadline::after(Duration::from_millis(400)),
        ..context()
    };
    let begun = Instant::now();
    let mut stream = source
        .scan(&ctx, &query(text, Vec::new()))
        .await
        .unwrap()
        .stream;
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Deadline);
    drop(stream);
    // The only place is free again when DuckDB has stopped.
    assert_eq!(ask(&source, "select 1").await, [Some("1".to_owned())]);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_share_a_file_and_give_it_back() {
    let file = DuckFile::with("create table t as select 1 as a");
    let (one, two) = (
        source(&file).await,
        source_with(&file, json!({"read_only": true, "threads": 1})).await,
    );
    assert_eq!(ask(&one, "select a from t").await, [Some("1".to_owned())]);
    let write_one = Write::new(StreamId::from_parts(["t2"]), WriteMode::Append);
    write(&one, &write_one, numbers(0, 10)).await.unwrap();
    // The same instance, so what was written is seen.
    assert_eq!(
        ask(&two, "select count(*) from t2").await,
        [Some("10".to_owned())]
    );
    let error = write(&two, &write_one, numbers(0, 10)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    // After its idle time anybody may have it.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    file.run("insert into t values (2)");
    assert_eq!(
        ask(&one, "select count(*) from t").await,
        [Some("2".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_program_is_told_to_be_in_use() {
    let file = DuckFile::with("create table t as select 1 as a");
    let source = source(&file).await;
    let held = "import fcntl, os, sys, time\nf = open(sys.argv[1], 'r+b')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)";
    let mut other = std::process::Command::new("python3")
        .args(["-c", held, file.path()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut line).unwrap();
    let error = failure(&source, &stream("t")).await;
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(error.kind(), Kind::Source(SourceFault::Unavailable));
    assert_eq!(error.stable_code(), "file_locked");
    assert_eq!(
        ask(&source, "select a from t").await,
        [Some("1".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_database_is_refused_and_crashes_nothing() {
    let file = DuckFile::with(
        "create table t as select range as a, 'text ' || range as b from range(50000)",
    );
    let whole = std::fs::read(file.path()).unwrap();
    let mut bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"x".to_vec(),
        vec![0; 100_000],
        b"a,b\n1,2\n".to_vec(),
    ];
    for at in [8, 12, 4_096, 8_192, 12_300, 20_000] {
        bad.push(whole[..at.min(whole.len())].to_vec());
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        bad.push(flipped);
    }
    for (index, content) in bad.iter().enumerate() {
        let path = file.folder().join(format!("bad{index}.duckdb"));
        std::fs::write(&path, content).unwrap();
        let source = source_with(&file, json!({"path": path})).await;
        let outcome = rows(&source, &stream("t")).await;
        if let Err(error) = outcome {
            assert!(matches!(error.kind(), Kind::Source(_)), "{index}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_libraries_that_are_not_there_are_told() {
    let file = DuckFile::with("create table t as select 1 as a");
    let elsewhere = source_with(&file, json!({"path": "/etc/passwd"})).await;
    assert_eq!(
        failure(&elsewhere, &stream("t")).await.stable_code(),
        "path_not_allowed"
    );
    let missing = file.folder().join("none.duckdb");
    let missing = source_with(&file, json!({"path": missing})).await;
    assert_eq!(
        failure(&missing, &stream("t")).await.stable_code(),
        "source_not_found"
    );
    let entry = connect_sql::duckdb::entry_with(connect_sql::duckdb::DuckDbSettings {
        library: Some("/nowhere/libduckdb.so".into()),
        ..Default::default()
    });
    let source = entry.open(file.config(), &context()).await.unwrap();
    assert_eq!(
        failure(&source, &stream("t")).await.stable_code(),
        "library_missing"
    );
    let (report, outcome) = source.test(&context()).await;
    assert!(outcome.is_err());
    assert_eq!(report.steps[0].name, "library");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_are_discovered_loaded_and_written() {
    let names = [
        "a\"b",
        "sp ace",
        "dot.ted",
        "ünï😀",
        "select",
        "per%cent@:/",
        "it's",
    ];
    let mut sql = String::from("create table plain as select 1 as a;");
    for name in names {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        sql.push_str(&format!("create schema {quoted}; create table {quoted}.{quoted} ({quoted} integer); insert into {quoted}.{quoted} values (7);"));
    }
    let file = DuckFile::with(&sql);
    let odd = file.folder().join("main it's \"odd\" ü.duckdb");
    std::fs::rename(file.path(), &odd).unwrap();
    let source = source_with(&file, json!({"path": odd})).await;
    let ask = Discover {
        limit: 2,
        ..Discover::default()
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = source
            .discover(
                &context(),
                &Discover {
                    after,
                    ..ask.clone()
                },
            )
            .await
            .unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), names.len() + 1);
    for info in found.iter().filter(|info| info.name != "plain") {
        let batch = rows(&source, &stream(&info.stream)).await.unwrap();
        assert_eq!(
            (batch.schema().field(0).name(), texts(&batch, 0)),
            (&info.name, vec![Some("7".into())])
        );
        let write_it = Write::new(
            StreamId::parse(&info.stream, "").unwrap(),
            WriteMode::Append,
        );
        write(&source, &write_it, batch).await.unwrap();
        assert_eq!(
            rows(&source, &stream(&info.stream))
                .await
                .unwrap()
                .num_rows(),
            2
        );
    }
}
