//! The table that is written to, and what goes into which of its columns.

use arrow::datatypes::{FieldRef, Schema};
use weir_core::types::field_type_name;
use weir_core::{Error, Kind, Result, SourceFault, StreamId, Write, WriteMode};
use weir_kit::Dialect;
use weir_kit::write::{NewColumn, Place, create_table, place_columns};

/// One column of the rows on its way. `W` says how its values are written.
#[derive(Debug, Clone)]
pub struct Outgoing<W> {
    /// Its name, in the rows and in the table.
    pub name: String,
    /// How it is written.
    pub wire: W,
    /// Whether null is refused.
    pub required: bool,
    /// Its type in the table.
    pub native: String,
    /// Whether the table gets it first.
    pub is_new: bool,
}

/// What is to be written where.
#[derive(Debug, Clone)]
pub struct Plan<W> {
    /// How names are quoted.
    pub dialect: Dialect,
    /// The quoted path of the table.
    pub path: String,
    /// One for each column of the rows, in their order.
    pub columns: Vec<Outgoing<W>>,
    /// The statement that makes the table, where it is not there.
    pub create: Option<String>,
}

impl<W> Plan<W> {
    /// Whether no row that is there is asked about: nobody sees rows that are
    /// added before the commit.
    pub fn only_adds(&self, mode: WriteMode) -> bool {
        matches!(mode, WriteMode::Append | WriteMode::Fail)
            || (mode == WriteMode::Replace && self.create.is_some())
    }

    /// The columns, quoted and joined.
    pub fn names(&self) -> String {
        let quoted = |column: &Outgoing<W>| self.dialect.quote(&column.name);
        self.columns
            .iter()
            .map(quoted)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Columns that the table gets.
    pub fn added(&self) -> impl Iterator<Item = &Outgoing<W>> {
        self.columns.iter().filter(|column| column.is_new)
    }

    /// Columns that tell no row from another.
    pub fn others<'a>(&'a self, keys: &'a [String]) -> impl Iterator<Item = &'a Outgoing<W>> {
        let is_other = |column: &&Outgoing<W>| !keys.contains(&column.name);
        self.columns.iter().filter(is_other)
    }

    /// Names of the added columns, for the answer.
    pub fn added_names(&self) -> Vec<String> {
        self.added().map(|column| column.name.clone()).collect()
    }
}

/// A column of a table that is there. `T` is its type.
#[derive(Debug, Clone)]
pub struct Known<T> {
    /// Its name.
    pub name: String,
    /// Its type as the source writes it.
    pub native: String,
    /// The same, as the system's types by table know it.
    pub kind: T,
    /// Whether it must not be null.
    pub required: bool,
    /// Whether the table computes it.
    pub generated: bool,
}

/// What a system makes of Arrow types.
pub trait Wires {
    /// How values are written.
    type Wire;
    /// Types of columns.
    type Kind;

    /// The type of a new column for `field` and how it is written; `is_key`
    /// where rows are told apart by it.
    fn created(&self, field: &FieldRef, is_key: bool) -> Result<(String, Self::Wire)>;

    /// How values of `field` are written into a column; none where they do not
    /// fit.
    fn into(&self, field: &FieldRef, kind: &Self::Kind) -> Option<Self::Wire>;
}

/// A plan for a table that is to be made.
pub fn new_table<S: Wires>(
    wires: &S,
    dialect: Dialect,
    path: String,
    write: &Write,
    rows: &Schema,
) -> Result<Plan<S::Wire>> {
    let mut columns = Vec::with_capacity(rows.fields().len());
    for field in rows.fields() {
        let is_key = write.keys.contains(field.name());
        let (native, wire) = wires.created(field, is_key)?;
        columns.push(Outgoing {
            name: field.name().clone(),
            wire,
            native,
            required: is_key,
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
    let create = create_table(dialect, &path, &new, &write.keys);
    Ok(Plan {
        dialect,
        path,
        create: Some(create),
        columns,
    })
}

/// A plan for a table that is there. Names are matched exactly.
pub fn into_table<S: Wires>(
    wires: &S,
    dialect: Dialect,
    path: String,
    write: &Write,
    rows: &Schema,
    table: &[Known<S::Kind>],
) -> Result<Plan<S::Wire>> {
    if write.mode == WriteMode::Fail {
        return Err(weir_kit::write::stream_exists(&write.stream));
    }
    let known: Vec<&str> = table.iter().map(|c| c.name.as_str()).collect();
    let places = place_columns(rows, &known, write.schema_change)?;
    let mut columns = Vec::with_capacity(places.len());
    for (field, place) in rows.fields().iter().zip(places) {
        columns.push(match place {
            Place::New => {
                let (native, wire) = wires.created(field, false)?;
                Outgoing {
                    name: field.name().clone(),
                    wire,
                    native,
                    required: false,
                    is_new: true,
                }
            }
            Place::At(at) => into_column(wires, &table[at], field)?,
        });
    }
    Ok(Plan {
        dialect,
        path,
        create: None,
        columns,
    })
}

fn into_column<S: Wires>(
    wires: &S,
    column: &Known<S::Kind>,
    field: &FieldRef,
) -> Result<Outgoing<S::Wire>> {
    let name = &column.name;
    if column.generated {
        let message = format!("column `{name}` is computed by the table itself");
        return Err(Error::new(Kind::Invalid, message)
            .code("unsupported_type")
            .hint("leave the column out"));
    }
    let wire = wires.into(field, &column.kind).ok_or_else(|| {
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

/// What is there is no table.
pub fn not_a_table(stream: &StreamId, what: &str) -> Error {
    Error::unsupported(format!("{stream} is {what}, which is not written to"))
        .hint("write to the table behind it")
}

/// The keys do not tell rows of the table apart.
pub fn no_unique_key(keys: &[String]) -> Error {
    let names = keys.join(", ");
    Error::invalid(
        "/keys",
        format!("no unique index of the table is over exactly {names}"),
    )
    .code("no_unique_key")
    .hint("upsert and ignore need a primary key or unique index over the keys, neither partial nor deferrable")
}

/// A replace would reach into other tables.
pub fn followed(stream: &StreamId) -> Error {
    let message = format!("rows of other tables would change or go with those of {stream}");
    Error::source(SourceFault::Query, message)
        .code("replace_followed")
        .hint("foreign keys to it say ON DELETE CASCADE or SET; write with upsert, or change these keys")
}
