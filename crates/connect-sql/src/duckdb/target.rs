//! The table that is written to, and the statements that bring rows over.

use std::collections::HashMap;

use arrow::datatypes::{FieldRef, Schema};
use libduckdb::{Bind, Logical};
use weir_core::{Result, Write, WriteMode};
use weir_kit::Dialect;

use super::catalog;
use super::encode::{self, Check, Wire};
use super::session::Session;
use crate::shared::target::{self, Known, Wires};

/// One column of the rows on its way.
pub type Outgoing = target::Outgoing<Wire>;

/// What is to be written where.
pub type Plan = target::Plan<Wire>;

/// The temporary table that rows wait in, and its column with their numbers.
pub const STAGE: &str = "weir_rows";
const NUMBER: &str = "weir_row";

/// What DuckDB makes of Arrow types.
struct Types;

/// Its native name goes with the type: that of an enum has its members.
type TypeOf = (Logical, String);

impl Wires for Types {
    type Wire = Wire;
    type Kind = TypeOf;

    fn created(&self, field: &FieldRef, _: bool) -> Result<(String, Wire)> {
        encode::created(field)
    }

    fn into(&self, field: &FieldRef, (logical, native): &TypeOf) -> Option<Wire> {
        encode::into(field, logical, native)
    }
}

/// Looks at the table, and holds the rows against it.
pub async fn plan(
    session: &mut Session,
    schema: &str,
    name: &str,
    write: &Write,
    rows: &Schema,
) -> Result<Plan> {
    let path = catalog::path(session, schema, name).await?;
    let Some(relation) = catalog::find(session, schema, name).await? else {
        return target::new_table(&Types, Dialect::Standard, path, write, rows);
    };
    if write.mode != WriteMode::Fail && relation.info.kind != "table" {
        return Err(target::not_a_table(&write.stream, "a view"));
    }
    let facts = catalog::facts(session, schema, name).await?;
    let natives = natives(session, schema, name).await?;
    let generated = catalog::generated(session, schema, name, rows).await?;
    let known: Vec<Known<TypeOf>> = relation
        .columns
        .into_iter()
        .map(|column| {
            let native = natives.get(&column.name).cloned().unwrap_or(column.native);
            Known {
                kind: (column.logical, native.clone()),
                native,
                required: facts
                    .get(&column.name)
                    .is_some_and(|(nullable, _)| !nullable),
                generated: generated.contains(&column.name),
                name: column.name,
            }
        })
        .collect();
    let plan = target::into_table(&Types, Dialect::Standard, path, write, rows, &known)?;
    if write.mode.needs_keys() && !catalog::has_unique(session, schema, name, &write.keys).await? {
        return Err(target::no_unique_key(&write.keys));
    }
    Ok(plan)
}

async fn natives(
    session: &mut Session,
    schema: &str,
    name: &str,
) -> Result<HashMap<String, String>> {
    let values = vec![Bind::Text(schema.to_owned()), Bind::Text(name.to_owned())];
    catalog::natives(session, values).await
}

fn staged(index: usize) -> String {
    format!("c{index}")
}

/// Makes the table that rows wait in. It is of this connection alone and of no file.
pub fn stage(plan: &Plan) -> String {
    let mut columns = vec![format!("{NUMBER} BIGINT")];
    for (index, column) in plan.columns.iter().enumerate() {
        columns.push(format!("{} {}", staged(index), column.wire.staged));
    }
    format!("CREATE TEMPORARY TABLE {STAGE} ({})", columns.join(", "))
}

/// What makes the table as the rows want it; in their transaction.
pub fn prepare(plan: &Plan) -> Vec<String> {
    let mut statements: Vec<String> = plan.create.iter().cloned().collect();
    statements.extend(plan.added().map(|column| {
        let name = Dialect::Standard.quote(&column.name);
        format!(
            "ALTER TABLE {} ADD COLUMN {name} {}",
            plan.path, column.native
        )
    }));
    statements
}

/// For each column that needs a look, the number of the first row that does not
/// fit, and why; none where all are fine by their types.
pub fn checks(plan: &Plan) -> Option<(String, Vec<(String, &'static str)>)> {
    let (mut parts, mut told) = (Vec::new(), Vec::new());
    for (index, column) in plan.columns.iter().enumerate() {
        let at = staged(index);
        let cast = format!("TRY_CAST({at} AS {})", column.native);
        if column.required {
            parts.push(format!("{at} IS NULL"));
            told.push((column.name.clone(), "null, where the table takes none"));
        }
        let (condition, why) = match column.wire.check {
            Check::None => continue,
            Check::Finite => (format!("NOT isfinite({at})"), "beyond the range of dates"),
            Check::Taken => (
                format!("{at} IS NOT NULL AND {cast} IS NULL"),
                "does not fit the type of the column",
            ),
            Check::Equal => (
                format!("{at} IS NOT NULL AND {cast} IS DISTINCT FROM {at}"),
                "does not fit the type of the column, or not without loss",
            ),
        };
        parts.push(condition);
        told.push((column.name.clone(), why));
    }
    if parts.is_empty() {
        return None;
    }
    let parts = parts
        .iter()
        .map(|condition| format!("min({NUMBER}) FILTER (WHERE {condition})"));
    let sql = format!(
        "SELECT {} FROM {STAGE}",
        parts.collect::<Vec<_>>().join(", ")
    );
    Some((sql, told))
}

/// Brings the rows over.
pub fn insert(plan: &Plan, write: &Write) -> String {
    let cast = |(index, column): (usize, &Outgoing)| {
        let at = staged(index);
        match column.wire.staged == column.native {
            true => at,
            false => format!("CAST({at} AS {})", column.native),
        }
    };
    let columns = || plan.columns.iter().enumerate();
    let values: Vec<String> = columns().map(cast).collect();
    // Compared as the table compares them.
    let is_key = |(_, column): &(usize, &Outgoing)| write.keys.contains(&column.name);
    let compared: Vec<String> = columns().filter(is_key).map(cast).collect();
    let (values, compared) = (values.join(", "), compared.join(", "));
    // Of rows with the same keys the last holds, or the first, as if they came one
    // after the other.
    let one_each = |order: &str| {
        format!("QUALIFY row_number() OVER (PARTITION BY {compared} ORDER BY {NUMBER} {order}) = 1")
    };
    let rows = match write.mode {
        WriteMode::Upsert => one_each("DESC"),
        WriteMode::Ignore => one_each("ASC"),
        WriteMode::Append | WriteMode::Replace | WriteMode::Fail => String::new(),
    };
    let quote = |name: &String| Dialect::Standard.quote(name);
    let keys: Vec<String> = write.keys.iter().map(quote).collect();
    let set = |column: &Outgoing| format!("{0} = EXCLUDED.{0}", quote(&column.name));
    let others: Vec<String> = plan.others(&write.keys).map(set).collect();
    let conflict = match write.mode {
        WriteMode::Upsert if !others.is_empty() => {
            format!(
                " ON CONFLICT ({}) DO UPDATE SET {}",
                keys.join(", "),
                others.join(", ")
            )
        }
        WriteMode::Upsert | WriteMode::Ignore => {
            format!(" ON CONFLICT ({}) DO NOTHING", keys.join(", "))
        }
        WriteMode::Append | WriteMode::Replace | WriteMode::Fail => String::new(),
    };
    format!(
        "INSERT INTO {} ({}) SELECT {values} FROM {STAGE} {rows}{conflict}",
        plan.path,
        plan.names()
    )
}
