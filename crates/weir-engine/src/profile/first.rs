//! The first pass over all rows: types from the first ones, then tables, sums and
//! what holds across columns, while the rows are spooled for the second.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, try_join};
use weir_core::memory::Hold;
use weir_core::{BatchStream, Result, memory_of};
use weir_values::ColumnKind;
use weir_values::detect::{Detected, Detector, SAMPLE_ROWS};

use super::across::{Across, FoundAcross};
use super::cells::{Cells, ReadColumn};
use super::column::Column;
use super::spread::spread;
use crate::steps::{Env, Spool, Spooled};

/// The share of a request's memory that tables fill.
const TABLES: usize = 4;

/// The share of a request's memory that rows on their way fill.
const ON_THE_WAY: usize = 32;

/// The share of a request's memory that the first rows fill, until types are
/// known.
const SAMPLE: usize = 8;

/// Cells that are worked on at once, at least.
const CELLS: usize = 1 << 17;

/// Bytes of the same, at most.
const BYTES: usize = 8 << 20;

/// How columns are read.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) schema: SchemaRef,
    /// What columns mean, where the caller says so.
    pub(super) kinds: Vec<Option<ColumnKind>>,
    pub(super) clean: bool,
    pub(super) approximate: bool,
    pub(super) env: Env,
}

/// What the first pass has found.
pub(super) struct FirstFound {
    pub(super) columns: Vec<Counting>,
    pub(super) across: FoundAcross,
    pub(super) spooled: Spooled,
    pub(super) hold: Hold,
}

/// A column, and how long its last batches took.
pub(super) struct Counting {
    pub(super) column: Column,
    nanos: u64,
}

/// Some batches.
pub(super) type Chunk = Arc<Vec<RecordBatch>>;

impl Reading {
    /// The next rows, enough to be worth spreading; none at the end.
    pub(super) async fn chunk(&self, input: &mut BatchStream) -> Result<Option<Chunk>> {
        let most = (self.env.request_limit() / ON_THE_WAY).min(BYTES);
        let (mut batches, mut cells, mut bytes) = (Vec::new(), 0, 0);
        while cells < CELLS && bytes < most {
            let Some(batch) = input.next().await.transpose()? else {
                break;
            };
            cells += batch.num_rows() * batch.num_columns().max(1);
            bytes += memory_of(&batch);
            batches.push(batch);
        }
        Ok((!batches.is_empty()).then(|| Arc::new(batches)))
    }

    async fn spooled_chunk(
        &self,
        input: &mut BatchStream,
        spool: &mut Spool,
    ) -> Result<Option<Chunk>> {
        let chunk = self.chunk(input).await?;
        for batch in chunk.iter().flat_map(|chunk| chunk.iter()) {
            spool.push(batch.clone()).await?;
        }
        Ok(chunk)
    }

    /// Looks at all rows.
    pub(super) async fn first(&self, mut input: BatchStream) -> Result<FirstFound> {
        let mut spool = self.env.spool(&self.schema);
        let (sample, detected) = self.sample(&mut input, &mut spool).await?;
        let mut first = First::new(self, detected)?;
        let Some((chunks, hold)) = sample else {
            // The first rows are too large to be held: they come from the spool.
            while self.spooled_chunk(&mut input, &mut spool).await?.is_some() {}
            let spooled = spool.done().await?;
            let mut rows = spooled.read();
            let mut next = self.chunk(&mut rows).await?;
            while let Some(chunk) = next {
                (next, ()) = try_join!(self.chunk(&mut rows), first.push(chunk))?;
            }
            return first.finish(spooled).await;
        };
        for chunk in chunks {
            first.push(chunk).await?;
        }
        drop(hold);
        let mut next = self.spooled_chunk(&mut input, &mut spool).await?;
        while let Some(chunk) = next {
            let more = self.spooled_chunk(&mut input, &mut spool);
            (next, ()) = try_join!(more, first.push(chunk))?;
        }
        first.finish(spool.done().await?).await
    }

    /// The first rows, unless they are too large, and what they say columns mean.
    async fn sample(
        &self,
        input: &mut BatchStream,
        spool: &mut Spool,
    ) -> Result<(Option<(Vec<Chunk>, Hold)>, Vec<Detected>)> {
        let fields = self.schema.fields().iter().enumerate();
        let detectors =
            fields.map(|(at, field)| (at, Detector::new(field.name(), field.data_type())));
        let mut detectors: Vec<(usize, Detector)> = detectors.collect();
        let most = self.env.request_limit() / SAMPLE;
        let (mut hold, mut looks) = (self.env.hold(), self.env.hold());
        let (mut held, mut rows, mut bytes) = (Some(Vec::new()), 0, 0);
        while rows < SAMPLE_ROWS {
            let Some(chunk) = self.spooled_chunk(input, spool).await? else {
                break;
            };
            rows += chunk.iter().map(RecordBatch::num_rows).sum::<usize>();
            bytes += chunk.iter().map(memory_of).sum::<usize>();
            let (batches, kinds) = (Arc::clone(&chunk), self.kinds.clone());
            let look = move |(at, detector): &mut (usize, Detector)| {
                if kinds[*at].is_none() {
                    for batch in batches.iter() {
                        detector.push(batch.column(*at))?;
                    }
                }
                Ok(())
            };
            (detectors, _) = spread(detectors, &self.env, |_| 0, look).await?;
            looks
                .set(detectors.iter().map(|(_, detector)| detector.bytes()).sum())
                .await?;
            if bytes > most || hold.try_set(bytes).is_err() {
                held = None;
            }
            match &mut held {
                Some(held) => held.push(chunk),
                None => hold.try_set(0)?,
            }
        }
        let given = self.kinds.iter().zip(&detectors);
        let detected = given
            .map(|(kind, (_, detector))| kind.map_or_else(|| detector.finish(), Detected::given));
        Ok((held.map(|held| (held, hold)), detected.collect()))
    }
}

/// The first pass once types are known.
struct First<'a> {
    reading: &'a Reading,
    columns: Vec<Counting>,
    across: Across,
    /// What was read last, for what holds across columns.
    last: Option<(Chunk, Vec<Vec<Cells>>)>,
    hold: Hold,
    on_the_way: Hold,
}

impl<'a> First<'a> {
    fn new(reading: &'a Reading, detected: Vec<Detected>) -> Result<Self> {
        let fields = reading.schema.fields().iter().zip(detected).enumerate();
        let columns: Vec<Counting> = fields
            .map(|(index, (field, detected))| {
                let read = ReadColumn {
                    index,
                    name: field.name().clone(),
                    kind: detected.kind,
                };
                let (clean, approximate) = (reading.clean, reading.approximate);
                let column = Column::new(read, detected, field.data_type(), clean, approximate)?;
                Ok(Counting { column, nanos: 0 })
            })
            .collect::<Result<_>>()?;
        let reads: Vec<ReadColumn> = columns.iter().map(|c| c.column.read.clone()).collect();
        Ok(First {
            across: Across::new(&reads, &reading.schema, reading.approximate, &reading.env)?,
            columns,
            last: None,
            hold: reading.env.hold(),
            on_the_way: reading.env.hold(),
            reading,
        })
    }

    /// The next rows. What holds across columns is one step behind, so that both
    /// are worked on at once.
    async fn push(&mut self, chunk: Chunk) -> Result<()> {
        let bytes: usize = chunk.iter().map(memory_of).sum();
        self.on_the_way.set(bytes.saturating_mul(2)).await?;
        let columns = std::mem::take(&mut self.columns);
        let batches = Arc::clone(&chunk);
        let count = move |counting: &mut Counting| {
            let begun = Instant::now();
            let at = counting.column.read.index;
            let read = batches
                .iter()
                .map(|batch| counting.column.push(batch.column(at)));
            let cells: Vec<Cells> = read.collect::<Result<_>>()?;
            counting.nanos = begun.elapsed().as_nanos() as u64;
            Ok(cells)
        };
        let counted = spread(columns, &self.reading.env, |counting| counting.nanos, count);
        let behind = pushed(&mut self.across, self.last.take());
        let ((columns, cells), ()) = try_join!(counted, behind)?;
        self.columns = columns;
        self.last = Some((chunk, cells));
        self.relieve().await
    }

    /// Keeps tables within their share of memory.
    async fn relieve(&mut self) -> Result<()> {
        let env = &self.reading.env;
        let most = env.request_limit() / TABLES;
        loop {
            let (mut bytes, mut kept, mut largest) = (0, 0, (0, 0));
            for (at, counting) in self.columns.iter_mut().enumerate() {
                let (own, fixed) = counting.column.bytes();
                bytes += own;
                kept += fixed;
                largest = largest.max((own, at));
            }
            if bytes <= most && self.hold.try_set(bytes + kept).is_ok() {
                return Ok(());
            }
            match largest {
                (0, _) => return self.hold.set(kept).await,
                (_, at) => self.columns[at].column.relieve(env).await?,
            }
        }
    }

    async fn finish(mut self, spooled: Spooled) -> Result<FirstFound> {
        pushed(&mut self.across, self.last.take()).await?;
        Ok(FirstFound {
            columns: self.columns,
            across: self.across.finish().await?,
            spooled,
            hold: self.hold,
        })
    }
}

/// Passes on what was read.
async fn pushed(across: &mut Across, last: Option<(Chunk, Vec<Vec<Cells>>)>) -> Result<()> {
    let Some((chunk, cells)) = last else {
        return Ok(());
    };
    let mut columns: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
    for batch in chunk.iter() {
        let cells: Vec<Cells> = columns.iter_mut().filter_map(Iterator::next).collect();
        across.push(batch, &cells).await?;
    }
    Ok(())
}
