//! Facts the store keeps about itself.

use serde_json::Value;
use weir_core::Result;

use crate::connection::{Store, failed};

impl Store {
    /// The value of a fact.
    pub async fn setting(&self, key: &str) -> Result<Option<Value>> {
        sqlx::query_scalar("select value from settings where key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)
    }

    /// Sets a fact if it is not set; says whether it was set now.
    pub async fn set_setting_once(&self, key: &str, value: Value) -> Result<bool> {
        let done =
            sqlx::query("insert into settings (key, value) values ($1, $2) on conflict do nothing")
                .bind(key)
                .bind(value)
                .execute(&self.pool)
                .await
                .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }
}
