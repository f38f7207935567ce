//! The HTTP surface: routes, authentication, problems, the OpenAPI document.
//!
//! The crate can print its document without a store or a connector; handlers
//! get what they need from [`state::App`].

mod audit;
mod auth;
pub mod background;
mod codes;
mod conventions;
pub mod cors;
mod credentials;
mod effective;
mod etag;
mod examples;
mod extract;
mod idempotency;
mod keys;
mod limits;
mod lookup;
pub mod metrics;
pub mod openapi;
mod openapi30;
mod pages;
mod paging;
mod polish;
mod problem;
mod recipes;
mod request;
mod rows;
pub mod runs;
mod sources;
pub mod state;
mod surface;
pub mod system;
mod transforms;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;
use weir_core::Error;

pub use auth::{Role, hash_key};
pub use keys::new_key;
use problem::ApiError;
pub use sources::{doctor, file as sources_file};
use state::App;

/// All routes with their layers.
pub fn router(app: App) -> Router {
    let guarded = guarded_routes()
        .router
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(app.clone(), idempotency::once))
        .layer(from_fn_with_state(app.clone(), limits::bound_body))
        .layer(from_fn(conventions::hold))
        .layer(from_fn_with_state(app.clone(), auth::authenticate));
    let measured = Router::new()
        .route("/metrics", get(metrics::metrics))
        .layer(from_fn(conventions::hold))
        .layer(from_fn_with_state(app.clone(), auth::authenticate));
    Router::new()
        .merge(measured)
        .merge(open_routes().router.layer(from_fn(conventions::hold)))
        .nest("/v1", guarded)
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), request::surround))
        .with_state(app)
}

/// Routes that know their paths, which axum's own do not tell.
#[derive(Default)]
struct Routes {
    router: Router<App>,
    paths: Vec<String>,
}

impl Routes {
    fn route(mut self, path: &str, to: MethodRouter<App>) -> Self {
        self.paths.push(path.to_owned());
        self.router = self.router.route(path, to);
        self
    }
}

/// `/metrics` alone, without a key: for an address of its own.
pub fn metrics_router(app: App) -> Router {
    Router::new()
        .route("/metrics", get(metrics::open))
        .with_state(app)
}

fn open_routes() -> Routes {
    Routes::default()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/openapi.json", get(system::openapi))
        .route("/openapi-3.0.json", get(system::openapi_3_0))
        .route("/docs", get(pages::docs))
        .route("/docs/{file}", get(pages::script))
        .route("/problems/{code}", get(pages::problem))
}

fn guarded_routes() -> Routes {
    let mut routes = Routes::default()
        .route("/whoami", get(system::whoami))
        .route("/limits", get(system::limits))
        .route("/api-keys", get(keys::list).post(keys::create))
        .route(
            "/api-keys/{key}",
            get(keys::get).patch(keys::update).delete(keys::delete),
        )
        .route("/api-keys/{key}/rotate", post(keys::rotate))
        .route("/audit", get(audit::list))
        .route("/connectors", get(system::connectors))
        .route("/connectors/{kind}", get(system::connector))
        .route(
            "/connectors/{kind}/test",
            post(sources::test::test_connector),
        )
        .route(
            "/credentials",
            get(credentials::list).post(credentials::create),
        )
        .route(
            "/credentials/{credential}",
            get(credentials::get)
                .patch(credentials::update)
                .delete(credentials::delete),
        )
        .route(
            "/credentials/{credential}/rotate",
            post(credentials::rotate),
        )
        .route(
            "/credentials/{credential}/versions",
            get(credentials::versions),
        )
        .route(
            "/credentials/{credential}/resolve",
            post(credentials::resolve),
        )
        .route("/recipes", get(recipes::list).post(recipes::create))
        .route(
            "/recipes/{recipe}",
            get(recipes::get)
                .patch(recipes::update)
                .delete(recipes::delete),
        )
        .route("/recipes/{recipe}/versions", get(recipes::versions))
        .route("/transforms", get(transforms::list))
        .route("/sources", get(sources::list).post(sources::create))
        .route(
            "/sources/{source}",
            get(sources::get)
                .patch(sources::update)
                .delete(sources::delete),
        )
        .route("/sources/test", post(sources::doctor::test_sources))
        .route("/sources/{source}/test", post(sources::test::test_source))
        .route("/sources/{source}/streams", get(sources::streams::streams))
        .route("/sources/{source}/schema", get(sources::streams::schema))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::get))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/sources/{source}/preview", rows::preview_route(None))
        .route("/sources/{source}/load", rows::load_route(None))
        .route("/sources/{source}/write", post(rows::write))
        .route("/transform", rows::transform_route(None))
        .route("/profile", rows::profile_route())
        .route("/sources/{source}/profile", rows::source_profile_route());
    for format in rows::FORMATS.iter().copied() {
        let suffix = format.suffix();
        routes = routes
            .route(
                &format!("/sources/{{source}}/preview.{suffix}"),
                rows::preview_route(Some(format)),
            )
            .route(
                &format!("/sources/{{source}}/load.{suffix}"),
                rows::load_route(Some(format)),
            )
            .route(
                &format!("/transform.{suffix}"),
                rows::transform_route(Some(format)),
            );
    }
    routes
}

/// What it said is in the log of panics, as far as it may be.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    ApiError(Error::internal("a handler panicked").code("panic")).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Pages and documents that describe the rest.
    const UNDOCUMENTED: [&str; 4] = [
        "/docs",
        "/docs/{file}",
        "/openapi.json",
        "/openapi-3.0.json",
    ];

    #[test]
    fn every_path_of_the_router_is_documented_and_no_other() {
        let open = super::open_routes().paths.into_iter();
        let guarded = super::guarded_routes().paths.into_iter();
        let routed: BTreeSet<String> = open
            .filter(|path| !UNDOCUMENTED.contains(&path.as_str()))
            .chain(guarded.map(|path| format!("/v1{path}")))
            .chain(["/metrics".to_owned()])
            .collect();
        let document = crate::openapi::document();
        let documented: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(routed, documented);
    }
}
