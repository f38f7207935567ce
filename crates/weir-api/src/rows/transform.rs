//! Rows in, rows out: from any format to any format.
//!
//! A JSON body holds `data` and `steps` and is read whole, up to its limit; the
//! other formats are streamed, with everything else in the query string.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_core::types::parse_field;
use weir_core::{Account, Context, Error, Kind, Result, config};
use weir_wire::decode::{DecodeOptions, json_members};
use weir_wire::{Delivery, Format, Intake, Media, Outcome, Rows, respond, rows_in, rows_of};

use super::request::split_query;
use super::{format_options, run_header};
use crate::auth::{Caller, Reader};
use crate::extract::whole;
use crate::problem::{ApiResult, Problem};
use crate::runs::RunId;
use crate::state::App;

/// Bytes of `?steps=`.
const MAX_STEPS: usize = 8 << 10;

/// Rows, and what to do with them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used: rows are never held as values"
)]
pub struct TransformRequest {
    /// An array of objects, or `{"columns": [{"name", "type"?}], "rows": [[…]] or [{…}]}`.
    pub data: Value,
    /// Steps in their order.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe.
    pub recipe: Option<String>,
    /// Types by column name, instead of inferred ones.
    #[schema(value_type = Option<Object>)]
    pub column_types: Option<Value>,
}

/// [`TransformRequest`] without its rows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    steps: Vec<Value>,
    recipe: Option<String>,
    column_types: Option<serde_json::Map<String, Value>>,
}

/// What stands in the query string where the body is rows and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransformQuery {
    steps: Option<String>,
    recipe: Option<String>,
    types: Option<String>,
}

/// `POST /v1/transform` for one format, or negotiated.
pub fn transform_route(format: Option<Format>) -> MethodRouter<App> {
    post(move |State(app): State<App>, request: Request| transform(format, app, request))
}

async fn transform(format: Option<Format>, app: App, request: Request) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let Reader(caller) = Reader::from_request_parts(&mut parts, &app).await?;
    let query = split_query(parts.uri.query().unwrap_or_default());
    let mut options = format_options(format, &query.format, &parts.headers, parts.version)?;
    options.envelope = true;
    let asked: TransformQuery = config::decode_query(&query.rest)?;
    let run = RunId::of(&parts.headers)?.id;
    let media = Media::from_headers(&parts.headers)?;
    let ctx = app.context(Duration::from_millis(app.limits.load_ms));
    let stop = ctx.cancel.clone().drop_guard();
    let ends = ended(ctx.clone());
    let memory = ctx.memory.clone();
    ctx.bounded(memory.admit(true)).await?;
    let intake = Intake {
        ctx,
        body_bytes: app.limits.body_bytes,
        spool: app.spool.clone(),
    };
    let rows = if media.format == Format::Json {
        rows_of_json(&app, asked, &parts.headers, body, intake).await?
    } else {
        check_steps(&steps_text(asked.steps.as_deref())?, "?steps")?;
        check_recipe(asked.recipe.as_deref(), "?recipe")?;
        let types = types_text(asked.types.as_deref())?;
        let decode = DecodeOptions {
            types,
            ..app.decode_options()
        };
        let read = rows_in(media, &parts.headers, body, decode, intake).await;
        read.map_err(Error::as_parameter)?
    };
    let mut response = respond(rows, options, delivery(&app, &caller, run, memory, ends)).await?;
    // From here on the body's own drop stops the work.
    stop.disarm();
    run_header(&mut response, run);
    Ok(response)
}

/// `{data, steps}`, or the rows alone.
async fn rows_of_json(
    app: &App,
    given: TransformQuery,
    headers: &HeaderMap,
    body: Body,
    intake: Intake,
) -> Result<Rows> {
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        return Err(
            Error::new(Kind::MediaType, "a packed JSON body is not taken here")
                .hint("send larger rows as ndjson, arrow, csv or parquet, which may be packed"),
        );
    }
    let text = whole(body, app.limits.json_body_bytes)
        .await
        .map_err(|error| match error.stable_code() {
            "json_too_large" => {
                error.hint("send larger rows as ndjson, arrow, csv or parquet, with ?steps=")
            }
            _ => error,
        })?;
    let mut held = intake.ctx.memory.hold();
    held.set(text.len()).await?;
    let is_list = text.trim_ascii_start().starts_with(b"[");
    let (data, request) = if is_list {
        (text.clone(), Asked::default())
    } else {
        split_body(&text)?
    };
    if given.steps.is_some() || given.types.is_some() || given.recipe.is_some() {
        if !is_list {
            let message = "a JSON body holds `steps`, `recipe` and `column_types` itself";
            return Err(Error::invalid("?steps", message));
        }
        check_steps(&steps_text(given.steps.as_deref())?, "?steps")?;
        check_recipe(given.recipe.as_deref(), "?recipe")?;
    }
    check_steps(&request.steps, "/steps")?;
    check_recipe(request.recipe.as_deref(), "/recipe")?;
    let mut types = types_text(given.types.as_deref())?;
    types.extend(typed(
        request.column_types.unwrap_or_default(),
        "/column_types",
    )?);
    let decode = DecodeOptions {
        types,
        ..app.decode_options()
    };
    let read = rows_of(Format::Json, data, decode, intake).await;
    let rows = read.map_err(|error| {
        error.repointed(|pointer| match pointer {
            "/types" if is_list => "?types".to_owned(),
            "/types" => "/column_types".to_owned(),
            inner if is_list => inner.to_owned(),
            inner => format!("/data{inner}"),
        })
    })?;
    // The text is there until its last row has left.
    let batches = rows.batches.inspect(move |_| {
        let _held = &held;
    });
    Ok(Rows {
        batches: batches.boxed(),
        ..rows
    })
}

/// The rows of a body, and the rest of it.
fn split_body(text: &Bytes) -> Result<(Bytes, Asked)> {
    let malformed = || {
        let checked: std::result::Result<Value, _> = serde_json::from_slice(text);
        let what = checked.map_or_else(|error| error.to_string(), |_| "it is no object".to_owned());
        Error::new(
            Kind::Malformed,
            format!("the body is not valid JSON: {what}"),
        )
        .hint("send {\"data\": […], \"steps\": […]}")
    };
    let members = json_members(text).ok_or_else(malformed)?;
    let (mut data, mut rest) = (None, serde_json::Map::new());
    for (name, place) in members {
        let value = text.slice(place);
        let is_twice = if name == "data" {
            data.replace(value).is_some()
        } else {
            let value: Value = serde_json::from_slice(&value).map_err(|_| malformed())?;
            rest.insert(name.clone(), value).is_some()
        };
        if is_twice {
            let pointer = format!("/{}", config::escape_pointer(&name));
            return Err(Error::invalid(pointer, format!("`{name}` stands twice")));
        }
    }
    let data = data.ok_or_else(|| Error::invalid("/data", "`data` is missing"))?;
    Ok((data, config::decode(Value::Object(rest))?))
}

fn steps_text(given: Option<&str>) -> Result<Vec<Value>> {
    let Some(text) = given else {
        return Ok(Vec::new());
    };
    if text.len() > MAX_STEPS {
        let message = format!("`steps` is longer than {MAX_STEPS} bytes");
        return Err(Error::invalid("?steps", message).hint("send them in a JSON body"));
    }
    serde_json::from_str(text).map_err(|error| {
        Error::invalid(
            "?steps",
            format!("`steps` is no JSON list of steps: {error}"),
        )
    })
}

fn check_steps(steps: &[Value], at: &str) -> Result<()> {
    let Some(step) = steps.first() else {
        return Ok(());
    };
    let name = ["step", "type", "kind", "name"]
        .iter()
        .find_map(|key| step.get(key)?.as_str())
        .unwrap_or("?");
    let shown: String = name.chars().take(64).collect();
    let message = format!("the step `{shown}` cannot be run by this build");
    let pointer = if at.starts_with('?') {
        at.to_owned()
    } else {
        format!("{at}/0")
    };
    Err(Error::unsupported(message.clone())
        .at(pointer, message)
        .hint("leave `steps` empty to change the format only"))
}

fn check_recipe(recipe: Option<&str>, at: &str) -> Result<()> {
    if recipe.is_none() {
        return Ok(());
    }
    let message = "recipes cannot be run by this build";
    Err(Error::unsupported(message).at(at, message))
}

/// `{"a": "int64"}`, or `a:int64,b:decimal(10,2)`.
fn types_text(given: Option<&str>) -> Result<Vec<arrow::datatypes::FieldRef>> {
    let Some(text) = given else {
        return Ok(Vec::new());
    };
    if text.trim_start().starts_with('{') {
        let map = serde_json::from_str(text).map_err(|error| {
            Error::invalid("?types", format!("`types` is no JSON object: {error}"))
        })?;
        return typed(map, "?types");
    }
    let mut map = serde_json::Map::new();
    for part in split_top(text) {
        let (name, type_) = part
            .split_once(':')
            .ok_or_else(|| Error::invalid("?types", "`types` is written name:type,name:type"))?;
        map.insert(name.trim().to_owned(), type_.trim().into());
    }
    typed(map, "?types")
}

/// Splits at commas outside of brackets.
fn split_top(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' => depth += 1,
            ')' | '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn typed(map: serde_json::Map<String, Value>, at: &str) -> Result<Vec<arrow::datatypes::FieldRef>> {
    let field = |(name, value): (String, Value)| {
        let pointer = if at.starts_with('?') {
            at.to_owned()
        } else {
            format!("{at}/{}", config::escape_pointer(&name))
        };
        let text = value
            .as_str()
            .ok_or_else(|| Error::invalid(pointer.clone(), "a type is a text such as int64"))?;
        let field = parse_field(&name, text).map_err(|error| {
            let message = error.message().to_owned();
            let hint = error.hint_text().unwrap_or_default().to_owned();
            Error::invalid(pointer, message)
                .code("unknown_type")
                .hint(hint)
        })?;
        Ok(field.into())
    };
    map.into_iter().map(field).collect()
}

/// Ready once the deadline has passed or the service stops.
fn ended(ctx: Context) -> BoxFuture<'static, Error> {
    Box::pin(async move {
        let never = std::future::pending::<Result<()>>();
        let ended = ctx.bounded(never).await;
        ended.err().unwrap_or_else(weir_core::context::cancelled)
    })
}

fn delivery(
    app: &App,
    caller: &Caller,
    run: uuid::Uuid,
    memory: Account,
    stop: BoxFuture<'static, Error>,
) -> Delivery {
    let span = tracing::Span::current();
    let request_id = caller.request_id.clone();
    Delivery {
        compute: app.compute.clone(),
        first_batch_wait: Duration::from_millis(app.limits.first_batch_ms),
        stop,
        memory,
        queue_bytes: app.limits.queue_bytes,
        metadata: vec![("weir.run_id".to_owned(), run.to_string())],
        report: None,
        problem: Box::new(move |error| {
            serde_json::to_value(Problem::of(error, &request_id)).unwrap_or_default()
        }),
        on_end: Box::new(move |outcome| span.in_scope(|| log_end(&outcome, run))),
    }
}

fn log_end(outcome: &Outcome, run: uuid::Uuid) {
    let (rows, bytes) = (outcome.rows, outcome.bytes);
    match &outcome.error {
        None if outcome.cancelled => {
            tracing::info!(%run, rows, bytes, "transform cancelled by the caller")
        }
        None => tracing::info!(%run, rows, bytes, "transform finished"),
        Some(error) => {
            let (code, detail) = (error.stable_code(), error.log_detail());
            tracing::warn!(%run, rows, bytes, code, detail, "transform failed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_both_forms() {
        let shown = |text: &str| -> Vec<String> {
            let fields = types_text(Some(text)).unwrap();
            let show = |f: &arrow::datatypes::FieldRef| {
                format!("{} {}", f.name(), weir_core::types::field_type_name(f))
            };
            fields.iter().map(show).collect()
        };
        let expected = ["a decimal(10,2)", "b c struct<x: int8, y: json>"];
        assert_eq!(
            shown("a:decimal(10,2), b c:struct<x: int8, y: json>"),
            expected
        );
        assert_eq!(
            shown(r#"{"a":"decimal(10,2)","b c":"struct<x: int8, y: json>"}"#),
            expected
        );
        for bad in ["a", "a:int", "{", r#"{"a":5}"#] {
            assert_eq!(
                types_text(Some(bad)).unwrap_err().fields()[0].pointer,
                "?types",
                "{bad}"
            );
        }
    }
}
