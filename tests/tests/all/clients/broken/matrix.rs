//! Who asks, for what, and how.

use serde_json::{Value, json};
use weir_tests::{Client, setting};

use super::causes::{CAUSES, Cause};

/// The program, the client, versions of HTTP, formats, codings, and whether it
/// is one of the few that are asked whatever the cause. `lz4` and `zstd-buffers`
/// are Arrow's own, `own` is what the client asks for by itself. Python's clients
/// and Node know no zstd.
const READERS: &str = "
python  | curl                                | 1.1 2 | json ndjson csv arrow   | identity gzip zstd         | few
python  | curl                                | 1.1 2 | arrow                   | lz4-buffers zstd-buffers   | few
python  | curl                                | 1.1 2 | parquet ndjson+marker   | identity                   | few
python  | requests                            | 1.1   | json ndjson csv         | identity gzip              |
python  | requests                            | 1.1   | arrow parquet           | identity                   |
python  | httpx                               | 1.1 2 | json ndjson csv         | identity gzip              |
python  | httpx                               | 1.1 2 | arrow                   | identity gzip lz4-buffers  | few
python  | httpx                               | 1.1 2 | parquet                 | identity                   |
python  | pyarrow over urllib                 | 1.1   | arrow                   | identity lz4-buffers zstd-buffers | few
python  | pyarrow over requests.raw           | 1.1   | arrow                   | identity gzip lz4-buffers zstd-buffers |
python  | polars read_ipc_stream              | 1.1   | arrow                   | identity lz4-buffers zstd-buffers | few
python  | pandas read_csv                     | 1.1   | csv                     | identity gzip              | few
python  | pandas read_json                    | 1.1   | json                    | identity gzip              |
python  | pandas read_json lines              | 1.1   | ndjson                  | identity gzip              |
python  | pandas read_parquet                 | 1.1   | parquet                 | identity                   | few
python  | curl to a file, pyarrow             | 1.1 2 | arrow                   | identity gzip zstd lz4-buffers zstd-buffers | few
python  | curl to a file, polars              | 1.1 2 | arrow                   | identity                   |
python  | curl to a file, json                | 1.1 2 | json                    | identity gzip              |
python  | curl to a file, last line           | 1.1 2 | ndjson+marker           | identity gzip zstd         | few
python  | curl to a file, duckdb read_parquet | 1.1 2 | parquet                 | identity                   |
python  | curl to a file, duckdb read_json    | 1.1 2 | json                    | identity                   |
python  | curl to a file, duckdb read_ndjson  | 1.1 2 | ndjson                  | identity                   |
python  | curl to a file, duckdb read_csv     | 1.1 2 | csv                     | identity                   |
python  | curl to a .gz file, pandas read_csv | 1.1 2 | csv                     | gzip                       |
node    | Node fetch                          | 1.1   | json ndjson csv         | identity gzip              |
node    | Node fetch                          | 1.1   | arrow parquet           | identity                   | few
node    | Node http2                          | 2     | json ndjson csv arrow   | identity gzip              |
node    | arrow-js tableFromIPC               | 1.1   | arrow                   | identity gzip              | few
node    | arrow-js RecordBatchReader          | 1.1   | arrow                   | identity gzip              |
node    | curl to a file, arrow-js            | 1.1   | arrow                   | identity gzip zstd         | few
browser | Chromium fetch                      | 1.1   | ndjson csv parquet      | own                        | few
browser | Chromium fetch json                 | 1.1   | json                    | own                        | few
browser | Chromium fetch, arrow-js            | 1.1   | arrow                   | own                        | few
";

/// One request.
#[derive(Debug, Clone)]
pub struct Case {
    /// What runs the client: `python`, `node` or `browser`.
    pub program: &'static str,
    pub cause: &'static Cause,
    pub client: &'static str,
    pub http: &'static str,
    pub format: &'static str,
    pub coding: &'static str,
    /// The id of its run, chosen by the caller.
    pub run: String,
}

/// The requests to make. Each way to ask meets one cause of the three that all
/// meet and, where it is one of the few, one of the others; with
/// `WEIR_TEST_BROKEN=all` each of them. Each client also gets whole rows.
pub fn cases() -> Vec<Case> {
    let is_all = setting("WEIR_TEST_BROKEN").is_some_and(|given| given == "all");
    let mut cases = Vec::new();
    let mut number = 0;
    for line in READERS.trim().lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [program, client, versions, formats, codings, few] = cells[..] else {
            panic!("{line}");
        };
        for http in versions.split_whitespace() {
            for format in formats.split_whitespace() {
                for (index, coding) in codings.split_whitespace().enumerate() {
                    let causes = causes(number, is_all, few == "few", index == 0);
                    cases.extend(causes.map(|cause| Case {
                        program,
                        cause,
                        client,
                        http,
                        format,
                        coding,
                        run: uuid::Uuid::new_v4().to_string(),
                    }));
                    number += 1;
                }
            }
        }
    }
    cases
}

fn causes(
    number: usize,
    is_all: bool,
    is_few: bool,
    is_first: bool,
) -> impl Iterator<Item = &'static Cause> {
    let for_all = CAUSES
        .iter()
        .filter(|cause| cause.code.is_some() && cause.by_all);
    let for_few = CAUSES.iter().filter(|cause| !cause.by_all);
    let none = CAUSES.iter().filter(|cause| cause.code.is_none());
    let one = move |(index, cause), of| (is_all || index == number % of).then_some(cause);
    let for_all = for_all.enumerate().filter_map(move |entry| one(entry, 3));
    let for_few = for_few.enumerate().filter_map(move |entry| one(entry, 4));
    let few = if is_few { usize::MAX } else { 0 };
    let control = if is_all || is_first { usize::MAX } else { 0 };
    for_all.chain(for_few.take(few)).chain(none.take(control))
}

impl Case {
    /// As the scripts in `tests/clients/broken` take it.
    pub fn to_json(&self, client: &Client) -> Value {
        let (format, marker) = match self.format.split_once('+') {
            Some((format, _)) => (format, "&end_marker=true"),
            None => (self.format, ""),
        };
        let compression = match self.coding.strip_suffix("-buffers") {
            Some(codec) => format!("&compression={codec}"),
            None => String::new(),
        };
        let Cause {
            source,
            stream,
            more,
            ..
        } = self.cause;
        let base = client.base();
        json!({
            "client": self.client,
            "http": self.http,
            "coding": self.coding,
            "run": self.run,
            "key": client.key(),
            "url": format!(
                "{base}/v1/sources/{source}/load.{format}?stream={stream}&batch_rows=1000{more}{marker}{compression}"
            ),
        })
    }

    /// Whether there is nothing by which this reader could tell: a file of
    /// lines without a second proof, saved by a program whose exit code nobody
    /// has looked at.
    pub fn is_blind(&self) -> bool {
        self.client.starts_with("curl to a file") && ["csv", "ndjson"].contains(&self.format)
    }
}
