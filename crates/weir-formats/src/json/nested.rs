//! Lists, structs, maps and unions.

use std::ops::Range;

use arrow::array::cast::AsArray;
use arrow::array::{Array, GenericListArray, MapArray, OffsetSizeTrait, StructArray, UnionArray};
use arrow::datatypes::{DataType, Field, Fields};
use weir_core::Result;
use weir_core::types::unique_names;

use super::cell::{Cell, Column, unknown};
use super::text::write_text;

pub(super) fn build(array: &dyn Array, js_safe: bool) -> Result<Box<dyn Cell>> {
    Ok(match array.data_type() {
        DataType::List(item) => Box::new(list::<i32>(item, array.as_list(), js_safe)?),
        DataType::LargeList(item) => Box::new(list::<i64>(item, array.as_list(), js_safe)?),
        DataType::FixedSizeList(item, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let items = Column::new(item, array.as_fixed_size_list().values(), js_safe)?;
            Box::new(List {
                items,
                range: move |row| row * size..(row + 1) * size,
            })
        }
        DataType::Struct(fields) => Box::new(Record::new(fields, array.as_struct(), js_safe)?),
        DataType::Map(entries, _) => map(entries, array.as_map(), js_safe)?,
        DataType::Union(_, _) => Box::new(Union::new(array.as_union(), js_safe)?),
        other => return Err(unknown(other)),
    })
}

struct List<F> {
    items: Column,
    range: F,
}

impl<F: Fn(usize) -> Range<usize> + Send> Cell for List<F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (position, item) in (self.range)(row).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            self.items.write(item, out);
        }
        out.push(b']');
    }
}

fn list<O: OffsetSizeTrait>(
    item: &Field,
    array: &GenericListArray<O>,
    js_safe: bool,
) -> Result<List<impl Fn(usize) -> Range<usize> + Send + 'static>> {
    let offsets = array.offsets().clone();
    Ok(List {
        items: Column::new(item, array.values(), js_safe)?,
        range: move |row: usize| offsets[row].as_usize()..offsets[row + 1].as_usize(),
    })
}

/// Columns side by side with their names, as an object or as a list a row.
pub(super) struct Record {
    keys: Vec<Vec<u8>>,
    columns: Vec<Column>,
}

impl Record {
    fn new(fields: &Fields, array: &StructArray, js_safe: bool) -> Result<Self> {
        let columns = array.columns().iter().map(AsRef::as_ref);
        Record::of(&keys(fields), fields, columns, js_safe)
    }

    /// `keys` come from [`keys`], made once for many batches.
    pub(super) fn of<'a>(
        keys: &[Vec<u8>],
        fields: &Fields,
        arrays: impl Iterator<Item = &'a dyn Array>,
        js_safe: bool,
    ) -> Result<Self> {
        let columns = fields
            .iter()
            .zip(arrays)
            .map(|(field, array)| Column::new(field, array, js_safe))
            .collect::<Result<_>>()?;
        Ok(Record {
            keys: keys.to_vec(),
            columns,
        })
    }

    pub(super) fn write_list(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            column.write(row, out);
        }
        out.push(b']');
    }

    pub(super) fn column(&self, index: usize) -> Option<&Column> {
        self.columns.get(index)
    }
}

impl Cell for Record {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (key, column) in self.keys.iter().zip(&self.columns) {
            out.extend_from_slice(key);
            column.write(row, out);
        }
        out.push(b'}');
    }
}

/// What stands before each value of an object: `"a":`, then `,"b":`.
pub(super) fn keys(fields: &Fields) -> Vec<Vec<u8>> {
    let names = unique_names(fields.iter().map(|field| field.name().as_str()));
    let key = |(index, name): (usize, String)| {
        let mut key = if index > 0 { vec![b','] } else { Vec::new() };
        write_text(&name, &mut key);
        key.push(b':');
        key
    };
    names.into_iter().enumerate().map(key).collect()
}

struct Map {
    keys: Column,
    values: Column,
    offsets: arrow::buffer::OffsetBuffer<i32>,
}

impl Cell for Map {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let (start, end) = (
            self.offsets[row].as_usize(),
            self.offsets[row + 1].as_usize(),
        );
        out.push(b'{');
        for entry in start..end {
            if entry > start {
                out.push(b',');
            }
            self.keys.write(entry, out);
            out.push(b':');
            self.values.write(entry, out);
        }
        out.push(b'}');
    }
}

/// An object where the keys are text, else a list of entries.
fn map(entries: &Field, array: &MapArray, js_safe: bool) -> Result<Box<dyn Cell>> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(unknown(entries.data_type()));
    };
    let [key, value] = &fields[..] else {
        return Err(unknown(entries.data_type()));
    };
    let offsets = array.offsets().clone();
    if matches!(key.data_type(), DataType::Utf8 | DataType::LargeUtf8) {
        // Without its metadata a key is text, whatever its extension says.
        let plain_key = Field::new("key", key.data_type().clone(), false);
        return Ok(Box::new(Map {
            keys: Column::new(&plain_key, array.keys(), js_safe)?,
            values: Column::new(value, array.values(), js_safe)?,
            offsets,
        }));
    }
    Ok(Box::new(List {
        items: Column::new(entries, array.entries(), js_safe)?,
        range: move |row: usize| offsets[row].as_usize()..offsets[row + 1].as_usize(),
    }))
}

struct Union {
    array: UnionArray,
    children: Vec<(i8, Column)>,
}

impl Union {
    fn new(array: &UnionArray, js_safe: bool) -> Result<Self> {
        let DataType::Union(fields, _) = array.data_type() else {
            return Err(unknown(array.data_type()));
        };
        let children = fields
            .iter()
            .map(|(id, field)| Ok((id, Column::new(field, array.child(id), js_safe)?)))
            .collect::<Result<_>>()?;
        Ok(Union {
            array: array.clone(),
            children,
        })
    }
}

impl Cell for Union {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let id = self.array.type_id(row);
        match self.children.iter().find(|(child, _)| *child == id) {
            Some((_, column)) => column.write(self.array.value_offset(row), out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

trait AsUsize {
    fn as_usize(&self) -> usize;
}

impl<O: OffsetSizeTrait> AsUsize for O {
    fn as_usize(&self) -> usize {
        arrow::datatypes::ArrowNativeType::as_usize(*self)
    }
}
