//! Spreadsheets.

use serde_json::{Value, json};
use weir_tests::xlsx::{row, workbook};

use super::Place;

fn sheet(rows: &[Vec<Value>]) -> String {
    rows.iter()
        .enumerate()
        .map(|(at, values)| row(at + 1, values))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_have_the_types_of_their_columns() {
    let place = Place::new().await;
    let first = sheet(&[
        vec![
            json!("id"),
            json!("price"),
            json!("name"),
            json!("day"),
            json!("at"),
            json!("ok"),
            json!("mixed"),
            json!("name"),
        ],
        vec![
            json!(1),
            json!(2.5),
            json!("a"),
            json!("<45292"),
            json!("<45292.5"),
            json!(true),
            json!(1),
            json!("x"),
        ],
        vec![
            json!(2),
            json!(3),
            Value::Null,
            json!("<45293"),
            json!("<45293"),
            json!(false),
            json!("one"),
            Value::Null,
        ],
    ]);
    let second = sheet(&[vec![json!("only")], vec![json!("here")]]);
    place.write(
        "book.xlsx",
        workbook(&[("First", &first), ("Sheet 2", &second)]),
    );
    let rows = place.rows(&json!({"stream": "book.xlsx"})).await;
    assert_eq!(
        rows,
        [
            json!({"id": 1, "price": 2.5, "name": "a", "day": "2024-01-01", "at": "2024-01-01T12:00:00", "ok": true, "mixed": "1", "name_2": "x"}),
            json!({"id": 2, "price": 3.0, "name": null, "day": "2024-01-02", "at": "2024-01-02T00:00:00", "ok": false, "mixed": "one", "name_2": null}),
        ]
    );
    let schema = place
        .client()
        .get("/v1/sources/f/schema?stream=book.xlsx")
        .await
        .expect_status(200);
    let types: Vec<&str> = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "int64",
            "float64",
            "string",
            "date",
            "timestamp(us)",
            "bool",
            "string",
            "string"
        ]
    );
    let second = json!({"stream": "book.xlsx#Sheet 2"});
    assert_eq!(place.rows(&second).await, [json!({"only": "here"})]);
    let problem = place
        .load(&json!({"stream": "book.xlsx#Sheet 3"}))
        .await
        .expect_status(424);
    assert_eq!(problem["code"], "source_not_found");
    assert!(
        problem["hint"].as_str().unwrap().contains("Sheet 2"),
        "{problem}"
    );
    let some =
        json!({"stream": "book.xlsx", "columns": ["name_2", "id"], "filter": "price > 2.75"});
    assert_eq!(place.rows(&some).await, [json!({"name_2": null, "id": 2})]);
    place.register("typed", json!({"types": {"id": "string", "price": "decimal(10,2)"}, "excel": {"sheet": "First"}})).await;
    let typed = json!({"stream": "book.xlsx", "columns": ["id", "price"], "limit": 1});
    assert_eq!(place.client().rows("typed", &typed).await[0]["id"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_spreadsheets_are_refused_quickly() {
    let place = Place::new().await;
    // Two cells span a table of which nobody has the memory.
    let far = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#;
    place.write("far.xlsx", workbook(&[("a", far)]));
    assert_eq!(
        place.refused(&json!({"stream": "far.xlsx"}), 413).await,
        "too_large"
    );
    let whole = workbook(&[("a", &sheet(&[vec![json!(1)]]))]);
    place.write("cut.xlsx", &whole[..whole.len() / 2]);
    place.write("none.xlsx", "PK\x03\x04 and nothing else");
    place.write("text.xls", "not a spreadsheet");
    place.write("empty.ods", "");
    for path in ["cut.xlsx", "none.xlsx", "text.xls", "empty.ods"] {
        assert_eq!(
            place.refused(&json!({"stream": path}), 424).await,
            "data",
            "{path}"
        );
    }
    place.write("blank.xlsx", workbook(&[("a", "")]));
    assert_eq!(
        place.rows(&json!({"stream": "blank.xlsx"})).await,
        Vec::<Value>::new()
    );
}
