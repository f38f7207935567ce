//! Row functions around what is missing: one value for every gap, the value of
//! another column, and whether enough of a row is there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Error, Result, config};
use weir_values::fill::{with_column, with_value};
use weir_values::missing::{Missing, present};

use super::function::RowFunction;
use super::report::Tally;

fn missing_of(blanks: bool) -> Missing {
    match blanks {
        true => Missing::Blanks,
        false => Missing::Nulls,
    }
}

/// Puts one value into gaps.
#[derive(Debug)]
pub(crate) struct Constant {
    pub(super) column: String,
    /// The value as a plan writes it down.
    pub(super) written: String,
    pub(super) value: ArrayRef,
    pub(super) blanks: bool,
    pub(super) tally: Arc<Tally>,
}

/// The value in Arrow's own format, as text.
pub(super) fn written(value: &ArrayRef) -> Result<String> {
    let field = Field::new("value", value.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = arrow::record_batch::RecordBatch::try_new(schema, vec![Arc::clone(value)])?;
    let mut bytes = Vec::new();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unwritten(text: &str) -> Result<ArrayRef> {
    let broken = || Error::internal("a value of a plan that cannot be read");
    let digit = |at: usize| {
        text.get(at..at + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
    };
    let bytes = (0..text.len()).step_by(2).map(digit);
    let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(broken)?;
    let mut reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None)?;
    let batch = reader.next().ok_or_else(broken)??;
    Ok(Arc::clone(batch.columns().first().ok_or_else(broken)?))
}

impl Constant {
    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        #[derive(Deserialize)]
        struct Args {
            column: String,
            value: String,
            blanks: bool,
        }
        let args: Args = config::decode(args)?;
        Ok(Arc::new(Constant {
            column: args.column,
            value: unwritten(&args.value)?,
            written: args.value,
            blanks: args.blanks,
            tally: Arc::default(),
        }))
    }
}

impl RowFunction for Constant {
    fn name(&self) -> &'static str {
        "weir_constant"
    }

    fn args(&self) -> Value {
        json!({"column": self.column, "value": self.written, "blanks": self.blanks})
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        Ok(Field::clone(&inputs[0]).with_nullable(true))
    }

    fn call(&self, inputs: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        let there = present(&inputs[0], missing_of(self.blanks));
        let gaps = there.as_ref().map_or(0, NullBuffer::null_count);
        self.tally.count("filled", &self.column, gaps as u64);
        with_value(&inputs[0], there.as_ref(), &self.value)
    }
}

/// Puts values of another column into gaps; where that has none either, null.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(super) column: String,
    pub(super) tally: Arc<Tally>,
}

impl Copied {
    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        Ok(Arc::new(Copied {
            column: config::decode(args)?,
            tally: Arc::default(),
        }))
    }
}

impl RowFunction for Copied {
    fn name(&self) -> &'static str {
        "weir_copied"
    }

    fn args(&self) -> Value {
        json!(self.column)
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        Ok(Field::clone(&inputs[0]).with_nullable(true))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let array = &inputs[0];
        let Some(there) = present(array, Missing::Blanks) else {
            return Ok(Arc::clone(array));
        };
        let source = cast(&inputs[1], array.data_type())?;
        let given = present(&inputs[1], Missing::Blanks);
        let filled = with_column(array, Some(&there), &source)?;
        let is_given = |row: usize| given.as_ref().is_none_or(|given| given.is_valid(row));
        let empty: BooleanArray = (0..rows)
            .map(|row| Some(there.is_null(row) && !is_given(row)))
            .collect();
        let gaps = there.null_count() - empty.true_count();
        self.tally.count("filled", &self.column, gaps as u64);
        Ok(nullif(&filled, &empty)?)
    }
}

/// Whether enough values of a row are there.
#[derive(Debug)]
pub(crate) struct There {
    pub(super) least: u64,
    pub(super) blanks: bool,
    pub(super) tally: Arc<Tally>,
}

#[derive(Serialize, Deserialize)]
struct ThereArgs {
    least: u64,
    blanks: bool,
}

impl There {
    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        let args: ThereArgs = config::decode(args)?;
        Ok(Arc::new(There {
            least: args.least,
            blanks: args.blanks,
            tally: Arc::default(),
        }))
    }

    fn kept(&self, inputs: &[ArrayRef], rows: usize) -> BooleanArray {
        let all = inputs.len() as u64;
        let there = inputs
            .iter()
            .map(|array| present(array, missing_of(self.blanks)));
        if self.least == all {
            let there = there.fold(None, |all: Option<NullBuffer>, there| {
                NullBuffer::union(all.as_ref(), there.as_ref())
            });
            return match there {
                Some(there) => BooleanArray::new(there.into_inner(), None),
                None => BooleanArray::from(vec![true; rows]),
            };
        }
        let mut counts = vec![0_u64; rows];
        for there in there {
            match there {
                None => counts.iter_mut().for_each(|count| *count += 1),
                Some(there) => there.valid_indices().for_each(|row| counts[row] += 1),
            }
        }
        counts
            .iter()
            .map(|count| Some(*count >= self.least))
            .collect()
    }
}

impl RowFunction for There {
    fn name(&self) -> &'static str {
        "weir_there"
    }

    fn args(&self) -> Value {
        json!(ThereArgs {
            least: self.least,
            blanks: self.blanks,
        })
    }

    fn field(&self, _: &[FieldRef]) -> Result<Field> {
        Ok(Field::new("", DataType::Boolean, false))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let kept = self.kept(inputs, rows);
        self.tally.add("removed", (rows - kept.true_count()) as u64);
        Ok(Arc::new(kept))
    }
}
