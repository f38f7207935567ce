//! What is pushed down answers as the engine would: the same rows, in the same order.

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use weir_core::task::Compute;
use weir_core::{
    Comparison, Nulls, OpenSource, Operand, Order, Predicate, PushDown, Pushed, Read, Value,
};
use weir_engine::{Engine, EngineLimits};

use crate::support::*;

const ROWS: &str = r#"
create table rows (id int, i int, j bigint, u ubigint, f double, g float, n decimal(10,2), w decimal(38,18), h hugeint, t text, l text collate nocase,
   e enum('b', 'a', 'ä'), d date, "at" timestamp, z timestamptz, k uuid, b bool, s timestamp_s, js json);
insert into rows (id) values (0);
insert into rows values
 (1, 1, 1, 1, 0, 0, 0, 0, 1, '', '', 'b', '2024-01-01', '2024-01-01', '2024-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, '2024-01-01', '{}'),
 (2, -1, 2, 2, '-0', '-0', 1.50, 1.5, 170141183460469231731687303715884105727, 'a', 'a', 'a', 'infinity', 'infinity', 'infinity', '00000000-0000-0000-0000-000000000000', false, 'infinity', '[]'),
 (3, 2, 2, 18446744073709551615, 'nan', 'nan', -1.50, -1.5, 2, 'A', 'A', 'ä', '-infinity', '-infinity', '-infinity', 'ffffffff-0000-0000-0000-000000000000', true, '-infinity', 'null'),
 (4, 2147483647, 9223372036854775807, 3, 'inf', 1.5, 99999999.99, 99999999999999999999.5, 3, 'ä', 'ä', null, '1999-12-31', '290000-01-01', '290000-01-01 00:00:00+00', null, null, null, '"a"'),
 (5, 5, 4, 5, '-inf', '-inf', 0.01, 0.000000000000000001, 4, 'a%b', 'B', 'a', '2024-02-29', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00.000001+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', true, '2024-02-29', '1'),
 (6, null, 5, null, 1.5, 1.5, null, null, null, 'b.c', 'b', 'b', '2024-01-02', '2024-01-01 00:00:01', '2024-01-01 00:00:01+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', false, null, null),
 (7, 7, null, 7, -('nan'::double), 0.1, 10, 10, -5, ' ', ' ', 'b', '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00', null, true, null, '{}'),
 (8, 8, 8, 8, 0.1, 0.1, 10, 10, 6, '😀', '😀', null, '9999-12-31', '9999-12-31', '9999-12-31 00:00:00+00', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', false, null, '{"a": 1}');
"#;

/// Columns, and literals to compare each with: text in quotes, numbers bare.
const LITERALS: [(&str, &[&str]); 14] = [
    ("i", &["2", "-1", "3000000000", "1.5"]),
    ("j", &["2", "9223372036854775807"]),
    ("u", &["2", "-1"]),
    ("f", &["0", "1.5", "0.1", "9007199254740992"]),
    ("g", &["0", "1.5", "0.1"]),
    (
        "n",
        &[
            "0",
            "1.50",
            "1.5",
            "0.005",
            "99999999.99",
            "12345678901234567890.5",
        ],
    ),
    (
        "w",
        &[
            "0",
            "1.5",
            "10",
            "12345678901234567890.5",
            "1234567890123456789012",
        ],
    ),
    ("h", &["2"]),
    ("t", &["''", "'a'", "'A'", "'ä'", "'b'", "'😀'", "' '"]),
    ("l", &["''", "'a'", "'A'", "'b'"]),
    ("e", &["'a'", "'b'", "'c'"]),
    ("d", &["'2024-01-01'", "'0001-01-01'", "'9999-12-31'"]),
    (
        "at",
        &[
            "'2024-01-01'",
            "'2024-01-01 00:00:01'",
            "'2024-02-29T12:00:00.000001'",
        ],
    ),
    (
        "z",
        &[
            "'2024-01-01'",
            "'2024-01-01T01:00:00+01:00'",
            "'2024-01-01T00:00:01Z'",
        ],
    ),
];

fn literal(text: &str) -> Value {
    match text.strip_prefix('\'') {
        Some(quoted) => Value::Text(quoted.trim_end_matches('\'').into()),
        None => text
            .parse()
            .map_or_else(|_| Value::Number(text.into()), Value::Int),
    }
}

const OPERATORS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Le,
    Comparison::Gt,
    Comparison::Ge,
];

fn compare(column: &str, op: Comparison, right: Operand) -> Predicate {
    Predicate::Compare {
        column: column.into(),
        op,
        right,
    }
}

fn predicates() -> Vec<Predicate> {
    let mut all = Vec::new();
    for (column, texts) in LITERALS {
        let name = || column.to_owned();
        let values: Vec<Value> = texts.iter().map(|text| literal(text)).collect();
        for value in &values {
            all.extend(OPERATORS.map(|op| compare(column, op, Operand::Value(value.clone()))));
        }
        let (low, high) = (values[0].clone(), values[values.len() - 1].clone());
        all.push(Predicate::Between {
            column: name(),
            low,
            high,
        });
        all.push(Predicate::In {
            column: name(),
            values,
        });
    }
    for column in [
        "i", "f", "g", "n", "h", "t", "l", "e", "d", "at", "z", "k", "b", "s", "js",
    ] {
        all.extend([
            Predicate::IsNull(column.into()),
            Predicate::IsNotNull(column.into()),
            Predicate::IsNullOrEmpty(column.into()),
            Predicate::IsBlank(column.into()),
        ]);
    }
    for column in ["t", "l", "e"] {
        for pattern in ["a", "", "ä", "%", "a.b", "^a"] {
            for negated in [true, false] {
                all.push(Predicate::Contains {
                    column: column.into(),
                    pattern: pattern.into(),
                    negated,
                });
            }
            all.push(Predicate::StartsWith {
                column: column.into(),
                prefix: pattern.into(),
            });
        }
    }
    for (a, b) in [
        ("i", "j"),
        ("j", "u"),
        ("t", "l"),
        ("t", "e"),
        ("f", "g"),
        ("d", "at"),
    ] {
        all.extend(OPERATORS.map(|op| compare(a, op, Operand::Column(b.into()))));
    }
    for truth in [true, false] {
        all.push(compare(
            "b",
            Comparison::Eq,
            Operand::Value(Value::Bool(truth)),
        ));
    }
    let not = all
        .iter()
        .cloned()
        .map(|part| Predicate::Not(Box::new(part)));
    let not: Vec<Predicate> = not.collect();
    all.extend(not);
    all
}

type Answer = weir_core::Result<RecordBatch>;

/// What is answered with everything pushed down that can be, and with nothing.
async fn answers(source: &OpenSource, read: &Read) -> (Answer, Answer, Pushed) {
    let engine = Engine::new(EngineLimits {
        spill_dir: std::env::temp_dir(),
        spill_bytes: 1 << 20,
    })
    .unwrap();
    let scan = source.scan(&context(), read).await.unwrap();
    let told = scan.pushed.clone();
    let all = Read::all(read.target.clone());
    let mut whole = source.scan(&context(), &all).await.unwrap();
    whole.pushed = Pushed {
        filter: vec![PushDown::No; read.filter.len()],
        ..Pushed::default()
    };
    let finish = async |scan| {
        let answer = engine.finish(scan, read, &context().memory, &Compute::current())?;
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        Ok(arrow::compute::concat_batches(&answer.schema, &batches)?)
    };
    (finish(scan).await, finish(whole).await, told)
}

type Ids = Vec<Option<String>>;

/// The ids of both, where they agree that there is an answer.
fn agreed(ours: &Answer, theirs: &Answer, what: &str) -> Option<(Ids, Ids)> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => Some((texts(ours, 0), texts(theirs, 0))),
        // What makes no sense for the column's type is the engine's to refuse.
        (Err(_), Err(_)) => None,
        _ => panic!(
            "{what}: {:?} {:?}",
            ours.as_ref().err(),
            theirs.as_ref().err()
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_keep_the_rows_that_the_engine_keeps() {
    let file = DuckFile::with(ROWS);
    let source = source(&file).await;
    let (mut exact, mut total) = (0, 0);
    for predicate in predicates() {
        let read = Read {
            filter: vec![predicate.clone()],
            ..stream("rows")
        };
        let (ours, theirs, told) = answers(&source, &read).await;
        let what = format!("{predicate:?}");
        let Some((ours, theirs)) = agreed(&ours, &theirs, &what) else {
            continue;
        };
        assert_eq!(ours, theirs, "{what}");
        total += 1;
        if told.filter == [PushDown::Exact] {
            exact += 1;
            let count = source.count(&context(), &read).await.unwrap();
            assert_eq!(count, Some(ours.len() as u64), "{what}");
        }
    }
    assert!(
        exact * 3 > total * 2,
        "only {exact} of {total} are pushed down"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_and_limits_are_the_same() {
    let file = DuckFile::with(ROWS);
    let source = source(&file).await;
    for column in [
        "i", "u", "f", "g", "n", "w", "h", "t", "l", "e", "d", "at", "z", "k", "s",
    ] {
        for (ascending, nulls) in [
            (true, Nulls::First),
            (true, Nulls::Last),
            (false, Nulls::First),
            (false, Nulls::Last),
        ] {
            let key = |column: &str| Order {
                column: column.into(),
                ascending,
                nulls,
            };
            let read = Read {
                order: vec![key(column), key("id")],
                limit: Some(7),
                ..stream("rows")
            };
            let (ours, theirs, _) = answers(&source, &read).await;
            let (ours, theirs) = agreed(&ours, &theirs, column).unwrap();
            assert_eq!(ours, theirs, "{column} {ascending} {nulls:?}");
        }
    }
}
