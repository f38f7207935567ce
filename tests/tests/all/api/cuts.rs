//! Callers that hang up at any moment of any request. Reads end with them,
//! changes happen wholly or not at all, and nothing stays behind: no query in
//! the source, no task, no permit, no connection of the store.
//!
//! `WEIR_TEST_CUTS` sets how many, `WEIR_TEST_SEED` repeats a run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Client, Database, Options, Service, eventually, setting};

use super::metrics::value;

const TABLES: &str = "create view endless as
        select generate_series(1, 2000000000) as id, repeat('x', 100) as filler;
    create table numbers as select n, 'name ' || n as name from generate_series(1, 20000) n";

/// Callers at once.
const AT_ONCE: usize = 4;

/// Small and good enough: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }
}

fn seed() -> u64 {
    let given = setting("WEIR_TEST_SEED").map(|text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = given.unwrap_or(now.unwrap().as_nanos() as u64 >> 10);
    println!("WEIR_TEST_SEED={seed}");
    seed
}

fn cuts(usual: usize) -> usize {
    setting("WEIR_TEST_CUTS").map_or(usual, |text| text.parse().unwrap())
}

fn request(client: &Client, verb: &str, path: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let kind = if verb == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let key = client.key();
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends a part of the request or all of it, reads a part of the answer, and
/// hangs up.
async fn cut(client: &Client, request: &[u8], dice: &mut Dice) {
    match dice.roll(4) {
        0 => drop(Wire::send(client, &request[..dice.roll(request.len())]).await),
        1 => {
            let wire = Wire::send(client, request).await;
            tokio::time::sleep(Duration::from_micros(dice.roll(30_000) as u64)).await;
            drop(wire);
        }
        _ => {
            let mut wire = Wire::send(client, request).await;
            let some = 1 + dice.roll(300_000);
            // A short answer is read to its end, and then waits for the next request.
            let limit = Duration::from_millis(200);
            let _ = tokio::time::timeout(limit, wire.read_at_least(some)).await;
        }
    }
}

/// What a service holds while it works.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    loads: f64,
    runs: f64,
    store: f64,
    waiting: f64,
    source: f64,
    tasks: f64,
    queries: i64,
}

struct Watch<'a> {
    service: &'a Service,
    database: &'a Database,
    sessions: tokio_postgres::Client,
}

impl<'a> Watch<'a> {
    async fn new(service: &'a Service, database: &'a Database) -> Self {
        Watch {
            service,
            database,
            sessions: database.client().await,
        }
    }

    async fn held(&self) -> Held {
        // Asked with a key, which a busy store may not look up in time.
        let looked = eventually(Duration::from_secs(15), async || {
            let answer = self.service.client.get("/metrics").await;
            (answer.status == 200).then(|| answer.text())
        });
        let text = looked.await.expect("the metrics are answered");
        let sql = "select count(*) from pg_stat_activity \
                   where datname = $1 and state <> 'idle' and pid <> pg_backend_pid()";
        let row = self
            .sessions
            .query_one(sql, &[&self.database.name])
            .await
            .unwrap();
        let tasks = value(&text, "weir_tasks{runtime=\"http\"}")
            + value(&text, "weir_tasks{runtime=\"compute\"}");
        Held {
            loads: value(&text, "weir_loads_running"),
            runs: value(&text, "weir_runs_active"),
            store: value(&text, "weir_store_connections{state=\"used\"}"),
            waiting: value(&text, "weir_store_waiting"),
            source: value(&text, "weir_source_connections_used{kind=\"postgres\"}"),
            tasks,
            queries: row.get(0),
        }
    }

    /// Waits until nothing more is held than before; gives how long that took.
    async fn until_like(&self, before: Held) -> Duration {
        let start = Instant::now();
        let mut last = before;
        let calm = eventually(Duration::from_secs(15), async || {
            let now = self.held().await;
            if now != last {
                println!("{} ms: {now:?}", start.elapsed().as_millis());
            }
            last = now;
            let is_calm = last.loads == 0.0
                && last.runs == 0.0
                && last.store == 0.0
                && last.waiting == 0.0
                && last.source == 0.0
                && last.queries == 0
                && last.tasks <= before.tasks;
            is_calm.then(|| start.elapsed())
        });
        let took = calm.await;
        took.unwrap_or_else(|| panic!("held after 15 seconds: {last:?}, before: {before:?}"))
    }
}

/// Rows of every format, lists and single things: what must not change.
async fn golden(client: &Client, source: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for ending in ["", ".json", ".ndjson", ".csv"] {
        for read in ["load", "preview"] {
            let path = format!("/v1/sources/{source}/{read}{ending}");
            let body =
                json!({"stream": "public.numbers", "order_by": [{"column": "n"}], "limit": 50});
            let answer = client.post(&path, &body).await;
            let text = answer.text();
            let text = text.split("\"elapsed_ms\"").next().unwrap();
            all.push((path, format!("{} {text}", answer.status)));
        }
    }
    for ending in ["arrow", "parquet"] {
        let path = format!("/v1/sources/{source}/load.{ending}?stream=public.numbers");
        let answer = client.get(&path).await;
        let rows = match ending {
            "arrow" => answer.arrow().rows(),
            _ => answer.body.len(),
        };
        all.push((path, format!("{} {rows}", answer.status)));
    }
    for path in [
        "/v1/whoami".to_owned(),
        "/v1/limits".to_owned(),
        "/v1/connectors".to_owned(),
        format!("/v1/sources/{source}"),
        format!("/v1/sources/{source}/streams?refresh=true"),
        format!("/v1/sources/{source}/schema?stream=public.numbers"),
        "/v1/sources?search=sample".to_owned(),
        "/v1/credentials".to_owned(),
        "/v1/api-keys?limit=1".to_owned(),
    ] {
        let answer = client.get(&path).await;
        let text = format!("{} {}", answer.status, answer.text());
        // A key says when it was used last.
        all.push((
            path,
            text.split("\"last_used_at\"").next().unwrap().to_owned(),
        ));
    }
    all
}

async fn started() -> (Service, Database, String) {
    let options = Options::fresh().await.env("WEIR_LOADS_PER_KEY", "100");
    let service = options.start().await;
    let database = Database::with(TABLES).await;
    let name = service.client.register(&database).await;
    (service, database, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_cut_at_random_bytes_leave_nothing_behind() {
    let (service, database, name) = started().await;
    let client = &service.client;
    let watch = Watch::new(&service, &database).await;
    let first = golden(client, &name).await;
    let before = watch.held().await;
    let (seed, number) = (seed(), cuts(60));
    let lines = (0..AT_ONCE).map(|line| {
        let mut dice = Dice(seed + line as u64);
        let name = &name;
        async move {
            for _ in 0..number.div_ceil(AT_ONCE) {
                let ending = ["arrow", "json", "ndjson", "csv", "parquet"][dice.roll(5)];
                let stream = ["endless", "numbers"][dice.roll(2)];
                let path = format!("/v1/sources/{name}/load.{ending}?stream=public.{stream}");
                let request = request(client, "GET", &path, &Value::Null);
                cut(client, &request, &mut dice).await;
            }
        }
    });
    join_all(lines).await;
    let took = watch.until_like(before).await;
    println!(
        "{number} loads cut: nothing held after {} ms: {:?}, before {before:?}",
        took.as_millis(),
        watch.held().await
    );
    for ((path, now), (_, then)) in golden(client, &name).await.iter().zip(&first) {
        assert_eq!(now, then, "{path} after {number} cuts, seed {seed}");
    }
}

/// Names of the targets of an action, as the audit has them.
async fn audited(client: &Client, action: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = format!("/v1/audit?action={action}&limit=1000");
    loop {
        let page = client.get(&path).await.expect_status(200);
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .filter_map(|item| item["target_name"].as_str().map(str::to_owned)),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            return names;
        };
        path = format!("/v1/audit?action={action}&limit=1000&cursor={cursor}");
    }
}

async fn listed(client: &Client, search: &str) -> BTreeSet<String> {
    let path = format!("/v1/sources?search={search}&limit=1000");
    let page = client.get(&path).await.expect_status(200);
    assert!(page["next_cursor"].is_null(), "{search}");
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_whose_caller_hangs_up_happen_wholly_or_not_at_all() {
    let (service, database, name) = started().await;
    let client = &service.client;
    let watch = Watch::new(&service, &database).await;
    let number = cuts(60).min(900);
    let prey = number.div_ceil(4);
    for index in 0..prey {
        let body = json!({"name": format!("prey-{index}"), "connector": "sample"});
        client.post("/v1/sources", &body).await.expect_status(201);
    }
    let victim = json!({"name": "victim", "connector": "sample"});
    let made = client.post("/v1/sources", &victim).await.expect_status(201);
    let first = golden(client, &name).await;
    let before = watch.held().await;
    let seed = seed();
    let lines = (0..AT_ONCE).map(|line| {
        let mut dice = Dice(seed + line as u64);
        let name = &name;
        async move {
            for index in (line..number).step_by(AT_ONCE) {
                let request = match index / AT_ONCE % 4 {
                    0 => {
                        let config = json!({"host": "127.0.0.1", "database": "d", "user": "u", "password": "a secret"});
                        let body = json!({"name": format!("cut-{index}"), "connector": "postgres", "config": config});
                        request(client, "POST", "/v1/sources", &body)
                    }
                    1 => request(client, "PATCH", "/v1/sources/victim", &json!({"description": format!("number {index}")})),
                    2 => request(client, "DELETE", &format!("/v1/sources/prey-{}", index / 4), &Value::Null),
                    _ => {
                        let body = json!({"stream": "public.numbers", "limit": 1000});
                        request(client, "POST", &format!("/v1/sources/{name}/preview"), &body)
                    }
                };
                cut(client, &request, &mut dice).await;
            }
        }
    });
    join_all(lines).await;
    let took = watch.until_like(before).await;
    let there = listed(client, "cut-").await;
    let recorded: BTreeSet<String> = audited(client, "source.create")
        .await
        .into_iter()
        .filter(|name| name.starts_with("cut-"))
        .collect();
    assert_eq!(there, recorded, "made and recorded, seed {seed}");
    for made in &there {
        let source = client
            .get(&format!("/v1/sources/{made}"))
            .await
            .expect_status(200);
        assert_eq!(source["secret_fields_set"], json!(["password"]), "{made}");
    }
    let gone = audited(client, "source.delete").await;
    let left = listed(client, "prey-").await;
    assert_eq!(
        left.len() + gone.len(),
        prey,
        "deleted and recorded, seed {seed}"
    );
    assert!(gone.iter().all(|name| !left.contains(name)));
    let changed = audited(client, "source.update").await.len();
    let now = client.get("/v1/sources/victim").await.expect_status(200);
    let steps = now["version"].as_u64().unwrap() - made["version"].as_u64().unwrap();
    assert_eq!(steps, changed as u64, "changed and recorded, seed {seed}");
    println!(
        "{number} changes and previews cut: {} made, {} deleted, {changed} changed, nothing held after {} ms",
        there.len(),
        gone.len(),
        took.as_millis()
    );
    for ((path, now), (_, then)) in golden(client, &name).await.iter().zip(&first) {
        assert_eq!(now, then, "{path} after {number} cuts, seed {seed}");
    }
}
