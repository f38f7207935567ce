//! A column of a batch as a profile reads it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, Int64Builder,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use weir_core::Result;
use weir_values::ColumnKind;
use weir_values::missing::{Missing, present};
use weir_values::number;
use weir_values::patterns::is_valid;
use weir_values::texts::{Texts, is_text};
use weir_values::trim::unquote;

/// What of a column is known before its values are counted.
#[derive(Debug, Clone)]
pub(super) struct ReadColumn {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// The cells of a column in one batch.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// As they came.
    pub(super) raw: ArrayRef,
    /// As they are counted: cleaned when that was asked for, numbers as numbers.
    pub(super) values: ArrayRef,
    /// The same as floats, of columns of numbers.
    pub(super) floats: Option<Float64Array>,
    /// Which cells have a value; absent when all have.
    pub(super) present: Option<NullBuffer>,
    /// Which cells hold a value that is none of the column's type; absent when
    /// none does.
    pub(super) invalid: Option<BooleanBuffer>,
}

impl ReadColumn {
    /// Whether its cells have floats.
    pub(super) fn is_number(&self, data_type: &DataType) -> bool {
        let may_be =
            is_text(data_type) || data_type.is_numeric() || data_type == &DataType::Boolean;
        self.kind.is_number() && may_be
    }

    /// The type of the values of its first batch; see [`Cells::values`]. Whole
    /// numbers of text turn into floats where one is not whole.
    pub(super) fn counted_type(&self, data_type: &DataType, clean: bool) -> DataType {
        match self.kind {
            ColumnKind::Number if clean && is_text(data_type) => DataType::Int64,
            ColumnKind::NumberWithDecimals if clean && is_text(data_type) => DataType::Float64,
            _ => data_type.clone(),
        }
    }

    /// Its cells in a batch.
    pub(super) fn read(&self, array: &ArrayRef, clean: bool) -> Result<Cells> {
        let raw = Arc::clone(array);
        let Some(texts) = Texts::of(array) else {
            let floats = match self.is_number(array.data_type()) {
                true => Some(
                    cast(array, &DataType::Float64)?
                        .as_primitive::<Float64Type>()
                        .clone(),
                ),
                false => None,
            };
            return Ok(Cells {
                values: Arc::clone(array),
                floats,
                present: present(array, Missing::Nulls),
                invalid: None,
                raw,
            });
        };
        let bare = match clean {
            true => unquote(array).array,
            false => Arc::clone(array),
        };
        let there = present(&bare, Missing::Nulls);
        if !self.kind.is_number() {
            let invalid = Texts::of(&bare).and_then(|texts| self.invalid(&texts));
            return Ok(Cells {
                values: bare,
                floats: None,
                present: there,
                invalid,
                raw,
            });
        }
        if !clean {
            return Ok(Cells {
                values: Arc::clone(array),
                floats: Some(number::numbers(&texts)),
                present: there,
                invalid: self.invalid(&texts),
                raw,
            });
        }
        let read = Texts::of(&bare).map(|texts| self.numbers(&texts));
        let (values, floats, invalid) = read.unwrap_or_else(|| {
            let none = Float64Array::new_null(array.len());
            (Arc::new(none.clone()), none, None)
        });
        Ok(Cells {
            values,
            floats: Some(floats),
            present: there,
            invalid,
            raw,
        })
    }

    /// Which cells are none of the kind.
    fn invalid(&self, texts: &Texts<'_>) -> Option<BooleanBuffer> {
        if is_valid(self.kind, "\u{1}") {
            // Nothing is wrong in columns of this kind.
            return None;
        }
        let wrong = |text: Option<&str>| text.is_some_and(|text| !is_valid(self.kind, text));
        if !texts.iter().any(wrong) {
            return None;
        }
        Some(texts.iter().map(wrong).collect())
    }

    /// Numbers read out of clean text: whole ones where all are and should be.
    fn numbers(&self, texts: &Texts<'_>) -> (ArrayRef, Float64Array, Option<BooleanBuffer>) {
        let mut wrong = Vec::new();
        if self.kind == ColumnKind::Number
            && let Some(whole) = self.whole(texts, &mut wrong)
        {
            let floats = whole.unary(|value| value as f64);
            return (Arc::new(whole), floats, marked(&wrong, texts.len()));
        }
        wrong.clear();
        let mut floats = Float64Builder::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let is_wrong = text.is_some_and(|text| !is_valid(self.kind, text));
            if is_wrong {
                wrong.push(row);
            }
            // What can be read, but is not written as numbers are, is no value.
            floats.append_option(text.filter(|_| !is_wrong).and_then(number_of));
        }
        let floats = floats.finish();
        (
            Arc::new(floats.clone()),
            floats,
            marked(&wrong, texts.len()),
        )
    }

    fn whole(&self, texts: &Texts<'_>, wrong: &mut Vec<usize>) -> Option<Int64Array> {
        let mut whole = Int64Builder::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else {
                whole.append_null();
                continue;
            };
            match whole_of(text) {
                Some(value) => whole.append_value(value),
                None if !is_valid(self.kind, text) => {
                    wrong.push(row);
                    whole.append_null();
                }
                None if number_of(text).is_some() => return None,
                None => whole.append_null(),
            }
        }
        Some(whole.finish())
    }
}

fn marked(rows: &[usize], length: usize) -> Option<BooleanBuffer> {
    let mut next = rows.iter().peekable();
    (!rows.is_empty())
        .then(|| BooleanBuffer::collect_bool(length, |row| next.next_if_eq(&&row).is_some()))
}

/// A whole number as people write it.
fn whole_of(text: &str) -> Option<i64> {
    let is_digit = |b: u8| b.is_ascii_digit();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(is_digit) {
        return text.parse().ok();
    }
    if !weir_values::patterns::is_integer(text) {
        return None;
    }
    let kept = |b: &u8| is_digit(*b) || matches!(b, b'-' | b'.');
    let bare: String = text.bytes().filter(kept).map(char::from).collect();
    number::integer(&bare)
}

/// A number as people write it: symbols of currencies, commas, `10%` for 0.1.
fn number_of(text: &str) -> Option<f64> {
    if let Some(value) = number::currency(text) {
        return Some(value);
    }
    if !text.contains('%') || !weir_values::patterns::is_number(text) {
        return None;
    }
    let share = number::currency(&text.replacen('%', "", 1))?;
    Some(share / 100.0)
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn read(kind: ColumnKind, cells: &[Option<&str>], clean: bool) -> Cells {
        let column = ReadColumn {
            index: 0,
            name: "a".to_owned(),
            kind,
        };
        let array: ArrayRef = Arc::new(StringArray::from(cells.to_vec()));
        column.read(&array, clean).unwrap()
    }

    #[test]
    fn numbers_come_out_of_text() {
        let cells = [
            Some("1,000"),
            Some("'$5'"),
            Some(" "),
            None,
            Some("-7"),
            Some("x"),
        ];
        let found = read(ColumnKind::Number, &cells, true);
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(1000),
            Some(5),
            None,
            None,
            Some(-7),
            None,
        ]));
        assert_eq!(&found.values, &expected);
        let there = found.present.unwrap();
        assert_eq!(
            there.iter().collect::<Vec<_>>(),
            [true, true, false, false, true, true]
        );
        let wrong: Vec<usize> = found.invalid.unwrap().set_indices().collect();
        assert_eq!(wrong, [5]);
        let big = read(
            ColumnKind::Number,
            &[Some("9007199254740993"), Some("3.0")],
            true,
        );
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 3]));
        assert_eq!(&big.values, &expected);
    }

    #[test]
    fn shares_and_decimals() {
        let cells = [
            Some("10%"),
            Some("12.5 %"),
            Some(".5"),
            Some("€ 3.25"),
            Some("2"),
        ];
        let found = read(ColumnKind::NumberWithDecimals, &cells, true);
        let expected = Float64Array::from(vec![0.1, 0.125, 0.5, 3.25, 2.0]);
        assert_eq!(found.floats.unwrap(), expected);
        let mixed = read(ColumnKind::Number, &[Some("1"), Some("2.5")], true);
        assert_eq!(mixed.floats.unwrap(), Float64Array::from(vec![1.0, 2.5]));
    }

    #[test]
    fn texts_stay_as_they_are_unless_cleaned() {
        let cells = [Some(" a@b.c "), Some("x"), Some("")];
        let found = read(ColumnKind::Email, &cells, false);
        assert_eq!(&found.values, &found.raw);
        assert!(found.present.is_none());
        assert_eq!(
            found.invalid.unwrap().set_indices().collect::<Vec<_>>(),
            [1]
        );
        let cleaned = read(ColumnKind::Email, &cells, true);
        assert_eq!(cleaned.present.unwrap().null_count(), 1);
        let numbers = read(ColumnKind::Number, &[Some("1"), Some("1,5")], false);
        assert_eq!(
            numbers.floats.unwrap(),
            Float64Array::from(vec![Some(1.0), None])
        );
    }
}
