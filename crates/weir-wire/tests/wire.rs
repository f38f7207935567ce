//! What really goes over a socket: a real server, and a client that reads raw
//! bytes, because client libraries hide just what matters here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use futures::{FutureExt, StreamExt, stream};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use weir_core::task::{Compute, Task};
use weir_core::{BatchStream, Error, SourceFault};
use weir_wire::{ContentEncoding, Delivery, Format, Outcome, Rows, RowsOptions, Shape, respond};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]))
}

fn batch(start: i64, rows: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(start..start + rows);
    let texts = StringArray::from_iter_values((0..rows).map(|_| "x".repeat(50)));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(texts)]).unwrap()
}

fn broken() -> Error {
    Error::source(SourceFault::Unavailable, "the connection broke")
}

fn failing() -> BatchStream {
    stream::iter(vec![Ok(batch(0, 3)), Err(broken())]).boxed()
}

fn panicking() -> BatchStream {
    let batches = stream::iter(0..2);
    batches
        .map(|n| {
            if n == 0 {
                Ok(batch(0, 3))
            } else {
                panic!("on purpose")
            }
        })
        .boxed()
}

/// Endless batches; counts those made, and the streams that are alive.
fn endless(made: Arc<AtomicU64>, alive: Arc<AtomicUsize>) -> BatchStream {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    alive.fetch_add(1, Ordering::SeqCst);
    let guard = Guard(alive);
    stream::repeat_with(move || {
        let _alive = &guard;
        made.fetch_add(1, Ordering::SeqCst);
        Ok(batch(0, 1_000))
    })
    .boxed()
}

type Ends = Arc<Mutex<Vec<Outcome>>>;

fn delivery(ends: &Ends) -> Delivery {
    let ends = Arc::clone(ends);
    Delivery {
        kept: Box::new(()),
        compute: Compute::current(),
        first_batch_wait: Duration::from_secs(5),
        stop: futures::future::pending().boxed(),
        memory: weir_core::Account::unbounded(),
        queue_bytes: 256 << 10,
        metadata: vec![("weir.run_id".into(), "r1".into())],
        report: None,
        problem: Box::new(|error| serde_json::json!({ "code": error.stable_code() })),
        on_end: Box::new(move |outcome| ends.lock().push(outcome)),
    }
}

struct Server {
    address: SocketAddr,
    ends: Ends,
    _task: Task<()>,
}

async fn server(
    make: impl Fn() -> BatchStream + Clone + Send + Sync + 'static,
    options: RowsOptions,
) -> Server {
    let ends = Ends::default();
    let heard = Arc::clone(&ends);
    let handler = move || {
        let (rows, delivery) = (
            Rows {
                schema: schema(),
                batches: make(),
            },
            delivery(&heard),
        );
        async move {
            respond(rows, options, delivery)
                .await
                .unwrap_or_else(|error| {
                    let mut response = Response::new(Body::from(error.to_string()));
                    *response.status_mut() = http::StatusCode::FAILED_DEPENDENCY;
                    response
                })
        }
    };
    let socket = TcpSocket::new_v4().unwrap();
    // Little room below the server, so that a reader that stops is felt at once.
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(handler));
    let task = Compute::current().spawn(async move {
        axum::serve(listener, app).await.unwrap();
    });
    Server {
        address,
        ends,
        _task: task,
    }
}

async fn ask(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // A small window, so that a reader that stops is felt at once.
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    stream
}

/// The head, the decoded chunks, and whether the final chunk came.
struct Answer {
    head: String,
    chunks: Vec<Vec<u8>>,
    is_complete: bool,
}

impl Answer {
    fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

async fn fetch(address: SocketAddr) -> Answer {
    read(ask(address).await).await
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut raw = Vec::new();
    // An aborted connection may end in a reset; what came before still counts.
    let _reset = stream.read_to_end(&mut raw).await;
    let split = raw
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(raw[..split].to_vec())
        .unwrap()
        .to_ascii_lowercase();
    let mut rest = &raw[split + 4..];
    let mut answer = Answer {
        head,
        chunks: Vec::new(),
        is_complete: false,
    };
    if !answer.head.contains("transfer-encoding: chunked") {
        answer.chunks.push(rest.to_vec());
        return answer;
    }
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            answer.is_complete = true;
            break;
        }
        let start = line + 2;
        answer.chunks.push(rest[start..start + size].to_vec());
        rest = &rest[start + size + 2..];
    }
    answer
}

async fn one_end(ends: &Ends) -> Outcome {
    for _ in 0..500 {
        if let Some(end) = ends.lock().pop() {
            return end;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody heard of the end");
}

fn options(format: Format) -> RowsOptions {
    RowsOptions::new(format)
}

fn fine() -> BatchStream {
    stream::iter(vec![Ok(batch(0, 3)), Ok(batch(3, 2))]).boxed()
}

fn ends_in_poison(body: &[u8]) -> bool {
    body.ends_with(&weir_formats::ipc::POISON)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_answers_are_whole() {
    let server = server(fine, options(Format::Json)).await;
    let answer = fetch(server.address).await;
    assert!(answer.is_complete);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&answer.body()).unwrap();
    assert_eq!((rows.len(), rows[4]["id"].as_i64()), (5, Some(4)));
    for header in [
        "content-type: application/json",
        "weir-format: json",
        "vary: accept, accept-encoding, authorization",
        "cache-control: no-store",
        "accept-ranges: none",
        "x-content-type-options: nosniff",
    ] {
        assert!(answer.head.contains(header), "{header} in {}", answer.head);
    }
    let end = one_end(&server.ends).await;
    assert_eq!(
        (end.rows, end.cancelled, end.error.is_none()),
        (5, false, true)
    );
    assert_eq!(end.bytes, answer.body().len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_result_has_a_schema() {
    let none = || stream::empty().boxed();
    let answer = fetch(server(none, options(Format::Arrow)).await.address).await;
    let body = answer.body();
    let reader = arrow::ipc::reader::StreamReader::try_new(&body[..], None).unwrap();
    assert_eq!(reader.schema().metadata()["weir.run_id"], "r1");
    assert_eq!(reader.schema().fields(), schema().fields());
    assert_eq!(reader.count(), 0);
    assert!(answer.is_complete);
    let answer = fetch(server(none, options(Format::Json)).await.address).await;
    assert_eq!(answer.body(), b"[]\n");
    let answer = fetch(server(none, options(Format::Ndjson)).await.address).await;
    assert!(answer.is_complete && answer.body().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_failure_keeps_its_status() {
    let fail = || stream::iter(vec![Err(broken())]).boxed();
    let server = server(fail, options(Format::Arrow)).await;
    let answer = fetch(server.address).await;
    assert!(answer.head.starts_with("http/1.1 424"), "{}", answer.head);
    assert_eq!(answer.body(), b"the connection broke");
    assert!(
        server.ends.lock().is_empty(),
        "who gets the error needs no outcome"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_failure_is_never_a_short_success() {
    for format in Format::ALL {
        let server = server(failing, options(format)).await;
        let answer = fetch(server.address).await;
        assert!(answer.head.starts_with("http/1.1 200"));
        assert!(!answer.is_complete, "{format:?} ended cleanly");
        let end = one_end(&server.ends).await;
        assert_eq!((end.rows, end.cancelled), (3, false));
        assert_eq!(end.error.unwrap().message(), "the connection broke");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_aborts_the_body() {
    let server = server(panicking, options(Format::Json)).await;
    let answer = fetch(server.address).await;
    assert!(!answer.is_complete);
    let end = one_end(&server.ends).await;
    assert_eq!(end.error.unwrap().stable_code(), "panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_arrow_stream_is_poisoned_in_a_chunk_of_its_own() {
    let answer = fetch(server(failing, options(Format::Arrow)).await.address).await;
    assert_eq!(answer.chunks.last().unwrap()[..], weir_formats::ipc::POISON);
    assert!(ends_in_poison(&answer.body()));
    let body = answer.body();
    let mut reader = arrow::ipc::reader::StreamReader::try_new(&body[..], None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().num_rows(), 3);
    assert!(
        reader.next().unwrap().is_err(),
        "the reader must not take it for the end"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_at_the_end_of_an_arrow_stream_has_it_all() {
    for (reads_all, rows) in [(true, 3), (false, 9)] {
        let ends = Ends::default();
        let batches = (0..rows / 3).map(|n| Ok(batch(n * 3, 3)));
        let rows = Rows {
            schema: schema(),
            batches: stream::iter(batches.collect::<Vec<_>>()).boxed(),
        };
        let answer = respond(rows, options(Format::Arrow), delivery(&ends)).await;
        let mut body = answer.unwrap().into_body();
        let mut read = Vec::new();
        while !read.ends_with(&[255, 255, 255, 255, 0, 0, 0, 0]) {
            let frame = body.frame().await.unwrap().unwrap();
            read.extend_from_slice(frame.data_ref().unwrap());
            if !reads_all {
                break;
            }
        }
        // The end of the body is on its way by then, and nobody waits for it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(body);
        assert_eq!(one_end(&ends).await.cancelled, !reads_all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_poison_waits_for_a_reader_that_stands_still() {
    // More than the socket takes, and less than the server would keep.
    let failing = || {
        let batches = (0..4).map(|n| Ok(batch(n * 1_000, 1_000)));
        stream::iter(batches.chain([Err(broken())])).boxed()
    };
    let server = server(failing, options(Format::Arrow)).await;
    let client = ask(server.address).await;
    let end = one_end(&server.ends).await;
    assert_eq!((end.rows, end.error.is_some()), (4_000, true));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answer = read(client).await;
    assert!(!answer.is_complete && ends_in_poison(&answer.body()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_poison_comes_through_compression() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let options = RowsOptions {
            content_encoding: Some(encoding),
            ..options(Format::Arrow)
        };
        let answer = fetch(server(failing, options).await.address).await;
        assert!(
            answer
                .head
                .contains(&format!("content-encoding: {}", encoding.name()))
        );
        let packed = answer.body();
        let mut body = Vec::new();
        // The stream was never finished, so the decoder complains at the end.
        let outcome = match encoding {
            ContentEncoding::Gzip => {
                flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body)
            }
            ContentEncoding::Zstd => zstd::stream::read::Decoder::new(&packed[..])
                .unwrap()
                .read_to_end(&mut body),
        };
        assert!(outcome.is_err(), "{encoding:?} looks complete");
        assert!(ends_in_poison(&body), "{encoding:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_answers_read_back() {
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let options = RowsOptions {
            content_encoding: Some(encoding),
            shape: Shape::Arrays,
            ..options(Format::Json)
        };
        let packed = fetch(server(fine, options.clone()).await.address)
            .await
            .body();
        let mut text = String::new();
        match encoding {
            ContentEncoding::Gzip => {
                flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text)
            }
            ContentEncoding::Zstd => zstd::stream::read::Decoder::new(&packed[..])
                .unwrap()
                .read_to_string(&mut text),
        }
        .unwrap();
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(&text).unwrap();
        assert_eq!((rows.len(), rows[0][0].as_str()), (6, Some("id")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ndjson_says_how_it_ended_when_asked() {
    let options = RowsOptions {
        end_marker: true,
        ..options(Format::Ndjson)
    };
    let last = |answer: &Answer| {
        let text = String::from_utf8(answer.body()).unwrap();
        serde_json::from_str::<serde_json::Value>(text.lines().last().unwrap()).unwrap()
    };
    let answer = fetch(server(fine, options.clone()).await.address).await;
    assert_eq!(
        last(&answer),
        serde_json::json!({ "$weir": { "status": "succeeded", "rows": 5 } })
    );
    let answer = fetch(server(failing, options).await.address).await;
    let failed =
        serde_json::json!({ "status": "failed", "rows": 3, "problem": { "code": "unavailable" } });
    assert_eq!(last(&answer)["$weir"], failed);
    assert!(!answer.is_complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_source_and_a_gone_one_stops_it() {
    // Parquet holds a whole row group back before any of it leaves.
    let streamed = Format::ALL
        .into_iter()
        .filter(|format| *format != Format::Parquet);
    for format in streamed {
        let (made, alive) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, living) = (Arc::clone(&made), Arc::clone(&alive));
        let make = move || endless(Arc::clone(&count), Arc::clone(&living));
        let server = server(make, options(format)).await;
        let mut client = ask(server.address).await;
        let mut some = [0; 1024];
        client.read_exact(&mut some).await.unwrap();
        let settled = settle(&made).await;
        // About 70 KB a batch: the queue, the server's and the kernel's buffers.
        assert!(
            settled < 200,
            "{format:?} made {settled} batches for a reader that stands still"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(made.load(Ordering::SeqCst), settled, "{format:?} went on");
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        drop(client);
        let end = one_end(&server.ends).await;
        assert!(end.cancelled && end.error.is_none());
        for _ in 0..200 {
            if alive.load(Ordering::SeqCst) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            alive.load(Ordering::SeqCst),
            0,
            "{format:?}: the scan was not dropped"
        );
    }
}

/// The count once it has stood still for a while.
async fn settle(made: &AtomicU64) -> u64 {
    let mut last = made.load(Ordering::SeqCst);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = made.load(Ordering::SeqCst);
        if now == last {
            return now;
        }
        last = now;
    }
    panic!("the producer never stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_row_in_time_there_is_an_error_and_no_answer() {
    let ends = Ends::default();
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let late = async move {
        let _held = held;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Err(broken())
    };
    let rows = Rows {
        schema: schema(),
        batches: stream::once(late).boxed(),
    };
    let patient = Delivery {
        first_batch_wait: Duration::from_millis(20),
        ..delivery(&ends)
    };
    let error = respond(rows, options(Format::Arrow), patient)
        .await
        .unwrap_err();
    assert_eq!(error.stable_code(), "first_batch_timeout");
    assert!(
        ends.lock().is_empty(),
        "the caller of respond has the error"
    );
    for _ in 0..100 {
        if Arc::strong_count(&dropped) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the read goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_stops_when_told_although_the_client_does_not_read() {
    let ends = Ends::default();
    let source = Arc::new(());
    let held = Arc::clone(&source);
    let endless = stream::repeat_with(move || {
        let _held = &held;
        Ok(batch(0, 1_000))
    });
    let rows = Rows {
        schema: schema(),
        batches: endless.boxed(),
    };
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let stop = async move {
        let _ = told.await;
        Error::new(weir_core::Kind::Cancelled, "the request was cancelled")
    };
    let watched = Delivery {
        stop: stop.boxed(),
        ..delivery(&ends)
    };
    let response = respond(rows, options(Format::Ndjson), watched)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ends.lock().is_empty() && Arc::strong_count(&source) == 2);
    tell.send(()).unwrap();
    let end = one_end(&ends).await;
    assert_eq!(end.error.unwrap().kind(), weir_core::Kind::Cancelled);
    assert_eq!(Arc::strong_count(&source), 1, "the source is let go");
    // And the client, once it reads, sees that it broke off.
    let mut body = response.into_body().into_data_stream();
    let end = loop {
        match body.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))), "it must not end cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_larger_than_the_queue_passes_alone() {
    let ends = Ends::default();
    let rows = Rows {
        schema: schema(),
        batches: stream::iter(vec![Ok(batch(0, 5_000))]).boxed(),
    };
    let narrow = Delivery {
        memory: weir_core::Account::unbounded(),
        queue_bytes: 10,
        ..delivery(&ends)
    };
    let response = respond(rows, options(Format::Ndjson), narrow)
        .await
        .unwrap();
    let body = axum::body::to_bytes(response.into_body(), 1 << 30)
        .await
        .unwrap();
    assert_eq!(body.iter().filter(|b| **b == b'\n').count(), 5_000);
    assert_eq!(one_end(&ends).await.rows, 5_000);
}
