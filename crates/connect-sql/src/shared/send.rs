//! Rows into what a server takes, on the compute threads and ahead of the
//! connection, so that encoding and sending go on side by side.

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use weir_core::memory::Hold;
use weir_core::task::Task;
use weir_core::{Context, Error, Result, Rows};
use weir_kit::write::{NULL_KEY, pieces, refuse_nulls};

use super::target::Outgoing;

/// Pieces that may wait for the connection.
const WAITING: usize = 2;

/// Encoded rows.
pub struct Piece {
    /// Their bytes.
    pub bytes: Bytes,
    /// How many there are.
    pub rows: u64,
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

/// What makes bytes of rows.
pub trait Encode: Send + 'static {
    /// The bytes of a batch, whose first row has the number `first`, from 0.
    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Vec<u8>>;
}

/// Columns that take no null: those at `keys`, and the required ones of `columns`.
#[derive(Debug, Clone, Default)]
pub struct NoNulls {
    keys: Vec<usize>,
    required: Vec<usize>,
}

impl NoNulls {
    /// Of the columns of a plan.
    pub fn of<W>(keys: Vec<usize>, columns: &[Outgoing<W>]) -> Self {
        let required = columns.iter().enumerate();
        let required = required.filter(|(_, column)| column.required);
        NoNulls {
            keys,
            required: required.map(|(place, _)| place).collect(),
        }
    }

    fn check(&self, batch: &RecordBatch, first: u64) -> Result<()> {
        refuse_nulls(batch, &self.keys, first, NULL_KEY)?;
        let why = "null in a column that takes none";
        refuse_nulls(batch, &self.required, first, why)
    }
}

/// Encodes `rows`, of about `piece` bytes at once.
pub fn encoded(
    rows: Rows,
    no_nulls: NoNulls,
    encoder: impl Encode,
    piece: usize,
    ctx: &Context,
) -> Pieces {
    let (sender, queue) = mpsc::channel(WAITING);
    let memory = ctx.memory.clone();
    let task = ctx.compute.spawn(async move {
        let failed = sender.clone();
        let work = async move {
            let mut batches = rows.batches;
            let mut count = 0_u64;
            while let Some(batch) = batches.next().await.transpose()? {
                no_nulls.check(&batch, count)?;
                for part in pieces(batch, piece) {
                    let bytes = encoder.encode(&part, count)?;
                    let rows = part.num_rows() as u64;
                    count += rows;
                    let mut held = memory.hold();
                    held.set(bytes.len()).await?;
                    let piece = Piece {
                        bytes: bytes.into(),
                        rows,
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
