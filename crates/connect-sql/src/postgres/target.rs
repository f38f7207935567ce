//! The table that is written to, and what goes into which of its columns.

use std::collections::HashMap;

use arrow::datatypes::{FieldRef, Schema};
use weir_core::types::field_type_name;
use weir_core::{Error, Kind, Result, SourceFault, StreamId, Write, WriteMode};
use weir_kit::Dialect;
use weir_kit::write::{NewColumn, Place, create_table, place_columns};

use super::catalog::{self, WriteTarget};
use super::encode::{self, Wire};
use super::lease::Lease;
use super::types::TypeFacts;

/// One column of the rows on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its name, in the rows and in the table.
    pub name: String,
    /// How it is written.
    pub wire: Wire,
    /// Whether null is refused, and why.
    pub required: bool,
    /// Its type in the table.
    pub native: String,
    /// Whether the table gets it first.
    pub is_new: bool,
}

/// What is to be written where.
pub struct Plan {
    /// The quoted path of the table.
    pub path: String,
    /// One for each column of the rows, in their order.
    pub columns: Vec<Outgoing>,
    /// The statement that makes the table, where it is not there.
    pub create: Option<String>,
}

impl Plan {
    /// Whether rows go into the table at once, and not beside it first.
    pub fn is_direct(&self, mode: WriteMode) -> bool {
        let plain = matches!(mode, WriteMode::Append | WriteMode::Fail)
            || (mode == WriteMode::Replace && self.create.is_some());
        plain
            && !self
                .columns
                .iter()
                .any(|c| c.is_new || c.wire == Wire::Text)
    }

    /// The columns, quoted and joined.
    pub fn names(&self) -> String {
        let quoted = |column: &Outgoing| Dialect::Standard.quote(&column.name);
        self.columns
            .iter()
            .map(quoted)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The statement that adds what is new to the table.
    pub fn alter(&self) -> Option<String> {
        let added: Vec<String> = self
            .added()
            .map(|c| {
                format!(
                    "ADD COLUMN IF NOT EXISTS {} {}",
                    Dialect::Standard.quote(&c.name),
                    c.native
                )
            })
            .collect();
        (!added.is_empty()).then(|| format!("ALTER TABLE {} {}", self.path, added.join(", ")))
    }

    /// Columns that the table gets.
    pub fn added(&self) -> impl Iterator<Item = &Outgoing> {
        self.columns.iter().filter(|column| column.is_new)
    }
}

/// Looks at the table, and holds the rows against it before any of them is taken.
pub async fn plan(
    lease: &mut Lease,
    schema: &str,
    name: &str,
    write: &Write,
    rows: &Schema,
) -> Result<Plan> {
    let path = Dialect::Standard.path(&[schema, name]);
    let Some(target) = catalog::write_target(lease, schema, name).await? else {
        return new_table(path, write, rows);
    };
    if write.mode == WriteMode::Fail {
        return Err(weir_kit::write::stream_exists(&write.stream));
    }
    check_kind(&target, &write.stream)?;
    let columns = into_table(&target, write, rows, lease.types())?;
    if write.mode.needs_keys() && !catalog::has_unique(lease, target.oid, &write.keys).await? {
        return Err(no_unique_key(&write.keys));
    }
    if write.mode == WriteMode::Replace && catalog::is_followed(lease, target.oid).await? {
        return Err(followed(&write.stream));
    }
    Ok(Plan {
        path,
        columns,
        create: None,
    })
}

fn new_table(path: String, write: &Write, rows: &Schema) -> Result<Plan> {
    let mut columns = Vec::with_capacity(rows.fields().len());
    for field in rows.fields() {
        let (native, wire) = encode::created_type(field)?;
        columns.push(Outgoing {
            name: field.name().clone(),
            wire,
            native,
            required: write.keys.contains(field.name()),
            is_new: false,
        });
    }
    let new: Vec<NewColumn<'_>> = columns
        .iter()
        .map(|column| NewColumn {
            name: &column.name,
            native: column.native.clone(),
            required: false,
        })
        .collect();
    let create = create_table(Dialect::Standard, &path, &new, &write.keys);
    Ok(Plan {
        path,
        create: Some(create),
        columns,
    })
}

fn into_table(
    target: &WriteTarget,
    write: &Write,
    rows: &Schema,
    types: &HashMap<u32, TypeFacts>,
) -> Result<Vec<Outgoing>> {
    let known: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
    let places = place_columns(rows, &known, write.schema_change)?;
    let mut columns = Vec::with_capacity(places.len());
    for (field, place) in rows.fields().iter().zip(places) {
        columns.push(match place {
            Place::New => added(field)?,
            Place::At(at) => into_column(&target.columns[at], field, types)?,
        });
    }
    Ok(columns)
}

fn added(field: &FieldRef) -> Result<Outgoing> {
    let (native, wire) = encode::created_type(field)?;
    Ok(Outgoing {
        name: field.name().clone(),
        wire,
        native,
        required: false,
        is_new: true,
    })
}

fn into_column(
    column: &catalog::WriteColumn,
    field: &FieldRef,
    types: &HashMap<u32, TypeFacts>,
) -> Result<Outgoing> {
    let name = &column.name;
    if column.generated {
        let message = format!("column `{name}` is computed by the table itself");
        return Err(Error::new(Kind::Invalid, message)
            .code("unsupported_type")
            .hint("leave the column out"));
    }
    let wire = encode::wire(field, column.oid, types).ok_or_else(|| {
        let (from, to) = (field_type_name(field), &column.native);
        let message = format!("column `{name}` is {from}, and in the table {to}");
        Error::new(Kind::Invalid, message)
            .code("unsupported_type")
            .hint("convert the column first, or give its type with ?types=")
    })?;
    Ok(Outgoing {
        name: name.clone(),
        wire,
        required: column.required,
        native: column.native.clone(),
        is_new: false,
    })
}

fn check_kind(target: &WriteTarget, stream: &StreamId) -> Result<()> {
    let what = match target.kind.as_str() {
        "r" | "p" => return Ok(()),
        "v" => "a view",
        "m" => "a materialized view",
        _ => "a foreign table",
    };
    Err(
        Error::unsupported(format!("{stream} is {what}, which is not written to"))
            .hint("write to the table behind it"),
    )
}

fn no_unique_key(keys: &[String]) -> Error {
    let names = keys.join(", ");
    Error::invalid(
        "/keys",
        format!("no unique index of the table is over exactly {names}"),
    )
    .code("no_unique_key")
    .hint("upsert and ignore need a primary key or unique index over the keys, neither partial nor deferrable")
}

fn followed(stream: &StreamId) -> Error {
    let message = format!("rows of other tables would change or go with those of {stream}");
    Error::source(SourceFault::Query, message)
        .code("replace_followed")
        .hint("foreign keys to it say ON DELETE CASCADE or SET; write with upsert, or change these keys")
}
