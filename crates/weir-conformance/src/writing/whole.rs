//! All rows or none.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use tokio::time::timeout;
use weir_core::{Context, Error, Rows, WriteMode};

use super::{Aim, named, rows_of};
use crate::{Outcome, ensure, err, ok};

/// How long a write is let run before it is given up.
const WHILE: Duration = Duration::from_millis(300);
/// How long what was given up may take to be undone.
const UNDONE: Duration = Duration::from_secs(10);

const MODES: [(WriteMode, &[&str]); 3] = [
    (WriteMode::Append, &[]),
    (WriteMode::Replace, &[]),
    (WriteMode::Upsert, &["id"]),
];

fn many() -> RecordBatch {
    let rows: Vec<(i64, &str)> = (0..20_000).map(|id| (id, "new")).collect();
    named(&rows)
}

/// Rows that come, and then nothing.
fn endless(batch: &RecordBatch) -> Rows {
    let rows = futures::stream::iter(vec![Ok(batch.clone())]);
    Rows {
        schema: batch.schema(),
        batches: rows.chain(futures::stream::pending()).boxed(),
    }
}

/// The modes that the target has.
fn modes(aim: &Aim<'_>) -> impl Iterator<Item = (WriteMode, &'static [&'static str])> + use<> {
    let (append, keys) = (aim.expect.append, aim.expect.keys);
    MODES.into_iter().filter(move |(mode, _)| match mode {
        WriteMode::Append => append,
        WriteMode::Upsert => keys,
        _ => true,
    })
}

/// Makes a stream with one row, by keys where the target knows any.
async fn seeded(aim: &Aim<'_>, name: &str) -> Outcome {
    let (mode, keys): (_, &[&str]) = match aim.expect.keys {
        true => (WriteMode::Upsert, &["id"]),
        false => (WriteMode::Replace, &[]),
    };
    ok(
        "the first write",
        aim.write(name, mode, keys, &named(&[(-1, "old")])).await,
    )
    .map(drop)
}

/// The rows are as they were, and the stream that was not there is not there.
async fn untouched(aim: &Aim<'_>, name: &str, fresh: &str) -> Outcome {
    let end = tokio::time::Instant::now() + UNDONE;
    loop {
        let seen = (aim.names(name).await?, aim.names(fresh).await?);
        if seen.0 == ["-1 old"] && seen.1 == ["no stream"] {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            return Err(format!(
                "the rows are {:.200?}, those of the new stream {:.200?}",
                seen.0, seen.1
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn error(aim: &Aim<'_>) -> Outcome {
    seeded(aim, "error").await?;
    let batch = many();
    for (mode, keys) in modes(aim) {
        for name in ["error", "error_fresh"] {
            let wrong = Error::invalid("/7/name", "row 8, on purpose").code("bad_row");
            let rows = rows_of(vec![Ok(batch.clone()), Err(wrong)], &batch);
            let outcome = aim
                .source
                .write(&aim.ctx, &aim.write_of(name, mode, keys), rows)
                .await;
            let refused = err("a write of rows with an error", outcome)?;
            ensure(
                refused.message() == "row 8, on purpose",
                format!("it became {refused}"),
            )?;
        }
        untouched(aim, "error", "error_fresh").await?;
    }
    Ok(())
}

pub(super) async fn dropped(aim: &Aim<'_>) -> Outcome {
    seeded(aim, "dropped").await?;
    let batch = many();
    for (mode, keys) in modes(aim) {
        for name in ["dropped", "dropped_fresh"] {
            let write = aim.write_of(name, mode, keys);
            let writing = aim.source.write(&aim.ctx, &write, endless(&batch));
            let ended = timeout(WHILE, writing).await;
            ensure(ended.is_err(), "a write ended before its rows")?;
        }
        untouched(aim, "dropped", "dropped_fresh").await?;
    }
    Ok(())
}

pub(super) async fn cancelled(aim: &Aim<'_>) -> Outcome {
    seeded(aim, "cancelled").await?;
    let batch = many();
    for (mode, keys) in modes(aim) {
        for name in ["cancelled", "cancelled_fresh"] {
            let ctx = Context {
                cancel: aim.ctx.cancel.child_token(),
                ..aim.ctx.clone()
            };
            let write = aim.write_of(name, mode, keys);
            let writing = aim.source.write(&ctx, &write, endless(&batch));
            let stop = async {
                tokio::time::sleep(WHILE).await;
                ctx.cancel.cancel();
            };
            let (outcome, ()) = futures::future::join(writing, stop).await;
            let refused = err("a cancelled write", outcome)?;
            let is_said = refused.kind() == weir_core::Kind::Cancelled;
            ensure(is_said, format!("it is {refused}"))?;
        }
        untouched(aim, "cancelled", "cancelled_fresh").await?;
    }
    Ok(())
}

pub(super) async fn at_once(aim: &Aim<'_>) -> Outcome {
    const WRITERS: i64 = 5;
    let batch = |writer: i64| {
        let rows: Vec<(i64, &str)> = (0..100).map(|id| (writer * 100 + id, "x")).collect();
        named(&rows)
    };
    let mode = if aim.expect.append {
        WriteMode::Append
    } else {
        WriteMode::Replace
    };
    if aim.expect.append {
        // Several that make one stream at once are a matter of the target.
        ok(
            "the first write",
            aim.write("at_once", mode, &[], &batch(0)).await,
        )?;
    }
    let first = i64::from(aim.expect.append);
    let batches: Vec<RecordBatch> = (first..WRITERS).map(batch).collect();
    let writes = batches
        .iter()
        .map(|batch| aim.write("at_once", mode, &[], batch));
    for outcome in futures::future::join_all(writes).await {
        ok("a write", outcome)?;
    }
    let seen = aim.names("at_once").await?.len();
    let expected = if aim.expect.append {
        WRITERS * 100
    } else {
        100
    };
    ensure(
        seen as i64 == expected,
        format!("{seen} rows are there, not {expected}"),
    )
}

pub(super) async fn readers(aim: &Aim<'_>) -> Outcome {
    let rows = |count: i64| {
        let rows: Vec<(i64, &str)> = (0..count).map(|id| (id, "x")).collect();
        named(&rows)
    };
    let (few, more) = (rows(3_000), rows(5_000));
    ok(
        "the first write",
        aim.write("readers", WriteMode::Replace, &[], &few).await,
    )?;
    let writing = async {
        for turn in 0..8 {
            let batch = if turn % 2 == 0 { &more } else { &few };
            ok(
                "a replace",
                aim.write("readers", WriteMode::Replace, &[], batch).await,
            )?;
        }
        Ok::<_, String>(())
    };
    let mut writing = Box::pin(writing);
    loop {
        let look = aim.read("readers");
        let seen = match futures::future::select(writing, Box::pin(look)).await {
            futures::future::Either::Left((outcome, look)) => {
                outcome?;
                return counted(look.await?);
            }
            futures::future::Either::Right((seen, again)) => {
                writing = again;
                seen?
            }
        };
        counted(seen)?;
    }
}

fn counted(seen: Option<RecordBatch>) -> Outcome {
    let rows = seen.map_or(0, |batch| batch.num_rows());
    ensure(
        [3_000, 5_000].contains(&rows),
        format!("a reader saw {rows} rows"),
    )
}
