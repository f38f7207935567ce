//! `weir keys rotate`: the secrets under a new master key, while instances run.

use anyhow::{Context, Result, bail};
use weir_core::task::Compute;
use weir_core::{Error, Kind};
use weir_store::Seal;
use weir_vault::KeyRing;

use crate::serve::{Stored, explained, runtimes};
use crate::settings::Settings;

/// Wraps every data key under the newest of the given master keys.
pub fn rotate(settings: &Settings) -> Result<()> {
    let (http, compute) = runtimes()?;
    http.block_on(async {
        let stored = Stored::beside(settings, Compute::new(compute.handle().clone())).await?;
        let outcome = work(settings, &stored).await;
        stored.close().await;
        outcome
    })
}

async fn work(settings: &Settings, stored: &Stored) -> Result<()> {
    let given = settings.master_key()?.context(
        "WEIR_MASTER_KEY must hold the new master key and the ones before it, the newest first",
    )?;
    let ring = KeyRing::parse(&given).map_err(explained)?;
    let none = || Err(Error::new(Kind::Invalid, "a master key is needed").code("master_key"));
    let seal = stored.store.unlock(Some(ring), none).await;
    if seal.map_err(explained)? == Seal::Sealed {
        bail!(
            "the given master keys do not open this store; WEIR_MASTER_KEY must hold the new key \
             and every key that something is still sealed under"
        );
    }
    let newest = stored.store.newest_key().map_err(explained)?;
    let lagging = stored.store.instances_without_newest_key();
    let lagging = lagging.await.map_err(explained)?;
    if !lagging.is_empty() {
        bail!(
            "these instances do not hold the new master key {newest} yet: {}\n  what to check: start them \
             with the new key before the old one in WEIR_MASTER_KEY; one that is gone is forgotten after a minute",
            lagging.join(", ")
        );
    }
    let done = stored.store.rewrap_secrets().await.map_err(explained)?;
    println!("{done} secrets are now sealed under the master key {newest}");
    println!("the keys before it may be taken out of WEIR_MASTER_KEY");
    Ok(())
}
