//! `POST /v1/profile` and `POST /v1/sources/{s}/profile`: what is in rows.

mod bodies;
mod golden;
mod malformed;
mod sources;
mod stop;

use serde_json::Value;

/// A statistic of a column in an answer.
fn statistic<'a>(answer: &'a Value, column: &str, name: &str) -> &'a Value {
    &answer["columns"][column]["statistics"][name]
}
