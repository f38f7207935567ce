//! Functions of one text or one date.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Result, config};
use weir_values::convert::{Target, convert};
use weir_values::dates::{Format, Part, truncated};
use weir_values::instants::micros_of;
use weir_values::replace::Replacer;
use weir_values::texts::Texts;
use weir_values::{moment, pieces};

use super::DatePart;
use crate::steps::function::RowFunction;
use crate::steps::report::Tally;

/// What is made of the text or date.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "cut", rename_all = "snake_case")]
pub(crate) enum Cut {
    /// A date cut off.
    Trunc { part: DatePart },
    /// A date as text.
    Format { format: String },
    /// Text replaced.
    Replace {
        pattern: String,
        replacement: String,
        regex: bool,
    },
    /// A part between separators.
    Split { separator: String, index: i64 },
    /// Some characters.
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
    },
}

/// The function.
#[derive(Debug)]
pub(crate) struct Piece {
    cut: Cut,
    json: bool,
    column: String,
    format: Option<Format>,
    replacer: Option<Replacer>,
    tally: Arc<Tally>,
}

impl Piece {
    /// Of the column of `field`.
    pub(super) fn new(cut: Cut, field: &Field, tally: Arc<Tally>) -> Result<Self> {
        let json = weir_core::types::is_json(field);
        Piece::of(cut, json, field.name().clone(), tally)
    }

    fn of(cut: Cut, json: bool, column: String, tally: Arc<Tally>) -> Result<Self> {
        let format = match &cut {
            Cut::Format { format } => Some(Format::new(format)?),
            _ => None,
        };
        let replacer = match &cut {
            Cut::Replace {
                pattern,
                replacement,
                regex: true,
            } => Some(Replacer::regex(pattern, replacement, false)?),
            Cut::Replace {
                pattern,
                replacement,
                ..
            } => Some(Replacer::literal(pattern, replacement)?),
            _ => None,
        };
        Ok(Piece {
            cut,
            json,
            column,
            format,
            replacer,
            tally,
        })
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        #[derive(Deserialize)]
        struct Args {
            cut: Cut,
            json: bool,
            column: String,
        }
        let args: Args = config::decode(args)?;
        let tally = Arc::default();
        Ok(Arc::new(Piece::of(
            args.cut,
            args.json,
            args.column,
            tally,
        )?))
    }

    /// The dates of a column; text that is none is null, and counted.
    fn moments(&self, array: &ArrayRef) -> TimestampMicrosecondArray {
        let Some(texts) = Texts::of(array) else {
            let moments = micros_of(array);
            return moments.unwrap_or_else(|| TimestampMicrosecondArray::new_null(array.len()));
        };
        let read = moment::dates(&texts);
        let given = texts
            .iter()
            .flatten()
            .filter(|text| !text.trim().is_empty());
        let lost = given.count() - (read.len() - read.null_count());
        self.tally.count("unreadable", &self.column, lost as u64);
        read
    }

    /// Text as it is; other values, and what stands in JSON, as `convert_type` has it.
    fn text(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let field = Field::new("", array.data_type().clone(), true);
        let field = match self.json {
            true => {
                let key = weir_core::types::EXTENSION_NAME.to_owned();
                let name = weir_core::types::JSON_EXTENSION.to_owned();
                field.with_metadata([(key, name)].into())
            }
            false => field,
        };
        Ok(convert(array, &field, Target::Text)?.array)
    }
}

fn part(part: DatePart) -> Part {
    match part {
        DatePart::Second => Part::Second,
        DatePart::Minute => Part::Minute,
        DatePart::Hour => Part::Hour,
        DatePart::Day => Part::Day,
        DatePart::Week => Part::Week,
        DatePart::Month => Part::Month,
        DatePart::Quarter => Part::Quarter,
        DatePart::Year => Part::Year,
    }
}

impl RowFunction for Piece {
    fn name(&self) -> &'static str {
        "weir_piece"
    }

    fn args(&self) -> Value {
        json!({"cut": self.cut, "json": self.json, "column": self.column})
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        let data_type = match (&self.cut, inputs.first()) {
            (Cut::Trunc { .. }, _) => Target::Timestamp.data_type(),
            (Cut::Format { .. }, _) | (_, None) => DataType::Utf8,
            (_, Some(field)) => Target::Text.type_from(field),
        };
        Ok(Field::new("", data_type, true))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let Some(array) = inputs.first() else {
            return Ok(arrow::array::new_null_array(&DataType::Utf8, rows));
        };
        match (&self.cut, &self.format, &self.replacer) {
            (Cut::Trunc { part: to }, _, _) => {
                Ok(Arc::new(truncated(&self.moments(array), part(*to))))
            }
            (Cut::Format { .. }, Some(format), _) => Ok(format.write(&self.moments(array))),
            (Cut::Replace { .. }, _, Some(replacer)) => {
                Ok(replacer.replace(&self.text(array)?)?.array)
            }
            (cut, _, _) => {
                let array = self.text(array)?;
                let Some(texts) = Texts::of(&array) else {
                    return Ok(array);
                };
                Ok(match cut {
                    Cut::Split { separator, index } => pieces::parts(&texts, separator, *index),
                    Cut::Slice { start, stop } => pieces::slices(&texts, *start, *stop),
                    _ => Arc::clone(&array),
                })
            }
        }
    }
}
