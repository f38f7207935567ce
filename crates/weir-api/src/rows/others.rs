//! The tables that a step works with beside its input: streams of sources, as
//! far as the caller may see them, and rows in the step itself.

use async_trait::async_trait;
use futures::TryStreamExt;
use uuid::Uuid;
use weir_core::{Context, Error, Kind, Read, Result, StreamId, Target};
use weir_engine::steps::{Ask, At, Others, Side};
use weir_wire::{Format, Intake, rows_of};

use super::{access, answer, recorded};
use crate::auth::Caller;
use crate::sources::find;
use crate::state::App;

/// Opens second tables for one request.
pub(super) struct Beside {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) ctx: Context,
    /// The run that reads them.
    pub(super) run: Uuid,
}

#[async_trait]
impl Others for Beside {
    async fn open(&self, ask: &Ask, at: &At) -> Result<Side> {
        match ask {
            Ask::Stream { source, stream } => self.stream(source, stream, at).await,
            Ask::Data(data) => self.data(data, at).await,
        }
    }
}

impl Beside {
    async fn stream(&self, source: &str, stream: &str, at: &At) -> Result<Side> {
        let (app, caller) = (&self.app, &self.caller);
        let found = find(app, caller, source).await;
        let row = found.map_err(|error| match error.kind() {
            Kind::NotFound => {
                let message = error.message().to_owned();
                Error::invalid(at.field("source"), message)
                    .code("unknown_source")
                    .hint("GET /v1/sources lists the sources your key may see")
            }
            _ => error,
        })?;
        let target = Target::Stream(StreamId::parse(stream, &at.field("stream"))?);
        let read = Read::all(target);
        let access = access("join", &row, &read, self.run);
        let opened = answer(app, &row, &read, &self.ctx);
        let answer = recorded(app, caller, access, opened).await?;
        Ok(Side {
            schema: answer.schema,
            stream: answer.stream,
        })
    }

    async fn data(&self, data: &serde_json::Value, at: &At) -> Result<Side> {
        let text = serde_json::to_vec(data).map_err(Error::internal)?;
        let mut held = self.ctx.memory.hold();
        held.set(text.len()).await?;
        let intake = Intake {
            ctx: self.ctx.clone(),
            body_bytes: self.app.limits.body_bytes,
            spool: self.app.spool.clone(),
        };
        let options = self.app.decode_options();
        let read = rows_of(Format::Json, text.into(), options, intake).await;
        let rows =
            read.map_err(|error| error.repointed(|inner| format!("{}{inner}", at.field("data"))))?;
        let batches = rows.batches.inspect_ok(move |_| {
            // The text is there until its last row has come.
            let _held = &held;
        });
        Ok(Side {
            schema: rows.schema,
            stream: Box::pin(batches),
        })
    }
}
