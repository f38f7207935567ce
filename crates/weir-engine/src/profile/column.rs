//! A column as the first pass over all rows sees it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use serde_json::Value;
use weir_core::Result;
use weir_values::ColumnKind;
use weir_values::counts::Key;
use weir_values::detect::Detected;
use weir_values::missing::Runs;
use weir_values::moments::Moments;
use weir_values::texts::is_text;

use super::cells::{Cells, ReadColumn};
use super::parts::Parts;
use super::shown::cell;
use super::tally::{Tally, too_large};
use crate::steps::Env;

/// Values that are none of the type that are shown.
const INVALID_VALUES: usize = 100;

/// Places of such values that are shown.
const INVALID_PLACES: usize = 1000;

/// Up to here floats are exact for whole numbers.
const EXACT: u128 = 1 << 53;

/// Digits of decimals that are counted as whole numbers of 64 bits.
const WHOLE_DIGITS: u8 = 18;

/// Cells that are none of the column's type.
pub(super) struct Invalid {
    pub(super) count: u64,
    pub(super) values: Vec<Value>,
    pub(super) places: Vec<u64>,
    pub(super) tally: Tally,
}

/// A column, batch after batch.
pub(super) struct Column {
    pub(super) read: ReadColumn,
    pub(super) detected: Detected,
    /// As it came.
    pub(super) data_type: DataType,
    pub(super) runs: Runs,
    pub(super) tally: Tally,
    pub(super) moments: Option<Moments>,
    /// The sum of decimals of many digits, while it has no more than 38.
    pub(super) wide: Option<Option<i128>>,
    /// Digits behind the point of decimals that are counted as whole numbers.
    pub(super) scale: Option<i8>,
    pub(super) parts: Parts,
    pub(super) invalid: Invalid,
    clean: bool,
    /// Whether numbers that were read out of text are not all whole.
    has_floats: bool,
}

impl Column {
    pub(super) fn new(
        read: ReadColumn,
        detected: Detected,
        data_type: &DataType,
        clean: bool,
        approximate: bool,
    ) -> Result<Self> {
        let (counted, scale) = match data_type {
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
                (DataType::Int64, Some(*scale))
            }
            DataType::Decimal128(digits, scale) if *digits <= WHOLE_DIGITS => {
                (DataType::Int64, Some(*scale))
            }
            other => (read.counted_type(other, clean), None),
        };
        let is_wide = matches!(data_type, DataType::Decimal128(..)) && scale.is_none();
        Ok(Column {
            tally: Tally::new(&counted, approximate)?,
            moments: read.is_number(data_type).then(Moments::new),
            wide: (is_wide && read.is_number(data_type)).then_some(Some(0)),
            parts: Parts::new(read.kind, data_type, clean, approximate)?,
            invalid: Invalid {
                count: 0,
                values: Vec::new(),
                places: Vec::new(),
                tally: Tally::new(&DataType::Utf8, approximate)?,
            },
            data_type: data_type.clone(),
            runs: Runs::default(),
            read,
            detected,
            scale,
            clean,
            has_floats: false,
        })
    }

    /// Whether numbers were read out of text: then texts that are none stand
    /// beside them.
    pub(super) fn is_mixed(&self) -> bool {
        self.clean && self.moments.is_some() && is_text(&self.data_type)
    }

    /// Reads a batch, and counts it.
    pub(super) fn push(&mut self, array: &ArrayRef) -> Result<Cells> {
        let cells = self.read.read(array, self.clean)?;
        let before = self.runs.rows;
        self.runs.push(array.len(), cells.present.as_ref());
        self.push_invalid(&cells, before)?;
        let values = match self.scale {
            Some(_) => unscaled(&cells.values)?,
            None => Arc::clone(&cells.values),
        };
        self.push_moments(&cells, &values)?;
        self.widen_for(values.data_type())?;
        let values = match values.data_type() == self.tally.data_type() {
            true => values,
            false => cast(&values, self.tally.data_type())?,
        };
        let there = values
            .logical_nulls()
            .filter(|nulls| nulls.null_count() > 0);
        let parts = &mut self.parts;
        let mut outcome = Ok(());
        let seen = |key: Key<'_>, count| {
            if outcome.is_ok() {
                outcome = parts.add(key, count);
            }
        };
        self.tally.push(&values, there.as_ref(), seen)?;
        outcome?;
        if self.read.kind == ColumnKind::List {
            self.parts.push_lists(&cells.raw)?;
        }
        Ok(cells)
    }

    fn push_moments(&mut self, cells: &Cells, values: &ArrayRef) -> Result<()> {
        let is_mixed = self.is_mixed();
        let Some(moments) = &mut self.moments else {
            return Ok(());
        };
        match (values.data_type(), &cells.floats) {
            // Once floats have come, whole numbers are pushed as floats as well.
            (other, _) if other.is_integer() && !self.has_floats => moments.push(values)?,
            (_, Some(floats)) => {
                if is_mixed && !self.has_floats {
                    self.has_floats = true;
                    moments.widen();
                }
                moments.push_floats(floats);
            }
            _ => {}
        }
        if let Some(Some(sum)) = &mut self.wide {
            let decimals = cells.values.as_primitive::<Decimal128Type>();
            let total = decimals.iter().flatten().try_fold(*sum, i128::checked_add);
            self.wide = Some(total);
        }
        Ok(())
    }

    /// Whole numbers that were read out of text may turn out to be floats.
    fn widen_for(&mut self, data_type: &DataType) -> Result<()> {
        let is_late = data_type == &DataType::Float64 && self.tally.data_type() == &DataType::Int64;
        if !is_late {
            return Ok(());
        }
        match self.tally.widen()? {
            true => Ok(()),
            false => Err(too_large()),
        }
    }

    fn push_invalid(&mut self, cells: &Cells, before: u64) -> Result<()> {
        let Some(invalid) = &cells.invalid else {
            return Ok(());
        };
        // Numbers that are none are shown as they stand.
        let texts = match self.is_mixed() {
            true => &cells.raw,
            false => &cells.values,
        };
        self.invalid.count += invalid.count_set_bits() as u64;
        let mut found = Vec::new();
        for row in invalid.set_indices() {
            if self.invalid.places.len() < INVALID_PLACES {
                self.invalid.places.push(before + row as u64);
            }
            if self.invalid.values.len() < INVALID_VALUES {
                self.invalid.values.push(cell(texts, row));
            }
            if let Some(texts) = weir_values::texts::Texts::of(texts) {
                found.push(texts.value(row));
            }
        }
        let found: ArrayRef = Arc::new(arrow::array::StringArray::from(found));
        self.invalid.tally.push(&found, None, |_, _| {})
    }

    /// Bytes that it can give up, and those that it cannot.
    pub(super) fn bytes(&mut self) -> (usize, usize) {
        let (bytes, kept) = self.parts.bytes();
        (
            bytes + self.tally.bytes() + self.invalid.tally.bytes(),
            kept + self.tally.kept_bytes() + self.invalid.tally.kept_bytes(),
        )
    }

    /// Whole numbers that were read out of text go to disk as floats, where those
    /// hold all their digits: a number that is not whole may still come.
    fn widen_before_disk(&mut self) -> Result<()> {
        let range = self.moments.as_ref().and_then(Moments::whole_range);
        let fits = |value: i128| value.unsigned_abs() <= EXACT;
        if self.is_mixed() && range.is_some_and(|(min, max)| fits(min) && fits(max)) {
            self.tally.widen()?;
        }
        Ok(())
    }

    /// Gives up what it can.
    pub(super) async fn relieve(&mut self, env: &Env) -> Result<()> {
        if self.tally.is_approximate() {
            let parts = &mut self.parts;
            let mut outcome = Ok(());
            self.tally.sketch(|key, count| {
                if outcome.is_ok() {
                    outcome = parts.add(key, count);
                }
            })?;
            outcome?;
            self.invalid.tally.sketch(|_, _| {})?;
        } else {
            if self.tally.bytes() > 0 {
                self.widen_before_disk()?;
                self.tally.spill(env).await?;
            }
            if self.invalid.tally.bytes() > 0 {
                self.invalid.tally.spill(env).await?;
            }
        }
        self.parts.relieve(0, env).await
    }
}

/// Decimals of up to 18 digits as whole numbers.
fn unscaled(array: &ArrayRef) -> Result<ArrayRef> {
    let wide = match array.data_type() {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            cast(array, &DataType::Decimal128(WHOLE_DIGITS, *scale))?
        }
        _ => Arc::clone(array),
    };
    let Some(decimals) = wide.as_primitive_opt::<Decimal128Type>() else {
        return Ok(wide);
    };
    let whole: Int64Array = decimals.unary(|value| value as i64);
    Ok(Arc::new(whole))
}
