//! Reading Parquet: columns by themselves, only those row groups and pages that
//! the filter does not rule out, and rows filtered while they are decoded.
//!
//! The bytes may be hostile. The footer is read as a slice of a checked length,
//! every place it names must lie in the file, and `guarded` turns a panic of
//! the decoder into an error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions,
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FooterTail, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::reader::Length;
use weir_core::evaluate::{Test, compile};
use weir_core::types::{NATIVE_TYPE, unique_names};
use weir_core::{Error, Kind, Predicate, Result, SourceFault, SourceMessage};

use super::bytes::Counted;
pub use super::bytes::ReadAt;
use super::prune::Pruner;
use crate::decode::DecodeLimits;

/// A footer that says more than this is refused.
const MAX_FOOTER: usize = 32 << 20;

/// Page indexes larger than this cost more than they save.
const MAX_PAGE_INDEX: u64 = 8 << 20;

/// Bytes of a batch to aim at, and rows at most.
const BATCH_BYTES: usize = 2 << 20;
const BATCH_ROWS: usize = 16_384;

/// Rows of the first batch: it leaves early, and shows how wide rows are.
const FIRST_ROWS: usize = 1_024;

const FOOTER_BYTES: u64 = 8;

/// Runs `work` of the decoder; its panic is the content's fault.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    weir_core::task::guarded(work).unwrap_or_else(|_| Err(broken("the decoder gave up on it")))
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::source(SourceFault::Data, "the Parquet file cannot be read")
        .hint("it may be damaged or cut short; read it with another tool to compare")
        .said(SourceMessage {
            message: what.to_string(),
            ..SourceMessage::default()
        })
}

fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => broken(other),
        },
        ParquetError::NYI(what) => Error::unsupported(
            "the Parquet file uses something that cannot be read yet",
        )
        .said(SourceMessage {
            message: what,
            ..SourceMessage::default()
        }),
        other => broken(other),
    }
}

fn arrow_failed(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => broken(other),
        },
        other => broken(other),
    }
}

/// An opened Parquet file. Cheap to clone.
#[derive(Clone)]
pub struct ParquetFile {
    source: Counted,
    reader: ArrowReaderMetadata,
    schema: SchemaRef,
}

/// What to read of a file.
#[derive(Debug, Clone, Default)]
pub struct ParquetScan<'a> {
    /// Places of columns, in the wanted order.
    pub columns: Vec<usize>,
    /// Only rows that all of these keep.
    pub filter: &'a [Predicate],
    /// Row groups and pages are ruled out by these, too; rows are not.
    pub hints: &'a [Predicate],
    /// Rows at most.
    pub limit: Option<u64>,
    /// Rows of a batch at most.
    pub batch_rows: Option<usize>,
}

impl ParquetFile {
    /// Reads the footer.
    pub fn open(file: Arc<dyn ReadAt>, limits: &DecodeLimits) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let source = Counted { file, read };
        guarded(|| {
            let metadata = Arc::new(footer(&source, limits)?);
            let options = ArrowReaderOptions::new();
            let reader = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options);
            let reader = plain(reader.map_err(failed)?)?;
            let schema = named(&reader);
            Ok(ParquetFile {
                source,
                reader,
                schema,
            })
        })
    }

    /// Its columns, each name once.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its rows, as the footer says.
    pub fn rows(&self) -> u64 {
        let rows = self.reader.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or(0)
    }

    /// Bytes read of it so far.
    pub fn bytes_read(&self) -> u64 {
        self.source.read.load(Ordering::Relaxed)
    }

    /// Bytes that a scan of `columns` would read at most.
    pub fn bytes_of(&self, columns: &[usize]) -> u64 {
        let metadata = self.reader.metadata();
        let descriptor = metadata.file_metadata().schema_descr();
        let groups = metadata.row_groups().iter();
        let sizes = groups.flat_map(|group| group.columns().iter().enumerate());
        sizes
            .filter(|(leaf, _)| columns.contains(&descriptor.get_column_root_idx(*leaf)))
            .map(|(_, chunk)| chunk.byte_range().1)
            .sum()
    }

    /// Prepares a scan.
    pub fn scan(&self, scan: &ParquetScan<'_>) -> Result<ParquetRows> {
        guarded(|| self.rows_of(scan))
    }

    fn rows_of(&self, scan: &ParquetScan<'_>) -> Result<ParquetRows> {
        let mut file = self.clone();
        let every: Vec<Predicate> = scan.filter.iter().chain(scan.hints).cloned().collect();
        if !every.is_empty() {
            file.load_page_index()?;
        }
        let descriptor = file.reader.metadata().file_metadata().schema_descr_ptr();
        let mut roots = scan.columns.clone();
        roots.sort_unstable();
        roots.dedup();
        let order = |column: &usize| roots.binary_search(column).unwrap_or(0);
        let order: Vec<usize> = scan.columns.iter().map(order).collect();
        let tests = scan.filter.iter().map(|predicate| file.step(predicate));
        let steps = tests.collect::<Result<Vec<Step>>>()?;
        let metadata = Arc::clone(file.reader.metadata());
        let groups = {
            let pruner = Pruner::new(&metadata, &file.schema);
            let kept = pruner.row_groups(&every).into_iter();
            kept.map(|group| (group, pruner.pages(&every, group)))
                .filter(|(_, pages)| pages.as_ref().is_none_or(RowSelection::selects_any))
                .collect::<VecDeque<_>>()
        };
        tracing::debug!(
            kept = groups.len(),
            of = metadata.num_row_groups(),
            "row groups to read"
        );
        Ok(ParquetRows {
            schema: Arc::new(file.schema.project(&scan.columns)?),
            mask: ProjectionMask::roots(&descriptor, roots),
            order,
            steps,
            groups,
            current: None,
            left: scan.limit,
            most: scan.batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS),
            width: None,
            given: 0,
            file,
        })
    }

    fn step(&self, predicate: &Predicate) -> Result<Step> {
        let mut roots: Vec<usize> = predicate
            .columns()
            .iter()
            .map(|name| weir_core::evaluate::index_of(&self.schema, name))
            .collect::<Result<_>>()?;
        roots.sort_unstable();
        roots.dedup();
        let test = compile(predicate, &self.schema.project(&roots)?)?;
        let descriptor = self.reader.metadata().file_metadata().schema_descr();
        Ok(Step {
            test: Arc::new(test),
            mask: ProjectionMask::roots(descriptor, roots),
        })
    }

    fn load_page_index(&mut self) -> Result<()> {
        let metadata = self.reader.metadata();
        let mut span: Option<(u64, u64)> = None;
        for chunk in metadata
            .row_groups()
            .iter()
            .flat_map(|group| group.columns())
        {
            let places = [
                (chunk.column_index_offset(), chunk.column_index_length()),
                (chunk.offset_index_offset(), chunk.offset_index_length()),
            ];
            for (offset, length) in places {
                let (Some(offset), Some(length)) = (offset, length) else {
                    return Ok(());
                };
                let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length))
                else {
                    return Ok(());
                };
                let end = offset.saturating_add(length);
                let (first, last) = span.unwrap_or((offset, end));
                span = Some((first.min(offset), last.max(end)));
            }
        }
        let is_worth_it = span.is_some_and(|(first, last)| {
            last <= self.source.len() && last - first <= MAX_PAGE_INDEX
        });
        if !is_worth_it {
            return Ok(());
        }
        let mut reader = ParquetMetaDataReader::new_with_metadata(ParquetMetaData::clone(metadata))
            .with_page_index_policy(PageIndexPolicy::Optional);
        reader.read_page_indexes(&self.source).map_err(failed)?;
        let metadata = Arc::new(reader.finish().map_err(failed)?);
        let options = ArrowReaderOptions::new();
        let loaded = ArrowReaderMetadata::try_new(metadata, options).map_err(failed)?;
        self.reader = plain(loaded)?;
        Ok(())
    }
}

/// Reads and checks the footer.
fn footer(source: &Counted, limits: &DecodeLimits) -> Result<ParquetMetaData> {
    let size = source.len();
    if size < FOOTER_BYTES + 4 {
        return Err(broken("it is too short to be one"));
    }
    let tail = source.exact(size - FOOTER_BYTES, 8).map_err(failed)?;
    if tail.ends_with(b"PARE") {
        return Err(encrypted());
    }
    let tail = FooterTail::try_from(&tail[..]).map_err(failed)?;
    let length = tail.metadata_length();
    if length as u64 > size - FOOTER_BYTES {
        return Err(broken("its footer is longer than the file"));
    }
    if length > MAX_FOOTER {
        return Err(Error::new(
            Kind::TooLarge,
            format!("the footer of the Parquet file has {length} bytes, more than {MAX_FOOTER}"),
        )
        .hint("write it with fewer columns or larger row groups"));
    }
    let bytes = source.exact(size - FOOTER_BYTES - length as u64, length);
    let bytes = bytes.map_err(failed)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(failed)?;
    check(&metadata, size, limits)?;
    Ok(metadata)
}

fn encrypted() -> Error {
    Error::unsupported("the Parquet file is encrypted")
        .code("encrypted")
        .hint("decrypt it first; keys for Parquet cannot be given yet")
}

/// What the footer says must be possible in a file of this size.
fn check(metadata: &ParquetMetaData, size: u64, limits: &DecodeLimits) -> Result<()> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if columns > limits.max_columns {
        let most = limits.max_columns;
        return Err(Error::new(
            Kind::TooLarge,
            format!("the Parquet file has {columns} columns, more than {most}"),
        ));
    }
    let mut rows: i64 = 0;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 || group.num_columns() != columns {
            return Err(broken("a row group does not fit the schema"));
        }
        rows = rows
            .checked_add(group.num_rows())
            .ok_or_else(|| broken("it says that it has too many rows"))?;
        for chunk in group.columns() {
            // Asked for a range that is negative, the library would panic.
            let start = chunk
                .dictionary_page_offset()
                .unwrap_or(chunk.data_page_offset());
            let length = chunk.compressed_size();
            let end = u64::try_from(start)
                .ok()
                .zip(u64::try_from(length).ok())
                .and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > size) || chunk.num_values() < 0 {
                return Err(broken("a column lies outside of the file"));
            }
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        return Err(broken("its row groups do not have the rows that it says"));
    }
    Ok(())
}

/// Text in a dictionary is read as text: the dictionary was the writer's way to
/// save memory, and filters speak of text.
fn plain(reader: ArrowReaderMetadata) -> Result<ArrowReaderMetadata> {
    let fields = reader.schema().fields();
    let is_plain = |field: &FieldRef| !matches!(field.data_type(), DataType::Dictionary(_, _));
    if fields.iter().all(is_plain) {
        return Ok(reader);
    }
    let plain = |field: &FieldRef| match field.data_type() {
        DataType::Dictionary(_, value) => {
            let data_type = DataType::clone(value);
            Arc::new(Field::clone(field).with_data_type(data_type))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = fields.iter().map(plain).collect();
    let schema = Arc::new(Schema::new_with_metadata(
        fields,
        reader.schema().metadata().clone(),
    ));
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(Arc::clone(reader.metadata()), options).map_err(failed)
}

/// The schema as Weir speaks of it: each name once, with the file's own types.
fn named(reader: &ArrowReaderMetadata) -> SchemaRef {
    let fields = reader.schema().fields();
    let names = unique_names(fields.iter().map(|field| field.name().as_str()));
    let roots = reader.parquet_schema().root_schema().get_fields();
    let native = |place: usize| match roots.get(place) {
        Some(root) if root.is_primitive() => {
            let physical = root.get_physical_type().to_string();
            match root.get_basic_info().logical_type_ref() {
                Some(logical) => format!("{physical} ({})", short(&format!("{logical:?}"))),
                None => physical,
            }
        }
        _ => "group".to_owned(),
    };
    let fields = fields.iter().zip(names).enumerate();
    let fields = fields.map(|(place, (field, name))| {
        let mut metadata = field.metadata().clone();
        metadata.retain(|key, _| !key.starts_with("PARQUET:"));
        metadata.insert(NATIVE_TYPE.to_owned(), native(place));
        Field::clone(field).with_name(name).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// `Timestamp { … }` as `TIMESTAMP`.
fn short(logical: &str) -> String {
    let end = logical
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(logical.len());
    logical[..end].to_uppercase()
}

/// One conjunct of a filter, with the columns it needs.
struct Step {
    test: Arc<Test>,
    mask: ProjectionMask,
}

/// The rows of a scan, batch by batch.
pub struct ParquetRows {
    file: ParquetFile,
    schema: SchemaRef,
    mask: ProjectionMask,
    order: Vec<usize>,
    steps: Vec<Step>,
    groups: VecDeque<(usize, Option<RowSelection>)>,
    current: Option<ParquetRecordBatchReader>,
    left: Option<u64>,
    most: usize,
    /// Bytes of a row, as seen in the batches so far.
    width: Option<usize>,
    given: u64,
}

impl ParquetRows {
    /// Schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes read of the file so far.
    pub fn bytes_read(&self) -> u64 {
        self.file.bytes_read()
    }

    /// The next batch; `None` at the end. A call may look at a whole row group.
    #[expect(
        clippy::should_implement_trait,
        reason = "it ends or fails, which iterators say the other way round"
    )]
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        guarded(|| self.advance())
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            let Some(reader) = &mut self.current else {
                let Some((group, pages)) = self.groups.pop_front() else {
                    return Ok(None);
                };
                self.start(group, pages)?;
                continue;
            };
            let Some(batch) = reader.next() else {
                self.current = None;
                continue;
            };
            let batch = batch.map_err(arrow_failed)?;
            let rows = batch.num_rows();
            if rows == 0 {
                continue;
            }
            self.width = Some((batch.get_array_memory_size() / rows).max(1));
            self.given += rows as u64;
            self.left = self.left.map(|left| left.saturating_sub(rows as u64));
            return self.shaped(&batch).map(Some);
        }
    }

    fn start(&mut self, group: usize, pages: Option<RowSelection>) -> Result<()> {
        let is_first = self.given == 0 && self.steps.is_empty() && pages.is_none();
        let rows = self.batch_rows(group);
        let total = self.file.reader.metadata().row_group(group).num_rows();
        if is_first && self.width.is_none() && total > FIRST_ROWS as i64 {
            // A few rows first; the rest of the group knows how wide they are.
            let few = [parquet::arrow::arrow_reader::RowSelector::select(
                FIRST_ROWS,
            )];
            let rest = [
                parquet::arrow::arrow_reader::RowSelector::skip(FIRST_ROWS),
                parquet::arrow::arrow_reader::RowSelector::select(total as usize - FIRST_ROWS),
            ];
            self.groups
                .push_front((group, Some(RowSelection::from(rest.to_vec()))));
            return self.build(group, Some(RowSelection::from(few.to_vec())), rows);
        }
        self.build(group, pages, rows)
    }

    fn build(&mut self, group: usize, pages: Option<RowSelection>, rows: usize) -> Result<()> {
        let source = self.file.source.clone();
        let metadata = self.file.reader.clone();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata)
            .with_row_groups(vec![group])
            .with_projection(self.mask.clone())
            .with_batch_size(rows);
        if let Some(pages) = pages {
            builder = builder.with_row_selection(pages);
        }
        if !self.steps.is_empty() {
            builder = builder.with_row_filter(self.filter());
        }
        if let Some(left) = self.left {
            builder = builder.with_limit(usize::try_from(left).unwrap_or(usize::MAX));
        }
        self.current = Some(builder.build().map_err(failed)?);
        Ok(())
    }

    fn filter(&self) -> RowFilter {
        let predicate = |step: &Step| -> Box<dyn ArrowPredicate> {
            let test = Arc::clone(&step.test);
            Box::new(ArrowPredicateFn::new(step.mask.clone(), move |batch| {
                Ok(test.eval(&batch)?)
            }))
        };
        RowFilter::new(self.steps.iter().map(predicate).collect())
    }

    /// Rows of a batch of about the wanted size.
    fn batch_rows(&self, group: usize) -> usize {
        let group = self.file.reader.metadata().row_group(group);
        let rows = usize::try_from(group.num_rows()).unwrap_or(1).max(1);
        let leaves = group.columns().iter().enumerate();
        let told: i64 = leaves
            .filter(|(leaf, _)| self.mask.leaf_included(*leaf))
            .map(|(_, chunk)| {
                let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or(0);
                chunk.uncompressed_size().max(texts).max(0)
            })
            .fold(0, i64::saturating_add);
        let told = usize::try_from(told).unwrap_or(usize::MAX) / rows;
        let width = told.max(self.width.unwrap_or(1)).max(1);
        let first = if self.width.is_none() {
            FIRST_ROWS
        } else {
            BATCH_ROWS
        };
        (BATCH_BYTES / width).clamp(1, self.most.min(first))
    }

    /// The columns in the wanted order, under the wanted names.
    fn shaped(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .order
            .iter()
            .map(|place| Arc::clone(batch.column(*place)));
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect(), &rows)
            .map_err(broken)
    }
}
