//! The config that a source is opened with: its own fields, its own secrets,
//! the fields of the credential it attaches, and where references stand in it.

use serde_json::{Value, json};
use weir_core::reference::{self, Placed};
use weir_core::secret::MASK;
use weir_core::{AnyConnector, Error, Kind, Result, Secret, config};
use weir_store::{CredentialRow, SourceRow, Store};

use crate::sources::split_path;

/// A whole config. Holds secrets in clear: never shown, never logged.
pub struct Effective {
    /// Everything in place.
    pub config: Value,
    /// Paths of the fields that a credential gave.
    pub lent: Vec<Vec<String>>,
    /// The references that stand in it, pointers relative to the config.
    pub references: Vec<Placed>,
}

/// A credential with its values, opened.
pub struct Opened<'a> {
    /// The credential.
    pub row: &'a CredentialRow,
    /// Dotted path and value of each sealed field.
    pub secrets: Vec<(String, Secret)>,
}

impl<'a> Opened<'a> {
    /// Opens the values of a credential.
    pub async fn of(store: &Store, row: &'a CredentialRow) -> Result<Self> {
        let secrets = store.credential_secrets(row).await?;
        Ok(Opened { row, secrets })
    }
}

impl Effective {
    /// Lays the fields of `credential` over `whole`, a config with its own
    /// secrets in place. A field that is set in both is refused.
    pub fn lay(
        connector: &dyn AnyConnector,
        whole: Value,
        credential: Option<&Opened<'_>>,
    ) -> Result<Self> {
        let mut config = whole;
        let mut lent = Vec::new();
        if let Some(credential) = credential {
            let literals = credential.secrets.iter().map(|(field, secret)| {
                let path = split_path(field);
                let value = typed(connector.config_schema(), &path, secret.expose());
                (field, path, value)
            });
            let refs = credential.row.refs.iter().map(|(field, text)| {
                let value = json!({ reference::KEY: text });
                (field, split_path(field), value)
            });
            for (field, path, value) in literals.chain(refs) {
                refuse_both(&config, field, &path, &credential.row.name)?;
                config::put(&mut config, &path, value);
                lent.push(path);
            }
        }
        let references = reference::collect(&config).map_err(|e| e.under("/config"))?;
        Ok(Effective {
            config,
            lent,
            references,
        })
    }

    /// The config of a stored source.
    pub async fn of(store: &Store, connector: &dyn AnyConnector, row: &SourceRow) -> Result<Self> {
        let whole = own(store, row).await?;
        match &row.attached {
            Some(attached) => {
                let opened = Opened::of(store, attached).await?;
                Effective::lay(connector, whole, Some(&opened))
            }
            None => Effective::lay(connector, whole, None),
        }
    }

    /// Checks it as the connector does, as far as its references let it.
    pub fn check(&self, connector: &dyn AnyConnector) -> Result<()> {
        let mut config = self.config.clone();
        for placed in &self.references {
            stand_in(connector, &mut config, placed);
        }
        let mut outcome = connector.check(&config);
        for placed in &self.references {
            // What no stand-in fits is left out, and the rest is checked.
            if let Err(error) = &outcome
                && points_into(error, &placed.pointer)
            {
                config::take(&mut config, &path_of(&placed.pointer));
                outcome = connector.check(&config);
                if outcome
                    .as_ref()
                    .is_err_and(|error| points_into(error, &placed.pointer))
                {
                    outcome = Ok(());
                }
            }
        }
        outcome.map_err(|error| self.told(error))
    }

    /// The error of a check, with pointers of the request and without the
    /// values that a credential gave.
    fn told(&self, error: Error) -> Error {
        let lent: Vec<String> = self.lent.iter().map(|path| pointer_of(path)).collect();
        let of_credential = error.fields().iter().any(|field| {
            lent.iter().any(|pointer| {
                is_below(&field.pointer, pointer) || is_below(pointer, &field.pointer)
            })
        });
        let values: Vec<&str> = self
            .lent
            .iter()
            .filter_map(|path| config::get(&self.config, path)?.as_str())
            .filter(|value| value.len() > 2)
            .collect();
        let clean = error.scrubbed(|text| {
            values.iter().any(|value| text.contains(value)).then(|| {
                values
                    .iter()
                    .fold(text.to_owned(), |t, v| t.replace(v, MASK))
            })
        });
        if of_credential && !lent.is_empty() {
            let message = format!("the credential does not fit: {}", clean.message());
            return Error::invalid("/credential", message)
                .code(clean.stable_code())
                .hint("GET /v1/credentials/{c} shows which fields it sets");
        }
        clean.under("/config")
    }

    /// Refuses to open while a reference is not looked up.
    pub fn resolved(&self) -> Result<()> {
        let Some(first) = self.references.first() else {
            return Ok(());
        };
        let message = format!(
            "the field `{}` is a reference that this build does not resolve",
            first.pointer.trim_start_matches('/').replace('/', ".")
        );
        let mut error = Error::new(Kind::Unsupported, message)
            .code("unresolved_reference")
            .hint("give the field a literal value, or a credential that has one");
        for placed in &self.references {
            error = error.at(format!("/config{}", placed.pointer), "not resolved");
        }
        Err(error)
    }
}

/// The config of a source with its own secrets in place.
pub async fn own(store: &Store, row: &SourceRow) -> Result<Value> {
    let mut whole = row.config.clone();
    for (field, secret) in store.source_secrets(row).await? {
        config::put(&mut whole, &split_path(&field), secret.expose().into());
    }
    Ok(whole)
}

fn refuse_both(config: &Value, field: &str, path: &[String], credential: &str) -> Result<()> {
    let set = |path: &[String]| config::get(config, path).filter(|value| !value.is_null());
    let above = (1..path.len()).find(|end| {
        set(&path[..*end])
            .is_some_and(|value| !value.is_object() || reference::expression(value).is_some())
    });
    let clash = match above {
        Some(end) => &path[..end],
        None if set(path).is_some() => path,
        None => return Ok(()),
    };
    let message = format!("`{field}` is set here and by the credential `{credential}`");
    Err(
        Error::invalid(format!("/config{}", pointer_of(clash)), message)
            .code("set_twice")
            .hint("set it in one place only"),
    )
}

/// The value of a text where the schema wants a number or a truth value.
fn typed(schema: &Value, path: &[String], text: &str) -> Value {
    let wanted = types(schema, path);
    if wanted.is_empty() || wanted.contains(&"string") {
        return text.into();
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => text.into(),
    }
}

/// The schema's node at `path`, references followed.
fn node<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut at = follow(root, root);
    for part in path {
        at = follow(root, at.get("properties")?.get(part)?);
    }
    Some(at)
}

fn follow<'a>(root: &'a Value, mut at: &'a Value) -> &'a Value {
    for _ in 0..8 {
        let target = at.get("$ref").and_then(Value::as_str);
        let some = at.get("anyOf").or_else(|| at.get("oneOf"));
        let next = match target {
            Some(target) => target.strip_prefix('#').and_then(|p| root.pointer(p)),
            // An optional part is the part or null.
            None => some.and_then(Value::as_array).and_then(|parts| {
                parts
                    .iter()
                    .find(|part| part.get("type").and_then(Value::as_str) != Some("null"))
            }),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

fn types<'a>(schema: &'a Value, path: &[String]) -> Vec<&'a str> {
    match node(schema, path).and_then(|node| node.get("type")) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Puts the first value of the right shape where a reference stands.
fn stand_in(connector: &dyn AnyConnector, config: &mut Value, placed: &Placed) {
    let schema = connector.config_schema();
    let path = path_of(&placed.pointer);
    let at = node(schema, &path);
    let mut candidates: Vec<Value> = Vec::new();
    for key in ["examples", "enum"] {
        let listed = at.and_then(|node| node.get(key)).and_then(Value::as_array);
        candidates.extend(listed.into_iter().flatten().take(1).cloned());
    }
    if types(schema, &path).contains(&"integer") {
        candidates.extend([json!(5432), json!(1)]);
    }
    let kind = connector.descriptor().kind;
    candidates.extend([
        json!("reference"),
        json!(format!("{kind}://reference@reference.invalid/reference")),
        json!("https://reference.invalid/"),
        json!(true),
    ]);
    for candidate in candidates {
        let Some(place) = config.pointer_mut(&placed.pointer) else {
            return;
        };
        *place = candidate;
        let fits = match connector.check(config) {
            Ok(()) => true,
            Err(error) => !points_into(&error, &placed.pointer),
        };
        if fits {
            return;
        }
    }
}

fn points_into(error: &Error, pointer: &str) -> bool {
    error
        .fields()
        .iter()
        .any(|field| is_below(&field.pointer, pointer))
}

/// Whether `pointer` is `above` or something in it.
fn is_below(pointer: &str, above: &str) -> bool {
    pointer
        .strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn pointer_of(path: &[String]) -> String {
    path.iter()
        .map(|part| format!("/{}", config::escape_pointer(part)))
        .collect()
}

fn path_of(pointer: &str) -> Vec<String> {
    pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect()
}
