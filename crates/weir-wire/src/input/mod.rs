//! Rows that come in as a body, in any format: decoded on the compute threads
//! while they arrive, no faster than they are taken, within limits. A body
//! that breaks off is an error, never a shorter table.

mod media;
mod paced;
mod parts;
mod spool;
mod unpack;

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use weir_core::memory::Hold;
use weir_core::task::guarded;
use weir_core::{Context, Error, Kind, Result, SourceFault, memory_of};
use weir_formats::Format;
use weir_formats::decode::{DecodeOptions, Meter, decoder};
use weir_formats::parquet::read::ReadAt;

use crate::Rows;
use spool::Spooled;
use unpack::Unpacker;

pub use media::{Media, accepted};
pub use paced::{body_error, paced};
pub use parts::{Part, Parts};
pub use spool::Spool;

/// Batches that may wait for whoever takes them.
const WAITING: usize = 2;

/// What a body may take.
#[derive(Clone)]
pub struct Intake {
    /// Deadline, cancellation and the threads to decode on.
    pub ctx: Context,
    /// Bytes that a body may have: what it unpacks to is bounded by them, too.
    pub body_bytes: u64,
    /// Where bodies wait that are read from their end.
    pub spool: Spool,
}

/// The rows of `body`, once their schema is known.
pub async fn rows_in(
    media: Media,
    headers: &HeaderMap,
    body: Body,
    mut options: DecodeOptions,
    intake: Intake,
) -> Result<Rows> {
    let format = media.format;
    if !options.types.is_empty() && matches!(format, Format::Arrow | Format::Parquet) {
        let message = format!("{} brings its own types", format.suffix());
        return Err(Error::invalid("?types", message).hint("leave `types` out"));
    }
    media.apply(&mut options);
    options
        .limits
        .max_decoded_bytes
        .get_or_insert(intake.body_bytes.saturating_mul(16));
    let unpacker = Unpacker::new(media::coding(headers)?, options.limits.ratio)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    // Whoever takes no more rows ends their reading, and nothing beside it.
    let ctx = Context {
        cancel: intake.ctx.cancel.child_token(),
        ..intake.ctx
    };
    let intake = Intake {
        ctx: ctx.clone(),
        ..intake
    };
    let reader = Reading {
        body,
        unpacker,
        intake,
        sender,
        has_schema: false,
        ahead: Ahead::default(),
    };
    let task = ctx.compute.spawn(reader.run(format, options));
    given(ctx, receiver, task).await
}

/// Rows of bytes that are in memory already.
pub async fn rows_of(
    format: Format,
    bytes: Bytes,
    options: DecodeOptions,
    intake: Intake,
) -> Result<Rows> {
    let media = Media::of(format);
    rows_in(media, &HeaderMap::new(), Body::from(bytes), options, intake).await
}

async fn given(
    ctx: Context,
    mut receiver: mpsc::Receiver<Result<Item>>,
    task: weir_core::task::Task<()>,
) -> Result<Rows> {
    let broken = || Error::internal("decoding rows panicked").code("panic");
    let first = ctx.bounded(async { receiver.recv().await.unwrap_or_else(|| Err(broken())) });
    let Item::Schema(schema) = first.await? else {
        return Err(Error::internal("rows came before their schema"));
    };
    let stop = ctx.cancel.clone().drop_guard();
    let state = Some((receiver, task, ctx, stop, None));
    let batches = futures::stream::unfold(state, move |state| async move {
        // What the batch before held is free once the next one is asked for.
        let (mut receiver, task, ctx, stop, _held): (_, _, Context, _, Option<Hold>) = state?;
        let next = ctx.bounded(async { receiver.recv().await.unwrap_or_else(|| Err(broken())) });
        match next.await {
            Ok(Item::Batch(batch, held)) => {
                Some((Ok(batch), Some((receiver, task, ctx, stop, Some(held)))))
            }
            Ok(Item::End) => None,
            Ok(Item::Schema(_)) => Some((Err(Error::internal("a second schema")), None)),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(Rows {
        schema,
        batches: batches.boxed(),
    })
}

/// What the decoding task hands over.
enum Item {
    Schema(SchemaRef),
    Batch(RecordBatch, Hold),
    /// Everything came; a channel that just closes is a failure.
    End,
}

/// Nobody takes the rows any more.
struct Gone;

enum Stop {
    Gone,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::Gone
    }
}

struct Reading {
    body: Body,
    unpacker: Unpacker,
    intake: Intake,
    sender: mpsc::Sender<Result<Item>>,
    has_schema: bool,
    ahead: Ahead,
}

/// What came of the body while nobody took its rows: many clients send all of a
/// body before they read a byte of the answer, and would wait for us for ever
/// while we wait for them.
#[derive(Default)]
struct Ahead {
    file: Option<Spooled>,
    read: u64,
    has_ended: bool,
}

/// How long rows wait to be taken before the body is read ahead of them.
const PATIENCE: Duration = Duration::from_secs(1);

impl Ahead {
    /// Keeps bytes for later.
    fn keep(&mut self, bytes: &[u8], spool: &Spool) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(spool.file()?),
        };
        bytes
            .chunks(unpack::PIECE)
            .try_for_each(|piece| file.write(piece))
    }

    /// The next bytes that were kept.
    fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let left = file.size() - self.read;
        if left == 0 {
            self.file = None;
            self.read = 0;
            return Ok(None);
        }
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(unpack::PIECE);
        let mut bytes = vec![0; length];
        let count = file
            .read_at(&mut bytes, self.read)
            .map_err(Error::internal)?;
        if count == 0 {
            return Err(Error::internal("what was kept of a body is gone"));
        }
        bytes.truncate(count);
        self.read += count as u64;
        Ok(Some(bytes.into()))
    }
}

impl Reading {
    async fn run(mut self, format: Format, options: DecodeOptions) {
        let outcome = if format == Format::Parquet {
            self.spooled(options).await
        } else {
            self.decoded(format, options).await
        };
        let last = match outcome {
            Ok(()) => Ok(Item::End),
            Err(Stop::Gone) => return,
            Err(Stop::Failed(error)) => Err(of_caller(error)),
        };
        // Whoever is gone by now needs no word of it.
        let _gone = self.sender.send(last).await;
    }

    async fn decoded(&mut self, format: Format, options: DecodeOptions) -> Result<(), Stop> {
        let mut decoder = decoder(format, options)?;
        let mut out = Vec::new();
        let mut inside = self.intake.ctx.memory.hold();
        while let Some(frame) = self.frame().await? {
            // Small pieces, so that what they unpack to is handed over in time.
            for piece in frame.chunks(unpack::PIECE) {
                let work = || {
                    let mut take = |bytes: &[u8]| decoder.push(bytes, &mut out);
                    self.unpacker.push(piece, &mut take)
                };
                guarded(work).unwrap_or_else(|_| Err(gave_up()))?;
                inside.set(decoder.held()).await?;
                if !out.is_empty() {
                    self.hand_over(decoder.schema(), &mut out).await?;
                }
            }
        }
        self.unpacker.finish(&mut |bytes| {
            guarded(|| decoder.push(bytes, &mut out)).unwrap_or_else(|_| Err(gave_up()))
        })?;
        guarded(|| decoder.finish(&mut out)).unwrap_or_else(|_| Err(gave_up()))?;
        self.hand_over(decoder.schema(), &mut out).await
    }

    async fn hand_over(
        &mut self,
        schema: Option<SchemaRef>,
        out: &mut Vec<RecordBatch>,
    ) -> Result<(), Stop> {
        if let Some(schema) = schema.filter(|_| !self.has_schema) {
            self.has_schema = true;
            self.send(Item::Schema(schema)).await?;
        }
        for batch in out.drain(..) {
            self.give(batch).await?;
        }
        Ok(())
    }

    async fn give(&mut self, batch: RecordBatch) -> Result<(), Stop> {
        let mut held = self.intake.ctx.memory.hold();
        held.set(memory_of(&batch)).await?;
        self.send(Item::Batch(batch, held)).await
    }

    async fn send(&mut self, item: Item) -> Result<(), Stop> {
        let sender = self.sender.clone();
        let room = sender.reserve();
        tokio::pin!(room);
        let permit = match tokio::time::timeout(PATIENCE, &mut room).await {
            Ok(permit) => permit,
            Err(_) => loop {
                if self.ahead.has_ended {
                    break room.await;
                }
                tokio::select! {
                    biased;
                    permit = &mut room => break permit,
                    frame = of_body(&mut self.body) => match frame? {
                        Some(bytes) => self.ahead.keep(&bytes, &self.intake.spool)?,
                        None => self.ahead.has_ended = true,
                    },
                }
            },
        };
        permit.map_err(|_| Gone)?.send(Ok(item));
        Ok(())
    }

    /// The next bytes of the body, whose size and pace are bounded by [`paced`].
    async fn frame(&mut self) -> Result<Option<Bytes>> {
        if let Some(bytes) = self.ahead.next()? {
            return Ok(Some(bytes));
        }
        if self.ahead.has_ended {
            return Ok(None);
        }
        of_body(&mut self.body).await
    }

    /// Parquet is read from its end, so it waits in a file until it is whole.
    async fn spooled(&mut self, options: DecodeOptions) -> Result<(), Stop> {
        let mut file = self.intake.spool.file()?;
        while let Some(frame) = self.frame().await? {
            for piece in frame.chunks(unpack::PIECE) {
                let work = || {
                    let mut take = |bytes: &[u8]| file.write(bytes);
                    self.unpacker.push(piece, &mut take)
                };
                guarded(work).unwrap_or_else(|_| Err(gave_up()))?;
            }
        }
        self.unpacker.finish(&mut |bytes| file.write(bytes))?;
        let mut meter = Meter::default();
        meter.encoded = file.size();
        let mut rows = parquet_rows(file, &options)?;
        self.send(Item::Schema(rows.schema().clone())).await?;
        let mut inside = self.intake.ctx.memory.hold();
        while let Some(batch) = rows.next()? {
            inside.set(rows.held()).await?;
            meter.decoded(memory_of(&batch) as u64, &options.limits)?;
            self.give(batch).await?;
            // A whole file of batches must not hold the thread.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// The next bytes of a body. Nothing of it is lost when this is dropped.
async fn of_body(body: &mut Body) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| body_error(&error))?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// A panic of a decoder is the body's fault.
fn gave_up() -> Error {
    Error::source(SourceFault::Data, "the decoder gave up on the body")
        .hint("it may be damaged; read it with another tool to compare")
}

fn parquet_rows(
    file: Spooled,
    options: &DecodeOptions,
) -> Result<weir_formats::parquet::read::ParquetRows> {
    use weir_formats::parquet::read::{ParquetFile, ParquetScan};
    let file = ParquetFile::open(std::sync::Arc::new(file), &options.limits)?;
    let schema = file.schema().clone();
    let place = |name: &String| {
        schema.index_of(name).map_err(|_| {
            let message =
                format!("`columns` names a column `{name}`, which the input does not have");
            Error::invalid("/columns", message).code("unknown_column")
        })
    };
    let columns = match &options.columns {
        Some(names) => names.iter().map(place).collect::<Result<_>>()?,
        None => (0..schema.fields().len()).collect(),
    };
    file.scan(&ParquetScan {
        columns,
        batch_rows: Some(options.batch_rows),
        ..ParquetScan::default()
    })
}

/// What is wrong with a body is the caller's to change.
fn of_caller(error: Error) -> Error {
    match error.kind() {
        Kind::Source(SourceFault::Data) if error.stable_code() == "malformed" => {
            error.as_kind(Kind::Malformed)
        }
        Kind::Source(_) => error.as_kind(Kind::Invalid),
        _ => error,
    }
}
