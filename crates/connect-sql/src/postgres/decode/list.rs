//! Arrays into lists, one level of lists for each declared dimension.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use super::{Decoder, Misfit, take, take_i32};

/// The server makes no array of more dimensions.
pub const MAX_DIMENSIONS: usize = 6;

/// An array column.
pub struct List {
    /// Outermost first.
    levels: Vec<Level>,
    items: Box<dyn Decoder>,
    lenient: bool,
    nulls: NullBufferBuilder,
}

struct Level {
    offsets: Vec<i32>,
    item: FieldRef,
}

impl List {
    /// A decoder for `data_type`, a list of as many levels as it is nested,
    /// of items that `items` decodes. When `lenient`, an item that cannot be
    /// represented becomes null.
    pub fn boxed(
        data_type: &DataType,
        dimensions: usize,
        items: Box<dyn Decoder>,
        lenient: bool,
    ) -> Box<dyn Decoder> {
        let mut levels = Vec::with_capacity(dimensions);
        let mut current = data_type;
        while let DataType::List(item) = current
            && levels.len() < dimensions
        {
            levels.push(Level {
                offsets: vec![0],
                item: Arc::clone(item),
            });
            current = item.data_type();
        }
        Box::new(List {
            levels,
            items,
            lenient,
            nulls: NullBufferBuilder::new(0),
        })
    }

    /// Closes the lists of one value. `lengths` has one entry for each level.
    fn close(&mut self, lengths: &[i32]) -> Result<(), Misfit> {
        let mut lists = 1_i32;
        for (level, length) in self.levels.iter_mut().zip(lengths) {
            for _ in 0..lists {
                let end = level.offsets.last().copied().unwrap_or_default();
                level
                    .offsets
                    .push(end.checked_add(*length).ok_or(TOO_MANY)?);
            }
            lists = lists.checked_mul(*length).ok_or(TOO_MANY)?;
        }
        Ok(())
    }

    fn push_empty(&mut self) -> Result<(), Misfit> {
        self.close(&[0])?;
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_items(&mut self, mut value: &[u8], count: i32) -> Result<(), Misfit> {
        for _ in 0..count {
            let length = take_i32(&mut value)?;
            let Ok(length) = usize::try_from(length) else {
                self.items.push_null();
                continue;
            };
            let item = value
                .split_at_checked(length)
                .ok_or(Misfit::Malformed("an array that is too short"))?;
            value = item.1;
            match self.items.push(item.0) {
                Err(Misfit::Unrepresentable(_)) if self.lenient => self.items.push_null(),
                outcome => outcome?,
            }
        }
        if !value.is_empty() {
            return Err(Misfit::Malformed("bytes after the last item of an array"));
        }
        Ok(())
    }
}

const TOO_MANY: Misfit = Misfit::Malformed("more items than a batch can hold");

impl Decoder for List {
    fn push(&mut self, mut value: &[u8]) -> Result<(), Misfit> {
        let dimensions = usize::try_from(take_i32(&mut value)?)
            .map_err(|_| Misfit::Malformed("an array of negative dimensions"))?;
        let [_has_nulls, _item_type] = [take::<4>(&mut value)?, take::<4>(&mut value)?];
        if dimensions == 0 {
            return self.push_empty();
        }
        if dimensions != self.levels.len() {
            return Err(Misfit::Dimensions);
        }
        let mut lengths = [0; MAX_DIMENSIONS];
        let lengths = lengths.get_mut(..dimensions).ok_or(Misfit::Dimensions)?;
        let mut count = 1_i32;
        for length in lengths.iter_mut() {
            *length = take_i32(&mut value)?;
            let _lower_bound = take_i32(&mut value)?;
            if *length < 0 {
                return Err(Misfit::Malformed("an array of negative length"));
            }
            count = count.checked_mul(*length).ok_or(TOO_MANY)?;
        }
        if count == 0 {
            return self.push_empty();
        }
        // Each item has at least its length, so a peer cannot make us count for long.
        if (count as usize).saturating_mul(4) > value.len() {
            return Err(Misfit::Malformed("an array that is too short"));
        }
        self.push_items(value, count)?;
        self.close(lengths)?;
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        if let Some(level) = self.levels.first_mut() {
            let end = level.offsets.last().copied().unwrap_or_default();
            level.offsets.push(end);
        }
        self.nulls.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        let mut array = self.items.finish()?;
        let mut nulls = self.nulls.finish();
        for (depth, level) in self.levels.iter_mut().enumerate().rev() {
            let offsets = std::mem::replace(&mut level.offsets, vec![0]);
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            let nulls = if depth == 0 { nulls.take() } else { None };
            let list = ListArray::try_new(Arc::clone(&level.item), offsets, array, nulls);
            array = Arc::new(
                list.map_err(|_| Misfit::Malformed("an array that does not fit together"))?,
            );
        }
        Ok(array)
    }
}
