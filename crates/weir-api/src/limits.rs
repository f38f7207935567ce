//! The limits that callers meet. Each is a setting, shown in `GET /v1/limits`,
//! and answered with its own code.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::{Error, Kind, Result};
use weir_wire::decode::{DecodeLimits, Ratio};

use crate::problem::ApiError;
use crate::state::App;

/// Limits; the end of each name is its unit. An absent one is no limit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Limits {
    /// Bytes of any body. Beyond: 413 `body_too_large`.
    pub body_bytes: u64,
    /// How long a body may stand still, or take for each 1,024 bytes. Beyond: 400 `body_stalled`.
    pub body_stall_ms: u64,
    /// How long a client may take nothing of its answer. Beyond, the connection is closed.
    pub write_stall_ms: u64,
    /// How long the head of a request may take. Beyond, the connection is closed.
    pub head_ms: u64,
    /// How long a connection may lie idle between requests. Beyond, it is closed.
    pub idle_ms: u64,
    /// Connections at once, as far as the process may open files; further ones wait.
    pub connections: usize,
    /// Bytes of a JSON body that is read whole. Beyond: 413 `json_too_large`.
    pub json_body_bytes: usize,
    /// Levels of a JSON body, and of a filter, the innermost value included. Beyond: 400 `too_deep`.
    pub nesting_levels: usize,
    /// Columns that are asked for, sent or read. Beyond: 422 `too_many_columns`.
    pub columns: usize,
    /// How many times larger than its encoded form a decoded body may be, once
    /// it is larger than `decoded_ratio_from_bytes`. Beyond: 413 `decoded_too_large`.
    pub decoded_ratio: u64,
    /// Decoded bytes from which on `decoded_ratio` counts.
    pub decoded_ratio_from_bytes: u64,
    /// Bytes of a statement. Beyond: 413 `query_too_long`.
    pub statement_bytes: usize,
    /// Rows of a preview. Beyond: 422 `invalid` at `/limit`.
    pub preview_rows: u64,
    /// Bytes of a preview, counted in memory. Beyond, it is `truncated`.
    pub preview_bytes: usize,
    /// Wall time of a preview. Beyond: 504 `deadline`.
    pub preview_ms: u64,
    /// Rows of a load. Beyond: 413 `load_rows`, or the answer breaks off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_rows: Option<u64>,
    /// Bytes of a load, counted in memory. Beyond: 413 `load_bytes`, or the answer breaks off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_bytes: Option<u64>,
    /// Wall time of a load, and the most that `timeout_ms` may ask for. Beyond: 504 `deadline`.
    pub load_ms: u64,
    /// How long headers wait for the first batch. Beyond: 504 `first_batch_timeout`.
    pub first_batch_ms: u64,
    /// Loads of one key at once, on each instance. Beyond: 429 `too_many_loads`.
    pub loads_per_key: usize,
    /// Connections of one source that does not say how many, on each instance.
    pub source_connections: usize,
    /// How long a read waits for one of them. Beyond: 429 `source_busy`.
    pub source_wait_ms: u64,
    /// Wall time of a connection test.
    pub test_ms: u64,
    /// Wall time of one page of discovery. Beyond: 504 `deadline`.
    pub discover_ms: u64,
    /// How long pages of discovery are kept.
    pub discovery_cache_seconds: u64,
    /// Encoded bytes that wait for a slow client before the source is held.
    pub queue_bytes: usize,
    /// Items of a page at most. Beyond: 422 `invalid` at `?limit`.
    pub page_items: usize,
    /// Memory for rows on their way, in all requests together. Beyond, requests wait, then: 429 `memory_busy`.
    pub memory_bytes: usize,
    /// Memory for rows of one request; sorts spill to disk. Beyond: 413 `too_large_to_compute`.
    pub memory_request_bytes: usize,
    /// Disk for what does not fit into memory. Beyond: 413 `too_large_to_compute`.
    pub spill_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 1 << 30,
            body_stall_ms: 30_000,
            write_stall_ms: 60_000,
            head_ms: 10_000,
            idle_ms: 75_000,
            connections: 10_000,
            json_body_bytes: 16 << 20,
            nesting_levels: 128,
            columns: 10_000,
            decoded_ratio: 200,
            decoded_ratio_from_bytes: 10 << 20,
            statement_bytes: 1 << 20,
            preview_rows: 10_000,
            preview_bytes: 16 << 20,
            preview_ms: 30_000,
            load_rows: None,
            load_bytes: None,
            load_ms: 3_600_000,
            first_batch_ms: 30_000,
            loads_per_key: 8,
            source_connections: 10,
            source_wait_ms: 5_000,
            test_ms: 30_000,
            discover_ms: 60_000,
            discovery_cache_seconds: 60,
            queue_bytes: 8 << 20,
            page_items: 1_000,
            memory_bytes: 1 << 30,
            memory_request_bytes: 256 << 20,
            spill_bytes: 10 << 30,
        }
    }
}

impl Limits {
    /// What bytes of strangers may ask for, in bodies and in files.
    pub fn decoding(&self) -> DecodeLimits {
        DecodeLimits {
            max_columns: self.columns,
            max_depth: self.nesting_levels,
            ratio: Ratio {
                times: self.decoded_ratio,
                above: self.decoded_ratio_from_bytes,
            },
            ..DecodeLimits::default()
        }
    }

    /// Wall time of a load for which the caller asked for `timeout_ms`.
    pub fn load_time(&self, asked: Option<u64>, pointer: &str) -> Result<Duration> {
        match asked {
            None => Ok(Duration::from_millis(self.load_ms)),
            Some(0) => Err(Error::invalid(pointer, "timeout_ms must be at least 1")),
            Some(asked) if asked > self.load_ms => {
                let message = format!(
                    "timeout_ms is {asked}, a load may take at most {} ms",
                    self.load_ms
                );
                Err(Error::invalid(pointer, message).code("timeout_too_long"))
            }
            Some(asked) => Ok(Duration::from_millis(asked)),
        }
    }

    /// Refuses a statement that is too long.
    pub fn check_statement(&self, text: &str) -> Result<()> {
        let most = self.statement_bytes;
        if text.len() <= most {
            return Ok(());
        }
        let message = format!("the statement is longer than {most} bytes");
        Err(Error::new(Kind::TooLarge, message.clone())
            .code("query_too_long")
            .hint("bind values with params instead of writing them into the statement")
            .at("/query", message))
    }

    /// Refuses more columns than are allowed; `pointer` says where they were named.
    pub fn check_columns(&self, count: usize, pointer: Option<&str>) -> Result<()> {
        let most = self.columns;
        if count <= most {
            return Ok(());
        }
        let message = format!("{count} columns are more than {most}");
        let error = Error::new(Kind::Invalid, message.clone())
            .code("too_many_columns")
            .hint("name fewer columns");
        Err(match pointer {
            Some(pointer) => error.at(pointer, message),
            None => error,
        })
    }

    /// Refuses JSON text that nests deeper than is allowed, before anything is
    /// built from it. Text that is not JSON is left to the decoder.
    pub fn check_depth(&self, json: &[u8]) -> Result<()> {
        let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
        for byte in json {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_text => is_escaped = true,
                b'"' => is_text = !is_text,
                _ if is_text => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth >= self.nesting_levels {
                return Err(too_deep(self.nesting_levels));
            }
        }
        Ok(())
    }

    /// Refuses condition text whose parentheses nest deeper than is allowed.
    pub fn check_condition_depth(&self, text: &str) -> Result<()> {
        let (mut depth, mut quote) = (0_usize, None);
        for character in text.chars() {
            match (quote, character) {
                (Some(open), _) if character == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"' | '`') => quote = Some(character),
                (None, '(') => depth += 1,
                (None, ')') => depth = depth.saturating_sub(1),
                (None, _) => {}
            }
            if depth >= self.nesting_levels {
                return Err(too_deep(self.nesting_levels));
            }
        }
        Ok(())
    }
}

/// Refuses a body that says it is too large, and ends one that turns out to be
/// or that does not go on.
pub async fn bound_body(State(app): State<App>, request: Request, next: Next) -> Response {
    let most = app.limits.body_bytes;
    let told = request.headers().get(CONTENT_LENGTH);
    let told: Option<u64> = told.and_then(|text| text.to_str().ok()?.parse().ok());
    if told.is_some_and(|told| told > most) {
        let message = format!("the body is larger than {most} bytes");
        let error = Error::new(Kind::TooLarge, message)
            .code("body_too_large")
            .hint("GET /v1/limits lists every limit");
        return ApiError(error).into_response();
    }
    let stall = Duration::from_millis(app.limits.body_stall_ms);
    next.run(request.map(|body| weir_wire::paced(body, most, stall)))
        .await
}

fn too_deep(most: usize) -> Error {
    Error::new(
        Kind::Malformed,
        format!("it nests deeper than {most} levels"),
    )
    .code("too_deep")
    .hint("GET /v1/limits lists every limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_lists_and_objects_outside_of_texts() {
        let limits = Limits {
            nesting_levels: 4,
            ..Limits::default()
        };
        let fine = [
            r#"[[[1]]]"#,
            r#"{"a": [[], {}], "b": "[[[[[["}"#,
            r#"["\"[[[[", [[]]]"#,
        ];
        for text in fine {
            limits.check_depth(text.as_bytes()).unwrap();
        }
        for text in ["[[[[1]]]]", r#"{"a":[{"b":[]}]}"#] {
            let error = limits.check_depth(text.as_bytes()).unwrap_err();
            assert_eq!(error.stable_code(), "too_deep");
        }
        limits.check_condition_depth("(((a = '((((')))").unwrap();
        assert!(limits.check_condition_depth("((((a = 1))))").is_err());
    }
}
