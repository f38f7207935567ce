//! `/v1/recipes`: steps that are kept, and used by their name.

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::{Client, Service};

async fn make(client: &Client, name: &str, steps: Value) -> Value {
    let body = json!({"name": name, "steps": steps, "labels": {"team": "own"}});
    client.post("/v1/recipes", &body).await.expect_status(201)
}

fn first() -> Value {
    json!([{"op": "select", "columns": ["a"]}, {"op": "limit", "rows": 1}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_steps_makes_a_version_and_any_other_none() {
    let service = Service::start().await;
    let client = &service.client;
    let body = json!({"name": "clean", "description": "d", "labels": {"team": "own"}, "steps": first(),
        "column_types": {"a": "number"}});
    let made = client.post("/v1/recipes", &body).await;
    let recipe = made.expect_status(201);
    for part in ["name", "description", "labels", "steps", "column_types"] {
        assert_eq!(recipe[part], body[part], "{part}");
    }
    let id = recipe["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/recipes/{id}"));
    for name in ["clean", &id] {
        let read = client.get(&format!("/v1/recipes/{name}")).await;
        assert_eq!(read.expect_status(200), recipe);
        assert_eq!(read.header("etag"), made.header("etag"));
    }
    let taken = client.post("/v1/recipes", &body).await;
    taken.expect_problem(409, "name_taken");
    let patch = async |body: Value| {
        let answer = client.patch("/v1/recipes/clean", &body).await;
        let recipe = answer.expect_status(200);
        (
            recipe["version"].clone(),
            recipe["revision"].clone(),
            recipe,
        )
    };
    let (version, revision, _) = patch(json!({"description": null, "labels": {"x": "1"}})).await;
    assert_eq!((version, revision), (json!(1), json!(2)));
    let (version, _, _) = patch(json!({"steps": first()})).await;
    assert_eq!(version, 1, "the same steps are no other version");
    let (version, _, recipe) = patch(json!({"column_types": {"a": null, "b": "text"}})).await;
    assert_eq!(
        (version, &recipe["column_types"]),
        (json!(2), &json!({"b": "text"}))
    );
    let (version, _, recipe) = patch(json!({"steps": [], "column_types": null})).await;
    assert_eq!((version, &recipe["steps"]), (json!(3), &json!([])));
    assert!(recipe.get("column_types").is_none() && recipe.get("description").is_none());
    let page = client.get("/v1/recipes/clean/versions?limit=2").await;
    let page = page.expect_status(200);
    assert_eq!(page["items"][0]["version"], 3);
    assert_eq!(page["items"][1]["by"]["name"], "admin");
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = client
        .get(&format!(
            "/v1/recipes/clean/versions?limit=2&cursor={cursor}"
        ))
        .await
        .expect_status(200);
    assert_eq!(rest["items"][0]["steps"], first());
    assert_eq!(rest["next_cursor"], Value::Null);
    let stale = client.call(Method::DELETE, "/v1/recipes/clean");
    let stale = stale.header("if-match", made.header("etag")).send().await;
    stale.expect_problem(412, "precondition_failed");
    assert_eq!(client.delete("/v1/recipes/clean").await.status, 204);
    client
        .get("/v1/recipes/clean")
        .await
        .expect_problem(404, "not_found");
    let audit = client.get("/v1/audit?limit=20").await.text();
    for action in ["recipe.create", "recipe.update", "recipe.delete"] {
        assert!(audit.contains(action), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_points_to_the_field() {
    let service = Service::start().await;
    let client = &service.client;
    let large = json!([{"op": "filter_rows", "condition": "a == 1".repeat(50_000)}]);
    for (body, pointer) in [
        (json!({"name": "A", "steps": []}), "#/name"),
        (json!({"name": "a"}), "#/steps"),
        (
            json!({"name": "a", "steps": [{"op": "selct"}]}),
            "#/steps/0/op",
        ),
        (
            json!({"name": "a", "steps": [{"op": "select", "colums": []}]}),
            "#/steps/0/colums",
        ),
        (
            json!({"name": "a", "steps": [], "column_types": {"x/y": "nubmer"}}),
            "#/column_types/x~1y",
        ),
        (json!({"name": "a", "steps": [], "setps": []}), "#/setps"),
        (json!({"name": "a", "steps": large}), "#/steps"),
    ] {
        let answer = client.post("/v1/recipes", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
    }
    let key = "0198c2a4-6f0e-7c3a-9d52-5b1a2f7e4c10";
    let body = json!({"name": "once", "steps": []});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let call = client.call(Method::POST, "/v1/recipes").json(&body);
        let made = call.header("idempotency-key", key).send().await;
        ids.push(made.expect_status(201)["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_filtered() {
    let service = Service::start().await;
    let client = &service.client;
    for name in ["b-two", "a-one", "c-three"] {
        make(client, name, json!([])).await;
    }
    let other = json!({"name": "d-other", "steps": [], "labels": {"team": "other"}});
    client.post("/v1/recipes", &other).await.expect_status(201);
    let names = async |query: &str| -> Vec<String> {
        let page = client.get(&format!("/v1/recipes?{query}")).await;
        let page = page.expect_status(200);
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("label=team:own").await, ["a-one", "b-two", "c-three"]);
    assert_eq!(names("search=T").await, ["b-two", "c-three", "d-other"]);
    let page = client.get("/v1/recipes?limit=3").await;
    assert!(page.header("link").contains("rel=\"next\""));
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(
        names(&format!("limit=3&cursor={cursor}")).await,
        ["d-other"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_runs_by_name_and_by_version() {
    let service = Service::start().await;
    let client = &service.client;
    make(client, "clean", first()).await;
    let second = json!({"steps": [{"op": "rename", "names": {"a": "z"}}]});
    client
        .patch("/v1/recipes/clean", &second)
        .await
        .expect_status(200);
    let data = json!([{"a": 1, "b": 2}, {"a": 3, "b": 4}]);
    let run = async |recipe: &str, steps: Value| {
        let body = json!({"data": data, "recipe": recipe, "steps": steps});
        client.post("/v1/transform", &body).await
    };
    let newest = run("clean", json!([])).await.expect_status(200);
    assert_eq!(newest["rows"], json!([{"z": 1, "b": 2}, {"z": 3, "b": 4}]));
    let older = run("clean@1", json!([{"op": "rename", "names": {"a": "q"}}])).await;
    let older = older.expect_status(200);
    assert_eq!(
        older["rows"],
        json!([{"q": 1}]),
        "the recipe first, then the steps"
    );
    assert_eq!(older["report"].as_array().unwrap().len(), 3);
    for (recipe, status, code, said) in [
        ("claen", 422, "unknown_recipe", "did you mean `clean`"),
        (
            "clean@7",
            422,
            "unknown_recipe",
            "no version 7; its newest is 2",
        ),
        ("clean@x", 422, "invalid", "name@3"),
        ("clean@", 422, "invalid", "name@3"),
    ] {
        let problem = run(recipe, json!([])).await.expect_problem(status, code);
        assert_eq!(problem["errors"][0]["pointer"], "#/recipe");
        assert!(
            problem["detail"].as_str().unwrap().contains(said),
            "{problem}"
        );
    }
    // What is wrong inside of a recipe points to its name, and says where.
    let body = json!({"data": [{"x": 1}], "recipe": "clean@1"});
    let problem = client.post("/v1/transform", &body).await;
    let problem = problem.expect_problem(422, "unknown_column");
    assert_eq!(problem["errors"][0]["pointer"], "#/recipe");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("in the recipe `clean@1`, at /steps/0/columns/0"),
        "{detail}"
    );
    let call = client.call(Method::POST, "/v1/transform.csv?recipe=clean@1");
    let call = call
        .header("content-type", "text/csv")
        .body("a,b\n5,6\n7,8\n");
    assert_eq!(call.send().await.text(), "a\r\n5\r\n");
    let call = client.call(Method::POST, "/v1/transform.csv?recipe=cleam");
    let call = call
        .header("content-type", "text/csv")
        .body("a,b\n5,6\n7,8\n");
    let problem = call.send().await.expect_problem(422, "unknown_recipe");
    assert_eq!(problem["errors"][0]["parameter"], "recipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_outside_of_the_scopes_does_not_exist() {
    let service = Service::start().await;
    let admin = &service.client;
    make(admin, "ours", json!([])).await;
    let other = json!({"name": "others", "steps": [], "labels": {"team": "other"}});
    admin.post("/v1/recipes", &other).await.expect_status(201);
    let key = json!({"name": "scoped", "role": "reader", "scopes": ["team:own"]});
    let key = admin.post("/v1/api-keys", &key).await.expect_status(201);
    let reader = admin.with_key(key["key"].as_str());
    let body = |recipe: &str| json!({"data": [{"a": 1}], "recipe": recipe});
    let fine = reader.post("/v1/transform", &body("ours")).await;
    fine.expect_status(200);
    let hidden = reader.post("/v1/transform", &body("others")).await;
    let missing = reader.post("/v1/transform", &body("othres")).await;
    let (hidden, missing) = (
        hidden.expect_problem(422, "unknown_recipe"),
        missing.expect_problem(422, "unknown_recipe"),
    );
    assert_eq!(hidden["hint"], missing["hint"]);
    assert!(
        !missing["detail"].as_str().unwrap().contains("others"),
        "{missing}"
    );
}
