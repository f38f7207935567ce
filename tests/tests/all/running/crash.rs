//! `kill -9` of the service and of its private Postgres, in mid-load.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use weir_tests::wire::Wire;
use weir_tests::{Database, Options, Service, StoreKind, setting};

/// Rounds when `WEIR_TEST_KILL_ROUNDS` names no other number.
const ROUNDS: usize = 3;

fn rounds() -> usize {
    setting("WEIR_TEST_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"))
}

async fn loads(service: &Service, name: &str) -> Vec<Wire> {
    let mut running = Vec::new();
    for suffix in ["arrow", "ndjson"] {
        let path = format!("/v1/sources/{name}/load.{suffix}?stream=endless");
        let mut wire = Wire::get(&service.client, &path).await;
        assert!(wire.read_at_least(100_000).await.len() >= 100_000);
        running.push(wire);
    }
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_registered_is_lost_and_it_starts_again() {
    let database = Database::with(crate::api::sources::hang_up::ENDLESS).await;
    let options = Options::on(StoreKind::Embedded);
    let mut service = options.start().await;
    let name = service.client.register(&database).await;
    let key = service.client.key().to_owned();
    for round in 0..rounds() {
        let body = json!({"name": format!("round-{round}"), "connector": "sample", "config": {}});
        service
            .client
            .post("/v1/sources", &body)
            .await
            .expect_status(201);
        let running = loads(&service, &name).await;
        let postgres = Pid::from_raw(service.embedded_pid().unwrap());
        // Either one first: both orders happen in the world.
        if round % 2 == 0 {
            kill(postgres, Signal::SIGKILL).unwrap();
            service.kill().await;
        } else {
            service.kill().await;
            kill(postgres, Signal::SIGKILL).unwrap();
        }
        drop(running);
        service = options.start().await;
        assert_eq!(service.client.key(), key);
        for earlier in 0..=round {
            let path = format!("/v1/sources/round-{earlier}");
            service.client.get(&path).await.expect_status(200);
        }
        let rows = service
            .client
            .rows(&name, &json!({"query": "select 42 as answer"}))
            .await;
        assert_eq!(
            rows,
            [json!({"answer": 42})],
            "sealed secrets open as before"
        );
        println!(
            "round {} of {}: started again, nothing lost",
            round + 1,
            rounds()
        );
    }
    assert_eq!(service.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_outlived_its_service_is_no_obstacle() {
    let options = Options::on(StoreKind::Embedded);
    let service = options.start().await;
    let body = json!({"name": "kept", "connector": "sample", "config": {}});
    service
        .client
        .post("/v1/sources", &body)
        .await
        .expect_status(201);
    service.kill().await;
    let service = options.start().await;
    service
        .client
        .get("/v1/sources/kept")
        .await
        .expect_status(200);
}
