//! What a profile suggests, applied: all of it or by name, wherever steps are
//! taken, and what is told of it.

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Client, Database, Service};

/// Forty orders as people keep them, of which four stand there twice.
fn messy() -> Value {
    let dates = |n: usize| match n % 4 {
        0 => format!("2024-03-{:02}", n % 28 + 1),
        1 => format!("03/{:02}/2024", n % 28 + 1),
        2 => format!("March {}, 2024", n % 28 + 1),
        _ => format!("2024/3/{}", n % 28 + 1),
    };
    let countries = ["US", "us", "DE", "FR", "US"];
    let row = |n: usize| {
        let size = (n * 37 % 40) as f64;
        json!({
            "Order ID": 1000 + n,
            "Price ($)": match n % 5 {
                0 => format!("${}.50", n + 10),
                1 => format!("1,{:03}", n),
                2 => format!("-{n}.25"),
                3 => format!("{n}€"),
                _ => n.to_string(),
            },
            "discount": format!("{}%", n % 7 * 5),
            "orderDate": dates(n),
            "phone": if n == 7 { "none".to_owned() } else { format!("555-010-{:04}", n) },
            "zip_code": if n == 9 { "???".to_owned() } else { format!("{:05}", 10_000 + n * 7) },
            "Country": countries[n % 5],
            "email": if n == 11 { "nobody".to_owned() } else { format!("p{n}@example.org") },
            "width": size,
            "area": size * 2.0 + 1.0,
            "weight": if n == 20 { 9_000.0 } else { 50.0 + (n * 11 % 23) as f64 },
            "rating": if n.is_multiple_of(3) { json!(null) } else { json!(n % 11) },
            "note": if n == 3 { json!("call back") } else { json!(" ") },
            "shop": "north",
        })
    };
    (0..40).chain([3, 5, 5, 8]).map(row).collect()
}

async fn profiled(client: &Client, data: &Value) -> Vec<Value> {
    let answer = client.post("/v1/profile", &json!({"data": data})).await;
    let answer = answer.expect_status(200);
    answer["suggestions"].as_array().unwrap().clone()
}

fn ids(suggestions: &[Value]) -> Vec<&str> {
    let ids = suggestions
        .iter()
        .map(|suggestion| suggestion["id"].as_str().unwrap());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_suggested_is_applied_in_its_order() {
    let service = Service::start().await;
    let (client, data) = (&service.client, messy());
    let suggestions = profiled(client, &data).await;
    let mut text = String::new();
    for one in &suggestions {
        let counts = (&one["rows"], &one["cells"]);
        writeln!(
            text,
            "{}: {} rows, {} cells",
            one["id"].as_str().unwrap(),
            counts.0,
            counts.1
        )
        .unwrap();
        writeln!(
            text,
            "  {}\n  {}",
            one["reason"].as_str().unwrap(),
            one["step"]
        )
        .unwrap();
        for (column, facts) in one["facts"].as_object().into_iter().flatten() {
            writeln!(text, "  {column}: {facts}").unwrap();
        }
    }
    let body = json!({"data": data, "suggestions": "all"});
    let answer = client.post("/v1/transform", &body).await.expect_status(200);
    text.push_str("\nreport\n");
    for entry in answer["report"].as_array().unwrap() {
        writeln!(text, "  {entry}").unwrap();
    }
    text.push_str("\nrows\n");
    for column in answer["columns"].as_array().unwrap() {
        writeln!(
            text,
            "  {}: {}",
            column["name"].as_str().unwrap(),
            column["type"].as_str().unwrap()
        )
        .unwrap();
    }
    for row in answer["rows"].as_array().unwrap() {
        let cells: Vec<String> = row
            .as_object()
            .unwrap()
            .values()
            .map(Value::to_string)
            .collect();
        writeln!(text, "  {}", cells.join(" ")).unwrap();
    }
    insta::assert_snapshot!("suggestions_of_a_messy_table", text);
    // The entries stand in the order of the suggestions, each with its id.
    let told = answer["report"].as_array().unwrap();
    let told: Vec<&str> = told
        .iter()
        .map(|entry| entry["suggestion"].as_str().unwrap())
        .collect();
    assert_eq!(told, ids(&suggestions));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alone_changes_what_it_said() {
    let service = Service::start().await;
    let (client, data) = (&service.client, messy());
    let suggestions = profiled(client, &data).await;
    let before = data.as_array().unwrap();
    for one in &suggestions {
        let id = one["id"].as_str().unwrap();
        let body = json!({"data": data, "suggestions": [id]});
        let answer = client.post("/v1/transform", &body).await.expect_status(200);
        let after = answer["rows"].as_array().unwrap();
        assert_eq!(answer["report"][0]["suggestion"], id);
        if id == "clean_column_names" {
            assert_eq!(one["cells"], 0);
            continue;
        }
        let width = before[0].as_object().unwrap().len();
        let gone = before.len() - after.len();
        if gone > 0 {
            assert_eq!(
                (&one["rows"], &one["cells"]),
                (&json!(gone), &json!(gone * width)),
                "{id}"
            );
            continue;
        }
        let (mut rows, mut cells) = (0, 0);
        for (before, after) in before.iter().zip(after) {
            let fields = before.as_object().unwrap().iter();
            let changed = fields
                .filter(|(name, value)| after.get(*name) != Some(value))
                .count();
            cells += changed;
            rows += usize::from(changed > 0);
        }
        assert_eq!(
            (&one["rows"], &one["cells"]),
            (&json!(rows), &json!(cells)),
            "{id}"
        );
    }
    // The step that a suggestion shows does the same as the suggestion.
    let step = &suggestions
        .iter()
        .find(|one| one["id"] == "impute")
        .unwrap()["step"];
    let by_step = json!({"data": data, "steps": [step]});
    let by_step = client
        .post("/v1/transform", &by_step)
        .await
        .expect_status(200);
    let by_id = json!({"data": data, "suggestions": ["impute"]});
    let by_id = client
        .post("/v1/transform", &by_id)
        .await
        .expect_status(200);
    assert_eq!(by_step["rows"], by_id["rows"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rows_do_not_call_for_is_told_and_not_done() {
    let service = Service::start().await;
    let data = json!([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 2, "b": "y"}]);
    let body = json!({"data": data, "suggestions": ["remove_outliers", "impute", "reformat_caps", "drop_duplicates", "impute"],
        "steps": [{"op": "filter_rows", "condition": "a > 0"}]});
    let answer = service
        .client
        .post("/v1/transform", &body)
        .await
        .expect_status(200);
    assert_eq!(answer["row_count"], 2);
    let report = answer["report"].as_array().unwrap();
    let told: Vec<(Option<&str>, bool)> = report
        .iter()
        .map(|entry| (entry["suggestion"].as_str(), entry["is_needed"] != false))
        .collect();
    assert_eq!(
        told,
        [
            (None, true),
            (Some("reformat_caps"), false),
            (Some("impute"), false),
            (Some("drop_duplicates"), true),
            (Some("remove_outliers"), false),
        ]
    );
    for nothing in [json!([]), json!(null)] {
        let body = json!({"data": data, "suggestions": nothing});
        let answer = service
            .client
            .post("/v1/transform", &body)
            .await
            .expect_status(200);
        assert_eq!(answer["row_count"], 3);
        assert!(answer.get("report").is_none());
    }
    let empty = json!({"data": {"columns": [{"name": "A b", "type": "int64"}], "rows": []}, "suggestions": "all"});
    let empty = service
        .client
        .post("/v1/transform", &empty)
        .await
        .expect_status(200);
    assert_eq!(empty["columns"], json!([{"name": "a_b", "type": "int64"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ones_are_refused_with_the_nearest() {
    let service = Service::start().await;
    let client = &service.client;
    for (given, pointer) in [
        (json!(["impute", "drop_duplicate"]), "#/suggestions/1"),
        (json!("everything"), "#/suggestions"),
        (json!({"impute": true}), "#/suggestions"),
        (json!([5]), "#/suggestions/0"),
    ] {
        let body = json!({"data": [{"a": 1}], "suggestions": given});
        let answer = client.post("/v1/transform", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(
            problem["hint"]
                .as_str()
                .unwrap()
                .contains("remove_outliers")
        );
    }
    let csv = |path: &'static str| {
        let call = client
            .call(Method::POST, path)
            .header("content-type", "text/csv");
        call.body("A b\n1\n1\n")
    };
    let problem = csv("/v1/transform.json?suggestions=impute,drop_duplicate")
        .send()
        .await;
    let problem = problem.expect_problem(422, "unknown_suggestion");
    assert_eq!(problem["errors"][0]["parameter"], "suggestions");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `drop_duplicates`")
    );
    let cleaned = csv("/v1/transform.csv?suggestions=clean_column_names,%20drop_duplicates")
        .send()
        .await;
    assert_eq!(cleaned.text().lines().collect::<Vec<_>>(), ["a_b", "1"]);
    let cleaned = csv("/v1/transform.csv?suggestions=all").send().await;
    assert_eq!(cleaned.text().lines().collect::<Vec<_>>(), ["a_b", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_and_previews_take_them_too() {
    let service = Service::start().await;
    let database = Database::with(
        "create table people (\"Full Name\" text, age float8);
         insert into people select case when n % 2 = 0 then 'ann' else 'ANN' end, nullif(n % 10, 3) from generate_series(1, 1000) n",
    )
    .await;
    let client = &service.client;
    let name = client.register(&database).await;
    let chosen = json!(["clean_column_names", "impute", "reformat_caps"]);
    let body = json!({"stream": "people", "suggestions": chosen,
        "steps": [{"op": "filter_rows", "condition": "age != 5"}]});
    let load = client
        .post(&format!("/v1/sources/{name}/load.ndjson"), &body)
        .await;
    let lines = load.text();
    assert_eq!(
        lines.lines().next(),
        Some(r#"{"full_name":"ann","age":1.0}"#)
    );
    assert_eq!(lines.lines().count(), 800, "rows without an age went");
    let get =
        format!("/v1/sources/{name}/load.csv?stream=people&suggestions=clean_column_names,impute");
    let load = client.get(&get).await;
    assert!(load.text().starts_with("full_name,age"), "{}", load.text());
    assert_eq!(load.text().lines().count(), 901);
    let preview = json!({"stream": "people", "limit": 20, "suggestions": "all"});
    let preview = client
        .post(&format!("/v1/sources/{name}/preview"), &preview)
        .await;
    let preview = preview.expect_status(200);
    assert_eq!(preview["columns"][0]["name"], "full_name");
    assert_eq!(preview["report"][0]["suggestion"], "clean_column_names");
    let dry = json!({"stream": "people", "dry_run": true, "suggestions": "all"});
    let dry = client.post(&format!("/v1/sources/{name}/load"), &dry).await;
    assert_eq!(dry.expect_status(200)["columns"][0]["name"], "full_name");
}
