//! Servers that do not mean well: they ask for files, for passwords in the clear,
//! and lie about lengths. They get nothing, and nothing of ours falls over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_core::{Context, Deadline, OpenSource, TestReport};

use crate::support::{context, failure, open, query};

const PASSWORD: &str = "s3cret passw0rd";

fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(number);
    bytes.extend_from_slice(content);
    bytes
}

fn greeting(plugin: &str) -> Vec<u8> {
    let mut hello = b"\x0a8.0.99\0\x01\0\0\0abcdefgh\0".to_vec();
    // No TLS, but everything else.
    let capabilities: u32 = 0x008f_f7ff & !(1 << 11);
    hello.extend_from_slice(&capabilities.to_le_bytes()[..2]);
    hello.extend_from_slice(&[45, 2, 0]);
    hello.extend_from_slice(&capabilities.to_le_bytes()[2..]);
    hello.push(21);
    hello.extend_from_slice(&[0; 10]);
    hello.extend_from_slice(b"ijklmnopqrst\0");
    hello.extend_from_slice(plugin.as_bytes());
    hello.push(0);
    packet(0, &hello)
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const FILE: &[u8] = b"\xfb/etc/passwd";

/// What a server answers: to the login, to so many packets honestly, then evil.
#[derive(Clone)]
struct Plan {
    greeting: Vec<u8>,
    login: Vec<u8>,
    honest: usize,
    evil: Vec<u8>,
}

async fn rogue(plan: Plan, mode: &str) -> (OpenSource, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let serve = async move {
        while let Ok((socket, _)) = listener.accept().await {
            context()
                .compute
                .spawn(talk(socket, plan.clone(), Arc::clone(&kept)))
                .detach();
        }
    };
    context().compute.spawn(serve).detach();
    let config = json!({"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "password": PASSWORD,
        "tls": {"mode": mode}, "connect_timeout_seconds": 3});
    (open(config).await.unwrap(), heard)
}

async fn talk(mut socket: TcpStream, plan: Plan, heard: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 << 10];
    if socket.write_all(&plan.greeting).await.is_err() {
        return;
    }
    for turn in 0.. {
        let Ok(count @ 1..) = socket.read(&mut buffer).await else {
            return;
        };
        heard.lock().unwrap().extend_from_slice(&buffer[..count]);
        let answer = match turn {
            0 => plan.login.clone(),
            turn if turn <= plan.honest => packet(1, OK),
            _ => plan.evil.clone(),
        };
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn holds(heard: &Arc<Mutex<Vec<u8>>>, text: &[u8]) -> bool {
    heard
        .lock()
        .unwrap()
        .windows(text.len())
        .any(|part| part == text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_files_gets_none() {
    // Instead of an answer to the settings, the transaction, the statement, and so on.
    for honest in 0..3 {
        let plan = Plan {
            greeting: greeting("mysql_native_password"),
            login: packet(2, OK),
            honest,
            evil: packet(1, FILE),
        };
        let (source, heard) = rogue(plan, "disable").await;
        let error = failure(&source, &query("select 1", Vec::new())).await;
        assert_eq!(error.stable_code(), "protocol", "{honest}: {error}");
        assert!(!holds(&heard, b"root:"), "a file of this machine was sent");
        // LOCAL_FILES was not even offered.
        assert_eq!(heard.lock().unwrap()[4] & 0x80, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lies_about_anything_is_left() {
    let mut endless = packet(1, &[0xfc, 0xff, 0xff]);
    for number in 2..200 {
        endless.extend(packet(
            number,
            &[
                3, b'd', b'e', b'f', 0, 0, 0, 1, b'a', 0, 12, 45, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0,
            ],
        ));
    }
    let mut prepared = packet(1, &[0, 1, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0]);
    prepared.extend(endless.clone());
    for evil in [
        vec![0xff, 0xff, 0xff, 1, 0],
        packet(9, OK),
        packet(1, &[]),
        packet(1, &[0]),
        packet(1, &[0xff]),
        packet(1, b"\xff\x15\x04#"),
        packet(1, &[0xfe; 200]),
        packet(1, &[0xfd, 0xff, 0xff, 0xff]),
        packet(1, &[0, 1, 0, 0, 0, 1, 0, 0xff, 0xff, 0, 0, 0]),
        vec![0; 64 << 10],
        vec![0xff; 64 << 10],
        endless,
        prepared,
    ] {
        for honest in [0, 2] {
            let plan = Plan {
                greeting: greeting("mysql_native_password"),
                login: packet(2, OK),
                honest,
                evil: evil.clone(),
            };
            let (source, _) = rogue(plan, "disable").await;
            let ctx = Context {
                deadline: Deadline::after(Duration::from_millis(700)),
                ..context()
            };
            let outcome = source.scan(&ctx, &query("select 1", Vec::new())).await;
            let error = outcome.err().expect("an answer of nonsense is taken");
            assert_ne!(
                error.stable_code(),
                "internal",
                "{:?}: {error}",
                &evil[..4.min(evil.len())]
            );
            assert_ne!(error.stable_code(), "panic", "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_goes_in_the_clear() {
    let challenge = b"abcdefghijklmnopqrst\0";
    let switch = |plugin: &str| {
        let mut content = vec![0xfe];
        content.extend_from_slice(plugin.as_bytes());
        content.push(0);
        content.extend_from_slice(challenge);
        packet(2, &content)
    };
    let mut full = packet(2, &[1, 4]);
    full.extend(packet(3, &[1, 4]));
    for (plugin, login) in [
        ("mysql_native_password", switch("mysql_clear_password")),
        ("mysql_clear_password", switch("mysql_clear_password")),
        ("mysql_native_password", switch("sha256_password")),
        ("mysql_native_password", switch("dialog")),
        ("mysql_native_password", switch("mysql_old_password")),
        ("mysql_native_password", packet(2, &[0xfe])),
        (
            "mysql_native_password",
            switch("authentication_openid_connect_client"),
        ),
        ("caching_sha2_password", full),
        ("sha256_password", packet(2, b"\x01nothing")),
    ] {
        for mode in ["prefer", "disable"] {
            let plan = Plan {
                greeting: greeting(plugin),
                login: login.clone(),
                honest: 0,
                evil: packet(
                    4,
                    b"\x01-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n",
                ),
            };
            let (source, heard) = rogue(plan, mode).await;
            let (report, outcome): (TestReport, _) = source.test(&context()).await;
            let error = outcome.unwrap_err();
            assert!(report.steps.last().is_some_and(|step| !step.ok));
            assert_ne!(error.stable_code(), "internal", "{plugin} {mode}: {error}");
            assert!(
                !holds(&heard, PASSWORD.as_bytes()),
                "{plugin} {mode}: the password was sent"
            );
        }
    }
    // Without TLS, which verification asks for, nothing of the login is said at all.
    let plan = Plan {
        greeting: greeting("mysql_native_password"),
        login: packet(2, OK),
        honest: 9,
        evil: Vec::new(),
    };
    let (source, heard) = rogue(plan, "verify-full").await;
    assert_eq!(
        source.test(&context()).await.1.unwrap_err().stable_code(),
        "tls"
    );
    assert!(heard.lock().unwrap().is_empty());
}
