//! Runs the clients: each program once, with all its cases.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use weir_tests::project;

fn scripts() -> std::path::PathBuf {
    project::root().join("tests/clients/broken")
}

/// What the clients of a script said of these cases.
fn script(command: &mut Command, cases: &Value) -> Value {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Some clients panic over a broken answer.
        .env("RUST_BACKTRACE", "0");
    let mut child = command.spawn().unwrap();
    let text = cases.to_string();
    // Closed behind the last case.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `tests/clients/broken/read.py`
pub fn python(folder: &Path, cases: &Value) -> Value {
    let mut command = Command::new(project::python());
    script(command.arg(scripts().join("read.py")).arg(folder), cases)
}

/// `tests/clients/broken/read.mjs`
pub fn node(folder: &Path, cases: &Value) -> Value {
    let mut command = Command::new("node");
    let command = command.arg(scripts().join("read.mjs")).arg(folder);
    script(command.arg(project::node_tools()), cases)
}

/// A server of the page that asks from a browser; it is of another origin than
/// the service.
pub struct Page {
    listener: TcpListener,
}

impl Page {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Page { listener }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Opens the page in a browser, which asks for the cases and sends back what it found.
    pub fn browser(&self, folder: &Path, cases: &Value) -> Value {
        let mut browser = Command::new(project::browser())
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            // Without it a headless browser opens the page and leaves.
            .arg("--remote-debugging-port=0")
            .arg(format!("{}/", self.origin()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let found = self.found(cases);
        browser.kill().unwrap();
        browser.wait().unwrap();
        found
    }

    fn found(&self, cases: &Value) -> Value {
        let arrow = "node_modules/apache-arrow/Arrow.es2015.min.js";
        let page = std::fs::read(scripts().join("page.html")).unwrap();
        let arrow = std::fs::read(project::node_tools().join(arrow)).unwrap();
        for socket in self.listener.incoming() {
            let mut socket = socket.unwrap();
            let Some((path, body)) = request(&socket) else {
                continue;
            };
            let (kind, answer) = match path.as_str() {
                "/" => ("text/html", page.clone()),
                "/arrow.js" => ("text/javascript", arrow.clone()),
                "/cases" => ("application/json", cases.to_string().into_bytes()),
                _ => ("text/plain", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(&answer).unwrap();
            if path == "/found" {
                return serde_json::from_slice(&body).unwrap();
            }
        }
        unreachable!("a listener gives sockets for ever");
    }
}

/// Path and body of a request; none when a browser only opened a connection.
fn request(socket: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}
