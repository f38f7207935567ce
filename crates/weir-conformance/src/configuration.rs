//! The config, its schema and the declared capabilities.

use serde_json::Value;
use weir_core::{AnyConnector, Capability, Context, Discover, Kind};

use crate::{Outcome, Subject, ensure, err, ok};

pub(crate) async fn example(connector: &dyn AnyConnector) -> Outcome {
    ok(
        "checking the example",
        connector.check(&connector.descriptor().example),
    )
}

/// Every field of the schema with its path, through `$ref`.
fn fields(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(schema, schema, "", 0, &mut found);
    found
}

fn collect<'a>(
    root: &'a Value,
    node: &'a Value,
    path: &str,
    depth: usize,
    found: &mut Vec<(String, &'a Value)>,
) {
    // No config nests this deep, but a schema may refer to itself.
    if depth > 16 {
        return;
    }
    if let Some(target) = node.get("$ref").and_then(Value::as_str)
        && let Some(target) = target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
    {
        collect(root, target, path, depth + 1, found);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in node
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            collect(root, part, path, depth + 1, found);
        }
    }
    for (name, field) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = format!("{path}/{name}");
        found.push((path.clone(), field));
        collect(root, field, &path, depth + 1, found);
    }
}

/// A tag has one value and explains itself by the variant it names.
fn is_tag(field: &Value) -> bool {
    field.get("const").is_some()
}

pub(crate) async fn documented(connector: &dyn AnyConnector) -> Outcome {
    let bare: Vec<String> = fields(connector.config_schema())
        .into_iter()
        .filter(|(_, field)| !is_tag(field) && field.get("description").is_none())
        .map(|(path, _)| path)
        .collect();
    ensure(
        bare.is_empty(),
        format!("no description: {}", bare.join(", ")),
    )
}

pub(crate) async fn write_only(connector: &dyn AnyConnector) -> Outcome {
    const NAMES: &[&str] = &["password", "secret", "token", "passphrase", "private_key"];
    let known = &connector.facts().secret;
    let open: Vec<String> = fields(connector.config_schema())
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| NAMES.iter().any(|name| path.ends_with(name)))
        .filter(|path| {
            !known
                .iter()
                .any(|secret| format!("/{}", secret.join("/")) == *path)
        })
        .collect();
    ensure(
        open.is_empty(),
        format!("named like secrets, but readable: {}", open.join(", ")),
    )
}

pub(crate) async fn unknown_field(connector: &dyn AnyConnector, config: &Value) -> Outcome {
    let schema = connector.config_schema();
    let known = schema.get("properties").and_then(Value::as_object);
    let near = known.and_then(|fields| fields.keys().next());
    let name = near.map_or_else(|| "nonsense".to_owned(), |name| format!("{name}x"));
    let mut wrong = config.clone();
    let Some(fields) = wrong.as_object_mut() else {
        return Err("the config is not an object".into());
    };
    fields.insert(name.clone(), Value::Null);
    let error = err("a config with an unknown field", connector.check(&wrong))?;
    ensure(
        error.stable_code() == "unknown_field",
        crate::shown("it", &error),
    )?;
    let pointer = error
        .fields()
        .first()
        .map(|field| field.pointer.clone())
        .unwrap_or_default();
    ensure(
        pointer == format!("/{name}"),
        format!("the pointer is `{pointer}`"),
    )?;
    let named = near.is_none_or(|near| error.message().contains(near.as_str()));
    ensure(named, format!("the nearest name is not in: {error}"))
}

pub(crate) async fn undeclared(subject: &Subject<'_>) -> Outcome {
    let (source, ctx) = (&subject.source, &subject.ctx);
    let one = Discover {
        limit: 1,
        ..Discover::default()
    };
    let answers = [
        (Capability::Test, source.test(ctx).await.1.err()),
        (Capability::Discover, source.discover(ctx, &one).await.err()),
        (
            Capability::Load,
            source.scan(ctx, &subject.read()).await.err(),
        ),
        (
            Capability::Preview,
            source.scan(ctx, &subject.read()).await.err(),
        ),
        (Capability::Write, source.check_writable().err()),
    ];
    for (capability, error) in answers {
        let refused = error.is_some_and(|error| error.kind() == Kind::Unsupported);
        ensure(
            refused != subject.can(capability),
            format!(
                "{capability:?}: declared {}, unsupported {refused}",
                subject.can(capability)
            ),
        )?;
    }
    Ok(())
}

/// Opens the config, for cases that need another source than the subject's.
pub(crate) async fn open(
    connector: &dyn AnyConnector,
    config: &Value,
    ctx: &Context,
) -> Result<weir_core::OpenSource, weir_core::Error> {
    connector.open(config.clone(), ctx).await
}
