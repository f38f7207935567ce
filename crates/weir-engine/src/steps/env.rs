//! What an operator runs in: memory that is accounted for, disk under a quota,
//! threads of the compute runtime.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use parking_lot::Mutex;
use weir_core::memory::Hold;
use weir_core::task::Compute;
use weir_core::{Account, BatchStream, Context, Order, Result};

use super::blocks::Blocks;
use super::spool::Spool;
use crate::sort::sort;

/// A second input.
pub struct Side {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The rows.
    pub stream: BatchStream,
}

/// What an operator runs in. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    task: Arc<TaskContext>,
    memory: Account,
    compute: Compute,
    ctx: Context,
    side: Arc<Mutex<Option<Side>>>,
    blocks: Blocks,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

impl Env {
    pub(crate) fn new(task: Arc<TaskContext>, ctx: &Context) -> Self {
        Env {
            task,
            memory: ctx.memory.clone(),
            compute: ctx.compute.clone(),
            ctx: ctx.clone(),
            side: Arc::default(),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn beside(self, side: Option<Side>) -> Self {
        Env {
            side: Arc::new(Mutex::new(side)),
            ..self
        }
    }

    /// The second input, for the first who asks.
    pub fn side(&self) -> Option<Side> {
        self.side.lock().take()
    }

    /// Somewhere to put rows until they are read again, any number of times.
    pub fn spool(&self, schema: &SchemaRef) -> Spool {
        Spool::new(schema, self)
    }

    /// One file for parts of any number of tables.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Something that holds no memory yet.
    pub fn hold(&self) -> Hold {
        self.memory.hold()
    }

    /// Bytes that the whole request may hold.
    pub fn request_limit(&self) -> usize {
        self.memory.request_limit()
    }

    /// `stream` in the order of `keys`, stable, spilled where it must be.
    pub fn sort(
        &self,
        stream: BatchStream,
        schema: &SchemaRef,
        keys: &[Order],
    ) -> Result<BatchStream> {
        let task = Arc::clone(&self.task);
        sort(stream, schema, keys, None, task, &self.compute)
    }

    /// Why the work must end, once it must: for what computes long without
    /// waiting for anything, and so hears of nothing else.
    pub fn check(&self) -> Result<()> {
        if self.ctx.cancel.is_cancelled() {
            return Err(weir_core::context::cancelled());
        }
        if self.ctx.deadline.left().is_zero() {
            return Err(weir_core::context::deadline_passed());
        }
        Ok(())
    }

    /// Where long computing runs beside the stream.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// What plans of DataFusion's own operators run in.
    pub(crate) fn task(&self) -> &Arc<TaskContext> {
        &self.task
    }
}
