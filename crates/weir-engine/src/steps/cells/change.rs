//! One column changed cell by cell: a row function that counts what it did.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Result, config};
use weir_values::case::{self, Case, Changed};
use weir_values::columns::Unreadable;
use weir_values::convert::{Target, convert};
use weir_values::replace::{Replacer, value_of, whole_cells};
use weir_values::texts::{Texts, is_text};
use weir_values::{ColumnKind, moment, number, trim};

use super::numbered::Placed;
use crate::steps::function::RowFunction;
use crate::steps::report::Tally;

/// What is done to the cells of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub(crate) enum Work {
    /// Takes the white space around text away.
    Trim,
    /// Upper case, else lower.
    Case {
        upper: bool,
        /// Blank text becomes null first.
        no_blanks: bool,
    },
    /// Amounts of money as numbers.
    Currency,
    /// Dates as timestamps.
    Date,
    /// Marks what is no valid value.
    Fix { kind: ColumnKind },
    /// Replaces text inside of text.
    Replace {
        pattern: String,
        replacement: String,
        regex: bool,
        whole: bool,
    },
    /// Replaces whole cells of any type; both are as text.
    Swap {
        pattern: String,
        replacement: Option<String>,
    },
    /// Another type.
    Convert {
        to: String,
        /// The first cell that cannot be read is an error.
        fail: bool,
    },
}

/// The work on one column.
#[derive(Debug)]
pub(crate) struct Cells {
    work: Work,
    column: String,
    /// The column holds JSON documents.
    json: bool,
    replacer: Option<Replacer>,
    target: Option<Target>,
    tally: Arc<Tally>,
}

impl Cells {
    /// For the column of `field`.
    pub(crate) fn new(work: Work, field: &Field, tally: Arc<Tally>) -> Result<Self> {
        let json = weir_core::types::is_json(field);
        Cells::of(work, field.name().clone(), json, tally)
    }

    fn of(work: Work, column: String, json: bool, tally: Arc<Tally>) -> Result<Self> {
        let replacer = match &work {
            Work::Replace {
                pattern,
                replacement,
                regex: false,
                ..
            } => Some(Replacer::literal(pattern, replacement)?),
            Work::Replace {
                pattern,
                replacement,
                whole,
                ..
            } => Some(Replacer::regex(pattern, replacement, *whole)?),
            _ => None,
        };
        let target = match &work {
            Work::Convert { to, .. } => Some(to.parse()?),
            _ => None,
        };
        Ok(Cells {
            work,
            column,
            json,
            replacer,
            target,
            tally,
        })
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        Ok(Arc::new(Cells::read(args)?))
    }

    pub(super) fn read(args: Value) -> Result<Self> {
        #[derive(Deserialize)]
        struct Args {
            work: Work,
            column: String,
            json: bool,
        }
        let args: Args = config::decode(args)?;
        Cells::of(args.work, args.column, args.json, Arc::default())
    }

    fn count(&self, changed: Changed) -> ArrayRef {
        let cells = changed.cells as u64;
        self.tally.count("changed", &self.column, cells);
        changed.array
    }

    /// Cells that were read, and those that could not be.
    fn count_read(&self, before: &ArrayRef, made: ArrayRef) -> ArrayRef {
        let read = made.len() - made.null_count();
        let blank = Texts::of(before).map_or(0, |texts| {
            let is_blank = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
            texts.iter().filter(|text| is_blank(*text)).count()
        });
        let given = before.len() - before.null_count() - blank;
        self.tally.count("changed", &self.column, read as u64);
        let lost = given.saturating_sub(read);
        self.tally.count("unreadable", &self.column, lost as u64);
        made
    }

    fn swap(&self, array: &ArrayRef, pattern: &str, replacement: Option<&str>) -> Result<Changed> {
        let field = Field::new("", array.data_type().clone(), true);
        let Some(pattern) = value_of(&field, pattern)? else {
            return Ok(Changed::nothing(array));
        };
        let null = || arrow::array::new_null_array(array.data_type(), 1);
        let replacement = match replacement {
            Some(text) => value_of(&field, text)?.unwrap_or_else(null),
            None => null(),
        };
        whole_cells(array, &pattern, &replacement)
    }

    fn convert(&self, array: &ArrayRef, target: Target, before: u64) -> Result<ArrayRef> {
        let mut field = Field::new("", array.data_type().clone(), true);
        if self.json {
            let name = weir_core::types::JSON_EXTENSION.to_owned();
            let key = weir_core::types::EXTENSION_NAME.to_owned();
            field = field.with_metadata([(key, name)].into());
        }
        let converted = convert(array, &field, target)?;
        let is_strict = matches!(self.work, Work::Convert { fail: true, .. });
        if is_strict && let Some(first) = &converted.first {
            return Err(self.refused(first, before));
        }
        let unreadable = converted.unreadable as u64;
        self.tally.count("unreadable", &self.column, unreadable);
        Ok(converted.array)
    }

    fn refused(&self, cell: &Unreadable, before: u64) -> weir_core::Error {
        cell.error(&self.column, before)
    }
}

impl RowFunction for Cells {
    fn name(&self) -> &'static str {
        "weir_cells"
    }

    fn args(&self) -> Value {
        json!({"work": self.work, "column": self.column, "json": self.json})
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        let same = inputs.first().map_or_else(
            || Field::new("", DataType::Null, true),
            |field| Field::clone(field),
        );
        let data_type = match (&self.work, self.target) {
            (Work::Currency, _) => DataType::Float64,
            (Work::Date, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (Work::Convert { .. }, Some(target)) => target.type_from(&same),
            _ => return Ok(same),
        };
        Ok(Field::new("", data_type, true))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.call_from(inputs, rows, 0)
    }
}

impl Placed for Cells {
    fn call_from(&self, inputs: &[ArrayRef], rows: usize, before: u64) -> Result<ArrayRef> {
        let Some(array) = inputs.first() else {
            return Ok(arrow::array::new_null_array(&DataType::Null, rows));
        };
        let texts = Texts::of(array);
        let changed = match (&self.work, texts) {
            (Work::Trim, _) => trim::trim(array),
            (Work::Case { upper, no_blanks }, _) => {
                let case = if *upper { Case::Upper } else { Case::Lower };
                match no_blanks {
                    false => case::convert(array, case)?,
                    true => {
                        let blanked = trim::blank_to_null(array);
                        let mut cased = case::convert(&blanked.array, case)?;
                        cased.cells += blanked.cells;
                        cased
                    }
                }
            }
            (Work::Fix { kind }, _) => trim::fix(array, *kind),
            (
                Work::Swap {
                    pattern,
                    replacement,
                },
                _,
            ) => self.swap(array, pattern, replacement.as_deref())?,
            (Work::Replace { .. }, _) => match &self.replacer {
                Some(replacer) => replacer.replace(array)?,
                None => Changed::nothing(array),
            },
            (Work::Convert { .. }, _) => {
                return match self.target {
                    Some(target) => self.convert(array, target, before),
                    None => Ok(Arc::clone(array)),
                };
            }
            (Work::Currency, Some(texts)) => {
                let read: ArrayRef = Arc::new(number::currencies(&texts));
                return Ok(self.count_read(array, read));
            }
            (Work::Date, Some(texts)) => {
                let read: ArrayRef = Arc::new(moment::dates(&texts));
                return Ok(self.count_read(array, read));
            }
            (Work::Currency | Work::Date, None) => Changed::nothing(array),
        };
        Ok(self.count(changed))
    }
}

/// Whether the steps over text change the column: JSON documents are no text.
pub(crate) fn is_plain_text(field: &Field) -> bool {
    is_text(field.data_type()) && !weir_core::types::is_json(field)
}
