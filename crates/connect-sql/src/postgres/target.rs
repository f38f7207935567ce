//! The table that is written to, and what goes into which of its columns.

use std::collections::HashMap;

use arrow::datatypes::{FieldRef, Schema};
use weir_core::{Result, StreamId, Write, WriteMode};
use weir_kit::Dialect;

use super::catalog::{self, WriteTarget};
use super::encode::{self, Wire};
use super::lease::Lease;
use super::types::TypeFacts;
use crate::shared::target::{self, Wires};

/// One column of the rows on its way.
pub type Outgoing = target::Outgoing<Wire>;

/// What is to be written where.
pub type Plan = target::Plan<Wire>;

/// Whether rows go into the table at once, and not beside it first.
pub fn is_direct(plan: &Plan, mode: WriteMode) -> bool {
    let is_plain = |column: &Outgoing| !column.is_new && column.wire != Wire::Text;
    plan.only_adds(mode) && plan.columns.iter().all(is_plain)
}

/// The statement that adds what is new to the table.
pub fn alter(plan: &Plan) -> Option<String> {
    let added: Vec<String> = plan
        .added()
        .map(|c| {
            format!(
                "ADD COLUMN IF NOT EXISTS {} {}",
                Dialect::Standard.quote(&c.name),
                c.native
            )
        })
        .collect();
    (!added.is_empty()).then(|| format!("ALTER TABLE {} {}", plan.path, added.join(", ")))
}

/// What the types of the database make of those of Arrow.
struct Types<'a>(&'a HashMap<u32, TypeFacts>);

impl Wires for Types<'_> {
    type Wire = Wire;
    type Kind = u32;

    fn created(&self, field: &FieldRef, _: bool) -> Result<(String, Wire)> {
        encode::created_type(field)
    }

    fn into(&self, field: &FieldRef, oid: &u32) -> Option<Wire> {
        encode::wire(field, *oid, self.0)
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
    let Some(table) = catalog::write_target(lease, schema, name).await? else {
        let types = Types(lease.types());
        return target::new_table(&types, Dialect::Standard, path, write, rows);
    };
    if write.mode != WriteMode::Fail {
        check_kind(&table, &write.stream)?;
    }
    let types = Types(lease.types());
    let plan = target::into_table(&types, Dialect::Standard, path, write, rows, &table.columns)?;
    if write.mode.needs_keys() && !catalog::has_unique(lease, table.oid, &write.keys).await? {
        return Err(target::no_unique_key(&write.keys));
    }
    if write.mode == WriteMode::Replace && catalog::is_followed(lease, table.oid).await? {
        return Err(target::followed(&write.stream));
    }
    Ok(plan)
}

fn check_kind(table: &WriteTarget, stream: &StreamId) -> Result<()> {
    let what = match table.kind.as_str() {
        "r" | "p" => return Ok(()),
        "v" => "a view",
        "m" => "a materialized view",
        _ => "a foreign table",
    };
    Err(target::not_a_table(stream, what))
}
