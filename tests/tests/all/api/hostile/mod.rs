//! Bytes that mean harm, as bodies and as files: each is a clear refusal in
//! bounded memory, and the service answers afterwards.
//!
//! Every case is built here when the test runs. `docs/HOSTILE-INPUT.md` lists
//! them; the test holds the two together.

mod arrow;
mod parquet;
mod sheets;
mod text;
mod thrift;

use std::io::Write as _;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use weir_tests::client::Call;
use weir_tests::{Client, Confined, report};

use super::sources::files::Place;

/// An answer that began with rows and broke off.
const CUT: &str = "broken off";

/// What the service may use in all.
const LIMIT: u64 = 512 << 20;

/// What one case may make it grow by.
const GROWTH: u64 = 128 << 20;

/// Bytes: a head, something many times over, and a tail.
#[derive(Clone)]
pub struct Content {
    pub head: Vec<u8>,
    pub unit: Vec<u8>,
    pub times: usize,
    pub tail: Vec<u8>,
}

impl Content {
    fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let (head, tail) = (
            Bytes::from(self.head.clone()),
            Bytes::from(self.tail.clone()),
        );
        let unit = Bytes::from(self.unit.clone());
        let units = std::iter::repeat_n(unit, self.times);
        std::iter::once(head).chain(units).chain([tail])
    }
}

impl From<Vec<u8>> for Content {
    fn from(head: Vec<u8>) -> Self {
        Content {
            head,
            unit: Vec::new(),
            times: 0,
            tail: Vec::new(),
        }
    }
}

/// An answer: its status and code; 200 has none.
type Expected = (u16, &'static str);

/// One case.
pub struct Case {
    pub name: &'static str,
    pub content: Content,
    /// As a body: media type, encoding, and the answer.
    pub body: Option<(&'static str, Option<&'static str>, Expected)>,
    /// As a file: its name, and the answer of preview and load.
    pub file: Option<(&'static str, Expected)>,
    /// What a preview of the file answers, where that is not what a load does.
    pub preview: Option<Expected>,
    /// Rows that are asked of the file.
    pub limit: Option<u64>,
}

impl Case {
    pub fn new(name: &'static str, content: impl Into<Content>) -> Self {
        Case {
            name,
            content: content.into(),
            body: None,
            file: None,
            preview: None,
            limit: None,
        }
    }

    pub fn body(self, media: &'static str, status: u16, code: &'static str) -> Self {
        let body = Some((media, None, (status, code)));
        Case { body, ..self }
    }

    pub fn packed(self, media: &'static str, how: &'static str, expected: Expected) -> Self {
        let body = Some((media, Some(how), expected));
        Case { body, ..self }
    }

    pub fn file(self, name: &'static str, status: u16, code: &'static str) -> Self {
        let file = Some((name, (status, code)));
        Case { file, ..self }
    }
}

impl Case {
    /// Only these rows of the file, which can be read.
    pub fn rows(self, limit: u64) -> Self {
        let limit = Some(limit);
        Case { limit, ..self }
    }

    /// A preview answers this, and a load what a file does.
    pub fn preview(self, status: u16, code: &'static str) -> Self {
        let preview = Some((status, code));
        Case { preview, ..self }
    }
}

fn cases() -> Vec<Case> {
    let mut all = arrow::cases();
    all.extend(parquet::cases());
    all.extend(sheets::cases());
    all.extend(text::cases());
    all
}

/// What came of a case.
struct Line {
    name: &'static str,
    way: &'static str,
    got: (u16, String),
    wanted: Expected,
    millis: u128,
    growth: u64,
}

/// Status and code of an answer; one that began and broke off has no other.
async fn heard(call: Call<'_>) -> (u16, String) {
    let answer = call.open().await;
    let status = answer.status().as_u16();
    let code = answer.headers().get("weir-error-code");
    let code = code.map_or("", |code| code.to_str().unwrap()).to_owned();
    let mut body = answer.bytes_stream();
    while let Some(piece) = body.next().await {
        if piece.is_err() {
            return (status, CUT.to_owned());
        }
    }
    (status, code)
}

struct Run<'a> {
    place: &'a Place,
    lines: Vec<Line>,
    peak: u64,
}

impl Run<'_> {
    async fn measured(&mut self, case: &Case, way: &'static str, wanted: Expected, call: Call<'_>) {
        let before = self.place.service.forget_peak();
        let start = Instant::now();
        let got = heard(call).await;
        let peak = self.place.service.peak_memory();
        self.peak = self.peak.max(peak);
        let line = Line {
            name: case.name,
            way,
            got,
            wanted,
            millis: start.elapsed().as_millis(),
            growth: peak.saturating_sub(before),
        };
        println!("{}", shown(&line));
        self.lines.push(line);
    }

    async fn case(&mut self, case: &Case) {
        let place = self.place;
        // A connection of its own: after a refusal the service closes it, with
        // the rest of the body unread.
        let known = place.client();
        let client = Client::new(known.base(), Some(known.key().to_owned()));
        if let Some((media, packing, wanted)) = case.body {
            let pieces = case.content.pieces().map(Ok::<_, std::io::Error>);
            let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
            let call = client.call(Method::POST, "/v1/transform.ndjson");
            let mut call = call.header("content-type", media).body(body);
            if let Some(packing) = packing {
                call = call.header("content-encoding", packing);
            }
            self.measured(case, "body", wanted, call).await;
        }
        if let Some((name, wanted)) = case.file {
            let path = place.root().join(name);
            let mut file = std::fs::File::create(&path).unwrap();
            case.content
                .pieces()
                .for_each(|piece| file.write_all(&piece).unwrap());
            drop(file);
            let mut ask = json!({"stream": name});
            if let Some(limit) = case.limit {
                ask["limit"] = limit.into();
            }
            for way in ["preview", "load"] {
                let of_preview = case.preview.filter(|_| way == "preview");
                let wanted = of_preview.unwrap_or(wanted);
                let url = format!("/v1/sources/f/{way}.ndjson");
                let client = Client::new(known.base(), Some(known.key().to_owned()));
                let call = client.call(Method::POST, &url).json(&ask);
                self.measured(case, way, wanted, call).await;
            }
            std::fs::remove_file(path).unwrap();
        }
        let rows = json!([{"id": 1}]);
        let client = Client::new(known.base(), Some(known.key().to_owned()));
        let healthy = client.post("/v1/transform.ndjson", &rows).await;
        assert_eq!(
            (healthy.status, healthy.text().trim()),
            (200, "{\"id\":1}"),
            "{}",
            case.name
        );
    }
}

fn shown(line: &Line) -> String {
    let (status, code) = &line.got;
    let mib = line.growth as f64 / f64::from(1 << 20);
    let (name, way, millis) = (line.name, line.way, line.millis);
    format!("{name:<46} {way:<8} {status:>6} {code:<22} {millis:>6} {mib:>8.1}")
}

/// `unit`, packed as gzip, this many times over: packed once, since packing
/// takes longer than all the rest.
fn gzipped(unit: &[u8], times: usize) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(unit).unwrap();
    packer.finish().unwrap().repeat(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_refused_in_bounded_memory() {
    let place = Place::new().await;
    let group = Confined::enter(place.service.pid(), LIMIT);
    let kind = group.as_ref().map_or("measured only", Confined::kind);
    report::note(&format!("memory limit of 512 MiB: {kind}"));
    let mut run = Run {
        place: &place,
        lines: Vec::new(),
        peak: 0,
    };
    println!(
        "{:<46} {:<8} {:>6} {:<22} {:>6} {:>8}",
        "case", "way", "status", "code", "ms", "MiB"
    );
    let cases = cases();
    let only = weir_tests::setting("WEIR_TEST_HOSTILE").unwrap_or_default();
    for case in cases.iter().filter(|case| case.name.starts_with(&only)) {
        run.case(case).await;
    }
    let (lines, peak) = (run.lines, run.peak);
    println!(
        "{} cases, {} answers, peak {} MiB, limit of 512 MiB: {kind}",
        cases.len(),
        lines.len(),
        peak >> 20
    );
    if let Some(group) = &group {
        let most = group.peak().unwrap_or_default() >> 20;
        println!("with page cache {most} MiB, {} killed", group.kills());
    }
    let wrong = lines.iter().filter(|line| {
        let is_as_said = (line.got.0, line.got.1.as_str()) == line.wanted;
        !is_as_said || line.growth > GROWTH
    });
    let wrong: Vec<String> = wrong
        .map(|line| {
            format!(
                "{} as {}: {:?}, {} MiB",
                line.name,
                line.way,
                line.got,
                line.growth >> 20
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(peak < LIMIT);
    assert_eq!(group.as_ref().map_or(0, Confined::kills), 0);
    let metrics = place.client().get("/metrics").await.text();
    let panics = metrics
        .lines()
        .find(|line| line.starts_with("weir_panics_total"));
    assert_eq!(panics, Some("weir_panics_total 0"));
}

#[test]
fn the_page_lists_every_case() {
    let page = include_str!("../../../../../docs/HOSTILE-INPUT.md");
    let rows: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| case |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let row = |case: &Case| {
        let shown = |(status, code): Expected| match code {
            "" => status.to_string(),
            CUT => format!("{status}, {CUT}"),
            code => format!("{status} `{code}`"),
        };
        let body = case
            .body
            .map_or_else(String::new, |(_, _, expected)| shown(expected));
        let file = case
            .file
            .map_or_else(String::new, |(_, expected)| shown(expected));
        let file = match case.preview {
            Some(preview) => format!("preview {}, load {file}", shown(preview)),
            None => file,
        };
        format!("| {} | {body} | {file} |", case.name)
    };
    let wanted: Vec<String> = cases().iter().map(row).collect();
    assert!(cases().len() >= 30);
    assert_eq!(
        rows,
        wanted,
        "write these rows into docs/HOSTILE-INPUT.md:\n{}",
        wanted.join("\n")
    );
}
