//! An editor tries to send a sealed password to a server of his own, by every
//! path there is.

use serde_json::{Value, json};

use super::{Site, login, make, place, source};
use weir_tests::{Answer, Database};

fn pointer(answer: &Answer, code: &str) -> String {
    let problem = answer.expect_problem(422, code);
    problem["errors"][0]["pointer"].as_str().unwrap().to_owned()
}

/// Ways to lead a connection somewhere else.
fn moves() -> [(Value, &'static str); 6] {
    [
        (json!({"host": "evil.example.net"}), "#/config/host"),
        (json!({"port": 1}), "#/config/port"),
        (
            json!({"host": null, "port": null, "database": null, "url": "postgresql://evil.example.net/x"}),
            "#/config/host",
        ),
        (
            json!({"tls": {"server_name": "evil.example.net"}}),
            "#/config/tls",
        ),
        (json!({"tls": {"mode": "disable"}}), "#/config/tls"),
        (json!({"host": "127.0.0.1:1"}), "#/config/host"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_with_secrets_of_its_own_stays_where_it_is() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let database = Database::create().await;
    site.admin().register_config("s", database.config()).await;
    for (change, at) in moves() {
        let answer = editor
            .patch("/v1/sources/s", &json!({"config": change}))
            .await;
        assert_eq!(pointer(&answer, "secrets_required"), at, "{change}");
        let mut masked = change.clone();
        masked["password"] = json!("***");
        let answer = editor
            .patch("/v1/sources/s", &json!({"config": masked}))
            .await;
        assert_eq!(pointer(&answer, "secrets_required"), at, "{masked}");
    }
    // A credential of his own that says where is a move like any other.
    make(
        &editor,
        "mine",
        json!({"tls.server_name": "evil.example.net"}),
        json!({}),
    )
    .await;
    let answer = editor
        .patch("/v1/sources/s", &json!({"credential": "mine"}))
        .await;
    assert_eq!(pointer(&answer, "secrets_required"), "#/config/tls");
    let mut given = database.config();
    given["host"] = json!("evil.example.net");
    editor
        .patch("/v1/sources/s", &json!({"config": given}))
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_credential_goes_only_where_it_already_goes() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let database = Database::create().await;
    make(site.admin(), "main", login(&database), json!({})).await;
    // Nobody uses it yet.
    let answer = editor
        .post("/v1/sources", &source("s", place(&database), "main"))
        .await;
    assert_eq!(pointer(&answer, "host_not_allowed"), "#/config/host");
    let body = source("s", place(&database), "main");
    site.admin()
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    for (change, at) in moves() {
        let answer = editor
            .patch("/v1/sources/s", &json!({"config": change}))
            .await;
        assert_eq!(pointer(&answer, "secrets_required"), at, "{change}");
        let mut config = place(&database);
        for (field, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(config.as_object_mut().unwrap().remove(field)),
                value => config[field] = value.clone(),
            }
        }
        let new = editor
            .post("/v1/sources", &source("mine", config.clone(), "main"))
            .await;
        new.expect_problem(422, "host_not_allowed");
        let test = json!({"config": config, "credential": "main"});
        editor
            .post("/v1/connectors/postgres/test", &test)
            .await
            .expect_problem(422, "host_not_allowed");
    }
    // To the same place in the same way he may.
    editor
        .post("/v1/sources", &source("mine", place(&database), "main"))
        .await
        .expect_status(201);
    // Taken off, moved and put on again, it is a new place.
    let off = json!({"credential": null, "config": {"user": "u", "host": "evil.example.net"}});
    editor
        .patch("/v1/sources/mine", &off)
        .await
        .expect_status(200);
    let on = json!({"credential": "main", "config": {"user": null}});
    let answer = editor.patch("/v1/sources/mine", &on).await;
    answer.expect_problem(422, "host_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_hosts_open_the_way_and_nothing_beside_it() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let database = Database::create().await;
    let hosts = json!({"allowed_hosts": ["127.0.0.1", "*.example.com:5432"]});
    make(site.admin(), "main", login(&database), hosts).await;
    let attempt = async |config: Value| {
        let body = source("s", config, "main");
        let answer = editor.post("/v1/sources", &body).await;
        if answer.status == 201 {
            editor.delete("/v1/sources/s").await;
        }
        answer
    };
    for config in [
        place(&database),
        json!({"host": "db.example.com"}),
        json!({"host": "a.b.example.com", "port": 5432}),
        json!({"host": "db.example.com", "tls": {"mode": "verify-full"}}),
    ] {
        let answer = attempt(config.clone()).await;
        assert_eq!(answer.status, 201, "{config}: {}", answer.text());
    }
    for config in [
        json!({"host": "evil.example.net"}),
        json!({"host": "example.com"}),
        json!({"host": "evilexample.com"}),
        json!({"host": "db.example.com.evil.net"}),
        json!({"host": "db.example.com", "port": 5433}),
        json!({"url": "postgresql://evil.example.net/x"}),
        json!({"url": "postgresql://evil.example.net/127.0.0.1"}),
        json!({"host": "db.example.com", "tls": {"server_name": "evil.example.net"}}),
        json!({"host": "db.example.com", "tls": {"server_name": "db.example.com"}}),
        json!({"host": "db.example.com", "tls": {"mode": "disable"}}),
        json!({"host": "db.example.com", "tls": {"mode": "require"}}),
        json!({"url": "postgresql://db.example.com/x?sslmode=disable"}),
    ] {
        let answer = attempt(config.clone()).await;
        assert_eq!(answer.status, 422, "{config}: {}", answer.text());
        assert_eq!(
            answer.json()["code"],
            "host_not_allowed",
            "{config}: {}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_itself_cannot_be_turned() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let database = Database::create().await;
    make(
        site.admin(),
        "main",
        login(&database),
        json!({"allowed_hosts": ["127.0.0.1"]}),
    )
    .await;
    let patch = async |body: Value| editor.patch("/v1/credentials/main", &body).await;
    for (body, at) in [
        (json!({"allowed_hosts": null}), "#/allowed_hosts"),
        (
            json!({"allowed_hosts": ["evil.example.net"]}),
            "#/allowed_hosts",
        ),
        (json!({"allowed_sources": ["mine"]}), "#/allowed_sources"),
        (json!({"kind": "sample"}), "#/kind"),
        (
            json!({"fields": {"host": "evil.example.net"}}),
            "#/fields/host",
        ),
        (
            json!({"fields": {"url": "postgresql://evil.example.net"}}),
            "#/fields/url",
        ),
        (
            json!({"fields": {"tls.server_name": "evil.example.net"}}),
            "#/fields/tls.server_name",
        ),
        (
            json!({"fields": {"host": "evil.example.net", "password": "***"}}),
            "#/fields/host",
        ),
        (
            json!({"fields": {"host": "evil.example.net", "user": "u"}}),
            "#/fields/host",
        ),
    ] {
        let answer = patch(body.clone()).await;
        assert_eq!(pointer(&answer, "secrets_required"), at, "{body}");
    }
    let rotate = json!({"fields": {"host": "evil.example.net"}});
    let answer = editor.post("/v1/credentials/main/rotate", &rotate).await;
    answer.expect_problem(422, "secrets_required");
    // With every value given anew it is his own.
    let whole =
        json!({"fields": {"user": "u", "password": "p"}, "allowed_hosts": ["mine.example.net"]});
    patch(whole).await.expect_status(200);
    patch(json!({"allowed_hosts": null}))
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_every_value_may_send_them_anywhere() {
    let site = Site::start().await;
    let editor = site.key("editor", &[]).await;
    let other = site.key("editor", &[]).await;
    let database = Database::create().await;
    make(&editor, "mine", login(&database), json!({})).await;
    editor
        .post("/v1/sources", &source("a", place(&database), "mine"))
        .await
        .expect_status(201);
    let elsewhere = json!({"host": "else.example.net"});
    editor
        .post("/v1/sources", &source("b", elsewhere.clone(), "mine"))
        .await
        .expect_status(201);
    let third = json!({"host": "third.example.net"});
    other
        .post("/v1/sources", &source("c", third.clone(), "mine"))
        .await
        .expect_problem(422, "host_not_allowed");
    // Another one gives the password: now neither knows all of it.
    let rotate = json!({"fields": {"password": "new"}});
    other
        .post("/v1/credentials/mine/rotate", &rotate)
        .await
        .expect_status(200);
    for client in [&editor, &other] {
        client
            .post("/v1/sources", &source("c", third.clone(), "mine"))
            .await
            .expect_problem(422, "host_not_allowed");
    }
    // Nor may a place be put into it while a source beside it has secrets of its own.
    make(
        &editor,
        "where",
        json!({"connect_timeout_seconds": "5"}),
        json!({}),
    )
    .await;
    let mut body = source("own", database.config(), "where");
    body["config"]["host"] = json!("h.example.com");
    site.admin()
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    let turned = json!({"fields": {"tls.server_name": "evil.example.net"}});
    let answer = editor.patch("/v1/credentials/where", &turned).await;
    assert_eq!(
        pointer(&answer, "secrets_required"),
        "#/fields/tls.server_name"
    );
}
