//! `/docs`: a page that needs nothing from elsewhere.

use reqwest::Method;
use weir_tests::wire::Wire;
use weir_tests::{Answer, Client, Service, project};

/// What a page may load besides itself; `data:` is inside of it.
fn policy(answer: &Answer) -> String {
    answer.header("content-security-policy").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_script_come_from_here_alone() {
    let service = Service::start().await;
    let stranger = service.client.with_key(None);
    let page = stranger.get("/docs").await;
    let policy = policy(&page);
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"));
    assert!(
        !policy.contains("http") && !policy.contains("unsafe-eval"),
        "{policy}"
    );
    let text = page.text();
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "{text}"
    );
    // Without scripts the operations are there as a list.
    assert!(text.contains("<noscript>") && text.contains("/v1/sources/{source}/load.arrow"));
    let script = text
        .split("src=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (plain, bytes) = asked(&stranger, script, "identity").await;
    assert!(
        plain.starts_with("HTTP/1.1 200 ") && bytes > 3_000_000,
        "{plain} {bytes}"
    );
    assert!(
        plain.contains("immutable") && !plain.contains("content-encoding"),
        "{plain}"
    );
    let (packed, bytes) = asked(&stranger, script, "br, gzip;q=0.5").await;
    assert!(
        packed.contains("content-encoding: gzip") && bytes < 2_000_000,
        "{packed} {bytes}"
    );
    let tag = stranger.get(script).await.header("etag").to_owned();
    let again = stranger
        .call(Method::GET, script)
        .header("if-none-match", &tag);
    assert_eq!(again.send().await.status, 304);
    stranger
        .get("/docs/scalar-0000000000000000.js")
        .await
        .expect_problem(404, "no_route");
}

/// The head of an answer as it is on the wire, and how many bytes came.
async fn asked(client: &Client, path: &str, coding: &str) -> (String, usize) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    );
    let mut wire = Wire::send(client, request.as_bytes()).await;
    let bytes = wire.read_all().await.len();
    (wire.head(), bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_renders_the_page_without_a_network() {
    let browser = project::browser();
    let service = Service::start().await;
    let profile = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--enable-logging=stderr",
            "--virtual-time-budget=30000",
            "--dump-dom",
        ])
        // No name resolves, so whatever is asked of elsewhere fails.
        .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("{}/docs", service.client.base()))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(page.contains("Register a source"), "{log}");
    for complaint in [
        "Content Security Policy",
        "ERR_NAME_NOT_RESOLVED",
        "Uncaught",
    ] {
        assert!(!log.contains(complaint), "{log}");
    }
}
