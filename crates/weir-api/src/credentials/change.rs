//! Fields of a credential, as they are given and as they change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use weir_core::config::escape_pointer;
use weir_core::reference::{self, Reference};
use weir_core::secret::MASK;
use weir_core::{Error, Result, Secret};
use weir_store::{CredentialRow, Fields};

use super::{attach, hosts};
use crate::auth::{Caller, Role};
use crate::state::App;

/// Fields of one credential at most.
const MOST: usize = 100;
/// Bytes of a value at most: certificates and service accounts fit.
const LONGEST: usize = 256 * 1024;
/// Entries of a list at most.
const ENTRIES: usize = 200;

/// A given field.
enum Given {
    Literal(Secret),
    Reference(String),
    Unchanged,
    Removed,
}

fn pointer(field: &str) -> String {
    format!("/fields/{}", escape_pointer(field))
}

fn read(caller: Option<&Caller>, field: &str, value: &Value) -> Result<Given> {
    let at = pointer(field);
    if !reference::is_field(field) {
        return Err(Error::invalid(
            at,
            "the name of a field is a word, or words joined by `.`",
        ));
    }
    match value {
        Value::Null => Ok(Given::Removed),
        Value::String(text) if text == MASK => Ok(Given::Unchanged),
        Value::String(text) if text.len() > LONGEST => Err(Error::invalid(
            at,
            format!("a value has at most {LONGEST} bytes"),
        )),
        Value::String(text) => Ok(Given::Literal(Secret::new(text.as_str()))),
        Value::Object(map) if map.contains_key(reference::KEY) => {
            reference::collect(value).map_err(|error| error.under(&at))?;
            let text = reference::expression(value).unwrap_or_default();
            let parsed = Reference::parse(text).map_err(|error| error.under(&at))?;
            if !parsed.needs_admin() {
                let message = "a credential refers to the environment, a file or a secret store, not to another credential or source";
                return Err(Error::invalid(at, message).code("invalid_reference"));
            }
            if caller.is_some_and(|caller| caller.role < Role::Admin) {
                return Err(attach::admins_only(at));
            }
            Ok(Given::Reference(text.to_owned()))
        }
        Value::Object(_) => Err(Error::invalid(at, "a field holds a text or a reference")
            .hint("write nested fields with dots: {\"tls.key\": \"…\"}")),
        _ => Err(Error::invalid(at, "a field holds a text or a reference")
            .hint("write numbers as texts: {\"port\": \"5432\"}")),
    }
}

/// The fields of a new credential.
pub fn first(caller: Option<&Caller>, given: &Map<String, Value>) -> Result<Fields> {
    let mut fields = Fields::default();
    for (field, value) in given {
        match read(caller, field, value)? {
            Given::Literal(secret) => fields.secrets.push((field.clone(), secret)),
            Given::Reference(text) => {
                fields.refs.insert(field.clone(), text);
            }
            Given::Unchanged => return Err(nothing_stored(field)),
            Given::Removed => {
                return Err(Error::invalid(pointer(field), "a new field has a value"));
            }
        }
        fields.changed.insert(field.clone());
    }
    check_names(&fields)?;
    Ok(fields)
}

fn nothing_stored(field: &str) -> Error {
    Error::invalid(
        pointer(field),
        "`***` means unchanged, but no value is stored here",
    )
}

fn check_names(fields: &Fields) -> Result<()> {
    let literals = fields.secrets.iter().map(|(field, _)| field.as_str());
    let names: BTreeSet<&str> = literals
        .chain(fields.refs.keys().map(String::as_str))
        .collect();
    if names.len() > MOST {
        return Err(Error::invalid(
            "/fields",
            format!("a credential has at most {MOST} fields"),
        ));
    }
    for name in &names {
        let above = name
            .char_indices()
            .filter(|(_, c)| *c == '.')
            .map(|(at, _)| &name[..at])
            .find(|above| names.contains(above));
        if let Some(above) = above {
            let message = format!("`{name}` lies within `{above}`, which is set too");
            return Err(Error::invalid(pointer(name), message));
        }
    }
    Ok(())
}

/// `given` merged into the stored fields; `None` where nothing changes.
pub async fn merged(
    app: &App,
    caller: Option<&Caller>,
    row: &CredentialRow,
    given: &Map<String, Value>,
) -> Result<Option<Fields>> {
    let stored = app.store.credential_secrets(row).await?;
    let mut secrets: BTreeMap<String, Secret> = stored.into_iter().collect();
    let mut refs = row.refs.clone();
    let mut changed = BTreeSet::new();
    for (field, value) in given {
        match read(caller_of_new(caller, row, field, value), field, value)? {
            Given::Unchanged if secrets.contains_key(field) => {}
            Given::Unchanged => return Err(nothing_stored(field)),
            Given::Removed => {
                let sealed = secrets.remove(field).is_some();
                if refs.remove(field).is_some() || sealed {
                    changed.insert(field.clone());
                }
            }
            Given::Literal(secret) => {
                refs.remove(field);
                secrets.insert(field.clone(), secret);
                // Also when it is the same again: whoever gives it, knows it.
                changed.insert(field.clone());
            }
            Given::Reference(text) => {
                secrets.remove(field);
                if refs.insert(field.clone(), text.clone()).as_ref() != Some(&text) {
                    changed.insert(field.clone());
                }
            }
        }
    }
    if changed.is_empty() {
        return Ok(None);
    }
    let fields = Fields {
        secrets: secrets.into_iter().collect(),
        refs,
        changed,
    };
    check_names(&fields)?;
    Ok(Some(fields))
}

/// Nobody has to be asked for a reference that stays as it is.
fn caller_of_new<'a>(
    caller: Option<&'a Caller>,
    row: &CredentialRow,
    field: &str,
    value: &Value,
) -> Option<&'a Caller> {
    let stays = reference::expression(value)
        .is_some_and(|text| row.refs.get(field).is_some_and(|old| old == text));
    caller.filter(|_| !stays)
}

/// Refuses a change with which somebody could send values that he did not
/// give himself to another place: fields that say where, and the lists that bind.
pub async fn permit(
    app: &App,
    caller: &Caller,
    row: &CredentialRow,
    fields: Option<&Fields>,
    unbound: Option<&'static str>,
) -> Result<()> {
    if caller.role >= Role::Admin {
        return Ok(());
    }
    let changed = fields.map(|fields| &fields.changed);
    let moved = changed.and_then(|changed| changed.iter().find(|field| says_where(app, field)));
    let own = row.known_to == Some(caller.key_id);
    let kept = match fields {
        None => !row.fields().is_empty(),
        Some(fields) => {
            let kept = |field: &String| !fields.changed.contains(field);
            fields.secrets.iter().any(|(field, _)| kept(field)) || fields.refs.keys().any(kept)
        }
    };
    let pointer = match (moved, unbound) {
        (Some(field), _) => pointer(field),
        (None, Some(part)) => format!("/{part}"),
        (None, None) => return Ok(()),
    };
    let beside = moved.is_some() && app.store.credential_beside_secrets(row.id).await?;
    if beside || (kept && !own) {
        return Err(Error::invalid(
            pointer,
            "this says where secrets go that you did not give, so they must be given again",
        )
        .code("secrets_required")
        .hint("send every field with its value in the same request, or ask an admin"));
    }
    Ok(())
}

/// Whether any connector takes the field for a place.
fn says_where(app: &App, field: &str) -> bool {
    let below = |a: &str, b: &str| {
        a.strip_prefix(b)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    app.registry.iter().any(|connector| {
        connector.facts().endpoint.iter().any(|path| {
            let end = path.join(".");
            below(field, &end) || below(&end, field)
        })
    })
}

/// Refuses lists that say nothing or too much.
pub fn check_lists(
    hosts_given: Option<&Vec<String>>,
    sources_given: Option<&Vec<String>>,
) -> Result<()> {
    for (part, list) in [
        ("allowed_hosts", hosts_given),
        ("allowed_sources", sources_given),
    ] {
        if list.is_some_and(|list| list.len() > ENTRIES) {
            let message = format!("{part} has at most {ENTRIES} entries");
            return Err(Error::invalid(format!("/{part}"), message));
        }
    }
    for (index, pattern) in hosts_given.into_iter().flatten().enumerate() {
        hosts::check_pattern(pattern)
            .map_err(|message| Error::invalid(format!("/allowed_hosts/{index}"), message))?;
    }
    for (index, entry) in sources_given.into_iter().flatten().enumerate() {
        if entry.is_empty() || entry.len() > 300 || entry.starts_with(':') {
            let message = "an entry is the name of a source or a label `key:value`";
            return Err(Error::invalid(format!("/allowed_sources/{index}"), message));
        }
    }
    Ok(())
}

/// Refuses new fields that a source which attaches the credential sets itself.
pub async fn refuse_clash(
    app: &App,
    caller: &Caller,
    row: &CredentialRow,
    fields: &Fields,
) -> Result<()> {
    let literals = fields.secrets.iter().map(|(field, _)| field.clone());
    let all: Vec<String> = literals.chain(fields.refs.keys().cloned()).collect();
    match app
        .store
        .credential_clash(row, &all, &caller.scopes)
        .await?
    {
        None => Ok(()),
        Some((field, source)) => {
            let source =
                source.map_or("a source".to_owned(), |name| format!("the source `{name}`"));
            let message = format!("{source} attaches this credential and sets `{field}` itself");
            Err(Error::invalid(pointer(&field), message)
                .code("set_twice")
                .hint("remove the field from the source first"))
        }
    }
}
