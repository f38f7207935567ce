//! What the database has, from its catalogue.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use libduckdb::{Bind, Logical};
use weir_core::config::nearest;
use weir_core::types::{field_type_name, unique_names};
use weir_core::{
    Column, Discover, Error, Page, Result, SourceFault, StreamId, StreamInfo, StreamSchema,
};
use weir_kit::Dialect;

use super::session::Session;
use super::types::{Mapping, mapping, native};

const RELATIONS: &str = "
SELECT schema_name, name, kind, estimated, comment FROM (
  SELECT schema_name, table_name AS name, 'table' AS kind, estimated_size AS estimated, comment
  FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal AND NOT temporary
  UNION ALL
  SELECT schema_name, view_name, 'view', NULL, comment
  FROM duckdb_views() WHERE database_name = current_database() AND NOT internal AND NOT temporary
) AS r
WHERE (CAST($1 AS VARCHAR) IS NULL OR schema_name = CAST($1 AS VARCHAR))
  AND (CAST($2 AS VARCHAR) IS NULL OR contains(lower(name), lower(CAST($2 AS VARCHAR))))
  AND (CAST($3 AS VARCHAR) IS NULL OR schema_name > CAST($3 AS VARCHAR)
       OR (schema_name = CAST($3 AS VARCHAR) AND name > CAST($4 AS VARCHAR)))
  AND (CAST($5 AS VARCHAR) IS NULL OR name = CAST($5 AS VARCHAR))
ORDER BY schema_name, name LIMIT CAST($6 AS BIGINT)";

const COLUMNS: &str = "
SELECT c.column_name, c.is_nullable, c.comment
FROM duckdb_columns() c
WHERE c.database_name = current_database() AND c.schema_name = $1 AND c.table_name = $2
ORDER BY c.column_index";

const PRIMARY_KEY: &str = "
SELECT unnest(constraint_column_names)
FROM duckdb_constraints()
WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
  AND constraint_type = 'PRIMARY KEY'";

/// Sets of columns that tell rows apart, as JSON lists; those of an index as it
/// writes them.
const UNIQUE: &str = "
SELECT CAST(to_json(list_sort(constraint_column_names)) AS VARCHAR), NULL
FROM duckdb_constraints()
WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
  AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')
UNION ALL
SELECT NULL, CAST(expressions AS VARCHAR) FROM duckdb_indexes()
WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2 AND is_unique";

const DATABASE: &str = "SELECT current_database()";

/// A text in a batch.
fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let column = batch.column(column).as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn number(batch: &RecordBatch, column: usize, row: usize) -> Option<i64> {
    let column = batch.column(column).as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

/// Each row of the batches.
fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = (&RecordBatch, usize)> {
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

fn optional(text: Option<&str>) -> Bind {
    text.map_or(Bind::Null, |text| Bind::Text(text.to_owned()))
}

/// The name that the file has as a database.
pub async fn database(session: &mut Session) -> Result<String> {
    let found = session.rows(DATABASE, Vec::new()).await?;
    let name = rows(&found).find_map(|(batch, row)| text(batch, 0, row));
    name.ok_or_else(|| Error::internal("a connection without a database"))
}

/// One page of tables and views.
pub async fn discover(session: &mut Session, ask: &Discover) -> Result<Page<StreamInfo>> {
    let after = ask.after.as_deref().map(cursor).transpose()?;
    let after = after.as_ref();
    let values = vec![
        optional(ask.namespace.as_deref()),
        optional(ask.search.as_deref()),
        optional(after.map(|(schema, _)| schema.as_str())),
        optional(after.map(|(_, name)| name.as_str())),
        Bind::Null,
        Bind::Int(
            i64::try_from(ask.limit)
                .unwrap_or(i64::MAX)
                .saturating_add(1),
        ),
    ];
    let found = session.rows(RELATIONS, values).await?;
    let mut items: Vec<StreamInfo> = rows(&found).map(|(batch, row)| info(batch, row)).collect();
    let is_more = items.len() > ask.limit;
    items.truncate(ask.limit);
    let next = items
        .last()
        .filter(|_| is_more)
        .map(|last| last.stream.clone());
    Ok(Page { items, next })
}

/// A cursor is the stream id of the last item.
fn cursor(text: &str) -> Result<(String, String)> {
    let id = StreamId::parse(text, "/cursor")?;
    match id.names()? {
        [schema, name] => Ok((schema.clone(), name.clone())),
        _ => Err(Error::invalid("/cursor", "not a cursor of this listing")),
    }
}

fn info(batch: &RecordBatch, row: usize) -> StreamInfo {
    let schema = text(batch, 0, row).unwrap_or_default();
    let name = text(batch, 1, row).unwrap_or_default();
    let is_view = text(batch, 2, row).as_deref() == Some("view");
    StreamInfo {
        stream: StreamId::from_parts([&schema, &name]).to_string(),
        kind: if is_view { "view" } else { "table" },
        name,
        namespace: Some(schema),
        estimated_rows: number(batch, 3, row).and_then(|rows| u64::try_from(rows).ok()),
        comment: text(batch, 4, row),
        ..StreamInfo::default()
    }
}

/// One column as the source has it, and how it is read.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub logical: Logical,
    /// The same as DuckDB writes it.
    pub native: String,
    /// How it is read.
    pub mapping: Mapping,
}

/// The columns of an answer. Names that come twice get a number, so that each can
/// be spoken of.
pub fn columns(answer: Vec<(String, Logical)>) -> Vec<SourceColumn> {
    let names = unique_names(answer.iter().map(|(name, _)| name.as_str()));
    let pairs = names.into_iter().zip(answer);
    pairs
        .map(|(name, (_, logical))| SourceColumn {
            name,
            native: native(&logical),
            mapping: mapping(&logical),
            logical,
        })
        .collect()
}

/// A table or view.
pub struct Relation {
    /// What the listing says of it.
    pub info: StreamInfo,
    /// In order.
    pub columns: Vec<SourceColumn>,
}

/// A table or view by its exact name; none where it is not there.
pub async fn find(session: &mut Session, schema: &str, name: &str) -> Result<Option<Relation>> {
    let values = vec![
        Bind::Text(schema.to_owned()),
        Bind::Null,
        Bind::Null,
        Bind::Null,
        Bind::Text(name.to_owned()),
        Bind::Int(1),
    ];
    let found = session.rows(RELATIONS, values).await?;
    let Some(info) = rows(&found).map(|(batch, row)| info(batch, row)).next() else {
        return Ok(None);
    };
    let sql = format!("SELECT * FROM {}", path(session, schema, name).await?);
    let answer = session
        .run(move |connection| Ok(connection.prepare(&sql)?.columns()))
        .await?;
    let columns = columns(answer);
    Ok(Some(Relation { info, columns }))
}

/// The quoted path of a relation. It is whole, so that no name in it can be taken
/// for one of another kind.
pub async fn path(session: &mut Session, schema: &str, name: &str) -> Result<String> {
    let database = database(session).await?;
    Ok(Dialect::Standard.path(&[&database, schema, name]))
}

/// The same; an unknown one is an error with the nearest name.
pub async fn relation(session: &mut Session, schema: &str, name: &str) -> Result<Relation> {
    if let Some(relation) = find(session, schema, name).await? {
        return Ok(relation);
    }
    let stream = StreamId::from_parts([schema, name]);
    let error = Error::source(SourceFault::NotFound, format!("no table or view {stream}"));
    let ask = Discover {
        limit: 20_000,
        ..Discover::default()
    };
    let known = discover(session, &ask).await?.items;
    let known: Vec<&str> = known.iter().map(|info| info.stream.as_str()).collect();
    Err(match nearest(&stream.to_string(), &known) {
        Some(near) => error.hint(format!(
            "did you mean {near}? names are case-sensitive here"
        )),
        None => {
            error.hint("names are case-sensitive here; GET /v1/sources/{source}/streams lists them")
        }
    })
}

/// Names of the primary key, in its order.
pub async fn primary_key(session: &mut Session, schema: &str, name: &str) -> Result<Vec<String>> {
    let values = vec![Bind::Text(schema.to_owned()), Bind::Text(name.to_owned())];
    let found = session.rows(PRIMARY_KEY, values).await?;
    Ok(rows(&found)
        .filter_map(|(batch, row)| text(batch, 0, row))
        .collect())
}

/// What the catalogue says of a column: whether it may be null, and its comment.
pub type Facts = HashMap<String, (bool, Option<String>)>;

/// The same of all columns of a relation.
pub async fn facts(session: &mut Session, schema: &str, name: &str) -> Result<Facts> {
    let values = vec![Bind::Text(schema.to_owned()), Bind::Text(name.to_owned())];
    let found = session.rows(COLUMNS, values).await?;
    let mut facts = Facts::new();
    for (batch, row) in rows(&found) {
        let nullable = batch
            .column(1)
            .as_boolean_opt()
            .is_none_or(|flags| flags.value(row));
        let name = text(batch, 0, row).unwrap_or_default();
        facts.insert(name, (nullable, text(batch, 2, row)));
    }
    Ok(facts)
}

/// Whether rows of a table can be told apart by exactly these columns.
pub async fn has_unique(
    session: &mut Session,
    schema: &str,
    name: &str,
    keys: &[String],
) -> Result<bool> {
    let mut keys = keys.to_vec();
    keys.sort();
    let wanted = serde_json::to_value(&keys).map_err(Error::internal)?;
    let quoted = |key: &String| [key.clone(), Dialect::Standard.quote(key)];
    let values = vec![Bind::Text(schema.to_owned()), Bind::Text(name.to_owned())];
    let found = session.rows(UNIQUE, values).await?;
    Ok(rows(&found).any(|(batch, row)| {
        if let Some(list) = text(batch, 0, row) {
            return serde_json::from_str::<serde_json::Value>(&list)
                .is_ok_and(|list| list == wanted);
        }
        let index = text(batch, 1, row).unwrap_or_default();
        let parts = index
            .trim_start_matches('[')
            .trim_end_matches(']')
            .split(", ");
        let mut parts: Vec<&str> = parts.map(|part| part.trim_matches('\'')).collect();
        parts.len() == keys.len()
            && keys.iter().all(|key| {
                let at = parts
                    .iter()
                    .position(|part| quoted(key).iter().any(|k| k == part));
                at.map(|at| parts.swap_remove(at)).is_some()
            })
    }))
}

/// The columns of one relation, for a reader.
pub async fn describe(session: &mut Session, schema: &str, name: &str) -> Result<StreamSchema> {
    let relation = relation(session, schema, name).await?;
    let facts = facts(session, schema, name).await?;
    let primary_key = primary_key(session, schema, name).await?;
    let column = |column: SourceColumn| {
        let (nullable, comment) = facts.get(&column.name).cloned().unwrap_or((true, None));
        let field = column.mapping.field(&column.name, &column.native);
        Column {
            type_name: field_type_name(&field),
            data_type: column.mapping.data_type,
            native_type: column.native,
            nullable,
            primary_key: primary_key.contains(&column.name),
            comment,
            name: column.name,
        }
    };
    Ok(StreamSchema {
        stream: relation.info.stream,
        kind: relation.info.kind,
        columns: relation.columns.into_iter().map(column).collect(),
        primary_key,
        estimated_rows: relation.info.estimated_rows,
        size_bytes: None,
    })
}

const DEFAULTS: &str = "
SELECT column_name FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
  AND column_default IS NOT NULL";

/// Which of these columns of a table it computes itself. No catalogue tells such a
/// column from one with a default, so DuckDB is asked whether it takes a value.
pub async fn generated(
    session: &mut Session,
    schema: &str,
    name: &str,
    wanted: &Schema,
) -> Result<HashSet<String>> {
    let values = vec![Bind::Text(schema.to_owned()), Bind::Text(name.to_owned())];
    let found = session.rows(DEFAULTS, values).await?;
    let mut columns: HashSet<String> = rows(&found)
        .filter_map(|(batch, row)| text(batch, 0, row))
        .filter(|column| wanted.column_with_name(column).is_some())
        .collect();
    if columns.is_empty() {
        return Ok(columns);
    }
    let path = path(session, schema, name).await?;
    session
        .run(move |connection| {
            columns.retain(|column| {
                let column = Dialect::Standard.quote(column);
                let insert = format!("INSERT INTO {path} ({column}) SELECT NULL");
                let refused = connection.prepare(&insert).err();
                refused.is_some_and(|said| said.message.contains("generated column"))
            });
            Ok(columns)
        })
        .await
}

const NATIVES: &str = "
SELECT column_name, data_type FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2";

/// The types of a table's columns as statements write them, by name.
pub async fn natives(session: &mut Session, values: Vec<Bind>) -> Result<HashMap<String, String>> {
    let found = session.rows(NATIVES, values).await?;
    let pair = |(batch, row)| Some((text(batch, 0, row)?, text(batch, 1, row)?));
    Ok(rows(&found).filter_map(pair).collect())
}
