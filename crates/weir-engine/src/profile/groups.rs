//! What is found out from the different values of a column, each with how often
//! it is there.

use std::cmp::Reverse;

use weir_core::Result;
use weir_values::counts::Key;

use super::parts::Parts;

/// Values that a distribution shows.
const SHOWN: usize = 20;

/// A key that is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Fixed(u64),
    Bytes(Box<[u8]>),
}

impl Kept {
    pub(super) fn of(key: Key<'_>) -> Self {
        match key {
            Key::Fixed(key) => Kept::Fixed(key),
            Key::Bytes(bytes) => Kept::Bytes(bytes.into()),
        }
    }

    pub(super) fn key(&self) -> Key<'_> {
        match self {
            Kept::Fixed(key) => Key::Fixed(*key),
            Kept::Bytes(bytes) => Key::Bytes(bytes),
        }
    }
}

/// A value that stands out.
#[derive(Debug, Clone)]
pub(super) struct Frequent {
    pub(super) key: Kept,
    pub(super) count: u64,
    /// Where it was first, in the order of first places.
    pub(super) first: u64,
}

/// Gathers it.
#[derive(Default)]
pub(super) struct Groups {
    /// The most frequent values, by frequency, then value.
    pub(super) top: Vec<Frequent>,
    /// The most frequent value; the first of those.
    pub(super) mode: Option<Frequent>,
    /// The least frequent value; the first of those.
    pub(super) least: Option<Frequent>,
    /// The smallest and the largest key of 64 bits.
    pub(super) range: Option<(u64, u64)>,
    pub(super) parts: Parts,
    /// Whether parts have been filled before.
    is_sketch: bool,
}

impl Groups {
    /// Fills `parts` as well.
    pub(super) fn with(parts: Parts) -> Self {
        Groups {
            parts,
            ..Groups::default()
        }
    }

    pub(super) fn of_sketch(self) -> Self {
        Groups {
            is_sketch: true,
            ..self
        }
    }

    /// The next value, which has not come before.
    pub(super) fn add(&mut self, key: Key<'_>, count: u64, first: u64) -> Result<()> {
        if let Key::Fixed(key) = key {
            let (low, high) = self.range.unwrap_or((key, key));
            self.range = Some((low.min(key), high.max(key)));
        }
        let frequent = || Frequent {
            key: Kept::of(key),
            count,
            first,
        };
        let order = (count, Reverse(first));
        if self
            .mode
            .as_ref()
            .is_none_or(|mode| order > (mode.count, Reverse(mode.first)))
        {
            self.mode = Some(frequent());
        }
        if self
            .least
            .as_ref()
            .is_none_or(|least| (count, first) < (least.count, least.first))
        {
            self.least = Some(frequent());
        }
        let is_behind = |other: &Frequent| {
            other.count > count || (other.count == count && other.key.key() < key)
        };
        if self.top.len() < SHOWN || !self.top.last().is_some_and(is_behind) {
            let place = self.top.partition_point(is_behind);
            self.top.insert(place, frequent());
            self.top.truncate(SHOWN);
        }
        if !self.is_sketch {
            self.parts.add(key, count)?;
        }
        Ok(())
    }
}
