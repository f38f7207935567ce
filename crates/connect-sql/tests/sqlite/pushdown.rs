//! What is pushed down answers as the engine would: the same rows, in the same order,
//! also where columns hold values of all types.

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde_json::json;
use weir_core::task::Compute;
use weir_core::{
    Comparison, Nulls, OpenSource, Operand, Order, Predicate, PushDown, Pushed, Read, Value,
};
use weir_engine::{Engine, EngineLimits};

use crate::support::*;

const VALUES: &str = "
    INSERT INTO rows (i, f, t, b, d) VALUES
      (NULL, NULL, NULL, NULL, NULL), (1, 1, 'a', x'61', '2024-01-01'), (2, 2.5, 'A', 'a', 1704067200),
      (-1, -0.0, '', x'', 'x'), ('x', 'x', x'61', 5, x'00'), (2.5, 9e999, CAST(x'ff' AS TEXT), 2.5, '2024-01-02 12:00'),
      (9223372036854775807, -9e999, 'ä', x'ff', 2460311.5), (1e30, 0.0, '1', '1', '2024-01-01T00:00:00Z'),
      (x'01', x'01', 'a%b', NULL, NULL), ('5', '5', 5, 7, 7), (0, 9007199254740993, 'a ', 'ä', '2023-12-31')";

const TABLES: [&str; 2] = [
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, i INTEGER, f REAL, t TEXT COLLATE NOCASE, b BLOB, d DATETIME)",
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, i INTEGER, f REAL, t TEXT, b BLOB, d TEXT) STRICT",
];

const OPERATORS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Le,
    Comparison::Gt,
    Comparison::Ge,
];

fn predicates() -> Vec<Predicate> {
    let mut all = Vec::new();
    let int = Value::Int;
    let number = |text: &str| Value::Number(text.into());
    let text = |text: &str| Value::Text(text.into());
    for (column, values) in [
        ("id", vec![int(1), int(5), int(i64::MAX)]),
        (
            "i",
            vec![int(0), int(1), int(2), int(i64::MAX), number("2.5")],
        ),
        (
            "f",
            vec![
                int(0),
                int(1),
                number("2.5"),
                number("-1.5"),
                int(9_007_199_254_740_992),
            ],
        ),
        (
            "t",
            vec![
                text("a"),
                text("A"),
                text(""),
                text("ä"),
                text("1"),
                text("5"),
                text("\u{fffd}"),
            ],
        ),
        ("b", vec![text("a")]),
        ("d", vec![text("2024-01-01")]),
    ] {
        let compare = |op, value: &Value| Predicate::Compare {
            column: column.into(),
            op,
            right: Operand::Value(value.clone()),
        };
        for value in &values {
            all.extend(OPERATORS.map(|op| compare(op, value)));
        }
        all.push(Predicate::Between {
            column: column.into(),
            low: values[0].clone(),
            high: values[values.len() - 1].clone(),
        });
        all.push(Predicate::In {
            column: column.into(),
            values,
        });
        let tests = [
            Predicate::IsNull,
            Predicate::IsNotNull,
            Predicate::IsNullOrEmpty,
            Predicate::IsBlank,
        ];
        all.extend(tests.map(|test| test(column.to_owned())));
        for pattern in ["a", "%", ""] {
            all.push(Predicate::StartsWith {
                column: column.into(),
                prefix: pattern.into(),
            });
            all.extend([true, false].map(|negated| Predicate::Contains {
                column: column.into(),
                pattern: pattern.into(),
                negated,
            }));
        }
    }
    all.extend(OPERATORS.map(|op| Predicate::Compare {
        column: "id".into(),
        op,
        right: Operand::Column("i".into()),
    }));
    let not = |part: Predicate| Predicate::Not(Box::new(part));
    let pairs: Vec<Predicate> = all
        .windows(2)
        .flat_map(|pair| {
            [
                Predicate::Or(pair.to_vec()),
                not(Predicate::And(pair.to_vec())),
            ]
        })
        .collect();
    let negated: Vec<Predicate> = all.iter().cloned().map(not).collect();
    all.extend(pairs);
    all.extend(negated);
    all
}

fn engine() -> Engine {
    let limits = EngineLimits {
        spill_dir: std::env::temp_dir(),
        spill_bytes: 1 << 20,
    };
    Engine::new(limits).unwrap()
}

async fn gather(source: &OpenSource, read: &Read, push: bool) -> weir_core::Result<RecordBatch> {
    let scan = match push {
        true => source.scan(&context(), read).await?,
        false => {
            let mut scan = source
                .scan(&context(), &Read::all(read.target.clone()))
                .await?;
            scan.pushed = Pushed {
                filter: vec![PushDown::No; read.filter.len()],
                ..Pushed::default()
            };
            scan
        }
    };
    let answer = engine().finish(scan, read, &context().memory, &Compute::current())?;
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
    Ok(arrow::compute::concat_batches(&answer.schema, &batches)?)
}

#[tokio::test]
async fn filters_keep_the_same_rows() {
    for table in TABLES {
        let place = Place::new(table);
        // A STRICT table takes row by row what it takes at all.
        let conn = place.conn();
        for row in VALUES.split("VALUES").nth(1).unwrap().split("), (") {
            let row = row.trim().trim_start_matches('(').trim_end_matches(')');
            let row = if row.ends_with("AS TEXT") {
                continue;
            } else {
                row
            };
            let sql = format!("INSERT INTO rows (i, f, t, b, d) VALUES ({row})");
            let taken = conn.execute_batch(&sql);
            assert!(
                taken.is_ok() || table.ends_with("STRICT"),
                "{sql}: {taken:?}"
            );
        }
        let bad = "INSERT INTO rows (i, f, t) VALUES (7, 0.5, CAST(x'ff' AS TEXT)), (8, -9e999, CAST(x'61ff' AS TEXT))";
        conn.execute_batch(bad).unwrap();
        let source = place.source().await;
        let (mut exact, mut total) = (0, 0);
        for predicate in predicates() {
            let read = Read {
                filter: vec![predicate.clone()],
                ..stream("rows")
            };
            let answers = (
                gather(&source, &read, true).await,
                gather(&source, &read, false).await,
            );
            let (mine, theirs) = match answers {
                (Ok(mine), Ok(theirs)) => (mine, theirs),
                (Err(_), Err(_)) => continue,
                (mine, theirs) => panic!("{predicate:?}: {:?} {:?}", mine.err(), theirs.err()),
            };
            let sorted = |batch| {
                let mut ids = texts(batch, 0);
                ids.sort();
                ids
            };
            assert_eq!(sorted(&mine), sorted(&theirs), "{table}: {predicate:?}");
            total += 1;
            let scan = source.scan(&context(), &read).await.unwrap();
            let is_exact = scan.pushed.filter == [PushDown::Exact];
            exact += usize::from(is_exact);
            let count = source.count(&context(), &read).await.unwrap();
            let expected = is_exact.then(|| mine.num_rows() as u64);
            assert_eq!(count, expected, "{predicate:?}");
        }
        assert!(
            exact * 5 > total * 2,
            "only {exact} of {total} are pushed down"
        );
    }
}

#[tokio::test]
async fn orders_and_limits_are_the_same() {
    for table in TABLES {
        let place = Place::new(table);
        let conn = place.conn();
        for number in -20..20 {
            let sql = format!(
                "INSERT INTO rows (i, f) VALUES ({}, {number} / 4.0)",
                number % 7
            );
            conn.execute_batch(&sql).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO rows (i, f) VALUES (NULL, NULL), (3, 9e999), (NULL, -9e999)",
        )
        .unwrap();
        if !table.ends_with("STRICT") {
            conn.execute_batch("INSERT INTO rows (i, f) VALUES ('x', x'00'), (2.5, 'y')")
                .unwrap();
        }
        let source = place.source().await;
        for column in ["i", "f", "id", "t", "d"] {
            for nulls in [Nulls::First, Nulls::Last] {
                for (ascending, limit) in [(true, None), (false, Some(5)), (true, Some(30))] {
                    let key = |column: &str| Order {
                        column: column.into(),
                        ascending,
                        nulls,
                    };
                    let read = Read {
                        order: vec![key(column), key("id")],
                        limit,
                        ..stream("rows")
                    };
                    let mine = gather(&source, &read, true).await.unwrap();
                    let theirs = gather(&source, &read, false).await.unwrap();
                    assert_eq!(
                        texts(&mine, 0),
                        texts(&theirs, 0),
                        "{table} {column} {nulls:?} {limit:?}"
                    );
                }
            }
        }
        let read = Read {
            limit: Some(3),
            ..stream("rows")
        };
        let scan = source.scan(&context(), &read).await.unwrap();
        assert!(scan.pushed.limit && scan.pushed.filter.is_empty());
    }
}

#[tokio::test]
async fn where_misfits_are_errors_none_is_hidden_by_a_filter_that_would_keep_it() {
    let place = Place::new(&format!("{}; {VALUES}", TABLES[0]));
    let source = place.source_with(json!({"unrepresentable": "error"})).await;
    let read = Read {
        filter: vec![Predicate::Compare {
            column: "i".into(),
            op: Comparison::Gt,
            right: Operand::Value(Value::Int(5)),
        }],
        ..stream("rows")
    };
    assert_eq!(
        failure(&source, &read).await.stable_code(),
        "unrepresentable"
    );
}
