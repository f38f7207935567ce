//! Instances that share one store.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;
use weir_core::Result;
use weir_core::task::Task;

use crate::connection::{Store, bounded};
use crate::failure::failed;

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Written anew each time: a row that others took for dead comes back.
const BEAT: &str = "insert into instances (id, version, address, started_at, master_keys) \
    values ($1, $2, $3, $4, $5) \
    on conflict (id) do update set heartbeat_at = now(), master_keys = excluded.master_keys";
/// An instance that was silent for a minute is gone.
const BURY: &str = "delete from instances where heartbeat_at < now() - interval '60 seconds'";

/// A registered instance; its heartbeat ends when this is dropped.
#[derive(Debug)]
pub struct Instance {
    id: Uuid,
    _heartbeat: Task<()>,
}

impl Instance {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

/// An instance as the others see it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct InstanceRow {
    /// Its id.
    pub id: Uuid,
    /// Version of the service.
    pub version: String,
    /// Where it listens.
    pub address: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last said that it lives.
    pub heartbeat_at: DateTime<Utc>,
}

impl Store {
    /// Registers this process and keeps its heartbeat.
    pub async fn register_instance(&self, version: &str, address: &str) -> Result<Instance> {
        let row = (
            Uuid::now_v7(),
            version.to_owned(),
            address.to_owned(),
            Utc::now(),
        );
        let id = row.0;
        self.beat(&row).await?;
        let store = self.clone();
        let heartbeat = self.compute.spawn(async move {
            let mut tick = tokio::time::interval(HEARTBEAT);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            tick.tick().await;
            loop {
                tick.tick().await;
                if store.pool.is_closed() {
                    return;
                }
                if let Err(error) = store.beat(&row).await {
                    tracing::warn!(
                        detail = error.log_detail(),
                        "heartbeat not written: {error}"
                    );
                }
            }
        });
        Ok(Instance {
            id,
            _heartbeat: heartbeat,
        })
    }

    /// The instances that live, oldest first.
    pub async fn instances(&self) -> Result<Vec<InstanceRow>> {
        let listed = sqlx::query_as(
            "select id, version, address, started_at, heartbeat_at from instances \
             where heartbeat_at >= now() - interval '60 seconds' order by started_at, id",
        )
        .fetch_all(&self.pool);
        bounded(async { listed.await.map_err(failed) }).await
    }

    /// Takes an instance off the list; for one that stops in good order.
    pub async fn leave(&self, instance: Instance) -> Result<()> {
        let id = instance.id;
        drop(instance);
        let gone = sqlx::query("delete from instances where id = $1")
            .bind(id)
            .execute(&self.pool);
        bounded(async { gone.await.map(drop).map_err(failed) }).await
    }

    async fn beat(&self, row: &(Uuid, String, String, DateTime<Utc>)) -> Result<()> {
        let (id, version, address, started) = row;
        let held = self.ring().map(|ring| ring.ids()).unwrap_or_default();
        let keys: Vec<[u8; 8]> = held.iter().map(|key| key.0).collect();
        let written = sqlx::query(BEAT)
            .bind(id)
            .bind(version)
            .bind(address)
            .bind(started)
            .bind(keys)
            .execute(&self.pool);
        bounded(async { written.await.map(drop).map_err(failed) }).await?;
        let buried = sqlx::query(BURY).execute(&self.pool);
        let gone = bounded(async { buried.await.map_err(failed) }).await?;
        if gone.rows_affected() > 0 {
            self.lose_runs().await?;
        }
        Ok(())
    }
}
