//! Types, names, logins, queries, and hanging up.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use weir_core::types::field_type_name;
use weir_core::{Comparison, Discover, Kind, Operand, Predicate, Read, StreamId, Value};
use weir_tests::eventually;
use weir_tests::mariadb::{server, sql};

use crate::support::*;

const TYPES: &str = "create table t (id int primary key, b boolean, ti tinyint unsigned, s smallint, m mediumint unsigned,
    i int, l bigint unsigned, f float, d double, n decimal(10,2), w decimal(65,30), b1 bit(1), b9 bit(9),
    c char(5), v varchar(20) character set latin1, e enum('x','y'), st set('p','q'), bin varbinary(10), bl blob,
    j json, da date, dt datetime(6), ts timestamp(3) null, tm time(2), y year, g point, u uuid);
    insert into t values (1, 2, 255, -32768, 16777215, -2147483648, 18446744073709551615, 1.5, -0.1, -12345678.90,
      12345678901234567890123456789012345.123456789012345678901234567890, 1, 257, 'ab', 'äö', 'y', 'p,q', x'00ff', 'x',
      '{\"a\": [1]}', '2024-02-29', '9999-12-31 23:59:59.999999', '2024-07-01 12:00:00.123', '-838:59:59', 2024, point(1, 2),
      '123e4567-e89b-12d3-a456-426614174000');
    insert into t (id) values (2);
    set sql_mode = '';
    insert into t (id, da, dt, ts, tm) values (3, '0000-00-00', '2024-00-01', '0000-00-00', '12:00:00.5')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_read() {
    let database = MyDatabase::with(TYPES);
    let source = source_with(&database, json!({})).await;
    let read = Read {
        order: vec![],
        ..query(
            "select * from t where id > ? order by id",
            vec![Value::Int(0)],
        )
    };
    for read in [stream("t"), read] {
        let batch = rows(&source, &read).await.unwrap();
        let schema = batch.schema();
        let types: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field_type_name(field))
            .collect();
        assert_eq!(
            types.join(" "),
            "int32 bool uint8 int16 uint32 int32 uint64 float32 float64 decimal(10,2) decimal(65,30) bool uint64 \
             string string string string binary binary json date timestamp(us) timestamp(us, UTC) duration int16 binary string"
        );
        let first: Vec<String> = (0..batch.num_columns())
            .map(|column| texts(&batch, column)[0].clone())
            .collect();
        assert_eq!(
            first.join("|"),
            "1|true|255|-32768|16777215|-2147483648|18446744073709551615|1.5|-0.1|-12345678.90|\
             12345678901234567890123456789012345.123456789012345678901234567890|true|257|ab|äö|y|p,q|00ff|78|{\"a\": [1]}|\
             2024-02-29|9999-12-31T23:59:59.999999|2024-07-01T12:00:00.123Z|-PT3020399S|2024|\
             000000000101000000000000000000f03f0000000000000040|123e4567-e89b-12d3-a456-426614174000"
        );
        for column in 1..batch.num_columns() {
            assert_eq!(texts(&batch, column)[1], "null", "{column}");
        }
        for column in [20, 21, 22] {
            assert_eq!(texts(&batch, column)[2], "null", "{column}");
        }
    }
    let strict = source_with(
        &database,
        json!({"unrepresentable": "error", "tinyint1_is_bool": false}),
    )
    .await;
    let error = failure(&strict, &stream("t")).await;
    assert_eq!(error.stable_code(), "unrepresentable");
    assert!(error.message().contains("`da`, row 3"), "{error}");
    let batch = rows(&strict, &query("select b from t where id = 1", Vec::new()))
        .await
        .unwrap();
    assert_eq!(texts(&batch, 0), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_mean_what_the_engine_means() {
    let database = MyDatabase::with(
        "create table t (id int primary key, a varchar(50), d date);
         insert into t values (1, 'a', '2024-01-01'), (2, 'A', null), (3, 'a ', '2024-01-02'), (4, 'ä', null), (5, null, null), (6, '', null);
         set sql_mode = ''; insert into t values (7, '%', '0000-00-00')",
    );
    let source = source_with(&database, json!({})).await;
    let compare = |op, text: &str| Predicate::Compare {
        column: "a".into(),
        op,
        right: Operand::Value(Value::Text(text.into())),
    };
    for (predicate, expected) in [
        (compare(Comparison::Eq, "a"), "1"),
        (compare(Comparison::Ne, "a"), "2 3 4 5 6 7"),
        (compare(Comparison::Lt, "a"), "2 6 7"),
        (
            Predicate::StartsWith {
                column: "a".into(),
                prefix: "a".into(),
            },
            "1 3",
        ),
        (
            Predicate::Contains {
                column: "a".into(),
                pattern: "%".into(),
                negated: false,
            },
            "7",
        ),
        (
            Predicate::Contains {
                column: "a".into(),
                pattern: "a".into(),
                negated: true,
            },
            "2 4 5 6 7",
        ),
        (Predicate::IsNull("d".into()), "2 4 5 6 7"),
        (Predicate::IsNotNull("d".into()), "1 3"),
        (Predicate::IsNullOrEmpty("a".into()), "5 6"),
        (
            Predicate::In {
                column: "id".into(),
                values: vec![Value::Int(2), Value::Int(9)],
            },
            "2",
        ),
    ] {
        let read = Read {
            filter: vec![predicate.clone()],
            ..stream("t")
        };
        let scan = source.scan(&context(), &read).await.unwrap();
        assert_eq!(
            scan.pushed.filter,
            [weir_core::PushDown::Exact],
            "{predicate:?}"
        );
        let batch = collect(scan).await.unwrap();
        assert_eq!(texts(&batch, 0).join(" "), expected, "{predicate:?}");
        let count = source.count(&context(), &read).await.unwrap();
        assert_eq!(count, Some(batch.num_rows() as u64));
    }
    let twice = query("select 1 as a, 2 as a, 3 as A order by 1", Vec::new());
    assert_eq!(rows(&source, &twice).await.unwrap().num_columns(), 3);
    let error = failure(&source, &query("select ?", Vec::new())).await;
    assert_eq!(error.fields()[0].pointer, "/params");
    let read = Read {
        estimate: true,
        ..stream("t")
    };
    let scan = source.scan(&context(), &read).await.unwrap();
    assert!(scan.estimate.unwrap().rows.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_and_passwords_work_everywhere() {
    let odd = "db `\"'@:/% ü";
    let user = format!("u'\"@:/%ü{}", &weir_tests::unique("")[..6]);
    let password = "p'\"`@:/% \\ ünï#?&";
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let database = MyDatabase::create();
    let name = format!("{odd}{}", &database.name[3..9]);
    let back = name.replace('`', "``");
    for plugin in ["mysql_native_password", "ed25519"] {
        sql(
            "",
            &format!(
                "CREATE OR REPLACE USER '{0}'@'%' IDENTIFIED VIA {plugin} USING PASSWORD('{1}');
            CREATE DATABASE IF NOT EXISTS `{back}`; GRANT ALL ON `{2}`.* TO '{0}'@'%';
            CREATE TABLE IF NOT EXISTS `{back}`.`t ``\"'.ü` (`c ``\"'ü%` int)",
                quoted(&user),
                quoted(password),
                back.replace('%', "\\%").replace('_', "\\_")
            ),
        );
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let url = format!(
            "mysql://{}:{}@localhost:{}/{}?ssl-mode=verify_identity",
            encode(&user),
            encode(password),
            server().port,
            encode(&name)
        );
        let source = open(json!({"url": url, "tls": {"ca": server().ca}}))
            .await
            .unwrap();
        let (report, outcome) = source.test(&context()).await;
        outcome.unwrap();
        assert!(report.steps.iter().any(|step| {
            step.name == "tls"
                && step
                    .detail
                    .as_deref()
                    .is_some_and(|d| d.contains("verified"))
        }));
        assert!(report.server_version.unwrap().starts_with("MariaDB 10."));
        let ask = Discover {
            namespace: Some(name.clone()),
            limit: 10,
            ..Discover::default()
        };
        let page = source.discover(&context(), &ask).await.unwrap();
        let id = StreamId::from_parts([name.as_str(), "t `\"'.ü"]).to_string();
        assert!(page.items.iter().any(|item| item.stream == id));
        let batch = rows(&source, &stream(&id)).await.unwrap();
        let schema = batch.schema();
        assert_eq!(schema.field(0).name(), "c `\"'ü%");
        let made = arrow::array::RecordBatch::try_from_iter([(
            schema.field(0).name().as_str(),
            std::sync::Arc::new(arrow::array::Int32Array::from(vec![7])) as _,
        )])
        .unwrap();
        for to in [
            id,
            StreamId::from_parts([name.as_str(), "new `\"'.ü"]).to_string(),
        ] {
            write(&source, &to, weir_core::WriteMode::Replace, &[], &made)
                .await
                .unwrap();
            assert_eq!(texts(&rows(&source, &stream(&to)).await.unwrap(), 0), ["7"]);
        }
    }
    sql("", &format!("DROP DATABASE `{back}`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_logins_are_told_apart() {
    let database = MyDatabase::create();
    for (field, value, code) in [
        ("password", json!("wrong"), "authentication"),
        ("user", json!("nobody"), "authentication"),
        ("database", json!("nothing"), "permission"),
        (
            "tls",
            json!({"mode": "verify-full", "ca": server().ca}),
            "tls",
        ),
        ("port", json!(1), "unavailable"),
    ] {
        let mut config = database.config();
        config[field] = value;
        let (_, outcome) = open(config).await.unwrap().test(&context()).await;
        let error = outcome.unwrap_err();
        let told = [error.stable_code(), error.kind().code()];
        assert!(told.contains(&code), "{field}: {told:?} {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_reader_has_gone_is_killed() {
    let database = MyDatabase::create();
    let source = source_with(&database, json!({"pool": {"max": 1}})).await;
    // One gives rows, one says nothing for long.
    for (text, gives) in [
        (
            "select 'mark_one', a.seq, repeat('x', 100) from seq_1_to_10000 a join seq_1_to_10000 b",
            true,
        ),
        (
            "select count(*) as mark_one from seq_1_to_1000000 a join seq_1_to_100000 b where a.seq * b.seq < 0",
            false,
        ),
    ] {
        for _ in 0..10 {
            let mut batches = source
                .scan(&context(), &query(text, Vec::new()))
                .await
                .unwrap()
                .stream;
            if gives {
                assert!(batches.next().await.unwrap().unwrap().num_rows() > 0);
            } else {
                assert!(
                    tokio::time::timeout(Duration::from_millis(200), batches.next())
                        .await
                        .is_err()
                );
                assert_eq!(database.sessions_running("mark_one"), 1);
            }
            drop(batches);
            let start = Instant::now();
            let gone = eventually(Duration::from_secs(5), async || {
                (database.sessions_running("mark_one") == 0).then_some(())
            })
            .await;
            assert!(
                gone.is_some() && start.elapsed() < Duration::from_secs(2),
                "{text}: {:?}",
                start.elapsed()
            );
            let batch = rows(&source, &query("select ?", vec![Value::Int(7)]))
                .await
                .unwrap();
            assert_eq!(texts(&batch, 0), ["7"]);
        }
    }
    let ctx = weir_core::Context {
        deadline: weir_core::Deadline::after(Duration::from_millis(300)),
        ..context()
    };
    let text = "select count(*) as mark_two from seq_1_to_1000000 a join seq_1_to_100000 b where a.seq * b.seq < 0";
    let mut batches = source
        .scan(&ctx, &query(text, Vec::new()))
        .await
        .unwrap()
        .stream;
    assert_eq!(
        batches.next().await.unwrap().unwrap_err().kind(),
        Kind::Deadline
    );
    drop(batches);
    let gone = eventually(Duration::from_secs(2), async || {
        (database.sessions_running("mark_two") == 0).then_some(())
    })
    .await;
    assert!(gone.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_tables_are_listed_by_the_page() {
    let database = MyDatabase::create();
    let many: String = (0..2_000)
        .map(|n| format!("create table t{n:05} (a int) engine=memory;"))
        .collect();
    database.run(&many);
    let source = source_with(&database, json!({})).await;
    let start = Instant::now();
    let (mut after, mut seen) = (None, 0);
    loop {
        let ask = Discover {
            namespace: Some(database.name.clone()),
            limit: 500,
            after,
            search: None,
        };
        let page = source.discover(&context(), &ask).await.unwrap();
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 2_000);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
