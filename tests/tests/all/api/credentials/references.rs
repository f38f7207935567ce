//! Values that are references: who makes them, how they read back, what
//! becomes of a source that has one.

use serde_json::{Value, json};

use super::{Site, make};
use weir_tests::Database;

#[tokio::test(flavor = "multi_thread")]
async fn they_read_back_as_written_and_are_not_resolved_yet() {
    let site = Site::start().await;
    let client = site.admin();
    let database = Database::create().await;
    for (name, field, text) in [
        ("env", "host", "${PGHOST:-localhost}"),
        ("call", "password", "{{ aws_secret('prod/pg') }}"),
        (
            "nested",
            "user",
            "{{ json_value(aws_secret_var('x'), 'user') }}",
        ),
        ("file", "password", "file:/run/secrets/pg"),
        ("at", "database", "@postgres.main"),
        ("port", "port", "${PGPORT:-5432}"),
    ] {
        let mut config = database.config();
        config[field] = json!({"$from": text});
        let body = json!({"name": name, "connector": "postgres", "config": config});
        let made = client.post("/v1/sources", &body).await.expect_status(201);
        assert_eq!(made["config"][field], json!({"$from": text}), "{made:#}");
        let problem = client
            .post(
                &format!("/v1/sources/{name}/load"),
                &json!({"query": "select 1"}),
            )
            .await
            .expect_problem(422, "unresolved_reference");
        assert_eq!(problem["errors"][0]["pointer"], format!("#/config/{field}"));
        let test = client
            .post(&format!("/v1/sources/{name}/test"), &json!({}))
            .await
            .expect_status(200);
        assert_eq!(test["error"]["code"], "unresolved_reference");
        assert_eq!(test["checks"][0]["name"], "credentials");
    }
    // A url that is a reference stands alone, and so does a certificate.
    for config in [
        json!({"url": {"$from": "${DATABASE_URL}"}}),
        json!({"host": "db.example.com", "user": "u", "tls": {"ca": {"$from": "file:/etc/ca.pem"}}}),
    ] {
        let body = json!({"name": "x", "connector": "postgres", "config": config});
        let made = client.post("/v1/sources", &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        client.delete("/v1/sources/x").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_config_is_still_checked() {
    let site = Site::start().await;
    for (config, pointer) in [
        (
            json!({"host": {"$from": "${H}"}, "user": "u", "prot": 1}),
            "#/config/prot",
        ),
        (json!({"host": {"$from": "${H}"}}), "#/config/user"),
        (
            json!({"host": {"$from": "nonsense"}, "user": "u"}),
            "#/config/host",
        ),
        (
            json!({"host": {"$from": "${H}", "x": 1}, "user": "u"}),
            "#/config/host",
        ),
        (
            json!({"host": {"$from": "{{ aws_secert('x') }}"}, "user": "u"}),
            "#/config/host",
        ),
    ] {
        let body = json!({"name": "x", "connector": "postgres", "config": config});
        let answer = site.admin().post("/v1/sources", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_make_none_that_reach_into_the_machine() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let config = |value: Value| json!({"host": "h.example.com", "user": "u", "password": value});
    for text in [
        "${X}",
        "{{ env_var('X') }}",
        "{{ aws_secret('x') }}",
        "file:/x",
    ] {
        let reference = json!({"$from": text});
        let body =
            json!({"name": "x", "connector": "postgres", "config": config(reference.clone())});
        let problem = editor
            .post("/v1/sources", &body)
            .await
            .expect_problem(403, "forbidden");
        assert_eq!(problem["errors"][0]["pointer"], "#/config/password");
        editor
            .post(
                "/v1/connectors/postgres/test",
                &json!({"config": config(reference.clone())}),
            )
            .await
            .expect_problem(403, "forbidden");
        let body = json!({"name": "x", "fields": {"p": reference}});
        editor
            .post("/v1/credentials", &body)
            .await
            .expect_problem(403, "forbidden");
    }
    let fields = json!({"p": {"$from": "${X}"}, "q": "v"});
    let made = make(site.admin(), "main", fields.clone(), json!({})).await;
    assert_eq!(made["fields"], json!({"p": {"$from": "${X}"}, "q": "***"}));
    // What an editor reads he may send back.
    editor
        .patch("/v1/credentials/main", &json!({"fields": made["fields"]}))
        .await
        .expect_status(200);
    editor
        .patch(
            "/v1/credentials/main",
            &json!({"fields": {"q": {"$from": "${Y}"}}}),
        )
        .await
        .expect_problem(403, "forbidden");
    let body =
        json!({"name": "s", "connector": "postgres", "config": config(json!({"$from": "${X}"}))});
    site.admin()
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    editor
        .patch("/v1/sources/s", &json!({"config": {"schema": "x"}}))
        .await
        .expect_status(200);
    let moved = editor
        .patch(
            "/v1/sources/s",
            &json!({"config": {"host": "evil.example.net"}}),
        )
        .await;
    moved.expect_problem(422, "secrets_required");
    // Moved into another field, it is a new one.
    editor
        .patch(
            "/v1/sources/s",
            &json!({"config": {"database": {"$from": "${X}"}}}),
        )
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_referred_to_by_those_who_see_it() {
    let site = Site::start().await;
    make(
        site.admin(),
        "main",
        json!({"password": "x"}),
        json!({"labels": {"team": "ops"}}),
    )
    .await;
    let sales = site.key("editor", &["team:sales"]).await;
    let editor = site.key("editor", &[]).await;
    let config =
        |text: &str| json!({"host": "h.example.com", "user": "u", "password": {"$from": text}});
    let body = |text: &str| json!({"name": "s", "connector": "postgres", "config": config(text), "labels": {"team": "sales"}});
    for (client, text, code) in [
        (&sales, "credential:main#password", "unknown_credential"),
        (&editor, "credential:missing#password", "unknown_credential"),
        (&editor, "credential:main#token", "invalid"),
    ] {
        let problem = client
            .post("/v1/sources", &body(text))
            .await
            .expect_problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], "#/config/password");
    }
    editor
        .post("/v1/sources", &body("credential:main#password"))
        .await
        .expect_status(201);
    editor
        .post("/v1/sources/s/load", &json!({"query": "select 1"}))
        .await
        .expect_problem(422, "unresolved_reference");
}
