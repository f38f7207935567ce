//! Test and discovery.

use std::collections::BTreeSet;

use weir_core::{Discover, Kind, SourceFault, StreamId, StreamInfo};

use crate::{Outcome, Subject, ensure, err, ok, shown};

/// Where a listing that never ends is given up.
const MAX_PAGES: usize = 100_000;

pub(crate) async fn test(subject: &Subject<'_>) -> Outcome {
    let (report, outcome) = subject.source.test(&subject.ctx).await;
    ok("the test", outcome)?;
    ensure(!report.steps.is_empty(), "the report has no steps")?;
    let failed: Vec<&str> = report
        .steps
        .iter()
        .filter(|s| !s.ok)
        .map(|s| s.name)
        .collect();
    ensure(
        failed.is_empty(),
        format!("failed steps in a test that passed: {failed:?}"),
    )
}

async fn list(subject: &Subject<'_>, ask: Discover) -> Result<Vec<StreamInfo>, String> {
    let mut ask = ask;
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = ok(
            "discovery",
            subject.source.discover(&subject.ctx, &ask).await,
        )?;
        ensure(
            page.items.len() <= ask.limit,
            format!("{} items in a page of {}", page.items.len(), ask.limit),
        )?;
        found.extend(page.items);
        match page.next {
            Some(next) => ask.after = Some(next),
            None => return Ok(found),
        }
    }
    Err(format!("discovery goes on after {MAX_PAGES} pages"))
}

/// The namespace the known stream is in keeps servers with much in them quick.
async fn namespace(subject: &Subject<'_>) -> Result<Option<String>, String> {
    let all = list(
        subject,
        Discover {
            limit: 1_000,
            ..Discover::default()
        },
    )
    .await?;
    let wanted = subject.expect.stream.to_string();
    let found = all.iter().find(|info| info.stream == wanted);
    found
        .map(|info| info.namespace.clone())
        .ok_or_else(|| format!("`{wanted}` is not listed"))
}

pub(crate) async fn pages(subject: &Subject<'_>) -> Outcome {
    let namespace = namespace(subject).await?;
    let ask = |limit| Discover {
        namespace: namespace.clone(),
        limit,
        ..Discover::default()
    };
    let whole = list(subject, ask(1_000)).await?;
    let singles = list(subject, ask(1)).await?;
    let ids = |items: &[StreamInfo]| items.iter().map(|i| i.stream.clone()).collect::<Vec<_>>();
    let (whole, singles) = (ids(&whole), ids(&singles));
    ensure(
        whole == singles,
        format!(
            "pages of one give {} streams, a large page {}",
            singles.len(),
            whole.len()
        ),
    )?;
    let unique: BTreeSet<&String> = singles.iter().collect();
    ensure(unique.len() == singles.len(), "a stream is listed twice")?;
    for id in &singles {
        let parsed = ok("parsing an id of discovery", StreamId::parse(id, "/stream"))?;
        ensure(
            parsed.to_string() == *id,
            format!("the id `{id}` does not read back"),
        )?;
    }
    Ok(())
}

pub(crate) async fn search(subject: &Subject<'_>) -> Outcome {
    let wanted = subject.expect.stream.to_string();
    let names = subject.expect.stream.names().ok();
    let name = names.and_then(|names| names.last().cloned());
    let name = name.unwrap_or_else(|| wanted.clone());
    let ask = |search: String| Discover {
        search: Some(search),
        limit: 1_000,
        ..Discover::default()
    };
    let found = list(subject, ask(name.to_uppercase())).await?;
    ensure(
        found.iter().any(|info| info.stream == wanted),
        format!(
            "a search for `{}` does not find `{wanted}`",
            name.to_uppercase()
        ),
    )?;
    let found = list(subject, ask("no such %_ thing".into())).await?;
    ensure(
        found.is_empty(),
        format!("a search for nonsense finds {}", found.len()),
    )
}

pub(crate) async fn unknown_stream(subject: &Subject<'_>) -> Outcome {
    let stream = StreamId::from_parts(["weir_no_such_stream"]);
    let is_right = |kind| matches!(kind, Kind::NotFound | Kind::Source(SourceFault::NotFound));
    let error = err(
        "the schema of an unknown stream",
        subject.source.schema(&subject.ctx, &stream).await,
    )?;
    ensure(is_right(error.kind()), shown("its schema", &error))?;
    let read = weir_core::Read::all(weir_core::Target::Stream(stream));
    let error = err(
        "a scan of an unknown stream",
        subject.source.scan(&subject.ctx, &read).await,
    )?;
    ensure(is_right(error.kind()), shown("its scan", &error))
}
