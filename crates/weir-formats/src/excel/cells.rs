//! Cells of one column and the type that holds them all.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use calamine::{Data, ExcelDateTime};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};

const DAY_MICROS: i64 = 86_400_000_000;

/// Whole numbers up to here are exact in a cell.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A cell with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970.
    Moment(i64),
    /// Microseconds of a day, or longer.
    Time(i64),
}

impl Cell {
    /// `None` for empty cells and for errors, which have no value.
    pub(super) fn of(data: Data) -> Option<Cell> {
        Some(match data {
            Data::Int(value) => Cell::Int(value),
            Data::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => {
                Cell::Int(value as i64)
            }
            Data::Float(value) => Cell::Float(value),
            Data::String(text) => Cell::Text(text),
            Data::Bool(value) => Cell::Bool(value),
            Data::DateTime(value) => moment(&value)?,
            Data::DateTimeIso(text) => iso(&text).unwrap_or(Cell::Text(text)),
            Data::DurationIso(text) => Cell::Text(text),
            Data::Error(_) | Data::Empty => return None,
        })
    }

    /// Bytes that it holds beside itself.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Cell::Text(text) => text.capacity(),
            _ => 0,
        }
    }

    /// As text, numbers without a needless point.
    pub(super) fn text(&self) -> String {
        match self {
            Cell::Bool(value) => value.to_string(),
            Cell::Int(value) => value.to_string(),
            Cell::Float(value) => value.to_string(),
            Cell::Text(text) => text.clone(),
            Cell::Moment(micros) => match chrono::DateTime::from_timestamp_micros(*micros) {
                Some(moment) if micros % DAY_MICROS == 0 => moment.format("%Y-%m-%d").to_string(),
                Some(moment) => moment.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
                None => String::new(),
            },
            Cell::Time(micros) => {
                let seconds = micros / 1_000_000;
                let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
            }
        }
    }
}

/// Serial numbers below one day are times.
fn moment(value: &ExcelDateTime) -> Option<Cell> {
    let serial = value.as_f64();
    if !serial.is_finite() {
        return None;
    }
    if value.is_duration() || (0.0..1.0).contains(&serial) {
        let millis = (serial * 86_400_000.0).round();
        return Some(Cell::Time((millis as i64).saturating_mul(1_000)));
    }
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    let date = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day))?;
    let time = NaiveTime::from_hms_milli_opt(
        u32::from(hour),
        u32::from(minute),
        u32::from(second),
        u32::from(milli),
    )?;
    Some(Cell::Moment(
        NaiveDateTime::new(date, time).and_utc().timestamp_micros(),
    ))
}

fn iso(text: &str) -> Option<Cell> {
    let whole = |date: NaiveDate| date.and_time(NaiveTime::MIN);
    let parsed = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(whole);
    let parsed = parsed.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"));
    let moment = parsed
        .ok()
        .filter(|moment| (0..=9999).contains(&moment.year()))?;
    Some(Cell::Moment(moment.and_utc().timestamp_micros()))
}

/// The cells of one column, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Column {
    cells: Vec<(usize, Cell)>,
}

impl Column {
    /// Adds a cell.
    pub(super) fn push(&mut self, row: usize, cell: Cell) {
        self.cells.push((row, cell));
    }

    fn all(&self, test: impl Fn(&Cell) -> bool) -> bool {
        !self.cells.is_empty() && self.cells.iter().all(|(_, cell)| test(cell))
    }

    /// What its cells are called in a spreadsheet.
    pub(super) fn native(&self) -> &'static str {
        if self.cells.is_empty() {
            return "empty";
        }
        if self.all(|cell| matches!(cell, Cell::Bool(_))) {
            return "boolean";
        }
        if self.all(|cell| matches!(cell, Cell::Int(_) | Cell::Float(_))) {
            return "number";
        }
        if self.all(|cell| matches!(cell, Cell::Moment(_) | Cell::Time(_))) {
            return "date";
        }
        if self.all(|cell| matches!(cell, Cell::Text(_))) {
            return "text";
        }
        "mixed"
    }

    /// The cells by row, with nulls where there are none.
    fn each(&self, rows: usize, mut push: impl FnMut(Option<&Cell>)) {
        let mut sorted: Vec<&(usize, Cell)> = self.cells.iter().collect();
        // Sheets may name their cells in any order; of two in one place the last counts.
        sorted.sort_by_key(|(row, _)| *row);
        let mut cells = sorted.into_iter().peekable();
        for row in 0..rows {
            let mut found = None;
            while let Some((_, cell)) = cells.next_if(|(place, _)| *place == row) {
                found = Some(cell);
            }
            push(found);
        }
    }

    /// The values as text.
    pub(super) fn texts(&self, rows: usize) -> ArrayRef {
        let mut values = StringBuilder::new();
        self.each(rows, |cell| values.append_option(cell.map(Cell::text)));
        Arc::new(values.finish())
    }

    /// The values in the narrowest type that holds them all; text where they mix.
    pub(super) fn array(&self, rows: usize) -> ArrayRef {
        if self.all(|cell| matches!(cell, Cell::Bool(_))) {
            let mut values = BooleanBuilder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Bool(value)) => values.append_value(*value),
                _ => values.append_null(),
            });
            return Arc::new(values.finish());
        }
        if self.all(|cell| matches!(cell, Cell::Int(_))) {
            let mut values = Int64Builder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Int(value)) => values.append_value(*value),
                _ => values.append_null(),
            });
            return Arc::new(values.finish());
        }
        if self.all(|cell| matches!(cell, Cell::Int(_) | Cell::Float(_))) {
            let mut values = Float64Builder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Int(value)) => values.append_value(*value as f64),
                Some(Cell::Float(value)) => values.append_value(*value),
                _ => values.append_null(),
            });
            return Arc::new(values.finish());
        }
        self.moments(rows).unwrap_or_else(|| self.texts(rows))
    }

    fn moments(&self, rows: usize) -> Option<ArrayRef> {
        let is_day = |cell: &Cell| matches!(cell, Cell::Moment(micros) if micros % DAY_MICROS == 0);
        if self.all(is_day) {
            let mut values = Date32Builder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Moment(micros)) => {
                    values.append_option(i32::try_from(micros.div_euclid(DAY_MICROS)).ok());
                }
                _ => values.append_null(),
            });
            return Some(Arc::new(values.finish()));
        }
        if self.all(|cell| matches!(cell, Cell::Moment(_))) {
            let mut values = TimestampMicrosecondBuilder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Moment(micros)) => values.append_value(*micros),
                _ => values.append_null(),
            });
            return Some(Arc::new(values.finish()));
        }
        let is_time =
            |cell: &Cell| matches!(cell, Cell::Time(micros) if (0..DAY_MICROS).contains(micros));
        if self.all(is_time) {
            let mut values = Time64MicrosecondBuilder::with_capacity(rows);
            self.each(rows, |cell| match cell {
                Some(Cell::Time(micros)) => values.append_value(*micros),
                _ => values.append_null(),
            });
            return Some(Arc::new(values.finish()));
        }
        None
    }
}
