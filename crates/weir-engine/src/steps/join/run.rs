//! How a join runs: the other table in memory and hashed where it is small,
//! else both sorted by their keys and merged, and then put back in order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{SortOptions, cast, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{JoinType, NullEquality};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use futures::StreamExt;
use weir_core::evaluate::comparable;
use weir_core::{BatchStream, Error, Nulls, Order, Result};

use super::{From, How, Join};
use crate::plan::{Once, ours, scan_in, scan_of};
use crate::steps::env::{Env, Side};
use crate::steps::operator::{Operator, later};

/// The share of a request's memory up to which the other table is hashed: the
/// rows are there twice for a while, and the table of hashes beside them.
const HASHED_SHARE: usize = 8;

const ROW: &str = "weir.row";

pub(super) fn joined(
    join: Arc<Join>,
    input: BatchStream,
    schema: SchemaRef,
    env: Env,
) -> BatchStream {
    let rows = async move {
        let side = env
            .side()
            .ok_or_else(|| Error::internal("a join without its other table"))?;
        join.rows(input, schema, side, env).await
    };
    later(rows)
}

/// One side: its columns, then its keys, then its row numbers.
struct Keyed {
    schema: SchemaRef,
    width: usize,
    keys: Vec<String>,
    row: usize,
}

impl Keyed {
    /// Names are made up, so that those of both sides never clash.
    fn new(side: &str, columns: &Schema, types: &[DataType]) -> Self {
        let width = columns.fields().len();
        let mut fields: Vec<Field> = Vec::with_capacity(width + types.len() + 1);
        for (place, field) in columns.fields().iter().enumerate() {
            fields.push(Field::new(
                format!("{side}.{place}"),
                field.data_type().clone(),
                true,
            ));
        }
        let mut keys = Vec::new();
        for (n, data_type) in types.iter().enumerate() {
            keys.push(format!("{side}.key.{n}"));
            fields.push(Field::new(&keys[n], held_as(data_type), true));
        }
        fields.push(Field::new(format!("{side}.{ROW}"), DataType::UInt64, true));
        Keyed {
            row: fields.len() - 1,
            schema: Arc::new(Schema::new(fields)),
            width,
            keys,
        }
    }

    /// The rows with their keys and numbers.
    fn rows(&self, input: BatchStream, on: &[usize], types: &[DataType]) -> BatchStream {
        let (schema, on, types) = (Arc::clone(&self.schema), on.to_vec(), types.to_vec());
        let mut next = 0_u64;
        let keyed = input.map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            let mut columns = batch.columns().to_vec();
            for (place, data_type) in on.iter().zip(&types) {
                let key = comparable(batch.column(*place), data_type)?;
                columns.push(cast(&key, &held_as(data_type))?);
            }
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(next..next + rows));
            next += rows;
            columns.push(numbers);
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        keyed.boxed()
    }

    fn key(&self, n: usize) -> Arc<Column> {
        Arc::new(Column::new(&self.keys[n], self.width + n))
    }

    fn order(&self) -> Vec<Order> {
        self.keys.iter().map(|name| ascending(name)).collect()
    }
}

/// Merging compares no decimals of 256 bits; their texts are equal when they are.
fn held_as(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal256(_, _) => DataType::Utf8,
        other => other.clone(),
    }
}

fn ascending(name: &str) -> Order {
    Order {
        column: name.to_owned(),
        ascending: true,
        nulls: Nulls::Last,
    }
}

impl Join {
    async fn rows(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        side: Side,
        env: Env,
    ) -> Result<BatchStream> {
        let types = self.keys(&schema)?;
        let left = Keyed::new("left", &schema, &types);
        let right = Keyed::new("right", &side.schema, &types);
        let mut others = right.rows(side.stream, &self.right_on, &types);
        let mut spool = env.spool(&right.schema);
        while let Some(batch) = others.next().await.transpose()? {
            spool.push(batch).await?;
        }
        let others = spool.done().await?;
        let rows = left.rows(input, &self.left_on, &types);
        let is_small = others
            .in_memory()
            .is_some_and(|bytes| bytes <= env.request_limit() / HASHED_SHARE);
        let (rows, left_at, right_at) = if is_small {
            let rows = self.hashed((&left, rows), (&right, others.read()), &env)?;
            (rows, right.schema.fields().len(), 0)
        } else {
            let others = sorted(&right, others.read(), &env).await?;
            let rows = sorted(&left, rows, &env).await?;
            let rows = self.merged((&left, rows), (&right, others), &env)?;
            (rows, 0, left.schema.fields().len())
        };
        drop(others);
        let answer = self.answer(&schema);
        let wanted = self.schema(&schema)?;
        // Semi and anti give the columns of one side only.
        let (left_at, right_at) = match self.how {
            How::Semi | How::Anti => (0, 0),
            _ => (left_at, right_at),
        };
        let rows = rows.map(move |batch| {
            let batch = batch?;
            let column = |(field, from): &(Arc<Field>, From)| {
                let column = match from {
                    From::Left(place) => Arc::clone(batch.column(left_at + place)),
                    From::Right(place) => Arc::clone(batch.column(right_at + place)),
                    From::Either(l, r) => {
                        let wanted = field.data_type();
                        either(
                            &cast(batch.column(left_at + l), wanted)?,
                            &cast(batch.column(right_at + r), wanted)?,
                        )?
                    }
                };
                Ok(cast(&column, field.data_type())?)
            };
            let columns = answer.iter().map(column).collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let schema = Arc::clone(&wanted);
            Ok(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?)
        });
        Ok(rows.boxed())
    }

    fn on(
        &self,
        one: &Keyed,
        other: &Keyed,
    ) -> Vec<(
        Arc<dyn datafusion::physical_plan::PhysicalExpr>,
        Arc<dyn datafusion::physical_plan::PhysicalExpr>,
    )> {
        let pair = |n| {
            let (one, other): (Arc<dyn datafusion::physical_plan::PhysicalExpr>, _) =
                (one.key(n), other.key(n));
            (one, other as _)
        };
        (0..one.keys.len()).map(pair).collect()
    }

    /// The other table is what is hashed, so that these rows pass by in order.
    fn hashed(
        &self,
        (left, rows): (&Keyed, BatchStream),
        (right, others): (&Keyed, BatchStream),
        env: &Env,
    ) -> Result<BatchStream> {
        let join_type = match self.how {
            How::Left => JoinType::Right,
            How::Inner => JoinType::Inner,
            How::Full => JoinType::Full,
            How::Semi => JoinType::RightSemi,
            How::Anti => JoinType::RightAnti,
        };
        let build = scan_of(
            Arc::new(Once::new(Arc::clone(&right.schema), Some(others))),
            None,
        );
        // The order is kept where there is one to keep.
        let row = Column::new(left.schema.field(left.row).name(), left.row);
        let order = LexOrdering::new([PhysicalSortExpr::new_default(Arc::new(row))]);
        let probe = Arc::new(Once::new(Arc::clone(&left.schema), Some(rows)));
        let probe = scan_in(probe, None, order);
        let plan = HashJoinExec::try_new(
            build.map_err(ours)?,
            probe.map_err(ours)?,
            self.on(right, left),
            None,
            &join_type,
            None,
            PartitionMode::CollectLeft,
            NullEquality::NullEqualsNothing,
            false,
        );
        executed(&plan.map_err(ours)?, env)
    }

    /// Both sides are sorted by their keys; the answer is sorted back.
    fn merged(
        &self,
        (left, rows): (&Keyed, BatchStream),
        (right, others): (&Keyed, BatchStream),
        env: &Env,
    ) -> Result<BatchStream> {
        let join_type = match self.how {
            How::Left => JoinType::Left,
            How::Inner => JoinType::Inner,
            How::Full => JoinType::Full,
            How::Semi => JoinType::LeftSemi,
            How::Anti => JoinType::LeftAnti,
        };
        let rows = scan_of(
            Arc::new(Once::new(Arc::clone(&left.schema), Some(rows))),
            None,
        );
        let others = scan_of(
            Arc::new(Once::new(Arc::clone(&right.schema), Some(others))),
            None,
        );
        let order = SortOptions {
            descending: false,
            nulls_first: false,
        };
        let plan = SortMergeJoinExec::try_new(
            rows.map_err(ours)?,
            others.map_err(ours)?,
            self.on(left, right),
            None,
            join_type,
            vec![order; left.keys.len()],
            NullEquality::NullEqualsNothing,
        )
        .map_err(ours)?;
        let schema = plan.schema();
        let mut back = vec![ascending(left.schema.field(left.row).name())];
        if !matches!(self.how, How::Semi | How::Anti) {
            back.push(ascending(right.schema.field(right.row).name()));
        }
        env.sort(executed(&plan, env)?, &schema, &back)
    }
}

/// Rows by their keys, on disk: one sort after the other has the memory to itself.
async fn sorted(side: &Keyed, rows: BatchStream, env: &Env) -> Result<BatchStream> {
    let mut rows = env.sort(rows, &side.schema, &side.order())?;
    let mut spool = env.spool(&side.schema).on_disk();
    while let Some(batch) = rows.next().await.transpose()? {
        spool.push(batch).await?;
    }
    drop(rows);
    Ok(spool.done().await?.read())
}

fn executed(plan: &dyn ExecutionPlan, env: &Env) -> Result<BatchStream> {
    let rows = plan.execute(0, Arc::clone(env.task())).map_err(ours)?;
    Ok(rows.map(|batch| batch.map_err(ours)).boxed())
}

/// The first, or the second where it is null.
fn either(first: &ArrayRef, second: &ArrayRef) -> Result<ArrayRef> {
    if first.null_count() == 0 {
        return Ok(Arc::clone(first));
    }
    Ok(zip(&is_not_null(first)?, first, second)?)
}
