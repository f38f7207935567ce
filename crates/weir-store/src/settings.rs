//! Facts the store keeps about itself.

use serde_json::Value;
use weir_core::Result;

use crate::connection::{Store, bounded};
use crate::failure::failed;

impl Store {
    /// The value of a fact.
    pub async fn setting(&self, key: &str) -> Result<Option<Value>> {
        let read = sqlx::query_scalar("select value from settings where key = $1").bind(key);
        bounded(async { read.fetch_optional(&self.pool).await.map_err(failed) }).await
    }

    /// Sets a fact if it is not set; says whether it was set now.
    pub async fn set_setting_once(&self, key: &str, value: Value) -> Result<bool> {
        let set =
            sqlx::query("insert into settings (key, value) values ($1, $2) on conflict do nothing")
                .bind(key)
                .bind(value);
        let done = bounded(async { set.execute(&self.pool).await.map_err(failed) }).await?;
        Ok(done.rows_affected() == 1)
    }
}
