//! The body of a transform or a profile: rows alone, rows in JSON beside what to do with
//! them, or both as parts.

use axum::body::Body as HttpBody;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use weir_core::{Context, Error, Kind, Result, config};
use weir_wire::decode::{DecodeOptions, json_members};
use weir_wire::{Format, Intake, Media, Part, Parts, Rows, rows_in, rows_of};

use super::steps::{Asked, Place, Work, column_types};
use crate::auth::Caller;
use crate::extract::whole;
use crate::state::App;

/// The parts of a body, in their order.
const PARTS: &[&str] = &["request", "data"];

/// What stands in the query string where the body is rows and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransformQuery {
    pub(super) steps: Option<String>,
    pub(super) recipe: Option<String>,
    pub(super) types: Option<String>,
    pub(super) column_types: Option<String>,
    pub(super) suggestions: Option<String>,
}

impl TransformQuery {
    fn is_empty(&self) -> bool {
        let Self {
            steps,
            recipe,
            types,
            column_types,
            suggestions,
        } = self;
        [steps, recipe, types, column_types, suggestions]
            .into_iter()
            .all(Option::is_none)
    }

    async fn work(self, app: &App, caller: &Caller) -> Result<Work> {
        let (steps, types) = (self.steps.as_deref(), self.column_types.as_deref());
        let asked = Asked::of_query(steps, self.recipe, types, self.suggestions)?;
        let mut work = Work::of(app, caller, asked, Place::Query).await?;
        work.types.extend(types_text(self.types.as_deref())?);
        Ok(work)
    }
}

/// What a request says beside its rows, in JSON.
pub(super) trait Said: DeserializeOwned + Send {
    /// What it says beside what is to be done with them.
    type More: Default + Send;

    /// What is to be done with the rows, and the rest.
    fn split(self) -> (Asked, Self::More);
}

impl Said for Asked {
    type More = ();

    fn split(self) -> (Asked, ()) {
        (self, ())
    }
}

/// A body, and what is said of it.
pub(super) struct Body<S: Said> {
    pub(super) headers: HeaderMap,
    pub(super) asked: TransformQuery,
    /// The rest of what the query string says, with the name of a parameter.
    pub(super) more: Option<(&'static str, S::More)>,
    pub(super) body: HttpBody,
}

/// What a request gives.
pub(super) struct Given<M> {
    /// What is to be done with the rows.
    pub(super) work: Work,
    /// The rows, once their schema is known.
    pub(super) rows: Rows,
    /// What was said beside it.
    pub(super) more: M,
}

/// What reads bodies.
struct Reading<'a> {
    app: &'a App,
    caller: &'a Caller,
    ctx: &'a Context,
}

impl<S: Said> Body<S> {
    /// What is to be done, and its rows, once their schema is known.
    pub(super) async fn read(
        self,
        app: &App,
        caller: &Caller,
        ctx: &Context,
    ) -> Result<Given<S::More>> {
        let reading = Reading { app, caller, ctx };
        let Body {
            headers,
            asked,
            more,
            body,
        } = self;
        let body = match Parts::of(&headers, body, PARTS)? {
            Ok(parts) => {
                refuse_packed(&headers)?;
                let what = "the part `request` holds `steps`, `recipe` and `column_types`";
                refuse_query::<S>(&asked, more.as_ref(), what)?;
                return reading.parts::<S>(parts).await;
            }
            Err(body) => body,
        };
        let media = Media::from_headers(&headers)?;
        if media.format == Format::Json {
            refuse_packed(&headers)?;
            let text = reading.text(body).await?;
            if !text.trim_ascii_start().starts_with(b"[") {
                let what = "a JSON body holds `steps`, `recipe` and `column_types` itself";
                let (data, said) = split_body(&text)?;
                refuse_query::<S>(&asked, more.as_ref(), what)?;
                return reading.object::<S>(data, said).await;
            }
            let work = asked.work(app, caller).await?;
            let rows = reading.json_rows(&work, text).await;
            return given(work, more, rows, Place::Query);
        }
        let has_types = asked.types.is_some();
        let work = asked.work(app, caller).await?;
        if !has_types {
            refuse_types(&work, &media)?;
        }
        let rows = reading.stream(&work, media, &headers, body).await;
        given(work, more, rows, Place::Query)
    }
}

fn given<M: Default>(
    work: Work,
    more: Option<(&'static str, M)>,
    rows: Result<Rows>,
    place: Place,
) -> Result<Given<M>> {
    Ok(Given {
        work,
        rows: rows.map_err(|error| places(error, place))?,
        more: more.map(|(_, more)| more).unwrap_or_default(),
    })
}

/// What the body says itself does not stand in the query string, too.
fn refuse_query<S: Said>(
    asked: &TransformQuery,
    more: Option<&(&'static str, S::More)>,
    message: &'static str,
) -> Result<()> {
    if !asked.is_empty() {
        return Err(Error::invalid("?steps", message));
    }
    match more {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("{message}, and `{name}`");
            Err(Error::invalid(format!("?{name}"), message))
        }
    }
}

/// Formats with types of their own are not read as others.
fn refuse_types(work: &Work, media: &Media) -> Result<()> {
    match media.format {
        Format::Arrow | Format::Parquet => work.refuse_types(media.format.suffix()),
        Format::Json | Format::Ndjson | Format::Csv => Ok(()),
    }
}

/// Where the types stand that a decoder calls `?types`.
fn places(error: Error, place: Place) -> Error {
    match place {
        Place::Query => error.as_parameter(),
        _ => error.repointed(|pointer| match pointer.strip_prefix("/types") {
            Some(below) => place.of("column_types", below),
            None if pointer == "?types" => place.of("column_types", ""),
            None => pointer.to_owned(),
        }),
    }
}

impl Reading<'_> {
    fn intake(&self) -> Intake {
        Intake {
            ctx: self.ctx.clone(),
            body_bytes: self.app.limits.body_bytes,
            spool: self.app.spool.clone(),
        }
    }

    fn options(&self, work: &Work) -> DecodeOptions {
        DecodeOptions {
            types: work.types.clone(),
            ..self.app.decode_options()
        }
    }

    async fn stream(
        &self,
        work: &Work,
        media: Media,
        headers: &HeaderMap,
        body: HttpBody,
    ) -> Result<Rows> {
        rows_in(media, headers, body, self.options(work), self.intake()).await
    }

    /// A body of JSON, up to its limit.
    async fn text(&self, body: HttpBody) -> Result<Bytes> {
        let text = whole(body, self.app.limits.json_body_bytes).await;
        text.map_err(|error| match error.stable_code() {
            "json_too_large" => error.hint(
                "send larger rows as ndjson, arrow, csv or parquet, with ?steps= or as the part `data`",
            ),
            _ => error,
        })
    }

    /// `{data, steps}`.
    async fn object<S: Said>(
        &self,
        data: Bytes,
        said: Map<String, Value>,
    ) -> Result<Given<S::More>> {
        let said: S = config::decode(Value::Object(said))?;
        let (asked, more) = said.split();
        let work = Work::of(self.app, self.caller, asked, Place::Body).await?;
        let rows = self.json_rows(&work, data).await;
        Ok(Given {
            work,
            rows: rows.map_err(|error| in_data(error, Place::Body))?,
            more,
        })
    }

    async fn json_rows(&self, work: &Work, data: Bytes) -> Result<Rows> {
        let mut held = self.ctx.memory.hold();
        held.set(data.len()).await?;
        let rows = rows_of(Format::Json, data, self.options(work), self.intake()).await?;
        // The text is there until its last row has left.
        let batches = rows.batches.inspect(move |_| {
            let _held = &held;
        });
        Ok(Rows {
            batches: batches.boxed(),
            ..rows
        })
    }

    /// `request` first, then `data`.
    async fn parts<S: Said>(&self, mut parts: Parts) -> Result<Given<S::More>> {
        let request = next(&mut parts, "request").await?;
        json_part(&request)?;
        let text = parts.whole(self.app.limits.json_body_bytes).await?;
        self.app.limits.check_depth(&text)?;
        let said: S = config::decode_slice(&text).map_err(|error| error.under("/request"))?;
        let (asked, more) = said.split();
        let work = Work::of(self.app, self.caller, asked, Place::Part).await?;
        let data = next(&mut parts, "data").await?;
        let media = media_of(&data)?;
        if media.format != Format::Json {
            refuse_types(&work, &media)?;
            let rows = self.stream(&work, media, &data.headers, parts.last()).await;
            return given(work, Some(("", more)), rows, Place::Part);
        }
        refuse_packed(&data.headers)?;
        let text = parts.whole(self.app.limits.json_body_bytes).await?;
        if let Some(part) = parts.next().await? {
            return Err(parts.refused(part.name));
        }
        let rows = self.json_rows(&work, text).await;
        Ok(Given {
            work,
            rows: rows.map_err(|error| in_data(error, Place::Part))?,
            more,
        })
    }
}

/// Pointers of JSON rows are below `data`.
fn in_data(error: Error, place: Place) -> Error {
    error.repointed(|pointer| match pointer.strip_prefix("/types") {
        Some(below) => place.of("column_types", below),
        None => format!("/data{pointer}"),
    })
}

async fn next(parts: &mut Parts, wanted: &str) -> Result<Part> {
    match parts.next().await? {
        Some(part) if part.name == wanted => Ok(part),
        Some(part) => Err(parts.refused(part.name)),
        None => {
            let message = format!("the part `{wanted}` is missing");
            Err(Error::invalid(format!("/{wanted}"), message)
                .hint("send multipart/form-data with the part `request` (JSON) first, then `data`"))
        }
    }
}

fn essence(part: &Part) -> Option<&str> {
    let text = part.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim())
}

fn json_part(part: &Part) -> Result<()> {
    match essence(part) {
        None => Ok(()),
        Some(given) if given.eq_ignore_ascii_case("application/json") => Ok(()),
        Some(given) => {
            let message = format!("the part `request` is JSON, not `{given}`");
            Err(Error::new(Kind::MediaType, message)
                .hint("give the part the Content-Type application/json, or none"))
        }
    }
}

/// The media type of the rows; by the name of the file where the client knew none.
fn media_of(part: &Part) -> Result<Media> {
    let unknown = matches!(essence(part), None | Some("application/octet-stream"));
    let ending = part
        .file_name
        .as_deref()
        .and_then(|name| name.rsplit_once('.'));
    let by_name = ending.and_then(|(_, ending)| {
        let ending = ending.to_ascii_lowercase();
        Format::ALL
            .into_iter()
            .find(|format| format.suffix() == ending)
    });
    match by_name.filter(|_| unknown) {
        Some(format) => {
            let mut headers = HeaderMap::new();
            let media = HeaderValue::from_static(format.media_type());
            headers.insert(CONTENT_TYPE, media);
            Media::from_headers(&headers)
        }
        None => Media::from_headers(&part.headers),
    }
}

fn refuse_packed(headers: &HeaderMap) -> Result<()> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(());
    }
    let message = "this body is not taken packed";
    Err(Error::new(Kind::MediaType, message).hint(
        "ndjson, arrow and csv may be packed, also as the part `data` with a Content-Encoding of its own",
    ))
}

/// The rows of a body, and the rest of it.
fn split_body(text: &Bytes) -> Result<(Bytes, Map<String, Value>)> {
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
    let (mut data, mut rest) = (None, Map::new());
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
    Ok((data, rest))
}

/// `{"a": "int64"}`, or `a:int64,b:decimal(10,2)`.
pub(super) fn types_text(given: Option<&str>) -> Result<Vec<arrow::datatypes::FieldRef>> {
    let Some(text) = given else {
        return Ok(Vec::new());
    };
    if text.trim_start().starts_with('{') {
        let map = serde_json::from_str(text).map_err(|error| {
            Error::invalid("?types", format!("`types` is no JSON object: {error}"))
        })?;
        return typed(&map);
    }
    let mut map = Map::new();
    for part in split_top(text) {
        let (name, type_) = part
            .split_once(':')
            .ok_or_else(|| Error::invalid("?types", "`types` is written name:type,name:type"))?;
        map.insert(name.trim().to_owned(), type_.trim().into());
    }
    typed(&map)
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

fn typed(map: &Map<String, Value>) -> Result<Vec<arrow::datatypes::FieldRef>> {
    let (kinds, types) = column_types(map, &|_| "?types".to_owned())?;
    if let Some((name, kind)) = kinds.first() {
        let shown: String = name.chars().take(64).collect();
        let message =
            format!("`types` says what columns are read as, and `{shown}` is given `{kind}`");
        return Err(Error::invalid("?types", message)
            .code("unknown_type")
            .hint("say what columns mean with ?column_types={\"a\": \"number\"}"));
    }
    Ok(types)
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
