//! The golden list: every route, who may call it, and what others are told.
//!
//! The list is held against the document, the document against the router (here
//! by asking every path with every verb, in `weir-api` by the paths), so a route
//! that is missing here fails. Then every cell of caller, route and object is
//! asked for with a real request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_tests::{Answer, Client, Service, unique};

/// The least role of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    Open,
    Reader,
    Editor,
    Admin,
}
use Least::{Admin, Editor, Open, Reader};

/// What a caller is told of an object that is not his.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// The path names no object, or scopes do not apply to it.
    No,
    /// Outside of his scopes it does not exist.
    Hidden,
    /// He cannot make it outside of his scopes.
    Outside,
    /// It belongs to another key: only an admin sees it.
    Others,
}
use Foreign::{Hidden, No, Others, Outside};

pub(super) struct Route {
    pub(super) verb: &'static str,
    path: &'static str,
    least: Least,
    /// The JSON body; `$team` and `$name` are filled in.
    body: &'static str,
    /// Status of a call that is allowed.
    pub(super) own: u16,
    foreign: Foreign,
}

const fn route(
    verb: &'static str,
    path: &'static str,
    least: Least,
    body: &'static str,
    own: u16,
    foreign: Foreign,
) -> Route {
    Route {
        verb,
        path,
        least,
        body,
        own,
        foreign,
    }
}

const SOURCE: &str = r#"{"name": "$name", "connector": "sample", "labels": {"team": "$team"}}"#;
const RELABEL: &str = r#"{"labels": {"team": "$team"}}"#;
const CREDENTIAL: &str =
    r#"{"name": "$name", "fields": {"password": "x"}, "labels": {"team": "$team"}}"#;
const FIELDS: &str = r#"{"fields": {"password": "y"}}"#;
const RECIPE: &str = r#"{"name": "$name", "steps": [], "labels": {"team": "$team"}}"#;
const KEY: &str = r#"{"name": "$name", "role": "reader"}"#;
const READ: &str = r#"{"stream": "penguins", "limit": 1}"#;
const ROWS: &str = r#"{"data": [{"a": 1}]}"#;
const TEST: &str = r#"{"config": {}}"#;

/// A new route is one line here. A path without its ending stands for those of
/// all formats, too.
pub(super) const LIST: &[Route] = &[
    route("GET", "/healthz", Open, "", 200, No),
    route("GET", "/readyz", Open, "", 200, No),
    route("GET", "/problems/{code}", Open, "", 200, No),
    route("GET", "/metrics", Reader, "", 200, No),
    route("GET", "/v1/whoami", Reader, "", 200, No),
    route("GET", "/v1/limits", Reader, "", 200, No),
    route("GET", "/v1/connectors", Reader, "", 200, No),
    route("GET", "/v1/connectors/{kind}", Reader, "", 200, No),
    route("POST", "/v1/connectors/{kind}/test", Editor, TEST, 200, No),
    route("GET", "/v1/sources", Reader, "", 200, No),
    route("POST", "/v1/sources", Editor, SOURCE, 201, Outside),
    route("POST", "/v1/sources/test", Editor, "", 200, No),
    route("GET", "/v1/sources/{source}", Reader, "", 200, Hidden),
    route("PATCH", "/v1/sources/{source}", Editor, "{}", 200, Hidden),
    route("DELETE", "/v1/sources/{source}", Editor, "", 204, Hidden),
    route(
        "POST",
        "/v1/sources/{source}/test",
        Editor,
        "{}",
        200,
        Hidden,
    ),
    route(
        "GET",
        "/v1/sources/{source}/streams",
        Reader,
        "",
        200,
        Hidden,
    ),
    route(
        "GET",
        "/v1/sources/{source}/schema?stream=penguins",
        Reader,
        "",
        200,
        Hidden,
    ),
    route(
        "POST",
        "/v1/sources/{source}/preview",
        Reader,
        READ,
        200,
        Hidden,
    ),
    route(
        "GET",
        "/v1/sources/{source}/load?stream=penguins&limit=1",
        Reader,
        "",
        200,
        Hidden,
    ),
    route(
        "POST",
        "/v1/sources/{source}/load",
        Reader,
        READ,
        200,
        Hidden,
    ),
    // What it asks of the sample is refused: nothing can be written there.
    route(
        "POST",
        "/v1/sources/{source}/write?stream=penguins",
        Editor,
        r#"[{"a": 1}]"#,
        422,
        Hidden,
    ),
    route("POST", "/v1/transform", Reader, ROWS, 200, No),
    route("POST", "/v1/profile", Reader, ROWS, 200, No),
    route(
        "POST",
        "/v1/sources/{source}/profile",
        Reader,
        READ,
        200,
        Hidden,
    ),
    route("GET", "/v1/credentials", Reader, "", 200, No),
    route("POST", "/v1/credentials", Editor, CREDENTIAL, 201, Outside),
    route(
        "GET",
        "/v1/credentials/{credential}",
        Reader,
        "",
        200,
        Hidden,
    ),
    route(
        "PATCH",
        "/v1/credentials/{credential}",
        Editor,
        "{}",
        200,
        Hidden,
    ),
    route(
        "DELETE",
        "/v1/credentials/{credential}",
        Editor,
        "",
        204,
        Hidden,
    ),
    route(
        "POST",
        "/v1/credentials/{credential}/rotate",
        Editor,
        FIELDS,
        200,
        Hidden,
    ),
    route(
        "GET",
        "/v1/credentials/{credential}/versions",
        Reader,
        "",
        200,
        Hidden,
    ),
    route(
        "POST",
        "/v1/credentials/{credential}/resolve",
        Admin,
        "{}",
        200,
        Hidden,
    ),
    route("GET", "/v1/transforms", Reader, "", 200, No),
    route("GET", "/v1/recipes", Reader, "", 200, No),
    route("POST", "/v1/recipes", Editor, RECIPE, 201, Outside),
    route("GET", "/v1/recipes/{recipe}", Reader, "", 200, Hidden),
    route("PATCH", "/v1/recipes/{recipe}", Editor, "{}", 200, Hidden),
    route("DELETE", "/v1/recipes/{recipe}", Editor, "", 204, Hidden),
    route(
        "GET",
        "/v1/recipes/{recipe}/versions",
        Reader,
        "",
        200,
        Hidden,
    ),
    route("GET", "/v1/runs", Reader, "", 200, No),
    route("GET", "/v1/runs/{run}", Reader, "", 200, Others),
    // It has ended long ago.
    route("POST", "/v1/runs/{run}/cancel", Reader, "", 409, Others),
    route("GET", "/v1/api-keys", Admin, "", 200, No),
    route("POST", "/v1/api-keys", Admin, KEY, 201, No),
    route("GET", "/v1/api-keys/{key}", Admin, "", 200, No),
    route("PATCH", "/v1/api-keys/{key}", Admin, "{}", 200, No),
    route("DELETE", "/v1/api-keys/{key}", Admin, "", 204, No),
    route("POST", "/v1/api-keys/{key}/rotate", Admin, "{}", 200, No),
    route("GET", "/v1/audit", Admin, "", 200, No),
];

/// Paths that exist in one form more for each format.
const IN_FORMATS: [&str; 3] = [
    "/v1/sources/{source}/preview",
    "/v1/sources/{source}/load",
    "/v1/transform",
];

impl Route {
    fn template(&self) -> &str {
        self.path.split('?').next().unwrap()
    }

    /// The name in braces.
    fn parameter(&self) -> Option<&str> {
        let from = self.path.find('{')?;
        let to = self.path.find('}')?;
        Some(&self.path[from + 1..to])
    }
}

/// Verbs by path, of the document.
pub(super) async fn documented(client: &Client) -> BTreeMap<String, BTreeSet<String>> {
    let document = client.get("/openapi.json").await.expect_status(200);
    let paths = document["paths"].as_object().unwrap().iter();
    let verbs = |operations: &Value| {
        let names = operations.as_object().unwrap().keys();
        names.map(|verb| verb.to_uppercase()).collect()
    };
    paths
        .map(|(path, operations)| (path.clone(), verbs(operations)))
        .collect()
}

/// The list's path of a documented one: without the ending of a format.
fn base(path: &str) -> &str {
    let cut = path.rsplit_once('.').map_or(path, |(before, _)| before);
    if IN_FORMATS.contains(&cut) { cut } else { path }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_the_document_and_the_document_is_the_router() {
    let service = Service::start().await;
    let documented = documented(&service.client).await;
    let of_document: BTreeSet<(&str, &str)> = documented
        .iter()
        .flat_map(|(path, verbs)| verbs.iter().map(|verb| (base(path), verb.as_str())))
        .collect();
    let of_list: BTreeSet<(&str, &str)> = LIST
        .iter()
        .map(|route| (route.template(), route.verb))
        .collect();
    let missing: Vec<_> = of_document.difference(&of_list).collect();
    assert!(missing.is_empty(), "not in the golden list: {missing:?}");
    let gone: Vec<_> = of_list.difference(&of_document).collect();
    assert!(gone.is_empty(), "in the golden list only: {gone:?}");
    for (path, verbs) in &documented {
        let url = path.replace(['{', '}'], "");
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            if !verbs.contains(verb) {
                let call = service.client.call(verb.parse().unwrap(), &url);
                let answer = call.send().await;
                assert_eq!(answer.status, 405, "the router takes {verb} {path}");
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Foreign,
    Missing,
}

struct Caller {
    name: &'static str,
    role: Option<Least>,
    scoped: bool,
    client: Client,
}

async fn callers(admin: &Client) -> Vec<Caller> {
    let kinds = [
        ("nobody", None, false),
        ("reader", Some(Reader), false),
        ("editor", Some(Editor), false),
        ("admin", Some(Admin), false),
        ("scoped-reader", Some(Reader), true),
        ("scoped-editor", Some(Editor), true),
    ];
    let mut all = Vec::new();
    for (name, role, scoped) in kinds {
        let client = match role {
            None => admin.with_key(None),
            Some(role) => {
                let scopes: &[&str] = if scoped { &["team:own"] } else { &[] };
                let role = format!("{role:?}").to_lowercase();
                let body = json!({"name": format!("a-{name}"), "role": role, "scopes": scopes});
                let made = admin.post("/v1/api-keys", &body).await.expect_status(201);
                admin.with_key(made["key"].as_str())
            }
        };
        all.push(Caller {
            name,
            role,
            scoped,
            client,
        });
    }
    all
}

fn name() -> String {
    unique("golden").replace('_', "-")
}

/// What stands for the braces, made for this one cell.
async fn object(admin: &Client, caller: &Client, parameter: &str, whose: Whose) -> String {
    let team = if whose == Whose::Own { "own" } else { "other" };
    match (parameter, whose) {
        ("kind", Whose::Missing) => "no-such-thing".to_owned(),
        ("kind", _) => "sample".to_owned(),
        ("code", Whose::Missing) => "no-such-code".to_owned(),
        ("code", _) => "not_found".to_owned(),
        (_, Whose::Missing) => "0190b6e2-8f3f-7b3c-9d51-0a1b2c3d4e5f".to_owned(),
        ("source", _) => {
            let name = name();
            let body = json!({"name": name, "connector": "sample", "labels": {"team": team}});
            admin.post("/v1/sources", &body).await.expect_status(201);
            name
        }
        ("run", _) => {
            let source = Box::pin(object(admin, caller, "source", whose)).await;
            let reader = if whose == Whose::Own { caller } else { admin };
            let path = format!("/v1/sources/{source}/load?stream=penguins&limit=1");
            let answer = reader.get(&path).await;
            match answer.header("weir-run-id") {
                "" => source,
                id => id.to_owned(),
            }
        }
        ("credential", _) => {
            let name = name();
            let fields = json!({"password": "x"});
            let body = json!({"name": name, "fields": fields, "labels": {"team": team}});
            let made = admin.post("/v1/credentials", &body).await;
            made.expect_status(201);
            name
        }
        ("recipe", _) => {
            let name = name();
            let body = json!({"name": name, "steps": [], "labels": {"team": team}});
            admin.post("/v1/recipes", &body).await.expect_status(201);
            name
        }
        ("key", _) => {
            let body = json!({"name": name(), "role": "reader"});
            let made = admin.post("/v1/api-keys", &body).await.expect_status(201);
            made["api_key"]["id"].as_str().unwrap().to_owned()
        }
        (other, _) => panic!("no object is known for {{{other}}} ({})", caller.base()),
    }
}

/// Status and code of the answer that this caller must get.
fn expected(route: &Route, caller: &Caller, whose: Whose) -> (u16, &'static str) {
    let Some(role) = caller.role else {
        return match route.least {
            Open if whose == Whose::Missing => (404, "not_found"),
            Open => (route.own, ""),
            _ => (401, "unauthorized"),
        };
    };
    if role < route.least {
        return (403, "forbidden");
    }
    match (whose, route.foreign) {
        (Whose::Missing, _) if route.parameter() == Some("kind") => (404, "unknown_connector"),
        (Whose::Missing, _) => (404, "not_found"),
        (Whose::Foreign, Hidden) if caller.scoped => (404, "not_found"),
        (Whose::Foreign, Outside) if caller.scoped => (422, "outside_scope"),
        (Whose::Foreign, Others) if role < Admin => (404, "not_found"),
        _ if route.own == 409 => (409, "run_finished"),
        // The source is read-only.
        _ if route.own == 422 => (422, "unsupported"),
        _ => (route.own, ""),
    }
}

async fn ask(admin: &Client, caller: &Caller, route: &Route, path: &str, whose: Whose) -> Answer {
    let url = url(admin, &caller.client, route, path, whose).await;
    send(&caller.client, route, &url, whose).await
}

/// The path with an object made for it.
async fn url(admin: &Client, caller: &Client, route: &Route, path: &str, whose: Whose) -> String {
    let Some(parameter) = route.parameter() else {
        return path.to_owned();
    };
    let object = object(admin, caller, parameter, whose).await;
    path.replace(&format!("{{{parameter}}}"), &object)
}

/// The path with an object of the caller's own, made for it.
pub(super) async fn own_url(client: &Client, route: &Route, path: &str) -> String {
    url(client, client, route, path, Whose::Own).await
}

/// Asks for a path that has its object.
pub(super) async fn send_own(client: &Client, route: &Route, url: &str) -> Answer {
    send(client, route, url, Whose::Own).await
}

async fn send(client: &Client, route: &Route, url: &str, whose: Whose) -> Answer {
    let team = if whose == Whose::Foreign {
        "other"
    } else {
        "own"
    };
    let body = route.body.replace("$name", &name()).replace("$team", team);
    let mut call = client.call(route.verb.parse().unwrap(), url);
    if !body.is_empty() {
        call = call.header("content-type", "application/json").body(body);
    }
    call.send().await
}

/// The path of the list, and those of the formats.
pub(super) fn paths(route: &Route, documented: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let query = route
        .path
        .split_once('?')
        .map_or(String::new(), |(_, q)| format!("?{q}"));
    let all = documented
        .keys()
        .filter(|path| base(path) == route.template());
    all.map(|path| format!("{path}{query}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_caller_route_and_object_answers_as_listed() {
    let service = Service::start().await;
    let admin = &service.client;
    let documented = documented(admin).await;
    let callers = callers(admin).await;
    let (mut cells, mut wrong) = (0, Vec::new());
    for route in LIST {
        let objects: &[Whose] = match (route.parameter(), route.foreign) {
            (Some("code"), _) => &[Whose::Own, Whose::Missing],
            (None, Outside) => &[Whose::Own, Whose::Foreign],
            (None, _) => &[Whose::Own],
            (Some(_), No) => &[Whose::Own, Whose::Missing],
            (Some(_), _) => &[Whose::Own, Whose::Foreign, Whose::Missing],
        };
        for path in paths(route, &documented) {
            for caller in &callers {
                for whose in objects.iter().copied() {
                    let answer = ask(admin, caller, route, &path, whose).await;
                    let wanted = expected(route, caller, whose);
                    let told = (answer.status, answer.header("weir-error-code"));
                    cells += 1;
                    if told != wanted {
                        let name = caller.name;
                        wrong.push(format!(
                            "{} {path} by {name}, {whose:?}: {told:?}, not {wanted:?}",
                            route.verb
                        ));
                    }
                }
            }
        }
    }
    println!("golden list: {} routes, {cells} cells", LIST.len());
    assert!(
        wrong.is_empty(),
        "{cells} cells, wrong:\n{}",
        wrong.join("\n")
    );
    assert!(cells > 300, "only {cells} cells were asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn relabelling_to_outside_and_foreign_lists_are_closed_too() {
    let service = Service::start().await;
    let admin = &service.client;
    let callers = callers(admin).await;
    let editor = &callers
        .iter()
        .find(|c| c.name == "scoped-editor")
        .unwrap()
        .client;
    let [own, foreign] = [Whose::Own, Whose::Foreign];
    let mine = object(admin, editor, "source", own).await;
    let other = object(admin, editor, "source", foreign).await;
    let relabel: Value = serde_json::from_str(&RELABEL.replace("$team", "other")).unwrap();
    let path = format!("/v1/sources/{mine}");
    let problem = editor
        .patch(&path, &relabel)
        .await
        .expect_problem(422, "outside_scope");
    assert_eq!(problem["errors"][0]["pointer"], "#/labels");
    let bare = json!({"labels": {"team": null}});
    editor
        .patch(&path, &bare)
        .await
        .expect_problem(422, "outside_scope");
    let listed = editor.get("/v1/sources").await.expect_status(200);
    let names: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, [mine.as_str()], "neither {other} nor the sample");
    let id = admin
        .get(&format!("/v1/sources/{other}"))
        .await
        .expect_status(200);
    for reference in [id["id"].as_str().unwrap(), &format!("@sample.{other}")] {
        let hidden = editor.get(&format!("/v1/sources/{reference}")).await;
        let missing = editor.get("/v1/sources/never-was").await;
        let (hidden, missing) = (
            hidden.expect_problem(404, "not_found"),
            missing.expect_problem(404, "not_found"),
        );
        assert_eq!(hidden["hint"], missing["hint"], "as if it did not exist");
    }
}
