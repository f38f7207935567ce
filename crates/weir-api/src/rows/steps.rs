//! What is to be done with rows, wherever they come from: a recipe, then steps,
//! and what their columns mean.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, Schema};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::config::{self, nearest};
use weir_core::types::parse_field;
use weir_core::{BatchStream, Context, Error, FieldError, Read, Result};
use weir_engine::ColumnKind;
use weir_engine::profile::Choice;
use weir_engine::steps::{Others, Pipeline, Report, Side, TransformOptions};
use weir_wire::Rows;

use crate::auth::Caller;
use crate::recipes::{Named, named};
use crate::state::{App, Limits};

/// Bytes of a list of steps in a query string.
const MAX_STEPS: usize = 8 << 10;

/// Where the steps of a recipe stand, before they are told as the recipe's.
const RECIPE_STEPS: &str = "/recipe/steps";

/// What a request says of steps, beside its rows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Steps in their order.
    pub steps: Option<Vec<Value>>,
    /// `name` or `name@3`.
    pub recipe: Option<String>,
    /// What columns mean, or are read as.
    pub column_types: Option<Map<String, Value>>,
    /// Which suggestions of a profile are applied behind the steps.
    pub suggestions: Option<Value>,
}

impl Asked {
    /// The same, from a query string.
    pub fn of_query(
        steps: Option<&str>,
        recipe: Option<String>,
        column_types: Option<&str>,
        suggestions: Option<String>,
    ) -> Result<Self> {
        let long = |name: &str, text: &str| {
            let message = format!("`{name}` is longer than {MAX_STEPS} bytes");
            (text.len() > MAX_STEPS).then(|| {
                Error::invalid(format!("?{name}"), message)
                    .hint("send them in a JSON body, or in the part `request` of a multipart one")
            })
        };
        let steps = steps.map(|text| match long("steps", text) {
            Some(error) => Err(error),
            None => serde_json::from_str(text).map_err(|error| {
                let message = format!("`steps` is no JSON list of steps: {error}");
                Error::invalid("?steps", message)
            }),
        });
        let types = column_types.map(|text| match long("column_types", text) {
            Some(error) => Err(error),
            None => serde_json::from_str(text).map_err(|error| {
                let message = format!("`column_types` is no JSON object: {error}");
                Error::invalid("?column_types", message)
            }),
        });
        Ok(Asked {
            steps: steps.transpose()?,
            recipe,
            column_types: types.transpose()?,
            suggestions: suggestions.map(Value::String),
        })
    }
}

/// Where the caller said what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the JSON body.
    Body,
    /// In the query string.
    Query,
    /// In the part `request` of a body.
    Part,
}

impl Place {
    /// The pointer of a field, and of what is below it.
    pub fn of(self, name: &str, below: &str) -> String {
        match self {
            Place::Body => format!("/{name}{below}"),
            Place::Query => format!("?{name}"),
            Place::Part => format!("/request/{name}{below}"),
        }
    }
}

/// What is to be done with rows, understood. Cheap to clone.
#[derive(Clone)]
pub struct Work {
    pipeline: Pipeline,
    choice: Option<Choice>,
    /// Types that columns are read as, where a format has none.
    pub types: Vec<FieldRef>,
    kinds: Vec<(String, ColumnKind)>,
    told: Arc<Told>,
}

/// Rows behind the steps.
pub struct Worked {
    /// The rows.
    pub rows: Rows,
    /// What each step did, where there were steps.
    pub report: Option<Report>,
    /// What columns mean of which the caller said so, by the names that they have now.
    pub kinds: Vec<(String, ColumnKind)>,
}

/// What an error about steps is told with.
struct Told {
    place: Place,
    /// Name and version of the recipe.
    recipe: Option<String>,
    /// Columns of which the request itself says what they are.
    own_types: Vec<String>,
}

impl Work {
    /// Understands `asked`: the recipe first, then the steps.
    pub async fn of(app: &App, caller: &Caller, asked: Asked, place: Place) -> Result<Self> {
        let own_types = asked.column_types.unwrap_or_default();
        let recipe = match &asked.recipe {
            None => None,
            Some(given) => Some(named(app, caller, given, &place.of("recipe", "")).await?),
        };
        let told = Arc::new(Told {
            place,
            recipe: recipe.as_ref().map(|recipe| recipe.title.clone()),
            own_types: own_types.keys().cloned().collect(),
        });
        let choice = chosen(asked.suggestions.as_ref(), place)?;
        let understood = understood(recipe, asked.steps.unwrap_or_default(), own_types);
        let (pipeline, kinds, types) = understood.map_err(|error| told.tell(error))?;
        Ok(Work {
            pipeline,
            choice,
            types,
            kinds,
            told,
        })
    }

    /// Whether rows stay as they are.
    pub fn is_empty(&self) -> bool {
        self.pipeline.is_empty() && self.choice.is_none()
    }

    /// Refuses types to read as, where rows bring their own.
    pub fn refuse_types(&self, what: &str) -> Result<()> {
        let Some(field) = self.types.first() else {
            return Ok(());
        };
        let below = format!("/{}", config::escape_pointer(field.name()));
        let message = format!("{what} brings its own types");
        let error = Error::invalid(format!("/column_types{below}"), message)
            .hint("say what the column means, such as `number`, or add a step `convert_type`");
        Err(self.told.tell(error))
    }

    /// Whether the read may do the first steps.
    pub fn may_push_down(&self) -> bool {
        self.pipeline.may_push_down()
    }

    /// Moves first steps into `read`, whose target has the columns of `schema`;
    /// gives how many.
    pub fn push_down(&mut self, read: &mut Read, schema: &Schema) -> usize {
        self.pipeline.push_down(read, schema, &self.kinds)
    }

    /// How long an answer waits for its first rows: steps may have to see the
    /// last row before they give the first.
    pub fn first_batch_wait(&self, limits: &Limits, ctx: &Context) -> Duration {
        match self.is_empty() {
            true => Duration::from_millis(limits.first_batch_ms),
            false => ctx.deadline.left(),
        }
    }

    /// Tells what is wrong where the caller said it.
    pub fn tell(&self, error: Error) -> Error {
        self.told.tell(error)
    }

    /// Passes `rows` through the steps; the report is complete when they have ended.
    pub async fn run(
        &self,
        app: &App,
        rows: Rows,
        others: Arc<dyn Others>,
        ctx: &Context,
    ) -> Result<Worked> {
        if self.is_empty() {
            return Ok(Worked {
                rows,
                report: None,
                kinds: self.kinds.clone(),
            });
        }
        let options = TransformOptions {
            kinds: self.kinds.clone(),
            kinds_at: Some("/column_types".to_owned()),
            others: Some(others),
        };
        let (app, pipeline, inner) = (app.clone(), self.pipeline.clone(), ctx.clone());
        let choice = self.choice.clone();
        let planning = async move {
            let side = Side {
                schema: rows.schema,
                stream: rows.batches,
            };
            app.engine
                .transform_with(side, &pipeline, choice.as_ref(), &options, &inner)
                .await
        };
        let planned = ctx.bounded(async { ctx.compute.spawn(planning).await? });
        let told = Arc::clone(&self.told);
        let transformed = planned.await.map_err(|error| told.tell(error))?;
        let batches = ending(transformed.stream, ctx.clone());
        let rows = Rows {
            schema: transformed.schema,
            batches: batches.map_err(move |error| told.tell(error)).boxed(),
        };
        Ok(Worked {
            rows,
            report: Some(transformed.report),
            kinds: transformed.kinds,
        })
    }
}

/// `stream`, which is dropped as soon as the call must end: what computes
/// between two batches may not ask.
fn ending(stream: BatchStream, ctx: Context) -> BatchStream {
    let next = |state: Option<(BatchStream, Context)>| async move {
        let (mut stream, ctx) = state?;
        let next = async { stream.next().await.transpose() };
        match ctx.bounded(next).await {
            Ok(batch) => Some((Ok(batch?), Some((stream, ctx)))),
            Err(error) => Some((Err(error), None)),
        }
    };
    futures::stream::unfold(Some((stream, ctx)), next).boxed()
}

/// Which suggestions are applied.
fn chosen(given: Option<&Value>, place: Place) -> Result<Option<Choice>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let at = place.of("suggestions", "");
    match (place, given) {
        (Place::Query, Value::String(text)) => Choice::of_text(text, &at),
        _ => Choice::parse(given, &at),
    }
}

type Understood = (Pipeline, Vec<(String, ColumnKind)>, Vec<FieldRef>);

fn understood(
    recipe: Option<Named>,
    steps: Vec<Value>,
    own_types: Map<String, Value>,
) -> Result<Understood> {
    let mut types = Map::new();
    let mut pipeline = Pipeline::default();
    if let Some(recipe) = recipe {
        pipeline = Pipeline::parse(&recipe.steps.steps, RECIPE_STEPS)?;
        types = recipe.steps.column_types.unwrap_or_default();
    }
    let pipeline = pipeline.then(Pipeline::parse(&steps, "/steps")?);
    types.extend(own_types);
    let (kinds, types) = column_types(&types, &|below| format!("/column_types{below}"))?;
    Ok((pipeline, kinds, types))
}

impl Told {
    /// `error` with its fields where the caller finds them. What is wrong with a
    /// recipe points to its name and says where in it.
    fn tell(&self, error: Error) -> Error {
        let before = error.fields().first().map(|field| field.message.clone());
        let told = error.refielded(|field| self.field(field));
        let added = match (before, told.fields().first()) {
            (Some(before), Some(field)) if told.message() == before => {
                field.message.strip_suffix(&before).map(str::to_owned)
            }
            _ => None,
        };
        match added.filter(|added| !added.is_empty()) {
            Some(added) => told.prefixed(&added),
            None => told,
        }
    }

    fn field(&self, FieldError { pointer, message }: FieldError) -> FieldError {
        let place = self.place;
        if let Some(below) = pointer.strip_prefix(RECIPE_STEPS) {
            return self.of_recipe(&format!("/steps{below}"), &message);
        }
        if let Some(below) = pointer.strip_prefix("/column_types/")
            && !self
                .own_types
                .iter()
                .any(|name| config::escape_pointer(name) == below)
            && self.recipe.is_some()
        {
            return self.of_recipe(&pointer, &message);
        }
        for name in ["steps", "column_types", "suggestions"] {
            let below = pointer.strip_prefix('/').and_then(|p| p.strip_prefix(name));
            if let Some(below) = below.filter(|p| p.is_empty() || p.starts_with('/')) {
                let message = match place {
                    Place::Query if !below.is_empty() => format!("at {below}: {message}"),
                    _ => message,
                };
                return FieldError {
                    pointer: place.of(name, below),
                    message,
                };
            }
        }
        FieldError { pointer, message }
    }

    fn of_recipe(&self, within: &str, message: &str) -> FieldError {
        let title = self.recipe.as_deref().unwrap_or_default();
        FieldError {
            pointer: self.place.of("recipe", ""),
            message: format!("in the recipe `{title}`, at {within}: {message}"),
        }
    }
}

/// What columns mean, and what they are read as.
pub type ColumnTypes = (Vec<(String, ColumnKind)>, Vec<FieldRef>);

/// Tells the two vocabularies of `column_types` apart; `at` gives the pointer
/// of what is below.
pub fn column_types(
    given: &Map<String, Value>,
    at: &dyn Fn(&str) -> String,
) -> Result<ColumnTypes> {
    let (mut kinds, mut types) = (Vec::new(), Vec::new());
    for (name, value) in given {
        let pointer = at(&format!("/{}", config::escape_pointer(name)));
        let Some(text) = value.as_str() else {
            let message = "a type is a text such as `number` or `int64`";
            return Err(Error::invalid(pointer, message).code("unknown_type"));
        };
        if let Some(kind) = ColumnKind::from_name(text.trim()) {
            kinds.push((name.clone(), kind));
            continue;
        }
        let field = parse_field(name, text).map_err(|_| no_type(text, pointer))?;
        types.push(FieldRef::new(field));
    }
    Ok((kinds, types))
}

/// Types by which something is read; what is not known comes with the nearest.
const READ_AS: [&str; 19] = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "string",
    "binary",
    "date",
    "time",
    "timestamp",
    "duration",
    "interval",
    "json",
];

fn no_type(text: &str, pointer: String) -> Error {
    let known: Vec<&str> = ColumnKind::ALL
        .iter()
        .map(|kind| kind.name())
        .chain(READ_AS)
        .collect();
    let shown: String = text.chars().take(64).collect();
    let message = match nearest(text, &known) {
        Some(near) => format!("`{shown}` is no type; did you mean `{near}`?"),
        None => format!("`{shown}` is no type"),
    };
    let kinds = ColumnKind::ALL.map(ColumnKind::name).join(", ");
    Error::invalid(pointer, message)
        .code("unknown_type")
        .hint(format!(
            "a column means {kinds}, or is read as {}, decimal(p,s), list<t>, struct<name: t, …>",
            READ_AS.join(", ")
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(place: Place, recipe: Option<&str>, pointer: &str) -> (String, String) {
        let told = Told {
            place,
            recipe: recipe.map(str::to_owned),
            own_types: vec!["a/b".to_owned()],
        };
        let error = told.tell(Error::invalid(pointer, "no column `x`"));
        let field = &error.fields()[0];
        (field.pointer.clone(), field.message.clone())
    }

    #[test]
    fn a_fault_points_to_where_the_caller_said_it() {
        let plain = "no column `x`".to_owned();
        for (place, pointer, expected) in [
            (Place::Body, "/steps/3/columns/0", "/steps/3/columns/0"),
            (
                Place::Part,
                "/steps/3/columns/0",
                "/request/steps/3/columns/0",
            ),
            (Place::Body, "/column_types/a~1b", "/column_types/a~1b"),
            (Place::Body, "/stepson", "/stepson"),
        ] {
            assert_eq!(
                told(place, Some("r@1"), pointer),
                (expected.to_owned(), plain.clone())
            );
        }
        assert_eq!(
            told(Place::Query, None, "/steps/3/columns"),
            (
                "?steps".to_owned(),
                "at /3/columns: no column `x`".to_owned()
            )
        );
        let of_recipe = |within: &str| format!("in the recipe `r@1`, at {within}: no column `x`");
        assert_eq!(
            told(Place::Body, Some("r@1"), "/recipe/steps/0/op"),
            ("/recipe".to_owned(), of_recipe("/steps/0/op"))
        );
        assert_eq!(
            told(Place::Query, Some("r@1"), "/column_types/c"),
            ("?recipe".to_owned(), of_recipe("/column_types/c"))
        );
    }

    #[test]
    fn the_two_vocabularies_of_types_are_told_apart() {
        let given = json!({"a": "number", "b": "decimal(10,2)", "c": "text", "d": "string"});
        let (kinds, types) = column_types(given.as_object().unwrap(), &str::to_owned).unwrap();
        let kinds: Vec<&str> = kinds.iter().map(|(name, _)| name.as_str()).collect();
        let types: Vec<&str> = types.iter().map(|field| field.name().as_str()).collect();
        assert_eq!((kinds, types), (vec!["a", "c"], vec!["b", "d"]));
        for (bad, near) in [("numbr", "number"), ("int46", "int64"), ("x", "")] {
            let given = json!({"a/b": bad});
            let error = column_types(given.as_object().unwrap(), &str::to_owned).unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/a~1b");
            assert!(error.message().contains(near), "{error}");
            assert_eq!(error.stable_code(), "unknown_type");
        }
        assert!(column_types(json!({"a": 5}).as_object().unwrap(), &str::to_owned).is_err());
    }
}
