//! Sources and credentials as a file in git, applied at start.
//!
//! The file has the bodies of `POST /v1/sources` and `POST /v1/credentials`.
//! What it names is made or brought to what it says; what it once made and no
//! longer names is removed; what it did not make is left alone. Each entry is
//! applied whole or not at all, and nothing that already fits is touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use weir_core::{Error, Kind, Result, Secret, config};
use weir_store::{
    Actor, CredentialChange, CredentialRow, Fields, NewCredential, NewSource, ObjectRef, Scopes,
    SourceChange, SourceRow,
};

use super::save::{self, Ready, Wish};
use super::{SourceCreate, check_name, connector};
use crate::auth::{Caller, Role};
use crate::credentials::{CredentialCreate, change};
use crate::state::App;

/// What stands in `managed_by` of everything the file makes.
pub const MANAGER: &str = "sources_file";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    credentials: Vec<Value>,
    #[serde(default)]
    sources: Vec<Value>,
}

/// What applying a file did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Names of what was made.
    pub created: Vec<String>,
    /// Names of what was changed.
    pub updated: Vec<String>,
    /// Names of what was removed.
    pub removed: Vec<String>,
    /// How many already were as the file says.
    pub unchanged: usize,
    /// What is no longer named and could not be removed, and why.
    pub kept: Vec<String>,
    /// What could not be applied: the entry, its name, the field, the reason.
    pub refused: Vec<String>,
}

#[derive(Clone, Copy)]
enum Did {
    Create,
    Update,
    Nothing,
}

/// Applies a file that was read; one instance at a time.
pub async fn apply(app: &App, file: Value) -> Result<Applied> {
    let file: File = config::decode(file)?;
    let (credentials, sources) = decoded(&file)?;
    let turn = app.store.take_turn().await?;
    let mut applied = Applied::default();
    let caller = itself();
    let mut named = (BTreeSet::new(), BTreeSet::new());
    for (index, wanted) in credentials.into_iter().enumerate() {
        let name = wanted.name.clone();
        named.0.insert(name.clone());
        let outcome = credential(app, wanted).await;
        note(&mut applied, outcome, "credentials", index, &name)?;
    }
    for (index, wanted) in sources.into_iter().enumerate() {
        let name = wanted.name.clone();
        named.1.insert(name.clone());
        let outcome = source(app, &caller, wanted).await;
        note(&mut applied, outcome, "sources", index, &name)?;
    }
    remove(app, &named.0, &named.1, &mut applied).await?;
    turn.end().await?;
    Ok(applied)
}

/// The service itself, with the rights of an admin.
fn itself() -> Caller {
    Caller {
        key_id: uuid::Uuid::nil(),
        name: MANAGER.to_owned(),
        role: Role::Admin,
        scopes: Scopes::all(),
        expires_at: None,
        request_id: String::new(),
        address: None,
    }
}

fn actor() -> Actor {
    Actor {
        name: MANAGER.to_owned(),
        ..Actor::system()
    }
}

/// Every entry as its body, or all that is wrong with the file.
fn decoded(file: &File) -> Result<(Vec<CredentialCreate>, Vec<SourceCreate>)> {
    let mut wrong = Vec::new();
    let credentials = entries(
        "credentials",
        &file.credentials,
        &mut wrong,
        |body: &CredentialCreate| &body.name,
    );
    let sources = entries(
        "sources",
        &file.sources,
        &mut wrong,
        |body: &SourceCreate| &body.name,
    );
    if wrong.is_empty() {
        return Ok((credentials, sources));
    }
    Err(Error::new(Kind::Invalid, wrong.join("; ")))
}

fn entries<T: serde::de::DeserializeOwned>(
    list: &str,
    given: &[Value],
    wrong: &mut Vec<String>,
    name: impl Fn(&T) -> &String,
) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut bodies = Vec::new();
    for (index, entry) in given.iter().enumerate() {
        let shown = entry.get("name").and_then(Value::as_str).unwrap_or("?");
        let body: Result<T> = config::decode(entry.clone());
        let body = body.and_then(|body| check_name(name(&body)).map(|()| body));
        match body {
            Ok(body) if seen.insert(name(&body).clone()) => bodies.push(body),
            Ok(_) => wrong.push(format!("{list}[{index}] `{shown}`: the name is used twice")),
            Err(error) => wrong.push(told(list, index, shown, &error)),
        }
    }
    bodies
}

/// One line: the entry, its name, the field, the reason.
fn told(list: &str, index: usize, name: &str, error: &Error) -> String {
    let at = error
        .fields()
        .first()
        .map(|field| format!(" at {}", field.pointer))
        .unwrap_or_default();
    let hint = error
        .hint_text()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    format!("{list}[{index}] `{name}`{at}: {}{hint}", error.message())
}

fn note(
    applied: &mut Applied,
    outcome: Result<Did>,
    list: &str,
    index: usize,
    name: &str,
) -> Result<()> {
    match outcome {
        Ok(Did::Create) => applied.created.push(name.to_owned()),
        Ok(Did::Update) => applied.updated.push(name.to_owned()),
        Ok(Did::Nothing) => applied.unchanged += 1,
        // Not a fault of the entry: nothing more can be applied now.
        Err(error) if matches!(error.kind(), Kind::Sealed | Kind::NotReady | Kind::Internal) => {
            return Err(error);
        }
        Err(error) => applied.refused.push(told(list, index, name, &error)),
    }
    Ok(())
}

fn not_ours(what: &str, name: &str) -> Error {
    Error::invalid(
        "/name",
        format!("there is already a {what} `{name}` that the file did not make"),
    )
    .code("name_taken")
    .hint("remove it, or choose another name in the file")
}

async fn credential(app: &App, wanted: CredentialCreate) -> Result<Did> {
    change::check_lists(
        wanted.allowed_hosts.as_ref(),
        wanted.allowed_sources.as_ref(),
    )?;
    let fields = change::first(None, &wanted.fields)?;
    let found = app
        .store
        .find_credential(&ObjectRef::Name(wanted.name.clone()), &Scopes::all())
        .await?;
    let Some(row) = found else {
        let new = NewCredential {
            id: uuid::Uuid::now_v7(),
            name: wanted.name,
            kind: wanted.kind,
            fields,
            labels: wanted.labels,
            description: wanted.description,
            allowed_hosts: wanted.allowed_hosts,
            allowed_sources: wanted.allowed_sources,
            managed_by: Some(MANAGER.to_owned()),
        };
        app.store.create_credential(new, &actor()).await?;
        return Ok(Did::Create);
    };
    if row.managed_by.as_deref() != Some(MANAGER) {
        return Err(not_ours("credential", &row.name));
    }
    let differing = differing(app, &row, fields).await?;
    let same = differing.is_none()
        && row.kind == wanted.kind
        && row.labels == wanted.labels
        && row.description == wanted.description
        && row.allowed_hosts == wanted.allowed_hosts
        && row.allowed_sources == wanted.allowed_sources;
    if same {
        return Ok(Did::Nothing);
    }
    let change = CredentialChange {
        name: None,
        kind: Some(wanted.kind),
        fields: differing,
        labels: Some(wanted.labels),
        description: Some(wanted.description),
        allowed_hosts: Some(wanted.allowed_hosts),
        allowed_sources: Some(wanted.allowed_sources),
    };
    app.store
        .update_credential(
            row.id,
            Some(row.revision),
            "credential.update",
            change,
            &Scopes::all(),
            &actor(),
        )
        .await?;
    Ok(Did::Update)
}

/// The fields, where they are not what is stored.
async fn differing(app: &App, row: &CredentialRow, mut fields: Fields) -> Result<Option<Fields>> {
    let stored: BTreeMap<String, Secret> = app
        .store
        .credential_secrets(row)
        .await?
        .into_iter()
        .collect();
    let given: BTreeMap<String, Secret> = fields.secrets.iter().cloned().collect();
    if stored == given && row.refs == fields.refs {
        return Ok(None);
    }
    fields.changed.retain(|field| {
        stored.get(field) != given.get(field) || row.refs.get(field) != fields.refs.get(field)
    });
    Ok(Some(fields))
}

async fn source(app: &App, caller: &Caller, wanted: SourceCreate) -> Result<Did> {
    let connector = connector(app, &wanted.connector)?;
    let wish = Wish {
        name: Some(&wanted.name),
        labels: &wanted.labels,
        config: wanted.config,
        credential: wanted.credential.as_deref(),
    };
    let ready = save::fresh(app, caller, connector, wish).await?;
    let metadata = Value::Object(wanted.metadata);
    let found = app
        .store
        .find_source(&ObjectRef::Name(wanted.name.clone()), &Scopes::all())
        .await?;
    let Some(row) = found else {
        let new = NewSource {
            id: uuid::Uuid::now_v7(),
            name: wanted.name,
            connector: wanted.connector,
            config: ready.parts.open,
            config_version: connector.descriptor().config_version as i32,
            labels: wanted.labels,
            metadata,
            description: wanted.description,
            secrets: ready.parts.secrets,
            attached: ready.credential.map(|credential| credential.id),
            managed_by: Some(MANAGER.to_owned()),
        };
        app.store.create_source(new, &actor()).await?;
        return Ok(Did::Create);
    };
    if row.managed_by.as_deref() != Some(MANAGER) {
        return Err(not_ours("source", &row.name));
    }
    if row.connector != wanted.connector {
        let message = format!(
            "the source is of the kind {}, which never changes",
            row.connector
        );
        return Err(Error::invalid("/connector", message).hint("give the new one another name"));
    }
    let change = SourceChange {
        labels: (row.labels != wanted.labels).then_some(wanted.labels),
        metadata: (row.metadata != metadata).then_some(metadata),
        // Empty text removes.
        description: (row.description != wanted.description)
            .then(|| wanted.description.unwrap_or_default()),
        ..of_config(app, &row, ready).await?
    };
    if is_empty(&change) {
        return Ok(Did::Nothing);
    }
    app.store
        .update_source(row.id, Some(row.version), change, &actor())
        .await?;
    Ok(Did::Update)
}

/// The change that makes the config, its secrets and its credential as wanted.
async fn of_config(app: &App, row: &SourceRow, ready: Ready) -> Result<SourceChange> {
    let stored: BTreeMap<String, Secret> =
        app.store.source_secrets(row).await?.into_iter().collect();
    let given: BTreeMap<String, Secret> = ready.parts.secrets.iter().cloned().collect();
    let attached = ready.credential.map(|credential| credential.id);
    let now = row.attached.as_ref().map(|credential| credential.id);
    Ok(SourceChange {
        config: (row.config != ready.parts.open).then_some(ready.parts.open),
        secrets: (stored != given).then_some(ready.parts.secrets),
        attached: (now != attached).then_some(attached),
        ..SourceChange::default()
    })
}

fn is_empty(change: &SourceChange) -> bool {
    change.config.is_none()
        && change.secrets.is_none()
        && change.attached.is_none()
        && change.labels.is_none()
        && change.metadata.is_none()
        && change.description.is_none()
}

/// Removes what the file once made and no longer names: sources first, for
/// they hold their credentials.
async fn remove(
    app: &App,
    credentials: &BTreeSet<String>,
    sources: &BTreeSet<String>,
    applied: &mut Applied,
) -> Result<()> {
    for name in app.store.managed_sources(MANAGER).await? {
        let found = app
            .store
            .find_source(&ObjectRef::Name(name.clone()), &Scopes::all())
            .await?;
        if let Some(row) = found.filter(|_| !sources.contains(&name)) {
            app.store.delete_source(row.id, None, &actor()).await?;
            applied.removed.push(name);
        }
    }
    for name in app.store.managed_credentials(MANAGER).await? {
        let found = app
            .store
            .find_credential(&ObjectRef::Name(name.clone()), &Scopes::all())
            .await?;
        let Some(row) = found.filter(|_| !credentials.contains(&name)) else {
            continue;
        };
        match app
            .store
            .delete_credential(row.id, None, &Scopes::all(), &actor())
            .await
        {
            Ok(()) => applied.removed.push(name),
            Err(error) if error.kind() == Kind::Conflict => {
                applied.kept.push(error.message().to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
