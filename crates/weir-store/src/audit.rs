//! Who did what: acts that change something are recorded in their own
//! transaction, so that there is no act without a record and no record
//! without its act.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;
use weir_core::Result;

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// Who acts, and in which request.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The api key; none for the service itself.
    pub key_id: Option<Uuid>,
    /// Name of the key.
    pub name: String,
    /// The request.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<String>,
}

impl Actor {
    /// The service itself, as it acts at its start.
    pub fn system() -> Self {
        Actor {
            key_id: None,
            name: "system".to_owned(),
            request_id: String::new(),
            address: None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Act {
    /// `source.create`, `api_key.rotate` …
    pub action: &'static str,
    /// `source`, `credential`, `api_key` …
    pub target_kind: &'static str,
    /// Id of the thing.
    pub target_id: Option<Uuid>,
    /// Name of the thing, as it was at that time.
    pub target_name: Option<String>,
    /// What else tells what was done; never a secret, never a value of a config.
    pub details: Value,
}

const INSERT: &str = "insert into audit (id, class, action, key_id, actor, request_id, address, \
    target_kind, target_id, target_name, details) \
    values ($1, 'admin', $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, 'null'::jsonb))";

/// Records an act within the transaction that does it.
pub(crate) async fn record(connection: &mut PgConnection, actor: &Actor, act: Act) -> Result<()> {
    sqlx::query(INSERT)
        .bind(Uuid::now_v7())
        .bind(act.action)
        .bind(actor.key_id)
        .bind(&actor.name)
        .bind(&actor.request_id)
        .bind(&actor.address)
        .bind(act.target_kind)
        .bind(act.target_id)
        .bind(act.target_name)
        .bind(act.details)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

impl Store {
    /// Records an act that changes nothing in the store, such as a test of a
    /// config that is not saved.
    pub async fn record_act(&self, actor: &Actor, act: Act) -> Result<()> {
        bounded(async {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            record(&mut connection, actor, act).await
        })
        .await
    }
}
