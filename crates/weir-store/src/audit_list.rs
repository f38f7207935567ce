//! Reading the audit, newest first.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;
use weir_core::Result;

use crate::connection::{Store, bounded};
use crate::failure::failed;

/// How long one page may look for what fits its filter.
const BUDGET: Duration = Duration::from_secs(5);

/// A record.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AuditRow {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// `admin` or `access`.
    pub class: String,
    /// `source.create`, `load` …
    pub action: String,
    /// The api key; none for the service itself.
    pub key_id: Option<Uuid>,
    /// Name of the key at that time.
    pub actor: String,
    /// The request.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<String>,
    /// `source`, `api_key` …
    pub target_kind: String,
    /// Id of the thing.
    pub target_id: Option<Uuid>,
    /// Name of the thing at that time.
    pub target_name: Option<String>,
    /// The run.
    pub run_id: Option<Uuid>,
    /// The stream that was read.
    pub stream: Option<String>,
    /// Hash of the query that was read.
    pub query_hash: Option<Vec<u8>>,
    /// The chosen columns; none for all.
    pub columns: Option<Vec<String>>,
    /// What else tells what was done.
    pub details: Option<Value>,
}

/// A place in the audit: what is older than it comes next.
pub type AuditPlace = (DateTime<Utc>, Uuid);

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this class.
    pub class: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only of this key, by id or name.
    pub actor: Option<String>,
    /// Only about this thing, by id or name.
    pub target: Option<String>,
    /// Not older than this.
    pub since: Option<DateTime<Utc>>,
    /// Older than this.
    pub until: Option<DateTime<Utc>>,
    /// Older than this place.
    pub after: Option<AuditPlace>,
    /// Items at most.
    pub limit: usize,
}

/// A page of the audit; it may be short where much had to be looked through.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<AuditRow>,
    /// Where the next page goes on.
    pub next: Option<AuditPlace>,
}

/// The bounds of `at` stand beside the place, so that only partitions between
/// them are looked into.
const SELECT: &str = "select id, at, class, action, key_id, actor, request_id, address, target_kind, \
    target_id, target_name, run_id, stream, query_hash, columns, details from audit \
    where at >= $1 and at <= $2 and (at, id) < ($2, $3) \
    and ($4::text is null or class = $4) and ($5::text is null or action = $5) \
    and ($6::uuid is null or key_id = $6) and ($7::text is null or actor = $7) \
    and ($8::uuid is null or target_id = $8) and ($9::text is null or target_name = $9) \
    order by at desc, id desc limit $10";

impl Store {
    /// A page of records, newest first. Looks back step by step, each twice as
    /// long as the one before, until the page is full or its time is over.
    pub async fn list_audit(&self, filter: &AuditFilter) -> Result<AuditPage> {
        let start = Instant::now();
        let mut items = Vec::new();
        let Some(oldest) = self.oldest_audit(filter).await? else {
            return Ok(AuditPage { items, next: None });
        };
        let newest = filter
            .until
            .unwrap_or_else(|| Utc::now() + TimeDelta::days(1));
        let mut place = match filter.after {
            Some(place) if place.0 < newest => place,
            _ => (newest, Uuid::nil()),
        };
        let mut step = TimeDelta::days(1);
        loop {
            let from = place
                .0
                .checked_sub_signed(step)
                .unwrap_or(oldest)
                .max(oldest);
            let wanted = filter.limit + 1 - items.len();
            items.extend(self.audit_between(filter, from, place, wanted).await?);
            if items.len() > filter.limit {
                items.truncate(filter.limit);
                let next = items.last().map(|row: &AuditRow| (row.at, row.id));
                return Ok(AuditPage { items, next });
            }
            if from <= oldest {
                return Ok(AuditPage { items, next: None });
            }
            // What lies exactly at `from` was looked at.
            place = (from, Uuid::nil());
            if start.elapsed() > BUDGET {
                let next = Some(place);
                return Ok(AuditPage { items, next });
            }
            step = step * 2;
        }
    }

    async fn oldest_audit(&self, filter: &AuditFilter) -> Result<Option<DateTime<Utc>>> {
        let asked = sqlx::query_scalar("select min(at) from audit").fetch_one(&self.pool);
        let oldest: Option<DateTime<Utc>> = bounded(async { asked.await.map_err(failed) }).await?;
        let since = filter.since.unwrap_or(DateTime::UNIX_EPOCH);
        Ok(oldest.map(|oldest| oldest.max(since)))
    }

    async fn audit_between(
        &self,
        filter: &AuditFilter,
        from: DateTime<Utc>,
        place: AuditPlace,
        wanted: usize,
    ) -> Result<Vec<AuditRow>> {
        let by_id = |text: &Option<String>| text.as_deref().and_then(|t| Uuid::try_parse(t).ok());
        let (actor, target) = (by_id(&filter.actor), by_id(&filter.target));
        let listed = sqlx::query_as(SELECT)
            .bind(from)
            .bind(place.0)
            .bind(place.1)
            .bind(&filter.class)
            .bind(&filter.action)
            .bind(actor)
            .bind(filter.actor.as_ref().filter(|_| actor.is_none()))
            .bind(target)
            .bind(filter.target.as_ref().filter(|_| target.is_none()))
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX));
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }
}
