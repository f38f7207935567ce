//! Which master keys open this store.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::PgConnection;
use weir_core::Result;
use weir_vault::{KeyId, KeyRing};

use crate::connection::Store;
use crate::failure::failed;
use crate::migrate::lock;

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

/// What the store knows of master keys.
struct Known {
    /// Id and check value of every key ever used.
    keys: Vec<(KeyId, Vec<u8>)>,
    /// The keys that something is sealed under.
    in_use: BTreeSet<KeyId>,
}

impl Store {
    /// Compares `given` with the keys the store knows, and keeps the ring when
    /// it opens everything. A key is generated only when the store has none and
    /// none is given, under the migration lock. May be called again, with keys
    /// that were read anew.
    pub async fn unlock(
        &self,
        given: Option<KeyRing>,
        generate: impl FnOnce() -> Result<KeyRing>,
    ) -> Result<Seal> {
        // Not detached, so that `generate` may borrow: cut off, nothing is
        // recorded, and a key that was made is given on the next start.
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        lock(&mut transaction).await?;
        let known = Known::read(&mut transaction).await?;
        let generated = given.is_none() && known.is_empty();
        let ring = if generated { Some(generate()?) } else { given };
        let ring = ring.filter(|ring| known.opened_by(ring));
        if let Some(ring) = &ring {
            record(&mut transaction, ring).await?;
        }
        transaction.commit().await.map_err(failed)?;
        let seal = if ring.is_some() {
            Seal::Open { generated }
        } else {
            Seal::Sealed
        };
        *self.ring.write() = ring.map(Arc::new);
        Ok(seal)
    }
}

impl Known {
    async fn read(connection: &mut PgConnection) -> Result<Self> {
        let keys: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("select id, check_value from master_keys")
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
        // The key's id stands in the envelope, behind the format byte.
        let in_use: Vec<Vec<u8>> = sqlx::query_scalar(
            "select distinct substring(sealed from 2 for 8) from credential_fields",
        )
        .fetch_all(connection)
        .await
        .map_err(failed)?;
        Ok(Known {
            keys: keys
                .into_iter()
                .filter_map(|(id, check)| Some((key_id(&id)?, check)))
                .collect(),
            in_use: in_use.iter().filter_map(|id| key_id(id)).collect(),
        })
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.in_use.is_empty()
    }

    /// Whether the ring holds a key the store knows, and every key that
    /// something is sealed under. New keys beside them are welcome: that is how
    /// a rotation begins.
    fn opened_by(&self, ring: &KeyRing) -> bool {
        if self.is_empty() {
            return true;
        }
        let proved: BTreeSet<KeyId> = self
            .keys
            .iter()
            .filter(|(id, check)| {
                ring.check_value(*id)
                    .is_some_and(|value| value[..] == check[..])
            })
            .map(|(id, _)| *id)
            .collect();
        let missing: Vec<String> = self
            .in_use
            .difference(&proved)
            .map(KeyId::to_string)
            .collect();
        if !missing.is_empty() {
            tracing::error!(
                keys = missing.join(","),
                "secrets are sealed under master keys that were not given"
            );
        }
        missing.is_empty() && !proved.is_empty()
    }
}

fn key_id(bytes: &[u8]) -> Option<KeyId> {
    bytes.try_into().ok().map(KeyId)
}

async fn record(connection: &mut PgConnection, ring: &KeyRing) -> Result<()> {
    for id in ring.ids() {
        let check = ring.check_value(id).unwrap_or_default();
        sqlx::query(
            "insert into master_keys (id, check_value) values ($1, $2) on conflict do nothing",
        )
        .bind(&id.0[..])
        .bind(&check[..])
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    }
    Ok(())
}
