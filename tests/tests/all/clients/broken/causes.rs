//! Ways in which a load fails after its first byte.

use serde_json::json;
use weir_tests::fault::{Fault, FaultProxy};
use weir_tests::{Client, Database};

/// A failure, and what the run must say of it.
#[derive(Debug)]
pub struct Cause {
    /// Its name in the table.
    pub name: &'static str,
    /// How it is brought about.
    pub how: &'static str,
    /// The code in the record of the run; none for rows that all come.
    pub code: Option<&'static str>,
    /// Source and stream, and what else stands in the query string.
    pub source: &'static str,
    pub stream: &'static str,
    pub more: &'static str,
    /// Every client is asked, in every way; else a few are.
    pub by_all: bool,
}

/// Batches of a thousand rows, of which a few have left when it happens.
pub static CAUSES: [Cause; 8] = [
    Cause {
        name: "none",
        how: "all rows come: no client may report anything",
        code: None,
        source: "direct",
        stream: "few",
        more: "",
        by_all: true,
    },
    Cause {
        name: "connection cut",
        how: "the connection to the source is closed in mid-stream",
        code: Some("unavailable"),
        source: "cut",
        stream: "many",
        more: "",
        by_all: true,
    },
    Cause {
        name: "connection reset",
        how: "the connection to the source is reset in mid-stream",
        code: Some("unavailable"),
        source: "reset",
        stream: "many",
        more: "",
        by_all: false,
    },
    Cause {
        name: "silence",
        how: "nothing comes from the source any more, until `timeout_ms` has passed",
        code: Some("deadline"),
        source: "silent",
        stream: "many",
        more: "&timeout_ms=5000",
        by_all: false,
    },
    Cause {
        name: "backend killed",
        how: "`pg_terminate_backend` ends the server process that sends the rows",
        code: Some("unavailable"),
        source: "direct",
        stream: "killed",
        more: "",
        by_all: true,
    },
    Cause {
        name: "query fails",
        how: "a division by zero in a late row",
        code: Some("data"),
        source: "direct",
        stream: "raises",
        more: "",
        by_all: false,
    },
    Cause {
        name: "value",
        how: "a late value that its column cannot hold (`infinity` in a date, `unrepresentable: error`)",
        code: Some("unrepresentable"),
        source: "direct",
        stream: "value",
        more: "",
        by_all: true,
    },
    Cause {
        name: "limit",
        how: "more rows than the service allows (`WEIR_LOAD_ROWS`)",
        code: Some("load_rows"),
        source: "direct",
        stream: "many",
        more: "",
        by_all: false,
    },
];

/// More than the causes before it need, fewer than `many` has.
pub const LOAD_ROWS: &str = "4000";

const VIEWS: &str = "
    create view numbers as select n, repeat('x', 60) as filler from generate_series(1, 20000) n;
    create view raises as select *, 1 / (3000 - n) as v from numbers;
    create view value as
        select *, case when n = 3000 then 'infinity'::date else '2020-01-01'::date end as v from numbers;
    create view killed as
        select *, case when n = 3000 then pg_terminate_backend(pg_backend_pid()) end as v from numbers;
    create view many as select *, n as v from numbers;
    create view few as select *, n as v from numbers limit 1500";

/// Bytes of a source that come through before its connection fails.
const AFTER: u64 = 250_000;

/// The sources of the causes; they work while this lives.
pub struct Sources {
    _proxies: Vec<FaultProxy>,
    _database: Database,
}

impl Sources {
    pub async fn register(client: &Client) -> Self {
        let database = Database::with(VIEWS).await;
        let mut direct = database.config();
        direct["unrepresentable"] = json!("error");
        direct["pool"] = json!({"max": 20});
        client.register_config("direct", direct.clone()).await;
        let faults = [
            ("cut", Fault::Cut),
            ("reset", Fault::Reset),
            ("silent", Fault::Silence),
        ];
        let mut proxies = Vec::new();
        for (name, fault) in faults {
            let proxy = FaultProxy::start(fault, AFTER);
            let mut config = direct.clone();
            config["port"] = json!(proxy.port);
            client.register_config(name, config).await;
            proxies.push(proxy);
        }
        Sources {
            _proxies: proxies,
            _database: database,
        }
    }
}
