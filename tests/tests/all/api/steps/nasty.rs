//! Plans that would run for hours: each dies soon after its caller is gone, and
//! the service is alive meanwhile.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::wire::Wire;
use weir_tests::{Client, Service, eventually};

use super::super::metrics::value;

/// Rows of the table; three of them crossed are 1,728,000,000, of which a join
/// keeps 1,440,000 in memory.
const ROWS: usize = 1200;

/// How long a plan may outlive its caller. Measured on a quiet machine it is a
/// part of a second; this holds on a loaded one.
const MOST: Duration = Duration::from_secs(5);

/// Rows crossed, to be put before steps that work on many.
fn crossed(select: &str) -> Value {
    json!({"op": "sql", "query": format!("select {select} from input x, input y, input z")})
}

fn plans() -> Vec<Value> {
    let sql = |query: &str| json!([{"op": "sql", "query": query}]);
    let behind = |step: Value| json!([crossed("x.a, y.b"), step]);
    vec![
        sql("select count(*) as n from input x, input y, input z"),
        sql("select count(*) as n from input x, input y, input z where x.a * y.a % 7 = z.a % 5"),
        sql(
            "select count(*) as n from input x join input y on x.a < y.a join input z on y.a < z.a",
        ),
        sql("select sum(sin(x.a) * cos(y.a)) as n from input x, input y, input z"),
        sql(
            "select count(distinct x.b || y.b) as n from input x, input y, input z where x.a = -1 or y.a > -1",
        ),
        sql("select x.b, count(*) as n from input x, input y, input z group by x.b"),
        sql("select max(levenshtein(x.b, y.b)) as n from input x, input y, input z"),
        sql(
            "select count(*) as n from input x, input y, input z where regexp_like(x.b || y.b, '(a|b|ab)*c.*d')",
        ),
        sql(
            "select count(*) as n from (select unnest(range(0, 1000)) as r from input) s, input y, input z",
        ),
        sql(
            "select count(*) as n from input x where exists (select 1 from input y, input z where y.a + z.a + x.a < 0)",
        ),
        sql("select x.a from input x, input y, input z order by x.a desc, y.a limit 3"),
        sql("select max(md5(repeat(x.b, 20))) as n from input x, input y, input z"),
        behind(json!({"op": "limit", "rows": 9_000_000_000_u64})),
        behind(json!({"op": "filter_rows", "condition": "b contains '(a|b|ab)*zz$'"})),
        behind(json!({"op": "remove_row", "rows": [1]})),
        behind(json!({"op": "uppercase", "columns": ["b"]})),
        behind(json!({"op": "drop_duplicates", "columns": ["a"], "keep": "first"})),
        behind(
            json!({"op": "aggregate", "group_by": ["b"], "aggregations": [{"function": "sum", "column": "a"}]}),
        ),
        behind(json!({"op": "sum", "columns": ["a"], "group_by": ["b"]})),
        behind(json!({"op": "sort_rows", "by": [{"column": "b"}]})),
        behind(json!({"op": "impute", "columns": ["a"], "strategy": "median"})),
        behind(json!({"op": "remove_outliers", "columns": ["a"], "method": "lof"})),
        behind(json!({"op": "add_column", "name": "c", "expression": "repeat(b, 10) || a"})),
    ]
}

fn request(client: &Client, steps: &Value) -> Vec<u8> {
    let row = |n: usize| json!({"a": n, "b": format!("ab{}cd", n % 97)});
    let rows: Vec<Value> = (0..ROWS).map(row).collect();
    let body = json!({"data": rows, "steps": steps}).to_string();
    format!(
        "POST /v1/transform.arrow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        client.key(),
        body.len()
    )
    .into_bytes()
}

async fn used(client: &Client) -> f64 {
    value(
        &client.get("/metrics").await.text(),
        "weir_memory_used_bytes",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dies_soon_after_its_caller_and_the_service_answers_meanwhile() {
    let service = Service::start().await;
    let client = &service.client;
    let (mut slowest, mut health) = (Duration::ZERO, Duration::ZERO);
    for steps in plans() {
        let wire = Wire::send(client, &request(client, &steps)).await;
        let begun = eventually(MOST, async || (used(client).await > 0.0).then_some(()));
        begun.await.unwrap_or_else(|| panic!("{steps} never ran"));
        // Into the thick of it.
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(client.get("/healthz").await.status, 200);
            health = health.max(start.elapsed());
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert!(used(client).await > 0.0, "{steps} has ended by itself");
        let gone = Instant::now();
        drop(wire);
        let ended = eventually(MOST, async || (used(client).await == 0.0).then_some(()));
        ended
            .await
            .unwrap_or_else(|| panic!("{steps} outlives its caller"));
        slowest = slowest.max(gone.elapsed());
    }
    println!("the slowest ended after {slowest:?}; the slowest look at its health took {health:?}");
    assert!(health < Duration::from_secs(1), "{health:?}");
}
