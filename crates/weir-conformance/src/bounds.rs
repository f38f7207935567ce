//! Deadlines, cancellation and callers that go away.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use weir_core::{Context, Discover, Kind};

use crate::{Outcome, Subject, configuration, ensure, err, ok, shown};

/// Every call of a fresh source ends with `kind` in `ctx`. Fresh, because what
/// a source has cached it may well give after its time.
async fn every_call_ends(subject: &Subject<'_>, ctx: &Context, kind: Kind) -> Outcome {
    let source = configuration::open(subject.connector, subject.config, &subject.ctx).await;
    let source = ok("opening", source)?;
    let one = Discover {
        limit: 1,
        ..Discover::default()
    };
    let stream = &subject.expect.stream;
    let errors = [
        ("the test", err("the test", source.test(ctx).await.1)?),
        (
            "discovery",
            err("discovery", source.discover(ctx, &one).await)?,
        ),
        (
            "the schema",
            err("the schema", source.schema(ctx, stream).await)?,
        ),
        (
            "the scan",
            err("the scan", source.scan(ctx, &subject.read()).await)?,
        ),
    ];
    for (what, error) in errors {
        ensure(error.kind() == kind, shown(what, &error))?;
    }
    Ok(())
}

pub(crate) async fn cancelled(subject: &Subject<'_>) -> Outcome {
    let ctx = Context {
        cancel: subject.ctx.cancel.child_token(),
        ..subject.ctx.clone()
    };
    ctx.cancel.cancel();
    every_call_ends(subject, &ctx, Kind::Cancelled).await
}

pub(crate) async fn deadline(subject: &Subject<'_>) -> Outcome {
    let ctx = subject.ctx.within(Duration::ZERO);
    // `bounded` polls the work once before it looks at the clock.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let source = configuration::open(subject.connector, subject.config, &subject.ctx).await;
    let scan = ok("opening", source)?.scan(&ctx, &subject.read()).await;
    let error = match scan {
        Err(error) => error,
        // A source without anything to wait for may prepare a scan in no time.
        Ok(scan) => match scan.stream.try_collect::<Vec<_>>().await {
            Err(error) => error,
            Ok(_) => return in_memory(subject).await,
        },
    };
    ensure(
        error.kind() == Kind::Deadline,
        shown("a scan after its deadline", &error),
    )
}

/// A source that never waits has nothing to interrupt; one that may be far
/// away has.
async fn in_memory(subject: &Subject<'_>) -> Outcome {
    let is_far = !subject.connector.facts().endpoint.is_empty();
    ensure(!is_far, "a scan went on after its deadline")
}

pub(crate) async fn cancelled_stream(subject: &Subject<'_>) -> Outcome {
    let ctx = Context {
        cancel: subject.ctx.cancel.child_token(),
        ..subject.ctx.clone()
    };
    let mut scan = ok("the scan", subject.source.scan(&ctx, &subject.read()).await)?;
    let first = scan.stream.next().await;
    ensure(matches!(first, Some(Ok(_))), "the first batch did not come")?;
    ctx.cancel.cancel();
    match scan.stream.next().await {
        Some(Err(error)) => ensure(error.kind() == Kind::Cancelled, shown("the stream", &error))?,
        Some(Ok(_)) => return Err("a batch came after the cancellation".into()),
        None => return Err("the stream ended as if it were whole".into()),
    }
    ensure(
        scan.stream.next().await.is_none(),
        "the stream went on after its error",
    )
}

/// A stream dropped half way must not harm what comes after it on the same
/// source: connections come back clean or not at all.
pub(crate) async fn dropped(subject: &Subject<'_>) -> Outcome {
    for round in 0..10 {
        let mut scan = ok(
            "the scan",
            subject.source.scan(&subject.ctx, &subject.read()).await,
        )?;
        if round % 2 == 0 {
            let first = scan.stream.next().await;
            ensure(matches!(first, Some(Ok(_))), "the first batch did not come")?;
        }
        drop(scan);
        let again = ok(
            "a scan",
            subject.source.scan(&subject.ctx, &subject.read()).await,
        )?;
        let batches: Vec<_> = ok("reading again", again.stream.try_collect().await)?;
        let seen: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        ensure(
            seen == subject.expect.rows,
            format!("{seen} rows after a dropped stream"),
        )?;
    }
    Ok(())
}
