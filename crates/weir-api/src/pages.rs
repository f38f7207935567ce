//! Pages for people: what each error means, and the API to read and try.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use weir_core::config::nearest;
use weir_core::{Error, Kind};

use crate::codes::{self, Page};
use crate::etag;
use crate::problem::ApiResult;

/// What an error code means.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemPage {
    /// The stable code.
    #[schema(example = "name_taken")]
    pub code: String,
    /// For people.
    #[schema(example = "The name is taken")]
    pub title: String,
    /// What happened and what to do next.
    #[schema(example = "Names are unique; choose another one or change the existing resource.")]
    pub text: String,
}

/// Explain an error code
#[utoipa::path(get, path = "/problems/{code}", operation_id = "get_problem", tag = "system", security(()),
    params(("code" = String, Path, description = "A code of an error")),
    responses((status = 200, description = "What it means; browsers get it as a page", body = ProblemPage)))]
pub async fn problem(Path(code): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    let page = codes::find(&code).ok_or_else(|| {
        let known: Vec<&str> = codes::PAGES.iter().map(|page| page.code).collect();
        let error = Error::new(Kind::NotFound, "no error has this code");
        match nearest(&code, &known) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })?;
    let mut response = if wants_html(&headers) {
        html(page.title, &problem_body(page))
    } else {
        axum::Json(ProblemPage {
            code: page.code.to_owned(),
            title: page.title.to_owned(),
            text: page.text.to_owned(),
        })
        .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn problem_body(page: &Page) -> String {
    let [code, title, text] = [page.code, page.title, page.text].map(escaped);
    format!(
        "<h1>{title}</h1><p><code>{code}</code></p><p>{text}</p><p><a href=\"/docs\">The API</a></p>"
    )
}

/// Whether a browser asks: it names HTML, and before JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default();
    let place = |name| accept.find(name).unwrap_or(usize::MAX);
    place("text/html") < place("application/json")
}

/// A page without scripts.
fn html(title: &str, body: &str) -> Response {
    html_with(title, body, "")
}

/// A page; `scripts` is what its policy allows beyond nothing.
fn html_with(title: &str, body: &str, scripts: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\
         <title>{} – Weir</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escaped(title)
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; {scripts}base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
     td{padding:.2rem 1rem .2rem 0}code{background:#8882;padding:0 .2rem}";

/// Text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The page to read and try the API on. Its script comes from here and may
/// speak to here only; without scripts the operations are listed.
pub async fn docs() -> Response {
    let body = format!(
        "<script id=\"api-reference\" type=\"application/json\" data-url=\"/openapi.json\" \
         data-configuration=\"{}\"></script><script src=\"/docs/{}\"></script><noscript>{}</noscript>",
        escaped(SCALAR_SETTINGS),
        scalar::name(),
        plain_list()
    );
    let allowed = "script-src 'self'; connect-src 'self'; font-src data:; ";
    let mut response = html_with("API", &body, allowed);
    let tag = etag::of_text(body.as_bytes());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, tag);
    response
}

/// Nothing that asks another host, or leads to one.
const SCALAR_SETTINGS: &str = r#"{"withDefaultFonts":false,"telemetry":false,"agent":{"disabled":true},"mcp":{"disabled":true},"hideClientButton":true,"showDeveloperTools":"never"}"#;

/// The script of the page, under a name that changes with it.
pub async fn script(Path(file): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    if file != scalar::name() {
        return Err(Error::new(Kind::NotFound, "there is no such file")
            .code("no_route")
            .hint("GET /docs names the file that it needs")
            .into());
    }
    let gzip = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(takes_gzip);
    let mut response = match gzip {
        true => Bytes::from_static(scalar::GZIP).into_response(),
        false => scalar::plain()?.into_response(),
    };
    let headers = response.headers_mut();
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (VARY, "Accept-Encoding"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Each coding is a representation of its own.
    let coding = if gzip { "gzip" } else { "plain" };
    let tag = etag::of_text(format!("{file} {coding}").as_bytes());
    headers.insert(ETAG, tag);
    Ok(response)
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused =
            parts.any(|part| matches!(part.trim_start_matches("q=").parse(), Ok(0.0_f32)));
        name.eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The API reference that is shipped with the service, see `assets/README.md`.
mod scalar {
    use std::io::Read;
    use std::sync::OnceLock;

    use aws_lc_rs::digest;
    use bytes::Bytes;
    use weir_core::{Error, Result};

    /// The script as it is shipped, and sent to all but a few.
    pub const GZIP: &[u8] = include_bytes!("../assets/scalar.js.gz");

    /// Its file name, with a hash of what it holds.
    pub fn name() -> &'static str {
        static NAME: OnceLock<String> = OnceLock::new();
        NAME.get_or_init(|| {
            let hash = digest::digest(&digest::SHA256, GZIP);
            let hex: String = hash.as_ref()[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("scalar-{hex}.js")
        })
    }

    /// For a client that takes no gzip.
    pub fn plain() -> Result<Bytes> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(GZIP)
            .read_to_end(&mut text)
            .map_err(Error::internal)?;
        Ok(text.into())
    }
}

/// Every operation as a plain list.
fn plain_list() -> String {
    let document = crate::openapi::document();
    let mut rows = String::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            rows.push_str(&format!(
                "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
                method.to_uppercase(),
                escaped(path),
                escaped(summary)
            ));
        }
    }
    format!(
        "<h1>Weir API {}</h1><p>The document: <a href=\"/openapi.json\">OpenAPI 3.1</a>, or \
         <a href=\"/openapi-3.0.json\">OpenAPI 3.0</a></p><table>\n{rows}</table>",
        crate::system::VERSION
    )
}
