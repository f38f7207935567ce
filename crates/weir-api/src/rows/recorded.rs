//! The record of a read, written beside the read itself.

use uuid::Uuid;
use weir_core::{Error, Read, Result, Target};
use weir_store::{Access, SourceRow};

use crate::auth::Caller;
use crate::state::App;

/// Does `work`, which starts the read in the source, while the read is being
/// recorded; gives its outcome when both are done. A read that cannot be
/// recorded is refused, and `work` dropped. A failed read is recorded, too.
pub(super) async fn recorded<T>(
    app: &App,
    caller: &Caller,
    access: Access,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let work = async { Ok::<_, Error>(work.await) };
    let (outcome, ()) = futures::future::try_join(work, app.access(caller, access)).await?;
    outcome
}

/// What is recorded of `read`: never its filter, its parameters or its text.
pub(super) fn access(action: &'static str, row: &SourceRow, read: &Read, run: Uuid) -> Access {
    let (stream, query) = match &read.target {
        Target::Stream(stream) => (Some(stream.to_string()), None),
        Target::Query { text, .. } => (None, Some(text.clone())),
    };
    Access {
        action,
        source_id: row.id,
        source_name: row.name.clone(),
        stream,
        query,
        columns: read.columns.clone(),
        run_id: run,
    }
}
