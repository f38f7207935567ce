//! `GET /v1/transforms`.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use weir_tests::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_there_with_its_schema() {
    let service = Service::start().await;
    let page = service
        .client
        .get("/v1/transforms")
        .await
        .expect_status(200);
    let items = page["items"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for item in items {
        let op = item["op"].as_str().unwrap();
        assert!(names.insert(op.to_owned()), "{op} stands twice");
        for alias in item["aliases"].as_array().unwrap() {
            assert!(
                names.insert(alias.as_str().unwrap().to_owned()),
                "{alias} stands twice"
            );
        }
        assert!(!item["summary"].as_str().unwrap().is_empty(), "{op}");
        assert_eq!(item["schema"]["type"], "object", "{op}");
        assert_eq!(item["schema"]["additionalProperties"], false, "{op}");
        for (name, property) in item["schema"]["properties"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let described = property["description"].is_string();
            assert!(described, "`{name}` of {op} has no description: {property}");
        }
    }
    for op in ["select", "filter", "sort_rows", "limit"] {
        assert!(names.contains(op), "{op}");
    }
    assert_eq!(page["next_cursor"], Value::Null);
    let head = service.client.call(Method::HEAD, "/v1/transforms");
    assert_eq!(head.send().await.status, 200);
}
