//! What is pushed down answers as the engine would: the same rows, in the same order.

use arrow::record_batch::RecordBatch;
use weir_core::task::Compute;
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

/// Columns, and literals to compare each with: text in quotes, numbers bare.
const LITERALS: [(&str, &[&str]); 14] = [
    ("i", &["2", "-1", "3000000000", "1.5", "'2'"]),
    ("j", &["2", "9223372036854775807"]),
    ("f", &["0", "1.5", "-1.5", "0.1", "9007199254740992"]),
    ("g", &["0", "1.5", "0.1"]),
    ("n", &["0", "1.50", "1.5", "0.005", "99999999.99", "1e1"]),
    ("t", &["''", "'a'", "'A'", "'ä'", "'b'", "'😀'", "' '"]),
    ("u", &["''", "'a'", "'A'", "'b'", "'Zebra'"]),
    (
        "c",
        &["'abc'", "'ab '", "'a'", "'a  '", "'Z'", "'😀😀😀'", "''"],
    ),
    ("v", &["'a'", "'A '", "'zz'"]),
    ("d", &["'2024-01-01'", "'0001-01-01'", "'9999-12-31'"]),
    (
        "at",
        &[
            "'2024-01-01'",
            "'2024-01-01 00:00:01'",
            "'2024-02-29T12:00:00.000001'",
            "'9999-12-31'",
        ],
    ),
    (
        "z",
        &[
            "'2024-01-01'",
            "'2024-01-01 00:00:01'",
            "'2024-01-01T01:00:00+01:00'",
            "'2024-01-01T00:00:01Z'",
        ],
    ),
    (
        "k",
        &[
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "'b'",
        ],
    ),
    ("m", &["'1'"]),
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

fn compare(column: &str, op: Comparison, value: Value) -> Predicate {
    Predicate::Compare {
        column: column.into(),
        op,
        right: Operand::Value(value),
    }
}

fn with_literals() -> Vec<Predicate> {
    let mut all = Vec::new();
    for (column, texts) in LITERALS {
        let values: Vec<Value> = texts.iter().map(|text| literal(text)).collect();
        for value in &values {
            all.extend(OPERATORS.map(|op| compare(column, op, value.clone())));
        }
        let (low, high) = (values[0].clone(), values[values.len() - 1].clone());
        all.push(Predicate::Between {
            column: column.into(),
            low,
            high,
        });
        all.push(Predicate::In {
            column: column.into(),
            values,
        });
    }
    for op in [Comparison::Eq, Comparison::Ne] {
        all.extend([true, false].map(|truth| compare("b", op, Value::Bool(truth))));
    }
    all
}

fn with_nulls() -> Vec<Predicate> {
    let columns = [
        "i", "f", "g", "n", "t", "u", "c", "d", "at", "z", "k", "b", "m", "h", "js",
    ];
    let tests = [
        Predicate::IsNull,
        Predicate::IsNotNull,
        Predicate::IsNullOrEmpty,
        Predicate::IsBlank,
    ];
    columns
        .iter()
        .flat_map(|column| tests.map(|test| test((*column).to_owned())))
        .collect()
}

fn with_patterns() -> Vec<Predicate> {
    let mut all = Vec::new();
    for pattern in ["a", "b.c", "%", "", "^a", "ä"].map(str::to_owned) {
        for column in ["t", "u", "v", "c"].map(str::to_owned) {
            let prefix = pattern.clone();
            all.push(Predicate::StartsWith {
                column: column.clone(),
                prefix,
            });
            all.extend([true, false].map(|negated| Predicate::Contains {
                column: column.clone(),
                pattern: pattern.clone(),
                negated,
            }));
        }
    }
    all
}

fn with_columns() -> Vec<Predicate> {
    let pairs = [("i", "j"), ("t", "v"), ("t", "u"), ("f", "g"), ("d", "d")];
    let of = |(left, right): (&str, &str)| {
        OPERATORS.map(|op| Predicate::Compare {
            column: left.into(),
            op,
            right: Operand::Column(right.into()),
        })
    };
    pairs.into_iter().flat_map(of).collect()
}

fn predicates() -> Vec<Predicate> {
    let not = |part: Predicate| Predicate::Not(Box::new(part));
    let mut all = [
        with_literals(),
        with_nulls(),
        with_patterns(),
        with_columns(),
    ]
    .concat();
    let negations: Vec<Predicate> = all.iter().cloned().map(not).collect();
    let pairs = all.windows(2).step_by(7);
    let pairs: Vec<Predicate> = pairs
        .flat_map(|pair| {
            [
                Predicate::Or(pair.to_vec()),
                not(Predicate::And(pair.to_vec())),
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
        spill_dir: std::env::temp_dir(),
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
    gather(engine().finish(scan, read, &context().memory, &Compute::current())?).await
}

async fn pushed(source: &OpenSource, read: &Read) -> weir_core::Result<RecordBatch> {
    gather(engine().finish(
        source.scan(&context(), read).await?,
        read,
        &context().memory,
        &Compute::current(),
    )?)
    .await
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
