//! Servers that do not mean well: they ask for what nobody offered, and lie about
//! lengths. They get nothing, and nothing of ours falls over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_core::{Context, Deadline, Kind, OpenSource, Rows, StreamId, Write, WriteMode};

use crate::support::{context, failure, open, query, stream};

/// A value that must not leave.
const SECRET: i64 = 0x5ec2_e7ff_0dd5_7a1e;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Lets everybody in, then answers every message with `answer`. Gives what it heard
/// after the login.
async fn rogue(answer: Vec<u8>) -> (OpenSource, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let serve = async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (answer, heard) = (answer.clone(), Arc::clone(&kept));
            context()
                .compute
                .spawn(talk(socket, answer, heard))
                .detach();
        }
    };
    context().compute.spawn(serve).detach();
    let config = json!({
        "host": "127.0.0.1", "port": port, "database": "d", "user": "u", "tls": {"mode": "disable"},
        "connect_timeout_seconds": 5
    });
    (open(config).await.unwrap(), heard)
}

async fn talk(mut socket: TcpStream, answer: Vec<u8>, heard: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 << 10];
    let Ok(1..) = socket.read(&mut buffer).await else {
        return;
    };
    let mut hello = message(b'R', &0_i32.to_be_bytes());
    hello.extend(message(b'S', b"server_encoding\0UTF8\0"));
    hello.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    hello.extend(message(b'Z', b"I"));
    if socket.write_all(&hello).await.is_err() {
        return;
    }
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        heard.lock().unwrap().extend_from_slice(&buffer[..count]);
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let copy_in = message(b'G', &[1, 0, 1, 0, 1]);
    let ready = message(b'Z', b"T");
    let with_ready = |mut bytes: Vec<u8>| {
        bytes.extend(&ready);
        bytes
    };
    let long = |tag: u8, length: i32| {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 64]);
        bytes
    };
    vec![
        ("copy-in, unasked", copy_in.clone()),
        ("copy-in and ready", with_ready(copy_in)),
        ("copy both ways", message(b'W', &[1, 0, 0])),
        ("a length below zero", long(b'T', -5)),
        ("a length of nothing", long(b'C', 0)),
        ("a length of two gigabytes", long(b'D', i32::MAX)),
        ("columns without end", message(b'T', &[0xff, 0xff, b'a', 0])),
        (
            "fields longer than their row",
            with_ready(message(b'D', &[0, 1, 0x7f, 0xff, 0xff, 0xff, 1])),
        ),
        ("an error without an end", message(b'E', b"SERROR\0C")),
        ("a tag that is none", message(0xfe, b"????")),
        ("nothing but noise", vec![0xff; 4_096]),
    ]
}

fn secret_rows() -> Rows {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![SECRET; 100]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    Rows {
        schema: batch.schema(),
        batches: futures::stream::iter(vec![Ok(batch)]).boxed(),
    }
}

fn has_secret(heard: &Mutex<Vec<u8>>) -> bool {
    let heard = heard.lock().unwrap();
    heard.windows(8).any(|bytes| bytes == SECRET.to_be_bytes())
}

fn hurried() -> Context {
    Context {
        deadline: Deadline::after(Duration::from_secs(4)),
        ..context()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_asked_for_is_an_error_and_nothing_leaves() {
    for (what, answer) in answers() {
        let (source, heard) = rogue(answer).await;
        let reading = async {
            for read in [stream("t"), query("select 1", Vec::new())] {
                failure(&source, &read).await;
            }
        };
        // A peer that says it will send more is waited for, no longer than the call may take.
        let read = tokio::time::timeout(Duration::from_secs(3), reading).await;
        let is_waiting =
            what.contains("gigabytes") || what.contains("noise") || what.contains("without");
        assert!(read.is_ok() || is_waiting, "{what}");
        for mode in [WriteMode::Append, WriteMode::Replace] {
            let write = Write::new(StreamId::from_parts(["t"]), mode);
            let outcome = source.write(&hurried(), &write, secret_rows()).await;
            let error = outcome.unwrap_err();
            assert_ne!(error.kind(), Kind::Internal, "{what}: {error:?}");
        }
        // It was never told where the rows would be taken: no statement of ours was answered.
        assert!(
            !has_secret(&heard),
            "{what}: rows were sent to who asked for them unasked"
        );
    }
}
