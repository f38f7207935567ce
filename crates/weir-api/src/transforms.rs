//! `GET /v1/transforms`: every step there is, with its JSON Schema.

use std::sync::OnceLock;

use axum::Json as Answer;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_engine::steps::catalogue;

use crate::auth::Reader;

/// A step.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TransformView {
    /// Its name, which `op` says.
    pub op: String,
    /// Other names it goes by.
    pub aliases: Vec<String>,
    /// What it does.
    pub summary: String,
    /// JSON Schema of its arguments.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// A page of steps.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TransformPage {
    /// The steps, in the order of the reference.
    pub items: Vec<TransformView>,
    /// Always null: the catalogue fits one page.
    pub next_cursor: Option<String>,
}

/// List the steps
#[utoipa::path(get, path = "/v1/transforms", operation_id = "list_transforms", tag = "recipes",
    responses((status = 200, description = "Every step there is", body = TransformPage)))]
pub async fn list(_: Reader) -> Answer<TransformPage> {
    static PAGE: OnceLock<TransformPage> = OnceLock::new();
    let page = PAGE.get_or_init(|| TransformPage {
        items: catalogue().into_iter().map(view).collect(),
        next_cursor: None,
    });
    Answer(page.clone())
}

fn view(step: weir_engine::steps::StepInfo) -> TransformView {
    TransformView {
        op: step.op.to_owned(),
        aliases: step.aliases.iter().map(|name| (*name).to_owned()).collect(),
        summary: step.summary.to_owned(),
        schema: step.schema,
    }
}
