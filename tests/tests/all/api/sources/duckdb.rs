//! A DuckDB file through the whole service.

use serde_json::{Value, json};
use weir_tests::duckdb::DuckFile;
use weir_tests::{Options, Service, project};

async fn service(file: &DuckFile, library: &str) -> Service {
    Options::fresh()
        .await
        .env("WEIR_FILE_ROOTS", file.folder().to_str().unwrap())
        .env("WEIR_DUCKDB_LIB", library)
        .start()
        .await
}

#[tokio::test]
async fn a_file_is_registered_tested_read_and_written() {
    let file = DuckFile::with(
        "create table orders (id bigint primary key, total decimal(10, 2), at_day date);
         insert into orders select range, range / 4, date '2024-01-01' + range::integer from range(100);",
    );
    let library = project::duckdb_library();
    let service = service(&file, library.to_str().unwrap()).await;
    let client = &service.client;
    let body = json!({"name": "duck", "connector": "duckdb", "config": file.config()});
    client.post("/v1/sources", &body).await.expect_status(201);
    let tested = client
        .post("/v1/sources/duck/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(tested["ok"], true, "{tested}");
    let streams = client
        .get("/v1/sources/duck/streams")
        .await
        .expect_status(200);
    assert_eq!(streams["items"][0]["stream"], "main.orders");
    let ask = json!({"stream": "orders", "filter": "total > 24", "order_by": [{"column": "id", "ascending": false}], "limit": 2});
    let rows = client.rows("duck", &ask).await;
    assert_eq!(rows[0]["id"], 99, "{rows:?}");
    let new = json!([{"id": 99, "total": 1.5}, {"id": 100, "total": 2.25}]);
    let wrote = client
        .post(
            "/v1/sources/duck/write?stream=orders&mode=upsert&keys=id",
            &new,
        )
        .await
        .expect_status(200);
    assert_eq!(wrote["rows_written"], 2);
    let ask = json!({"query": "select sum(id)::bigint as s, count(*) as n, max(at_day) as d from orders where id >= $1", "params": [99]});
    let rows = client.rows("duck", &ask).await;
    assert_eq!(
        Value::from(rows),
        json!([{"s": 199, "n": 2, "d": "2024-04-09"}])
    );
    let refused = client
        .post(
            "/v1/sources/duck/load",
            &json!({"query": "delete from orders"}),
        )
        .await;
    assert_eq!(refused.expect_status(403)["code"], "read_only");
}

#[tokio::test]
async fn motherduck_needs_the_operator_and_its_extension() {
    let library = project::duckdb_library();
    let config = json!({"path": "md:shop", "motherduck_token": "hunter2-token"});
    let body = json!({"name": "duck", "connector": "duckdb", "config": config});
    for (allowed, status, code) in [
        (false, 403, "path_not_allowed"),
        (true, 424, "library_missing"),
    ] {
        let service = Options::fresh()
            .await
            .env("WEIR_DUCKDB_LIB", library.to_str().unwrap())
            .env("WEIR_DUCKDB_MOTHERDUCK", &allowed.to_string())
            .start()
            .await;
        let client = &service.client;
        let made = client.post("/v1/sources", &body).await.expect_status(201);
        assert_eq!(made["config"]["motherduck_token"], "***");
        let answer = client.get("/v1/sources/duck/streams").await;
        let problem = answer.expect_status(status);
        assert_eq!(problem["code"], code, "{problem}");
        let hint = problem["hint"].as_str().unwrap();
        let named = ["WEIR_DUCKDB_MOTHERDUCK", "WEIR_DATA_DIR"][usize::from(allowed)];
        assert!(hint.contains(named), "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}

#[tokio::test]
async fn without_its_library_a_source_says_how_to_get_it() {
    let file = DuckFile::with("create table t (a integer)");
    let service = service(&file, "/nowhere/libduckdb.so").await;
    let body = json!({"name": "duck", "connector": "duckdb", "config": file.config()});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    let answer = service.client.get("/v1/sources/duck/streams").await;
    let problem = answer.expect_status(424);
    assert_eq!(problem["code"], "library_missing");
    assert!(
        problem["hint"]
            .as_str()
            .unwrap()
            .contains("WEIR_DUCKDB_LIB"),
        "{problem}"
    );
}
