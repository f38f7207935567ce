//! A caller: HTTP with a bearer key, and answers that are easy to look into.

use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::Database;

/// A caller of one service.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// A request on its way.
#[derive(Debug)]
pub struct Call<'a> {
    client: &'a Client,
    request: reqwest::RequestBuilder,
}

impl Client {
    /// A caller with this key, or none.
    pub fn new(base: &str, key: Option<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Client {
            http,
            base: base.to_owned(),
            key,
            heard: Arc::default(),
        }
    }

    /// The same caller, who trusts this certificate (PEM), too.
    #[must_use]
    pub fn trusting(&self, certificate: &str) -> Self {
        let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy();
        let http = builder.tls_certs_only([certificate]).build().unwrap();
        Client {
            http,
            ..self.clone()
        }
    }

    /// The same caller with another key.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Client {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The key.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// Every byte of every answer so far, headers included.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    /// Any request.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        Call {
            client: self,
            request,
        }
    }

    /// `GET path`
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send().await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).json(body).send().await
    }

    /// `PATCH path` with a JSON merge patch.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let call = self.call(Method::PATCH, path).json(body);
        call.header("content-type", "application/merge-patch+json")
            .send()
            .await
    }

    /// `DELETE path`
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path).send().await
    }

    /// Registers a source of `database`, under the database's name.
    pub async fn register(&self, database: &Database) -> String {
        self.register_config(&database.name, database.config())
            .await
    }

    /// Registers a postgres source with this config.
    pub async fn register_config(&self, name: &str, config: Value) -> String {
        let body = json!({"name": name, "connector": "postgres", "config": config});
        let made = self.post("/v1/sources", &body).await.expect_status(201);
        made["name"].as_str().unwrap().to_owned()
    }

    /// All rows of a stream or query as objects, through `load.json`.
    pub async fn rows(&self, source: &str, body: &Value) -> Vec<Value> {
        let answer = self
            .post(&format!("/v1/sources/{source}/load.json"), body)
            .await;
        answer.expect_status(200).as_array().unwrap().clone()
    }
}

impl Call<'_> {
    /// Adds or replaces a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        self.request = self.request.headers(headers);
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Any body.
    #[must_use]
    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let heard = Arc::clone(&self.client.heard);
        let response = self.open().await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the whole body arrives");
        let mut heard = heard.lock().unwrap();
        heard.extend_from_slice(format!("{status} {headers:?}\n").as_bytes());
        heard.extend_from_slice(&body);
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Sends it; gives the status, unless the service went away meanwhile.
    pub async fn status(self) -> Option<u16> {
        let answer = self.request.send().await.ok()?;
        let status = answer.status().as_u16();
        answer.bytes().await.ok().map(|_| status)
    }

    /// Sends it and leaves the body to be read piece by piece.
    pub async fn open(self) -> reqwest::Response {
        self.request.send().await.expect("the service answers")
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The JSON body of an answer that must have this status.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem document of an answer that must be one of this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect_status(status);
        assert_eq!(problem["code"], code, "{problem:#}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("weir-error-code"), code);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for text in ["title", "detail"] {
            assert!(!problem[text].as_str().unwrap().is_empty(), "{problem:#}");
        }
        assert!(problem["retryable"].is_boolean());
        problem
    }

    /// The body as an Arrow stream.
    #[track_caller]
    pub fn arrow(&self) -> Table {
        assert_eq!(self.status, 200, "{}", self.text());
        let reader = StreamReader::try_new(&self.body[..], None).unwrap();
        let schema = reader.schema();
        Table {
            schema,
            batches: reader.map(|batch| batch.unwrap()).collect(),
        }
    }

    /// The body as one JSON value a line.
    #[track_caller]
    pub fn ndjson(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// An Arrow stream, read.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its schema.
    pub schema: SchemaRef,
    /// Its batches.
    pub batches: Vec<RecordBatch>,
}

impl Table {
    /// Rows of all batches.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Column names in order.
    pub fn names(&self) -> Vec<&str> {
        self.schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect()
    }
}
