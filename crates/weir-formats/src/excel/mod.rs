//! Spreadsheets. A workbook is read whole, because its strings and styles are
//! apart from its cells; how much that may be is bounded before and while.

mod archive;
mod cells;
mod container;
mod markup;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use calamine::{Data, DataRef, Ods, Reader, Xls, Xlsb, Xlsx};
use weir_core::types::{NATIVE_TYPE, unique_names};
use weir_core::{Error, Kind, Result, SourceFault, SourceMessage};

use crate::decode::DecodeLimits;
use cells::{Cell, Column};

/// Cells of a sheet at most, empty ones between others included.
pub const MAX_CELLS: u64 = 10_000_000;

/// Bytes that the cells of a sheet hold at most before they become columns.
const MAX_HELD: u64 = 96 << 20;

/// Bytes of a workbook at most.
const MAX_FILE: u64 = 256 << 20;

/// How a sheet is laid out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The sheet; the first when not given.
    pub sheet: Option<String>,
    /// Whether the first row holds the names.
    pub header: bool,
    /// Rows to skip at the start of the sheet.
    pub skip_rows: usize,
    /// Types by column name, instead of those of the cells.
    pub types: Vec<FieldRef>,
}

/// One sheet, read.
#[derive(Debug)]
pub struct Sheet {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
}

impl Sheet {
    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows it has, names aside.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns at these places, `rows` rows at a time.
    pub fn batches(&self, columns: &[usize], rows: usize) -> Result<Vec<RecordBatch>> {
        let schema = Arc::new(self.schema.project(columns)?);
        let arrays = columns
            .iter()
            .map(|place| Arc::clone(&self.columns[*place]));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let all = RecordBatch::try_new_with_options(schema, arrays.collect(), &options)?;
        let starts = (0..self.rows).step_by(rows.max(1));
        Ok(starts
            .map(|start| all.slice(start, rows.max(1).min(self.rows - start)))
            .collect())
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::source(SourceFault::Data, "the spreadsheet cannot be read")
        .hint(
            "it may be damaged or protected; open it with a spreadsheet program and save it again",
        )
        .said(SourceMessage {
            message: what.to_string(),
            ..SourceMessage::default()
        })
}

fn too_large() -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the sheet has more than {MAX_CELLS} cells, or more than 96 MiB in them"),
    )
    .hint("save it as CSV or Parquet, which are read as a stream")
}

/// Reads one sheet of a workbook of `size` bytes.
pub fn read<R: Read + Seek>(
    mut file: R,
    size: u64,
    options: &Options,
    limits: &DecodeLimits,
) -> Result<Sheet> {
    if size > MAX_FILE {
        return Err(Error::new(
            Kind::TooLarge,
            format!("the spreadsheet has {size} bytes, more than {MAX_FILE}"),
        )
        .hint("save it as CSV or Parquet, which are read as a stream"));
    }
    let mut head = [0; 4];
    file.read_exact(&mut head).map_err(broken)?;
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    let is_archive = head.starts_with(b"PK");
    let work = || {
        let kind = if is_archive {
            archive::check(&mut file, size, limits)?
        } else {
            container::check(&mut file, size)?;
            Kinds::Xls
        };
        cells_of(file, kind, options, limits)
    };
    let cells = weir_core::task::guarded(work)
        .unwrap_or_else(|_| Err(broken("the decoder gave up on it")))?;
    sheet(cells, options, limits)
}

/// The cells that are not empty, by row and column.
type Cells = Vec<(u32, u32, Cell)>;

fn cells_of<R: Read + Seek>(
    file: R,
    kind: Kinds,
    options: &Options,
    limits: &DecodeLimits,
) -> Result<Cells> {
    match kind {
        Kinds::Xlsx => {
            let mut book: Xlsx<R> = Xlsx::new(file).map_err(broken)?;
            let name = wanted(&book.sheet_names(), options)?;
            let mut reader = book.worksheet_cells_reader(&name).map_err(broken)?;
            streamed(limits, || {
                let next = reader.next_cell().map_err(broken)?;
                Ok(next.map(|cell| (cell.get_position(), owned(cell.get_value()))))
            })
        }
        Kinds::Xlsb => {
            let mut book: Xlsb<R> = Xlsb::new(file).map_err(broken)?;
            let name = wanted(&book.sheet_names(), options)?;
            let mut reader = book.worksheet_cells_reader(&name).map_err(broken)?;
            streamed(limits, || {
                let next = reader.next_cell().map_err(broken)?;
                Ok(next.map(|cell| (cell.get_position(), owned(cell.get_value()))))
            })
        }
        Kinds::Ods => dense(&mut Ods::new(file).map_err(broken)?, options),
        Kinds::Xls => dense(&mut Xls::new(file).map_err(broken)?, options),
    }
}

fn owned(value: &DataRef<'_>) -> Data {
    match value {
        DataRef::SharedString(text) => Data::String((*text).to_owned()),
        other => Data::from(other.clone()),
    }
}

/// Cells one after the other, as long as they do not hold too much.
fn streamed(
    limits: &DecodeLimits,
    mut next: impl FnMut() -> Result<Option<((u32, u32), Data)>>,
) -> Result<Cells> {
    let mut cells = Vec::new();
    let mut held = 0;
    while let Some(((row, column), value)) = next()? {
        if column as usize >= limits.max_columns {
            return Err(too_many_columns(limits));
        }
        let Some(cell) = Cell::of(value) else {
            continue;
        };
        held += std::mem::size_of::<(u32, u32, Cell)>() as u64 + cell.text_bytes() as u64;
        cells.push((row, column, cell));
        if cells.len() as u64 > MAX_CELLS || held > MAX_HELD {
            return Err(too_large());
        }
    }
    Ok(cells)
}

/// What a workbook is: the archives differ in what is in them.
enum Kinds {
    Xlsx,
    Xlsb,
    Ods,
    Xls,
}

fn dense<R: Read + Seek, B: Reader<R>>(book: &mut B, options: &Options) -> Result<Cells>
where
    B::Error: std::fmt::Display,
{
    let name = wanted(&book.sheet_names(), options)?;
    let range = book.worksheet_range(&name).map_err(broken)?;
    let (top, left) = range.start().unwrap_or_default();
    let (rows, columns) = range.get_size();
    if rows as u64 * columns as u64 > MAX_CELLS {
        return Err(too_large());
    }
    let used = range.used_cells().filter_map(|(row, column, value)| {
        let cell = Cell::of(value.clone())?;
        Some((row as u32 + top, column as u32 + left, cell))
    });
    Ok(used.collect())
}

fn wanted(names: &[String], options: &Options) -> Result<String> {
    let Some(wanted) = &options.sheet else {
        let first = names.first().cloned();
        return first.ok_or_else(|| broken("it has no sheets"));
    };
    if names.contains(wanted) {
        return Ok(wanted.clone());
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = match weir_core::config::nearest(wanted, &known) {
        Some(near) => format!("no sheet `{wanted}`; did you mean `{near}`?"),
        None => format!("no sheet `{wanted}`"),
    };
    let mut listed = known.join(", ");
    if listed.len() > 500 {
        listed.truncate(listed.floor_char_boundary(500));
    }
    Err(Error::source(SourceFault::NotFound, message).hint(format!("its sheets: {listed}")))
}

fn too_many_columns(limits: &DecodeLimits) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the sheet has more than {} columns", limits.max_columns),
    )
}

fn sheet(mut cells: Cells, options: &Options, limits: &DecodeLimits) -> Result<Sheet> {
    let skipped = u32::try_from(options.skip_rows).unwrap_or(u32::MAX);
    cells.retain(|(row, _, _)| *row >= skipped);
    let bound = |place: fn(&(u32, u32, Cell)) -> u32| {
        let places = || cells.iter().map(place);
        places().min().zip(places().max())
    };
    let (Some((top, bottom)), Some((left, right))) = (bound(|cell| cell.0), bound(|cell| cell.1))
    else {
        return Ok(Sheet {
            schema: Arc::new(Schema::empty()),
            columns: Vec::new(),
            rows: 0,
        });
    };
    let (height, width) = ((bottom - top + 1) as usize, (right - left + 1) as usize);
    if width > limits.max_columns {
        return Err(too_many_columns(limits));
    }
    if height as u64 * width as u64 > MAX_CELLS {
        return Err(too_large());
    }
    let first = u32::from(options.header);
    let rows = height - first as usize;
    let mut names: Vec<String> = (1..=width).map(|place| format!("column_{place}")).collect();
    let mut columns: Vec<Column> = (0..width).map(|_| Column::default()).collect();
    for (row, column, cell) in cells {
        let place = (column - left) as usize;
        match (row - top).checked_sub(first) {
            Some(row) => columns[place].push(row as usize, cell),
            None => names[place] = cell.text(),
        }
    }
    let names = unique_names(names.iter().map(String::as_str));
    let mut fields = Vec::with_capacity(width);
    let mut arrays = Vec::with_capacity(width);
    for (name, column) in names.iter().zip(columns) {
        let (field, array) = typed(name, &column, rows, options)?;
        fields.push(field);
        arrays.push(array);
    }
    Ok(Sheet {
        schema: Arc::new(Schema::new(fields)),
        columns: arrays,
        rows,
    })
}

fn typed(name: &str, column: &Column, rows: usize, options: &Options) -> Result<(Field, ArrayRef)> {
    let native = [(NATIVE_TYPE.to_owned(), column.native().to_owned())];
    let asked = options.types.iter().find(|field| field.name() == name);
    let Some(asked) = asked else {
        let array = column.array(rows);
        let field = Field::new(name, array.data_type().clone(), true);
        return Ok((field.with_metadata(native.into()), array));
    };
    let array = match asked.data_type() {
        DataType::Utf8 => column.texts(rows),
        _ => column.array(rows),
    };
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array = cast_with_options(&array, asked.data_type(), &strict).map_err(|_| {
        Error::source(
            SourceFault::Data,
            format!(
                "column `{name}` of the sheet has values that are no {}",
                weir_core::types::field_type_name(asked)
            ),
        )
        .hint("read it as string, or change the cells")
    })?;
    let mut metadata = asked.metadata().clone();
    metadata.extend(native);
    let field = Field::new(name, asked.data_type().clone(), true);
    Ok((field.with_metadata(metadata), array))
}

#[cfg(test)]
mod tests;
