//! Tables that outgrew their memory: their entries on disk, parted by the hashes of
//! keys, so that each part has all of a key, and is put together on its own.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, LargeBinaryBuilder, RecordBatch, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use futures::StreamExt;
use hashbrown::DefaultHashBuilder;
use weir_core::Result;
use weir_values::counts::{Counts, Key};
use weir_values::order::KeyKind;
use weir_values::quantile::Selection;

use super::groups::{Groups, Kept};
use super::tally::{Counted, passed, too_large};
use crate::steps::{Block, Env};

/// Parts of a table on disk.
pub(super) const PARTS: usize = 16;

/// The columns of such parts.
pub(super) fn schema(is_fixed: bool) -> SchemaRef {
    let key = match is_fixed {
        true => DataType::UInt64,
        false => DataType::LargeBinary,
    };
    Arc::new(Schema::new(vec![
        Field::new("key", key, false),
        Field::new("count", DataType::UInt64, false),
        Field::new("first", DataType::UInt64, false),
    ]))
}

fn plain_hash(hasher: &DefaultHashBuilder, key: Key<'_>) -> u64 {
    let hash = match key {
        Key::Fixed(key) => hasher.hash_one(key),
        Key::Bytes(bytes) => hasher.hash_one(bytes),
    };
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn part_of(hash: u64) -> usize {
    (hash >> 60) as usize % PARTS
}

/// Entries of a table as a batch for each part.
pub(super) fn parts(
    counts: &Counts,
    range: Range<usize>,
    before: u64,
    hasher: &DefaultHashBuilder,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    struct Part {
        fixed: UInt64Builder,
        bytes: LargeBinaryBuilder,
        counts: Vec<u64>,
        first: Vec<u64>,
    }
    let part = |_| Part {
        fixed: UInt64Builder::new(),
        bytes: LargeBinaryBuilder::new(),
        counts: Vec::new(),
        first: Vec::new(),
    };
    let mut made: Vec<Part> = (0..PARTS).map(part).collect();
    let mut first = before + range.start as u64;
    counts.each(range, |key, count| {
        let part = &mut made[part_of(plain_hash(hasher, key))];
        match key {
            Key::Fixed(key) => part.fixed.append_value(key),
            Key::Bytes(bytes) => part.bytes.append_value(bytes),
        }
        part.counts.push(count);
        part.first.push(first);
        first += 1;
    });
    let batch = |mut part: Part| {
        let keys: ArrayRef = match schema.field(0).data_type() {
            DataType::UInt64 => Arc::new(part.fixed.finish()),
            _ => Arc::new(part.bytes.finish()),
        };
        let counts = Arc::new(UInt64Array::from(part.counts));
        let first = Arc::new(UInt64Array::from(part.first));
        Ok(RecordBatch::try_new(
            Arc::clone(schema),
            vec![keys, counts, first],
        )?)
    };
    made.into_iter().map(batch).collect()
}

/// Calls `take` with key, count and first place of every row of such a batch.
fn each_row(batch: &RecordBatch, mut take: impl FnMut(Key<'_>, u64, u64)) {
    let counts = batch.column(1).as_primitive::<UInt64Type>().values();
    let first = batch.column(2).as_primitive::<UInt64Type>().values();
    let fixed = batch.column(0).as_primitive_opt::<UInt64Type>();
    let bytes = batch.column(0).as_binary_opt::<i64>();
    for row in 0..batch.num_rows() {
        match (fixed, bytes) {
            (Some(keys), _) => take(Key::Fixed(keys.value(row)), counts[row], first[row]),
            (_, Some(keys)) => take(Key::Bytes(keys.value(row)), counts[row], first[row]),
            _ => {}
        }
    }
}

/// A part of a table on disk.
#[derive(Default)]
pub(super) struct DiskPart {
    pub(super) blocks: Vec<Block>,
    /// Bytes that it takes in memory.
    pub(super) bytes: usize,
}

/// A table on disk.
pub(super) struct Disk {
    pub(super) parts: Vec<DiskPart>,
    pub(super) data_type: DataType,
    pub(super) hasher: DefaultHashBuilder,
    /// Bytes of a table at most.
    pub(super) most: usize,
}

impl Disk {
    /// Passes all values to `groups`, and finds the keys at `ranks`.
    pub(super) async fn finish(
        self,
        mut groups: Groups,
        ranks: Vec<u64>,
        env: &Env,
    ) -> Result<Counted> {
        let ranked = self.select(&ranks, env).await?;
        let mut distinct = 0;
        let mut hold = env.hold();
        for part in &self.parts {
            let bytes = part.bytes;
            // An entry of a table takes more than its row.
            let passes = (bytes * 3).div_ceil(self.most.max(1)).max(1) as u64;
            for pass in 0..passes {
                hold.set((bytes * 3 / passes as usize).min(self.most))
                    .await?;
                let (counts, first) = self.table(part, pass, passes, env).await?;
                distinct += counts.distinct() as u64;
                let first = Arc::new(first);
                let first = move |place: usize| first.get(place).copied().unwrap_or(0);
                groups = passed(&Arc::new(counts), groups, first, self.most, env).await?;
            }
        }
        Ok(Counted {
            groups,
            distinct,
            ranked,
            lost: None,
        })
    }

    /// The values of a part that fall into this pass, and where each first was.
    async fn table(
        &self,
        part: &DiskPart,
        pass: u64,
        passes: u64,
        env: &Env,
    ) -> Result<(Counts, Vec<u64>)> {
        let mut table = (Counts::new(&self.data_type)?, Vec::new());
        let mut rows = env.blocks().read(part.blocks.clone(), env);
        while let Some(batch) = rows.next().await.transpose()? {
            env.check()?;
            let hasher = self.hasher.clone();
            let added = env.compute().blocking(move || {
                let (counts, firsts) = &mut table;
                each_row(&batch, |key, count, first| {
                    if passes > 1 && (plain_hash(&hasher, key) >> 16 & 0xffff) % passes != pass {
                        return;
                    }
                    counts.add(key, count);
                    if counts.distinct() > firsts.len() {
                        firsts.push(first);
                    }
                });
                table
            });
            table = added.await?;
        }
        Ok(table)
    }

    async fn select(&self, ranks: &[u64], env: &Env) -> Result<Vec<Option<Kept>>> {
        if ranks.is_empty() {
            return Ok(Vec::new());
        }
        if KeyKind::exact(&self.data_type).is_none() {
            return Err(too_large());
        }
        let mut selection = Selection::new(ranks);
        let mut hold = env.hold();
        hold.set(selection.bytes()).await?;
        loop {
            for part in &self.parts {
                let mut rows = env.blocks().read(part.blocks.clone(), env);
                while let Some(batch) = rows.next().await.transpose()? {
                    env.check()?;
                    let looked = env.compute().blocking(move || {
                        each_row(&batch, |key, count, _| {
                            if let Key::Fixed(key) = key {
                                selection.add(key, count);
                            }
                        });
                        selection
                    });
                    selection = looked.await?;
                }
            }
            if !selection.turn() {
                let found = selection.found().into_iter();
                return Ok(found.map(|key| key.map(Kept::Fixed)).collect());
            }
        }
    }
}
