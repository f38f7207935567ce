//! Which sources use a credential: those that attach it, and those whose
//! config refers to one of its fields by the credential's name.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use weir_core::{Error, Kind, Result};

use super::CredentialRow;
use crate::connection::{Store, bounded};
use crate::failure::failed;
use crate::scopes::Scopes;

type Labels = Json<BTreeMap<String, String>>;

/// A source that uses a credential.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct CredentialUse {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Its labels.
    #[sqlx(json)]
    pub labels: BTreeMap<String, String>,
    /// Attached as a whole; else the config refers to a field.
    pub attached: bool,
}

/// Sources that an error names at most.
const NAMED: usize = 10;

/// `$1` is the id, `$2` the starts of the references to it.
const USES: &str = "select s.id, s.name, s.connector, s.labels, coalesce(s.attached_credential_id = $1, false) as attached \
    from sources s where (s.attached_credential_id = $1 or jsonb_path_exists(s.config, \
    '$.** ? (exists (@.\"$from\") && (@.\"$from\" starts with $a || @.\"$from\" starts with $b))', \
    jsonb_build_object('a', $2::text, 'b', $3::text)))";

fn uses(ending: &'static str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("{USES} {ending}"))
}

impl Store {
    /// The sources that use a credential, by name, after `after`.
    pub async fn credential_uses(
        &self,
        row: &CredentialRow,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CredentialUse>> {
        let listed = sqlx::query_as(uses(
            "and ($4::text is null or s.name > $4) order by s.name limit $5",
        ))
        .bind(row.id)
        .bind(format!("credential:{}#", row.name))
        .bind(format!("credential:{}#", row.id))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        bounded(async { listed.fetch_all(&self.pool).await.map_err(failed) }).await
    }

    /// Whether a source that attaches the credential has sealed secrets of its own,
    /// or references, which would go where the credential says.
    pub async fn credential_beside_secrets(&self, id: Uuid) -> Result<bool> {
        let asked = sqlx::query_scalar(
            "select exists (select 1 from sources s where s.attached_credential_id = $1 and (\
               jsonb_path_exists(s.config, '$.** ? (exists (@.\"$from\"))') or exists (\
               select 1 from credential_fields o join credentials c on c.id = o.credential_id \
               where c.id = s.credential_id and o.version = c.version)))",
        )
        .bind(id);
        bounded(async { asked.fetch_one(&self.pool).await.map_err(failed) }).await
    }

    /// One of `fields` that a source which attaches the credential gives itself, and
    /// the name of that source where it is inside of `scopes`.
    pub async fn credential_clash(
        &self,
        row: &CredentialRow,
        fields: &[String],
        scopes: &Scopes,
    ) -> Result<Option<(String, Option<String>)>> {
        let asked = sqlx::query_as(
            "select f.field, s.name, s.labels from sources s cross join unnest($2::text[]) as f (field) \
             where s.attached_credential_id = $1 and (s.config #> string_to_array(f.field, '.') is not null \
               or exists (select 1 from credential_fields o join credentials c on c.id = o.credential_id \
                          where c.id = s.credential_id and o.version = c.version and o.field = f.field)) \
             order by s.name, f.field limit 1",
        )
        .bind(row.id)
        .bind(fields);
        let found: Option<(String, String, Labels)> =
            bounded(async { asked.fetch_optional(&self.pool).await.map_err(failed) }).await?;
        Ok(found
            .map(|(field, name, labels)| (field, Some(name).filter(|_| scopes.contains(&labels)))))
    }
}

async fn some(
    connection: &mut PgConnection,
    row: &CredentialRow,
    ending: &'static str,
) -> Result<Vec<CredentialUse>> {
    sqlx::query_as(uses(ending))
        .bind(row.id)
        .bind(format!("credential:{}#", row.name))
        .bind(format!("credential:{}#", row.id))
        .fetch_all(connection)
        .await
        .map_err(failed)
}

/// Refuses while any source uses it.
pub(super) async fn refuse_used(
    connection: &mut PgConnection,
    row: &CredentialRow,
    scopes: &Scopes,
) -> Result<()> {
    let users = some(connection, row, "order by s.name limit 1000").await?;
    still_referenced(
        row,
        &users,
        scopes,
        "attach another credential to these sources, or remove them",
    )
}

/// Refuses while the config of a source names it.
pub(super) async fn refuse_named(
    connection: &mut PgConnection,
    row: &CredentialRow,
    scopes: &Scopes,
) -> Result<()> {
    let mut users = some(connection, row, "order by s.name").await?;
    users.retain(|user| !user.attached);
    still_referenced(
        row,
        &users,
        scopes,
        "change the references of these sources first",
    )
}

/// Names the users that the caller may see, and only says that there are others.
fn still_referenced(
    row: &CredentialRow,
    users: &[CredentialUse],
    scopes: &Scopes,
    hint: &'static str,
) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let seen = users.iter().filter(|user| scopes.contains(&user.labels));
    let mut named: Vec<String> = seen
        .take(NAMED)
        .map(|user| format!("`{}` ({})", user.name, user.id))
        .collect();
    if named.len() < users.len() {
        named.push(format!("{} more", users.len() - named.len()));
    }
    let message = format!(
        "the credential `{}` is used by {}",
        row.name,
        named.join(", ")
    );
    Err(Error::new(Kind::Conflict, message)
        .code("still_referenced")
        .hint(hint))
}
