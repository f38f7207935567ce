//! `/metrics`.

use serde_json::json;
use weir_tests::{Client, Database, Options, Service};

/// The first value under a name that starts so.
pub fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_and_names_of_nobody_are_told() {
    let service = Service::start().await;
    let client = &service.client;
    let stranger = client.with_key(None);
    stranger
        .get("/metrics")
        .await
        .expect_problem(401, "unauthorized");
    let database = Database::create().await;
    let name = client.register(&database).await;
    client
        .rows(
            &name,
            &json!({"query": "select generate_series(1, 10) as n"}),
        )
        .await;
    let bad = json!({"query": "select nonsense"});
    let load = format!("/v1/sources/{name}/load");
    assert_eq!(client.post(&load, &bad).await.status, 424);
    client
        .get("/v1/no/such/path")
        .await
        .expect_problem(404, "no_route");
    let answer = client.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = answer.text();
    let route = r#"route="/v1/sources/{source}/load.json""#;
    let requests: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("weir_http_requests_total") && line.contains(route))
        .collect();
    assert_eq!(requests.len(), 1, "{text}");
    assert!(value(&text, "weir_rows_sent_total") >= 10.0);
    assert!(value(&text, "weir_bytes_sent_total") > 0.0);
    assert!((value(&text, "weir_panics_total")).abs() < f64::EPSILON);
    assert!(value(&text, "weir_source_errors_total{") >= 1.0);
    assert!((value(&text, "weir_sources_open{kind=\"postgres\"}") - 1.0).abs() < f64::EPSILON);
    assert!(
        (value(&text, "weir_source_connections_limit{kind=\"postgres\"}") - 10.0).abs()
            < f64::EPSILON
    );
    assert!(value(&text, "weir_store_connections{") >= 0.0);
    assert!(value(&text, "weir_store_seconds_count") > 1.0);
    assert!((value(&text, "weir_store_timeouts_total")).abs() < f64::EPSILON);
    assert!(value(&text, "weir_tasks{runtime=\"http\"}") >= 1.0);
    assert!(value(&text, "weir_process_resident_bytes") > 1e6);
    assert!((value(&text, "weir_loads_running")).abs() < f64::EPSILON);
    assert!(text.contains("weir_http_request_seconds_bucket{"));
    for private in [name.as_str(), "no/such", "nonsense"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_their_own_needs_no_key() {
    let options = Options::fresh()
        .await
        .env("WEIR_METRICS_LISTEN", "127.0.0.1:0");
    let service = options.start().await;
    let address = std::fs::read_to_string(options.data().join("metrics-address")).unwrap();
    let open = Client::new(address.trim(), None);
    assert!(
        open.get("/metrics")
            .await
            .text()
            .contains("weir_loads_running")
    );
    assert_eq!(open.get("/v1/sources").await.status, 404);
    drop(service);
}
