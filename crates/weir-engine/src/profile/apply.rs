//! Suggestions applied: rows are kept while they are profiled, then pass through
//! the steps that the profile calls for.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use weir_core::config::nearest;
use weir_core::{Context, Error, Result};

use super::run::Kept;
use super::suggest::{ALL, Choice, Suggestion, id};
use super::{Profile, ProfileOptions};
use crate::read::Engine;
use crate::steps::{Pipeline, Side, TransformOptions, Transformed};

/// Where a request says which suggestions are applied.
const AT: &str = "/suggestions";

/// The word for all of them.
const EVERY: &str = "all";

impl Choice {
    /// Understands `all`, or a list of ids; none of an empty list. Errors point
    /// below `at`.
    pub fn parse(given: &Value, at: &str) -> Result<Option<Self>> {
        let not_known = || {
            let message = "`suggestions` is \"all\" or a list of ids";
            Error::invalid(at, message).hint(hint())
        };
        match given {
            Value::Null => Ok(None),
            Value::String(text) if text == EVERY => Ok(Some(Choice::All)),
            Value::Array(items) => {
                let ids = items.iter().enumerate().map(|(n, item)| {
                    let at = format!("{at}/{n}");
                    let text = item.as_str();
                    let text =
                        text.ok_or_else(|| Error::invalid(&at, "an id is a text").hint(hint()))?;
                    known(text, &at)
                });
                let ids: Vec<String> = ids.collect::<Result<_>>()?;
                Ok((!ids.is_empty()).then_some(Choice::Listed(ids)))
            }
            _ => Err(not_known()),
        }
    }

    /// The same of a query string: `all`, or ids joined by commas.
    pub fn of_text(text: &str, at: &str) -> Result<Option<Self>> {
        if text == EVERY {
            return Ok(Some(Choice::All));
        }
        let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
        let ids: Vec<String> = ids.map(|id| known(id, at)).collect::<Result<_>>()?;
        Ok((!ids.is_empty()).then_some(Choice::Listed(ids)))
    }
}

fn hint() -> String {
    let ids = ALL.map(|(id, _)| id).join(", ");
    format!("give \"all\", or some of {ids}")
}

fn known(text: &str, at: &str) -> Result<String> {
    if ALL.iter().any(|(id, _)| *id == text) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(64).collect();
    let message = match nearest(text, &ALL.map(|(id, _)| id)) {
        Some(near) => format!("there is no suggestion `{shown}`; did you mean `{near}`?"),
        None => format!("there is no suggestion `{shown}`"),
    };
    Err(Error::invalid(at, message)
        .code("unknown_suggestion")
        .hint(hint()))
}

impl Engine {
    /// Passes `rows` through `pipeline`, and what comes of them through the
    /// suggestions that a profile of it makes and `choice` names. Their rows are
    /// kept until the profile is there.
    pub async fn transform_with(
        &self,
        rows: Side,
        pipeline: &Pipeline,
        choice: Option<&Choice>,
        options: &TransformOptions,
        ctx: &Context,
    ) -> Result<Transformed> {
        let before = self.transform(rows, pipeline, options, ctx).await?;
        let Some(choice) = choice else {
            return Ok(before);
        };
        let Transformed {
            schema,
            stream,
            report,
            kinds,
        } = before;
        let profiled = ProfileOptions {
            kinds,
            ..ProfileOptions::default()
        };
        let rows = Side { schema, stream };
        let Kept {
            profile,
            schema,
            rows,
        } = self.profile_kept(rows, &profiled, ctx).await?;
        let there = |pointer: &str| match pointer.is_empty() {
            true => String::new(),
            false => AT.to_owned(),
        };
        let steps = Pipeline::suggested(&steps(choice, &profile), AT);
        let options = TransformOptions {
            kinds: profile.kinds,
            ..options.clone()
        };
        let rows = Side {
            schema,
            stream: rows.read(),
        };
        let applied = async { self.passed(rows, &steps?, &options, report, ctx).await };
        let applied = applied.await.map_err(|error| error.repointed(there))?;
        let stream = applied.stream.map_err(move |error| error.repointed(there));
        Ok(Transformed {
            stream: stream.boxed(),
            ..applied
        })
    }
}

/// A step that the rows call for, or the name of one that they do not.
type Step = (&'static str, std::result::Result<Value, &'static str>);

/// The steps of the chosen suggestions, in their order, as each of them finds the
/// columns that those before have left.
fn steps(choice: &Choice, profile: &Profile) -> Vec<Step> {
    let mut left = Left::default();
    let mut steps: Vec<Step> = Vec::new();
    for (id, op) in ALL {
        let (is_chosen, is_named) = match choice {
            Choice::All => (true, false),
            Choice::Listed(ids) => {
                let is_named = ids.iter().any(|named| named == id);
                (is_named, is_named)
            }
        };
        if !is_chosen {
            continue;
        }
        let made = profile
            .suggestions
            .iter()
            .filter(|suggestion| suggestion.id == id);
        let (mut is_made, mut is_applied) = (false, false);
        for suggestion in made {
            is_made = true;
            if let Some(step) = left.step(suggestion) {
                is_applied = true;
                steps.push((id, Ok(step)));
                left.apply(suggestion);
            }
        }
        if !is_applied && (is_made || is_named) {
            steps.push((id, Err(op)));
        }
    }
    steps
}

/// What earlier suggestions have left of the columns.
#[derive(Default)]
struct Left {
    removed: HashSet<String>,
    renamed: HashMap<String, String>,
}

impl Left {
    /// The step over the columns that are left; none where it has lost all.
    fn step(&self, suggestion: &Suggestion) -> Option<Value> {
        let mut step = suggestion.step.clone();
        if let Some(Value::Array(columns)) = step.get_mut("columns") {
            let left = columns.iter().filter_map(Value::as_str);
            let left = left.filter(|name| !self.removed.contains(*name));
            let left = left.map(|name| self.renamed.get(name).map_or(name, String::as_str));
            let left: Vec<Value> = left.map(Value::from).collect();
            if left.is_empty() {
                return None;
            }
            *columns = left;
        }
        Some(step)
    }

    fn apply(&mut self, suggestion: &Suggestion) {
        if suggestion.id == id::CLEAN_COLUMN_NAMES {
            let names = suggestion.facts.iter().filter_map(|(name, said)| {
                let clean = said.get("name")?.as_str()?;
                Some((name.clone(), clean.to_owned()))
            });
            self.renamed.extend(names);
        }
        if suggestion
            .step
            .get("op")
            .is_some_and(|op| op == "remove_column")
        {
            self.removed.extend(suggestion.columns.iter().cloned());
        }
    }
}
