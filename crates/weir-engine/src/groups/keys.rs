//! Group keys: rows with equal keys get the same small number, counted up in
//! order of first appearance. Null and NaN are one key and −0.0 is 0.0.
//!
//! Keys of up to 16 bytes, which most are, stand in the table itself; longer
//! ones stand one after the other in an arena.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};
use weir_core::{Error, Kind, Result};

use super::lanes::{self, Lane, Packed};

/// The row belongs to no group.
pub(crate) const NONE: u32 = u32::MAX;

/// No group has the row's key.
pub(crate) const UNKNOWN: u32 = u32::MAX - 1;

/// Groups at most, far more than there is memory for.
const MAX_GROUPS: u32 = u32::MAX - 2;

/// What a row with a null in its key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NullKeys {
    /// A group like any other: nulls equal each other.
    Group,
    /// No group.
    Nobody,
}

/// The groups that there are, by key.
pub(crate) struct GroupKeys {
    nulls: NullKeys,
    next: u32,
    /// The number of the row's group; while `grows`, new keys get one.
    grows: bool,
    hasher: DefaultHashBuilder,
    seed: u64,
    /// The group of null, where the key is one column of fixed width.
    null: Option<u32>,
    single: HashTable<(u64, u32)>,
    packed: HashTable<([u64; 2], u32)>,
    long: HashTable<Long>,
    arena: Vec<u8>,
}

/// The keys of rows in a form in which they are looked up: what can be made of
/// them beside the table.
pub(crate) struct KeyRows {
    rows: usize,
    lanes: Vec<Lane>,
    /// What fits of keys of several columns, or of text.
    packed: Option<Packed>,
    /// Where any of the columns is null.
    nulls: Option<NullBuffer>,
}

impl KeyRows {
    /// Of `rows` rows, whose keys are `columns`.
    pub(crate) fn of(columns: &[ArrayRef], rows: usize) -> Result<Self> {
        let lanes = columns.iter().map(lanes::lane);
        let lanes = lanes.collect::<Result<Vec<Lane>>>()?;
        if matches!(lanes.as_slice(), [] | [Lane::Fixed(_, _)]) {
            return Ok(KeyRows {
                rows,
                lanes,
                packed: None,
                nulls: None,
            });
        }
        let nulls = lanes.iter().map(Lane::nulls);
        Ok(KeyRows {
            rows,
            nulls: nulls.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), nulls)),
            packed: Some(lanes::pack(&lanes, rows)),
            lanes,
        })
    }
}

/// A key in the arena.
#[derive(Clone, Copy)]
struct Long {
    hash: u64,
    start: usize,
    len: u32,
    id: u32,
}

impl GroupKeys {
    pub(crate) fn new(nulls: NullKeys) -> Self {
        let hasher = DefaultHashBuilder::default();
        GroupKeys {
            nulls,
            next: 0,
            grows: true,
            seed: hasher.hash_one(0x5eed_u64),
            hasher,
            null: None,
            single: HashTable::new(),
            packed: HashTable::new(),
            long: HashTable::new(),
            arena: Vec::new(),
        }
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.next as usize
    }

    /// From here on no group is added: other keys are [`UNKNOWN`].
    pub(crate) fn freeze(&mut self) {
        self.grows = false;
    }

    /// Bytes that the table holds.
    pub(crate) fn bytes(&self) -> usize {
        self.single.allocation_size()
            + self.packed.allocation_size()
            + self.long.allocation_size()
            + self.arena.capacity()
    }

    /// Bytes that it holds at most while `rows` more rows are added, beside the
    /// text of long keys: a table that grows stands there twice for a moment.
    pub(crate) fn bytes_with(&self, rows: usize) -> usize {
        let grown = |len: usize, capacity: usize, bytes: usize, entry: usize| {
            if !self.grows || len + rows <= capacity {
                return bytes;
            }
            // Only one of the tables grows with a row; small ones do not matter.
            if bytes == 0 {
                0
            } else {
                bytes + ((len + rows) * 8 / 7).next_power_of_two() * entry
            }
        };
        grown(
            self.single.len(),
            self.single.capacity(),
            self.single.allocation_size(),
            17,
        ) + grown(
            self.packed.len(),
            self.packed.capacity(),
            self.packed.allocation_size(),
            25,
        ) + grown(
            self.long.len(),
            self.long.capacity(),
            self.long.allocation_size(),
            25,
        ) + self.arena.capacity()
    }

    /// Puts the group of each row into `ids`, and into `fresh` the rows that
    /// began one. The columns of `keys` have the same types at every call.
    pub(crate) fn ids(
        &mut self,
        keys: &KeyRows,
        ids: &mut Vec<u32>,
        fresh: &mut Vec<u32>,
    ) -> Result<()> {
        let rows = keys.rows;
        ids.clear();
        fresh.clear();
        if self.next > MAX_GROUPS - (rows.min(MAX_GROUPS as usize) as u32) {
            return Err(
                Error::new(Kind::TooLarge, "there are more groups than can be counted")
                    .code("too_large_to_compute"),
            );
        }
        match (keys.lanes.as_slice(), &keys.packed) {
            ([], _) => {
                if rows > 0 && self.next == 0 && self.grows {
                    self.next = 1;
                    fresh.push(0);
                }
                ids.resize(rows, if self.next == 1 { 0 } else { UNKNOWN });
            }
            ([Lane::Fixed(words, nulls)], _) => {
                self.single_ids(words, nulls.as_ref(), ids, fresh);
            }
            (_, Some(packed)) => {
                let skipped = match self.nulls {
                    NullKeys::Group => None,
                    NullKeys::Nobody => keys.nulls.as_ref(),
                };
                self.packed_ids(keys, packed, skipped, ids, fresh)?;
            }
            (_, None) => return Err(Error::internal("keys that are not packed")),
        }
        Ok(())
    }

    /// The number of a new group, or `UNKNOWN`.
    fn add(next: &mut u32, grows: bool) -> u32 {
        if !grows {
            return UNKNOWN;
        }
        *next += 1;
        *next - 1
    }

    fn single_ids(
        &mut self,
        words: &[u64],
        nulls: Option<&NullBuffer>,
        ids: &mut Vec<u32>,
        fresh: &mut Vec<u32>,
    ) {
        let mut last = (0_u64, NONE);
        for (row, word) in words.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                ids.push(self.null_id(row, fresh));
                continue;
            }
            if last.0 == *word && last.1 != NONE {
                ids.push(last.1);
                continue;
            }
            let id = self.single_id(*word, row, fresh);
            last = (*word, id);
            ids.push(id);
        }
    }

    fn null_id(&mut self, row: usize, fresh: &mut Vec<u32>) -> u32 {
        match (self.nulls, self.null) {
            (NullKeys::Nobody, _) => NONE,
            (NullKeys::Group, Some(id)) => id,
            (NullKeys::Group, None) => {
                let id = Self::add(&mut self.next, self.grows);
                if id != UNKNOWN {
                    self.null = Some(id);
                    fresh.push(row as u32);
                }
                id
            }
        }
    }

    #[inline]
    fn single_id(&mut self, word: u64, row: usize, fresh: &mut Vec<u32>) -> u32 {
        let seed = self.seed;
        let hash = mixed(word, 0, seed);
        if !self.grows {
            let found = self.single.find(hash, |entry| entry.0 == word);
            return found.map_or(UNKNOWN, |entry| entry.1);
        }
        let entry = self.single.entry(
            hash,
            |entry| entry.0 == word,
            |entry| mixed(entry.0, 0, seed),
        );
        match entry {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = Self::add(&mut self.next, true);
                entry.insert((word, id));
                fresh.push(row as u32);
                id
            }
        }
    }

    fn packed_ids(
        &mut self,
        keys: &KeyRows,
        packed: &Packed,
        skipped: Option<&NullBuffer>,
        ids: &mut Vec<u32>,
        fresh: &mut Vec<u32>,
    ) -> Result<()> {
        let mut scratch = Vec::new();
        let mut last: (Option<[u64; 2]>, u32) = (None, NONE);
        for row in 0..keys.rows {
            if skipped.is_some_and(|nulls| nulls.is_null(row)) {
                ids.push(NONE);
                continue;
            }
            let Some(key) = packed.get(row) else {
                scratch.clear();
                for lane in &keys.lanes {
                    lane.write(row, &mut scratch);
                }
                ids.push(self.long_id(&scratch, row, fresh)?);
                continue;
            };
            if last.0 != Some(key) {
                last = (Some(key), self.packed_id(key, row, fresh));
            }
            ids.push(last.1);
        }
        Ok(())
    }

    #[inline]
    fn packed_id(&mut self, key: [u64; 2], row: usize, fresh: &mut Vec<u32>) -> u32 {
        let seed = self.seed;
        let hash = mixed(key[0], key[1], seed);
        if !self.grows {
            let found = self.packed.find(hash, |entry| entry.0 == key);
            return found.map_or(UNKNOWN, |entry| entry.1);
        }
        let entry = self.packed.entry(
            hash,
            |entry| entry.0 == key,
            |entry| mixed(entry.0[0], entry.0[1], seed),
        );
        match entry {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = Self::add(&mut self.next, true);
                entry.insert((key, id));
                fresh.push(row as u32);
                id
            }
        }
    }

    fn long_id(&mut self, key: &[u8], row: usize, fresh: &mut Vec<u32>) -> Result<u32> {
        let hash = self.hasher.hash_one(key);
        let arena = &self.arena;
        let same = |entry: &Long| {
            let text = arena.get(entry.start..entry.start + entry.len as usize);
            entry.hash == hash && text == Some(key)
        };
        if let Some(entry) = self.long.find(hash, same) {
            return Ok(entry.id);
        }
        if !self.grows {
            return Ok(UNKNOWN);
        }
        let len = u32::try_from(key.len()).map_err(|_| {
            Error::new(
                Kind::TooLarge,
                "the values of one key are longer than 4 GiB",
            )
            .code("too_large_to_compute")
        })?;
        let id = Self::add(&mut self.next, true);
        let start = self.arena.len();
        self.arena.extend_from_slice(key);
        let entry = Long {
            hash,
            start,
            len,
            id,
        };
        self.long.insert_unique(hash, entry, |entry| entry.hash);
        fresh.push(row as u32);
        Ok(id)
    }
}

/// A hash of two words under a secret seed: both halves of a long product.
#[inline]
fn mixed(low: u64, high: u64, seed: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let first = fold(low ^ seed, ODD | 1);
    fold(
        first ^ high.rotate_left(32) ^ seed.rotate_left(17),
        seed | 1,
    )
}

/// The columns as the keys of sorted rows: nulls in them as told.
pub(crate) fn key_nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |all, column| {
        NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref())
    })
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
