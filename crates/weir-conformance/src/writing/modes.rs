//! What becomes of rows that are there.

use weir_core::{Kind, WriteMode};

use super::{Aim, named, rows_of};
use crate::{Outcome, ensure, err, ok};

fn is(seen: &[String], expected: &[&str]) -> Outcome {
    ensure(
        seen == expected,
        format!("the rows are {seen:?}, not {expected:?}"),
    )
}

pub(super) async fn append(aim: &Aim<'_>) -> Outcome {
    let first = aim
        .write("append", WriteMode::Append, &[], &named(&[(1, "a")]))
        .await;
    ensure(
        ok("the first write", first)?.created,
        "it is not said to be made",
    )?;
    let more = named(&[(2, "b"), (3, "c")]);
    let second = aim.write("append", WriteMode::Append, &[], &more).await;
    if !aim.expect.append {
        let refused = err("an append that is not declared", second)?;
        ensure(
            refused.kind() == Kind::Unsupported,
            format!("it is {refused}"),
        )?;
        return is(&aim.names("append").await?, &["1 a"]);
    }
    let second = ok("the second write", second)?;
    ensure(
        !second.created && second.rows == 2,
        format!("it says {second:?}"),
    )?;
    is(&aim.names("append").await?, &["1 a", "2 b", "3 c"])
}

pub(super) async fn replace(aim: &Aim<'_>) -> Outcome {
    for (rows, seen) in [
        (named(&[(1, "a"), (2, "b")]), vec!["1 a", "2 b"]),
        (named(&[(3, "c")]), vec!["3 c"]),
        (named(&[]), vec![]),
        (named(&[(4, "d")]), vec!["4 d"]),
    ] {
        let done = aim.write("replace", WriteMode::Replace, &[], &rows).await;
        ok("the write", done)?;
        is(&aim.names("replace").await?, &seen)?;
    }
    Ok(())
}

pub(super) async fn fail(aim: &Aim<'_>) -> Outcome {
    let first = aim
        .write("fail", WriteMode::Fail, &[], &named(&[(1, "a")]))
        .await;
    ok("the first write", first)?;
    let second = aim
        .write("fail", WriteMode::Fail, &[], &named(&[(2, "b")]))
        .await;
    let refused = err("the second write", second)?;
    ensure(
        refused.stable_code() == "stream_exists",
        format!("it is {refused}"),
    )?;
    is(&aim.names("fail").await?, &["1 a"])
}

pub(super) async fn keys(aim: &Aim<'_>) -> Outcome {
    let rows = named(&[(1, "a"), (2, "b"), (1, "c")]);
    let first = aim.write("keys", WriteMode::Upsert, &["id"], &rows).await;
    if !aim.expect.keys {
        let refused = err("an upsert that is not declared", first)?;
        ensure(
            refused.kind() == Kind::Unsupported,
            format!("it is {refused}"),
        )?;
        return is(&aim.names("keys").await?, &["no stream"]);
    }
    let first = ok("the first upsert", first)?;
    ensure(
        first.rows == 2,
        format!("{} rows are said to be written, not 2", first.rows),
    )?;
    is(&aim.names("keys").await?, &["1 c", "2 b"])?;
    let rows = named(&[(2, "x"), (3, "d"), (3, "e")]);
    let ignored = ok(
        "ignoring",
        aim.write("keys", WriteMode::Ignore, &["id"], &rows).await,
    )?;
    ensure(
        ignored.rows == 1,
        format!("{} rows are said to be written, not 1", ignored.rows),
    )?;
    is(&aim.names("keys").await?, &["1 c", "2 b", "3 d"])?;
    let rows = named(&[(3, "f"), (4, "g")]);
    ok(
        "the last upsert",
        aim.write("keys", WriteMode::Upsert, &["id"], &rows).await,
    )?;
    is(&aim.names("keys").await?, &["1 c", "2 b", "3 f", "4 g"])
}

pub(super) async fn wrong_keys(aim: &Aim<'_>) -> Outcome {
    let rows = named(&[(1, "a")]);
    for (mode, keys) in [
        (WriteMode::Upsert, &[][..]),
        (WriteMode::Append, &["id"]),
        (WriteMode::Upsert, &["id", "id"]),
        (WriteMode::Ignore, &["nope"]),
    ] {
        let refused = err(
            "a write with wrong keys",
            aim.write("wrong", mode, keys, &rows).await,
        )?;
        let is_said = matches!(refused.kind(), Kind::Invalid | Kind::Unsupported);
        ensure(is_said, format!("{keys:?}: {refused}"))?;
    }
    is(&aim.names("wrong").await?, &["no stream"])
}

pub(super) async fn unknown_column(aim: &Aim<'_>) -> Outcome {
    if !aim.expect.append {
        return Ok(());
    }
    let rows = named(&[(1, "a")]);
    ok(
        "the write",
        aim.write("unknown", WriteMode::Append, &[], &rows).await,
    )?;
    let before = rows.schema();
    let renamed = before.fields().iter().map(|field| {
        let name = if field.name() == "name" {
            "nane"
        } else {
            field.name()
        };
        field.as_ref().clone().with_name(name)
    });
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(renamed.collect::<Vec<_>>()));
    let other = arrow::record_batch::RecordBatch::try_new(schema, rows.columns().to_vec());
    let other = other.map_err(|error| error.to_string())?;
    let write = aim.write_of("unknown", WriteMode::Append, &[]);
    let sent = rows_of(vec![Ok(other.clone())], &other);
    let outcome = aim.source.write(&aim.ctx, &write, sent).await;
    // Formats whose rows name their columns take any.
    if let Err(refused) = outcome {
        ensure(
            refused.stable_code() == "unknown_column",
            format!("it is {refused}"),
        )?;
        ensure(
            refused.message().contains("`name`"),
            format!("the nearest name is not in: {refused}"),
        )?;
        is(&aim.names("unknown").await?, &["1 a"])?;
    }
    Ok(())
}
