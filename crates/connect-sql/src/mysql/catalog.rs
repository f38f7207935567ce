//! What the server has, from its `information_schema`. Statistics are asked for
//! only of what is shown: for them the server opens each table.

use weir_core::config::nearest;
use weir_core::types::field_type_name;
use weir_core::{
    Column, Discover, Error, Kind, Page, Result, SourceFault, StreamId, StreamInfo, StreamSchema,
};
use weir_kit::Dialect;

use super::bound::Bound;
use super::client::{Row, Statement};
use super::lease::Lease;
use super::types::Rules;
use crate::shared::target::not_a_table;

/// Kinds of what has rows to read, by `TABLE_TYPE`.
const KINDS: [(&str, &str); 3] = [
    ("VIEW", "view"),
    ("SYSTEM VIEW", "view"),
    ("SEQUENCE", "sequence"),
];

const NAMES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')";

/// By bytes, as the ids of streams are compared.
const BY_NAME: &str = " ORDER BY CAST(TABLE_SCHEMA AS BINARY), CAST(TABLE_NAME AS BINARY) LIMIT ";

const FACTS: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, TABLE_ROWS, \
    DATA_LENGTH + INDEX_LENGTH, TABLE_COMMENT FROM information_schema.TABLES WHERE ";

const COLUMNS: &str = "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_COMMENT, EXTRA, GENERATION_EXPRESSION \
    FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) \
    AND CAST(TABLE_NAME AS BINARY) = CAST(? AS BINARY) ORDER BY ORDINAL_POSITION";

/// Columns of the unique indexes of a table, in order.
const INDEXES: &str = "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX";

/// One page of streams, ordered by database and name.
pub async fn discover(lease: &mut Lease, ask: &Discover) -> Result<Page<StreamInfo>> {
    let limit = ask.limit.max(1);
    let (mut sql, mut params) = (NAMES.to_owned(), Vec::new());
    if let Some(namespace) = &ask.namespace {
        // The first lets the server look into one database alone.
        sql.push_str(" AND TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY)");
        params.extend([Bound::text(namespace), Bound::text(namespace)]);
    }
    if let Some(search) = &ask.search {
        sql.push_str(" AND LOCATE(LOWER(?), LOWER(TABLE_NAME)) > 0");
        params.push(Bound::text(search));
    }
    if let Some(after) = &ask.after {
        let (schema, name) = cursor(after)?;
        sql.push_str(
            " AND (CAST(TABLE_SCHEMA AS BINARY) > CAST(? AS BINARY) \
             OR (CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) AND CAST(TABLE_NAME AS BINARY) > CAST(? AS BINARY)))",
        );
        params.extend([
            Bound::text(&schema),
            Bound::text(&schema),
            Bound::text(name),
        ]);
    }
    // One more tells whether there is another page.
    sql.push_str(BY_NAME);
    sql.push_str(&(limit + 1).to_string());
    let rows = lease.rows(&sql, &params).await?;
    let names: Vec<(String, String)> = rows
        .iter()
        .take(limit)
        .map(|row| (text(row, 0), text(row, 1)))
        .collect();
    let mut items = facts(lease, &names).await?;
    items.shrink_to_fit();
    let next = (rows.len() > limit)
        .then(|| names.last().map(|(schema, name)| id(schema, name)))
        .flatten();
    Ok(Page { items, next })
}

fn id(schema: &str, name: &str) -> String {
    StreamId::from_parts([schema, name]).to_string()
}

/// A cursor is the stream id of the last item.
fn cursor(text: &str) -> Result<(String, String)> {
    let id = StreamId::parse(text, "/cursor")?;
    match id.names()? {
        [schema, name] => Ok((schema.clone(), name.clone())),
        _ => Err(Error::invalid("/cursor", "not a cursor of this listing")),
    }
}

/// What a listing says of these streams, in their order.
async fn facts(lease: &mut Lease, names: &[(String, String)]) -> Result<Vec<StreamInfo>> {
    let mut schemas: Vec<&String> = names.iter().map(|(schema, _)| schema).collect();
    schemas.dedup();
    let mut infos = Vec::with_capacity(names.len());
    for schema in schemas {
        let wanted: Vec<&String> = names
            .iter()
            .filter(|(other, _)| other == schema)
            .map(|(_, name)| name)
            .collect();
        let marks = vec!["?"; wanted.len()].join(", ");
        let sql = format!("{FACTS} TABLE_SCHEMA = ? AND TABLE_NAME IN ({marks})");
        let params: Vec<Bound> = std::iter::once(schema)
            .chain(wanted.iter().copied())
            .map(Bound::text)
            .collect();
        let rows = lease.rows(&sql, &params).await?;
        for name in wanted {
            let row = rows
                .iter()
                .find(|row| row[0].as_deref() == Some(schema) && row[1].as_deref() == Some(name));
            infos.push(info(schema, name, row));
        }
    }
    Ok(infos)
}

fn info(schema: &str, name: &str, row: Option<&Row>) -> StreamInfo {
    let kind = row.map(|row| text(row, 2)).unwrap_or_default();
    let kind = KINDS
        .iter()
        .find(|(theirs, _)| *theirs == kind)
        .map_or("table", |(_, kind)| kind);
    let number = |place: usize| row.and_then(|row| row[place].as_deref()?.parse().ok());
    let comment = row.map(|row| text(row, 5));
    StreamInfo {
        stream: id(schema, name),
        name: name.to_owned(),
        namespace: Some(schema.to_owned()),
        kind,
        size_bytes: number(4),
        estimated_rows: number(3),
        // What the server says of every view, and of those that are broken.
        comment: comment.filter(|comment| !comment.is_empty() && kind != "view"),
        ..StreamInfo::default()
    }
}

fn text(row: &Row, place: usize) -> String {
    row.get(place).cloned().flatten().unwrap_or_default()
}

/// Prepares the read of a whole stream; an unknown one is an error with the
/// nearest name.
pub async fn prepare(lease: &mut Lease, schema: &str, name: &str) -> Result<Statement> {
    let path = Dialect::Backtick.path(&[schema, name]);
    let prepared = lease.prepare(&format!("SELECT * FROM {path} AS t")).await;
    match prepared {
        Err(error) if error.kind() == Kind::Source(SourceFault::NotFound) => {
            Err(unknown(lease, schema, name).await)
        }
        prepared => prepared,
    }
}

async fn unknown(lease: &mut Lease, schema: &str, name: &str) -> Error {
    let sql = format!("{NAMES} AND TABLE_SCHEMA = ? LIMIT 20000");
    let known = lease
        .rows(&sql, &[Bound::text(schema)])
        .await
        .unwrap_or_default();
    let names: Vec<String> = known.iter().map(|row| text(row, 1)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stream = id(schema, name);
    let message = match nearest(name, &names) {
        Some(near) => format!(
            "no table or view {stream}; did you mean `{}`?",
            id(schema, near)
        ),
        None => format!("no table or view {stream}"),
    };
    Error::source(SourceFault::NotFound, message)
        .hint("names are case-sensitive on most servers; discovery lists what there is")
}

/// The columns of one stream.
pub async fn describe(
    lease: &mut Lease,
    schema: &str,
    name: &str,
    rules: Rules,
) -> Result<StreamSchema> {
    let statement = prepare(lease, schema, name).await?;
    let known = columns(lease, schema, name).await?;
    let key = unique_indexes(lease, schema, name).await?;
    let key = key.into_iter().find(|(index, _)| index == "PRIMARY");
    let primary_key = key.map(|(_, columns)| columns).unwrap_or_default();
    let infos = facts(lease, &[(schema.to_owned(), name.to_owned())]).await?;
    let info = infos.into_iter().next().unwrap_or_default();
    let columns = statement.columns.iter().map(|column| {
        let mapping = column.mapping(rules);
        let found = known.iter().find(|known| known.name == column.name);
        Column {
            name: column.name.clone(),
            type_name: field_type_name(&mapping.field(&column.name)),
            data_type: mapping.data_type,
            native_type: found.map_or(mapping.native, |found| found.native.clone()),
            nullable: !column.is_required(),
            primary_key: primary_key.contains(&column.name),
            comment: found.and_then(|found| found.comment.clone()),
        }
    });
    Ok(StreamSchema {
        stream: info.stream,
        kind: info.kind,
        columns: columns.collect(),
        primary_key,
        estimated_rows: info.estimated_rows,
        size_bytes: info.size_bytes,
    })
}

/// A column as the catalogue has it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its type as the server writes it.
    pub native: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether the table computes it.
    pub generated: bool,
    comment: Option<String>,
}

/// All columns of a table, in order; none where there is no table.
pub async fn columns(lease: &mut Lease, schema: &str, name: &str) -> Result<Vec<Listed>> {
    let params = [schema, name, schema, name].map(Bound::text);
    let rows = lease.rows(COLUMNS, &params).await?;
    Ok(rows
        .iter()
        .map(|row| Listed {
            name: text(row, 0),
            native: text(row, 1),
            nullable: text(row, 2) == "YES",
            generated: !text(row, 5).is_empty()
                || text(row, 4)
                    .to_ascii_uppercase()
                    .contains("GENERATED ALWAYS"),
            comment: Some(text(row, 3)).filter(|comment| !comment.is_empty()),
        })
        .collect())
}

/// Unique indexes over whole columns: the name of each, and its columns.
pub async fn unique_indexes(
    lease: &mut Lease,
    schema: &str,
    name: &str,
) -> Result<Vec<(String, Vec<String>)>> {
    let params = [schema, name].map(Bound::text);
    let rows = lease.rows(INDEXES, &params).await?;
    let mut indexes: Vec<(String, Vec<String>)> = Vec::new();
    let mut partial: Vec<String> = Vec::new();
    for row in &rows {
        let (index, column) = (text(row, 0), text(row, 1));
        if row[1].is_none() || row[2].is_some() {
            partial.push(index.clone());
        }
        match indexes.last_mut().filter(|(last, _)| *last == index) {
            Some((_, columns)) => columns.push(column),
            None => indexes.push((index, vec![column])),
        }
    }
    indexes.retain(|(index, _)| index == "PRIMARY" || !partial.contains(index));
    Ok(indexes)
}

const ENGINE: &str = "SELECT t.TABLE_TYPE, e.TRANSACTIONS FROM information_schema.TABLES AS t \
    LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE \
    WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?";

/// Refuses what is no table, or one whose writes cannot be undone.
pub async fn check_engine(
    lease: &mut Lease,
    (schema, name): (&str, &str),
    stream: &StreamId,
) -> Result<()> {
    let params = [schema, name].map(Bound::text);
    let rows = lease.rows(ENGINE, &params).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    if KINDS.iter().any(|(kind, _)| *kind == text(row, 0)) {
        return Err(not_a_table(stream, "a view or sequence"));
    }
    if text(row, 1) == "YES" {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{stream} has an engine without transactions, where a write could stop halfway"
    ))
    .hint("change the table with ALTER TABLE … ENGINE = InnoDB"))
}

const FOLLOWED: &str = "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS \
    WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? AND TABLE_NAME <> ? \
    AND DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')";

/// Whether deleting rows of a table changes or deletes those of another.
pub async fn is_followed(lease: &mut Lease, schema: &str, name: &str) -> Result<bool> {
    let params = [schema, name, name].map(Bound::text);
    let rows = lease.rows(FOLLOWED, &params).await?;
    Ok(rows.first().is_some_and(|row| text(row, 0) != "0"))
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn cursors_are_stream_ids() {
        assert_eq!(cursor("d.\"a.b\"").unwrap(), ("d".into(), "a.b".into()));
        assert!(cursor("a").is_err() && cursor("").is_err());
    }
}
