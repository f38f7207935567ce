//! Values of every type, and those that have no place in theirs.

use serde_json::json;
use weir_core::Value;
use weir_core::types::field_type_name;

use crate::support::*;

/// Type, our name for it, values, and what they become; `None` is null.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, Option<&'static str>)],
);

const CASES: &[Case] = &[
    (
        "BOOLEAN",
        "bool",
        &[("true", Some("true")), ("false", Some("false"))],
    ),
    (
        "TINYINT",
        "int8",
        &[("-128", Some("-128")), ("127", Some("127"))],
    ),
    ("SMALLINT", "int16", &[("-32768", Some("-32768"))]),
    ("INTEGER", "int32", &[("2147483647", Some("2147483647"))]),
    (
        "BIGINT",
        "int64",
        &[("-9223372036854775808", Some("-9223372036854775808"))],
    ),
    ("UTINYINT", "uint8", &[("255", Some("255"))]),
    ("USMALLINT", "uint16", &[("65535", Some("65535"))]),
    ("UINTEGER", "uint32", &[("4294967295", Some("4294967295"))]),
    (
        "UBIGINT",
        "uint64",
        &[("18446744073709551615", Some("18446744073709551615"))],
    ),
    (
        "HUGEINT",
        "decimal(38,0)",
        &[
            (
                "-99999999999999999999999999999999999999",
                Some("-99999999999999999999999999999999999999"),
            ),
            ("170141183460469231731687303715884105727", None),
        ],
    ),
    (
        "UHUGEINT",
        "decimal(38,0)",
        &[
            ("7", Some("7")),
            ("340282366920938463463374607431768211455", None),
        ],
    ),
    (
        "BIGNUM",
        "string",
        &[(
            "'123456789012345678901234567890123456789012'",
            Some("123456789012345678901234567890123456789012"),
        )],
    ),
    (
        "FLOAT",
        "float32",
        &[
            ("1.5", Some("1.5")),
            ("'nan'", Some("NaN")),
            ("'-inf'", Some("-inf")),
        ],
    ),
    (
        "DOUBLE",
        "float64",
        &[("0.1", Some("0.1")), ("-'nan'::DOUBLE", Some("NaN"))],
    ),
    (
        "DECIMAL(4,2)",
        "decimal(4,2)",
        &[("-12.34", Some("-12.34"))],
    ),
    (
        "DECIMAL(38,10)",
        "decimal(38,10)",
        &[(
            "1234567890123456789012345678.0123456789",
            Some("1234567890123456789012345678.0123456789"),
        )],
    ),
    (
        "VARCHAR",
        "string",
        &[
            ("'ä😀'", Some("ä😀")),
            ("''", Some("")),
            ("repeat('x', 20)", Some("xxxxxxxxxxxxxxxxxxxx")),
        ],
    ),
    ("BLOB", "binary", &[("'\\x00\\xFF'", Some("00ff"))]),
    ("BIT", "string", &[("'10101'", Some("10101"))]),
    (
        "DATE",
        "date",
        &[
            ("'2024-02-29'", Some("2024-02-29")),
            ("'infinity'", None),
            ("'-infinity'", None),
        ],
    ),
    (
        "TIME",
        "time",
        &[
            ("'23:59:59.999999'", Some("23:59:59.999999")),
            ("'24:00:00'", None),
        ],
    ),
    (
        "TIMETZ",
        "string",
        &[("'12:00:00+02'", Some("12:00:00+02"))],
    ),
    (
        "TIMESTAMP",
        "timestamp(us)",
        &[
            (
                "'2024-01-01 00:00:00.000001'",
                Some("2024-01-01T00:00:00.000001"),
            ),
            ("'infinity'", None),
        ],
    ),
    (
        "TIMESTAMP_S",
        "timestamp(s)",
        &[
            ("'2024-01-01 00:00:01'", Some("2024-01-01T00:00:01")),
            ("'infinity'", None),
        ],
    ),
    (
        "TIMESTAMP_MS",
        "timestamp(ms)",
        &[
            ("'2024-01-01 00:00:00.001'", Some("2024-01-01T00:00:00.001")),
            ("'infinity'", None),
        ],
    ),
    (
        "TIMESTAMP_NS",
        "timestamp(ns)",
        &[
            (
                "'2024-01-01 00:00:00.000000001'",
                Some("2024-01-01T00:00:00.000000001"),
            ),
            ("'infinity'", None),
        ],
    ),
    (
        "TIMESTAMPTZ",
        "timestamp(us, UTC)",
        &[
            ("'2024-01-01 02:00:00+02'", Some("2024-01-01T00:00:00Z")),
            ("'infinity'", None),
        ],
    ),
    (
        "INTERVAL",
        "interval",
        &[
            (
                "INTERVAL '1 month 2 days 3 seconds'",
                Some("1 mons 2 days 3.000000000 secs"),
            ),
            ("INTERVAL '3000000 hours'", None),
        ],
    ),
    (
        "UUID",
        "string",
        &[(
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        )],
    ),
    (
        "ENUM('sad', 'it''s')",
        "string",
        &[("'it''s'", Some("it's"))],
    ),
    ("JSON", "json", &[("'{\"a\": [1]}'", Some("{\"a\": [1]}"))]),
    (
        "INTEGER[]",
        "list<int32>",
        &[("[1, NULL]", Some("[1, null]")), ("[]", Some("[]"))],
    ),
    ("INTEGER[2]", "list<int32>", &[("[1, 2]", Some("[1, 2]"))]),
    (
        "UUID[2]",
        "list<string>",
        &[(
            "['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', NULL]",
            Some("[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11, null]"),
        )],
    ),
    (
        "DATE[][]",
        "list<list<date>>",
        &[(
            "[['infinity', '2024-01-01'], NULL]",
            Some("[[null, 2024-01-01], null]"),
        )],
    ),
    (
        "STRUCT(a INTEGER, b UUID)",
        "struct<a: int32, b: string>",
        &[("{'a': 1, 'b': NULL}", Some("{a: 1, b: null}"))],
    ),
    (
        "STRUCT(a HUGEINT[])[]",
        "list<struct<a: list<decimal(38,0)>>>",
        &[("[{'a': [1]}]", Some("[{a: [1]}]"))],
    ),
    (
        "MAP(VARCHAR, INTEGER)",
        "json",
        &[("MAP {'a': 1}", Some("{\"a\":1}"))],
    ),
    (
        "UNION(n INTEGER, t VARCHAR)",
        "json",
        &[("union_value(t := 'x')", Some("{\"t\":\"x\"}"))],
    ),
    (
        "MAP(VARCHAR, INTEGER)[]",
        "json",
        &[("[MAP {'a': 1}]", Some("[{\"a\":1}]"))],
    ),
];

fn tables() -> String {
    let mut sql = String::new();
    for (index, (native, _, values)) in CASES.iter().enumerate() {
        sql.push_str(&format!(
            "create table c{index} (n integer, x {native}); insert into c{index} values (0, NULL);"
        ));
        for (row, (value, _)) in values.iter().enumerate() {
            sql.push_str(&format!(
                "insert into c{index} values ({}, {value});",
                row + 1
            ));
        }
    }
    sql
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_read_as_the_table_says() {
    let file = DuckFile::with(&tables());
    let source = source(&file).await;
    let strict = source_with(&file, json!({"unrepresentable": "error"})).await;
    for (index, (native, type_name, values)) in CASES.iter().enumerate() {
        let by_query = query(&format!("select x from c{index} order by n"), Vec::new());
        let mut by_stream = stream(&format!("c{index}"));
        by_stream.columns = Some(vec!["x".into()]);
        for read in [by_query, by_stream] {
            let batch = rows(&source, &read)
                .await
                .unwrap_or_else(|error| panic!("{native}: {error} {:?}", error.source_message()));
            assert_eq!(
                field_type_name(batch.schema().field(0)),
                *type_name,
                "{native}"
            );
            let mut expected = vec![None];
            expected.extend(values.iter().map(|(_, value)| value.map(str::to_owned)));
            assert_eq!(texts(&batch, 0), expected, "{native}");
            if values.iter().any(|(_, value)| value.is_none()) {
                let error = failure(&strict, &read).await;
                assert_eq!(error.stable_code(), "unrepresentable", "{native}: {error}");
                assert!(error.message().contains("column x"), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_without_a_type_hide_no_column() {
    let file = DuckFile::with("create table t as select range as id from range(3)");
    let source = source(&file).await;
    for (text, values, expected) in [
        (
            "select $1 as a, id from t where id = 1",
            vec![Value::Int(5)],
            ["5", "1"],
        ),
        (
            "select id, id + $1 from t where id < $2",
            vec![Value::Int(7), Value::Int(1)],
            ["0", "7"],
        ),
        (
            "select coalesce($1, 'x'), $2",
            vec![Value::Null, Value::Text("it's".into())],
            ["x", "it's"],
        ),
        (
            "select 1.5 < $1, $1",
            vec![Value::Number("2.5".into())],
            ["true", "2.5"],
        ),
    ] {
        let batch = rows(&source, &query(text, values)).await.unwrap();
        let seen = [0, 1].map(|column| texts(&batch, column)[0].clone().unwrap());
        assert_eq!(seen, expected, "{text}");
    }
    let error = failure(&source, &query("select $1, $2", vec![Value::Int(1)])).await;
    assert_eq!(error.fields()[0].pointer, "/params");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_view_computes_from_the_largest_values_is_read() {
    let file = DuckFile::with("create view v as select * from test_all_types()");
    let source = source(&file).await;
    let batch = rows(&source, &stream("v")).await.unwrap();
    assert_eq!(batch.num_rows(), 3);
    assert!(batch.num_columns() > 40);
}
