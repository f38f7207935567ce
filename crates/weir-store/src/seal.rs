//! Which master keys open this store.

use sqlx::PgConnection;
use weir_core::Result;
use weir_vault::{KeyId, KeyRing};

use crate::connection::{Store, failed};
use crate::migrate::{lock, unlock};

/// Whether the secrets of the store can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// They can.
    Open {
        /// The key was made just now.
        generated: bool,
    },
    /// The given keys do not match; only health answers.
    Sealed,
}

impl Store {
    /// Compares `given` with the keys the store knows. A key is generated only
    /// when the store has none, under the migration lock.
    pub async fn unlock(
        &self,
        given: Option<KeyRing>,
        generate: impl FnOnce() -> Result<KeyRing> + Send + 'static,
    ) -> Result<Seal> {
        let store = self.clone();
        self.detached(async move {
            let mut connection = store.pool.acquire().await.map_err(failed)?;
            lock(&mut connection).await?;
            let outcome = match_keys(&mut connection, given, generate).await;
            unlock(&mut connection).await?;
            let (seal, ring) = outcome?;
            *store.ring.write() = ring;
            Ok(seal)
        })
        .await
    }
}

async fn match_keys(
    connection: &mut PgConnection,
    given: Option<KeyRing>,
    generate: impl FnOnce() -> Result<KeyRing>,
) -> Result<(Seal, Option<KeyRing>)> {
    let known: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as("select id, check_value from master_keys")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let (ring, generated) = match given {
        Some(ring) => (ring, false),
        None if known.is_empty() => (generate()?, true),
        None => return Ok((Seal::Sealed, None)),
    };
    let proves = |id: &[u8], check: &[u8]| {
        let id: Option<[u8; 8]> = id.try_into().ok();
        id.and_then(|id| ring.check_value(KeyId(id)))
            .is_some_and(|value| value == check)
    };
    // One of several keys is enough to start: during a rotation the ring holds
    // the new key before the store has seen it.
    if !known.is_empty() && !known.iter().any(|(id, check)| proves(id, check)) {
        return Ok((Seal::Sealed, None));
    }
    for id in ring.ids() {
        let Some(check) = ring.check_value(id) else {
            continue;
        };
        sqlx::query(
            "insert into master_keys (id, check_value) values ($1, $2) on conflict do nothing",
        )
        .bind(&id.0[..])
        .bind(&check[..])
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    Ok((Seal::Open { generated }, Some(ring)))
}
