//! Changes run whole, and once for each `Idempotency-Key`.
//!
//! Every request that changes something runs in a task of its own, so a caller
//! that goes away cannot stop it half way. With an idempotency key, a POST also
//! claims the key in the store first and leaves its answer there: repeated, it
//! is answered from the store, whichever instance it reaches.
//!
//! Kept are only answers that stay true: below 500, and not those that say
//! "later" or speak of rights or of a source. What was asked is kept as a hash under the
//! caller's own api key, which the store does not know, so that a body with a
//! password in it cannot be guessed from the store.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::oneshot;
use tracing::Instrument;
use weir_core::{Error, Kind, Result};
use weir_store::{Claimed, IdempotencyClaim, KeptAnswer};

use crate::auth::Caller;
use crate::extract;
use crate::problem::{self, ApiError, Carried, Problem, Rendered};
use crate::request::RequestId;
use crate::state::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Last words of paths where POST only reads. Their work ends with the caller.
const READS: [&str; 6] = ["load", "preview", "transform", "profile", "test", "resolve"];

/// Routes below this answer with a key that is shown once and never kept.
const SHOWN_ONCE: &str = "/v1/api-keys";

/// Bytes of a body at most that is kept to be given again.
const KEPT_BYTES: usize = 256 << 10;

/// Headers of an answer that are given again.
const KEPT_HEADERS: [HeaderName; 4] = [
    CONTENT_TYPE,
    ETAG,
    LOCATION,
    HeaderName::from_static("weir-error-code"),
];

/// Runs a change to its end, once for each idempotency key.
pub async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    if !changes(&request) {
        return next.run(request).await;
    }
    let (done, outcome) = oneshot::channel();
    let tasks = app.store.tasks().clone();
    let work = async move {
        // Fails only when nobody waits any more.
        let _ = done.send(answer(app, request, next).await);
    };
    tasks.spawn(work.in_current_span()).detach();
    outcome.await.unwrap_or_else(|_| {
        let error = Error::internal("a change ended without an answer").code("panic");
        ApiError(error).into_response()
    })
}

fn changes(request: &Request) -> bool {
    let method = request.method();
    !method.is_safe() && (*method != Method::POST || is_change(request.uri().path()))
}

/// Whether the body at this path is rows, of any size.
fn takes_rows(path: &str) -> bool {
    path.ends_with("/write")
}

/// The hash of a body that waits on disk, and the body from there: what it asks
/// is known before any of it is done.
async fn spooled(app: &App, body: Body) -> Result<([u8; 32], Body)> {
    let spool = app.spool.clone();
    let work = async move {
        let mut context = digest::Context::new(&digest::SHA256);
        let body = spool.keep(body, |bytes| context.update(bytes)).await?;
        Ok((sized(context.finish().as_ref()), body))
    };
    app.compute.spawn(work).await?
}

/// Whether a POST to this path changes something.
pub fn is_change(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    !READS.contains(&stem)
}

async fn answer(app: App, request: Request, next: Next) -> Response {
    let key = match (request.method(), key_of(request.headers())) {
        (&Method::POST, Ok(Some(key))) => key,
        (&Method::POST, Err(error)) => return ApiError(error).into_response(),
        _ => return next.run(request).await,
    };
    match Keyed::read(&app, &key, request).await {
        Ok((keyed, request)) => keyed.answer(request, next).await,
        Err(error) => ApiError(error).into_response(),
    }
}

/// The key of a request: a structured-field string, or bare.
fn key_of(headers: &HeaderMap) -> Result<Option<String>> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let malformed = |why: &'static str| {
        Error::new(Kind::Malformed, why)
            .hint("send one key of 1 to 255 printable characters, such as a new UUID")
    };
    if given.next().is_some() {
        return Err(malformed("the header Idempotency-Key stands twice"));
    }
    let text = value.to_str().unwrap_or_default().trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest),
        None => Some(text.to_owned()),
    };
    match key {
        Some(key) if (1..=255).contains(&key.len()) => Ok(Some(key)),
        _ => Err(malformed("the header Idempotency-Key is not valid")),
    }
}

/// What stands before the closing quote, which must be the end.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// A request under an idempotency key.
struct Keyed {
    app: App,
    claim: IdempotencyClaim,
    route: String,
    request_id: String,
}

impl Keyed {
    async fn read(app: &App, key: &str, request: Request) -> Result<(Self, Request)> {
        let (parts, body) = request.into_parts();
        let (digest, body) = match takes_rows(parts.uri.path()) {
            true => spooled(app, body).await?,
            false => {
                let whole = extract::whole(body, app.limits.json_body_bytes).await?;
                (hash(&[&whole]), Body::from(whole))
            }
        };
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| Error::internal("a change without a caller"))?;
        let uri = parts.extensions.get::<OriginalUri>();
        let uri = uri.map_or_else(|| parts.uri.clone(), |original| original.0.clone());
        let slot = hash(&[
            caller.key_id.as_bytes(),
            parts.method.as_str().as_bytes(),
            uri.path().as_bytes(),
            key.as_bytes(),
        ]);
        let claim = IdempotencyClaim {
            slot,
            fingerprint: fingerprint(&parts.headers, uri.query().unwrap_or_default(), &digest),
            instance_id: app.instance_id,
            hours: app.idempotency_hours,
        };
        let matched = parts.extensions.get::<MatchedPath>();
        let keyed = Keyed {
            app: app.clone(),
            claim,
            route: matched.map_or_else(String::new, |path| path.as_str().to_owned()),
            request_id: parts
                .extensions
                .get::<RequestId>()
                .map_or_else(String::new, |id| id.0.clone()),
        };
        Ok((keyed, Request::from_parts(parts, body)))
    }

    async fn answer(self, request: Request, next: Next) -> Response {
        match self.app.store.claim_idempotency(self.claim.clone()).await {
            Err(error) => ApiError(error).into_response(),
            Ok(Claimed::Ours(at)) => self.run(at, request, next).await,
            Ok(Claimed::Answered(kept)) => self.again(kept),
            Ok(Claimed::Running) => {
                let message = "a request with this idempotency key is still running";
                ApiError(
                    Error::new(Kind::Conflict, message)
                        .code("in_flight")
                        .retry_after(Duration::from_secs(1)),
                )
                .into_response()
            }
            Ok(Claimed::Mismatch) => {
                let message = "this idempotency key was used for another request";
                ApiError(
                    Error::new(Kind::Invalid, message)
                        .code("idempotency_mismatch")
                        .hint("send a new key with a new request, or the same body again"),
                )
                .into_response()
            }
        }
    }

    async fn run(self, at: DateTime<Utc>, request: Request, next: Next) -> Response {
        let work = async move { next.run(request).await };
        // In a task of its own: a panic must release the claim.
        let tasks = self.app.store.tasks();
        let ran = tasks.spawn(work.in_current_span()).await;
        let response = ran.unwrap_or_else(|error| ApiError(error).into_response());
        let stays = stays_true(&response);
        // The body that is kept is the one that is sent.
        let response = problem::render(response, &self.request_id, &Method::POST);
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return ApiError(Error::internal("the body of an answer broke off")).into_response();
        };
        let noted = if stays {
            let kept = self.kept(parts.status, &parts.headers, &body);
            self.app.store.keep_answer(self.claim.slot, at, kept).await
        } else {
            self.app
                .store
                .release_idempotency(self.claim.slot, at)
                .await
        };
        if let Err(error) = noted {
            // The claim ends by itself; until then a repeated request hears "in flight".
            tracing::warn!(detail = error.log_detail(), "answer not kept: {error}");
        }
        Response::from_parts(parts, Body::from(body))
    }

    fn kept(&self, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> KeptAnswer {
        let shown_once = status.is_success() && self.route.starts_with(SHOWN_ONCE);
        let headers: BTreeMap<String, String> = KEPT_HEADERS
            .iter()
            .filter_map(|name| {
                let value = headers.get(name)?.to_str().ok()?;
                Some((name.as_str().to_owned(), value.to_owned()))
            })
            .collect();
        let again = !shown_once && body.len() <= KEPT_BYTES;
        KeptAnswer {
            status: status.as_u16(),
            made: if again { None } else { id_of(&headers, body) },
            headers,
            body: again.then(|| body.to_vec()),
        }
    }

    /// The kept answer, or what was made where it cannot be shown again.
    fn again(&self, kept: KeptAnswer) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in &kept.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
        let mut response = match kept.body {
            Some(body) => {
                let mut response = Response::new(Body::from(self.fresh(kept.status, body)));
                *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or_default();
                *response.headers_mut() = headers;
                response.extensions_mut().insert(Rendered);
                response
            }
            None => {
                let error = already_created(kept.made.as_deref());
                let mut problem = Problem::of(&error, &self.request_id);
                problem.id = kept.made;
                let mut response = problem::answer(&error, &problem);
                if let Some(location) = headers.remove(LOCATION) {
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
        };
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, replayed);
        response
    }
}

impl Keyed {
    /// A problem names the request that asks, not the one before.
    fn fresh(&self, status: u16, body: Vec<u8>) -> Vec<u8> {
        if status < 400 {
            return body;
        }
        let Ok(mut problem) = serde_json::from_slice::<serde_json::Value>(&body) else {
            return body;
        };
        problem["request_id"] = self.request_id.as_str().into();
        serde_json::to_vec(&problem).unwrap_or(body)
    }
}

fn already_created(id: Option<&str>) -> Error {
    let message = match id {
        Some(id) => format!("this request was answered before and made {id}"),
        None => "this request was answered before".to_owned(),
    };
    Error::new(Kind::Conflict, message)
        .code("already_created")
        .hint("its answer is not shown twice; rotate the key if the first answer is lost")
}

/// Id of what was made: the last part of its `Location`, or of the one thing
/// that the body shows.
fn id_of(headers: &BTreeMap<String, String>, body: &[u8]) -> Option<String> {
    let located = headers.get(LOCATION.as_str());
    let last = located.and_then(|path| path.rsplit('/').next());
    last.map(str::to_owned).or_else(|| {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        let inner = body
            .as_object()?
            .values()
            .filter_map(|value| value.get("id"));
        let id = body.get("id").or_else(|| inner.into_iter().next())?;
        id.as_str().map(str::to_owned)
    })
}

/// Whether the same request would be answered the same again. What says
/// "later" is not; what a source said and what the caller may do can change.
fn stays_true(response: &Response) -> bool {
    // Done again, what may have been written would be written twice.
    let carried = response.extensions().get::<Carried>();
    if carried.is_some_and(|carried| carried.0.stable_code() == "commit_unknown") {
        return true;
    }
    let passing = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::FAILED_DEPENDENCY,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    let status = response.status();
    status.as_u16() < 499 && !passing.contains(&status)
}

/// A hash over parts that cannot be shifted into each other.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    sized(context.finish().as_ref())
}

/// What the request asks, as a hash under the caller's api key.
fn fingerprint(headers: &HeaderMap, query: &str, digest: &[u8]) -> [u8; 32] {
    let secret = headers
        .get(AUTHORIZATION)
        .map_or(&[][..], HeaderValue::as_bytes);
    let media_type = headers
        .get(CONTENT_TYPE)
        .map_or(&[][..], HeaderValue::as_bytes);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    sized(hmac::sign(&key, &hash(&[media_type, query.as_bytes(), digest])).as_ref())
}

fn sized(bytes: &[u8]) -> [u8; 32] {
    let mut sized = [0; 32];
    sized.copy_from_slice(bytes);
    sized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            IDEMPOTENCY_KEY,
            HeaderValue::from_bytes(text.as_bytes()).unwrap(),
        );
        key_of(&headers).ok().flatten()
    }

    #[test]
    fn a_key_is_quoted_or_bare() {
        assert_eq!(read("abc").as_deref(), Some("abc"));
        assert_eq!(read("\"abc\"").as_deref(), Some("abc"));
        assert_eq!(read(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
        let longest = "x".repeat(255);
        assert_eq!(read(&longest), Some(longest.clone()));
        for bad in [
            "",
            "\"\"",
            "\"abc",
            "\"a\"b",
            r#""a\n""#,
            "\u{fc}",
            &format!("{longest}x"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(key_of(&twice).is_err());
        assert!(key_of(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn what_was_made_is_named_by_its_id() {
        let none = BTreeMap::new();
        let located = [("location".to_owned(), "/v1/api-keys/7".to_owned())].into();
        assert_eq!(id_of(&located, b"{}").as_deref(), Some("7"));
        assert_eq!(id_of(&none, br#"{"id": "8"}"#).as_deref(), Some("8"));
        let shown = br#"{"key": "weir_x", "api_key": {"id": "9"}}"#;
        assert_eq!(id_of(&none, shown).as_deref(), Some("9"));
        assert_eq!(id_of(&none, br#"{"key": "weir_x"}"#), None);
    }

    #[test]
    fn a_fingerprint_needs_the_callers_key() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        let one = fingerprint(&headers, "", b"{}");
        assert_eq!(one, fingerprint(&headers, "", b"{}"));
        assert_ne!(one, fingerprint(&headers, "", b"{ }"));
        assert_ne!(one, fingerprint(&headers, "x=1", b"{}"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_ne!(one, fingerprint(&headers, "", b"{}"));
    }
}
