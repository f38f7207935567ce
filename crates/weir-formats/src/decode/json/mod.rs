//! JSON in: an array of objects, an envelope with `columns` and `rows`, or
//! lines. The text is framed as it comes, so an array of any length is read in
//! the memory of a batch.

mod frame;
mod infer;
pub(in crate::decode) mod syntax;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;
use weir_core::types::parse_field;
use weir_core::{Error, Result};

use super::build::Keys;
use super::cells::{JsonCells, Misfit, Span};
use super::plan::{Batch, Meter, Plan, at_row, data_error, misfit, too_many_columns};
use super::{DecodeOptions, Decoder, SAMPLE_BYTES, SAMPLE_ROWS};
use frame::Framer;
use infer::Record;

/// Bytes that are taken at once, so that the buffer stays small.
const STEP: usize = 1 << 20;

/// A column as the envelope names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedColumn {
    name: String,
    #[serde(rename = "type")]
    type_: Option<String>,
}

/// Reads JSON and NDJSON.
pub(super) struct JsonDecoder {
    options: DecodeOptions,
    text: Vec<u8>,
    framer: Framer,
    is_lines: bool,
    started: bool,
    /// Names and types the envelope gave.
    columns: Option<Vec<NamedColumn>>,
    table: Option<Table>,
    rows: u64,
    lines: u64,
    meter: Meter,
}

struct Table {
    plan: Plan,
    keys: Keys,
    /// Rows are lists.
    is_lists: bool,
    /// Other keys are an error: nothing is lost silently.
    is_closed: bool,
}

/// The members of the JSON object that `text` is, each with the place of its
/// value; `None` when it is no such object.
pub(in crate::decode) fn members(
    text: &[u8],
    max_depth: usize,
) -> Option<Vec<(String, std::ops::Range<usize>)>> {
    let start = syntax::skip_space(text, 0);
    let end = start + text[start..].trim_ascii_end().len();
    let mut found = Vec::new();
    let read = syntax::entries(text, Span::new(start, end), max_depth, |key, value| {
        found.push((
            syntax::unescape(key)?.into_owned(),
            value.start()..value.end(),
        ));
        Ok(())
    });
    read.ok().map(|()| found)
}

const BOM: &[u8] = "\u{feff}".as_bytes();

impl JsonDecoder {
    pub(super) fn new(options: DecodeOptions, is_lines: bool) -> Self {
        JsonDecoder {
            framer: Framer::new(is_lines),
            text: Vec::new(),
            is_lines,
            started: false,
            columns: None,
            table: None,
            rows: 0,
            lines: 0,
            meter: Meter::default(),
            options,
        }
    }

    fn advance(&mut self, is_last: bool, out: &mut Vec<RecordBatch>) -> Result<()> {
        if !self.started {
            if self.text.len() < BOM.len() && !is_last {
                return Ok(());
            }
            self.started = true;
            if self.text.starts_with(BOM) {
                self.text.drain(..BOM.len());
            }
        }
        loop {
            let wanted = self
                .table
                .as_ref()
                .map_or(SAMPLE_ROWS, |table| table.plan.batch_rows);
            let awaits = self.framer.awaits_columns();
            let most = if awaits { usize::MAX } else { wanted };
            let mut failed = self
                .framer
                .scan(&self.text, most, &self.options.limits)
                .err();
            let is_short = self.framer.rows.len() < most;
            if failed.is_none() && is_last && is_short {
                failed = self.framer.finish(&self.text).err();
            }
            self.take_columns()?;
            if awaits && self.text.len() > self.options.limits.max_cell_bytes {
                return Err(data_error("`columns` comes too late")
                    .hint("put `columns` before `rows`, or send rows as objects in an array"));
            }
            if failed.is_none()
                && is_short
                && !is_last
                && (awaits || self.framer.consumed < SAMPLE_BYTES)
            {
                self.compact();
                return Ok(());
            }
            self.rows(is_last && failed.is_none(), out)?;
            if let Some(error) = failed {
                return Err(self.located(error, 0, self.framer.consumed));
            }
            if is_short && self.framer.rows.is_empty() {
                self.compact();
                return Ok(());
            }
        }
    }

    fn take_columns(&mut self) -> Result<()> {
        let Some(text) = self
            .framer
            .columns
            .as_deref()
            .filter(|_| self.columns.is_none())
        else {
            return Ok(());
        };
        let columns: Vec<NamedColumn> =
            weir_core::config::decode_slice(text).map_err(|error| error.under("/columns"))?;
        if columns.len() > self.options.limits.max_columns {
            return Err(too_many_columns(&self.options.limits));
        }
        self.columns = Some(columns);
        Ok(())
    }

    /// Gives out the rows that are framed.
    fn rows(&mut self, is_last: bool, out: &mut Vec<RecordBatch>) -> Result<()> {
        if self.table.is_none() {
            if self.framer.rows.is_empty() && !is_last {
                return Ok(());
            }
            self.table = Some(self.sampled()?);
        }
        while !self.framer.rows.is_empty() {
            self.emit(out)?;
        }
        Ok(())
    }

    /// Names and types, from the envelope and from the rows at hand.
    fn sampled(&mut self) -> Result<Table> {
        let first = self.framer.rows.first().copied();
        let is_lists = first.is_some_and(|row| self.text[row.start()] == b'[');
        let mut names: Option<Vec<String>> = self
            .columns
            .as_ref()
            .map(|columns| columns.iter().map(|column| column.name.clone()).collect());
        if is_lists && self.is_lines {
            let place = first.map_or(0, |row| row.start());
            return Err(self.located(data_error("a line is one JSON object"), 0, place));
        }
        if is_lists && names.is_none() {
            names = Some(self.names_of_first_row()?);
        }
        let has_names = names.is_some();
        let mut record = Record::of(&names.unwrap_or_default());
        let limits = &self.options.limits;
        let depth = limits.max_depth;
        for (row, span) in self.framer.rows.iter().take(SAMPLE_ROWS).enumerate() {
            let seen = if is_lists {
                let mut index = 0;
                let width = record.width();
                syntax::items(&self.text, *span, depth, |value| {
                    index += 1;
                    if index > width {
                        return Err(wrong_length(index, width));
                    }
                    record.see_value(index - 1, &self.text, value, depth)
                })
            } else {
                record.see(&self.text, *span, 0, depth)
            };
            seen.map_err(|what| self.bad_row(what, row, span.start()))?;
            if record.width() > limits.max_columns
                || (row % 64 == 0 && record.leaves() > limits.max_columns)
            {
                return Err(too_many_columns(limits));
            }
        }
        if record.leaves() > limits.max_columns {
            return Err(too_many_columns(limits));
        }
        let named = self.columns.as_ref().map_or(0, Vec::len);
        if has_names && !is_lists && record.width() > named {
            let message = "a row has a key that `columns` does not name";
            return Err(data_error(message).hint("name every column, or leave `columns` out"));
        }
        let mut options = self.options.clone();
        options.types.extend(self.given_types()?);
        options
            .types
            .dedup_by(|later, first| later.name() == first.name());
        let fields = record.fields();
        let keys = Keys::new(fields.iter().map(|field| field.name().as_str()));
        let plan = Plan::new(fields, &options)?;
        Ok(Table {
            plan,
            keys,
            is_lists,
            is_closed: self.options.columns.is_none(),
        })
    }

    /// Types that the envelope names; those of the caller come first.
    fn given_types(&self) -> Result<Vec<FieldRef>> {
        let mut types: Vec<FieldRef> = Vec::new();
        for (index, column) in self.columns.iter().flatten().enumerate() {
            let is_given = self
                .options
                .types
                .iter()
                .any(|field| *field.name() == column.name);
            if let Some(text) = column.type_.as_deref().filter(|_| !is_given) {
                let field: Field = parse_field(&column.name, text)
                    .map_err(|error| error.under(&format!("/columns/{index}/type")))?;
                types.push(field.into());
            }
        }
        Ok(types)
    }

    /// An array of arrays has the names in its first row.
    fn names_of_first_row(&mut self) -> Result<Vec<String>> {
        let Some(first) = self.framer.rows.first().copied() else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        let limits = &self.options.limits;
        let most = limits.max_columns;
        let read = syntax::items(&self.text, first, limits.max_depth, |item| {
            if names.len() >= most {
                return Err(format!("has more than {most} items").into());
            }
            let raw = &self.text[item.start()..item.end()];
            let name = syntax::unescape(raw).map_err(|_| "is no list of names")?;
            names.push(name.into_owned());
            Ok(())
        });
        read.map_err(|what: Misfit| {
            let message = format!("the first row {what}");
            data_error(message).hint("where rows are lists, the first one names the columns")
        })?;
        self.framer.drop_rows(1);
        self.rows += 1;
        Ok(names)
    }

    fn emit(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let plan = &table.plan;
        let rows = self.framer.rows.len().min(plan.batch_rows);
        let spans = &self.framer.rows[..rows];
        let mut cells = vec![Span::MISSING; rows * plan.width];
        let depth = self.options.limits.max_depth;
        for (row, span) in spans.iter().enumerate() {
            let slots = &mut cells[row * plan.width..(row + 1) * plan.width];
            let placed = if table.is_lists {
                place_list(&self.text, *span, depth, slots)
            } else {
                table
                    .keys
                    .place(&self.text, *span, depth, slots, table.is_closed)
            };
            placed.map_err(|what| self.bad_row(what, row, span.start()))?;
        }
        let batch = Batch {
            text: &self.text,
            spans: &cells,
            rows,
        };
        let made = plan.build(&JsonCells, &batch);
        let made = made.map_err(|(row, error)| self.located(error, row, spans[row].start()))?;
        self.meter
            .decoded(made.get_array_memory_size() as u64, &self.options.limits)?;
        out.push(made);
        self.framer.drop_rows(rows);
        self.rows += rows as u64;
        Ok(())
    }

    fn bad_row(&self, what: Misfit, row: usize, place: usize) -> Error {
        let error = misfit(format!("the row {what}"), &what);
        self.located(error, row, place)
    }

    /// `row` counts from the first that is not given out yet.
    fn located(&self, error: Error, row: usize, place: usize) -> Error {
        let before = &self.text[..place.min(self.text.len())];
        let breaks = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let line = self.lines + breaks + 1;
        at_row(error, self.rows + row as u64 + 1, Some(line))
    }

    /// Drops the text of the rows that are given out.
    fn compact(&mut self) {
        if !self.framer.rows.is_empty() {
            return;
        }
        let gone = self.framer.consumed;
        let text = &self.text[..gone];
        self.lines += text.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.text.drain(..gone);
        self.framer.moved(gone);
    }
}

fn wrong_length(found: usize, width: usize) -> Misfit {
    format!("has {found} or more values for {width} columns").into()
}

fn place_list(
    text: &[u8],
    span: Span,
    depth: usize,
    slots: &mut [Span],
) -> std::result::Result<(), Misfit> {
    let mut index = 0;
    syntax::items(text, span, depth, |value| {
        let width = slots.len();
        let slot = slots
            .get_mut(index)
            .ok_or_else(|| wrong_length(index + 1, width))?;
        *slot = value;
        index += 1;
        Ok(())
    })?;
    if index < slots.len() {
        return Err(format!("has {index} values for {} columns", slots.len()).into());
    }
    Ok(())
}

impl Decoder for JsonDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        self.meter.encoded += bytes.len() as u64;
        for piece in bytes.chunks(STEP) {
            super::room(&mut self.text, piece.len(), &self.options.limits);
            self.text.extend_from_slice(piece);
            self.advance(false, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        self.advance(true, out)
    }

    fn held(&self) -> usize {
        self.text.len()
    }

    fn schema(&self) -> Option<SchemaRef> {
        self.table.as_ref().map(|table| table.plan.schema.clone())
    }
}
