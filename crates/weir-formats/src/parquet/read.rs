//! Reading Parquet: columns by themselves, only those row groups and pages that
//! the filter does not rule out, and rows filtered while they are decoded.
//!
//! The bytes may be hostile. The footer is read as a slice of a checked length,
//! every place it names must lie in the file, and `guarded` turns a panic of
//! the decoder into an error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use weir_core::evaluate::compile;
use weir_core::types::{NATIVE_TYPE, unique_names};
use weir_core::{Error, Predicate, Result, SourceFault, SourceMessage};

use super::bytes::Counted;
pub use super::bytes::ReadAt;
use super::footer;
use super::pages::Watch;
use super::prune::Pruner;
pub use super::rows::ParquetRows;
use super::rows::{BATCH_ROWS, Now, Step};
use crate::decode::DecodeLimits;

/// Page indexes larger than this cost more than they save.
const MAX_PAGE_INDEX: u64 = 8 << 20;

/// Runs `work` of the decoder; its panic is the content's fault.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    weir_core::task::guarded(work).unwrap_or_else(|_| Err(broken("the decoder gave up on it")))
}

pub(super) fn broken(what: impl std::fmt::Display) -> Error {
    Error::source(SourceFault::Data, "the Parquet file cannot be read")
        .hint("it may be damaged or cut short; read it with another tool to compare")
        .said(SourceMessage {
            message: what.to_string(),
            ..SourceMessage::default()
        })
}

pub(super) fn failed(error: ParquetError) -> Error {
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

pub(super) fn arrow_failed(error: ArrowError) -> Error {
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
    pub(super) source: Counted,
    pub(super) reader: ArrowReaderMetadata,
    schema: SchemaRef,
    pub(super) limits: DecodeLimits,
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
        let source = Counted::of(file);
        guarded(|| {
            let metadata = Arc::new(footer::read(&source, limits)?);
            let options = ArrowReaderOptions::new();
            let reader = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options);
            let reader = plain(reader.map_err(failed)?)?;
            let schema = named(&reader);
            Ok(ParquetFile {
                source,
                reader,
                schema,
                limits: limits.clone(),
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
            left: scan.limit,
            most: scan.batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS),
            now: Now::default(),
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
        if !is_within(&metadata, &self.limits)? {
            return Ok(());
        }
        let options = ArrowReaderOptions::new();
        let loaded = ArrowReaderMetadata::try_new(metadata, options).map_err(failed)?;
        self.reader = plain(loaded)?;
        Ok(())
    }
}

/// Whether an index names only places within the columns it is of.
fn is_within(metadata: &ParquetMetaData, limits: &DecodeLimits) -> Result<bool> {
    for (group, columns) in metadata.offset_index().into_iter().flatten().enumerate() {
        let watch = Watch::of(metadata.row_group(group), limits)?;
        let mut places = columns.iter().flat_map(|column| column.page_locations());
        let is_within = places.all(|place| {
            let span = u64::try_from(place.offset)
                .ok()
                .zip(u64::try_from(place.compressed_page_size).ok());
            span.is_some_and(|(start, bytes)| watch.holds(start, bytes))
        });
        if !is_within {
            return Ok(false);
        }
    }
    Ok(true)
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
