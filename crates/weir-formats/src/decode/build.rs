//! Arrays from cells, a column at a time, so that the type is looked at once
//! a column and not once a cell.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, Float16Array, ListArray,
    NullArray, PrimitiveArray, PrimitiveBuilder, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, DurationMicrosecondType,
    Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_core::types::{field_type_name, is_json};

use super::cells::{JsonCells, Misfit, Reader, Span, Value};
use super::json::syntax;
use super::scalar;

/// The cells of one column.
pub(super) struct Cells<'a, R> {
    pub(super) text: &'a [u8],
    pub(super) reader: &'a R,
    /// Row by row, `stride` apart.
    pub(super) spans: &'a [Span],
    pub(super) first: usize,
    pub(super) stride: usize,
    pub(super) rows: usize,
    /// The type was inferred, so it must give back what was written.
    pub(super) inferred: bool,
    pub(super) max_depth: usize,
}

/// A cell that does not fit: its row in the batch and what is wrong.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) row: usize,
    pub(super) what: Misfit,
}

type Built<T = ArrayRef> = Result<T, Bad>;

impl<'a, R: Reader> Cells<'a, R> {
    fn span(&self, row: usize) -> Span {
        self.spans[self.first + row * self.stride]
    }

    fn value(&self, row: usize) -> Built<Value<'a>> {
        self.reader
            .value(self.text, self.span(row))
            .map_err(|what| Bad { row, what })
    }

    /// Text is no number where the format itself tells them apart.
    fn strict(&self) -> bool {
        self.inferred && R::IS_JSON
    }

    /// The text of a number.
    fn number<'v>(&self, value: &'v Value<'_>) -> Option<&'v str> {
        match value {
            Value::Number(text) => Some(text),
            Value::Text(text) if !self.strict() => Some(text.trim()),
            _ => None,
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        field: &Field,
        parse: impl Fn(&Self, &Value<'_>) -> Option<T::Native>,
    ) -> Built<PrimitiveArray<T>> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.rows);
        for row in 0..self.rows {
            match self.value(row)? {
                Value::Null => builder.append_null(),
                value => match parse(self, &value) {
                    Some(native) => builder.append_value(native),
                    None => return Err(misfit(field, row)),
                },
            }
        }
        Ok(builder.finish())
    }

    fn parsed<T>(&self, field: &Field) -> Built
    where
        T: ArrowPrimitiveType,
        T::Native: std::str::FromStr,
    {
        let is_float = T::DATA_TYPE.is_floating();
        let parse = |cells: &Self, value: &Value<'_>| {
            let text = cells.number(value)?;
            if cells.inferred && !scalar::is_kept(text, is_float) {
                return None;
            }
            text.parse().ok()
        };
        Ok(Arc::new(self.primitive::<T>(field, parse)?))
    }

    fn decimal<T: DecimalType>(
        &self,
        field: &Field,
        (precision, scale): (u8, i8),
        parse: impl Fn(&str, i8) -> Option<T::Native>,
    ) -> Built {
        let parse = |cells: &Self, value: &Value<'_>| {
            let native = parse(cells.number(value)?, scale)?;
            T::validate_decimal_precision(native, precision, scale).ok()?;
            Some(native)
        };
        let array = self.primitive::<T>(field, parse)?;
        let typed = array.with_precision_and_scale(precision, scale);
        Ok(Arc::new(typed.map_err(|_| misfit(field, 0))?))
    }

    /// Moments and days, which are text in every format.
    fn timed<T: ArrowPrimitiveType>(
        &self,
        field: &Field,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Built<PrimitiveArray<T>> {
        self.primitive::<T>(field, |_, value| match value {
            Value::Text(text) => parse(text.trim()),
            _ => None,
        })
    }
}

fn misfit(field: &Field, row: usize) -> Bad {
    let what = format!("does not fit the type {}", field_type_name(field));
    Bad {
        row,
        what: what.into(),
    }
}

/// The array of `field`'s type. A type that has no reader is a misfit.
pub(super) fn build<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    match field.data_type() {
        DataType::Int8 => cells.parsed::<Int8Type>(field),
        DataType::Int16 => cells.parsed::<Int16Type>(field),
        DataType::Int32 => cells.parsed::<Int32Type>(field),
        DataType::Int64 => cells.parsed::<Int64Type>(field),
        DataType::UInt8 => cells.parsed::<UInt8Type>(field),
        DataType::UInt16 => cells.parsed::<UInt16Type>(field),
        DataType::UInt32 => cells.parsed::<UInt32Type>(field),
        DataType::UInt64 => cells.parsed::<UInt64Type>(field),
        DataType::Float32 => cells.parsed::<Float32Type>(field),
        DataType::Float64 => cells.parsed::<Float64Type>(field),
        DataType::Float16 => {
            let wide = cells.parsed::<Float32Type>(field)?;
            let wide = wide.as_primitive::<Float32Type>();
            let narrow = |v: Option<f32>| v.map(half_of);
            Ok(Arc::new(wide.iter().map(narrow).collect::<Float16Array>()))
        }
        DataType::Decimal128(p, s) => {
            cells.decimal::<Decimal128Type>(field, (*p, *s), scalar::decimal)
        }
        DataType::Decimal256(p, s) => {
            cells.decimal::<Decimal256Type>(field, (*p, *s), scalar::decimal256)
        }
        DataType::Boolean => booleans(field, cells),
        DataType::Utf8 if is_json(field) => documents(cells),
        DataType::Utf8 => texts(field, cells),
        DataType::Binary => binaries(field, cells),
        DataType::List(item) => list(field, item, cells),
        DataType::Struct(fields) => record(fields, cells),
        DataType::Null => nulls(field, cells),
        _ => moments(field, cells),
    }
}

fn half_of(value: f32) -> <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native {
    <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

fn moments<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    match field.data_type() {
        DataType::Date32 => Ok(Arc::new(cells.timed::<Date32Type>(field, scalar::date)?)),
        DataType::Time64(unit) | DataType::Time32(unit) => {
            let unit = *unit;
            let values = cells.timed::<Int64Type>(field, |text| scalar::time(text, unit))?;
            as_type(Arc::new(values), field)
        }
        DataType::Timestamp(unit, zone) => {
            let (unit, is_utc) = (*unit, zone.as_deref() == Some("UTC"));
            let has_zone = zone.is_some();
            let parse = |text: &str| {
                let moment = scalar::moment(text)?;
                let fits = moment.offset.is_some() == has_zone || is_utc;
                moment.in_unit(unit).filter(|_| fits)
            };
            as_type(Arc::new(cells.timed::<Int64Type>(field, parse)?), field)
        }
        DataType::Duration(unit) => {
            let unit = *unit;
            let parse = |text: &str| scalar::duration(text, unit);
            let values = cells.timed::<DurationMicrosecondType>(field, parse)?;
            let bare = values.reinterpret_cast::<Int64Type>();
            as_type(Arc::new(bare), field)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let parse = |text: &str| {
                let (months, days, nanos) = scalar::interval(text)?;
                Some(IntervalMonthDayNano::new(months, days, nanos))
            };
            Ok(Arc::new(
                cells.timed::<IntervalMonthDayNanoType>(field, parse)?,
            ))
        }
        _ => Err(misfit(field, 0)),
    }
}

/// Whole numbers as a type that is stored as such.
fn as_type(values: ArrayRef, field: &Field) -> Built {
    let narrow = match field.data_type() {
        DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond) => {
            cast(&values, &DataType::Int32).map_err(|_| misfit(field, 0))?
        }
        _ => values,
    };
    cast(&narrow, field.data_type()).map_err(|_| misfit(field, 0))
}

fn booleans<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    let mut builder = BooleanBuilder::with_capacity(cells.rows);
    for row in 0..cells.rows {
        match cells.value(row)? {
            Value::Null => builder.append_null(),
            Value::Bool(value) => builder.append_value(value),
            Value::Text(text) if !cells.strict() => match boolean(text.trim()) {
                Some(value) => builder.append_value(value),
                None => return Err(misfit(field, row)),
            },
            _ => return Err(misfit(field, row)),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// `true` and `false` in the spellings that programs write.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn texts<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    let mut builder = StringBuilder::with_capacity(cells.rows, cells.rows * 16);
    for row in 0..cells.rows {
        match cells.value(row)? {
            Value::Null => builder.append_null(),
            Value::Text(text) => builder.append_value(text),
            Value::Number(text) if !cells.strict() => builder.append_value(text),
            Value::Bool(value) if !cells.strict() => {
                builder.append_value(if value { "true" } else { "false" });
            }
            _ => return Err(misfit(field, row)),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn binaries<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    let mut builder = BinaryBuilder::with_capacity(cells.rows, cells.rows * 16);
    for row in 0..cells.rows {
        match cells.value(row)? {
            Value::Null => builder.append_null(),
            Value::Text(text) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => builder.append_value(bytes),
                Err(_) => return Err(misfit(field, row)),
            },
            _ => return Err(misfit(field, row)),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn documents<R: Reader>(cells: &Cells<'_, R>) -> Built {
    let mut builder = StringBuilder::with_capacity(cells.rows, cells.rows * 32);
    for row in 0..cells.rows {
        let document = cells.reader.document(cells.text, cells.span(row));
        builder.append_option(document.map_err(|what| Bad { row, what })?);
    }
    Ok(Arc::new(builder.finish()))
}

fn nulls<R: Reader>(field: &Field, cells: &Cells<'_, R>) -> Built {
    for row in 0..cells.rows {
        if !matches!(cells.value(row)?, Value::Null) {
            return Err(misfit(field, row));
        }
    }
    Ok(Arc::new(NullArray::new(cells.rows)))
}

/// Cells as JSON: those of CSV are copied out of their quotes.
fn as_json<'a, R: Reader>(cells: &Cells<'a, R>) -> Built<(Cow<'a, [u8]>, Vec<Span>)> {
    if R::IS_JSON {
        let spans = (0..cells.rows).map(|row| cells.span(row)).collect();
        return Ok((Cow::Borrowed(cells.text), spans));
    }
    let (mut text, mut spans) = (Vec::new(), Vec::with_capacity(cells.rows));
    for row in 0..cells.rows {
        let document = cells.reader.document(cells.text, cells.span(row));
        let start = text.len();
        if let Some(document) = document.map_err(|what| Bad { row, what })? {
            text.extend_from_slice(document.trim().as_bytes());
        }
        spans.push(Span::new(start, text.len()));
    }
    Ok((Cow::Owned(text), spans))
}

fn is_null(text: &[u8], span: Span) -> bool {
    matches!(&text[span.start()..span.end()], b"" | b"null")
}

fn list<R: Reader>(field: &Field, item: &Arc<Field>, cells: &Cells<'_, R>) -> Built {
    let (text, spans) = as_json(cells)?;
    let (mut items, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, span) in spans.iter().enumerate() {
        let before = items.len();
        valid.push(!is_null(&text, *span));
        if valid[row] {
            let take = |item| {
                items.push(item);
                Ok(())
            };
            syntax::items(&text, *span, cells.max_depth, take).map_err(|_| misfit(field, row))?;
        }
        lengths.push(items.len() - before);
    }
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let inner = Cells {
        text: &text,
        reader: &JsonCells,
        spans: &items,
        first: 0,
        stride: 1,
        rows: items.len(),
        inferred: cells.inferred && R::IS_JSON,
        max_depth: cells.max_depth,
    };
    let values = build(item, &inner).map_err(|bad| Bad {
        row: offsets
            .partition_point(|end| *end as usize <= bad.row)
            .saturating_sub(1),
        what: bad.what,
    })?;
    let array = ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        Some(NullBuffer::from(valid)),
    );
    Ok(Arc::new(array.map_err(|_| misfit(field, 0))?))
}

fn record<R: Reader>(fields: &Fields, cells: &Cells<'_, R>) -> Built {
    let (text, spans) = as_json(cells)?;
    let width = fields.len();
    let mut children = vec![Span::MISSING; spans.len() * width];
    let mut valid = Vec::with_capacity(spans.len());
    let keys = Keys::new(fields.iter().map(|field| field.name().as_str()));
    for (row, span) in spans.iter().enumerate() {
        valid.push(!is_null(&text, *span));
        if valid[row] {
            let slots = &mut children[row * width..(row + 1) * width];
            keys.place(&text, *span, cells.max_depth, slots, true)
                .map_err(|what| Bad { row, what })?;
        }
    }
    let arrays = fields.iter().enumerate().map(|(first, field)| {
        let inner = Cells {
            text: &text,
            reader: &JsonCells,
            spans: &children,
            first,
            stride: width,
            rows: spans.len(),
            inferred: cells.inferred && R::IS_JSON,
            max_depth: cells.max_depth,
        };
        build(field, &inner)
    });
    let arrays = arrays.collect::<Built<Vec<_>>>()?;
    let nulls = Some(NullBuffer::from(valid));
    let array = StructArray::try_new_with_length(fields.clone(), arrays, nulls, spans.len());
    let what = || Misfit::from("is not an object of its type");
    Ok(Arc::new(array.map_err(|_| Bad {
        row: 0,
        what: what(),
    })?))
}

/// Which column each key of an object belongs to.
pub(super) struct Keys {
    quoted: Vec<Vec<u8>>,
    by_name: std::collections::HashMap<String, usize>,
}

impl Keys {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let quoted = |name: &String| {
            let mut key = Vec::new();
            crate::json::write_text(name, &mut key);
            key
        };
        Keys {
            quoted: names.iter().map(quoted).collect(),
            by_name: names
                .into_iter()
                .enumerate()
                .map(|(i, name)| (name, i))
                .collect(),
        }
    }

    /// Puts each value of the object at `span` into its slot. A key without a
    /// slot is an error when `is_closed`.
    pub(super) fn place(
        &self,
        text: &[u8],
        span: Span,
        max_depth: usize,
        slots: &mut [Span],
        is_closed: bool,
    ) -> Result<(), Misfit> {
        let mut next = 0;
        syntax::entries(text, span, max_depth, |key, value| {
            // Keys mostly come in the same order in every row.
            let slot = match self.quoted.get(next) {
                Some(expected) if expected == key => Some(next),
                _ => self.by_name.get(&*syntax::unescape(key)?).copied(),
            };
            let Some(slot) = slot else {
                return if is_closed {
                    Err(unknown_key(key))
                } else {
                    Ok(())
                };
            };
            if slots[slot] != Span::MISSING {
                return Err(format!("has the key {} twice", shown(key)).into());
            }
            slots[slot] = value;
            next = slot + 1;
            Ok(())
        })
    }
}

fn unknown_key(key: &[u8]) -> Misfit {
    format!("has the key {}, which no row before has", shown(key)).into()
}

fn shown(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let key = key.trim_matches('"');
    let short: String = key.chars().take(64).collect();
    format!("`{short}`")
}
