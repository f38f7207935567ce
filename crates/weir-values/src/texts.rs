//! The three layouts of text that Arrow has, seen as one.

use arrow::array::{
    Array, ArrayRef, AsArray, LargeStringArray, LargeStringBuilder, StringArray, StringBuilder,
    StringViewArray, StringViewBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use std::sync::Arc;
use weir_core::{Error, Kind, Result};

/// A text column in whichever layout it came.
#[derive(Debug, Clone, Copy)]
pub enum Texts<'a> {
    /// Offsets of 32 bits.
    Small(&'a StringArray),
    /// Offsets of 64 bits.
    Large(&'a LargeStringArray),
    /// Views.
    View(&'a StringViewArray),
}

/// Whether the type is one of the three layouts of text.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

impl<'a> Texts<'a> {
    /// The array as text, if it is text.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8 => Some(Texts::Small(array.as_string())),
            DataType::LargeUtf8 => Some(Texts::Large(array.as_string())),
            DataType::Utf8View => Some(Texts::View(array.as_string_view())),
            _ => None,
        }
    }

    /// How many cells.
    pub fn len(&self) -> usize {
        match self {
            Texts::Small(array) => array.len(),
            Texts::Large(array) => array.len(),
            Texts::View(array) => array.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text at `row`; of a null cell something without meaning.
    #[inline]
    pub fn value(&self, row: usize) -> &'a str {
        match self {
            Texts::Small(array) => array.value(row),
            Texts::Large(array) => array.value(row),
            Texts::View(array) => array.value(row),
        }
    }

    /// Which cells are null.
    pub fn nulls(&self) -> Option<&'a NullBuffer> {
        match self {
            Texts::Small(array) => Array::nulls(*array),
            Texts::Large(array) => Array::nulls(*array),
            Texts::View(array) => Array::nulls(*array),
        }
    }

    /// Whether the cell at `row` is null.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The cells in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let texts = *self;
        (0..self.len()).map(move |row| (!texts.is_null(row)).then(|| texts.value(row)))
    }

    /// How many bytes the texts have together, about.
    pub fn bytes(&self) -> usize {
        match self {
            Texts::Small(array) => {
                let offsets = array.value_offsets();
                (offsets[array.len()] - offsets[0]) as usize
            }
            Texts::Large(array) => {
                let offsets = array.value_offsets();
                (offsets[array.len()] - offsets[0]) as usize
            }
            Texts::View(array) => array.lengths().map(|length| length as usize).sum(),
        }
    }

    /// A builder of the same layout, with room for as much text.
    pub fn builder(&self) -> TextBuilder {
        let (rows, bytes) = (self.len(), self.bytes());
        match self {
            Texts::Small(_) => TextBuilder::Small(StringBuilder::with_capacity(rows, bytes)),
            Texts::Large(_) => TextBuilder::Large(LargeStringBuilder::with_capacity(rows, bytes)),
            Texts::View(_) => TextBuilder::View(StringViewBuilder::with_capacity(rows)),
        }
    }
}

/// Builds text in the layout it came in.
#[derive(Debug)]
pub enum TextBuilder {
    /// Offsets of 32 bits.
    Small(StringBuilder),
    /// Offsets of 64 bits.
    Large(LargeStringBuilder),
    /// Views.
    View(StringViewBuilder),
}

impl TextBuilder {
    /// A builder of `data_type`; of `Utf8` when that is no text.
    pub fn of(data_type: &DataType, rows: usize, bytes: usize) -> Self {
        match data_type {
            DataType::LargeUtf8 => {
                TextBuilder::Large(LargeStringBuilder::with_capacity(rows, bytes))
            }
            DataType::Utf8View => TextBuilder::View(StringViewBuilder::with_capacity(rows)),
            _ => TextBuilder::Small(StringBuilder::with_capacity(rows, bytes)),
        }
    }

    /// Adds a text.
    #[inline]
    pub fn push(&mut self, text: &str) {
        match self {
            TextBuilder::Small(builder) => builder.append_value(text),
            TextBuilder::Large(builder) => builder.append_value(text),
            TextBuilder::View(builder) => builder.append_value(text),
        }
    }

    /// Adds a null.
    #[inline]
    pub fn push_null(&mut self) {
        match self {
            TextBuilder::Small(builder) => builder.append_null(),
            TextBuilder::Large(builder) => builder.append_null(),
            TextBuilder::View(builder) => builder.append_null(),
        }
    }

    /// Adds a text or a null.
    #[inline]
    pub fn push_option(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.push(text),
            None => self.push_null(),
        }
    }

    /// The finished array.
    pub fn finish(mut self) -> ArrayRef {
        match &mut self {
            TextBuilder::Small(builder) => Arc::new(builder.finish()),
            TextBuilder::Large(builder) => Arc::new(builder.finish()),
            TextBuilder::View(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Bytes by which the texts of one batch may grow: a step must not make gigabytes
/// of a short request.
pub const MOST_GROWTH: usize = 128 << 20;

/// The error about texts that grow beyond [`MOST_GROWTH`].
pub fn grown(message: &'static str) -> Error {
    Error::new(Kind::TooLarge, message).code("too_large_to_compute")
}

/// Whether a text of so many bytes may stand in each of `rows` rows.
///
/// # Errors
///
/// 413 `too_large_to_compute`.
pub fn fits(bytes: usize, rows: usize) -> Result<()> {
    match bytes.saturating_mul(rows) > MOST_GROWTH {
        true => {
            Err(grown("a text that stands in every row is too long").hint("give a shorter text"))
        }
        false => Ok(()),
    }
}

/// At most 40 characters of a value, for a message.
pub fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    match text.char_indices().nth(LIMIT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
