//! Schema and scan: what is promised is what comes.

use arrow::array::{Array, ArrayRef, make_comparator};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::{DataType, Fields};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use weir_core::types::field_type_name;
use weir_core::{Nulls, Order, Predicate, PushDown, Read, Scan};

use crate::{Outcome, Subject, ensure, ok, shown};

async fn scan(subject: &Subject<'_>, read: &Read) -> Result<Scan, String> {
    let scan = ok("the scan", subject.source.scan(&subject.ctx, read).await)?;
    ensure(
        scan.pushed.filter.len() == read.filter.len(),
        "the scan does not speak of every part of the filter",
    )?;
    Ok(scan)
}

async fn drain(scan: Scan) -> Result<Vec<RecordBatch>, String> {
    ok("reading", scan.stream.try_collect().await)
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

fn shape(fields: &Fields) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|f| (f.name().clone(), field_type_name(f)))
        .collect()
}

pub(crate) async fn schemas_agree(subject: &Subject<'_>) -> Outcome {
    let stream = &subject.expect.stream;
    let schema = ok(
        "the schema",
        subject.source.schema(&subject.ctx, stream).await,
    )?;
    let scan = scan(subject, &subject.read()).await?;
    let told: Vec<(String, String)> = schema
        .columns
        .iter()
        .map(|c| (c.name.clone(), c.type_name.clone()))
        .collect();
    let given = shape(scan.schema.fields());
    ensure(
        told == given,
        format!("the schema says {told:?}, the scan {given:?}"),
    )
}

pub(crate) async fn batches(subject: &Subject<'_>) -> Outcome {
    let scan = scan(subject, &subject.read()).await?;
    let declared = scan.schema.clone();
    let batches = drain(scan).await?;
    for batch in &batches {
        ensure(
            batch.schema().fields() == declared.fields(),
            format!("a batch has {:?}", shape(batch.schema().fields())),
        )?;
        nulls_fit(batch)?;
    }
    let (seen, expected) = (rows(&batches), subject.expect.rows);
    ensure(
        seen == expected,
        format!("{seen} rows came, not {expected}"),
    )
}

/// A column that says it has no nulls must have none.
fn nulls_fit(batch: &RecordBatch) -> Outcome {
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let is_fine = field.is_nullable() || column.logical_null_count() == 0;
        ensure(
            is_fine,
            format!("nulls in `{}`, which is declared without", field.name()),
        )?;
    }
    Ok(())
}

pub(crate) async fn columns(subject: &Subject<'_>) -> Outcome {
    let all = scan(subject, &subject.read()).await?.schema;
    let names: Vec<String> = all.fields().iter().map(|f| f.name().clone()).collect();
    let [first, .., last] = names.as_slice() else {
        return Err("the known stream has fewer than two columns".into());
    };
    let wanted = vec![last.clone(), first.clone()];
    let read = Read {
        columns: Some(wanted.clone()),
        ..subject.read()
    };
    let scan = scan(subject, &read).await?;
    let given: Vec<String> = scan
        .schema
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    let expected = if scan.pushed.columns { &wanted } else { &names };
    ensure(
        given == *expected,
        format!("wanted {wanted:?}, given {given:?}"),
    )?;
    let seen = rows(&drain(scan).await?);
    ensure(
        seen == subject.expect.rows,
        format!("{seen} rows with fewer columns"),
    )
}

pub(crate) async fn limit(subject: &Subject<'_>) -> Outcome {
    for limit in [0, 1] {
        let scan = scan(
            subject,
            &Read {
                limit: Some(limit),
                ..subject.read()
            },
        )
        .await?;
        let expected = if scan.pushed.limit {
            limit
        } else {
            subject.expect.rows
        };
        let seen = rows(&drain(scan).await?);
        ensure(
            seen == expected,
            format!("{seen} rows with a limit of {limit}, not {expected}"),
        )?;
    }
    Ok(())
}

pub(crate) async fn order(subject: &Subject<'_>) -> Outcome {
    for (ascending, nulls) in [(true, Nulls::Last), (false, Nulls::First)] {
        let order = Order {
            column: subject.expect.order_by.clone(),
            ascending,
            nulls,
        };
        let scan = scan(
            subject,
            &Read {
                order: vec![order.clone()],
                ..subject.read()
            },
        )
        .await?;
        if !scan.pushed.order {
            continue;
        }
        let batches = drain(scan).await?;
        ensure(
            rows(&batches) == subject.expect.rows,
            "an order changes the number of rows",
        )?;
        in_order(&batches, &order)?;
    }
    Ok(())
}

fn in_order(batches: &[RecordBatch], order: &Order) -> Outcome {
    let columns: Vec<&dyn Array> = batches
        .iter()
        .filter_map(|batch| batch.column_by_name(&order.column).map(AsRef::as_ref))
        .collect();
    let column: ArrayRef = concat(&columns).map_err(|error| error.to_string())?;
    let options = SortOptions {
        descending: !order.ascending,
        nulls_first: order.nulls == Nulls::First,
    };
    let compare = make_comparator(&column, &column, options).map_err(|error| error.to_string())?;
    let wrong = (1..column.len()).find(|row| compare(row - 1, *row).is_gt());
    ensure(
        wrong.is_none(),
        format!("row {wrong:?} is out of order by {order:?}"),
    )
}

/// The rows where a column is null and those where it is not are all rows,
/// each part right where the source claims it exactly.
pub(crate) async fn filter(subject: &Subject<'_>) -> Outcome {
    let all = scan(subject, &subject.read()).await?.schema;
    for field in all.fields() {
        let mut seen = 0;
        let mut is_exact = true;
        for (predicate, wants_null) in [
            (Predicate::IsNull(field.name().clone()), true),
            (Predicate::IsNotNull(field.name().clone()), false),
        ] {
            let read = Read {
                filter: vec![predicate],
                ..subject.read()
            };
            let scan = scan(subject, &read).await?;
            if scan.pushed.filter != [PushDown::Exact] {
                is_exact = false;
                continue;
            }
            let batches = drain(scan).await?;
            seen += rows(&batches);
            all_null(&batches, field.name(), wants_null)?;
        }
        ensure(
            !is_exact || seen == subject.expect.rows,
            format!(
                "null and not null of `{}` give {seen} rows together",
                field.name()
            ),
        )?;
    }
    Ok(())
}

fn all_null(batches: &[RecordBatch], name: &str, wants_null: bool) -> Outcome {
    for column in batches
        .iter()
        .filter_map(|batch| batch.column_by_name(name))
    {
        let expected = if wants_null { column.len() } else { 0 };
        let seen = match column.data_type() {
            DataType::Null => column.len(),
            _ => column.logical_null_count(),
        };
        ensure(
            seen == expected,
            format!("{seen} nulls of {} in `{name}`", column.len()),
        )?;
    }
    Ok(())
}

pub(crate) async fn unknown_column(subject: &Subject<'_>) -> Outcome {
    let name = format!("{}x", subject.expect.order_by);
    let read = Read {
        columns: Some(vec![name]),
        ..subject.read()
    };
    match subject.source.scan(&subject.ctx, &read).await {
        // The engine refuses it then.
        Ok(scan) => ensure(!scan.pushed.columns, "an unknown column was pushed down"),
        Err(error) => {
            ensure(error.stable_code() == "unknown_column", shown("it", &error))?;
            let pointer = error.fields().first().map(|f| f.pointer.as_str());
            ensure(
                pointer == Some("/columns/0"),
                format!("the pointer is {pointer:?}"),
            )?;
            ensure(
                error.message().contains(&subject.expect.order_by),
                format!("the nearest name is not in: {error}"),
            )
        }
    }
}
