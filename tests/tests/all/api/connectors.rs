//! `/v1/connectors` and `/v1/connectors/{kind}/test`.

use serde_json::json;
use weir_tests::{Database, Service};

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_shows_what_a_form_needs() {
    let service = Service::start().await;
    let page = service
        .client
        .get("/v1/connectors")
        .await
        .expect_status(200);
    let kinds: Vec<&str> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"postgres") && kinds.contains(&"sample"),
        "{kinds:?}"
    );
    let postgres = service
        .client
        .get("/v1/connectors/postgres")
        .await
        .expect_status(200);
    for capability in ["test", "discover", "preview", "load", "write"] {
        assert!(
            postgres["capabilities"]
                .as_array()
                .unwrap()
                .contains(&json!(capability))
        );
    }
    assert_eq!(postgres["tested_against"], "live");
    let fields = &postgres["config_schema"]["properties"];
    assert_eq!(fields["password"]["writeOnly"], true);
    assert_eq!(fields["host"]["x-endpoint"], true);
    assert_eq!(postgres["config_schema"]["additionalProperties"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_each_connector_can_be_registered() {
    let service = Service::start().await;
    let page = service
        .client
        .get("/v1/connectors")
        .await
        .expect_status(200);
    for connector in page["items"].as_array().unwrap() {
        let name = format!("example-{}", connector["kind"].as_str().unwrap());
        let body =
            json!({"name": name, "connector": connector["kind"], "config": connector["example"]});
        service
            .client
            .post("/v1/sources", &body)
            .await
            .expect_status(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_names_the_nearest_one() {
    let service = Service::start().await;
    let client = &service.client;
    let problem = client
        .get("/v1/connectors/postgre")
        .await
        .expect_problem(404, "unknown_connector");
    assert!(
        problem["detail"].as_str().unwrap().contains("`postgres`"),
        "{problem}"
    );
    let body = json!({"name": "a", "connector": "postgre", "config": {}});
    let problem = client
        .post("/v1/sources", &body)
        .await
        .expect_problem(422, "unknown_connector");
    assert_eq!(problem["errors"][0]["pointer"], "#/connector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_tested_before_it_is_saved() {
    let service = Service::start().await;
    let database = Database::create().await;
    let body = json!({"config": database.config()});
    let path = "/v1/connectors/postgres/test";
    let result = service.client.post(path, &body).await.expect_status(200);
    assert_eq!(result["ok"], true, "{result:#}");
    let names: Vec<&str> = result["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    for name in ["resolve", "connect", "login", "query"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        result["server_version"]
            .as_str()
            .unwrap()
            .contains("PostgreSQL"),
        "{result:#}"
    );
    let sources = service
        .client
        .get("/v1/sources?connector=postgres")
        .await
        .expect_status(200);
    assert_eq!(sources["items"], json!([]), "a test saves nothing");

    let wrong = json!({"config": {"host": "127.0.0.1", "user": "u", "prot": 1}});
    let problem = service
        .client
        .post(path, &wrong)
        .await
        .expect_problem(422, "unknown_field");
    assert_eq!(problem["errors"][0]["pointer"], "#/config/prot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_write_is_warned_of() {
    let service = Service::start().await;
    let database = Database::with("create table t (id int)").await;
    let mut config = database.config();
    config["user"] = json!(database.owner);
    database
        .run(&format!("alter table t owner to {}", database.owner))
        .await;
    let path = "/v1/connectors/postgres/test";
    let writer = service
        .client
        .post(path, &json!({"config": config}))
        .await
        .expect_status(200);
    config["user"] = json!(weir_tests::postgres::SUPERUSER);
    config["password"] = json!(weir_tests::postgres::SUPERUSER_PASSWORD);
    let superuser = service
        .client
        .post(path, &json!({"config": config}))
        .await
        .expect_status(200);
    for (result, word) in [(writer, "may change rows"), (superuser, "superuser")] {
        assert_eq!(result["ok"], true, "{result:#}");
        let details: String = result["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|check| check["detail"].as_str())
            .collect();
        assert!(details.contains(word), "{word}: {result:#}");
    }
}
