//! The rows of a scan of a Parquet file, batch by batch, each of a bounded size:
//! by what the footer says, by what the batches so far had, and by what the pages
//! that a batch used up held, whatever the footer says.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowFilter, RowSelection, RowSelector,
};
use parquet::basic::Type as Physical;
use parquet::file::metadata::RowGroupMetaData;
use weir_core::evaluate::Test;
use weir_core::{Error, Result};

use super::bytes::Counted;
use super::pages::Watch;
use super::read::{ParquetFile, arrow_failed, broken, failed, guarded};
use super::values::widest;

/// Bytes of a batch to aim at, and rows at most.
const BATCH_BYTES: usize = 2 << 20;
pub(super) const BATCH_ROWS: usize = 16_384;

/// Rows of the first batch: it leaves early, and shows how wide rows are.
const FIRST_ROWS: usize = 1_024;

/// Bytes of a batch if every value were as long as the longest may be.
const WIDEST_BYTES: u64 = 32 << 20;

/// Bytes of memory for the levels and the place of a value in a list.
const NESTED_BYTES: u64 = 16;

/// One conjunct of a filter, with the columns it needs.
pub(super) struct Step {
    pub(super) test: Arc<Test>,
    pub(super) mask: ProjectionMask,
}

/// A row group, or a part of it.
struct Part {
    group: usize,
    pages: Option<RowSelection>,
    /// Rows of a batch.
    rows: usize,
    /// Rows that came of it.
    given: u64,
    source: Counted,
    reader: Option<ParquetRecordBatchReader>,
}

/// The rows of a scan, batch by batch.
pub struct ParquetRows {
    pub(super) file: ParquetFile,
    pub(super) schema: SchemaRef,
    pub(super) mask: ProjectionMask,
    pub(super) order: Vec<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) groups: VecDeque<(usize, Option<RowSelection>)>,
    pub(super) left: Option<u64>,
    pub(super) most: usize,
    pub(super) now: Now,
}

/// Where a scan is.
#[derive(Default)]
pub(super) struct Now {
    part: Option<Part>,
    /// Bytes of a row, as seen in the batches so far.
    width: Option<usize>,
    given: u64,
    /// Rows of a batch at most, where larger ones had too much in them.
    bearable: Option<usize>,
    /// Bytes of the longest values of a row, and in which row group.
    widest: Option<(usize, u64)>,
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

    /// Bytes of the pages that are open.
    pub fn held(&self) -> usize {
        let part = self.now.part.as_ref();
        part.map_or(0, |part| part.source.open_bytes())
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
            let Some(part) = &mut self.now.part else {
                let Some((group, pages)) = self.groups.pop_front() else {
                    return Ok(None);
                };
                self.now.part = Some(self.start(group, pages)?);
                continue;
            };
            let Some(reader) = &mut part.reader else {
                self.build()?;
                continue;
            };
            part.source.begin();
            match reader.next() {
                None => self.ended()?,
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => return self.took(&batch).map(Some),
                Some(Err(error)) => self.recover(arrow_failed(error))?,
            }
        }
    }

    fn took(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        self.now.width = Some((batch.get_array_memory_size() / rows).max(1));
        self.now.given += rows as u64;
        if let Some(part) = &mut self.now.part {
            part.given += rows as u64;
        }
        self.left = self.left.map(|left| left.saturating_sub(rows as u64));
        self.shaped(batch)
    }

    /// A row group that ends before its rows are there is no shorter table.
    fn ended(&mut self) -> Result<()> {
        let Some(part) = self.now.part.take() else {
            return Ok(());
        };
        let group = self.file.reader.metadata().row_group(part.group);
        let of_group = u64::try_from(group.num_rows()).unwrap_or(0);
        let told = part
            .pages
            .map_or(of_group, |pages| pages.row_count() as u64);
        if self.steps.is_empty() && self.left.is_none() && part.given != told {
            return Err(broken(
                "a row group does not have the rows that the footer says",
            ));
        }
        self.now.bearable = self.now.bearable.map(|rows| rows.saturating_mul(2));
        Ok(())
    }

    /// A batch that became too large is read again with fewer rows.
    fn recover(&mut self, error: Error) -> Result<()> {
        let Some(part) = &mut self.now.part else {
            return Err(error);
        };
        let found = part.source.failure();
        if part.source.was_crowded() && part.rows > 1 {
            part.rows = (part.rows / 16).max(1);
            part.reader = None;
            self.now.bearable = Some(part.rows);
            return Ok(());
        }
        Err(found.unwrap_or(error))
    }

    fn start(&mut self, group: usize, pages: Option<RowSelection>) -> Result<Part> {
        let is_first = self.now.given == 0 && self.steps.is_empty() && pages.is_none();
        let rows = self.batch_rows(group)?;
        let total = self.file.reader.metadata().row_group(group).num_rows();
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let mut pages = pages;
        if is_first && self.now.width.is_none() && total > FIRST_ROWS {
            // A few rows first; the rest of the group knows how wide they are.
            let few = [RowSelector::select(FIRST_ROWS)];
            let rest = [
                RowSelector::skip(FIRST_ROWS),
                RowSelector::select(total - FIRST_ROWS),
            ];
            let rest = RowSelection::from(rest.to_vec());
            self.groups.push_front((group, Some(rest)));
            pages = Some(RowSelection::from(few.to_vec()));
        }
        Ok(Part {
            group,
            pages,
            rows: self.now.bearable.map_or(rows, |most| rows.min(most)),
            given: 0,
            source: self.file.source.clone(),
            reader: None,
        })
    }

    fn build(&mut self) -> Result<()> {
        let metadata = self.file.reader.clone();
        let Some(part) = &mut self.now.part else {
            return Ok(());
        };
        let of_group = metadata.metadata().row_group(part.group);
        let mut watch = Watch::of(of_group, &self.file.limits)?;
        let index = metadata.metadata().offset_index();
        watch.is_indexed = index.is_some_and(|index| !index[part.group].is_empty());
        part.source = self.file.source.watched(watch);
        let source = part.source.clone();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata)
            .with_row_groups(vec![part.group])
            .with_projection(self.mask.clone())
            .with_batch_size(part.rows)
            .with_offset(usize::try_from(part.given).unwrap_or(usize::MAX));
        if let Some(pages) = part.pages.clone() {
            builder = builder.with_row_selection(pages);
        }
        if !self.steps.is_empty() {
            builder = builder.with_row_filter(filter(&self.steps, &part.source));
        }
        if let Some(left) = self.left {
            builder = builder.with_limit(usize::try_from(left).unwrap_or(usize::MAX));
        }
        match builder.build() {
            Ok(reader) => {
                part.reader = Some(reader);
                Ok(())
            }
            Err(error) => self.recover(failed(error)),
        }
    }

    /// Whether a column is read, for rows or for the filter.
    fn reads(&self, leaf: usize) -> bool {
        let steps = self.steps.iter();
        self.mask.leaf_included(leaf) || steps.map(|step| &step.mask).any(|m| m.leaf_included(leaf))
    }

    /// Rows of a batch of about the wanted size.
    fn batch_rows(&mut self, group: usize) -> Result<usize> {
        let of_group = self.file.reader.metadata().row_group(group);
        let rows = u64::try_from(of_group.num_rows()).unwrap_or(1).max(1);
        let (mut told, mut made) = (0_u64, 0_u64);
        for (leaf, chunk) in of_group.columns().iter().enumerate() {
            if !self.reads(leaf) {
                continue;
            }
            let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or(0);
            let size = chunk.uncompressed_size().max(texts);
            told = told.saturating_add(u64::try_from(size).unwrap_or(0));
            made = made.saturating_add(made_of(of_group, leaf));
        }
        let width = (told / rows).max(made);
        let width = usize::try_from(width).unwrap_or(usize::MAX);
        let width = width.max(self.now.width.unwrap_or(1)).max(1);
        let first = if self.now.width.is_none() {
            FIRST_ROWS
        } else {
            BATCH_ROWS
        };
        let wanted = (BATCH_BYTES / width).clamp(1, self.most.min(first));
        let widest = self.widest(group)?;
        let most = WIDEST_BYTES.checked_div(widest).unwrap_or(u64::MAX);
        Ok(wanted
            .min(usize::try_from(most).unwrap_or(usize::MAX))
            .max(1))
    }

    /// Bytes of a row of which every value is the longest.
    fn widest(&mut self, group: usize) -> Result<u64> {
        if let Some((known, widest)) = self.now.widest
            && known == group
        {
            return Ok(widest);
        }
        let of_group = self.file.reader.metadata().row_group(group);
        let mut sum = 0_u64;
        for leaf in 0..of_group.num_columns() {
            if self.reads(leaf) {
                let longest = widest(&self.file.source, of_group, leaf, &self.file.limits)?;
                let each = values_of_row(of_group, leaf);
                sum = sum.saturating_add(longest.saturating_mul(each));
            }
        }
        self.now.widest = Some((group, sum));
        Ok(sum)
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

fn filter(steps: &[Step], source: &Counted) -> RowFilter {
    let predicate = |step: &Step| -> Box<dyn ArrowPredicate> {
        let (test, source) = (Arc::clone(&step.test), source.clone());
        Box::new(ArrowPredicateFn::new(step.mask.clone(), move |batch| {
            source.begin();
            Ok(test.eval(&batch)?)
        }))
    };
    RowFilter::new(steps.iter().map(predicate).collect())
}

/// Values of a column in a row of this group, lists counted out.
fn values_of_row(group: &RowGroupMetaData, leaf: usize) -> u64 {
    let rows = u64::try_from(group.num_rows()).unwrap_or(1).max(1);
    let values = u64::try_from(group.column(leaf).num_values()).unwrap_or(0);
    values.div_ceil(rows).max(1)
}

/// Bytes that a row of this column takes at least, however it is written.
fn made_of(group: &RowGroupMetaData, leaf: usize) -> u64 {
    let column = group.column(leaf).column_descr();
    let width = match column.physical_type() {
        Physical::BOOLEAN => 1,
        Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
        Physical::INT64 | Physical::DOUBLE | Physical::INT96 => 8,
        Physical::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.type_length()).unwrap_or(0),
    };
    let levels = if column.max_rep_level() > 0 {
        NESTED_BYTES
    } else {
        0
    };
    values_of_row(group, leaf).saturating_mul(width + levels)
}
