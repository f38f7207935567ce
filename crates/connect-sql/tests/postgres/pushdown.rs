//! What is pushed down answers as the engine would: the same rows, in the same order.

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use weir_core::{
    Comparison, Nulls, OpenSource, Operand, Order, Predicate, PushDown, Pushed, Read, Value,
};
use weir_engine::{Engine, EngineLimits};

use crate::support::*;

const ROWS: &str = r#"
create table rows (id int, i int, j bigint, f float8, g real, n numeric(10,2), t text, u text collate "en-x-icu", c char(3),
   v varchar(10), d date, at timestamp, z timestamptz, k uuid, b bool, m numeric, h time, js jsonb);
insert into rows (id) values (0);
insert into rows values
 (1, 1, 1, 0, 0, 0, '', '', '', '', '2024-01-01', '2024-01-01', '2024-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, 1, '01:00', '{}'),
 (2, -1, 2, '-0', '-0', 'NaN', 'a', 'a', 'a', 'a', 'infinity', 'infinity', 'infinity', '00000000-0000-0000-0000-000000000000', false, 'NaN', '24:00', '[]'),
 (3, 2, 2, 'NaN', 'NaN', 1.50, 'A', 'A', 'abc', 'A ', '-infinity', '-infinity', '-infinity', 'ffffffff-0000-0000-0000-000000000000', true, 2, '02:00', 'null'),
 (4, 2147483647, 9223372036854775807, 'Infinity', 1.5, -1.50, 'ä', 'ä', 'ab ', 'b', '1999-12-31', '294276-01-01', '294276-01-01', null, null, 1.5, '00:00', '"a"'),
 (5, 5, 4, '-Infinity', '-Infinity', 99999999.99, 'a%b', 'B', E'ab\t', 'a_b', '2024-02-29', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00.000001+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', true, 3, '23:00', '1'),
 (6, null, 5, 1.5, 1.5, 1.50, 'b.c', 'b', 'abd', 'zz', '2024-01-02', '2024-01-01 00:00:01', '2024-01-01 00:00:01+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', false, null, null, null),
 (7, 7, null, -1.5, 0.1, 0.01, ' ', ' ', '   ', ' ', '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00', null, true, 7, '07:00', '{}'),
 (8, 8, 8, 0.1, 0.1, 10, 'Zebra', 'Zebra', 'Z', 'Zebra', '2023-12-31', '2023-12-31 23:59:59.999999', '2023-12-31 23:59:59.999999+00', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', false, 10, '12:00', '{"a": 1}'),
 (9, 9, 9, 9007199254740992, 2, 2, '😀', '😀', '😀😀😀', 'é', '9999-12-31', '9999-12-31', '9999-12-31 00:00:00+00', null, true, 1, '12:00', '[1]');
"#;

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn number(value: &str) -> Value {
    Value::Number(value.into())
}

/// Columns, and literals to compare each with.
fn literals() -> Vec<(&'static str, Vec<Value>)> {
    let moments = || {
        [
            "2024-01-01",
            "2024-01-01 00:00:01",
            "2024-02-29T12:00:00.000001",
            "9999-12-31",
        ]
        .map(text)
        .to_vec()
    };
    vec![
        (
            "i",
            vec![
                Value::Int(2),
                Value::Int(-1),
                Value::Int(3_000_000_000),
                number("1.5"),
                text("2"),
            ],
        ),
        ("j", vec![Value::Int(2), Value::Int(i64::MAX)]),
        (
            "f",
            vec![
                Value::Int(0),
                number("1.5"),
                number("-1.5"),
                number("0.1"),
                Value::Int(9_007_199_254_740_992),
            ],
        ),
        ("g", vec![Value::Int(0), number("1.5"), number("0.1")]),
        (
            "n",
            vec![
                Value::Int(0),
                number("1.50"),
                number("1.5"),
                number("0.005"),
                number("99999999.99"),
                number("1e1"),
            ],
        ),
        ("t", ["", "a", "A", "ä", "b", "😀", " "].map(text).to_vec()),
        ("u", ["", "a", "A", "b", "Zebra"].map(text).to_vec()),
        (
            "c",
            ["abc", "ab ", "a", "a  ", "Z", "😀😀😀", ""]
                .map(text)
                .to_vec(),
        ),
        ("v", ["a", "A ", "zz"].map(text).to_vec()),
        (
            "d",
            ["2024-01-01", "0001-01-01", "9999-12-31"]
                .map(text)
                .to_vec(),
        ),
        ("at", moments()),
        (
            "z",
            [
                moments(),
                vec![
                    text("2024-01-01T01:00:00+01:00"),
                    text("2024-01-01T00:00:01Z"),
                ],
            ]
            .concat(),
        ),
        (
            "k",
            vec![
                text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
                text("b"),
            ],
        ),
        ("m", vec![text("1")]),
    ]
}

const OPERATORS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Le,
    Comparison::Gt,
    Comparison::Ge,
];

fn compare(column: &str, op: Comparison, value: Value) -> Predicate {
    Predicate::Compare {
        column: column.into(),
        op,
        right: Operand::Value(value),
    }
}

fn predicates() -> Vec<Predicate> {
    let mut all = Vec::new();
    for (column, values) in literals() {
        for value in &values {
            for op in OPERATORS {
                all.push(compare(column, op, value.clone()));
            }
        }
        all.push(Predicate::In {
            column: column.into(),
            values: values.clone(),
        });
        all.push(Predicate::Between {
            column: column.into(),
            low: values[0].clone(),
            high: values[values.len() - 1].clone(),
        });
    }
    for column in [
        "i", "f", "g", "n", "t", "u", "c", "d", "at", "z", "k", "b", "m", "h", "js",
    ] {
        let name = column.to_owned();
        all.push(Predicate::IsNull(name.clone()));
        all.push(Predicate::IsNotNull(name.clone()));
        all.push(Predicate::IsNullOrEmpty(name.clone()));
        all.push(Predicate::IsBlank(name));
    }
    for (pattern, negated) in [
        ("a", false),
        ("a", true),
        ("b.c", false),
        ("%", false),
        ("", false),
        ("^a", true),
        ("ä", false),
    ] {
        for column in ["t", "u", "v", "c"] {
            all.push(Predicate::Contains {
                column: column.into(),
                pattern: pattern.into(),
                negated,
            });
            all.push(Predicate::StartsWith {
                column: column.into(),
                prefix: pattern.into(),
            });
        }
    }
    for op in OPERATORS {
        for (left, right) in [("i", "j"), ("t", "v"), ("t", "u"), ("f", "g"), ("d", "d")] {
            all.push(Predicate::Compare {
                column: left.into(),
                op,
                right: Operand::Column(right.into()),
            });
        }
    }
    for truth in [true, false] {
        all.push(compare("b", Comparison::Eq, Value::Bool(truth)));
        all.push(compare("b", Comparison::Ne, Value::Bool(truth)));
    }
    let negations: Vec<Predicate> = all
        .iter()
        .cloned()
        .map(|part| Predicate::Not(Box::new(part)))
        .collect();
    let pairs: Vec<Predicate> = all
        .windows(2)
        .step_by(7)
        .flat_map(|pair| {
            [
                Predicate::Or(pair.to_vec()),
                Predicate::Not(Box::new(Predicate::And(pair.to_vec()))),
            ]
        })
        .collect();
    all.extend(negations);
    all.extend(pairs);
    all.push(Predicate::Or(Vec::new()));
    all
}

fn engine() -> Engine {
    let limits = EngineLimits {
        memory_bytes: 64 << 20,
        spill_dir: PathBuf::from(std::env::temp_dir()),
        spill_bytes: 1 << 20,
    };
    Engine::new(limits).unwrap()
}

/// What the engine makes of all rows, with nothing pushed down.
async fn local(source: &OpenSource, read: &Read) -> weir_core::Result<RecordBatch> {
    let mut scan = source
        .scan(&context(), &Read::all(read.target.clone()))
        .await?;
    scan.pushed = Pushed {
        filter: vec![PushDown::No; read.filter.len()],
        ..Pushed::default()
    };
    gather(engine().finish(scan, read)?).await
}

async fn pushed(source: &OpenSource, read: &Read) -> weir_core::Result<RecordBatch> {
    gather(engine().finish(source.scan(&context(), read).await?, read)?).await
}

async fn gather(answer: weir_engine::Answer) -> weir_core::Result<RecordBatch> {
    use futures::TryStreamExt;
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
    Ok(arrow::compute::concat_batches(&answer.schema, &batches)?)
}

#[tokio::test]
async fn filters_keep_the_same_rows() {
    let database = Database::with(ROWS).await;
    let source = source(&database).await;
    let (mut exact, mut total) = (0, 0);
    for predicate in predicates() {
        let filtered = |predicate: &Predicate| Read {
            filter: vec![predicate.clone()],
            ..stream("rows")
        };
        let read = filtered(&predicate);
        let (mine, theirs) = match (pushed(&source, &read).await, local(&source, &read).await) {
            (Ok(mine), Ok(theirs)) => (mine, theirs),
            // What makes no sense for the column's type is the engine's to refuse.
            (Err(_), Err(_)) => continue,
            (mine, theirs) => panic!("{predicate:?}: {:?} {:?}", mine.err(), theirs.err()),
        };
        assert_eq!(texts(&mine, 0), texts(&theirs, 0), "{predicate:?}");
        total += 1;
        let scan = source.scan(&context(), &read).await.unwrap();
        exact += usize::from(scan.pushed.filter == [PushDown::Exact]);
    }
    assert!(
        exact * 3 > total * 2,
        "only {exact} of {total} are pushed down"
    );
}

#[tokio::test]
async fn orders_and_limits_are_the_same() {
    let database = Database::with(ROWS).await;
    let source = source(&database).await;
    for column in [
        "i", "f", "g", "n", "t", "u", "c", "v", "d", "at", "z", "k", "b", "m", "js",
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
            let order = vec![key(column), key("id")];
            for limit in [None, Some(4)] {
                let read = Read {
                    order: order.clone(),
                    limit,
                    ..stream("rows")
                };
                let (mine, theirs) = (
                    pushed(&source, &read).await.unwrap(),
                    local(&source, &read).await.unwrap(),
                );
                assert_eq!(
                    texts(&mine, 0),
                    texts(&theirs, 0),
                    "{column} {ascending} {nulls:?} {limit:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_pushed_is_told() {
    let database = Database::with(ROWS).await;
    let source = source(&database).await;
    let key = |column: &str| Order {
        column: column.into(),
        ascending: true,
        nulls: Nulls::Last,
    };
    let scan = async |read: &Read| source.scan(&context(), read).await.unwrap();
    let read = Read {
        columns: Some(vec!["t".into(), "id".into()]),
        filter: vec![
            compare("i", Comparison::Gt, Value::Int(0)),
            Predicate::IsBlank("v".into()),
        ],
        order: vec![key("js")],
        limit: Some(2),
        ..stream("rows")
    };
    let found = scan(&read).await;
    let names: Vec<&str> = found
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    // What the rest of the read needs comes after what is wanted.
    assert_eq!(names, ["t", "id", "v", "js"]);
    assert_eq!(found.pushed.filter, [PushDown::Exact, PushDown::No]);
    assert!(!found.pushed.order && !found.pushed.limit && found.pushed.columns);
    let read = Read {
        filter: Vec::new(),
        order: vec![key("t")],
        ..read
    };
    let found = scan(&read).await;
    assert!(found.pushed.order && found.pushed.limit && found.pushed.columns);
    let batch = collect(found).await.unwrap();
    assert_eq!((batch.num_columns(), batch.num_rows()), (2, 2));
}
