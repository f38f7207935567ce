//! Databases on the test server: each test makes its own.

use serde_json::{Value, json};
use tokio_postgres::{Client, Config, NoTls};

use crate::postgres::{SUPERUSER, SUPERUSER_PASSWORD, server};
use crate::{report, unique};

/// The password of the roles that tests make.
pub const PASSWORD: &str = "reads only";

/// A fresh, empty database with a role that owns it and one that only reads.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// A role without special rights that owns it.
    pub owner: String,
    /// A role that may read everything in it and write nothing.
    pub reader: String,
}

impl Database {
    /// Creates one.
    pub async fn create() -> Self {
        report::note(&format!(
            "{} over TCP with TLS and scram, fresh for the run",
            server().version
        ));
        let name = unique("db");
        let database = Database {
            owner: format!("{name}_owner"),
            reader: format!("{name}_reader"),
            name,
        };
        let Database {
            name,
            owner,
            reader,
        } = &database;
        let admin = connect("postgres").await;
        for sql in [
            format!("create role {owner} login password '{PASSWORD}'"),
            format!("create role {reader} login password '{PASSWORD}' in role pg_read_all_data"),
            format!("create database {name} owner {owner}"),
            format!("revoke temporary, connect on database {name} from public"),
            format!("grant connect on database {name} to {reader}"),
        ] {
            admin.batch_execute(&sql).await.unwrap();
        }
        database
    }

    /// Creates one and runs `sql` in it as superuser.
    pub async fn with(sql: &str) -> Self {
        let database = Database::create().await;
        database.run(sql).await;
        database
    }

    /// Runs statements as superuser.
    pub async fn run(&self, sql: &str) {
        self.client()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| {
                panic!("{error:?}\n{sql}");
            });
    }

    /// A superuser's connection, apart from anything the service does.
    pub async fn client(&self) -> Client {
        connect(&self.name).await
    }

    /// The config of a postgres source that reads it.
    pub fn config(&self) -> Value {
        json!({
            "host": "127.0.0.1",
            "port": server().port,
            "database": self.name,
            "user": self.reader,
            "password": PASSWORD,
        })
    }

    /// The same with the role that owns it, and so may write.
    pub fn owner_config(&self) -> Value {
        let mut config = self.config();
        config["user"] = self.owner.clone().into();
        config
    }

    /// The URL with which its owner connects; for stores.
    pub fn owner_url(&self) -> String {
        let password = PASSWORD.replace(' ', "%20");
        let Database { owner, name, .. } = self;
        format!(
            "postgresql://{owner}:{password}@127.0.0.1:{}/{name}",
            server().port
        )
    }

    /// How many sessions run a statement whose text contains `text`.
    pub async fn sessions_running(&self, client: &Client, text: &str) -> i64 {
        let sql = "select count(*) from pg_stat_activity \
                   where datname = $1 and state <> 'idle' and pid <> pg_backend_pid() \
                   and position($2 in query) > 0";
        client
            .query_one(sql, &[&self.name, &text])
            .await
            .unwrap()
            .get(0)
    }
}

/// A superuser's connection to `database`.
#[expect(
    clippy::disallowed_methods,
    reason = "drives a connection of the test itself"
)]
async fn connect(database: &str) -> Client {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(server().port)
        .user(SUPERUSER)
        .password(SUPERUSER_PASSWORD)
        .dbname(database)
        .connect(NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}
