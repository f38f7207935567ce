//! Requests that are answered once, whichever instance they reach.
//!
//! A request claims its slot before it runs and leaves its answer there. A
//! claim whose instance is gone, or that is older than any request can run,
//! counts for nothing and may be taken over.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use weir_core::Result;

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// What a request claims.
#[derive(Debug, Clone)]
pub struct IdempotencyClaim {
    /// Hash of api key, route and idempotency key.
    pub slot: [u8; 32],
    /// Keyed hash of the request.
    pub fingerprint: [u8; 32],
    /// The instance that would answer.
    pub instance_id: Uuid,
    /// How long an answer stands.
    pub hours: u32,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// The request is ours to answer; the time names the claim.
    Ours(DateTime<Utc>),
    /// It is being answered.
    Running,
    /// The slot stands for another request.
    Mismatch,
    /// It was answered.
    Answered(KeptAnswer),
}

/// An answer as it is kept.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers that matter.
    pub headers: BTreeMap<String, String>,
    /// Body; none where it must not be shown again.
    pub body: Option<Vec<u8>>,
    /// Id of what was made, where the body is not kept.
    pub made: Option<String>,
}

/// Of two claims of one slot at once the second does not wait, which would hold
/// a connection of the pool: it hears that the request is running, as it is.
const LOCK: &str = "select pg_try_advisory_xact_lock($1)";
const FIND: &str = "select fingerprint, status, headers, body, made from idempotency \
    where slot = $1 and at > now() - make_interval(hours => $2) and (status is not null \
        or at > now() - interval '15 minutes' and exists (select from instances i \
            where i.id = instance_id and i.heartbeat_at > now() - interval '60 seconds')) \
    order by at desc limit 1";
const CLAIM: &str =
    "insert into idempotency (slot, fingerprint, instance_id) values ($1, $2, $3) returning at";
const ANSWER: &str = "update idempotency set status = $3, headers = $4, body = $5, made = $6 \
    where at = $1 and slot = $2";
const RELEASE: &str = "delete from idempotency where at = $1 and slot = $2 and status is null";

#[derive(sqlx::FromRow)]
struct Found {
    fingerprint: Vec<u8>,
    status: Option<i16>,
    headers: Option<Json<BTreeMap<String, String>>>,
    body: Option<Vec<u8>>,
    made: Option<String>,
}

impl Store {
    /// Claims a slot, or says what it stands for already.
    pub async fn claim_idempotency(&self, claim: IdempotencyClaim) -> Result<Claimed> {
        self.transact(move |connection| Box::pin(take(connection, claim)))
            .await
    }

    /// Leaves the answer of a claim.
    pub async fn keep_answer(
        &self,
        slot: [u8; 32],
        at: DateTime<Utc>,
        answer: KeptAnswer,
    ) -> Result<()> {
        let kept = sqlx::query(ANSWER)
            .bind(at)
            .bind(&slot[..])
            .bind(i16::try_from(answer.status).unwrap_or(0))
            .bind(Json(answer.headers))
            .bind(answer.body)
            .bind(answer.made);
        bounded(async { kept.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }

    /// Gives a claim up, so that the same request may run again.
    pub async fn release_idempotency(&self, slot: [u8; 32], at: DateTime<Utc>) -> Result<()> {
        let released = sqlx::query(RELEASE).bind(at).bind(&slot[..]);
        bounded(async { released.execute(&self.pool).await.map(drop).map_err(failed) }).await
    }
}

async fn take(connection: &mut PgConnection, claim: IdempotencyClaim) -> Result<Claimed> {
    let mut number = [0; 8];
    number.copy_from_slice(&claim.slot[..8]);
    let first: bool = sqlx::query_scalar(LOCK)
        .bind(i64::from_be_bytes(number))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !first {
        return Ok(Claimed::Running);
    }
    let found: Option<Found> = sqlx::query_as(FIND)
        .bind(&claim.slot[..])
        .bind(i32::try_from(claim.hours).unwrap_or(i32::MAX))
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let Some(found) = found else {
        let at = sqlx::query_scalar(CLAIM)
            .bind(&claim.slot[..])
            .bind(&claim.fingerprint[..])
            .bind(claim.instance_id)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
        return Ok(Claimed::Ours(at));
    };
    if found.fingerprint != claim.fingerprint {
        return Ok(Claimed::Mismatch);
    }
    Ok(match found.status {
        None => Claimed::Running,
        Some(status) => Claimed::Answered(KeptAnswer {
            status: u16::try_from(status).unwrap_or_default(),
            headers: found.headers.map(|headers| headers.0).unwrap_or_default(),
            body: found.body,
            made: found.made,
        }),
    })
}
