//! `weir doctor`.

use std::process::{Command, Output};

use serde_json::json;
use weir_tests::{Database, Options, StoreKind, postgres, project};

fn doctor(store: &Database, options: &Options, more: &[(&str, &str)]) -> Output {
    Command::new(project::weir())
        .arg("doctor")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("WEIR_DATA_DIR", options.data())
        .env("WEIR_DATABASE_URL", store.owner_url())
        .envs(more.iter().copied())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_looks_at_everything_and_says_what_is_wrong() {
    let store = Database::create().await;
    let database = Database::create().await;
    let options = Options::on(StoreKind::Database(store.clone()));
    let service = options.start().await;
    service
        .client
        .register_config("good", database.config())
        .await;
    let well = doctor(&store, &options, &[]);
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    for line in [
        "configuration",
        "store",
        "master key",
        "@postgres.good",
        "@sample.sample",
        "2 of 2 work",
    ] {
        assert!(text(&well).contains(line), "no {line} in {}", text(&well));
    }
    let mut config = database.config();
    config["password"] = json!("not-the-password");
    service.client.register_config("bad", config).await;
    let ill = doctor(&store, &options, &[]);
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    let said = text(&ill);
    let line = said
        .lines()
        .find(|line| line.starts_with("@postgres.bad"))
        .unwrap();
    assert!(
        line.contains("FAILED") && line.contains("authentication at login"),
        "{line}"
    );
    assert!(
        said.contains("2 of 3 work") && !said.contains("not-the-password"),
        "{said}"
    );
    let read = service
        .client
        .get("/v1/sources/bad")
        .await
        .expect_status(200);
    assert_eq!(read["last_test"]["code"], "authentication");

    let nowhere = format!(
        "postgres://nobody:x@127.0.0.1:{}/x",
        postgres::server().port
    );
    for (setting, value, said) in [
        (
            "WEIR_MASTER_KEY",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "master key",
        ),
        ("WEIR_LISTENN", "x", "did you mean WEIR_LISTEN"),
        ("WEIR_DATABASE_URL", &nowhere, "store"),
        ("WEIR_LISTEN", "0.0.0.0:80", "WEIR_ALLOW_REMOTE"),
    ] {
        let ill = doctor(&store, &options, &[(setting, value)]);
        assert_eq!(ill.status.code(), Some(1), "{setting}: {ill:?}");
        let failed: Vec<String> = text(&ill)
            .lines()
            .filter(|l| l.contains("FAILED"))
            .map(str::to_owned)
            .collect();
        assert!(
            failed.iter().any(|line| line.contains(said)),
            "{setting}: {failed:?}"
        );
    }
}
