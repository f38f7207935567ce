//! The operations that profile rows, for the OpenAPI document.

use serde_json::{Value, json};
use utoipa::IntoParams;

use super::ProfileQuery;
use crate::openapi::reference;
use crate::rows::document::{rows_or_json, run_id_parameter, source_parameter};

/// What both operations say of their answer.
const ANSWER: &str = "What holds for the rows as a whole, type and statistics of every column, and what should be cleaned. Exact unless `approximate` is asked for.";

/// Adds both operations to the paths of the document.
pub(in crate::rows) fn add_operations(paths: &mut serde_json::Map<String, Value>) {
    let asked = <ProfileQuery as IntoParams>::into_params(|| None);
    let mut parameters: Vec<Value> = asked
        .iter()
        .filter_map(|parameter| serde_json::to_value(parameter).ok())
        .collect();
    parameters.push(run_id_parameter());
    let of_rows = json!({
        "tags": ["rows"],
        "summary": "Profile rows",
        "description": format!("{ANSWER} A JSON body holds `data`; bodies of other formats are streamed, and may be packed with gzip or zstd. A multipart body has the part `request` first, then `data`."),
        "operationId": "profile_rows",
        "parameters": parameters,
        "requestBody": rows_or_json("ProfileRequest", "ProfilePart"),
        "responses": answer(),
    });
    paths.insert("/v1/profile".to_owned(), json!({ "post": of_rows }));
    let body = json!({ "application/json": { "schema": reference("ProfileSourceRequest") } });
    let of_source = json!({
        "tags": ["rows"],
        "summary": "Profile rows of a source",
        "description": format!("{ANSWER} Rows are chosen as by a load."),
        "operationId": "profile_source",
        "parameters": [source_parameter(), run_id_parameter()],
        "requestBody": { "required": true, "content": body },
        "responses": answer(),
    });
    let path = "/v1/sources/{source}/profile";
    paths.insert(path.to_owned(), json!({ "post": of_source }));
}

fn answer() -> Value {
    let headers = json!({
        "weir-run-id": { "schema": { "type": "string", "format": "uuid" }, "description": "Id of this run" }
    });
    let content = json!({ "application/json": { "schema": reference("ProfileAnswer") } });
    json!({ "200": { "description": "What is in the rows", "headers": headers, "content": content } })
}
