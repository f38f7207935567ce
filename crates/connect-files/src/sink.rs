//! The writing role: rows are encoded into a file without its name yet, which
//! gets the name at once when it is whole. Readers see the old file or the new
//! one, and what breaks off leaves nothing.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use weir_core::source::unknown_column;
use weir_core::{
    Context, Error, Kind, Result, Rows, SchemaChange, Sink, StreamId, Write, WriteMode, Written,
};
use weir_formats::{CsvOut, EncodeOptions, Encoder, Format, Output, encoder};
use weir_kit::write as kit;

use crate::format::{FileFormat, Kind as FileKind, by_name};
use crate::replace::{Place, Sealed, Temporary};
use crate::source::{Folder, Shared};
use crate::table::Table;
use weir_kit::beneath::{check_path, not_allowed};

/// What a file is written as.
#[derive(Debug, Clone)]
struct Shape {
    path: String,
    kind: FileKind,
    /// Places of the columns of the rows, in the file's order; a column of the
    /// file that the rows do not have is none.
    columns: Vec<Option<usize>>,
    schema: SchemaRef,
    options: EncodeOptions,
    /// Only rows, behind those that are there.
    appended: bool,
}

#[async_trait]
impl Sink for Folder {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        kit::check(write, &rows.schema)?;
        let (asked, schema) = (write.clone(), Arc::clone(&rows.schema));
        let begun = self.blocking(ctx, move |shared, _| {
            let place = Place::of(shared, asked.stream.text())?;
            let shape = shape(shared, &place, &asked, &schema)?;
            let file = Temporary::beside(place)?;
            Ok((shape, file))
        });
        let (shape, file) = begun.await?;
        let mut writer = Writer::new(&shape, file)?;
        let mut held = ctx.memory.hold();
        let (mut batches, mut count) = (rows.batches, 0_u64);
        while let Some(batch) = batches.next().await.transpose()? {
            count += batch.num_rows() as u64;
            let batch = shape.arranged(&batch)?;
            writer = self.blocking(ctx, move |_, _| writer.batch(&batch)).await?;
            held.set(writer.encoder.held()).await?;
        }
        let (commit, call, mode) = (write.commit.clone(), ctx.clone(), write.mode);
        let created = self.blocking(ctx, move |_, go_on| {
            let sealed = writer.finish()?;
            // Given up by the call itself, or by who dropped it.
            let point = || go_on().and_then(|()| commit.begin(&call));
            settle(sealed, &shape, mode, &point)
        });
        Ok(Written {
            rows: count,
            created: created.await?,
            added_columns: Vec::new(),
        })
    }
}

/// Gives the file its name. Tells whether there was none of this name before.
fn settle(
    sealed: Sealed,
    shape: &Shape,
    mode: WriteMode,
    point: &dyn Fn() -> Result<()>,
) -> Result<bool> {
    let locked = sealed.lock()?;
    match (mode, shape.appended) {
        (WriteMode::Fail, _) if locked.is_there()? => {
            let stream = StreamId::parse(&shape.path, "/stream")?;
            Err(kit::stream_exists(&stream))
        }
        // What somebody else wrote meanwhile comes first.
        (WriteMode::Append, true) => locked.behind(line_ends(shape), point).map(|()| false),
        (WriteMode::Append, false) if locked.is_there()? => Err(appeared(&shape.path)),
        _ => locked.instead(point),
    }
}

fn line_ends(shape: &Shape) -> &'static [u8] {
    match shape.kind.packing {
        crate::format::Packing::Plain => b"\n",
        _ => b"",
    }
}

fn appeared(path: &str) -> Error {
    Error::new(
        Kind::Conflict,
        format!("somebody else has made `{path}` meanwhile"),
    )
    .code("changed")
    .hint("send the rows again")
}

/// What is written, and as what; looked at before any row is taken.
fn shape(shared: &Shared, place: &Place, write: &Write, rows: &SchemaRef) -> Result<Shape> {
    let path = write.stream.text().to_owned();
    let kind = kind_of(shared, &path)?;
    if write.mode.needs_keys() {
        let taken = [WriteMode::Append, WriteMode::Replace, WriteMode::Fail];
        return Err(kit::unsupported_mode(write.mode, "files", &taken));
    }
    let is_text = matches!(kind.format, FileFormat::Csv | FileFormat::Tsv);
    if !is_text {
        kit::refuse_deterministic(write, kind.format.name())?;
    }
    let exists = place.is_there()?;
    if exists && write.mode == WriteMode::Fail {
        return Err(kit::stream_exists(&write.stream));
    }
    let mut options = EncodeOptions::default();
    let mut csv = CsvOut::default();
    let delimiter = match (kind.format, shared.config.csv.decoded()?.delimiter) {
        (FileFormat::Tsv, None) => Some(b'\t'),
        (_, given) => given,
    };
    if let Some(delimiter) = delimiter {
        csv = csv.with_delimiter(delimiter).ok_or_else(|| {
            Error::unsupported("nothing is written with this delimiter: it may stand in a number")
                .hint("leave csv.delimiter out, or take a comma, a tab or a semicolon")
        })?;
    }
    csv.deterministic = write.deterministic;
    options.csv = csv;
    let appended = exists && write.mode == WriteMode::Append;
    let mut columns: Vec<Option<usize>> = (0..rows.fields().len()).map(Some).collect();
    if write.deterministic {
        columns.sort_by_key(|place| place.map(|place| rows.field(place).name().clone()));
    }
    if appended {
        columns = behind(shared, &path, kind, write, rows, &csv)?.unwrap_or(columns);
    }
    let fields: Vec<_> = columns.iter().map(|place| field(rows, *place)).collect();
    Ok(Shape {
        path,
        kind,
        columns,
        schema: Arc::new(Schema::new(fields)),
        options,
        appended,
    })
}

fn field(rows: &Schema, place: Option<usize>) -> arrow::datatypes::FieldRef {
    match place {
        Some(place) => Arc::clone(&rows.fields()[place]),
        // Null in every row.
        None => Arc::new(arrow::datatypes::Field::new(
            "",
            arrow::datatypes::DataType::Null,
            true,
        )),
    }
}

/// What the name or the config says; what is in a file of that name does not matter.
fn kind_of(shared: &Shared, path: &str) -> Result<FileKind> {
    let named = by_name(path);
    let kind = match (shared.config.format, named) {
        (Some(format), named) => Some(FileKind {
            format,
            packing: named.map_or_else(|| crate::format::packing(path), |kind| kind.packing),
        }),
        (None, named) => named,
    };
    let writes = |kind: &FileKind| kind.format != FileFormat::Excel;
    kind.filter(writes).ok_or_else(|| {
        Error::unsupported("the name of the file says no format that is written")
            .at("/stream", "no format that is written")
            .hint("end it with .csv, .tsv, .json, .ndjson, .parquet or .arrow; text also with .gz or .zst behind")
    })
}

/// Where the columns go behind the rows of a file; none where lines name them
/// themselves.
fn behind(
    shared: &Shared,
    path: &str,
    kind: FileKind,
    write: &Write,
    rows: &Schema,
    csv: &CsvOut,
) -> Result<Option<Vec<Option<usize>>>> {
    match kind.format {
        FileFormat::Ndjson => return Ok(None),
        FileFormat::Csv | FileFormat::Tsv => {}
        other => {
            let name = other.name();
            let error = Error::unsupported(format!("nothing can be appended to a file of {name}"));
            return Err(error.hint("write the rows into a file of their own beside it, and read the folder as one stream; or replace it"));
        }
    }
    let table = Table::open(shared, &shared.root()?, path, None)?;
    let known: Vec<&str> = table
        .schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    for field in rows.fields() {
        if !known.contains(&field.name().as_str()) {
            let error = unknown_column(field.name(), &known, "/schema_change");
            return Err(match write.schema_change {
                SchemaChange::Freeze => error,
                SchemaChange::Evolve => Error::unsupported("a file of CSV gets no new columns")
                    .hint("replace the file with rows that have all of them"),
            });
        }
    }
    // Our lines continue only a file that begins as ours do.
    let header = Schema::new(
        known
            .iter()
            .map(|name| arrow::datatypes::Field::new(*name, arrow::datatypes::DataType::Null, true))
            .collect::<Vec<_>>(),
    );
    let options = EncodeOptions {
        csv: *csv,
        ..EncodeOptions::default()
    };
    let mut ours = Output::default();
    encoder(Format::Csv, &Arc::new(header), &options)?.start(&mut ours)?;
    if !table.starts_with(&ours.concat())? {
        return Err(Error::unsupported(
            "the file has no header, or another dialect than what is written",
        )
        .hint("replace the file, or give csv.delimiter of the source"));
    }
    let place = |name: &&str| rows.index_of(name).ok();
    Ok(Some(known.iter().map(place).collect()))
}

impl Shape {
    /// The columns of a batch as the file has them.
    fn arranged(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let count = batch.num_rows();
        let column = |place: &Option<usize>| match place {
            Some(place) => Arc::clone(batch.column(*place)),
            None => arrow::array::new_null_array(&arrow::datatypes::DataType::Null, count),
        };
        let columns = self.columns.iter().map(column).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

/// Encodes batches into a file.
struct Writer {
    encoder: Box<dyn Encoder>,
    file: Temporary,
}

impl Writer {
    fn new(shape: &Shape, file: Temporary) -> Result<Self> {
        let format = shape.kind.format.streamed().unwrap_or(Format::Parquet);
        let mut writer = Writer {
            encoder: encoder(format, &shape.schema, &shape.options)?,
            file: file.packed(shape.kind.packing)?,
        };
        let mut out = Output::default();
        writer.encoder.start(&mut out)?;
        // A header is there already.
        if !(shape.appended && format == Format::Csv) {
            writer.file.write(out)?;
        }
        Ok(writer)
    }

    fn batch(mut self, batch: &RecordBatch) -> Result<Self> {
        let mut out = Output::default();
        self.encoder.batch(batch, &mut out)?;
        self.file.write(out)?;
        Ok(self)
    }

    fn finish(mut self) -> Result<Sealed> {
        let mut out = Output::default();
        self.encoder.finish(&mut out)?;
        self.file.write(out)?;
        self.file.sealed()
    }
}

/// Refuses a stream that is not the plain path of one file.
pub fn check_stream(shared: &Shared, path: &str) -> Result<()> {
    check_path(path)?;
    if path.contains(['*', '?', '[', ']', '{', '}', '#']) {
        return Err(not_allowed(
            path,
            "a name with characters of patterns would be read as one",
        ));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_hidden = path.split('/').any(|part| part.starts_with('.'));
    if is_hidden && !shared.config.hidden || name.starts_with(crate::replace::PREFIX) {
        return Err(not_allowed(
            path,
            "hidden files do not exist for this source",
        ));
    }
    if shared
        .only
        .as_ref()
        .is_some_and(|only| !only.is_match(path))
    {
        return Err(not_allowed(
            path,
            "it does not match the `path` of this source",
        ));
    }
    Ok(())
}
