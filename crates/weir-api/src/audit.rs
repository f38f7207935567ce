//! `/v1/audit`, and the record of every read.

use axum::Json as Answer;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use weir_core::{Error, Result};
use weir_store::{AuditFilter, AuditPlace, AuditRow};

use crate::auth::Admin;
use crate::extract::Query;
use crate::paging;
use crate::problem::ApiResult;
use crate::state::App;

/// Which records to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// `admin` for changes, `access` for reads of data.
    #[param(pattern = "^(admin|access)$")]
    pub class: Option<String>,
    /// Only this action, such as `source.create` or `load`.
    pub action: Option<String>,
    /// Only by this key, id or name.
    pub actor: Option<String>,
    /// Only about this thing, id or name.
    pub target: Option<String>,
    /// Not older than this, RFC 3339.
    pub since: Option<DateTime<Utc>>,
    /// Older than this, RFC 3339.
    pub until: Option<DateTime<Utc>>,
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What was done, by whom.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// `admin` for a change, `access` for a read of data.
    pub class: String,
    /// `source.create`, `api_key.rotate`, `load` …
    pub action: String,
    /// Id of the api key; absent for the service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Uuid>,
    /// Name of the key at that time, or `system`.
    pub actor: String,
    /// The request, as in its `x-request-id`.
    pub request_id: String,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `source`, `credential`, `api_key` …
    pub target_kind: String,
    /// Id of the thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_id: Option<Uuid>,
    /// Name of the thing at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// The run of a read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// The stream that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Keyed hash of the query that was read: equal for equal queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_hash: Option<String>,
    /// The chosen columns; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// What else tells what was done; never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub details: Option<Value>,
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Newest first. A page may be short where much had to be looked through.
    pub items: Vec<AuditRecord>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl AuditRecord {
    fn of(row: AuditRow) -> Self {
        let hex = |hash: Vec<u8>| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        AuditRecord {
            id: row.id,
            at: row.at,
            class: row.class,
            action: row.action,
            key_id: row.key_id,
            actor: row.actor,
            request_id: row.request_id,
            address: row.address,
            target_kind: row.target_kind,
            target_id: row.target_id,
            target_name: row.target_name,
            run_id: row.run_id,
            stream: row.stream,
            query_hash: row.query_hash.map(hex),
            columns: row.columns,
            details: row.details,
        }
    }
}

/// Who did what, newest first
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "keys",
    params(AuditQuery), responses((status = 200, description = "A page", body = AuditPage)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Answer<AuditPage>> {
    if let Some(class) = &query.class
        && !["admin", "access"].contains(&class.as_str())
    {
        let message = format!("`{class}` is none of admin, access");
        return Err(Error::invalid("?class", message).into());
    }
    let after = paging::place(query.cursor.as_deref())?;
    let filter = AuditFilter {
        class: query.class,
        action: query.action,
        actor: query.actor,
        target: query.target,
        since: query.since,
        until: query.until,
        after: after.as_deref().map(place).transpose()?,
        limit: paging::size(query.limit, app.limits.page_items)?,
    };
    let page = app.store.list_audit(&filter).await?;
    let cursor = |(at, id): AuditPlace| paging::cursor(&format!("{} {id}", at.timestamp_micros()));
    Ok(Answer(AuditPage {
        items: page.items.into_iter().map(AuditRecord::of).collect(),
        next_cursor: page.next.map(cursor),
    }))
}

fn place(text: &str) -> Result<AuditPlace> {
    let parsed = text.split_once(' ').and_then(|(micros, id)| {
        let at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((at, Uuid::try_parse(id).ok()?))
    });
    parsed.ok_or_else(|| {
        Error::invalid("?cursor", "the cursor is not one that the audit gave")
            .hint("pass next_cursor of the page before, unchanged")
    })
}
