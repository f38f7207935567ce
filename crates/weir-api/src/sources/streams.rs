//! Discovery: what a source has, and the columns of one stream.

use axum::Json as Answer;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use weir_core::{Discover, StreamId, StreamInfo, StreamSchema};

use super::find;
use crate::auth::Reader;
use crate::extract::Query;
use crate::paging;
use crate::problem::ApiResult;
use crate::state::App;

/// Which streams to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamsQuery {
    /// Part of a name, without case.
    pub search: Option<String>,
    /// Only this schema or folder.
    pub namespace: Option<String>,
    /// Items in the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Ask the source again instead of the cache.
    #[serde(default)]
    #[param(default = false)]
    pub refresh: bool,
}

/// One thing that can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamView {
    /// The id to hand back verbatim.
    pub stream: String,
    /// Its own name.
    pub name: String,
    /// Schema, database or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `table`, `view`, `materialized_view`, `foreign_table`, `file` …
    pub kind: String,
    /// Path of a file or object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<DateTime<Utc>>,
    /// The source's own estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    /// What else is known.
    pub metadata: StreamMetadata,
}

/// What else is known of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamMetadata {
    /// The comment on it in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The format of a file's rows: `csv`, `parquet` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The media type of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamPage {
    /// The streams, by namespace and name.
    pub items: Vec<StreamView>,
    /// Pass it as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

impl StreamView {
    fn of(info: &StreamInfo) -> Self {
        StreamView {
            stream: info.stream.clone(),
            name: info.name.clone(),
            namespace: info.namespace.clone(),
            kind: info.kind.to_owned(),
            path: info.path.clone(),
            size_bytes: info.size_bytes,
            modified_at: info.modified_at,
            estimated_rows: info.estimated_rows,
            metadata: StreamMetadata {
                comment: info.comment.clone(),
                format: info.format.map(str::to_owned),
                content_type: info.content_type.map(str::to_owned),
            },
        }
    }
}

/// List the streams of a source
#[utoipa::path(get, path = "/v1/sources/{source}/streams", operation_id = "list_streams", tag = "rows",
    params(("source" = String, Path, description = "Id, name or `@kind.name`"), StreamsQuery),
    responses((status = 200, description = "A page", body = StreamPage)))]
pub async fn streams(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(source): Path<String>,
    Query(query): Query<StreamsQuery>,
) -> ApiResult<Answer<StreamPage>> {
    let row = find(&app, &caller, &source).await?;
    let ask = Discover {
        search: query.search,
        namespace: query.namespace,
        after: paging::place(query.cursor.as_deref())?,
        limit: paging::size(query.limit, app.limits.page_items)?,
    };
    let page = app.discover(&row, ask, query.refresh).await?;
    Ok(Answer(StreamPage {
        items: page.items.iter().map(StreamView::of).collect(),
        next_cursor: page.next.as_deref().map(paging::cursor),
    }))
}

/// Which stream to describe.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SchemaQuery {
    /// The stream's id, as discovery gave it.
    pub stream: String,
}

/// One column.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// Its type in Weir's vocabulary.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its type in the source.
    pub native_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it is part of the primary key.
    pub primary_key: bool,
    /// The comment on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The columns of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamSchemaView {
    /// The stream's id.
    pub stream: String,
    /// `table`, `view` …
    pub kind: String,
    /// In the source's order.
    pub columns: Vec<ColumnView>,
    /// Names in key order.
    pub primary_key: Vec<String>,
    /// The source's own estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

impl StreamSchemaView {
    fn of(schema: StreamSchema) -> Self {
        let columns = schema.columns.into_iter().map(|column| ColumnView {
            type_: column.type_name,
            name: column.name,
            native_type: column.native_type,
            nullable: column.nullable,
            primary_key: column.primary_key,
            comment: column.comment,
        });
        StreamSchemaView {
            stream: schema.stream,
            kind: schema.kind.to_owned(),
            columns: columns.collect(),
            primary_key: schema.primary_key,
            estimated_rows: schema.estimated_rows,
            size_bytes: schema.size_bytes,
        }
    }
}

/// Describe a stream
#[utoipa::path(get, path = "/v1/sources/{source}/schema", operation_id = "get_stream_schema", tag = "rows",
    params(("source" = String, Path, description = "Id, name or `@kind.name`"), SchemaQuery),
    responses((status = 200, description = "Its columns", body = StreamSchemaView)))]
pub async fn schema(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(source): Path<String>,
    Query(query): Query<SchemaQuery>,
) -> ApiResult<Answer<StreamSchemaView>> {
    let row = find(&app, &caller, &source).await?;
    let stream = StreamId::parse(&query.stream, "?stream")?;
    let ctx = app.context(Duration::from_millis(app.limits.discover_ms));
    let _stop = ctx.cancel.clone().drop_guard();
    let opened = app.open(&row, &ctx).await?;
    Ok(Answer(StreamSchemaView::of(
        opened.schema(&ctx, &stream).await?,
    )))
}
