//! How often each value is there: a table in memory; beyond its share parts of
//! it on disk, which are put together one after the other; or a sketch, where
//! estimates are wanted.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use hashbrown::DefaultHashBuilder;
use weir_core::{Error, Kind, Result};
use weir_values::counts::{Counts, Key};
use weir_values::order::{KeyKind, key_of};
use weir_values::sketch::{Distinct, Quantiles};

use super::disk::{Disk, DiskPart, PARTS, parts, schema};
use super::groups::{Groups, Kept};
use crate::steps::Env;

/// Different values from which on a sketch takes the place of a table.
const SKETCH_FROM: usize = 1 << 16;

/// Values of a sketch whose counts are kept.
const KEPT: usize = 4096;

/// Entries that are looked at before others may have the thread.
const SLICE: usize = 1 << 16;

/// The values of a column, and how often each is there.
pub(super) struct Tally {
    counts: Counts,
    state: State,
    hasher: DefaultHashBuilder,
    is_approximate: bool,
    total: u64,
    /// Entries on disk.
    before: u64,
}

enum State {
    Table,
    Disk(Vec<DiskPart>),
    Sketch(Box<Sketch>),
}

struct Sketch {
    distinct: Distinct,
    quantiles: Option<Quantiles>,
    /// What counts of values may be too low by.
    lost: u64,
    batch: Counts,
}

/// How far off an estimate may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost(pub(super) u64);

/// What was found in all values.
pub(super) struct Counted {
    pub(super) groups: Groups,
    /// Different values; an estimate where `lost` is there.
    pub(super) distinct: u64,
    /// The keys at the ranks that were asked for.
    pub(super) ranked: Vec<Option<Kept>>,
    /// Of a sketch: by so much counts may be too low.
    pub(super) lost: Option<Lost>,
}

impl Tally {
    pub(super) fn new(data_type: &DataType, is_approximate: bool) -> Result<Self> {
        Ok(Tally {
            counts: Counts::new(data_type)?,
            state: State::Table,
            hasher: DefaultHashBuilder::default(),
            is_approximate,
            total: 0,
            before: 0,
        })
    }

    /// How often values were there.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn data_type(&self) -> &DataType {
        self.counts.data_type()
    }

    /// Adds a batch. Where values are sketched they come by in `seen`, each with
    /// how often it is there; otherwise they do in the end.
    pub(super) fn push(
        &mut self,
        array: &ArrayRef,
        present: Option<&NullBuffer>,
        mut seen: impl FnMut(Key<'_>, u64),
    ) -> Result<()> {
        let there = array.len() - present.map_or(0, NullBuffer::null_count);
        self.total += there as u64;
        let State::Sketch(sketch) = &mut self.state else {
            self.counts.push(array, present)?;
            return self.sketch_if_many(seen);
        };
        sketch.batch.clear();
        sketch.batch.push(array, present)?;
        let kind = self.counts.key_kind();
        let Sketch {
            distinct,
            quantiles,
            batch,
            ..
        } = &mut **sketch;
        batch.each(0..usize::MAX, |key, count| {
            distinct.add(hashed(&self.hasher, kind, key));
            if let (Some(quantiles), Key::Fixed(key)) = (quantiles.as_mut(), key) {
                quantiles.add(key, count);
            }
            self.counts.add(key, count);
            seen(key, count);
        });
        self.forget_rare();
        Ok(())
    }

    /// Adds a value.
    pub(super) fn add(&mut self, key: Key<'_>, count: u64) -> Result<()> {
        self.total += count;
        self.counts.add(key, count);
        if let State::Sketch(sketch) = &mut self.state {
            let kind = self.counts.key_kind();
            sketch.distinct.add(hashed(&self.hasher, kind, key));
            if let (Some(quantiles), Key::Fixed(key)) = (sketch.quantiles.as_mut(), key) {
                quantiles.add(key, count);
            }
            self.forget_rare();
            return Ok(());
        }
        self.sketch_if_many(|_, _| {})
    }

    fn forget_rare(&mut self) {
        if let State::Sketch(sketch) = &mut self.state
            && self.counts.distinct() > KEPT * 4
        {
            sketch.lost += self.counts.keep_frequent(KEPT);
        }
    }

    fn sketch_if_many(&mut self, seen: impl FnMut(Key<'_>, u64)) -> Result<()> {
        match self.is_approximate && self.counts.distinct() > SKETCH_FROM {
            true => self.sketch(seen),
            false => Ok(()),
        }
    }

    /// From here on values are sketched.
    pub(super) fn sketch(&mut self, mut seen: impl FnMut(Key<'_>, u64)) -> Result<()> {
        if !matches!(self.state, State::Table) {
            return Ok(());
        }
        let kind = self.counts.key_kind();
        let (mut distinct, mut quantiles) =
            (Distinct::default(), kind.map(|_| Quantiles::default()));
        self.counts.each(0..usize::MAX, |key, count| {
            distinct.add(hashed(&self.hasher, kind, key));
            if let (Some(quantiles), Key::Fixed(key)) = (quantiles.as_mut(), key) {
                quantiles.add(key, count);
            }
            seen(key, count);
        });
        let lost = self.counts.keep_frequent(KEPT);
        self.state = State::Sketch(Box::new(Sketch {
            distinct,
            quantiles,
            lost,
            batch: Counts::new(self.counts.data_type())?,
        }));
        Ok(())
    }

    /// Bytes that it can give up.
    pub(super) fn bytes(&self) -> usize {
        match self.state {
            State::Sketch(_) => 0,
            State::Table | State::Disk(_) if self.counts.distinct() == 0 => 0,
            State::Table | State::Disk(_) => self.counts.bytes(),
        }
    }

    /// Bytes that it cannot give up.
    pub(super) fn kept_bytes(&self) -> usize {
        match &self.state {
            State::Sketch(sketch) => {
                let quantiles = sketch.quantiles.as_ref().map_or(0, Quantiles::bytes);
                self.counts.bytes() + sketch.distinct.bytes() + quantiles
            }
            State::Table | State::Disk(_) => 0,
        }
    }

    pub(super) fn is_approximate(&self) -> bool {
        self.is_approximate
    }

    /// Whole numbers turn out to be floats. False where it is too late for that.
    pub(super) fn widen(&mut self) -> Result<bool> {
        let is_whole = self
            .counts
            .key_kind()
            .is_some_and(|kind| kind != KeyKind::Float);
        if !is_whole {
            return Ok(true);
        }
        match &mut self.state {
            State::Table => {}
            State::Disk(_) => return Ok(false),
            State::Sketch(sketch) => {
                let float = |key| key_of(KeyKind::Signed.value(key).to_f64());
                if let Some(quantiles) = &mut sketch.quantiles {
                    quantiles.map(float);
                }
                sketch.batch = Counts::new(&DataType::Float64)?;
            }
        }
        self.counts = self.counts.as_floats();
        Ok(true)
    }

    /// Puts the table on disk, and begins a new one.
    pub(super) async fn spill(&mut self, env: &Env) -> Result<()> {
        let schema = schema(self.counts.key_kind().is_some());
        if !matches!(self.state, State::Disk(_)) {
            self.state = State::Disk((0..PARTS).map(|_| DiskPart::default()).collect());
        }
        let data_type = self.counts.data_type().clone();
        let counts = Arc::new(std::mem::replace(
            &mut self.counts,
            Counts::new(&data_type)?,
        ));
        let State::Disk(disk) = &mut self.state else {
            return Ok(());
        };
        let mut start = 0;
        while start < counts.distinct() {
            env.check()?;
            let (table, hasher) = (Arc::clone(&counts), self.hasher.clone());
            let (first, schema) = (self.before, Arc::clone(&schema));
            let parted = env.compute().blocking(move || {
                let range = start..start + SLICE;
                parts(&table, range, first, &hasher, &schema)
            });
            let batches = parted.await??;
            for (part, batch) in disk.iter_mut().zip(&batches) {
                part.bytes += weir_core::memory_of(batch);
            }
            let blocks = env.blocks().keep(batches, env).await?;
            for (part, block) in disk.iter_mut().zip(blocks) {
                part.blocks.extend(block);
            }
            start += SLICE;
        }
        self.before += counts.distinct() as u64;
        Ok(())
    }

    /// Passes all values, each with how often it is there, to `groups`, and finds
    /// the keys at `ranks` of the sorted values. Tables take `most` bytes.
    pub(super) async fn finish(
        mut self,
        groups: Groups,
        ranks: Vec<u64>,
        most: usize,
        env: &Env,
    ) -> Result<Counted> {
        if matches!(self.state, State::Disk(_)) {
            self.spill(env).await?;
        }
        match self.state {
            State::Table => in_memory(self.counts, groups, ranks, most, env).await,
            State::Sketch(sketch) => {
                let counted = in_memory(self.counts, groups.of_sketch(), Vec::new(), most, env);
                let counted = counted.await?;
                let quantiles = sketch.quantiles.as_ref();
                let at = |rank: &u64| Some(Kept::Fixed(quantiles?.at(*rank)?));
                Ok(Counted {
                    distinct: sketch.distinct.estimate(),
                    ranked: ranks.iter().map(at).collect(),
                    lost: Some(Lost(sketch.lost)),
                    ..counted
                })
            }
            State::Disk(parts) => {
                let disk = Disk {
                    parts,
                    data_type: self.counts.data_type().clone(),
                    hasher: self.hasher,
                    most,
                };
                disk.finish(groups, ranks, env).await
            }
        }
    }
}

/// Of numbers the hash is that of the float, so that a column may turn from whole
/// numbers to floats.
fn hashed(hasher: &DefaultHashBuilder, kind: Option<KeyKind>, key: Key<'_>) -> u64 {
    match (key, kind) {
        (Key::Fixed(key), Some(KeyKind::Float) | None) => hasher.hash_one(key),
        (Key::Fixed(key), Some(kind)) => {
            let float = kind.value(key).to_f64();
            match float.abs() < 9e15 {
                true => hasher.hash_one(key_of(float)),
                false => hasher.hash_one(key),
            }
        }
        (Key::Bytes(bytes), _) => hasher.hash_one(bytes),
    }
}

async fn in_memory(
    counts: Counts,
    groups: Groups,
    ranks: Vec<u64>,
    most: usize,
    env: &Env,
) -> Result<Counted> {
    let distinct = counts.distinct() as u64;
    let counts = Arc::new(counts);
    let groups = passed(&counts, groups, |place| place as u64, most, env).await?;
    let ranked = match ranks.is_empty() {
        true => Vec::new(),
        false => {
            let ranked = env.compute().blocking(move || ranked(&counts, &ranks));
            ranked.await?
        }
    };
    Ok(Counted {
        groups,
        distinct,
        ranked,
        lost: None,
    })
}

/// Passes a table to `groups`, slice by slice.
pub(super) async fn passed(
    counts: &Arc<Counts>,
    mut groups: Groups,
    first: impl Fn(usize) -> u64 + Send + Sync + Clone + 'static,
    most: usize,
    env: &Env,
) -> Result<Groups> {
    let mut start = 0;
    while start < counts.distinct() {
        env.check()?;
        let (table, first) = (Arc::clone(counts), first.clone());
        let slice = env.compute().blocking(move || {
            let mut place = start;
            let mut outcome = Ok(());
            table.each(start..start + SLICE, |key, count| {
                if outcome.is_ok() {
                    outcome = groups.add(key, count, first(place));
                }
                place += 1;
            });
            outcome.map(|()| groups)
        });
        groups = slice.await??;
        groups.parts.relieve(most, env).await?;
        start += SLICE;
    }
    Ok(groups)
}

/// The keys at ranks of a table, by sorting it.
fn ranked(counts: &Counts, ranks: &[u64]) -> Vec<Option<Kept>> {
    if counts.key_kind().is_none() {
        let mut keys = Vec::with_capacity(counts.distinct());
        counts.each(0..usize::MAX, |key, count| {
            keys.push((Kept::of(key), count))
        });
        return at_ranks(keys, ranks, |key| key.clone());
    }
    let mut keys = Vec::with_capacity(counts.distinct());
    counts.each(0..usize::MAX, |key, count| {
        if let Key::Fixed(key) = key {
            keys.push((key, count));
        }
    });
    at_ranks(keys, ranks, |key| Kept::Fixed(*key))
}

fn at_ranks<K: Ord>(
    mut keys: Vec<(K, u64)>,
    ranks: &[u64],
    kept: impl Fn(&K) -> Kept,
) -> Vec<Option<Kept>> {
    keys.sort_unstable();
    let mut ends = Vec::with_capacity(keys.len());
    let mut end = 0;
    for (_, count) in &keys {
        end += count;
        ends.push(end);
    }
    let at = |rank: &u64| {
        let place = ends.partition_point(|end| end <= rank);
        keys.get(place).or(keys.last()).map(|(key, _)| kept(key))
    };
    ranks.iter().map(at).collect()
}

/// What is asked for cannot be told in the memory there is.
pub(super) fn too_large() -> Error {
    Error::new(
        Kind::TooLarge,
        "the statistics of these rows need more memory than the request may hold",
    )
    .code("too_large_to_compute")
    .hint("ask with `approximate: true` for estimates in flat memory, select fewer columns, or raise WEIR_MEMORY_REQUEST_BYTES of the service")
}
