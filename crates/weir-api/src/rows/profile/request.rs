//! What callers ask when they profile rows.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use weir_core::config::whole_option;

use crate::rows::body::{Said, TransformQuery};
use crate::rows::request::{Count, LoadRequest, OrderBy};
use crate::rows::steps::Asked;

/// Rows, and how they are profiled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used: rows are never held as values"
)]
pub struct ProfileRequest {
    /// An array of objects, or `{"columns": [{"name", "type"?}], "rows": [[…]] or [{…}]}`.
    pub data: Value,
    /// Steps in their order, after those of `recipe`: what they give is profiled.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean (`number`, `datetime`, …), or are read as (`int64`, …), by name. The others are detected.
    #[schema(value_type = Option<Object>)]
    pub column_types: Option<Value>,
    /// Trim blanks and quotes, read blank text as null and numbers out of text before anything is counted.
    #[schema(default = true)]
    pub clean: Option<bool>,
    /// Sketches instead of tables of all values; the answer says how far off they may be.
    #[schema(default = false)]
    pub approximate: Option<bool>,
}

/// How rows are profiled: the part `request` of a body of parts.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePart {
    /// Steps in their order, after those of `recipe`: what they give is profiled.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean, or are read as, by name.
    #[schema(value_type = Option<Object>)]
    pub column_types: Option<Map<String, Value>>,
    /// Trim blanks and quotes, read blank text as null and numbers out of text before anything is counted.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub clean: bool,
    /// Sketches instead of tables of all values.
    #[serde(default)]
    #[schema(default = false)]
    pub approximate: bool,
}

/// Rows of a source, and how they are profiled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSourceRequest {
    /// A stream's id, as discovery gave it. This or `query`.
    pub stream: Option<String>,
    /// One statement that only reads, in the source's dialect. This or `stream`.
    pub query: Option<String>,
    /// Bound parameters of `query`: a list by position, or an object by name.
    #[schema(value_type = Option<serde_json::Value>)]
    pub params: Option<Value>,
    /// Columns to profile, in this order.
    pub columns: Option<Vec<String>>,
    /// Condition text, or a predicate tree.
    #[schema(value_type = Option<serde_json::Value>)]
    pub filter: Option<Value>,
    /// Most significant key first.
    #[serde(default)]
    pub order_by: Vec<OrderBy>,
    /// Rows at most.
    #[serde(default, deserialize_with = "whole_option")]
    #[schema(maximum = 9007199254740991_u64)]
    pub limit: Option<u64>,
    /// Wall time at most.
    #[serde(default, deserialize_with = "whole_option")]
    #[schema(minimum = 1, maximum = 3600000)]
    pub timeout_ms: Option<u64>,
    /// Steps over the rows that were read, after those of `recipe`: what they give is profiled.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Value>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean (`number`, `datetime`, …), by name. The others are detected.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Value>>,
    /// Trim blanks and quotes, read blank text as null and numbers out of text before anything is counted.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub clean: bool,
    /// Sketches instead of tables of all values.
    #[serde(default)]
    #[schema(default = false)]
    pub approximate: bool,
}

/// How rows are profiled, where the body is rows and nothing else.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProfileQuery {
    /// Steps as a JSON list, where the body is not JSON: what they give is profiled.
    #[param(max_length = 8192)]
    steps: Option<String>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    recipe: Option<String>,
    /// Types instead of inferred ones: `a:int64,b:decimal(10,2)`, or a JSON object.
    types: Option<String>,
    /// What columns mean, or are read as, as a JSON object.
    #[param(max_length = 8192)]
    column_types: Option<String>,
    /// Trim blanks and quotes, read blank text as null and numbers out of text before anything is counted.
    #[param(default = true)]
    clean: Option<bool>,
    /// Sketches instead of tables of all values.
    #[param(default = false)]
    approximate: Option<bool>,
}

/// How values are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rows) struct Counting {
    pub(super) clean: bool,
    pub(super) approximate: bool,
}

impl Default for Counting {
    fn default() -> Self {
        Counting {
            clean: true,
            approximate: false,
        }
    }
}

impl Said for ProfilePart {
    type More = Counting;

    fn split(self) -> (Asked, Counting) {
        let asked = Asked {
            steps: self.steps,
            recipe: self.recipe,
            column_types: self.column_types,
            suggestions: None,
        };
        let counting = Counting {
            clean: self.clean,
            approximate: self.approximate,
        };
        (asked, counting)
    }
}

impl ProfileQuery {
    /// What is to be done with the rows, and how they are counted where that is
    /// said, with the name of a parameter that says so.
    pub(super) fn split(self) -> (TransformQuery, Option<(&'static str, Counting)>) {
        let name = match (self.clean, self.approximate) {
            (Some(_), _) => Some("clean"),
            (None, Some(_)) => Some("approximate"),
            (None, None) => None,
        };
        let counting = Counting {
            clean: self.clean.unwrap_or(true),
            approximate: self.approximate.unwrap_or(false),
        };
        let asked = TransformQuery {
            steps: self.steps,
            recipe: self.recipe,
            types: self.types,
            column_types: self.column_types,
            suggestions: None,
        };
        (asked, name.map(|name| (name, counting)))
    }
}

impl ProfileSourceRequest {
    /// The load that gives the rows, and how they are counted.
    pub(super) fn split(self) -> (LoadRequest, Counting) {
        let counting = Counting {
            clean: self.clean,
            approximate: self.approximate,
        };
        let load = LoadRequest {
            stream: self.stream,
            query: self.query,
            params: self.params,
            columns: self.columns,
            filter: self.filter,
            order_by: self.order_by,
            limit: self.limit,
            batch_rows: None,
            timeout_ms: self.timeout_ms,
            steps: self.steps,
            recipe: self.recipe,
            column_types: self.column_types,
            suggestions: None,
            dry_run: false,
            count: Count::None,
        };
        (load, counting)
    }
}

fn yes() -> bool {
    true
}
