//! Every type, with its extremes and nulls, against the server's own words.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use serde_json::json;
use weir_core::types::field_type_name;

use crate::cases::{CASES, Form, TYPES};
use crate::support::*;

impl Form {
    /// What the server is asked for.
    fn expected(self, column: &str) -> String {
        match self {
            Form::Text | Form::Float4 | Form::Float8 => format!("{column}::text"),
            Form::Hex => format!("encode({column}, 'hex')"),
            Form::Days => format!("({column} - date '1970-01-01')::text"),
            Form::Micros => format!("trunc(extract(epoch from {column}) * 1000000)::text"),
            Form::Interval => format!(
                "(extract(year from {column}) * 12 + extract(month from {column}))::int || ' ' || \
                 extract(day from {column}) || ' ' || trunc(extract(hour from {column}) * 3600000000 \
                 + extract(minute from {column}) * 60000000 + extract(microseconds from {column}))"
            ),
        }
    }

    fn check(self, array: &dyn Array, row: usize, shown: &str, expected: &str, column: &str) {
        let place = format!("{column}, row {row}: {expected}");
        match self {
            Form::Text => assert_eq!(shown, expected, "{place}"),
            Form::Float4 => {
                let (value, wanted) = (
                    array.as_primitive::<Float32Type>().value(row),
                    expected.parse::<f32>().unwrap(),
                );
                assert!(
                    value.to_bits() == wanted.to_bits() || value.is_nan() && wanted.is_nan(),
                    "{place}: {value}"
                );
            }
            Form::Float8 => {
                let (value, wanted) = (
                    array.as_primitive::<Float64Type>().value(row),
                    expected.parse::<f64>().unwrap(),
                );
                assert!(
                    value.to_bits() == wanted.to_bits() || value.is_nan() && wanted.is_nan(),
                    "{place}: {value}"
                );
            }
            Form::Hex => {
                let hex: String = array
                    .as_binary::<i32>()
                    .value(row)
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect();
                assert_eq!(hex, expected, "{place}");
            }
            Form::Days => {
                assert_eq!(
                    array.as_primitive::<Date32Type>().value(row).to_string(),
                    expected,
                    "{place}"
                );
            }
            Form::Micros => {
                let value = match array.data_type() {
                    DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(row),
                    _ => array.as_primitive::<TimestampMicrosecondType>().value(row),
                };
                assert_eq!(value.to_string(), expected, "{place}");
            }
            Form::Interval => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let text = format!(
                    "{} {} {}",
                    value.months,
                    value.days,
                    value.nanoseconds / 1000
                );
                assert_eq!(text, expected, "{place}");
            }
        }
    }
}

/// Makes a table with a column for each case, and one of nulls first.
async fn every_type() -> Database {
    let database = Database::with(TYPES).await;
    let columns: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(n, case)| format!("c{n} {}", case.0))
        .collect();
    database
        .run(&format!(
            "create table every_type (id int primary key, {})",
            columns.join(", ")
        ))
        .await;
    database.run("insert into every_type (id) values (0)").await;
    let most = CASES.iter().map(|case| case.3.len()).max().unwrap();
    for row in 0..most {
        let values: Vec<String> = CASES
            .iter()
            .map(|case| {
                case.3
                    .get(row)
                    .map_or("null".to_owned(), |value| (*value).to_owned())
            })
            .collect();
        database
            .run(&format!(
                "insert into every_type values ({}, {})",
                row + 1,
                values.join(", ")
            ))
            .await;
    }
    database
}

async fn compare(database: &Database, batch: &arrow::record_batch::RecordBatch) {
    let client = database.client().await;
    client
        .batch_execute("set extra_float_digits = 3; set timezone = 'UTC'; set datestyle = 'ISO'")
        .await
        .unwrap();
    for (number, (native, name, form, _)) in CASES.iter().enumerate() {
        let column = batch.schema().index_of(&format!("c{number}")).unwrap();
        assert_eq!(
            field_type_name(batch.schema().field(column)),
            *name,
            "{native}"
        );
        // inet and cidr cast to text always with their bits; they are shown without.
        let expected = match *native {
            "inet" | "cidr" => format!("textin({native}_out(c{number}))"),
            _ => form.expected(&format!("c{number}")),
        };
        let sql = format!("select {expected} from every_type order by id");
        let expected = client.query(&sql, &[]).await.unwrap();
        let shown = texts(batch, column);
        for (row, expected) in expected.iter().enumerate() {
            match expected.get::<_, Option<&str>>(0) {
                None => assert_eq!(shown[row], None, "{native}, row {row}"),
                Some(expected) => {
                    let shown = shown[row]
                        .as_deref()
                        .unwrap_or_else(|| panic!("{native}, row {row} is null"));
                    form.check(batch.column(column), row, shown, expected, native);
                }
            }
        }
    }
}

#[tokio::test]
async fn every_type_is_read_as_the_server_shows_it() {
    let database = every_type().await;
    let source = source(&database).await;
    // Through COPY; as a query; with a bound value, so by the extended protocol.
    compare(
        &database,
        &rows(&source, &stream("every_type")).await.unwrap(),
    )
    .await;
    let text = "select * from every_type order by id";
    compare(
        &database,
        &rows(&source, &query(text, Vec::new())).await.unwrap(),
    )
    .await;
    let text = "select * from every_type where id >= $1 order by id";
    let read = query(text, vec![weir_core::Value::Int(0)]);
    compare(&database, &rows(&source, &read).await.unwrap()).await;
    let one = weir_core::Read {
        batch_rows: Some(1),
        ..stream("every_type")
    };
    compare(&database, &rows(&source, &one).await.unwrap()).await;
}

#[tokio::test]
async fn defaults_of_the_role_change_nothing() {
    let database = every_type().await;
    database
        .run(&format!(
            "alter role {reader} set datestyle = 'German'; alter role {reader} set timezone = 'Asia/Tokyo';
             alter role {reader} set bytea_output = 'escape'; alter role {reader} set extra_float_digits = -15;
             alter role {reader} set search_path = 'pg_catalog'; alter role {reader} set intervalstyle = 'iso_8601';
             alter role {reader} set standard_conforming_strings = off; alter role {reader} set client_encoding = 'LATIN1';
             alter role {reader} set default_transaction_isolation = 'serializable';
             alter role {reader} set transform_null_equals = on; alter role {reader} set statement_timeout = 1",
            reader = database.reader
        ))
        .await;
    let source = source(&database).await;
    compare(
        &database,
        &rows(&source, &stream("every_type")).await.unwrap(),
    )
    .await;
    let text = "select '2024-01-31'::timestamptz::text, '\\x00'::bytea::text, '1 day'::interval::text, 'a\\b', \
                count(*)::text from every_type where c2 = null";
    let batch = rows(&source, &query(text, Vec::new())).await.unwrap();
    let shown: Vec<_> = (0..5)
        .map(|column| texts(&batch, column)[0].clone().unwrap())
        .collect();
    assert_eq!(
        shown,
        ["2024-01-31 00:00:00+00", "\\x00", "1 day", "a\\b", "0"]
    );
}

#[tokio::test]
async fn arrays_become_lists() {
    let database = Database::with(&format!(
        "{TYPES} create table lists (id int, a int[], b text[][], c numeric(5,2)[], d mood[], e pair[], f price[],
            g tags, h timestamptz[], i jsonb[], j point[], k uuid[], l int2vector, m \"char\"[]);
         insert into lists (id) values (0);
         insert into lists values (1, '{{1,NULL,-3}}', '{{{{a,b}},{{c,NULL}}}}', '{{1.5,NULL,NaN}}', '{{happy}}',
            array[row(1, 'x')::pair], '{{2.5}}', '{{t}}', '{{2000-01-01 00:00:00+00,infinity}}', array['{{}}'::jsonb],
            array['(1,2)'::point], '{{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}}', '1 2', '{{x}}');
         insert into lists values (2, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '', '{{}}');
         insert into lists (id, a) values (3, '[5:6]={{7,8}}')"
    ))
    .await;
    let source = source(&database).await;
    let batch = rows(&source, &stream("lists")).await.unwrap();
    let names: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| field_type_name(f))
        .collect();
    assert_eq!(
        names[1..],
        [
            "list<int32>",
            "list<list<string>>",
            "list<decimal(5,2)>",
            "list<string>",
            "list<string>",
            "list<decimal(9,3)>",
            "list<string>",
            "list<timestamp(us, UTC)>",
            "list<json>",
            "list<string>",
            "list<string>",
            "list<int16>",
            "list<string>"
        ]
    );
    let second: Vec<_> = (1..14)
        .map(|column| texts(&batch, column)[1].clone().unwrap())
        .collect();
    assert_eq!(
        second,
        [
            "[1, null, -3]",
            "[[a, b], [c, null]]",
            "[1.50, null, null]",
            "[happy]",
            "[(1,x)]",
            "[2.500]",
            "[t]",
            "[2000-01-01T00:00:00Z, null]",
            "[{}]",
            "[(1,2)]",
            "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]",
            "[1, 2]",
            "[x]"
        ]
    );
    for column in 1..14 {
        let shown = texts(&batch, column);
        assert_eq!(
            (shown[0].as_deref(), shown[2].as_deref()),
            (None, Some("[]")),
            "{column}"
        );
    }
    assert_eq!(texts(&batch, 1)[3].as_deref(), Some("[7, 8]"));
    let error = failure(
        &source,
        &query("select array[[1,2],[3,4]] as grid", Vec::new()),
    )
    .await;
    assert_eq!(error.stable_code(), "array_dimensions");
    assert!(error.message().contains("`grid`, row 1"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_represented_is_null_or_named() {
    let database = Database::with(
        "create table odd (id int, n numeric(10,2), w numeric(50,2), d date, t timestamp, z timestamptz, h time, i interval);
         insert into odd values (1, 1, 1, '2000-01-01', '2000-01-01', '2000-01-01', '00:00', '1 day');
         insert into odd values (2, 'NaN', 'NaN', 'infinity', '-infinity', 'infinity', '24:00:00', '3000000 hours'),
             (3, 'NaN', 'NaN', '-infinity', '294276-12-31 23:59:59.999999', '294276-01-01', '24:00:00', '1 sec')",
    )
    .await;
    let lenient = source(&database).await;
    let batch = rows(&lenient, &stream("odd")).await.unwrap();
    for column in 1..8 {
        let array = batch.column(column);
        let wanted = [true, false, column == 7];
        assert_eq!(
            [0, 1, 2].map(|row| array.is_valid(row)),
            wanted,
            "column {column}"
        );
    }
    let strict = source_with(&database, json!({"unrepresentable": "error"})).await;
    for (column, what) in [
        ("n", "NaN"),
        ("w", "NaN"),
        ("d", "infinity"),
        ("t", "infinity"),
        ("h", "24:00:00"),
        ("i", "292"),
    ] {
        let read = weir_core::Read {
            columns: Some(vec![column.into()]),
            ..stream("odd")
        };
        let error = failure(&strict, &read).await;
        assert_eq!(error.stable_code(), "unrepresentable", "{column}");
        assert!(
            error.message().contains(&format!("`{column}`, row 2"))
                && error.message().contains(what),
            "{error}"
        );
    }
}

#[tokio::test]
async fn empty_and_narrow_tables_have_a_schema() {
    let database = Database::with(
        "create table none (); insert into none default values; insert into none default values;
         create table empty (a int, b text)",
    )
    .await;
    let source = source(&database).await;
    let batch = rows(&source, &stream("none")).await.unwrap();
    assert_eq!((batch.num_columns(), batch.num_rows()), (0, 2));
    let batch = rows(&source, &stream("empty")).await.unwrap();
    assert_eq!((batch.num_columns(), batch.num_rows()), (2, 0));
    let scan = source.scan(&context(), &stream("empty")).await.unwrap();
    let native = scan
        .schema
        .field(1)
        .metadata()
        .get(weir_core::types::NATIVE_TYPE)
        .unwrap();
    assert_eq!(native, "text");
    assert_eq!(number(&source, "select count(*) from none").await, 2);
}
