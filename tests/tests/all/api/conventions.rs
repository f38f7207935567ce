//! What holds for every operation of the document, asked of each of them.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Client, Service, project};

/// An operation of the document, with a path that can be called.
struct Operation {
    id: String,
    method: Method,
    path: String,
    about: Value,
}

/// Every operation; the placeholders of paths are filled with what exists.
fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&project::printed("openapi")).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, about) in item.as_object().unwrap() {
            let path = path
                .replace("{source}", "sample")
                .replace("{kind}", "sample")
                .replace("{code}", "not_found");
            let path = filled(&path);
            all.push(Operation {
                id: about["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path,
                about: about.clone(),
            });
        }
    }
    assert!(all.len() > 25, "{}", all.len());
    all
}

/// Other placeholders become the name of nothing.
fn filled(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => "no-such-thing",
            false => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}

fn is_open(operation: &Operation) -> bool {
    !operation.path.starts_with("/v1/")
}

fn success(operation: &Operation) -> Option<&str> {
    let responses = operation.about["responses"].as_object().unwrap();
    let (_, response) = responses
        .iter()
        .find(|(status, _)| status.starts_with('2'))?;
    response["content"]
        .as_object()?
        .keys()
        .next()
        .map(String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_wants_a_key_and_says_so() {
    let service = Service::start().await;
    let stranger = service.client.with_key(None);
    for operation in operations().iter().filter(|o| !is_open(o)) {
        let answer = stranger
            .call(operation.method.clone(), &operation.path)
            .send()
            .await;
        if operation.method == Method::HEAD {
            continue;
        }
        answer.expect_problem(401, "unauthorized");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{}",
            operation.id
        );
        assert_eq!(answer.header("weir-error-code"), "unauthorized");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_say_which_are_right_and_options_too() {
    let service = Service::start().await;
    for operation in operations() {
        let wrong = service
            .client
            .call(Method::TRACE, &operation.path)
            .send()
            .await;
        wrong.expect_problem(405, "method_not_allowed");
        let options = service
            .client
            .call(Method::OPTIONS, &operation.path)
            .send()
            .await;
        assert_eq!(
            (options.status, options.body.len()),
            (204, 0),
            "{}",
            operation.id
        );
        for answer in [&wrong, &options] {
            let allow = answer.header("allow");
            assert!(
                allow.contains(operation.method.as_str()),
                "{}: {allow}",
                operation.id
            );
            if operation.method == Method::GET {
                assert!(allow.contains("HEAD"), "{}: {allow}", operation.id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_get_answers_head_with_the_same_status_and_no_body() {
    let service = Service::start().await;
    for operation in operations().iter().filter(|o| o.method == Method::GET) {
        let path = match operation.id.starts_with("query_rows") {
            true => format!("{}?stream=penguins", operation.path),
            false => operation.path.clone(),
        };
        let get = service.client.get(&path).await;
        let head = service.client.call(Method::HEAD, &path).send().await;
        let id = &operation.id;
        assert_eq!(
            (head.status, head.body.len()),
            (get.status, 0),
            "{id}: {}",
            get.text()
        );
        assert!(
            get.status != 405
                && get
                    .headers
                    .get("weir-error-code")
                    .is_none_or(|c| c != "no_route"),
            "{id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_another_media_type_are_refused_with_those_that_are_taken() {
    let service = Service::start().await;
    for operation in operations() {
        let Some(taken) = operation.about["requestBody"]["content"].as_object() else {
            continue;
        };
        let call = || {
            service
                .client
                .call(operation.method.clone(), &operation.path)
        };
        let said = match operation.method {
            Method::PATCH => "accept-patch",
            _ => "accept-post",
        };
        for wrong in ["application/json-patch+json", "image/png"] {
            let answer = call().header("content-type", wrong).body("[]").send().await;
            answer.expect_problem(415, "unsupported_media_type");
            if matches!(operation.method, Method::POST | Method::PATCH) {
                for name in taken.keys() {
                    assert!(
                        answer.header(said).contains(name.as_str()),
                        "{}",
                        operation.id
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_query_parameters_are_refused_by_name() {
    let service = Service::start().await;
    for operation in operations() {
        let body = operation.about["requestBody"].is_object();
        let path = format!("{}?no_such_parameter=1", operation.path);
        let mut call = service.client.call(operation.method.clone(), &path);
        if body {
            call = call.json(&json!({}));
        }
        let answer = call.send().await;
        if answer.status == 404 || (body && answer.json()["errors"][0]["pointer"].is_string()) {
            continue;
        }
        let problem = answer.expect_problem(422, "unknown_field");
        assert_eq!(
            problem["errors"][0]["parameter"], "no_such_parameter",
            "{}",
            operation.id
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_given_is_406() {
    let service = Service::start().await;
    let json_only = operations();
    let json_only = json_only
        .iter()
        .filter(|o| o.method == Method::GET && !is_open(o))
        .filter(|o| success(o) == Some("application/json"));
    let mut asked = 0;
    for operation in json_only.filter(|o| !o.id.starts_with("query_rows")) {
        let call = service.client.call(Method::GET, &operation.path);
        let answer = call.header("accept", "text/csv").send().await;
        answer.expect_problem(406, "not_acceptable");
        assert_eq!(answer.header("accept"), "application/json");
        let browser = service.client.call(Method::GET, &operation.path);
        let browser = browser.header("accept", "text/html,*/*;q=0.8").send().await;
        assert_ne!(browser.status, 406, "{}", operation.id);
        asked += 1;
    }
    assert!(asked > 5, "{asked}");
}

async fn raw(client: &Client, request: &str) -> String {
    use weir_tests::wire::Wire;
    let request = request.replace("{key}", client.key());
    let mut wire = Wire::send(client, request.as_bytes()).await;
    String::from_utf8_lossy(wire.read_all().await).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_requests_are_problems_too() {
    let service = Service::start().await;
    let client = &service.client;
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {{key}}\r\n\r\n"
        )
    };
    let long = format!("/v1/sources?search={}", "x".repeat(40_000));
    for (path, status, code) in [
        ("/v1/sources/", 404, "no_route"),
        ("//v1/sources", 404, "no_route"),
        ("/v1/sources/%ff", 400, "malformed"),
        ("/v1/sources/a%2Fb", 404, "not_found"),
        ("/v1/sources/%00", 422, "invalid"),
        ("/v1/sources/..%2f..%2fetc", 404, "not_found"),
        ("/v1/sources?cursor=c2hvcA", 422, "invalid"),
        ("/v1/sources?limit=1&limit=2", 422, "duplicate_field"),
        ("/v1/sources?limit=0", 422, "invalid"),
        ("/v1/sources?limit=x", 422, "invalid"),
        ("/v1/sources?search=%ff", 200, ""),
        (long.as_str(), 414, "uri_too_long"),
    ] {
        let answer = raw(client, &get(path)).await;
        let shown: String = answer.chars().take(400).collect();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {shown}"
        );
        if status != 200 {
            assert!(
                answer.contains("application/problem+json"),
                "{path}: {shown}"
            );
            assert!(
                answer.contains(&format!("weir-error-code: {code}\r\n")),
                "{path}: {shown}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_mean_two_things_or_nothing_are_refused() {
    let service = Service::start().await;
    let post = async |body: Vec<u8>| {
        let call = service.client.call(Method::POST, "/v1/sources");
        let call = call.header("content-type", "application/json").body(body);
        call.send().await
    };
    let twice = br#"{"name":"a","connector":"sample","config":{"x":1,"x":2}}"#.to_vec();
    let problem = post(twice).await.expect_problem(422, "duplicate_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/config/x");
    let deep = "[".repeat(200);
    let deep = format!("{{\"name\":\"a\",\"connector\":\"sample\",\"config\":{{\"x\":{deep}");
    post(deep.into_bytes())
        .await
        .expect_problem(400, "too_deep");
    post(b"{\"name\":\"\xff\"}".to_vec())
        .await
        .expect_problem(400, "malformed");
    post(br#"{"name":"a","connector":"sample"} {}"#.to_vec())
        .await
        .expect_problem(400, "malformed");
    post(Vec::new()).await.expect_problem(400, "malformed");
    // A length that promises more than comes: the caller hangs up half way.
    let short = "POST /v1/sources HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{}        EXTRA";
    let answer = raw(&service.client, short).await;
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_link_to_their_next_page() {
    let service = Service::start().await;
    for n in 0..3 {
        let body = json!({"name": format!("link-{n}"), "connector": "sample"});
        service
            .client
            .post("/v1/sources", &body)
            .await
            .expect_status(201);
    }
    let mut path = "/v1/sources?search=link&limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = service.client.get(&path).await;
        let body = page.expect_status(200);
        names.extend(
            body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["name"].to_string()),
        );
        assert_eq!(
            page.headers.get("link").is_some(),
            body["next_cursor"].is_string()
        );
        let Some(link) = page.headers.get("link").and_then(|l| l.to_str().ok()) else {
            break;
        };
        let query = link
            .strip_prefix('<')
            .and_then(|l| l.strip_suffix(">; rel=\"next\""));
        path = format!("/v1/sources{}", query.unwrap());
        assert!(
            path.contains("search=link") && path.contains("limit=2"),
            "{path}"
        );
    }
    assert_eq!(names, ["\"link-0\"", "\"link-1\"", "\"link-2\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_304() {
    let service = Service::start().await;
    for path in [
        "/openapi.json",
        "/v1/connectors",
        "/v1/connectors/sample",
        "/v1/sources/sample",
    ] {
        let first = service.client.get(path).await;
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag").to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let call = service.client.call(Method::GET, path);
            let again = call.header("if-none-match", &known).send().await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header("etag"), tag);
        }
        let call = service.client.call(Method::GET, path);
        let other = call.header("if-none-match", "\"x\"").send().await;
        assert_eq!(other.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_version_that_was_read_is_changed() {
    let service = Service::start().await;
    let path = "/v1/sources/sample";
    let patch = async |tag: &str| {
        let call = service.client.call(Method::PATCH, path);
        let call = call
            .json(&json!({"description": tag}))
            .header("if-match", tag);
        call.send().await
    };
    let tag = service.client.get(path).await.header("etag").to_owned();
    for wrong in ["\"other\"", "other", &format!("W/{tag}")] {
        patch(wrong)
            .await
            .expect_problem(412, "precondition_failed");
    }
    let changed = patch(&format!("\"other\", {tag}")).await;
    changed.expect_status(200);
    assert_ne!(changed.header("etag"), tag);
    patch(&tag).await.expect_problem(412, "precondition_failed");
    patch("*").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_explained_to_people_and_programs() {
    let service = Service::start().await;
    let stranger = service.client.with_key(None);
    let page = stranger
        .get("/problems/name_taken")
        .await
        .expect_status(200);
    assert_eq!(page["code"], "name_taken");
    let call = stranger.call(Method::GET, "/problems/unauthorized");
    let html = call.header("accept", "text/html,*/*;q=0.8").send().await;
    assert!(html.header("content-type").starts_with("text/html"));
    assert!(
        html.text().contains("Bearer &lt;api key&gt;"),
        "{}",
        html.text()
    );
    assert!(
        html.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let near = stranger.get("/problems/name_takn").await;
    let near = near.expect_problem(404, "not_found");
    assert!(
        near["hint"].as_str().unwrap().contains("name_taken"),
        "{near}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_taken_when_they_are_harmless() {
    let service = Service::start().await;
    let ask = async |id: &str| {
        let call = service.client.call(Method::GET, "/healthz");
        call.header("x-request-id", id)
            .send()
            .await
            .header("x-request-id")
            .to_owned()
    };
    let longest = "x".repeat(128);
    assert_eq!(ask(&longest).await, longest);
    for bad in [&"x".repeat(129), "a b", ""] {
        let given = ask(bad).await;
        assert!(!given.is_empty() && given != *bad, "{bad}: {given}");
    }
}
