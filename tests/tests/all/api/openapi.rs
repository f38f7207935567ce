//! `/openapi.json`: the reference for callers and generators.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_tests::{Service, project};

#[tokio::test(flavor = "multi_thread")]
async fn the_served_document_is_the_printed_one() {
    let service = Service::start().await;
    let served = service.client.with_key(None).get("/openapi.json").await;
    assert_eq!(served.text(), project::printed("openapi"));
    assert_eq!(served.header("content-type"), "application/json");
}

#[test]
fn generators_find_what_they_need() {
    let document: Value = serde_json::from_str(&project::printed("openapi")).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let at = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect(&at);
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert!(
                operation["summary"].is_string() && operation["tags"].is_array(),
                "{at}"
            );
            assert_problems(&at, &operation["responses"]);
            assert_parameters(&at, path, operation);
        }
    }
    for id in [
        "create_source",
        "load_rows_arrow",
        "query_rows_ndjson",
        "preview_rows",
    ] {
        assert!(ids.contains(id), "{id}");
    }
    assert_references(&document, &document);
}

/// One success media type, and the problem schema for everything else.
fn assert_problems(at: &str, responses: &Value) {
    let responses = responses.as_object().unwrap();
    let problem = &responses["default"]["content"]["application/problem+json"]["schema"]["$ref"];
    assert_eq!(problem, "#/components/schemas/Problem", "{at}");
    for (status, response) in responses
        .iter()
        .filter(|(status, _)| status.starts_with('2'))
    {
        let media = response["content"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        assert!(media <= 1, "{at} {status} has {media} media types");
    }
}

fn assert_parameters(at: &str, path: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named: BTreeSet<&str> = parameters
        .filter(|p| p["in"] == "path")
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let in_path: BTreeSet<&str> = path
        .split('{')
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert_eq!(named, in_path, "{at}");
}

/// Every `$ref` leads somewhere.
fn assert_references(document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference
                    .strip_prefix('#')
                    .expect("references stay in the document");
                assert!(
                    document.pointer(pointer).is_some(),
                    "{reference} leads nowhere"
                );
            }
            fields
                .values()
                .for_each(|field| assert_references(document, field));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| assert_references(document, item)),
        _ => {}
    }
}
