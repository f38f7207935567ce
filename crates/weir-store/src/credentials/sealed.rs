//! Sealed fields, in versions: a change makes a new version, and the one before
//! stays for readers that are just opening it.

use sqlx::PgConnection;
use uuid::Uuid;
use weir_core::{Error, Kind, Result, Secret};
use weir_vault::{KeyRing, Owner};

use crate::connection::{Store, bounded};
use crate::failure::failed;

fn owner(credential: Uuid, version: i32, field: &str) -> Owner<'_> {
    Owner {
        kind: "credential",
        id: credential,
        version,
        field,
    }
}

/// A credential that belongs to `source` alone, in its first version.
pub(crate) async fn create_owned(
    connection: &mut PgConnection,
    source: Uuid,
    secrets: &[(String, Secret)],
    ring: &KeyRing,
) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query("insert into credentials (id, owner_source_id, version) values ($1, $2, 1)")
        .bind(id)
        .bind(source)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    seal_fields(connection, id, 1, secrets, ring).await?;
    Ok(id)
}

/// The next version, with these fields and no others; its number.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    credential: Uuid,
    secrets: &[(String, Secret)],
    ring: Option<&KeyRing>,
) -> Result<i32> {
    let version: i32 = sqlx::query_scalar(
        "update credentials set version = version + 1, updated_at = now() where id = $1 returning version",
    )
    .bind(credential)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    sqlx::query("delete from credential_fields where credential_id = $1 and version < $2 - 1")
        .bind(credential)
        .bind(version)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    if let Some(ring) = ring {
        seal_fields(connection, credential, version, secrets, ring).await?;
    }
    Ok(version)
}

pub(super) async fn seal_fields(
    connection: &mut PgConnection,
    credential: Uuid,
    version: i32,
    secrets: &[(String, Secret)],
    ring: &KeyRing,
) -> Result<()> {
    for (field, secret) in secrets {
        let sealed = ring.seal(&owner(credential, version, field), secret)?;
        sqlx::query("insert into credential_fields (credential_id, version, field, sealed) values ($1, $2, $3, $4)")
            .bind(credential)
            .bind(version)
            .bind(field)
            .bind(sealed)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

impl Store {
    /// The fields of one version, opened; `expected` of them must be there.
    pub(crate) async fn open_fields(
        &self,
        credential: Uuid,
        version: i32,
        expected: usize,
    ) -> Result<Vec<(String, Secret)>> {
        let read = sqlx::query_as(
            "select field, sealed from credential_fields where credential_id = $1 and version = $2 order by field",
        )
        .bind(credential)
        .bind(version);
        let sealed: Vec<(String, Vec<u8>)> =
            bounded(async { read.fetch_all(&self.pool).await.map_err(failed) }).await?;
        if sealed.len() != expected {
            // Never a connection attempt with half of the secrets.
            return Err(Error::new(
                Kind::Conflict,
                "the secrets of the source changed in the meantime",
            )
            .code("changed")
            .hint("repeat the request"));
        }
        let ring = self.ring()?;
        let open = |(field, sealed): (String, Vec<u8>)| {
            let secret = ring.open(&owner(credential, version, &field), &sealed)?;
            Ok((field, secret))
        };
        sealed.into_iter().map(open).collect()
    }
}
