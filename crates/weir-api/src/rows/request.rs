//! What callers ask when they read rows, and its translation into a [`Read`].

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use utoipa::{IntoParams, ToSchema};
use weir_core::config::{whole, whole_option};
use weir_core::read::Params;
use weir_core::{Error, Nulls, Order, Read, Result, StreamId, Target, Value};
use weir_engine::{parse_condition, parse_filter};
use weir_wire::FormatQuery;

use super::steps::Asked;
use crate::limits::Limits;

/// One key of an order.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderBy {
    /// The column.
    pub column: String,
    /// Smallest first.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub ascending: bool,
    /// Where nulls go.
    #[serde(default)]
    pub nulls: NullsAt,
}

fn yes() -> bool {
    true
}

/// Where nulls stand in an order.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullsAt {
    /// Before every value.
    First,
    /// After every value.
    #[default]
    Last,
}

/// Whether rows are counted without the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// They are not.
    #[default]
    None,
    /// The source's own estimate, where it has one.
    Estimated,
    /// Counted, which may cost as much as the load.
    Exact,
}

/// A few rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// A stream's id, as discovery gave it. This or `query`.
    pub stream: Option<String>,
    /// One statement that only reads, in the source's dialect. This or `stream`.
    pub query: Option<String>,
    /// Bound parameters of `query`: a list by position, or an object by name.
    #[schema(value_type = Option<serde_json::Value>)]
    pub params: Option<Json>,
    /// Columns to give, in this order.
    pub columns: Option<Vec<String>>,
    /// Condition text, or a predicate tree.
    #[schema(value_type = Option<serde_json::Value>)]
    pub filter: Option<Json>,
    /// Most significant key first.
    #[serde(default)]
    pub order_by: Vec<OrderBy>,
    /// Rows at most.
    #[serde(default = "hundred", deserialize_with = "whole")]
    #[schema(default = 100, minimum = 0, maximum = 10000)]
    pub limit: u64,
    /// Steps over the rows that were read, after those of `recipe`; `GET /v1/transforms` lists what there is.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Json>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean for the steps (`number`, `datetime`, …), by name.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Json>>,
    /// `all`, or ids of suggestions: what a profile of the rows behind the steps suggests is applied to them.
    #[schema(value_type = Option<serde_json::Value>)]
    pub suggestions: Option<Json>,
    /// Tell how many rows there are in all, before any step.
    #[serde(default)]
    pub count: Count,
}

fn hundred() -> u64 {
    100
}

/// All rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadRequest {
    /// A stream's id, as discovery gave it. This or `query`.
    pub stream: Option<String>,
    /// One statement that only reads, in the source's dialect. This or `stream`.
    pub query: Option<String>,
    /// Bound parameters of `query`: a list by position, or an object by name.
    #[schema(value_type = Option<serde_json::Value>)]
    pub params: Option<Json>,
    /// Columns to give, in this order.
    pub columns: Option<Vec<String>>,
    /// Condition text, or a predicate tree.
    #[schema(value_type = Option<serde_json::Value>)]
    pub filter: Option<Json>,
    /// Most significant key first.
    #[serde(default)]
    pub order_by: Vec<OrderBy>,
    /// Rows at most.
    #[serde(default, deserialize_with = "whole_option")]
    #[schema(maximum = 9007199254740991_u64)]
    pub limit: Option<u64>,
    /// Rows in a batch at most.
    #[serde(default, deserialize_with = "whole_option")]
    #[schema(minimum = 1, maximum = 9007199254740991_u64)]
    pub batch_rows: Option<usize>,
    /// Wall time at most.
    #[serde(default, deserialize_with = "whole_option")]
    #[schema(minimum = 1, maximum = 3600000)]
    pub timeout_ms: Option<u64>,
    /// Steps over the rows that were read, after those of `recipe`; `GET /v1/transforms` lists what there is.
    #[schema(value_type = Option<Vec<Object>>)]
    pub steps: Option<Vec<Json>>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean for the steps (`number`, `datetime`, …), by name.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub column_types: Option<Map<String, Json>>,
    /// `all`, or ids of suggestions: what a profile of the rows behind the steps suggests is applied to them.
    #[schema(value_type = Option<serde_json::Value>)]
    pub suggestions: Option<Json>,
    /// Only say what would be pushed down and what the source estimates.
    #[serde(default)]
    pub dry_run: bool,
    /// Tell how many rows there are in all, before any step, in the header `weir-total-rows`.
    #[serde(default)]
    pub count: Count,
}

/// The same as [`LoadRequest`] in a query string, where `param.1=…` binds
/// parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LoadQuery {
    /// A stream's id, as discovery gave it. This or `query`.
    pub stream: Option<String>,
    /// One statement that only reads, in the source's dialect. This or `stream`.
    pub query: Option<String>,
    /// Names joined by commas.
    pub columns: Option<String>,
    /// Condition text.
    pub filter: Option<String>,
    /// Names joined by commas, `-` before those that go down: `-created,name`.
    pub order_by: Option<String>,
    /// Rows at most.
    #[param(maximum = 9007199254740991_u64)]
    pub limit: Option<u64>,
    /// Rows in a batch at most.
    #[param(minimum = 1, maximum = 9007199254740991_u64)]
    pub batch_rows: Option<usize>,
    /// Wall time at most.
    #[param(minimum = 1, maximum = 3600000)]
    pub timeout_ms: Option<u64>,
    /// Steps over the rows that were read, as a JSON list.
    #[param(max_length = 8192)]
    pub steps: Option<String>,
    /// A saved recipe: `name`, or `name@3` for one of its versions.
    pub recipe: Option<String>,
    /// What columns mean for the steps, as a JSON object.
    #[param(max_length = 8192)]
    pub column_types: Option<String>,
    /// `all`, or ids of suggestions joined by commas: what a profile of the rows behind the steps suggests is applied to them.
    pub suggestions: Option<String>,
    /// Only say what would be pushed down and what the source estimates.
    #[serde(default)]
    #[param(default = false)]
    pub dry_run: bool,
    /// Tell how many rows there are in all, before any step, in the header `weir-total-rows`.
    #[serde(default)]
    #[param(inline)]
    pub count: Count,
}

impl PreviewRequest {
    /// Takes out what is to be done with the rows.
    pub fn asked(&mut self) -> Asked {
        Asked {
            steps: self.steps.take(),
            recipe: self.recipe.take(),
            column_types: self.column_types.take(),
            suggestions: self.suggestions.take(),
        }
    }

    /// The read, asking for one row more than wanted to know whether there are more.
    pub fn read(self, limits: &Limits) -> Result<Read> {
        let most = limits.preview_rows;
        if self.limit > most {
            let message = format!(
                "limit is {}, a preview gives at most {most} rows",
                self.limit
            );
            return Err(Error::invalid("/limit", message).hint("use load for more rows"));
        }
        Ok(Read {
            target: target(self.stream, self.query, self.params, "/stream", limits)?,
            columns: columns(self.columns, limits, "/columns")?,
            filter: filter(self.filter, limits)?,
            order: self.order_by.into_iter().map(order).collect(),
            limit: Some(self.limit + 1),
            batch_rows: None,
            estimate: false,
        })
    }
}

impl LoadRequest {
    /// Takes out what is to be done with the rows.
    pub fn asked(&mut self) -> Asked {
        Asked {
            steps: self.steps.take(),
            recipe: self.recipe.take(),
            column_types: self.column_types.take(),
            suggestions: self.suggestions.take(),
        }
    }

    /// The read.
    pub fn read(self, limits: &Limits) -> Result<Read> {
        if self.batch_rows == Some(0) {
            return Err(Error::invalid(
                "/batch_rows",
                "batch_rows must be at least 1",
            ));
        }
        Ok(Read {
            target: target(self.stream, self.query, self.params, "/stream", limits)?,
            columns: columns(self.columns, limits, "/columns")?,
            filter: filter(self.filter, limits)?,
            order: self.order_by.into_iter().map(order).collect(),
            limit: self.limit,
            batch_rows: self.batch_rows,
            estimate: self.dry_run,
        })
    }
}

impl LoadQuery {
    /// Takes out what is to be done with the rows.
    pub fn asked(&mut self) -> Result<Asked> {
        let (steps, types) = (self.steps.take(), self.column_types.take());
        let suggestions = self.suggestions.take();
        let recipe = self.recipe.take();
        Asked::of_query(steps.as_deref(), recipe, types.as_deref(), suggestions)
    }

    /// The read; errors name query parameters.
    pub fn read(self, params: Vec<(String, String)>, limits: &Limits) -> Result<Read> {
        let params = (!params.is_empty()).then(|| {
            params
                .into_iter()
                .map(|(name, text)| (name, Json::String(text)))
                .collect::<Json>()
        });
        let filter = match self.filter {
            Some(text) => {
                let fine = limits.check_condition_depth(&text);
                fine.map_err(|error| error.at("?filter", "it nests too deep"))?;
                parse_condition(&text, "?filter")?.conjuncts()
            }
            None => Vec::new(),
        };
        if self.batch_rows == Some(0) {
            return Err(Error::invalid(
                "?batch_rows",
                "batch_rows must be at least 1",
            ));
        }
        Ok(Read {
            target: target(self.stream, self.query, params, "?stream", limits)
                .map_err(Error::as_parameter)?,
            columns: columns(
                self.columns
                    .map(|names| names.split(',').map(str::to_owned).collect()),
                limits,
                "?columns",
            )?,
            filter,
            order: self.order_by.as_deref().map(order_text).unwrap_or_default(),
            limit: self.limit,
            batch_rows: self.batch_rows,
            estimate: self.dry_run,
        })
    }
}

fn order(key: OrderBy) -> Order {
    Order {
        column: key.column,
        ascending: key.ascending,
        nulls: match key.nulls {
            NullsAt::First => Nulls::First,
            NullsAt::Last => Nulls::Last,
        },
    }
}

fn order_text(text: &str) -> Vec<Order> {
    let key = |part: &str| Order {
        column: part.strip_prefix('-').unwrap_or(part).to_owned(),
        ascending: !part.starts_with('-'),
        nulls: Nulls::Last,
    };
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(key)
        .collect()
}

fn columns(
    given: Option<Vec<String>>,
    limits: &Limits,
    pointer: &str,
) -> Result<Option<Vec<String>>> {
    limits.check_columns(given.as_ref().map_or(0, Vec::len), Some(pointer))?;
    Ok(given)
}

fn filter(given: Option<Json>, limits: &Limits) -> Result<Vec<weir_core::Predicate>> {
    if let Some(Json::String(text)) = &given {
        let fine = limits.check_condition_depth(text);
        fine.map_err(|error| error.at("/filter", "it nests too deep"))?;
    }
    given.map_or(Ok(Vec::new()), |json| parse_filter(&json, "/filter"))
}

fn target(
    stream: Option<String>,
    query: Option<String>,
    params: Option<Json>,
    pointer: &str,
    limits: &Limits,
) -> Result<Target> {
    if let Some(text) = &query {
        limits.check_statement(text)?;
    }
    match (stream, query) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "/query",
            "give either `stream` or `query`, not both",
        )),
        (None, None) => Err(Error::invalid("/stream", "give a `stream` or a `query`")
            .hint("GET /v1/sources/{source}/streams lists the streams")),
        (Some(_), None) if params.is_some() => Err(Error::invalid(
            "/params",
            "params go with `query`, not with `stream`",
        )),
        (Some(stream), None) => Ok(Target::Stream(StreamId::parse(&stream, pointer)?)),
        (None, Some(text)) => Ok(Target::Query {
            text,
            params: bound(params)?,
        }),
    }
}

/// An object whose names are `1` to n is a list by position.
fn bound(given: Option<Json>) -> Result<Params> {
    let literal = |json: &Json, pointer: String| {
        Value::from_json(json).ok_or_else(|| {
            Error::invalid(
                pointer,
                "a parameter is a number, text, true, false or null",
            )
        })
    };
    match given {
        None | Some(Json::Null) => Ok(Params::default()),
        Some(Json::Array(items)) => {
            let values = items
                .iter()
                .enumerate()
                .map(|(i, v)| literal(v, format!("/params/{i}")));
            Ok(Params::Positional(values.collect::<Result<_>>()?))
        }
        Some(Json::Object(fields)) => {
            let by_position: Option<Vec<&Json>> = (1..=fields.len())
                .map(|n| fields.get(&n.to_string()))
                .collect();
            if let Some(items) = by_position {
                let values = items
                    .iter()
                    .enumerate()
                    .map(|(i, v)| literal(v, format!("/params/{}", i + 1)));
                return Ok(Params::Positional(values.collect::<Result<_>>()?));
            }
            let named = fields.iter().map(|(name, value)| {
                let pointer = format!("/params/{}", weir_core::config::escape_pointer(name));
                Ok((name.clone(), literal(value, pointer)?))
            });
            Ok(Params::Named(named.collect::<Result<_>>()?))
        }
        Some(_) => Err(Error::invalid("/params", "params is a list or an object")),
    }
}

/// Takes `param.name=…` and the parameters of the format out of a query
/// string; what is left goes to the strict decoder.
pub fn split_query(query: &str) -> Split {
    let mut split = Split::default();
    let mut rest = form_urlencoded::Serializer::new(String::new());
    let mut format = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some(bound) = name.strip_prefix("param.") {
            split.params.push((bound.to_owned(), value.into_owned()));
        } else if FormatQuery::NAMES.contains(&&*name) {
            format.append_pair(&name, &value);
        } else {
            rest.append_pair(&name, &value);
        }
    }
    split.format = format.finish();
    split.rest = rest.finish();
    split
}

/// A query string in its three parts.
#[derive(Debug, Default)]
pub struct Split {
    /// `param.…` by name.
    pub params: Vec<(String, String)>,
    /// What says how rows leave.
    pub format: String,
    /// The rest.
    pub rest: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn params_by_position_and_by_name() {
        let list = bound(Some(json!([1, "a", null]))).unwrap();
        assert_eq!(
            list,
            Params::Positional(vec![Value::Int(1), Value::Text("a".into()), Value::Null])
        );
        let object = bound(Some(json!({"2": "b", "1": "a"}))).unwrap();
        assert_eq!(
            object,
            Params::Positional(vec![Value::Text("a".into()), Value::Text("b".into())])
        );
        assert!(matches!(
            bound(Some(json!({"x": 1}))).unwrap(),
            Params::Named(_)
        ));
        assert_eq!(
            bound(Some(json!([[1]]))).unwrap_err().fields()[0].pointer,
            "/params/0"
        );
    }

    #[test]
    fn one_of_stream_and_query() {
        let limits = Limits::default();
        let target = |stream: Option<&str>, query: Option<&str>, params| {
            super::target(
                stream.map(Into::into),
                query.map(Into::into),
                params,
                "/stream",
                &limits,
            )
        };
        assert!(target(None, None, None).is_err());
        assert!(target(Some("a"), Some("select 1"), None).is_err());
        assert!(target(Some("a"), None, Some(json!([1]))).is_err());
    }
}
