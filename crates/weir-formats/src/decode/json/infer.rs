//! Types of JSON values: the narrowest that loses no digit. What is mixed, too
//! deep or too wide stays JSON.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use weir_core::types::{EXTENSION_NAME, JSON_EXTENSION};

use super::syntax::{entries, is_number, items, unescape};
use crate::decode::cells::{Misfit, Span};
use crate::decode::scalar;

/// Deeper objects and lists stay JSON.
const TYPED_DEPTH: usize = 8;

/// Objects with more keys are maps rather than records, and stay JSON.
const RECORD_KEYS: usize = 256;

const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 4;
const OBJECT: u8 = 8;
const LIST: u8 = 16;
const OTHER: u8 = 32;

/// A field of JSON documents.
pub(super) fn json_field(name: &str) -> Field {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_EXTENSION.to_owned())]);
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

/// Numbers that were seen.
#[derive(Debug, Default)]
struct Numbers {
    is_signed: bool,
    has_fraction: bool,
    not_i64: bool,
    not_u64: bool,
    /// An integer that a float would round.
    is_large: bool,
    before: usize,
    after: usize,
    significant: usize,
    /// Too large for every type.
    is_endless: bool,
}

impl Numbers {
    fn see(&mut self, text: &str) {
        self.is_signed |= text.starts_with('-');
        let is_whole = !text.contains(['.', 'e', 'E']) && text != "-0";
        match text.parse::<i64>() {
            Ok(value) if is_whole => {
                self.is_large |= value.unsigned_abs() > scalar::MAX_EXACT;
                let digits = text.trim_start_matches('-').len();
                self.before = self.before.max(digits);
                return;
            }
            _ => {}
        }
        self.not_i64 = true;
        self.has_fraction |= !is_whole;
        self.is_large |= is_whole;
        self.not_u64 |= is_whole && text.parse::<u64>().is_err();
        match scalar::places(text) {
            Some((before, after)) if before <= 400 && after <= 400 => {
                self.before = self.before.max(before);
                self.after = self.after.max(after);
            }
            _ => self.is_endless = true,
        }
        if !is_whole {
            self.significant = self.significant.max(scalar::significant(text));
            self.is_endless |= !text.parse::<f64>().is_ok_and(f64::is_finite);
        }
    }

    fn data_type(&self) -> Option<DataType> {
        if !self.not_i64 {
            return Some(DataType::Int64);
        }
        if !self.has_fraction && !self.not_u64 && !self.is_signed {
            return Some(DataType::UInt64);
        }
        let is_float = self.has_fraction && !self.is_large && !self.is_endless;
        if is_float && self.significant <= scalar::FLOAT_DIGITS {
            return Some(DataType::Float64);
        }
        let digits = (self.before + self.after).max(1);
        let (precision, scale) = (digits as u8, self.after as i8);
        match digits {
            _ if self.is_endless => None,
            ..=38 => Some(DataType::Decimal128(precision, scale)),
            39..=76 => Some(DataType::Decimal256(precision, scale)),
            _ => None,
        }
    }
}

/// What the values of one place look like.
#[derive(Debug, Default)]
struct Shape {
    kinds: u8,
    numbers: Numbers,
    record: Option<Box<Record>>,
    item: Option<Box<Shape>>,
}

impl Shape {
    fn see(&mut self, text: &[u8], span: Span, depth: usize, limit: usize) -> Result<(), Misfit> {
        let raw = &text[span.start()..span.end()];
        match raw.first() {
            Some(b'n') => {}
            Some(b't' | b'f') => self.kinds |= BOOL,
            Some(b'"') => self.kinds |= TEXT,
            Some(b'{') if depth < TYPED_DEPTH => {
                self.kinds |= OBJECT;
                let record = self.record.get_or_insert_default();
                if record.names.len() <= RECORD_KEYS {
                    record.see(text, span, depth + 1, limit)?;
                }
            }
            Some(b'[') if depth < TYPED_DEPTH => {
                self.kinds |= LIST;
                let item = self.item.get_or_insert_default();
                items(text, span, limit, |span| {
                    item.see(text, span, depth + 1, limit)
                })?;
            }
            Some(b'{' | b'[') => self.kinds |= OTHER,
            _ => {
                self.kinds |= NUMBER;
                // What is no number is told when the batch is made, with its row.
                if let Some(text) = std::str::from_utf8(raw).ok().filter(|_| is_number(raw)) {
                    self.numbers.see(text);
                }
            }
        }
        Ok(())
    }

    fn field(&self, name: &str) -> Field {
        let data_type = match self.kinds {
            BOOL => Some(DataType::Boolean),
            NUMBER => self.numbers.data_type(),
            TEXT => Some(DataType::Utf8),
            OBJECT => self.record.as_ref().and_then(|record| {
                let fields = record.fields();
                (1..=RECORD_KEYS)
                    .contains(&fields.len())
                    .then(|| DataType::Struct(Fields::from(fields)))
            }),
            LIST => self
                .item
                .as_ref()
                .map(|item| DataType::List(Arc::new(item.field("item")))),
            _ => None,
        };
        match data_type {
            Some(data_type) => Field::new(name, data_type, true),
            None => json_field(name),
        }
    }

    fn leaves(&self) -> usize {
        let nested = self.record.as_ref().map_or(0, |record| record.leaves());
        1 + nested + self.item.as_ref().map_or(0, |item| item.leaves())
    }
}

/// Columns, or the keys of a nested object.
#[derive(Debug, Default)]
pub(super) struct Record {
    names: Vec<String>,
    quoted: Vec<Vec<u8>>,
    shapes: Vec<Shape>,
    by_name: HashMap<String, usize>,
}

impl Record {
    /// With these columns, in this order.
    pub(super) fn of(names: &[String]) -> Self {
        let mut record = Record::default();
        for name in names {
            record.add(name.clone());
        }
        record
    }

    fn add(&mut self, name: String) -> usize {
        let mut quoted = Vec::new();
        crate::json::write_text(&name, &mut quoted);
        self.quoted.push(quoted);
        self.by_name.insert(name.clone(), self.names.len());
        self.names.push(name);
        self.shapes.push(Shape::default());
        self.names.len() - 1
    }

    /// Looks at the object at `span`.
    pub(super) fn see(
        &mut self,
        text: &[u8],
        span: Span,
        depth: usize,
        limit: usize,
    ) -> Result<(), Misfit> {
        let mut next = 0;
        entries(text, span, limit, |key, value| {
            let known = match self.quoted.get(next) {
                Some(expected) if expected == key => next,
                _ => {
                    let name = unescape(key)?;
                    match self.by_name.get(&*name).copied() {
                        Some(known) => known,
                        None => self.add(name.into_owned()),
                    }
                }
            };
            next = known + 1;
            self.shapes[known].see(text, value, depth, limit)
        })
    }

    /// Looks at the value of the column at `index`.
    pub(super) fn see_value(
        &mut self,
        index: usize,
        text: &[u8],
        span: Span,
        limit: usize,
    ) -> Result<(), Misfit> {
        self.shapes[index].see(text, span, 0, limit)
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    /// Columns, fields of nested objects included.
    pub(super) fn leaves(&self) -> usize {
        self.shapes.iter().map(Shape::leaves).sum()
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        let fields = self.names.iter().zip(&self.shapes);
        fields.map(|(name, shape)| shape.field(name)).collect()
    }
}
