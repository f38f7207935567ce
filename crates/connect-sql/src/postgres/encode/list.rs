//! Lists as arrays, one dimension for each level. The server's arrays are boxes:
//! lists within a list that differ in length, or are null, do not fit.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, ListArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};

use super::{Cells, Column, Refused, Wire};

struct Lists {
    /// Outermost first.
    levels: Vec<ListArray>,
    items: Column,
    item_oid: u32,
}

/// Cells of `array`, a list of as many levels as it is nested, whose items are
/// written as `wire` says.
pub fn lists(array: &ArrayRef, wire: &Wire, item_oid: u32) -> Result<Box<dyn Cells>, Refused> {
    let (mut levels, mut current) = (Vec::new(), ArrayRef::clone(array));
    let mut item = None;
    while let Some(field) = item_of(current.data_type()) {
        let never = |_| Refused {
            row: 0,
            why: "its type cannot be converted",
        };
        let plain = cast(&current, &DataType::List(FieldRef::clone(&field))).map_err(never)?;
        let level = plain.as_list::<i32>().clone();
        current = ArrayRef::clone(level.values());
        item = Some(field);
        levels.push(level);
    }
    let field = item.ok_or(Refused {
        row: 0,
        why: "not a list",
    })?;
    let items = Column::new(wire, &field, &current).map_err(|refused| Refused {
        row: outer_row(&levels, refused.row),
        why: refused.why,
    })?;
    Ok(Box::new(Lists {
        levels,
        items,
        item_oid,
    }))
}

/// The field of the items of a list of any kind.
pub fn item_of(data_type: &DataType) -> Option<FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(FieldRef::clone(item)),
        _ => None,
    }
}

/// The row that holds an item.
fn outer_row(levels: &[ListArray], item: usize) -> usize {
    levels.iter().rev().fold(item, |item, level| {
        let after = |end: &i32| usize::try_from(*end).is_ok_and(|end| end <= item);
        let offsets = level.value_offsets();
        offsets.partition_point(after).saturating_sub(1)
    })
}

const RAGGED: &str = "lists of different lengths within a list, which no array can hold";

impl Lists {
    /// Places of the items of a row, and how many there are in each dimension.
    fn shape(&self, row: usize) -> Result<(std::ops::Range<usize>, Vec<usize>), &'static str> {
        let (mut range, mut lengths) = (row..row + 1, Vec::with_capacity(self.levels.len()));
        for level in &self.levels {
            let offsets = level.value_offsets();
            let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
            let mut length = None;
            for list in range.clone() {
                let is_null = !lengths.is_empty() && level.is_null(list);
                let here = at(list + 1) - at(list);
                if is_null || *length.get_or_insert(here) != here {
                    return Err(RAGGED);
                }
            }
            range = match range.is_empty() {
                true => 0..0,
                false => at(range.start)..at(range.end),
            };
            lengths.push(length.unwrap_or(0));
        }
        Ok((range, lengths))
    }
}

impl Cells for Lists {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let (range, lengths) = self.shape(row)?;
        let put = |number: usize, out: &mut Vec<u8>| -> Result<(), &'static str> {
            let number = i32::try_from(number).map_err(|_| "more items than an array can have")?;
            out.extend_from_slice(&number.to_be_bytes());
            Ok(())
        };
        let dimensions = if range.is_empty() { 0 } else { lengths.len() };
        if dimensions == 0 && lengths.first().is_some_and(|length| *length > 0) {
            return Err(RAGGED);
        }
        put(dimensions, out)?;
        // Whether there are nulls is the server's to find out.
        put(1, out)?;
        out.extend_from_slice(&self.item_oid.to_be_bytes());
        for length in &lengths[..dimensions] {
            put(*length, out)?;
            put(1, out)?;
        }
        for item in range {
            self.items.write(item, out)?;
        }
        Ok(())
    }
}
