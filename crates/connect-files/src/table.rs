//! One opened file and its columns, whatever its format.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use cap_std::fs::Dir;
use parking_lot::Mutex;
use weir_core::types::field_of_type;
use weir_core::{Error, Kind, Predicate, Result, SourceFault, memory_of};
use weir_formats::Format;
use weir_formats::decode::{DecodeLimits, DecodeOptions, Decoder, decoder};
use weir_formats::excel::{self, Sheet};
use weir_formats::parquet::read::{ParquetFile, ParquetRows, ParquetScan};

use crate::bytes::{Content, Unpacked, read_failed};
use crate::format::{self, FileFormat, Kind as FileKind, Packing};
use crate::source::Shared;
use weir_kit::beneath::{Stamp, open_file};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Schemas kept at most.
const KEPT: usize = 1_000;

/// Rows of a decoded batch at most.
const BATCH_ROWS: usize = 8_192;

/// Schemas that were found out, by file and state of the file.
#[derive(Default)]
pub struct Known(Mutex<HashMap<(String, Stamp), SchemaRef>>);

/// An opened file.
pub struct Table {
    /// Its path below the root.
    pub path: String,
    /// Its columns, each name once.
    pub schema: SchemaRef,
    /// How many rows it has, where it says so.
    pub rows: Option<u64>,
    content: Content,
    body: Body,
}

enum Body {
    Parquet(Box<ParquetFile>),
    Streamed(FileFormat, Format, Packing),
    Sheet(Arc<Sheet>),
}

/// What to read of a table.
pub struct Wanted<'a> {
    /// Places of columns, each once.
    pub columns: Vec<usize>,
    /// Rows that all of these keep; only of Parquet.
    pub filter: &'a [Predicate],
    /// What rules out parts of the file and need not be exact.
    pub hints: &'a [Predicate],
    /// Types of columns that are not the ones found in this file alone.
    pub types: Vec<FieldRef>,
    /// Rows at most.
    pub limit: Option<u64>,
    /// Rows of a batch at most.
    pub batch_rows: Option<usize>,
}

impl Table {
    /// Opens a file and finds out its columns.
    pub fn open(shared: &Shared, root: &Dir, path: &str, sheet: Option<&str>) -> Result<Self> {
        let opened = open_file(root, path, &shared.rules.paths)?;
        let content = Content::of(opened);
        Self::of(shared, &content, path, sheet).map_err(|error| content.explain(path, error))
    }

    fn of(shared: &Shared, content: &Content, path: &str, sheet: Option<&str>) -> Result<Self> {
        let kind = kind_of(shared, content, path)?;
        let limits = &shared.rules.limits;
        let (schema, rows, body) = match kind.format.streamed() {
            Some(format) => {
                let body = Body::Streamed(kind.format, format, kind.packing);
                (find_schema(shared, content, path, kind)?, None, body)
            }
            None if kind.format == FileFormat::Parquet => {
                let file = ParquetFile::open(Arc::new(content.clone()), limits)
                    .map_err(|error| named(path, error))?;
                let rows = Some(file.rows());
                (
                    Arc::clone(file.schema()),
                    rows,
                    Body::Parquet(Box::new(file)),
                )
            }
            None => {
                let sheet = read_sheet(shared, content, sheet, limits);
                let sheet = Arc::new(sheet.map_err(|error| named(path, error))?);
                let rows = Some(sheet.rows() as u64);
                (Arc::clone(sheet.schema()), rows, Body::Sheet(sheet))
            }
        };
        Ok(Table {
            path: path.to_owned(),
            schema,
            rows,
            content: content.clone(),
            body,
        })
    }

    /// Whether the text begins with `head`, a byte order mark before it aside,
    /// and however its lines end.
    pub fn starts_with(&self, head: &[u8]) -> Result<bool> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let packing = match self.body {
            Body::Streamed(_, _, packing) => packing,
            _ => Packing::Plain,
        };
        let mut found = Vec::new();
        let unpacked = self
            .content
            .unpacked(packing, DecodeLimits::default().ratio);
        let most = (MARK.len() + head.len()) as u64;
        unpacked
            .and_then(|text| text.take(most).read_to_end(&mut found))
            .map_err(|error| read_failed(&self.path, error))?;
        let found = found.strip_prefix(MARK).unwrap_or(&found);
        let line = |text: &[u8]| -> Vec<u8> {
            let end = text
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(text.len());
            text[..end].trim_ascii_end().to_vec()
        };
        Ok(line(found) == line(head))
    }

    /// What the file was when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.content.stamp()
    }

    /// Whether a filter can be evaluated while the file is decoded.
    pub fn filters(&self) -> bool {
        matches!(self.body, Body::Parquet(_))
    }

    /// Bytes that a read of these columns would look at.
    pub fn bytes_of(&self, columns: &[usize]) -> u64 {
        match &self.body {
            Body::Parquet(file) => file.bytes_of(columns),
            _ => self.content.stamp().size,
        }
    }

    /// Starts to read.
    pub fn read(&self, shared: &Shared, wanted: &Wanted<'_>) -> Result<Rows> {
        let inner = match &self.body {
            Body::Parquet(file) => Inner::Parquet(Box::new(file.scan(&ParquetScan {
                columns: wanted.columns.clone(),
                filter: wanted.filter,
                hints: wanted.hints,
                limit: wanted.limit,
                batch_rows: wanted.batch_rows,
            })?)),
            Body::Streamed(kind, format, packing) => {
                let mut options = shared.options(*kind)?;
                if *format != Format::Arrow {
                    options.types = self.asked_types(shared, &wanted.types)?;
                }
                // Some column must be decoded to know how many rows there are.
                let columns: &[usize] = match wanted.columns.as_slice() {
                    // A file of no rows names no columns.
                    [] if self.schema.fields().is_empty() => &[],
                    [] => &[0],
                    some => some,
                };
                let is_all = columns.iter().copied().eq(0..self.schema.fields().len());
                let name = |place: &usize| self.schema.field(*place).name().clone();
                options.columns = (!is_all).then(|| columns.iter().map(name).collect());
                options.batch_rows = wanted.batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS);
                Inner::Streamed(self.streamed(*format, *packing, options)?)
            }
            Body::Sheet(sheet) => {
                let batches =
                    sheet.batches(&wanted.columns, wanted.batch_rows.unwrap_or(BATCH_ROWS))?;
                Inner::Ready(batches.into())
            }
        };
        Ok(Rows {
            path: self.path.clone(),
            content: self.content.clone(),
            inner,
        })
    }

    /// Types that are not found in the text: those of a union, and those of the
    /// config for columns that this file has.
    fn asked_types(&self, shared: &Shared, of_union: &[FieldRef]) -> Result<Vec<FieldRef>> {
        let mut asked = types(shared)?;
        asked.retain(|field| {
            self.schema.column_with_name(field.name()).is_some()
                && of_union.iter().all(|of| of.name() != field.name())
        });
        asked.extend(of_union.iter().cloned());
        Ok(asked)
    }

    fn streamed(&self, format: Format, packing: Packing, options: DecodeOptions) -> Result<Text> {
        let ratio = options.limits.ratio;
        let unpacked = self.content.unpacked(packing, ratio);
        Ok(Text {
            bytes: unpacked.map_err(|error| read_failed(&self.path, error))?,
            decoder: decoder(format, options)?,
            ready: VecDeque::new(),
            chunk: vec![0; CHUNK],
            is_over: false,
        })
    }
}

impl Shared {
    fn options(&self, kind: FileFormat) -> Result<DecodeOptions> {
        let mut csv = self.config.csv.decoded()?;
        if kind == FileFormat::Tsv && csv.delimiter.is_none() {
            csv.delimiter = Some(b'\t');
        }
        Ok(DecodeOptions {
            csv,
            limits: self.rules.limits.clone(),
            ..DecodeOptions::default()
        })
    }
}

fn types(shared: &Shared) -> Result<Vec<FieldRef>> {
    let fields = shared.config.types.iter().map(|(name, text)| {
        let field: Field =
            field_of_type(name, text).ok_or_else(|| crate::config::bad_type(name))?;
        Ok(Arc::new(field))
    });
    fields.collect()
}

/// A panic of a decoder is the content's fault.
fn gave_up() -> Error {
    Error::source(SourceFault::Data, "the decoder gave up on it")
        .hint("the file may be damaged; read it with another tool to compare")
}

/// Content that cannot be read is the file's fault, whatever a decoder of bodies
/// calls it; the text says which file.
fn named(path: &str, error: Error) -> Error {
    if !matches!(
        error.kind(),
        Kind::Malformed | Kind::Source(SourceFault::Data)
    ) {
        return error;
    }
    let text = format!("`{path}`: {}", error.message());
    let mut named = Error::source(SourceFault::Data, text);
    if let Some(said) = error.source_message() {
        named = named.said(said.clone());
    }
    if error.stable_code() == Kind::Malformed.code() {
        return named.hint("the file may be damaged or cut short, or have another format");
    }
    named = named.code(error.stable_code());
    match error.hint_text() {
        Some(hint) => named.hint(hint.to_owned()),
        None => named,
    }
}

/// What the config, the name, or else the first bytes say.
fn kind_of(shared: &Shared, content: &Content, path: &str) -> Result<FileKind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some(format) = shared.config.format {
        let packing = format::packing(name);
        return Ok(FileKind { format, packing });
    }
    if let Some(kind) = format::by_name(name) {
        return Ok(kind);
    }
    let failed = |error| read_failed(path, error);
    let packing = format::packing_of(&content.head(16).map_err(failed)?);
    let mut head = Vec::new();
    let unpacked = content.unpacked(packing, shared.rules.limits.ratio);
    unpacked
        .map_err(failed)?
        .take(4_096)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let known = format::by_content(&head)
        .filter(|format| packing == Packing::Plain || format.streamed().is_some());
    match known {
        Some(format) => Ok(FileKind { format, packing }),
        None => Err(Error::source(
            SourceFault::Data,
            format!("`{path}` has no format that can be read"),
        )
        .hint("set `format` in the config if it has one of those in the connector's docs")),
    }
}

fn find_schema(
    shared: &Shared,
    content: &Content,
    path: &str,
    kind: FileKind,
) -> Result<SchemaRef> {
    let key = (path.to_owned(), content.stamp());
    if let Some(known) = shared.known.0.lock().get(&key) {
        return Ok(Arc::clone(known));
    }
    let Some(format) = kind.format.streamed() else {
        return Err(Error::internal("a format without a decoder"));
    };
    let options = shared.options(kind.format)?;
    let unpacked = content.unpacked(kind.packing, options.limits.ratio);
    let mut text = Text {
        bytes: unpacked.map_err(|error| read_failed(path, error))?,
        decoder: decoder(format, options)?,
        ready: VecDeque::new(),
        chunk: vec![0; CHUNK],
        is_over: false,
    };
    let schema = loop {
        if let Some(schema) = text.decoder.schema() {
            break schema;
        }
        if text.is_over {
            return Err(Error::internal("a decoder without a schema"));
        }
        text.step(path)?;
        text.ready.clear();
    };
    let schema = match format {
        Format::Arrow => schema,
        _ => retyped(&schema, &types(shared)?),
    };
    let mut known = shared.known.0.lock();
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(key, Arc::clone(&schema));
    Ok(schema)
}

/// The schema with the types that the config asks for.
fn retyped(schema: &SchemaRef, asked: &[FieldRef]) -> SchemaRef {
    if asked.is_empty() {
        return Arc::clone(schema);
    }
    let retyped = |field: &FieldRef| {
        let asked = asked.iter().find(|asked| asked.name() == field.name());
        Arc::clone(asked.unwrap_or(field))
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(retyped).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn read_sheet(
    shared: &Shared,
    content: &Content,
    sheet: Option<&str>,
    limits: &DecodeLimits,
) -> Result<Sheet> {
    let mut stored = content.stored();
    stored.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    let excel = &shared.config.excel;
    let options = excel::Options {
        sheet: sheet.or(excel.sheet.as_deref()).map(str::to_owned),
        header: excel.header,
        skip_rows: excel.skip_rows,
        types: types(shared)?,
    };
    excel::read(stored, content.stamp().size, &options, limits)
}

/// The rows of one table, batch by batch.
pub struct Rows {
    path: String,
    content: Content,
    inner: Inner,
}

enum Inner {
    Parquet(Box<ParquetRows>),
    Streamed(Text),
    Ready(VecDeque<RecordBatch>),
}

impl Rows {
    /// The next batch; `None` at the end of a file that is still what it was.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = match &mut self.inner {
            Inner::Parquet(rows) => rows.next().map_err(|error| named(&self.path, error)),
            Inner::Streamed(text) => text.next_batch(&self.path),
            Inner::Ready(batches) => Ok(batches.pop_front()),
        };
        match next {
            Ok(Some(batch)) => Ok(Some(batch)),
            Ok(None) => self.content.check(&self.path).map(|()| None),
            Err(error) => Err(self.content.explain(&self.path, error)),
        }
    }

    /// Bytes that wait inside for more to come.
    pub fn held(&self) -> usize {
        match &self.inner {
            Inner::Streamed(text) => text.decoder.held(),
            Inner::Ready(batches) => batches.iter().map(memory_of).sum(),
            Inner::Parquet(rows) => rows.held(),
        }
    }

    /// Bytes read of the file so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.inner {
            Inner::Parquet(rows) => rows.bytes_read(),
            Inner::Streamed(text) => text.bytes.bytes_read(),
            Inner::Ready(_) => self.content.stamp().size,
        }
    }
}

/// Text or messages on the way through their decoder.
struct Text {
    bytes: Unpacked,
    decoder: Box<dyn Decoder>,
    ready: VecDeque<RecordBatch>,
    chunk: Vec<u8>,
    is_over: bool,
}

impl Text {
    fn next_batch(&mut self, path: &str) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if self.is_over {
                return Ok(None);
            }
            self.step(path)?;
        }
    }

    fn step(&mut self, path: &str) -> Result<()> {
        let count = loop {
            match self.bytes.read(&mut self.chunk) {
                Ok(count) => break count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_failed(path, error)),
            }
        };
        let mut out = Vec::new();
        let chunk = &self.chunk[..count];
        let decoder = &mut self.decoder;
        let work = || match count {
            0 => decoder.finish(&mut out),
            _ => decoder.push(chunk, &mut out),
        };
        let pushed = weir_core::task::guarded(work).unwrap_or_else(|_| Err(gave_up()));
        pushed.map_err(|error| named(path, error))?;
        self.is_over = count == 0;
        self.ready.extend(out);
        Ok(())
    }
}
