//! A list of steps: understood as soon as it is sent, planned once the columns
//! are known.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use weir_core::config::{self, nearest};
use weir_core::{Error, Result};
use weir_values::ColumnKind;

use super::at::At;
use super::env::Side;
use super::frame::Frame;
use super::list::STEPS;
use super::mage;
use super::wanted::with_shape;

/// A step: its arguments, typed.
pub trait Step: DeserializeOwned + JsonSchema + Sized {
    /// What is wrong with the arguments whatever the columns are.
    fn check(&self, at: &At) -> Result<()> {
        let _ = at;
        Ok(())
    }

    /// The second table it works with.
    fn side(&self) -> Option<Ask> {
        None
    }

    /// Puts the step onto the plan.
    fn plan(self, frame: Frame, at: &At) -> Result<Frame>;
}

/// A second table that a step works with.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// A stream of a source.
    Stream {
        /// Name, id or reference of the source.
        source: String,
        /// The stream.
        stream: String,
    },
    /// Rows in the step itself.
    Data(Value),
}

/// Opens the tables that steps work with beside their input.
#[async_trait]
pub trait Others: Send + Sync {
    /// The rows of `ask`; pointers of errors are below `at`.
    async fn open(&self, ask: &Ask, at: &At) -> Result<Side>;
}

/// What is known of a step without one being there.
pub struct StepKind {
    /// Its name.
    pub op: &'static str,
    /// Other names it goes by.
    pub aliases: &'static [&'static str],
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The JSON Schema of its arguments.
    pub schema: fn() -> Value,
    pub(super) check: fn(Value, &At) -> Result<Option<Ask>>,
    pub(super) plan: fn(Value, Frame, &At) -> Result<Frame>,
}

impl StepKind {
    /// The step whose arguments are `T`.
    pub const fn of<T: Step>(
        op: &'static str,
        aliases: &'static [&'static str],
        summary: &'static str,
    ) -> Self {
        StepKind {
            op,
            aliases,
            summary,
            schema: schema::<T>,
            check: check::<T>,
            plan: plan::<T>,
        }
    }
}

fn schema<T: Step>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn typed<T: Step>(args: Value, at: &At) -> Result<T> {
    let step: T = config::decode(args).map_err(|error| {
        let error = with_shape(error, &schema::<T>());
        error.repointed(|inner| at.inner(inner))
    })?;
    step.check(at)?;
    Ok(step)
}

fn check<T: Step>(args: Value, at: &At) -> Result<Option<Ask>> {
    Ok(typed::<T>(args, at)?.side())
}

fn plan<T: Step>(args: Value, frame: Frame, at: &At) -> Result<Frame> {
    typed::<T>(args, at)?.plan(frame, at)
}

/// Steps that are understood.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    pub(super) steps: Vec<Planned>,
}

/// A step that is understood.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) kind: &'static StepKind,
    pub(super) args: Value,
    pub(super) at: At,
    pub(super) ask: Option<Ask>,
    /// The read does it.
    pub(super) pushed: bool,
    /// What the step itself says that columns mean.
    pub(super) kinds: Vec<(String, ColumnKind)>,
    /// The suggestion that it comes from.
    pub(super) suggested: Option<Suggested>,
}

/// A suggestion that the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suggested {
    pub(super) id: &'static str,
    /// Whether the rows call for it; else nothing is done.
    pub(super) is_needed: bool,
}

impl std::fmt::Debug for StepKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StepKind").field(&self.op).finish()
    }
}

/// Steps in a row at most.
const MAX_STEPS: usize = 200;

impl Pipeline {
    /// Understands `steps`; `at` points to the list: `/steps`, or `?steps`.
    pub fn parse(steps: &[Value], at: &str) -> Result<Self> {
        if steps.len() > MAX_STEPS {
            let message = format!("there are {} steps, at most {MAX_STEPS} run", steps.len());
            return Err(Error::invalid(at, message)
                .code("too_many_steps")
                .hint("join steps over several columns into one, or send the rows through twice"));
        }
        let parsed = steps
            .iter()
            .enumerate()
            .map(|(n, step)| parse(step, At::new(at, n)));
        Ok(Pipeline {
            steps: parsed.collect::<Result<_>>()?,
        })
    }

    /// The steps of suggestions: each with its id, and the step where the rows
    /// call for it, else its name. All of them stand at `at`.
    pub(crate) fn suggested(
        steps: &[(&'static str, std::result::Result<Value, &'static str>)],
        at: &str,
    ) -> Result<Self> {
        let planned = steps.iter().enumerate().map(|(n, (id, step))| {
            let at = At::new(at, n);
            let planned = match step {
                Ok(step) => parse(step, at)?,
                Err(op) => Planned {
                    kind: kind_of(op).ok_or_else(|| unknown(op, &at))?,
                    args: Value::Null,
                    at,
                    ask: None,
                    pushed: false,
                    kinds: Vec::new(),
                    suggested: None,
                },
            };
            let is_needed = step.is_ok();
            let suggested = Some(Suggested { id, is_needed });
            Ok(Planned {
                suggested,
                ..planned
            })
        });
        Ok(Pipeline {
            steps: planned.collect::<Result<_>>()?,
        })
    }

    /// The same, with the steps of `other` behind.
    #[must_use]
    pub fn then(mut self, other: Pipeline) -> Self {
        self.steps.extend(other.steps);
        self
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }
}

fn parse(step: &Value, at: At) -> Result<Planned> {
    let Value::Object(fields) = step else {
        return Err(Error::invalid(at.step(), "a step is an object")
            .hint("write it like {\"op\": \"select\", \"columns\": [\"a\"]}"));
    };
    if mage::is_payload(fields) {
        return payload(fields, At::of_payload(at));
    }
    let mut fields = fields.clone();
    let op = match fields.shift_remove("op") {
        Some(Value::String(op)) => op,
        Some(_) => return Err(Error::invalid(at.field("op"), "`op` is the name of a step")),
        None => return Err(without_op(&fields, &at)),
    };
    let kind = kind_of(&op).ok_or_else(|| unknown(&op, &at))?;
    let args = Value::Object(fields);
    let ask = (kind.check)(args.clone(), &at)?;
    Ok(Planned {
        kind,
        args,
        at,
        ask,
        pushed: false,
        kinds: Vec::new(),
        suggested: None,
    })
}

fn payload(fields: &Map<String, Value>, at: At) -> Result<Planned> {
    let mapped = mage::mapped(fields, &at)?;
    let kind = kind_of(mapped.op).ok_or_else(|| unknown(mapped.op, &at))?;
    let args = Value::Object(mapped.args);
    let ask = (kind.check)(args.clone(), &at)?;
    Ok(Planned {
        kind,
        args,
        at,
        ask,
        pushed: false,
        kinds: mapped.kinds,
        suggested: None,
    })
}

/// The step of that name or alias.
pub(super) fn kind_of(op: &str) -> Option<&'static StepKind> {
    STEPS
        .iter()
        .find(|kind| kind.op == op || kind.aliases.contains(&op))
}

fn without_op(fields: &Map<String, Value>, at: &At) -> Error {
    let near = ["step", "type", "kind", "name"]
        .into_iter()
        .find(|key| fields.get(*key).is_some_and(Value::is_string));
    let message = match near {
        Some(near) => format!("`op` is missing; is `{near}` meant?"),
        None => "`op`, the name of the step, is missing".to_owned(),
    };
    Error::invalid(at.field("op"), message).hint("GET /v1/transforms lists the steps")
}

fn unknown(op: &str, at: &At) -> Error {
    let known: Vec<&str> = STEPS
        .iter()
        .flat_map(|kind| std::iter::once(kind.op).chain(kind.aliases.iter().copied()))
        .collect();
    let shown: String = op.chars().take(64).collect();
    let message = match nearest(op, &known) {
        Some(near) => format!("there is no step `{shown}`; did you mean `{near}`?"),
        None => format!("there is no step `{shown}`"),
    };
    Error::invalid(at.field("op"), message)
        .code("unknown_step")
        .hint("GET /v1/transforms lists the steps and their arguments")
}

/// A step as the catalogue shows it.
#[derive(Debug, Clone)]
pub struct StepInfo {
    /// Its name.
    pub op: &'static str,
    /// Other names it goes by.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub summary: &'static str,
    /// The JSON Schema of its arguments, without `op`.
    pub schema: Value,
}

/// Every step there is.
pub fn catalogue() -> Vec<StepInfo> {
    let info = |kind: &StepKind| StepInfo {
        op: kind.op,
        aliases: kind.aliases,
        summary: kind.summary,
        schema: (kind.schema)(),
    };
    STEPS.iter().map(info).collect()
}
