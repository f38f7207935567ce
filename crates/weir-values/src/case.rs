//! Upper and lower case by the full mapping of Unicode (`ß` to `SS`, the final
//! sigma), and in one sweep over all bytes where a column is ASCII.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::OffsetSizeTrait;
use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ByteArrayType, DataType, GenericStringType};
use weir_core::Result;

use crate::texts::Texts;

/// Which case letters get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Capitals.
    Upper,
    /// Small letters.
    Lower,
}

impl Case {
    fn of_ascii(self, bytes: &mut [u8]) {
        match self {
            Case::Upper => bytes.make_ascii_uppercase(),
            Case::Lower => bytes.make_ascii_lowercase(),
        }
    }

    fn changes(self, b: u8) -> bool {
        match self {
            Case::Upper => b.is_ascii_lowercase(),
            Case::Lower => b.is_ascii_uppercase(),
        }
    }

    /// The text in this case.
    pub fn of(self, text: &str) -> Cow<'_, str> {
        if text.is_ascii() && !text.bytes().any(|b| self.changes(b)) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(match self {
            Case::Upper => text.to_uppercase(),
            Case::Lower => text.to_lowercase(),
        })
    }
}

/// A column after a change, and in how many cells it differs.
#[derive(Debug)]
pub struct Changed {
    /// The column.
    pub array: ArrayRef,
    /// Cells that are not what they were.
    pub cells: usize,
}

impl Changed {
    /// The column as it is.
    pub fn nothing(array: &ArrayRef) -> Self {
        Changed {
            array: Arc::clone(array),
            cells: 0,
        }
    }
}

/// The texts of a column in `case`; a column that is no text stays.
///
/// # Errors
///
/// Faults of this service only.
pub fn convert(array: &ArrayRef, case: Case) -> Result<Changed> {
    let swept = match array.data_type() {
        DataType::Utf8 => sweep::<i32>(array, case)?,
        DataType::LargeUtf8 => sweep::<i64>(array, case)?,
        _ => None,
    };
    match (swept, Texts::of(array)) {
        (Some(changed), _) => Ok(changed),
        (None, Some(texts)) => Ok(cell_by_cell(&texts, case)),
        (None, None) => Ok(Changed::nothing(array)),
    }
}

/// The whole column at once, if all its bytes are ASCII.
fn sweep<O: OffsetSizeTrait>(array: &ArrayRef, case: Case) -> Result<Option<Changed>> {
    let texts = array.as_string::<O>();
    let offsets = texts.value_offsets();
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return Ok(None);
    };
    let bytes = &texts.value_data()[first.as_usize()..last.as_usize()];
    if !bytes.is_ascii() {
        return Ok(None);
    }
    let mut made = bytes.to_vec();
    case.of_ascii(&mut made);
    let base = first.as_usize();
    let cells = offsets
        .windows(2)
        .enumerate()
        .filter(|(row, pair)| {
            let cell = pair[0].as_usize() - base..pair[1].as_usize() - base;
            bytes[cell.clone()] != made[cell] && !texts.is_null(*row)
        })
        .count();
    if cells == 0 {
        return Ok(Some(Changed::nothing(array)));
    }
    let offsets = match base {
        0 => texts.offsets().clone(),
        _ => {
            let shifted = offsets.iter().map(|offset| *offset - *first);
            OffsetBuffer::new(shifted.collect::<ScalarBuffer<O>>())
        }
    };
    let made = strings(offsets, made.into(), texts.nulls().cloned())?;
    Ok(Some(Changed { array: made, cells }))
}

/// A text column of parts that were put together.
pub(crate) fn strings<O: OffsetSizeTrait>(
    offsets: OffsetBuffer<O>,
    bytes: Buffer,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> Result<ArrayRef>
where
    GenericStringType<O>: ByteArrayType<Offset = O>,
{
    let array = GenericByteArray::<GenericStringType<O>>::try_new(offsets, bytes, nulls)?;
    Ok(Arc::new(array))
}

fn cell_by_cell(texts: &Texts<'_>, case: Case) -> Changed {
    let mut out = texts.builder();
    let mut cells = 0;
    let mut room = String::new();
    for text in texts.iter() {
        let Some(text) = text else {
            out.push_null();
            continue;
        };
        if text.is_ascii() {
            room.clear();
            room.push_str(text);
            match case {
                Case::Upper => room.make_ascii_uppercase(),
                Case::Lower => room.make_ascii_lowercase(),
            }
            cells += usize::from(room != text);
            out.push(&room);
        } else {
            let made = case.of(text);
            cells += usize::from(made != text);
            out.push(&made);
        }
    }
    Changed {
        array: out.finish(),
        cells,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{LargeStringArray, StringArray, StringViewArray};
    use proptest::prelude::*;

    fn upper(cells: Vec<Option<&str>>) -> (Vec<Option<String>>, usize) {
        let array: ArrayRef = Arc::new(StringArray::from(cells));
        let changed = convert(&array, Case::Upper).unwrap();
        let texts = Texts::of(&changed.array).unwrap();
        (
            texts.iter().map(|text| text.map(str::to_owned)).collect(),
            changed.cells,
        )
    }

    #[test]
    fn ascii_and_all_of_unicode_change_case() {
        let owned = |cells: &[&str]| {
            cells
                .iter()
                .map(|cell| Some((*cell).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            upper(vec![Some("ab"), Some("AB"), Some("")]),
            (owned(&["AB", "AB", ""]), 1)
        );
        assert_eq!(
            upper(vec![Some("straße"), Some("ab"), Some("ﬁn")]),
            (owned(&["STRASSE", "AB", "FIN"]), 3)
        );
        assert_eq!(Case::Lower.of("ΟΔΟΣ"), "οδος");
        assert_eq!(
            upper(vec![None, Some("x")]).0,
            vec![None, Some("X".to_owned())]
        );
    }

    #[test]
    fn a_part_of_a_column_is_converted_alone() {
        let array: ArrayRef = Arc::new(LargeStringArray::from(vec![
            Some("é"),
            Some("ab"),
            None,
            Some("Cd"),
        ]));
        let changed = convert(&array.slice(1, 3), Case::Lower).unwrap();
        assert_eq!(
            changed.array.as_string::<i64>(),
            &LargeStringArray::from(vec![Some("ab"), None, Some("cd")])
        );
        assert_eq!(changed.cells, 1);
    }

    proptest! {
        #[test]
        fn every_layout_gives_what_each_cell_gives(cells in prop::collection::vec(prop::option::of("[a-cA-Cßéσς ]{0,20}"), 0..12), from in 0_usize..4) {
            let from = from.min(cells.len());
            for case in [Case::Upper, Case::Lower] {
                let expected: Vec<Option<String>> = cells[from..].iter().map(|cell| cell.as_ref().map(|cell| match case {
                    Case::Upper => cell.to_uppercase(),
                    Case::Lower => cell.to_lowercase(),
                })).collect();
                let different = expected.iter().zip(&cells[from..]).filter(|(a, b)| a != b).count();
                for array in [
                    Arc::new(StringArray::from(cells.clone())) as ArrayRef,
                    Arc::new(LargeStringArray::from(cells.clone())),
                    Arc::new(cells.iter().map(Option::as_deref).collect::<StringViewArray>()),
                ] {
                    let changed = convert(&array.slice(from, cells.len() - from), case).unwrap();
                    prop_assert_eq!(changed.array.data_type(), array.data_type());
                    let texts = Texts::of(&changed.array).unwrap();
                    let made: Vec<Option<String>> = texts.iter().map(|text| text.map(str::to_owned)).collect();
                    prop_assert_eq!(&made, &expected);
                    prop_assert_eq!(changed.cells, different);
                }
            }
        }
    }
}
