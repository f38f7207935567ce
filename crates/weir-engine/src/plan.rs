//! What every plan of ours stands on: streams as tables that are read once, and
//! errors that come out of a plan as they went in.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use parking_lot::Mutex;
use weir_core::{BatchStream, Error, Kind};

/// A stream that a plan takes once.
pub(crate) struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<BatchStream>>,
}

impl Once {
    pub(crate) fn new(schema: SchemaRef, stream: Option<BatchStream>) -> Self {
        Once {
            schema,
            stream: Mutex::new(stream),
        }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let stream = match self.stream.lock().take() {
            Some(stream) => stream.map(|batch| batch.map_err(external)).boxed(),
            None => futures::stream::iter([Err(DataFusionError::Internal(
                "a stream read twice".into(),
            ))])
            .boxed(),
        };
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }
}

/// A scan of `partition`, in its order.
pub(crate) fn scan_of(
    partition: Arc<dyn PartitionStream>,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    scan_in(partition, projection, None)
}

/// The same; the plan may count on `order`.
pub(crate) fn scan_in(
    partition: Arc<dyn PartitionStream>,
    projection: Option<&Vec<usize>>,
    order: Option<LexOrdering>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let schema = Arc::clone(partition.schema());
    let scan =
        StreamingTableExec::try_new(schema, vec![partition], projection, order, false, None)?;
    Ok(Arc::new(scan))
}

/// A table over a stream. Without one it can be planned with, not read.
#[derive(Debug)]
pub(crate) struct StreamTable(Arc<dyn PartitionStream>);

impl StreamTable {
    pub(crate) fn new(partition: Arc<dyn PartitionStream>) -> Arc<Self> {
        Arc::new(StreamTable(partition))
    }

    pub(crate) fn once(schema: SchemaRef, stream: Option<BatchStream>) -> Arc<Self> {
        StreamTable::new(Arc::new(Once::new(schema, stream)))
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        scan_of(Arc::clone(&self.0), projection)
    }
}

/// An error of ours on its way through a plan.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Errors of a plan as ours: what a source or a limit of ours said comes back
/// as it was.
pub(crate) fn ours(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::internal(other),
        },
        DataFusionError::ArrowError(inner, _) => arrow_error(*inner),
        DataFusionError::Context(_, inner) => ours(*inner),
        DataFusionError::Shared(inner) => match Arc::try_unwrap(inner) {
            Ok(error) => ours(error),
            Err(shared) => told_to_many(&shared),
        },
        DataFusionError::ResourcesExhausted(detail) => exhausted(detail),
        other => Error::internal(other),
    }
}

/// An error that several streams of a plan have, so that none can take it.
fn told_to_many(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(detail) => exhausted(detail),
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => {
                let told = Error::new(error.kind(), error.message().to_owned());
                let hint = error.hint_text().unwrap_or_default().to_owned();
                let told = told.code(error.stable_code()).hint(hint);
                let fields = error.fields().iter();
                fields.fold(told, |told, field| {
                    told.at(field.pointer.clone(), field.message.clone())
                })
            }
            None => Error::internal(inner),
        },
        other => Error::internal(other),
    }
}

fn arrow_error(error: arrow::error::ArrowError) -> Error {
    match error {
        arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(error) => ours(*error),
                Err(other) => Error::internal(other),
            },
        },
        // Texts of a batch that are more than 2 GiB together.
        too_much @ arrow::error::ArrowError::OffsetOverflowError(_) => exhausted(too_much),
        other => Error::from(other),
    }
}

/// Neither memory nor disk had room for it.
pub(crate) fn exhausted(detail: impl fmt::Display) -> Error {
    Error::new(
        Kind::TooLarge,
        "computing this needs more memory or disk than this service allows",
    )
    .code("too_large_to_compute")
    .hint("narrow the read with columns or filter, sort by columns the source can sort itself, or raise WEIR_MEMORY_REQUEST_BYTES or WEIR_SPILL_BYTES of the service")
    .detail(detail)
}
