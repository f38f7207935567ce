//! What the database has, from its catalogue. Every name is qualified, so that
//! no search path changes what these queries mean.

use tokio_postgres::Row;
use weir_core::config::nearest;
use weir_core::types::{field_type_name, unique_names};
use weir_core::{
    Column, Discover, Error, Page, Result, SourceFault, StreamId, StreamInfo, StreamSchema,
};

use super::bound::Bound;
use super::lease::Lease;
use super::types::{self, Mapping, TypeFacts};
use crate::shared::target::Known;

/// Kinds of relations that have rows to read, by `relkind`.
const KINDS: [(&str, &str); 5] = [
    ("r", "table"),
    ("p", "partitioned_table"),
    ("f", "foreign_table"),
    ("v", "view"),
    ("m", "materialized_view"),
];

/// A page of relations. The page is cut before anything is looked up for each,
/// so that the cost does not grow with the number of relations.
const RELATIONS: &str = "
SELECT p.nspname, p.relname, p.relkind::text,
       CASE p.relkind
         WHEN 'v' THEN NULL
         WHEN 'p' THEN leaves.rows
         ELSE CASE WHEN p.reltuples > 0 OR (p.reltuples = 0 AND p.relpages > 0)
                     OR (p.reltuples = 0 AND pg_catalog.current_setting('server_version_num')::int >= 140000)
                   THEN p.reltuples::int8 END
       END,
       CASE p.relkind
         WHEN 'p' THEN leaves.pages
         WHEN 'r' THEN NULLIF(p.relpages, 0)::int8
         WHEN 'm' THEN NULLIF(p.relpages, 0)::int8
       END * pg_catalog.current_setting('block_size')::int8,
       pg_catalog.obj_description(p.oid, 'pg_class')
FROM (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname !~ '^pg_(toast_)?temp_'
    AND ($1::text IS NULL OR n.nspname = $1::name)
    AND ($2::text IS NULL OR pg_catalog.strpos(pg_catalog.lower(c.relname), pg_catalog.lower($2::text)) > 0)
    AND ($6::text IS NULL OR c.relname = $6::name)
    AND ($3::text IS NULL OR (n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\")
                             > ($3::text COLLATE \"C\", $4::text COLLATE \"C\"))
  ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"
  LIMIT $5::int8
) p
LEFT JOIN LATERAL (
  SELECT pg_catalog.sum(l.reltuples) FILTER (WHERE l.reltuples >= 0)::int8 AS rows,
         NULLIF(pg_catalog.sum(l.relpages), 0)::int8 AS pages
  FROM pg_catalog.pg_partition_tree(p.oid) t
  JOIN pg_catalog.pg_class l ON l.oid = t.relid
  WHERE t.isleaf AND l.oid <> p.oid
) leaves ON p.relkind = 'p'
ORDER BY p.nspname::text COLLATE \"C\", p.relname::text COLLATE \"C\"";

/// The columns of one relation, in order; the relation's own facts repeat.
const COLUMNS: &str = "
SELECT c.oid, a.attname, a.atttypid, a.atttypmod, a.attndims::int4, a.attnotnull,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attcollation IN (0, 100, 950, 951),
       pg_catalog.array_position(i.indkey::int2[], a.attnum)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = $1::name AND c.relname = $2::name AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY a.attnum";

/// Comments of the columns of one relation, in their order.
const COMMENTS: &str = "
SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

/// The names of one schema, for a hint.
const NAMES: &str = "
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND (n.nspname = $1::name OR c.relname = $2::name)
LIMIT 20000";

/// Types that are not built in.
const TYPES: &str = "
SELECT t.oid, t.typtype::text, t.typbasetype, t.typtypmod, t.typndims,
       CASE WHEN t.typlen = -1 AND t.typcategory = 'A' THEN t.typelem ELSE 0::oid END
FROM pg_catalog.pg_type t
WHERE t.oid = ANY ($1::oid[])";

/// The names of types with their modifiers, in the order asked for.
const TYPE_NAMES: &str = "
SELECT pg_catalog.format_type(u.o, u.m)
FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::int4[])) WITH ORDINALITY AS u(o, m, n)
ORDER BY u.n";

/// What a table is written to as; the table's own facts repeat.
const WRITTEN: &str = "
SELECT c.oid, c.relkind::text, a.attname, a.atttypid, a.attnotnull, a.attgenerated <> '',
       pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1::name AND c.relname = $2::name AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY a.attnum";

/// Whether a unique index that `ON CONFLICT` takes is over exactly these columns.
const UNIQUE: &str = "
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_index i
  WHERE i.indrelid = $1::oid AND i.indisunique AND i.indimmediate AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL
    AND i.indnkeyatts = pg_catalog.jsonb_array_length($2::jsonb)
    AND NOT EXISTS (
      SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
      WHERE NOT pg_catalog.jsonb_exists($2::jsonb, a.attname::text)))";

/// Whether deleting rows of a table changes or deletes those of another.
const FOLLOWED: &str = "
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_constraint
  WHERE contype = 'f' AND confrelid = $1::oid AND conrelid <> $1::oid AND confdeltype IN ('c', 'n', 'd'))";

const TRANSACTION: &str = "SELECT pg_catalog.txid_current()::text";
const STATUS: &str = "SELECT pg_catalog.txid_status($1::int8)";

/// One column as the source has it, and how it is read.
#[derive(Clone)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type as the source writes it.
    pub native: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Place in the primary key, from 1.
    pub key: Option<i32>,
    /// Whether its collation tells every two different texts apart.
    pub deterministic: bool,
    /// How it is read.
    pub mapping: Mapping,
}

/// A relation with its columns.
pub struct Relation {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// In order.
    pub columns: Vec<SourceColumn>,
}

/// One page of relations, ordered by schema and name.
pub async fn discover(lease: &mut Lease, ask: &Discover) -> Result<Page<StreamInfo>> {
    let after = ask.after.as_deref().map(cursor).transpose()?;
    let (after_schema, after_name) = match &after {
        Some((schema, name)) => (Some(schema.as_str()), Some(name.as_str())),
        None => (None, None),
    };
    let limit = ask.limit.max(1);
    let params = [
        Bound::optional(ask.namespace.as_deref()),
        Bound::optional(ask.search.as_deref()),
        Bound::optional(after_schema),
        Bound::optional(after_name),
        // One more tells whether there is another page.
        Bound::text((limit + 1).to_string()),
        Bound::optional(None),
    ];
    let rows = lease.rows(RELATIONS, &params).await?;
    let mut items = rows
        .iter()
        .take(limit)
        .map(relation_info)
        .collect::<Result<Vec<_>>>()?;
    let next = (rows.len() > limit)
        .then(|| items.last().map(|last| last.stream.clone()))
        .flatten();
    items.shrink_to_fit();
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

fn relation_info(row: &Row) -> Result<StreamInfo> {
    let (schema, name): (String, String) = (get(row, 0)?, get(row, 1)?);
    let (rows, bytes): (Option<i64>, Option<i64>) = (get(row, 3)?, get(row, 4)?);
    let kind: String = get(row, 2)?;
    Ok(StreamInfo {
        stream: StreamId::from_parts([&schema, &name]).to_string(),
        kind: KINDS
            .iter()
            .find(|(relkind, _)| *relkind == kind)
            .map_or("table", |(_, kind)| kind),
        name,
        namespace: Some(schema),
        size_bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        estimated_rows: rows.and_then(|rows| u64::try_from(rows).ok()),
        comment: get(row, 5)?,
        ..StreamInfo::default()
    })
}

/// The columns of one relation; an unknown one is an error with the nearest names.
pub async fn relation(lease: &mut Lease, schema: &str, name: &str) -> Result<Relation> {
    let rows = lease
        .rows(COLUMNS, &[Bound::text(schema), Bound::text(name)])
        .await?;
    let Some(first) = rows.first() else {
        return Err(unknown_relation(lease, schema, name).await);
    };
    let oid = get(first, 0)?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        // A relation without columns is one row of nulls.
        if let Some(name) = get::<Option<String>>(row, 1)? {
            found.push((name, row));
        }
    }
    let oids = found
        .iter()
        .map(|(_, row)| get(row, 2))
        .collect::<Result<Vec<u32>>>()?;
    load_types(lease, &oids).await?;
    let mut columns = Vec::with_capacity(found.len());
    for ((name, row), oid) in found.into_iter().zip(oids) {
        columns.push(SourceColumn {
            name,
            native: get(row, 6)?,
            nullable: !get::<bool>(row, 5)?,
            key: get(row, 8)?,
            deterministic: get(row, 7)?,
            mapping: types::mapping(oid, get(row, 3)?, get(row, 4)?, lease.types()),
        });
    }
    Ok(Relation {
        oid,
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns,
    })
}

/// A table that is written to.
pub struct WriteTarget {
    /// Its oid.
    pub oid: u32,
    /// Its `relkind`.
    pub kind: String,
    /// In order.
    pub columns: Vec<Known<u32>>,
}

/// What is to be known of a table to write to it; none where it is not there.
pub async fn write_target(
    lease: &mut Lease,
    schema: &str,
    name: &str,
) -> Result<Option<WriteTarget>> {
    let rows = lease
        .rows(WRITTEN, &[Bound::text(schema), Bound::text(name)])
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        // A table without columns is one row of nulls.
        if let Some(name) = get::<Option<String>>(row, 2)? {
            columns.push(Known {
                name,
                kind: get(row, 3)?,
                required: get(row, 4)?,
                generated: get(row, 5)?,
                native: get(row, 6)?,
            });
        }
    }
    let oids: Vec<u32> = columns.iter().map(|column| column.kind).collect();
    load_types(lease, &oids).await?;
    Ok(Some(WriteTarget {
        oid: get(first, 0)?,
        kind: get(first, 1)?,
        columns,
    }))
}

/// Whether rows of a table can be told apart by `keys`.
pub async fn has_unique(lease: &mut Lease, oid: u32, keys: &[String]) -> Result<bool> {
    let keys = serde_json::to_string(keys).map_err(Error::internal)?;
    yes(
        lease,
        UNIQUE,
        &[Bound::text(oid.to_string()), Bound::text(keys)],
    )
    .await
}

/// Whether rows of other tables change or go with those of a table.
pub async fn is_followed(lease: &mut Lease, oid: u32) -> Result<bool> {
    yes(lease, FOLLOWED, &[Bound::text(oid.to_string())]).await
}

async fn yes(lease: &mut Lease, sql: &'static str, params: &[Bound]) -> Result<bool> {
    let rows = lease.rows(sql, params).await?;
    rows.first().map_or(Ok(false), |row| get(row, 0))
}

/// The number of the transaction that the session is in.
pub async fn transaction(lease: &mut Lease) -> Result<String> {
    let rows = lease.rows(TRANSACTION, &[]).await?;
    let first = rows.first();
    first.map_or_else(
        || Err(Error::internal("no number of a transaction")),
        |row| get(row, 0),
    )
}

/// What became of a transaction; none where the server has forgotten it.
pub async fn transaction_status(lease: &mut Lease, number: &Bound) -> Result<Option<String>> {
    let rows = lease.rows(STATUS, std::slice::from_ref(number)).await?;
    rows.first().map_or(Ok(None), |row| get(row, 0))
}

/// The columns that a statement answers, from what the server said of them.
/// Names that come twice get a number, so that each can be spoken of.
pub async fn answer_columns(
    lease: &mut Lease,
    answer: &[(String, u32, i32)],
) -> Result<Vec<SourceColumn>> {
    let oids: Vec<u32> = answer.iter().map(|(_, oid, _)| *oid).collect();
    load_types(lease, &oids).await?;
    let modifiers = Bound::list(answer.iter().map(|(_, _, modifier)| modifier.to_string()));
    let natives = lease
        .rows(TYPE_NAMES, &[Bound::oids(oids), modifiers])
        .await?;
    let names = unique_names(answer.iter().map(|(name, ..)| name.as_str()));
    let mut columns = Vec::with_capacity(answer.len());
    for (((_, oid, modifier), row), name) in answer.iter().zip(&natives).zip(names) {
        columns.push(SourceColumn {
            name,
            native: get(row, 0)?,
            nullable: true,
            key: None,
            // What a statement computes may have any collation.
            deterministic: false,
            mapping: types::mapping(*oid, *modifier, 0, lease.types()),
        });
    }
    Ok(columns)
}

/// Loads what is not known yet of the types that these columns have.
async fn load_types(lease: &mut Lease, oids: &[u32]) -> Result<()> {
    // Each turn follows one step of domains and arrays.
    for _ in 0..64 {
        let mut wanted: Vec<u32> = oids
            .iter()
            .filter_map(|oid| types::unknown_part(*oid, lease.types()))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let rows = lease
            .rows(TYPES, &[Bound::oids(wanted.iter().copied())])
            .await?;
        for oid in wanted {
            // A type dropped meanwhile is read as text, and the server will say so.
            let none = TypeFacts {
                kind: b'b',
                base: 0,
                base_modifier: -1,
                dimensions: 0,
                item: 0,
            };
            lease.types().insert(oid, none);
        }
        for row in rows {
            let kind: String = get(&row, 1)?;
            let facts = TypeFacts {
                kind: kind.bytes().next().unwrap_or(b'b'),
                base: get(&row, 2)?,
                base_modifier: get(&row, 3)?,
                dimensions: get(&row, 4)?,
                item: get(&row, 5)?,
            };
            lease.types().insert(get(&row, 0)?, facts);
        }
    }
    Ok(())
}

async fn unknown_relation(lease: &mut Lease, schema: &str, name: &str) -> Error {
    let rows = match lease
        .rows(NAMES, &[Bound::text(schema), Bound::text(name)])
        .await
    {
        Ok(rows) => rows,
        Err(error) => return error,
    };
    let known: Vec<(String, String)> = rows
        .iter()
        .filter_map(|row| Some((get(row, 0).ok()?, get(row, 1).ok()?)))
        .collect();
    let id = StreamId::from_parts([schema, name]);
    let error = Error::source(SourceFault::NotFound, format!("no table or view {id}"));
    let near = match known.iter().find(|(_, other)| other == name) {
        Some(elsewhere) => Some(elsewhere),
        None => {
            let names: Vec<&str> = known.iter().map(|(_, name)| name.as_str()).collect();
            nearest(name, &names).and_then(|near| known.iter().find(|(_, name)| name == near))
        }
    };
    match near {
        Some((schema, name)) => error.hint(format!(
            "did you mean {}?",
            StreamId::from_parts([schema, name])
        )),
        None => error.hint("names are case-sensitive; discovery lists what there is"),
    }
}

/// The columns of a relation for people, with comments and estimates.
pub async fn describe(lease: &mut Lease, relation: Relation) -> Result<StreamSchema> {
    let comments = lease
        .rows(COMMENTS, &[Bound::text(relation.oid.to_string())])
        .await?;
    let info = listed(lease, &relation).await?;
    let mut key: Vec<(i32, String)> = Vec::new();
    let mut columns = Vec::with_capacity(relation.columns.len());
    for (index, column) in relation.columns.into_iter().enumerate() {
        if let Some(place) = column.key {
            key.push((place, column.name.clone()));
        }
        columns.push(Column {
            comment: comments
                .get(index)
                .map(|row| get(row, 1))
                .transpose()?
                .flatten(),
            type_name: field_type_name(&column.mapping.field(&column.name, &column.native)),
            data_type: column.mapping.data_type,
            native_type: column.native,
            nullable: column.nullable,
            primary_key: column.key.is_some(),
            name: column.name,
        });
    }
    key.sort();
    Ok(StreamSchema {
        stream: StreamId::from_parts([&relation.schema, &relation.name]).to_string(),
        kind: info.kind,
        columns,
        primary_key: key.into_iter().map(|(_, name)| name).collect(),
        estimated_rows: info.estimated_rows,
        size_bytes: info.size_bytes,
    })
}

/// The listing's entry for one relation.
async fn listed(lease: &mut Lease, relation: &Relation) -> Result<StreamInfo> {
    let params = [
        Bound::text(&relation.schema),
        Bound::optional(None),
        Bound::optional(None),
        Bound::optional(None),
        Bound::text("1"),
        Bound::text(&relation.name),
    ];
    let rows = lease.rows(RELATIONS, &params).await?;
    let info = rows.first().map(relation_info).transpose()?;
    // System relations are read, but not listed.
    Ok(info.unwrap_or(StreamInfo {
        kind: "table",
        ..StreamInfo::default()
    }))
}

/// A value of an answer to one of our own queries.
pub fn get<'a, T: postgres_types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn cursors_are_stream_ids() {
        assert_eq!(
            cursor("public.\"a.b\"").unwrap(),
            ("public".into(), "a.b".into())
        );
        assert!(cursor("a").is_err() && cursor("").is_err());
    }
}
