//! `POST /v1/sources/{source}/write`.

mod bodies;
mod files;
mod kill;
mod modes;
mod odd;
mod records;
mod refused;
mod types;
mod whole;

use serde_json::{Value, json};
use weir_tests::{Answer, Client, Database, Service};

/// A service, and a source `db` whose user owns its database.
pub struct Place {
    pub service: Service,
    pub database: Database,
}

impl Place {
    pub async fn with(sql: &str) -> Self {
        let (service, database) = (Service::start().await, Database::create().await);
        let place = Place { service, database };
        place.run(sql).await;
        let config = place.database.owner_config();
        place.client().register_config("db", config).await;
        place
    }

    /// Runs statements as the owner of the database.
    pub async fn run(&self, sql: &str) {
        let owner = &self.database.owner;
        let sql = format!("set role {owner}; {sql}");
        self.database.run(&sql).await;
    }

    pub fn client(&self) -> &Client {
        &self.service.client
    }

    /// Writes JSON rows.
    pub async fn write(&self, query: &str, rows: &Value) -> Answer {
        self.client().post(&path(query), rows).await
    }

    /// What one query answers, as text.
    pub async fn ask(&self, sql: &str) -> Option<String> {
        let row = self.database.client().await.query_one(sql, &[]).await;
        row.unwrap().get(0)
    }

    /// The rows of table `t` as JSON, in the order of `id`.
    pub async fn rows(&self) -> Value {
        let sql = "select coalesce(jsonb_agg(to_jsonb(t) order by t.id), '[]')::text from t";
        serde_json::from_str(&self.ask(sql).await.unwrap()).unwrap()
    }
}

pub fn path(query: &str) -> String {
    format!("/v1/sources/db/write?{query}")
}

/// `count` rows from `first` on.
pub fn numbered(first: i64, count: i64) -> Value {
    let row = |id: i64| json!({"id": id, "name": format!("n{id}")});
    (first..first + count).map(row).collect()
}
