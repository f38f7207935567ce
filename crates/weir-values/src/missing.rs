//! What counts as missing: nulls, and in columns of text also what is empty or
//! blank.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;

/// What counts as missing in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Null only.
    Nulls,
    /// Null, and text that is empty or blank.
    Blanks,
}

/// Whether nothing is written but Unicode white space.
pub fn is_blank(text: &str) -> bool {
    match text.as_bytes().first() {
        None => true,
        // Most text begins with something that can be seen.
        Some(byte) if byte.is_ascii_graphic() => false,
        Some(_) => text.trim().is_empty(),
    }
}

/// Which values are there; none where all are. NaN and infinities of floats are
/// taken for values: they are nulls before any step.
pub fn present(array: &ArrayRef, missing: Missing) -> Option<NullBuffer> {
    let nulls = array.logical_nulls();
    let blanks = match (missing, array.data_type()) {
        (Missing::Nulls, _) => None,
        (_, DataType::Utf8) => written(array.as_string::<i32>().iter()),
        (_, DataType::LargeUtf8) => written(array.as_string::<i64>().iter()),
        (_, DataType::Utf8View) => written(array.as_string_view().iter()),
        _ => None,
    };
    blanks.or(nulls).filter(|nulls| nulls.null_count() > 0)
}

/// Where something is written, unless that is everywhere.
fn written<'a>(texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Option<NullBuffer> {
    // In most batches of most columns it is.
    let mut all = texts.clone();
    if all.all(|text| text.is_some_and(|text| !is_blank(text))) {
        return None;
    }
    let there: BooleanBuffer = texts
        .map(|text| text.is_some_and(|text| !is_blank(text)))
        .collect();
    Some(NullBuffer::new(there))
}

/// The longest run of missing values over all batches, and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Rows seen.
    pub rows: u64,
    /// Rows in which the value is missing.
    pub missing: u64,
    /// Rows of the longest run of missing values.
    pub longest: u64,
    /// Whether the first value is there; false of no rows.
    pub starts: bool,
    open: u64,
}

impl Runs {
    /// Adds the next batch of `rows` rows, of which `present` are there.
    pub fn push(&mut self, rows: usize, present: Option<&NullBuffer>) {
        if rows == 0 {
            return;
        }
        if self.rows == 0 {
            self.starts = present.is_none_or(|present| present.is_valid(0));
        }
        self.rows += rows as u64;
        let Some(present) = present else {
            self.open = 0;
            return;
        };
        self.missing += present.null_count() as u64;
        let mut last = 0;
        for (start, end) in present.valid_slices() {
            self.longest = self.longest.max(self.open + (start - last) as u64);
            self.open = 0;
            last = end;
        }
        self.open += (rows - last) as u64;
        self.longest = self.longest.max(self.open);
    }

    /// Rows in which the value is there.
    pub fn count(&self) -> u64 {
        self.rows - self.missing
    }

    /// The share of rows in which the value is missing; 0 of no rows.
    pub fn rate(&self) -> f64 {
        if self.rows == 0 {
            return 0.0;
        }
        self.missing as f64 / self.rows as f64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_are_missing_where_they_count() {
        let texts = vec![Some("a"), None, Some(""), Some(" \u{3000}\t"), Some(" b")];
        let arrays: [ArrayRef; 2] = [
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(StringViewArray::from(texts)),
        ];
        for array in arrays {
            let there = present(&array, Missing::Blanks).unwrap();
            let there: Vec<bool> = there.iter().collect();
            assert_eq!(there, [true, false, false, false, true]);
            assert_eq!(present(&array, Missing::Nulls).unwrap().null_count(), 1);
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert!(present(&numbers, Missing::Blanks).is_none());
    }

    proptest! {
        #[test]
        fn runs_do_not_end_with_batches(
            there in prop::collection::vec(any::<bool>(), 1..60),
            size in 1_usize..10,
        ) {
            let mut runs = Runs::default();
            for batch in there.chunks(size) {
                let present = NullBuffer::from(batch.to_vec());
                let present = (present.null_count() > 0).then_some(&present);
                runs.push(batch.len(), present);
            }
            let longest = there.split(|there| *there).map(<[bool]>::len).max();
            prop_assert_eq!(runs.longest, longest.unwrap_or(0) as u64);
            prop_assert_eq!(runs.starts, there[0]);
            prop_assert_eq!(runs.missing as usize, there.iter().filter(|t| !**t).count());
            prop_assert_eq!(runs.count() + runs.missing, there.len() as u64);
        }
    }
}
