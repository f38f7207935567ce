//! Rows into the tuples of a binary `COPY`, on the compute threads and ahead of
//! the connection, so that encoding and sending go on side by side.

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use weir_core::memory::Hold;
use weir_core::sink::bad_row;
use weir_core::task::Task;
use weir_core::{Context, Error, Result, Rows};
use weir_kit::write::{NULL_KEY, pieces, refuse_nulls};

use super::encode::{Column, Refused};
use super::target::Outgoing;

/// Bytes of a batch that are encoded at once.
const PIECE: usize = 1 << 20;
/// Pieces that may wait for the connection.
const WAITING: usize = 2;

/// Signature, no flags, no extension.
pub const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A tuple of −1 fields.
pub const TAIL: &[u8] = &(-1_i16).to_be_bytes();

/// Encoded rows.
pub struct Piece {
    /// Their tuples.
    pub bytes: Bytes,
    _held: Hold,
}

/// Encoded rows on their way; dropping it ends the encoding.
pub struct Pieces {
    queue: mpsc::Receiver<Result<Piece>>,
    /// None once it has ended.
    task: Option<Task<()>>,
}

impl Pieces {
    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        match self.queue.recv().await {
            Some(piece) => piece.map(Some),
            // The queue also ends when the task panicked.
            None => match self.task.take() {
                Some(task) => task.await.map(|()| None),
                None => Ok(None),
            },
        }
    }
}

/// How rows become tuples.
#[derive(Debug, Clone)]
pub struct Shape {
    /// One for each column of the rows.
    pub columns: Vec<Outgoing>,
    /// Places of the keys.
    pub keys: Vec<usize>,
    /// Each tuple begins with the number of its row.
    pub numbered: bool,
}

/// Encodes `rows`.
pub fn encoded(rows: Rows, shape: Shape, ctx: &Context) -> Pieces {
    let (sender, queue) = mpsc::channel(WAITING);
    let memory = ctx.memory.clone();
    let task = ctx.compute.spawn(async move {
        let failed = sender.clone();
        let work = async move {
            let mut batches = rows.batches;
            let mut count = 0_u64;
            while let Some(batch) = batches.next().await.transpose()? {
                shape.check(&batch, count)?;
                for piece in pieces(batch, PIECE) {
                    let bytes = shape.encode(&piece, count)?;
                    count += piece.num_rows() as u64;
                    let mut held = memory.hold();
                    held.set(bytes.len()).await?;
                    let piece = Piece {
                        bytes: bytes.into(),
                        _held: held,
                    };
                    if sender.send(Ok(piece)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = work.await {
            // Whoever is gone needs no word of it.
            let _gone = failed.send(Err(error)).await;
        }
    });
    Pieces {
        queue,
        task: Some(task),
    }
}

impl Shape {
    /// Refuses nulls where there must be none.
    fn check(&self, batch: &RecordBatch, first: u64) -> Result<()> {
        refuse_nulls(batch, &self.keys, first, NULL_KEY)?;
        let required = self.columns.iter().enumerate();
        let required: Vec<usize> = required
            .filter(|(_, column)| column.required)
            .map(|(place, _)| place)
            .collect();
        let why = "null in a column that takes none";
        refuse_nulls(batch, &required, first, why)
    }

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Vec<u8>> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((out, field), array) in self
            .columns
            .iter()
            .zip(schema.fields())
            .zip(batch.columns())
        {
            let cells = Column::new(&out.wire, field, array);
            columns.push(cells.map_err(|Refused { row, why }| {
                bad_row(first + row as u64, Some(&out.name), why)
            })?);
        }
        let fields = columns.len() + usize::from(self.numbered);
        let fields = i16::try_from(fields).map_err(|_| too_many_fields())?;
        let mut out = Vec::with_capacity(PIECE);
        for row in 0..batch.num_rows() {
            out.extend_from_slice(&fields.to_be_bytes());
            if self.numbered {
                out.extend_from_slice(&8_i32.to_be_bytes());
                out.extend_from_slice(&(first + row as u64).to_be_bytes());
            }
            for (place, column) in columns.iter().enumerate() {
                column.write(row, &mut out).map_err(|why| {
                    bad_row(first + row as u64, Some(&self.columns[place].name), why)
                })?;
            }
        }
        Ok(out)
    }
}

fn too_many_fields() -> Error {
    Error::new(
        weir_core::Kind::Invalid,
        "a table has no room for so many columns",
    )
    .code("too_many_columns")
    .hint("PostgreSQL takes at most 1,600 columns")
}
