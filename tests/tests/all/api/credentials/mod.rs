//! `/v1/credentials` and everything below it, and what sources do with them.

mod attach;
mod canary;
mod elsewhere;
mod lifecycle;
mod list;
mod references;

use serde_json::{Value, json};
use weir_tests::{Client, Database, Options, Service, StoreKind};

/// A service and its store, so that a test can give out keys.
struct Site {
    service: Service,
    store: Database,
}

impl Site {
    async fn start() -> Self {
        Site::with(|options| options).await
    }

    async fn with(set: impl FnOnce(Options) -> Options) -> Self {
        let store = Database::create().await;
        let options = set(Options::on(StoreKind::Database(store.clone())));
        let service = options.start().await;
        Site { service, store }
    }

    fn admin(&self) -> &Client {
        &self.service.client
    }

    /// A caller with a new key.
    async fn key(&self, role: &str, scopes: &[&str]) -> Client {
        let key = format!("weir_{role}-{}", uuid::Uuid::new_v4().simple());
        let name = uuid::Uuid::new_v4();
        let scopes = serde_json::to_string(scopes).unwrap();
        self.store
            .run(&format!(
                "insert into api_keys (id, name, role, key_hash, prefix, scopes) values \
                 (gen_random_uuid(), '{name}', '{role}', sha256('{key}'), 'weir_', '{scopes}'::jsonb)"
            ))
            .await;
        self.admin().with_key(Some(&key))
    }
}

/// The fields of a credential that opens `database`.
fn login(database: &Database) -> Value {
    let config = database.config();
    json!({"user": config["user"], "password": config["password"]})
}

/// The config that is left without these fields.
fn place(database: &Database) -> Value {
    let mut config = database.config();
    for field in ["user", "password"] {
        config.as_object_mut().unwrap().remove(field);
    }
    config
}

async fn make(client: &Client, name: &str, fields: Value, more: Value) -> Value {
    let mut body = json!({"name": name, "fields": fields});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    client
        .post("/v1/credentials", &body)
        .await
        .expect_status(201)
}

fn source(name: &str, config: Value, credential: &str) -> Value {
    json!({"name": name, "connector": "postgres", "config": config, "credential": credential})
}
