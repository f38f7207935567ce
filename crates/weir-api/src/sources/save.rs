//! What happens to a config between a request and the store: references are
//! permitted, the credential is laid over it, the connector checks the whole,
//! and nothing sealed may be sent to a new place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_core::reference::collect;
use weir_core::secret::MASK;
use weir_core::{AnyConnector, Error, Result, config};
use weir_store::{CredentialRow, SourceRow};

use super::model::{Split, merge, split, split_path};
use super::{SourcePatch, changed_labels, connector};
use crate::auth::{Caller, Role};
use crate::credentials::attach::{self, Wanting};
use crate::credentials::hosts;
use crate::effective::{self, Effective, Opened};
use crate::state::App;

/// A config ready to be stored or opened.
pub struct Ready {
    /// What is stored readable, and what is sealed.
    pub parts: Split,
    /// The credential that is attached.
    pub credential: Option<CredentialRow>,
    /// What a source would be opened with.
    pub effective: Effective,
}

/// What a request wants a source to be.
pub struct Wish<'a> {
    /// Its name; none where nothing is saved.
    pub name: Option<&'a str>,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its config, secrets included.
    pub config: Map<String, Value>,
    /// The credential to attach.
    pub credential: Option<&'a str>,
}

/// Checks a config that was given as a whole.
pub async fn fresh(
    app: &App,
    caller: &Caller,
    connector: &dyn AnyConnector,
    wish: Wish<'_>,
) -> Result<Ready> {
    let whole = Value::Object(wish.config);
    refuse_masks(connector, &whole)?;
    attach::permit_references(app, caller, &whole, None).await?;
    let credential = match wish.credential {
        Some(given) => Some(attach::named(app, caller, given).await?),
        None => None,
    };
    let opened = attach::opened(app, credential.as_ref()).await?;
    let effective = Effective::lay(connector, whole.clone(), opened.as_ref())?;
    effective.check(connector)?;
    if let Some(credential) = &credential {
        let wanting = Wanting {
            connector,
            name: wish.name,
            labels: wish.labels,
            effective: &effective,
            before: None,
        };
        attach::permit(app, caller, credential, &wanting).await?;
    }
    Ok(Ready {
        parts: split(connector, whole),
        credential,
        effective,
    })
}

/// `***` stands for a stored value, and there is none yet.
fn refuse_masks(connector: &dyn AnyConnector, whole: &Value) -> Result<()> {
    let masked =
        |path: &&Vec<String>| config::get(whole, path).and_then(Value::as_str) == Some(MASK);
    match connector.facts().secret.iter().find(masked) {
        None => Ok(()),
        Some(path) => Err(nothing_stored(path)),
    }
}

fn nothing_stored(path: &[String]) -> Error {
    Error::invalid(
        format!("/config/{}", path.join("/")),
        "`***` means unchanged, but no value is stored here",
    )
}

/// The credential that a source has after a patch.
async fn credential_after(
    app: &App,
    caller: &Caller,
    row: &SourceRow,
    patch: &SourcePatch,
) -> Result<Option<CredentialRow>> {
    match &patch.credential {
        None => Ok(row.attached.clone()),
        Some(None) => Ok(None),
        Some(Some(given)) => match &row.attached {
            // Said again, it is no attachment.
            Some(same) if same.name == *given || same.id.to_string() == *given => {
                Ok(Some(same.clone()))
            }
            _ => attach::named(app, caller, given).await.map(Some),
        },
    }
}

/// What a patch makes of the config; `None` where it touches neither the
/// config nor anything the credential is bound to.
pub async fn changed(
    app: &App,
    caller: &Caller,
    row: &SourceRow,
    patch: &SourcePatch,
) -> Result<Option<Ready>> {
    let bound = row.attached.is_some() && (patch.name.is_some() || patch.labels.is_some());
    if patch.config.is_none() && patch.credential.is_none() && !bound {
        return Ok(None);
    }
    let connector = connector(app, &row.connector)?;
    let own = effective::own(&app.store, row).await?;
    let nothing = Map::new();
    let changes = patch.config.as_ref().unwrap_or(&nothing);
    let (after, kept) = merged(connector, row, &own, changes)?;
    attach::permit_references(app, caller, &after, Some(&row.config)).await?;
    // It may have become impossible since; the patch may be what mends it.
    let opened_before = attach::opened(app, row.attached.as_ref()).await?;
    let before = Effective::lay(connector, own, opened_before.as_ref()).ok();
    let credential = credential_after(app, caller, row, patch).await?;
    let opened: Option<Opened<'_>> = attach::opened(app, credential.as_ref()).await?;
    let effective = Effective::lay(connector, after.clone(), opened.as_ref())?;
    effective.check(connector)?;
    let kept = kept || keeps_references(&row.config, &after)?;
    if kept && caller.role < Role::Admin {
        refuse_moved(connector, before.as_ref(), &effective)?;
    }
    if let Some(credential) = &credential {
        let same = row
            .attached
            .as_ref()
            .is_some_and(|old| old.id == credential.id);
        let labels = match &patch.labels {
            Some(labels) => changed_labels(&row.labels, labels.clone())?,
            None => row.labels.clone(),
        };
        let wanting = Wanting {
            connector,
            name: Some(patch.name.as_deref().unwrap_or(&row.name)),
            labels: &labels,
            effective: &effective,
            before: before.as_ref().filter(|_| same),
        };
        attach::permit(app, caller, credential, &wanting).await?;
    }
    Ok(Some(Ready {
        parts: split(connector, after),
        credential,
        effective,
    }))
}

/// Merges `changes` into the stored config; says whether a stored secret stays.
fn merged(
    connector: &dyn AnyConnector,
    row: &SourceRow,
    own: &Value,
    changes: &Map<String, Value>,
) -> Result<(Value, bool)> {
    let mut after = row.config.clone();
    for field in &row.secret_fields {
        config::put(&mut after, &split_path(field), MASK.into());
    }
    merge(&mut after, &Value::Object(changes.clone()));
    let mut kept = false;
    for path in &connector.facts().secret {
        if config::get(&after, path).and_then(Value::as_str) != Some(MASK) {
            continue;
        }
        let Some(old) = config::get(own, path).filter(|old| old.is_string()) else {
            return Err(nothing_stored(path));
        };
        config::put(&mut after, path, old.clone());
        kept = true;
    }
    Ok((after, kept))
}

/// Whether a reference that only an admin may make stays: what it stands for
/// is a secret like any other.
fn keeps_references(before: &Value, after: &Value) -> Result<bool> {
    let old = collect(before)?;
    let kept = collect(after)?.into_iter().any(|now| {
        let same = |was: &&weir_core::reference::Placed| was.text == now.text;
        old.iter().any(|was| same(&was))
    });
    Ok(kept)
}

/// A field that says *where* may not change while sealed secrets stay, or an
/// editor could send them to a server of his own.
fn refuse_moved(
    connector: &dyn AnyConnector,
    before: Option<&Effective>,
    after: &Effective,
) -> Result<()> {
    let moved = match before {
        Some(before) => hosts::moved(connector, &before.config, &after.config),
        None => Some(String::new()),
    };
    match moved {
        None => Ok(()),
        Some(pointer) => Err(Error::invalid(
            format!("/config{pointer}"),
            "this field says where the secrets go, so they must be given again",
        )
        .code("secrets_required")
        .hint("send every secret field with its value in the same request, or ask an admin")),
    }
}
