//! What callers read of a run.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use weir_store::RunRow;

/// A load or a write.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunView {
    /// Its id, as in the header `weir-run-id`.
    pub id: Uuid,
    /// `load`, `write`; for an hour at most, on the instance that ran it, `transform`, `profile` and `preview`.
    pub kind: String,
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// What was read or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Uuid>,
    /// The source's name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// The stream that was read or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The columns that were asked for; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// SHA-256 of the query's text, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_hash: Option<String>,
    /// The query's text; only where the service is set to keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The key it ran with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Uuid>,
    /// Rows that were sent, or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Bytes that were sent, or came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// The instance that ran it.
    pub instance_id: Uuid,
    /// W3C trace id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What each step did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub report: Option<serde_json::Value>,
}

/// Why a run did not succeed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunError {
    /// Stable; `GET /problems/{code}` explains it.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunPage {
    /// The runs, the newest first.
    pub items: Vec<RunView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl RunView {
    /// What is shown of `row`.
    pub fn of(row: RunRow) -> Self {
        let message = row.error_message.unwrap_or_default();
        RunView {
            id: row.id,
            kind: row.kind,
            status: row.status,
            source_id: row.source_id,
            source_name: row.source_name,
            stream: row.stream,
            columns: row.columns,
            query_hash: row.query_hash.as_deref().map(hex),
            query: row.query,
            key_id: row.key_id,
            rows: row.rows,
            bytes: row.bytes,
            started_at: row.started_at,
            finished_at: row.finished_at,
            error: row.error_code.map(|code| RunError { code, message }),
            instance_id: row.instance_id,
            trace_id: row.trace_id.map(|id| id.simple().to_string()),
            report: row.report,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
