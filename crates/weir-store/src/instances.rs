//! Instances that share one store, and the one channel they tell each other on.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use uuid::Uuid;
use weir_core::Result;
use weir_core::task::Task;

use crate::connection::{Store, failed};

const CHANNEL: &str = "weir";
const HEARTBEAT: Duration = Duration::from_secs(5);
/// An instance that is silent for longer is gone.
const SILENT: &str = "60 seconds";

/// What instances tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Message {
    /// A source was changed or removed.
    SourceChanged {
        /// Which.
        id: Uuid,
    },
    /// An api key was changed or revoked.
    KeyChanged {
        /// Which.
        id: Uuid,
    },
}

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

impl Store {
    /// Registers this process and keeps its heartbeat.
    pub async fn register_instance(&self, version: &str, address: &str) -> Result<Instance> {
        let id = Uuid::now_v7();
        sqlx::query("insert into instances (id, version, address) values ($1, $2, $3)")
            .bind(id)
            .bind(version)
            .bind(address)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        let store = self.clone();
        let heartbeat = self.compute().spawn(async move {
            let mut tick = tokio::time::interval(HEARTBEAT);
            loop {
                tick.tick().await;
                if let Err(error) = store.beat(id).await {
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

    async fn beat(&self, id: Uuid) -> Result<()> {
        sqlx::query("update instances set heartbeat_at = now() where id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        sqlx::query("delete from instances where heartbeat_at < now() - $1::interval")
            .bind(SILENT)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Tells every instance, this one too.
    pub async fn notify(&self, message: &Message) -> Result<()> {
        let text = serde_json::to_string(message).map_err(weir_core::Error::internal)?;
        sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(text)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// What instances tell from now on. After a lost connection it goes on;
    /// what was told in between is lost, so listeners must not depend on it alone.
    pub async fn listen(&self) -> Result<BoxStream<'static, Message>> {
        let mut listener = PgListener::connect_with(&self.pool).await.map_err(failed)?;
        listener.listen(CHANNEL).await.map_err(failed)?;
        let messages = futures::stream::unfold(listener, |mut listener| async move {
            loop {
                match listener.recv().await {
                    Ok(told) => match serde_json::from_str::<Message>(told.payload()) {
                        Ok(message) => return Some((message, listener)),
                        // A newer instance may know messages that this one does not.
                        Err(_) => continue,
                    },
                    Err(sqlx::Error::PoolClosed) => return None,
                    Err(error) => {
                        tracing::warn!("the notify channel broke off: {error}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(messages.boxed())
    }
}
