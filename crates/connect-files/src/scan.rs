//! What a read means for each of its files, and the batches that come of it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cap_std::fs::Dir;
use weir_core::evaluate::{compile, place_of};
use weir_core::source::unknown_column;
use weir_core::types::{NATIVE_TYPE, field_type_name};
use weir_core::{Error, Estimate, Predicate, PushDown, Pushed, Read, Result, SourceFault};

use crate::bytes::changed;
use crate::pattern::Meant;
use crate::source::Shared;
use crate::table::{Rows, Table, Wanted};
use crate::union::Union;
use weir_kit::beneath::Stamp;

/// Bytes of a batch at most; larger ones are cut.
const BATCH_BYTES: usize = 8 << 20;

/// What the files of a stream are, together.
pub struct Described {
    /// All columns.
    pub schema: SchemaRef,
    /// Rows, where every file says so.
    pub rows: Option<u64>,
    /// Bytes of all files.
    pub bytes: u64,
    files: Vec<OneFile>,
    sheet: Option<String>,
    /// Whether it may be several files.
    pub is_union: bool,
}

struct OneFile {
    path: String,
    stamp: Stamp,
    schema: SchemaRef,
    filters: bool,
    /// Kept open only where there is no other file.
    table: Option<Table>,
}

/// Looks at every file of a stream.
pub fn describe(
    shared: &Shared,
    root: &Dir,
    meant: Meant,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Described> {
    let mut union = Union::default();
    let mut files = Vec::with_capacity(meant.paths.len());
    let (mut rows, mut bytes) = (Some(0_u64), 0_u64);
    for path in meant.paths {
        go_on()?;
        let table = Table::open(shared, root, &path, meant.sheet.as_deref())?;
        union.add(&path, &table.schema)?;
        rows = rows
            .zip(table.rows)
            .map(|(sum, more)| sum.saturating_add(more));
        bytes = bytes.saturating_add(table.stamp().size);
        files.push(OneFile {
            path,
            stamp: table.stamp(),
            schema: Arc::clone(&table.schema),
            filters: table.filters(),
            table: (!meant.is_union).then_some(table),
        });
    }
    let schema = match files.as_slice() {
        [only] if !meant.is_union => Arc::clone(&only.schema),
        _ => union.schema(),
    };
    Ok(Described {
        schema: with_file_column(shared, &schema)?,
        rows,
        bytes,
        files,
        sheet: meant.sheet,
        is_union: meant.is_union,
    })
}

fn with_file_column(shared: &Shared, schema: &SchemaRef) -> Result<SchemaRef> {
    let Some(name) = &shared.config.file_column else {
        return Ok(Arc::clone(schema));
    };
    if schema.column_with_name(name).is_some() {
        return Err(Error::source(
            SourceFault::Data,
            format!("the files have a column `{name}` of their own"),
        )
        .code("files_disagree")
        .hint("give `file_column` in the config another name"));
    }
    let native = [(NATIVE_TYPE.to_owned(), "path".to_owned())];
    let path = Field::new(name, DataType::Utf8, false).with_metadata(native.into());
    let fields = schema.fields().iter().cloned().chain([Arc::new(path)]);
    Ok(Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>())))
}

/// A read, ready to start.
pub struct Job {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// What is done here and not by the engine.
    pub pushed: Pushed,
    /// What it will look at.
    pub estimate: Option<Estimate>,
    files: VecDeque<Planned>,
    shared: Arc<Shared>,
    sheet: Option<String>,
    filter: Vec<Predicate>,
    hints: Vec<Predicate>,
    left: Option<u64>,
    batch_rows: Option<usize>,
}

struct Planned {
    file: OneFile,
    columns: Vec<usize>,
    slots: Vec<Slot>,
    types: Vec<FieldRef>,
    hints: Vec<Predicate>,
}

/// Where a column of a batch comes from.
#[derive(Debug, Clone)]
enum Slot {
    /// From what was read, at this place.
    Read(usize),
    /// The file has none.
    Missing,
    /// The file's path.
    Path,
}

/// Settles what a read means.
pub fn plan(shared: &Arc<Shared>, described: Described, read: &Read) -> Result<Job> {
    let places = wanted(&described.schema, read)?;
    let filter = push_down(&described, &read.filter);
    let all_exact = filter.iter().all(|push| *push == PushDown::Exact);
    let limits = read.order.is_empty() && all_exact;
    let needed = with_residue(places, &described.schema, read, &filter);
    let schema = Arc::new(described.schema.project(&needed)?);
    let given = |push: PushDown| {
        let both = read.filter.iter().zip(&filter);
        both.filter(move |(_, found)| **found == push)
            .map(|(predicate, _)| predicate.clone())
            .collect::<Vec<_>>()
    };
    let (exact, hints) = (given(PushDown::Exact), given(PushDown::Inexact));
    let rows = described.rows.filter(|_| read.filter.is_empty());
    let mut bytes = 0_u64;
    let mut files = VecDeque::with_capacity(described.files.len());
    for file in described.files {
        let planned = planned(shared, file, &schema, &hints)?;
        bytes += match &planned.file.table {
            Some(table) => table.bytes_of(&planned.columns),
            None => planned.file.stamp.size,
        };
        files.push_back(planned);
    }
    let limit = read.limit.filter(|_| limits);
    Ok(Job {
        schema,
        pushed: Pushed {
            filter,
            order: false,
            limit: limit.is_some(),
            columns: read.columns.is_some(),
        },
        estimate: read.estimate.then_some(Estimate {
            rows: rows.map(|rows| limit.map_or(rows, |limit| rows.min(limit))),
            bytes: Some(bytes),
            cost: None,
        }),
        files,
        shared: Arc::clone(shared),
        sheet: described.sheet,
        filter: exact,
        hints,
        left: limit,
        batch_rows: read.batch_rows,
    })
}

/// Places of the wanted columns; all where none are named.
fn wanted(schema: &Schema, read: &Read) -> Result<Vec<usize>> {
    let Some(names) = &read.columns else {
        return Ok((0..schema.fields().len()).collect());
    };
    let place = |(index, name): (usize, &String)| {
        place_of(schema, name).ok_or_else(|| {
            let known: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            unknown_column(name, &known, &format!("/columns/{index}"))
        })
    };
    names.iter().enumerate().map(place).collect()
}

/// One file of Parquet is filtered while it is decoded, by the engine's own code;
/// of several, the filter rules out what it can. Text is left to the engine.
fn push_down(described: &Described, filter: &[Predicate]) -> Vec<PushDown> {
    let any_filters = described.files.iter().any(|file| file.filters);
    let push = |predicate: &Predicate| {
        let own = match described.files.as_slice() {
            [only] => &only.schema,
            _ => &described.schema,
        };
        // What does not compile is the engine's to explain.
        if !any_filters || compile(predicate, own).is_err() {
            return PushDown::No;
        }
        match described.is_union {
            true => PushDown::Inexact,
            false => PushDown::Exact,
        }
    };
    filter.iter().map(push).collect()
}

/// The wanted columns, and behind them those that the engine needs.
fn with_residue(
    mut places: Vec<usize>,
    schema: &Schema,
    read: &Read,
    filter: &[PushDown],
) -> Vec<usize> {
    if read.columns.is_none() {
        return places;
    }
    let residue = read.filter.iter().zip(filter);
    let residue = residue.filter(|(_, push)| **push != PushDown::Exact);
    let filtered = residue.flat_map(|(predicate, _)| predicate.columns());
    let ordered = read.order.iter().map(|key| key.column.as_str());
    for name in filtered.chain(ordered) {
        if let Some(place) = place_of(schema, name)
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    places
}

fn planned(
    shared: &Shared,
    file: OneFile,
    schema: &Schema,
    hints: &[Predicate],
) -> Result<Planned> {
    let mut columns = Vec::new();
    let mut slots = Vec::with_capacity(schema.fields().len());
    let mut types = Vec::new();
    for field in schema.fields() {
        let Some((place, own)) = file.schema.column_with_name(field.name()) else {
            let is_path = shared.config.file_column.as_ref() == Some(field.name());
            slots.push(if is_path { Slot::Path } else { Slot::Missing });
            continue;
        };
        if own.data_type() != field.data_type() {
            types.push(Arc::clone(field));
        }
        let at = columns.iter().position(|column| *column == place);
        slots.push(Slot::Read(at.unwrap_or(columns.len())));
        if at.is_none() {
            columns.push(place);
        }
    }
    // A hint speaks of the file only where the file's columns are the stream's.
    let fits = |predicate: &Predicate| {
        file.filters
            && compile(predicate, &file.schema).is_ok()
            && predicate.columns().iter().all(|name| {
                let own = file.schema.field_with_name(name);
                let of_all = types.iter().all(|of| of.name() != name);
                own.is_ok() && of_all
            })
    };
    let hints = hints.iter().filter(|hint| fits(hint)).cloned().collect();
    Ok(Planned {
        file,
        columns,
        slots,
        types,
        hints,
    })
}

/// The batches of a job, on a thread that may wait for a disk.
pub struct Work {
    job: Job,
    current: Option<(Rows, Planned)>,
    ready: VecDeque<RecordBatch>,
    bytes_read: u64,
    files_read: usize,
}

impl Work {
    /// Starts `job`.
    pub fn new(job: Job) -> Self {
        Work {
            job,
            current: None,
            ready: VecDeque::new(),
            bytes_read: 0,
            files_read: 0,
        }
    }

    /// Bytes that wait inside for more to come.
    pub fn held(&self) -> usize {
        self.current.as_ref().map_or(0, |(rows, _)| rows.held())
    }

    /// The next batch; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if self.job.left == Some(0) {
                self.ended();
                return Ok(None);
            }
            let Some((rows, planned)) = &mut self.current else {
                let Some(planned) = self.job.files.pop_front() else {
                    self.ended();
                    return Ok(None);
                };
                self.current = Some(self.start(planned)?);
                continue;
            };
            let Some(batch) = rows.next_batch()? else {
                self.bytes_read += rows.bytes_read();
                self.files_read += 1;
                self.current = None;
                continue;
            };
            let shaped = shape(&batch, planned, &self.job.schema)?;
            let shaped = match &mut self.job.left {
                None => shaped,
                Some(left) => {
                    let rows = (*left).min(shaped.num_rows() as u64);
                    *left -= rows;
                    shaped.slice(0, usize::try_from(rows).unwrap_or(usize::MAX))
                }
            };
            cut(shaped, &mut self.ready);
        }
    }

    fn start(&self, mut planned: Planned) -> Result<(Rows, Planned)> {
        let shared = &self.job.shared;
        let table = match planned.file.table.take() {
            Some(table) => table,
            None => {
                let sheet = self.job.sheet.as_deref();
                Table::open(shared, &shared.root()?, &planned.file.path, sheet)?
            }
        };
        if table.stamp() != planned.file.stamp {
            return Err(changed(&planned.file.path));
        }
        let rows = table.read(
            shared,
            &Wanted {
                columns: planned.columns.clone(),
                filter: &self.job.filter,
                hints: &planned.hints,
                types: planned.types.clone(),
                limit: self.job.left,
                batch_rows: self.job.batch_rows,
            },
        )?;
        Ok((rows, planned))
    }

    fn ended(&mut self) {
        if let Some((rows, _)) = self.current.take() {
            self.bytes_read += rows.bytes_read();
            self.files_read += 1;
        }
        tracing::info!(
            files = self.files_read,
            bytes_read = self.bytes_read,
            hints = self.job.hints.len(),
            "files read"
        );
    }
}

/// A batch of the file as a batch of the stream.
fn shape(batch: &RecordBatch, planned: &Planned, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |(slot, field): (&Slot, &FieldRef)| -> Result<ArrayRef> {
        match slot {
            Slot::Missing => Ok(new_null_array(field.data_type(), rows)),
            Slot::Path => {
                let path = planned.file.path.as_str();
                Ok(Arc::new(StringArray::from_iter_values(
                    std::iter::repeat_n(path, rows),
                )))
            }
            Slot::Read(place) => fitted(batch, *place, field, planned),
        }
    };
    let columns = planned.slots.iter().zip(schema.fields()).map(column);
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| {
        Error::source(
            SourceFault::Data,
            format!("the rows of `{}` do not fit its columns", planned.file.path),
        )
        .detail(error)
    })
}

fn fitted(batch: &RecordBatch, place: usize, field: &Field, planned: &Planned) -> Result<ArrayRef> {
    let path = &planned.file.path;
    let Some(array) = batch.columns().get(place) else {
        return Err(changed(path));
    };
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    if !planned.types.iter().any(|of| of.name() == field.name()) {
        // Types are found anew when text is read; other ones mean another text.
        return Err(changed(path));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, field.data_type(), &strict).map_err(|error| {
        Error::source(
            SourceFault::Data,
            format!(
                "column `{}` of `{path}` does not fit {}",
                field.name(),
                field_type_name(field)
            ),
        )
        .detail(error)
    })
}

/// Cuts a batch that is too large into even parts.
fn cut(batch: RecordBatch, ready: &mut VecDeque<RecordBatch>) {
    let rows = batch.num_rows();
    if rows == 0 {
        return;
    }
    let bytes: usize = batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum();
    let parts = bytes.div_ceil(BATCH_BYTES).clamp(1, rows);
    let each = rows.div_ceil(parts);
    for start in (0..rows).step_by(each) {
        ready.push_back(batch.slice(start, each.min(rows - start)));
    }
}
