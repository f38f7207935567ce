//! A MySQL source over HTTP: registered, tested, listed, read and written.

use serde_json::json;
use weir_tests::{MyDatabase, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_source_is_read_and_written() {
    let service = Service::start().await;
    let client = &service.client;
    let database = MyDatabase::with(
        "create table t (id int primary key, name varchar(20), price decimal(8,2));
         insert into t values (1, 'a', 1.25), (2, null, 2.50)",
    );
    let body = json!({"name": "shop", "connector": "mysql", "config": database.owner_config()});
    client.post("/v1/sources", &body).await.expect_status(201);
    let test = client
        .post("/v1/sources/shop/test", &json!({}))
        .await
        .expect_status(200);
    assert_eq!(test["ok"], true, "{test}");
    let streams = client
        .get("/v1/sources/shop/streams")
        .await
        .expect_status(200);
    assert_eq!(
        streams["items"][0]["stream"],
        format!("{}.t", database.name)
    );
    let rows = client
        .rows(
            "shop",
            &json!({"stream": "t", "order_by": [{"column": "id"}]}),
        )
        .await;
    assert_eq!(json!(rows[0]), json!({"id": 1, "name": "a", "price": 1.25}));
    let preview = json!({"query": "select count(*) as n from t where price > ?", "params": [2]});
    let preview = client.post("/v1/sources/shop/preview", &preview).await;
    preview.expect_status(200);
    let arrow = json!({"stream": "t", "filter": "price > 2"});
    let arrow = client
        .post("/v1/sources/shop/load.arrow", &arrow)
        .await
        .arrow();
    assert_eq!(arrow.rows(), 1);
    let path = "/v1/sources/shop/write?stream=t&mode=upsert&keys=id";
    let written = client
        .post(
            path,
            &json!([{"id": 2, "name": "b"}, {"id": 3, "name": "c"}]),
        )
        .await
        .expect_status(200);
    assert_eq!(written["rows_written"], 2);
    assert_eq!(
        database.run("select * from t order by id"),
        "1\ta\t1.25\n2\tb\t2.50\n3\tc\tNULL\n"
    );
    let problem = client
        .post("/v1/sources/shop/load", &json!({"query": "delete from t"}))
        .await;
    problem.expect_problem(403, "read_only");
}
