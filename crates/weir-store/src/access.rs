//! Who read what: written before the first byte of the answer.
//!
//! A record a read would cost a commit each, so a writer puts those of many
//! requests into one statement: while one is on its way to the disk, the next
//! gather. A request waits for its own record, for a bounded time: a store
//! that stalls refuses reads and hangs nothing.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use tokio::sync::{OnceCell, mpsc, oneshot};
use uuid::Uuid;
use weir_core::task::Task;
use weir_core::{Error, Kind, Result};

use crate::audit::Actor;
use crate::connection::Store;
use crate::failure::failed;

/// Records that wait for the writer at most.
const WAITING: usize = 8_192;
/// Records of one statement at most.
const TOGETHER: usize = 500;
/// How long a request waits for its record.
const PATIENCE: Duration = Duration::from_secs(2);
/// The setting with the key of the hashes.
const HASH_KEY: &str = "query_hash_key";
const SOON: Duration = Duration::from_secs(2);

/// One read of data.
#[derive(Debug, Clone)]
pub struct Access {
    /// `preview`, `load` …
    pub action: &'static str,
    /// Id of the source.
    pub source_id: Uuid,
    /// Its name at that time.
    pub source_name: String,
    /// The stream that is read.
    pub stream: Option<String>,
    /// The query; a hash of it is kept, never its text.
    pub query: Option<String>,
    /// The chosen columns; none for all.
    pub columns: Option<Vec<String>>,
    /// The run.
    pub run_id: Uuid,
}

/// A record on its way. Its fields are columns of the table.
#[derive(Debug, Serialize)]
struct Entry {
    id: Uuid,
    at: DateTime<Utc>,
    action: &'static str,
    key_id: Option<Uuid>,
    actor: String,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    target_id: Uuid,
    target_name: String,
    run_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
}

struct Pending {
    entry: Entry,
    written: oneshot::Sender<bool>,
}

/// Where reads are recorded. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub struct AccessLog {
    send: mpsc::Sender<Pending>,
    store: Store,
    key: Arc<OnceCell<hmac::Key>>,
}

const INSERT: &str = "insert into audit (id, at, class, action, key_id, actor, request_id, address, \
    target_kind, target_id, target_name, run_id, stream, query_hash, columns) \
    select id, at, 'access', action, key_id, actor, request_id, address, 'source', target_id, \
    target_name, run_id, stream, query_hash, columns \
    from jsonb_to_recordset($1) as t(id uuid, at timestamptz, action text, key_id uuid, actor text, \
    request_id text, address text, target_id uuid, target_name text, run_id uuid, stream text, \
    query_hash bytea, columns text[])";

impl AccessLog {
    /// Starts the writer.
    pub fn start(store: &Store) -> Self {
        let (send, receive) = mpsc::channel(WAITING);
        let writer: Task<()> = store.compute.spawn(write(store.clone(), receive));
        writer.detach();
        AccessLog {
            send,
            store: store.clone(),
            key: Arc::default(),
        }
    }

    /// Records a read; gives back when the record is kept.
    /// [`Kind::NotReady`] with the code `audit_unavailable` when it cannot be.
    pub async fn record(&self, actor: Actor, access: Access) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.hand_over(actor, access))
            .await
            .unwrap_or_else(|_| Err(unavailable("the record was not written in time")))
    }

    async fn hand_over(&self, actor: Actor, mut access: Access) -> Result<()> {
        let hash = match access.query.take() {
            Some(text) => Some(self.hash(&text).await?),
            None => None,
        };
        let (written, outcome) = oneshot::channel();
        let entry = Entry::of(actor, access, hash);
        self.send
            .try_send(Pending { entry, written })
            .map_err(|_| unavailable("too many reads wait for their record"))?;
        match outcome.await {
            Ok(true) => Ok(()),
            _ => Err(unavailable("the record was not written")),
        }
    }

    /// A hash of a query as hex, under a key of this store: equal for equal
    /// texts, and no help for who guesses texts and sees only hashes.
    async fn hash(&self, text: &str) -> Result<String> {
        let key = self.key.get_or_try_init(|| hash_key(&self.store)).await;
        let key = key.map_err(|error| unavailable("no key for hashes").detail(error))?;
        Ok(hex(hmac::sign(key, text.as_bytes()).as_ref()))
    }
}

impl Entry {
    fn of(actor: Actor, access: Access, hash: Option<String>) -> Self {
        Entry {
            id: Uuid::now_v7(),
            at: Utc::now(),
            action: access.action,
            key_id: actor.key_id,
            actor: actor.name,
            request_id: actor.request_id,
            address: actor.address,
            target_id: access.source_id,
            target_name: access.source_name,
            run_id: access.run_id,
            stream: access.stream.map(storable),
            query_hash: hash.map(|digits| format!("\\x{digits}")),
            columns: access
                .columns
                .map(|names| names.into_iter().map(storable).collect()),
        }
    }
}

/// The key of the hashes, made once for a store.
async fn hash_key(store: &Store) -> Result<hmac::Key> {
    let mut fresh = [0; 32];
    aws_lc_rs::rand::fill(&mut fresh)
        .map_err(|_| Error::internal("the system gives no random bytes"))?;
    store.set_setting_once(HASH_KEY, hex(&fresh).into()).await?;
    let kept = store.setting(HASH_KEY).await?.unwrap_or_default();
    let text = kept.as_str().unwrap_or_default();
    Ok(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text that the store can hold: one that it cannot would take the records
/// of other requests down with it.
fn storable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

async fn write(store: Store, mut receive: mpsc::Receiver<Pending>) {
    let mut gathered = Vec::with_capacity(TOGETHER);
    while receive.recv_many(&mut gathered, TOGETHER).await > 0 {
        // Nobody reads for a request that has gone or was refused.
        gathered.retain(|pending: &Pending| !pending.written.is_closed());
        if gathered.is_empty() {
            continue;
        }
        let entries: Vec<&Entry> = gathered.iter().map(|pending| &pending.entry).collect();
        let inserted = tokio::time::timeout(PATIENCE, insert(&store, &entries)).await;
        let kept = match inserted {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let detail = error.log_detail();
                tracing::warn!(detail, "reads refused, their record was not kept: {error}");
                false
            }
            Err(_) => {
                tracing::warn!("reads refused, the store did not keep their record in time");
                false
            }
        };
        for pending in gathered.drain(..) {
            // Fails only when the request is gone.
            let _ = pending.written.send(kept);
        }
    }
}

async fn insert(store: &Store, entries: &[&Entry]) -> Result<()> {
    sqlx::query(INSERT)
        .bind(Json(entries))
        .execute(&store.pool)
        .await
        .map(drop)
        .map_err(failed)
}

fn unavailable(detail: &'static str) -> Error {
    Error::new(
        Kind::NotReady,
        "the read cannot be recorded, so it is refused",
    )
    .code("audit_unavailable")
    .hint("the service's own database is away or busy; try again shortly")
    .retry_after(SOON)
    .detail(detail)
}

#[cfg(test)]
mod tests {
    use super::storable;

    #[test]
    fn what_the_store_cannot_hold_is_replaced() {
        assert_eq!(storable("a\0b".to_owned()), "a\u{fffd}b");
        assert_eq!(storable("\u{1F600} \"'\\".to_owned()), "\u{1F600} \"'\\");
    }
}
