//! The last values of every group, as many as a column is moved by.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, interleave};
use weir_core::{Result, memory_of_array};

use super::keys::{GroupKeys, KeyRows, NONE, NullKeys, UNKNOWN};

/// The last places of each group, first in, first out.
enum Rings {
    /// Few places a group, side by side, and how many came in.
    Flat(Vec<u64>, Vec<u64>),
    /// Queues.
    Queues(Vec<VecDeque<u64>>),
}

/// Up to so many places stand side by side.
const FLAT: u64 = 8;

impl Rings {
    fn new(periods: u64) -> Self {
        if (1..=FLAT).contains(&periods) {
            Rings::Flat(Vec::new(), Vec::new())
        } else {
            Rings::Queues(Vec::new())
        }
    }

    fn grow(&mut self, groups: usize, periods: u64) {
        match self {
            Rings::Flat(places, counts) => {
                places.resize(groups * periods as usize, 0);
                counts.resize(groups, 0);
            }
            Rings::Queues(queues) => queues.resize_with(groups, VecDeque::new),
        }
    }

    /// Takes `place` in; what falls out is the place so many rows before.
    #[inline]
    fn turn(&mut self, group: usize, place: u64, periods: u64) -> Option<u64> {
        match self {
            Rings::Flat(places, counts) => {
                let count = counts[group];
                counts[group] += 1;
                let at = group * periods as usize + (count % periods) as usize;
                let before = std::mem::replace(&mut places[at], place);
                (count >= periods).then_some(before)
            }
            Rings::Queues(queues) => {
                let queue = &mut queues[group];
                queue.push_back(place);
                if queue.len() as u64 > periods {
                    queue.pop_front()
                } else {
                    None
                }
            }
        }
    }

    /// Every place that is remembered.
    fn places(&mut self, periods: u64, mut each: impl FnMut(&mut u64)) {
        match self {
            Rings::Flat(places, counts) => {
                let rings = places.chunks_mut(periods as usize).zip(counts);
                for (ring, count) in rings {
                    let held = (*count).min(periods) as usize;
                    ring[..held].iter_mut().for_each(&mut each);
                }
            }
            Rings::Queues(queues) => queues.iter_mut().flatten().for_each(each),
        }
    }

    /// Bytes when `groups` groups remember all that they may.
    fn bytes(groups: usize, periods: u64) -> usize {
        let periods = usize::try_from(periods).unwrap_or(usize::MAX);
        // Queues grow to twice of what they hold.
        let ring = periods.saturating_mul(2 * size_of::<u64>()) + size_of::<VecDeque<u64>>();
        groups.saturating_mul(ring)
    }
}

/// A place: the number of an array and a row in it.
fn place(array: usize, row: usize) -> u64 {
    (array as u64) << 32 | row as u64
}

fn pick(place: u64) -> (usize, usize) {
    (
        (place >> 32) as usize,
        (place & u64::from(u32::MAX)) as usize,
    )
}

/// In the first of all arrays: what a row without a group gets.
const NULL: u64 = 0;

/// And what comes in at the open end.
const PAD: u64 = 1;

fn ends(pad: &ArrayRef) -> Result<ArrayRef> {
    let null = new_null_array(pad.data_type(), 1);
    Ok(concat(&[null.as_ref(), pad.as_ref()])?)
}

fn picked(arrays: &[ArrayRef], picks: &[(usize, usize)]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&arrays, picks)?)
}

/// What groups remember while rows flow.
pub(super) struct Last {
    periods: u64,
    keys: GroupKeys,
    rings: Rings,
    /// Values that are remembered, and some that are not any more.
    arrays: Vec<ArrayRef>,
    pad: ArrayRef,
    rows: usize,
    bytes: usize,
    ids: Vec<u32>,
    fresh: Vec<u32>,
}

/// So many values that nobody remembers are no matter.
const IDLE: usize = 1 << 16;

impl Last {
    pub(super) fn new(periods: u64, pad: &ArrayRef) -> Self {
        Last {
            periods,
            keys: GroupKeys::new(NullKeys::Nobody),
            rings: Rings::new(periods),
            arrays: Vec::new(),
            pad: Arc::clone(pad),
            rows: 0,
            bytes: 0,
            ids: Vec::new(),
            fresh: Vec::new(),
        }
    }

    /// From here on no group is added.
    pub(super) fn freeze(&mut self) {
        self.keys.freeze();
    }

    /// Bytes that it holds at most once `rows` more rows were there, all of them
    /// of new groups, and every group remembers all that it may.
    pub(super) fn bytes_with(&self, rows: usize) -> usize {
        let groups = self.keys.len() + rows;
        let value = self.bytes / self.rows.max(1) + size_of::<u64>();
        let periods = usize::try_from(self.periods).unwrap_or(usize::MAX);
        let values = groups.saturating_mul(periods).saturating_mul(3 * value);
        let idle = IDLE.saturating_mul(value);
        let table = self.keys.bytes_with(rows);
        Rings::bytes(groups, self.periods)
            .saturating_add(values)
            .saturating_add(table + idle.min(2 * self.bytes))
    }

    /// The values so many rows before those of `values` in their group, which
    /// are remembered from now on.
    pub(super) fn turn(&mut self, key: &[ArrayRef], values: &ArrayRef) -> Result<ArrayRef> {
        if self.arrays.is_empty() {
            self.arrays.push(ends(&self.pad)?);
        }
        let rows = values.len();
        let keys = KeyRows::of(key, rows)?;
        self.keys.ids(&keys, &mut self.ids, &mut self.fresh)?;
        self.rings.grow(self.keys.len(), self.periods);
        let array = self.arrays.len();
        self.arrays.push(Arc::clone(values));
        self.rows += rows;
        self.bytes += memory_of_array(values);
        let mut picks = Vec::with_capacity(rows);
        for (row, id) in self.ids.iter().enumerate() {
            let before = match *id {
                NONE | UNKNOWN => NULL,
                id => {
                    let here = place(array, row);
                    let before = self.rings.turn(id as usize, here, self.periods);
                    before.unwrap_or(PAD)
                }
            };
            picks.push(pick(before));
        }
        let moved = picked(&self.arrays, &picks)?;
        self.sweep()?;
        Ok(moved)
    }

    /// Which of the last rows are of a group that is not known.
    pub(super) fn unknown(&self) -> BooleanArray {
        let ids = &self.ids;
        let unknown = BooleanBuffer::collect_bool(ids.len(), |row| ids[row] == UNKNOWN);
        BooleanArray::new(unknown, None)
    }

    /// Forgets the values that nobody remembers, once they are most of them.
    fn sweep(&mut self) -> Result<()> {
        let most = self.keys.len().saturating_mul(self.periods as usize);
        if self.rows <= IDLE || self.rows / 2 <= most {
            return Ok(());
        }
        let mut picks = Vec::new();
        self.rings.places(self.periods, |known| {
            picks.push(pick(*known));
            *known = place(1, picks.len() - 1);
        });
        let live = picked(&self.arrays, &picks)?;
        self.rows = live.len();
        self.bytes = memory_of_array(&live);
        self.arrays.truncate(1);
        self.arrays.push(live);
        Ok(())
    }
}

/// Values that come later in the group than the rows they are moved to.
pub(super) struct Ahead {
    periods: u64,
    keys: GroupKeys,
    rings: Rings,
    arrays: Vec<ArrayRef>,
    pad: ArrayRef,
    /// The place of the value that each row gets.
    places: Vec<u64>,
    bytes: usize,
    /// The next array to be given out, and its first row.
    at: (usize, usize),
    ids: Vec<u32>,
    fresh: Vec<u32>,
}

impl Ahead {
    pub(super) fn new(periods: u64, pad: &ArrayRef) -> Self {
        Ahead {
            periods,
            keys: GroupKeys::new(NullKeys::Nobody),
            rings: Rings::new(periods),
            arrays: Vec::new(),
            pad: Arc::clone(pad),
            places: Vec::new(),
            bytes: 0,
            at: (1, 0),
            ids: Vec::new(),
            fresh: Vec::new(),
        }
    }

    /// Bytes that it holds at most once `values` are there.
    pub(super) fn bytes_with(&self, values: &ArrayRef) -> usize {
        let rows = self.places.len() + values.len();
        let groups = self.keys.len() + values.len();
        // A group remembers no more than it has rows.
        let rings = Rings::bytes(groups, self.periods).min(rows.saturating_mul(64));
        let places = 2 * rows.saturating_mul(size_of::<u64>());
        let table = self.keys.bytes_with(values.len());
        self.bytes + memory_of_array(values) + rings + places + table
    }

    /// Takes the next rows.
    pub(super) fn add(&mut self, key: &[ArrayRef], values: ArrayRef) -> Result<()> {
        if self.arrays.is_empty() {
            self.arrays.push(ends(&self.pad)?);
        }
        let keys = KeyRows::of(key, values.len())?;
        self.keys.ids(&keys, &mut self.ids, &mut self.fresh)?;
        self.rings.grow(self.keys.len(), self.periods);
        let (array, first) = (self.arrays.len(), self.places.len());
        for (row, id) in self.ids.iter().enumerate() {
            if *id == NONE {
                self.places.push(NULL);
                continue;
            }
            self.places.push(PAD);
            let here = (first + row) as u64;
            if let Some(before) = self.rings.turn(*id as usize, here, self.periods) {
                self.places[before as usize] = place(array, row);
            }
        }
        self.bytes += memory_of_array(&values);
        self.arrays.push(values);
        Ok(())
    }

    /// The next array of values as they came in, and those moved to their rows.
    pub(super) fn next(&mut self) -> Result<(ArrayRef, ArrayRef)> {
        let (array, first) = self.at;
        let values = Arc::clone(&self.arrays[array]);
        let places = &self.places[first..first + values.len()];
        let picks: Vec<(usize, usize)> = places.iter().map(|place| pick(*place)).collect();
        self.at = (array + 1, first + values.len());
        let moved = picked(&self.arrays, &picks)?;
        Ok((values, moved))
    }
}
