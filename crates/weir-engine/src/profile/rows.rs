//! How many different rows there are. Each row is a hash of 128 bits, made column
//! by column; hashes are kept in parts by their first bits, in memory while they
//! fit and on disk beyond, and the parts are counted one after the other.
//!
//! The count is taken for exact: a row's two hashes of 64 bits have keys of their
//! own, drawn anew for each count, so nobody can make up rows that collide. Of
//! 2^40 different rows two agree in both hashes with a chance of 2^−49, which is
//! less than that of the memory failing. Where an estimate will do, a sketch takes
//! the place of the disk.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use weir_core::Result;
use weir_core::memory::Hold;
use weir_values::sketch::Distinct as Sketch;

use crate::groups::lanes::{Bytes, Lane, lane};
use crate::steps::{Env, Spool, Spooled};

/// The share of a request's memory that hashes fill.
const SHARE: usize = 8;

/// Bits that a level of parts is told by.
const PART_BITS: u32 = 6;

/// Parts of a level.
const PARTS: usize = 1 << PART_BITS;

/// Levels of parts until the bits of a hash are used up.
const LEVELS: u32 = 128 / PART_BITS;

/// Hashes of a part that are written at once.
const WRITTEN: usize = 2048;

/// The secret of one count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys([HalfKeys; 2]);

/// That of one of the two hashes.
#[derive(Debug, Clone, Copy)]
struct HalfKeys {
    start: u64,
    times: u64,
    null: u64,
    end: u64,
}

impl Keys {
    pub(super) fn new() -> Self {
        let half = || HalfKeys {
            start: rand::random(),
            times: rand::random::<u64>() | 1,
            null: rand::random(),
            end: rand::random::<u64>() | 1,
        };
        Keys([half(), half()])
    }

    /// The hash of each row of `columns`.
    pub(super) fn hashes(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u128>> {
        let mut halves = self.0.map(|keys| vec![keys.start; rows]);
        for column in columns {
            let lane = lane(column)?;
            for (keys, hashes) in self.0.iter().zip(&mut halves) {
                keys.add(&lane, hashes);
            }
        }
        let [high, low] = &halves;
        let [high_keys, low_keys] = self.0;
        let both = high.iter().zip(low).map(|(high, low)| {
            let high = folded(*high, high_keys.end);
            let low = folded(*low, low_keys.end);
            u128::from(high) << 64 | u128::from(low)
        });
        Ok(both.collect())
    }
}

/// Both halves of a product, put together.
#[inline]
fn folded(value: u64, times: u64) -> u64 {
    let product = u128::from(value) * u128::from(times);
    product as u64 ^ (product >> 64) as u64
}

impl HalfKeys {
    #[inline]
    fn word(&self, hash: u64, word: u64) -> u64 {
        // Turned, so that columns cannot change places.
        folded(hash.rotate_left(23) ^ word, self.times)
    }

    /// A value that says where it ends.
    #[inline]
    fn bytes(&self, hash: u64, value: &[u8]) -> u64 {
        let mut hash = self.word(hash, value.len() as u64);
        let (words, rest) = value.as_chunks::<8>();
        for word in words {
            hash = self.word(hash, u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            hash = self.word(hash, u64::from_le_bytes(last));
        }
        hash
    }

    fn add(&self, lane: &Lane, hashes: &mut [u64]) {
        let nulls = lane.nulls().filter(|nulls| nulls.null_count() > 0);
        match lane {
            Lane::Fixed(words, _) => {
                self.each(hashes, nulls, |hash, row| self.word(hash, words[row]))
            }
            Lane::Bytes(Bytes::Text(array)) => {
                self.each(hashes, nulls, |hash, row| {
                    self.bytes(hash, array.value(row).as_bytes())
                });
            }
            Lane::Bytes(bytes) => self.each(hashes, nulls, |hash, row| {
                self.bytes(hash, bytes.value(row))
            }),
        }
    }

    #[inline]
    fn each(
        &self,
        hashes: &mut [u64],
        nulls: Option<&NullBuffer>,
        with: impl Fn(u64, usize) -> u64,
    ) {
        match nulls {
            None => {
                for (row, hash) in hashes.iter_mut().enumerate() {
                    *hash = with(*hash, row);
                }
            }
            Some(nulls) => {
                for (row, hash) in hashes.iter_mut().enumerate() {
                    *hash = match nulls.is_null(row) {
                        true => self.word(*hash, self.null),
                        false => with(*hash, row),
                    };
                }
            }
        }
    }
}

/// Hashes in parts, and how many different ones there are.
pub(super) struct Distinct {
    env: Env,
    level: u32,
    parts: Vec<Vec<u128>>,
    hold: Hold,
    /// Bytes that they fill in memory at most.
    most: usize,
    spools: Option<Vec<Spool>>,
    /// Whether an estimate will do beyond memory, and what makes it then.
    may_estimate: bool,
    sketch: Option<Sketch>,
}

/// How many different rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) rows: u64,
    pub(super) is_estimate: bool,
}

impl Distinct {
    pub(super) fn new(env: &Env, may_estimate: bool) -> Self {
        Distinct {
            may_estimate,
            ..Distinct::of(env, env.request_limit() / SHARE)
        }
    }

    /// Those that fill at most `most` bytes of memory.
    pub(super) fn of(env: &Env, most: usize) -> Self {
        Distinct::at(env, most, 0)
    }

    fn at(env: &Env, most: usize, level: u32) -> Self {
        Distinct {
            env: env.clone(),
            level,
            parts: vec![Vec::new(); PARTS],
            hold: env.hold(),
            most,
            spools: None,
            may_estimate: false,
            sketch: None,
        }
    }

    pub(super) async fn push(&mut self, hashes: &[u128]) -> Result<()> {
        if let Some(sketch) = &mut self.sketch {
            hashes.iter().for_each(|hash| sketch.add(*hash as u64));
            return Ok(());
        }
        let shift = 128 - PART_BITS * (self.level + 1);
        for hash in hashes {
            let part = (hash >> shift) as usize % PARTS;
            self.parts[part].push(*hash);
        }
        if self.spools.is_some() {
            return self.write(self.written()).await;
        }
        if self.fits(self.most) {
            return Ok(());
        }
        // Rows that come often need their place once.
        for part in &mut self.parts {
            part.sort_unstable();
            part.dedup();
            part.shrink_to_fit();
        }
        self.env.check()?;
        if self.fits(self.most / 2) || self.level + 1 == LEVELS {
            return self.hold.set(self.bytes()).await;
        }
        if self.may_estimate {
            let mut sketch = Sketch::default();
            let hashes = std::mem::take(&mut self.parts);
            hashes
                .iter()
                .flatten()
                .for_each(|hash| sketch.add(*hash as u64));
            self.sketch = Some(sketch);
            return self.hold.try_set(0);
        }
        let spool = || self.env.spool(&schema()).on_disk();
        self.spools = Some((0..PARTS).map(|_| spool()).collect());
        self.write(1).await
    }

    fn bytes(&self) -> usize {
        let hashes: usize = self.parts.iter().map(Vec::capacity).sum();
        hashes * size_of::<u128>()
    }

    fn fits(&mut self, most: usize) -> bool {
        let bytes = self.bytes();
        bytes <= most && self.hold.try_set(bytes).is_ok()
    }

    /// Hashes of a part that are worth writing.
    fn written(&self) -> usize {
        let even = self.most / (2 * PARTS * size_of::<u128>());
        even.clamp(1, WRITTEN)
    }

    /// Writes the parts that have at least so many hashes.
    async fn write(&mut self, least: usize) -> Result<()> {
        let Some(spools) = &mut self.spools else {
            return Ok(());
        };
        for (part, spool) in self.parts.iter_mut().zip(spools) {
            if part.len() >= least {
                spool.push(written(part)?).await?;
                part.clear();
                part.shrink_to(WRITTEN);
            }
        }
        self.hold.set(self.bytes()).await
    }

    /// How many different ones there are.
    pub(super) async fn count(mut self) -> Result<Counted> {
        let sketch = self.sketch.take();
        let is_estimate = sketch.is_some();
        let rows = match sketch {
            Some(sketch) => sketch.estimate(),
            None => self.exactly().await?,
        };
        Ok(Counted { rows, is_estimate })
    }

    fn exactly(mut self) -> BoxFuture<'static, Result<u64>> {
        async move {
            self.write(1).await?;
            let Some(spools) = self.spools.take() else {
                return self.counted();
            };
            self.parts = Vec::new();
            self.hold.try_set(0)?;
            let mut count = 0;
            for spool in spools {
                let part = spool.done().await?;
                let within = Distinct::at(&self.env, self.most, self.level + 1);
                count += of_part(within, &part).await?;
            }
            Ok(count)
        }
        .boxed()
    }

    fn counted(&mut self) -> Result<u64> {
        let mut count = 0;
        for part in &mut self.parts {
            self.env.check()?;
            part.sort_unstable();
            part.dedup();
            count += part.len() as u64;
        }
        Ok(count)
    }
}

/// How many different ones a part on disk has, which is parted once more `within`
/// if it must be.
async fn of_part(mut within: Distinct, part: &Spooled) -> Result<u64> {
    let mut batches = part.read();
    while let Some(batch) = batches.next().await.transpose()? {
        within.push(&read(&batch)).await?;
    }
    within.exactly().await
}

fn schema() -> SchemaRef {
    let half = |name| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![half("high"), half("low")]))
}

fn written(hashes: &[u128]) -> Result<RecordBatch> {
    let high = hashes.iter().map(|hash| (hash >> 64) as u64);
    let low = hashes.iter().map(|hash| *hash as u64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(high)),
        Arc::new(UInt64Array::from_iter_values(low)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn read(batch: &RecordBatch) -> Vec<u128> {
    let high = batch.column(0).as_primitive::<UInt64Type>().values();
    let low = batch.column(1).as_primitive::<UInt64Type>().values();
    let both = high.iter().zip(low);
    both.map(|(high, low)| u128::from(*high) << 64 | u128::from(*low))
        .collect()
}
