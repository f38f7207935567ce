//! `/openapi.json`: the reference for callers and generators.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_tests::{Service, project};

#[tokio::test(flavor = "multi_thread")]
async fn the_served_documents_are_the_printed_ones() {
    let service = Service::start().await;
    let stranger = service.client.with_key(None);
    for (path, command) in [
        ("/openapi.json", "openapi"),
        ("/openapi-3.0.json", "openapi --openapi-version 3.0"),
    ] {
        let served = stranger.get(path).await;
        assert_eq!(served.text(), project::printed(command));
        assert_eq!(served.header("content-type"), "application/json");
        assert_eq!(served.header("cache-control"), "no-cache");
    }
}

fn document() -> Value {
    serde_json::from_str(&project::printed("openapi")).unwrap()
}

/// `method path` and the operation, for each of them.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[test]
fn no_operation_id_is_renamed_or_lost() {
    let frozen = project::root().join("openapi/operations.txt");
    let frozen = std::fs::read_to_string(frozen).unwrap();
    let document = document();
    let now: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(at, operation)| format!("{} {at}", operation["operationId"].as_str().unwrap()))
        .collect();
    let lost: Vec<&str> = frozen.lines().filter(|line| !now.contains(*line)).collect();
    assert!(
        lost.is_empty(),
        "clients call these by name; if it must be, take them out of openapi/operations.txt by hand: {lost:#?}"
    );
}

#[test]
fn lists_are_alike() {
    let document = document();
    let mut lists = 0;
    for (at, operation) in operations(&document) {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let page = schema["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        let page = page.filter(|name| name.ends_with("Page") && *name != "ProblemPage");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let names: Vec<&str> = parameters.filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(
            names.contains(&"cursor"),
            names.contains(&"limit") && page.is_some(),
            "{at}"
        );
        let Some(page) = page else {
            continue;
        };
        let page = &document["components"]["schemas"][page];
        let required: Vec<&Value> = page["required"].as_array().unwrap().iter().collect();
        for field in ["items", "next_cursor"] {
            assert!(required.iter().any(|name| *name == field), "{at}: {field}");
        }
        lists += 1;
    }
    assert!(lists >= 3, "{lists}");
}

/// Words in `snake_case`, with the units of times and sizes in their names.
#[test]
fn names_are_alike_everywhere() {
    let document = document();
    let snake = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(snake(field), "{name}.{field}");
            // `failed_at` names a step.
            if field.ends_with("_at") && field != "failed_at" {
                assert_eq!(property["format"], "date-time", "{name}.{field}");
            }
            for vague in ["timeout", "duration", "elapsed", "size"] {
                assert_ne!(field, vague, "{name}.{field} has no unit");
            }
        }
    }
    for (at, operation) in operations(&document) {
        let path = at.split(' ').nth(1).unwrap();
        assert!(!path.contains("/v1/") || path.starts_with("/v1/"), "{at}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if let Some(name) = parameter["name"]
                .as_str()
                .filter(|_| parameter["in"] == "query")
            {
                assert!(snake(name), "{at}: {name}");
            }
        }
    }
}

#[test]
fn generators_find_what_they_need() {
    let document = document();
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
