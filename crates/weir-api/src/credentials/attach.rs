//! Who may send a credential where. To attach one is a right of its own:
//!
//! - `kind`, `allowed_sources` and `allowed_hosts` bind everybody, admins too.
//! - An admin may send it anywhere within these.
//! - So may the key that gave every value of the current version itself: it
//!   learns nothing.
//! - Everybody else may send it to where a source already sends it, in the same
//!   way; and to the `allowed_hosts`, where there are any, with TLS as it is by default.
//!
//! The rules hold when a source is saved or tested, and the first again when it
//! is opened, because a credential may have been narrowed since.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_core::{AnyConnector, Error, Kind, Result};
use weir_store::{CredentialRow, ObjectRef, Scopes};

use super::hosts;
use crate::auth::{Caller, Role};
use crate::effective::{Effective, Opened};
use crate::lookup::reference;
use crate::state::App;

/// Sources whose way is compared at most.
const COMPARED: usize = 200;

/// The source that wants a credential, as it would be saved.
pub struct Wanting<'a> {
    /// Its connector.
    pub connector: &'a dyn AnyConnector,
    /// Its name; none where nothing is saved.
    pub name: Option<&'a str>,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its whole config.
    pub effective: &'a Effective,
    /// Its whole config as it was, when it had this very credential.
    pub before: Option<&'a Effective>,
}

/// Refuses what binds everybody: kind, sources, hosts.
pub fn bound(credential: &CredentialRow, wanting: &Wanting<'_>) -> Result<()> {
    let descriptor = wanting.connector.descriptor();
    if let Some(kind) = &credential.kind
        && kind != descriptor.kind
    {
        let message = format!(
            "the credential `{}` is for {kind}, not for {}",
            credential.name, descriptor.kind
        );
        return Err(Error::invalid("/credential", message).hint("attach one of the same kind"));
    }
    if let Some(allowed) = &credential.allowed_sources
        && !allowed.iter().any(|entry| is_source(entry, wanting))
    {
        let message = format!(
            "the credential `{}` may not be attached to this source",
            credential.name
        );
        return Err(Error::invalid("/credential", message)
            .code("source_not_allowed")
            .hint(
                "its allowed_sources names the sources and labels that may; an admin may change it",
            ));
    }
    if let Some(allowed) = &credential.allowed_hosts {
        let places = hosts::places(wanting.connector, &wanting.effective.config);
        hosts::check_allowed(&credential.name, allowed, &places)?;
    }
    Ok(())
}

/// A name, or a label `key:value`.
fn is_source(entry: &str, wanting: &Wanting<'_>) -> bool {
    match entry.split_once(':') {
        Some((key, value)) => wanting.labels.get(key).is_some_and(|own| own == value),
        None => wanting.name == Some(entry),
    }
}

/// Refuses a caller who would send the credential to where it may not go.
pub async fn permit(
    app: &App,
    caller: &Caller,
    credential: &CredentialRow,
    wanting: &Wanting<'_>,
) -> Result<()> {
    bound(credential, wanting)?;
    if caller.role >= Role::Admin || credential.known_to == Some(caller.key_id) {
        return Ok(());
    }
    let ends = hosts::endpoints(wanting.connector, &wanting.effective.config);
    let moved = wanting.before.and_then(|before| {
        hosts::moved(wanting.connector, &before.config, &wanting.effective.config)
    });
    if wanting.before.is_some() && moved.is_none() {
        return Ok(());
    }
    let unproven = hosts::unproven(&ends);
    if credential.allowed_hosts.is_some() && unproven.is_none() {
        return Ok(());
    }
    if goes_there(app, credential, wanting.connector, &ends).await? {
        return Ok(());
    }
    Err(refused(credential, moved, unproven, &ends))
}

fn refused(
    credential: &CredentialRow,
    moved: Option<String>,
    unproven: Option<String>,
    ends: &[(String, Value)],
) -> Error {
    if let Some(pointer) = moved {
        let message = format!(
            "this field says where the credential `{}` goes, and its values were not given by you",
            credential.name
        );
        return Error::invalid(format!("/config{pointer}"), message)
            .code("secrets_required")
            .hint("give the secrets in the config instead of the credential, or ask an admin");
    }
    let pointer = match (unproven, ends.first()) {
        (Some(pointer), _) if credential.allowed_hosts.is_some() => format!("/config{pointer}"),
        (_, Some((pointer, _))) => format!("/config{pointer}"),
        _ => "/credential".to_owned(),
    };
    let message = format!(
        "the credential `{}` is not sent to this place by any source yet",
        credential.name
    );
    Error::invalid(pointer, message)
        .code("host_not_allowed")
        .hint("ask an admin to attach it, or to list the host in its allowed_hosts; TLS must then stay as it is by default")
}

/// Whether a source of this connector already sends the credential to the same
/// place in the same way.
async fn goes_there(
    app: &App,
    credential: &CredentialRow,
    wanted: &dyn AnyConnector,
    ends: &[(String, Value)],
) -> Result<bool> {
    let kind = wanted.descriptor().kind;
    let users = app
        .store
        .credential_uses(credential, None, COMPARED)
        .await?;
    for user in users
        .into_iter()
        .filter(|user| user.attached && user.connector == kind)
    {
        let found = app
            .store
            .find_source(&ObjectRef::Id(user.id), &Scopes::all())
            .await?;
        let Some(row) = found else { continue };
        if row.attached.as_ref().map(|attached| attached.id) != Some(credential.id) {
            continue;
        }
        // One that cannot be read any more proves nothing.
        let Ok(effective) = Effective::of(&app.store, wanted, &row).await else {
            continue;
        };
        if hosts::endpoints(wanted, &effective.config) == ends {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The credential that a request names, if the caller may see it.
pub async fn named(app: &App, caller: &Caller, given: &str) -> Result<CredentialRow> {
    let found = app
        .store
        .find_credential(&reference(given), &caller.scopes)
        .await?;
    found.ok_or_else(|| {
        Error::invalid("/credential", format!("no credential `{given}`"))
            .code("unknown_credential")
            .hint("GET /v1/credentials lists the credentials your key may see")
    })
}

/// Refuses references in `config` that the caller may not make: those of
/// `before` stay, new ones need the right.
pub async fn permit_references(
    app: &App,
    caller: &Caller,
    config: &Value,
    before: Option<&Value>,
) -> Result<()> {
    let placed = weir_core::reference::collect(config).map_err(|e| e.under("/config"))?;
    for one in placed {
        let kept = before
            .and_then(|before| before.pointer(&one.pointer))
            .and_then(weir_core::reference::expression);
        if kept == Some(one.text.as_str()) {
            continue;
        }
        let pointer = format!("/config{}", one.pointer);
        if one.reference.needs_admin() && caller.role < Role::Admin {
            return Err(admins_only(pointer));
        }
        if let weir_core::reference::Reference::Credential { name, field } = &one.reference {
            let row = named(app, caller, name).await.map_err(|error| {
                Error::invalid(pointer.clone(), error.message().to_owned())
                    .code("unknown_credential")
            })?;
            if !row.fields().contains(field.as_str()) {
                let message = format!("the credential `{}` has no field `{field}`", row.name);
                return Err(Error::invalid(pointer, message));
            }
        }
    }
    Ok(())
}

/// The refusal of a reference that reaches into the machine or a secret store.
pub fn admins_only(pointer: String) -> Error {
    let message = "a reference to the environment, a file or a secret store is made by an admin";
    Error::new(Kind::Forbidden, message)
        .at(pointer, message)
        .hint("GET /v1/whoami shows the role of your key; give the value itself, or ask an admin")
}

/// The values of a credential, opened where there is one.
pub async fn opened<'a>(
    app: &App,
    credential: Option<&'a CredentialRow>,
) -> Result<Option<Opened<'a>>> {
    match credential {
        Some(row) => Opened::of(&app.store, row).await.map(Some),
        None => Ok(None),
    }
}
