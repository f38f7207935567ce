//! `POST /v1/sources?test=true` and `POST /v1/sources/test`.

use serde_json::{Value, json};
use weir_tests::{Database, Service};

#[tokio::test(flavor = "multi_thread")]
async fn tested_first_a_source_is_kept_only_when_it_works() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    let body = |config: Value| json!({"name": "s", "connector": "postgres", "config": config});
    for (field, value, code, step) in [
        ("password", json!("wrong"), "authentication", "login"),
        ("port", json!(1), "connect_refused", "connect"),
        ("database", json!("missing"), "source_not_found", "login"),
    ] {
        let mut config = database.config();
        config[field] = value;
        let answer = client.post("/v1/sources?test=true", &body(config)).await;
        assert_eq!(answer.status, 424, "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{problem:#}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("`{step}`")), "{detail}");
        client
            .get("/v1/sources/s")
            .await
            .expect_problem(404, "not_found");
    }
    let made = client
        .post("/v1/sources?test=true", &body(database.config()))
        .await
        .expect_status(201);
    assert_eq!(made["last_test"]["ok"], true);
    let read = client.get("/v1/sources/s").await.expect_status(200);
    assert_eq!(read["last_test"]["ok"], true);
    let wrong = client
        .post("/v1/sources?test=maybe", &body(database.config()))
        .await;
    assert_eq!(
        wrong.expect_problem(422, "invalid")["errors"][0]["parameter"],
        "test"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tests_all_and_remembers() {
    let service = Service::start().await;
    let client = &service.client;
    let database = Database::create().await;
    for number in 0..20 {
        let mut config = database.config();
        if number % 4 == 3 {
            config["password"] = json!("wrong");
        }
        let body = json!({"name": format!("s{number:02}"), "connector": "postgres", "config": config,
            "labels": {"part": (number % 2).to_string()}});
        client.post("/v1/sources", &body).await.expect_status(201);
    }
    let none = json!({});
    let all = client
        .post("/v1/sources/test", &none)
        .await
        .expect_status(200);
    assert_eq!(all["ok"], false);
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 21, "and the sample");
    assert_eq!(all["next_cursor"], Value::Null);
    for item in items {
        let name = item["name"].as_str().unwrap();
        let bad = ["s03", "s07", "s11", "s15", "s19"].contains(&name);
        assert_eq!(item["ok"], !bad, "{item:#}");
        assert!(item["latency_ms"].is_number() && item["source"].is_string());
        if bad {
            assert_eq!(item["error"]["code"], "authentication");
            assert_eq!(
                (&item["failed_at"], &item["ref"]),
                (&json!("login"), &json!(format!("@postgres.{name}")))
            );
        }
    }
    let read = client.get("/v1/sources/s03").await.expect_status(200);
    assert_eq!(read["last_test"]["code"], "authentication");
    let mut seen = 0;
    let mut path = "/v1/sources/test?connector=postgres&label=part:1&limit=4".to_owned();
    loop {
        let page = client.post(&path, &none).await.expect_status(200);
        seen += page["items"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/sources/test?connector=postgres&label=part:1&limit=4&cursor={cursor}");
    }
    assert_eq!(seen, 10);
    for query in ["label=x", "limit=0", "kind=postgres"] {
        let answer = client
            .post(&format!("/v1/sources/test?{query}"), &none)
            .await;
        assert_eq!(answer.status, 422, "{query}");
    }
}
