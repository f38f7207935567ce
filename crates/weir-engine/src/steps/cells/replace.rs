//! The step that replaces text, or whole cells.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use weir_core::{Error, Result};
use weir_values::replace::{Replacer, value_of};

use super::change::{Cells, Work};
use crate::steps::at::At;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::pipeline::Step;

/// Replaces text inside of text, or whole cells of any type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// The columns; without `whole_cell` those that are no text stay.
    pub columns: Vec<String>,
    /// What is searched: text, or with `whole_cell` a number or a truth value too.
    #[schemars(schema_with = "scalar_schema")]
    pub pattern: Value,
    /// What takes its place; with `whole_cell` it may be null.
    #[schemars(schema_with = "scalar_schema")]
    pub replacement: Value,
    /// The pattern is a regular expression, and `$1` or `\1` in the replacement
    /// is its first group.
    #[serde(default)]
    pub regex: bool,
    /// Only cells that are equal to the pattern (or match it) as a whole.
    #[serde(default)]
    pub whole_cell: bool,
}

/// A value that a cell can hold.
pub(crate) fn scalar_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "number", "boolean", "null"]})
}

/// A scalar of JSON as text; `None` for null.
pub(crate) fn scalar(value: &Value, pointer: &str) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(truth) => Ok(Some(truth.to_string())),
        Value::Array(_) | Value::Object(_) => Err(Error::invalid(
            pointer,
            "must be text, a number or a truth value",
        )),
    }
}

impl Replace {
    fn pattern(&self, at: &At) -> Result<String> {
        let pointer = at.field("pattern");
        scalar(&self.pattern, &pointer)?.ok_or_else(|| {
            Error::invalid(pointer, "the pattern must not be null")
                .hint("fill_nulls puts a value into null cells")
        })
    }

    fn replacement(&self, at: &At) -> Result<Option<String>> {
        let pointer = at.field("replacement");
        let replacement = scalar(&self.replacement, &pointer)?;
        if replacement.is_none() && (!self.whole_cell || self.regex) {
            return Err(Error::invalid(pointer, "the replacement must be text")
                .hint("null can take the place of whole cells: set `whole_cell` without `regex`"));
        }
        Ok(replacement)
    }

    /// What is done to text; `None` where whole cells are compared.
    fn on_text(&self, at: &At) -> Result<Option<Work>> {
        let (pattern, replacement) = (self.pattern(at)?, self.replacement(at)?);
        if self.whole_cell && !self.regex {
            return Ok(None);
        }
        Ok(Some(Work::Replace {
            pattern,
            replacement: replacement.unwrap_or_default(),
            regex: self.regex,
            whole: self.whole_cell,
        }))
    }

    /// The comparison for one column; `None` where none of its cells can be equal.
    fn on_cells(&self, frame: &Frame, place: usize, at: &At) -> Result<Option<Work>> {
        let field = frame.field(place);
        if weir_core::types::is_json(field) {
            let replacement = (!self.replacement.is_null()).then(|| self.replacement.to_string());
            let pattern = self.pattern.to_string();
            return Ok(Some(Work::Swap {
                pattern,
                replacement,
            }));
        }
        let (pattern, replacement) = (self.pattern(at)?, self.replacement(at)?);
        if value_of(field, &pattern)?.is_none() {
            return Ok(None);
        }
        if let Some(text) = &replacement
            && value_of(field, text)?.is_none()
        {
            let shown = weir_values::texts::shown(text);
            let (name, type_) = (field.name(), weir_core::types::field_type_name(field));
            let message = format!("`{shown}` cannot stand in the column `{name}` of type {type_}");
            return Err(Error::invalid(at.field("replacement"), message)
                .hint("convert_type gives the column another type first"));
        }
        Ok(Some(Work::Swap {
            pattern,
            replacement,
        }))
    }
}

impl Step for Replace {
    fn check(&self, at: &At) -> Result<()> {
        if let Some(Work::Replace {
            pattern,
            replacement,
            regex,
            whole,
        }) = self.on_text(at)?
        {
            let made = match regex {
                true => Replacer::regex(&pattern, &replacement, whole),
                false => Replacer::literal(&pattern, &replacement),
            };
            made.map_err(|error| error.repointed(|_| at.field("pattern")))?;
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        if let Some(work) = self.on_text(at)? {
            return super::text::on_text(frame, &self.columns, &work, at);
        }
        let places: BTreeSet<usize> = frame.indices(&self.columns, at)?.into_iter().collect();
        let mut changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)> = Vec::new();
        for place in places {
            let field = frame.field(place);
            frame.tally().count("changed", field.name(), 0);
            if let Some(work) = self.on_cells(&frame, place, at)? {
                let cells = Cells::new(work, field, frame.tally())?;
                changes.push((place, Arc::new(cells), vec![place]));
            }
        }
        frame.replace_all(changes)
    }
}
