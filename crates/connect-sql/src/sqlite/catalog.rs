//! What the database has. Names come out of the schema table and the functions that
//! SQLite has over it; they are bound, never pasted.

use rusqlite::{Connection, OptionalExtension, params};
use weir_core::config::nearest;
use weir_core::types::field_type_name;
use weir_core::{
    Column, Discover, Error, Page, Result, SourceFault, StreamId, StreamInfo, StreamSchema,
};

use super::failure;
use super::types::{self, Kind};

/// Tables and views by name; not those of SQLite itself, and not those in which a
/// virtual table keeps its own.
const RELATIONS: &str = "
SELECT name, type FROM pragma_table_list
WHERE schema = 'main' AND type IN ('table', 'view', 'virtual')
  AND substr(name, 1, 7) <> 'sqlite_' AND (?1 IS NULL OR name > ?1)
ORDER BY name";

/// One of them.
const RELATION: &str = "
SELECT type, strict, wr FROM pragma_table_list(?1)
WHERE schema = 'main' AND name = ?1";

/// Columns, with whether they are hidden (1) or computed (2, 3).
const COLUMNS: &str = "
SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main')
WHERE hidden <> 1 ORDER BY cid";

/// Whether the primary key is an index of its own, and not the rowid.
const KEY_INDEX: &str = "
SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk')";

/// Unique indexes over whole tables, and their columns.
const UNIQUE: &str = "
SELECT l.name, i.name FROM pragma_index_list(?1, 'main') AS l, pragma_index_info(l.name, 'main') AS i
WHERE l.\"unique\" = 1 AND l.partial = 0 ORDER BY l.seq, i.seqno";

/// Tables whose rows change or go with those of this one.
const FOLLOWED: &str = "
SELECT EXISTS (
  SELECT 1 FROM sqlite_schema AS s, pragma_foreign_key_list(s.name, 'main') AS f
  WHERE s.type = 'table' AND lower(f.\"table\") = lower(?1) AND lower(s.name) <> lower(?1)
    AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))";

/// One column, and how it is read.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type as declared; empty where there is none.
    pub native: String,
    /// How it is read; none where its values have to tell.
    pub kind: Option<Kind>,
    /// Whether it may be null.
    pub nullable: bool,
    /// Place in the primary key, from 1; 0 outside of it.
    pub key: i64,
    /// Whether SQLite lets no value of another type into it.
    pub strict: bool,
    /// Whether it is declared without nulls.
    pub required: bool,
    /// Whether the table computes it.
    pub generated: bool,
    /// Whether it is a column of a table, and not of a view or a query.
    pub stored: bool,
}

impl SourceColumn {
    /// How it is read.
    pub fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Any)
    }

    /// Its field.
    pub fn field(&self) -> arrow::datatypes::Field {
        self.kind().field(&self.name, &self.native, self.nullable)
    }
}

/// A table or view with its columns.
pub struct Relation {
    /// Its name.
    pub name: String,
    /// `table`, `view` or `virtual`.
    pub kind: String,
    /// In order.
    pub columns: Vec<SourceColumn>,
}

/// The name of a stream.
pub fn locate(stream: &StreamId) -> Result<&str> {
    match stream.names()? {
        [name] => Ok(name),
        _ => Err(unknown(stream.to_string()).hint("a stream here is the name of a table or view")),
    }
}

fn unknown(name: impl std::fmt::Display) -> Error {
    Error::source(SourceFault::NotFound, format!("no table or view {name}"))
}

fn shown_kind(kind: &str) -> &'static str {
    match kind {
        "view" => "view",
        "virtual" => "virtual_table",
        _ => "table",
    }
}

/// One page of tables and views, ordered by name.
pub fn discover(conn: &Connection, ask: &Discover) -> Result<Page<StreamInfo>> {
    let after = match &ask.after {
        Some(text) => Some(locate(&StreamId::parse(text, "/cursor")?)?.to_owned()),
        None => None,
    };
    let none = Page {
        items: Vec::new(),
        next: None,
    };
    if ask.namespace.is_some() {
        return Ok(none);
    }
    let search = ask.search.as_ref().map(|search| search.to_lowercase());
    let limit = ask.limit.max(1);
    let mut page = none;
    let mut statement = conn.prepare(RELATIONS).map_err(failure::of)?;
    let mut rows = statement.query(params![after]).map_err(failure::of)?;
    while let Some(row) = rows.next().map_err(failure::of)? {
        let name: String = row.get(0).map_err(failure::of)?;
        if let Some(search) = &search
            && !name.to_lowercase().contains(search.as_str())
        {
            continue;
        }
        if page.items.len() == limit {
            page.next = page
                .items
                .last()
                .map(|last: &StreamInfo| last.stream.clone());
            break;
        }
        let kind: String = row.get(1).map_err(failure::of)?;
        page.items.push(StreamInfo {
            stream: StreamId::from_parts([&name]).to_string(),
            kind: shown_kind(&kind),
            name,
            ..StreamInfo::default()
        });
    }
    drop(rows);
    for item in &mut page.items {
        item.estimated_rows = estimated_rows(conn, &item.name);
    }
    Ok(page)
}

/// Rows of a table as `ANALYZE` left them; none where it never ran.
pub fn estimated_rows(conn: &Connection, name: &str) -> Option<u64> {
    let sql = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?1 AND stat IS NOT NULL LIMIT 1";
    let stat: String = conn.query_row(sql, [name], |row| row.get(0)).ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// A table or view; one that is not there is an error with the nearest name.
pub fn relation(conn: &Connection, name: &str) -> Result<Relation> {
    find(conn, name)?.ok_or_else(|| not_found(conn, name))
}

/// A table or view, if it is there.
pub fn find(conn: &Connection, name: &str) -> Result<Option<Relation>> {
    let facts = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, bool>(1)?,
            row.get::<_, bool>(2)?,
        ))
    };
    let found = conn.query_row(RELATION, [name], facts).optional();
    let Some((kind, strict, without_rowid)) = found.map_err(failure::of)? else {
        return Ok(None);
    };
    let stored = kind == "table";
    let mut columns = columns(conn, name, stored, strict)?;
    let keys = columns.iter().filter(|column| column.key > 0).count();
    if keys == 1 && stored && !without_rowid && !yes(conn, KEY_INDEX, name)? {
        // The number of the row itself.
        for column in columns.iter_mut().filter(|column| column.key > 0) {
            (column.strict, column.nullable) = (true, false);
        }
    }
    Ok(Some(Relation {
        name: name.to_owned(),
        kind,
        columns,
    }))
}

fn columns(conn: &Connection, name: &str, stored: bool, strict: bool) -> Result<Vec<SourceColumn>> {
    let column = |row: &rusqlite::Row<'_>| {
        let native: String = row.get(1)?;
        let kind = types::kind(&native);
        let not_null: bool = row.get(2)?;
        let strict = strict && kind != Kind::Any;
        Ok(SourceColumn {
            name: row.get(0)?,
            kind: (stored || !native.is_empty()).then_some(kind),
            native,
            // Elsewhere a value that does not fit may become null.
            nullable: !(not_null && strict && matches!(kind, Kind::Int)),
            key: row.get(3)?,
            strict,
            required: not_null,
            generated: row.get::<_, i64>(4)? > 1,
            stored,
        })
    };
    let mut statement = conn.prepare(COLUMNS).map_err(failure::of)?;
    let rows = statement.query_map([name], column).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

fn yes(conn: &Connection, sql: &str, name: &str) -> Result<bool> {
    conn.query_row(sql, [name], |row| row.get(0))
        .map_err(failure::of)
}

fn not_found(conn: &Connection, name: &str) -> Error {
    let ask = Discover {
        limit: 20_000,
        ..Discover::default()
    };
    let names: Vec<String> = discover(conn, &ask)
        .map(|page| page.items.into_iter().map(|item| item.name).collect())
        .unwrap_or_default();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = unknown(StreamId::from_parts([name]));
    match nearest(name, &known) {
        Some(near) => error.hint(format!("did you mean {}?", StreamId::from_parts([near]))),
        None => error.hint("GET /v1/sources/{source}/streams lists what can be read"),
    }
}

/// What is there under the same name in another case.
pub fn alike(conn: &Connection, name: &str) -> Result<Option<String>> {
    let sql = "SELECT name FROM pragma_table_list(?1) WHERE schema = 'main'";
    let found = conn.query_row(sql, [name], |row| row.get(0)).optional();
    found.map_err(failure::of)
}

/// Whether rows of a table can be told apart by `keys`.
pub fn has_unique(conn: &Connection, relation: &Relation, keys: &[String]) -> Result<bool> {
    let is_same = |names: &[Option<String>]| {
        names.len() == keys.len()
            && names
                .iter()
                .all(|name| name.as_ref().is_some_and(|name| keys.contains(name)))
    };
    let primary = relation.columns.iter().filter(|column| column.key > 0);
    let primary: Vec<Option<String>> = primary.map(|column| Some(column.name.clone())).collect();
    if is_same(&primary) {
        return Ok(true);
    }
    let mut statement = conn.prepare(UNIQUE).map_err(failure::of)?;
    let mut rows = statement.query([&relation.name]).map_err(failure::of)?;
    let mut indexes: Vec<(String, Vec<Option<String>>)> = Vec::new();
    while let Some(row) = rows.next().map_err(failure::of)? {
        let (index, column) = (row.get(0), row.get(1));
        let (index, column): (String, Option<String>) =
            (index.map_err(failure::of)?, column.map_err(failure::of)?);
        match indexes.last_mut().filter(|(last, _)| *last == index) {
            Some((_, columns)) => columns.push(column),
            None => indexes.push((index, vec![column])),
        }
    }
    Ok(indexes.iter().any(|(_, columns)| is_same(columns)))
}

/// Whether rows of other tables change or go with those of a table.
pub fn is_followed(conn: &Connection, name: &str) -> Result<bool> {
    yes(conn, FOLLOWED, name)
}

/// The columns of a relation for the caller.
pub fn describe(conn: &Connection, relation: &Relation) -> StreamSchema {
    let column = |column: &SourceColumn| {
        let field = column.field();
        Column {
            name: column.name.clone(),
            type_name: field_type_name(&field),
            data_type: field.data_type().clone(),
            native_type: column.native.clone(),
            nullable: column.nullable,
            primary_key: column.key > 0,
            comment: None,
        }
    };
    let mut keys: Vec<&SourceColumn> = relation.columns.iter().filter(|c| c.key > 0).collect();
    keys.sort_by_key(|column| column.key);
    StreamSchema {
        stream: StreamId::from_parts([&relation.name]).to_string(),
        kind: shown_kind(&relation.kind),
        columns: relation.columns.iter().map(column).collect(),
        primary_key: keys.iter().map(|column| column.name.clone()).collect(),
        estimated_rows: estimated_rows(conn, &relation.name),
        size_bytes: None,
    }
}
