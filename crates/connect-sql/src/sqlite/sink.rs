//! The writing role. Rows wait in a temporary table, which is nobody else's, so that
//! no lock is held while a caller sends; then one transaction brings them over. Its
//! journal is what makes it whole: whoever opens the file after a crash takes back
//! what was not committed.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use async_trait::async_trait;
use futures::StreamExt;
use rusqlite::Connection;
use weir_core::sink::bad_row;
use weir_core::{Context, Error, Kind, Result, Rows, Sink, SourceFault, Write, WriteMode, Written};
use weir_kit::Dialect;
use weir_kit::write::{self as kit, NULL_KEY, pieces, refuse_nulls};

use super::catalog::{self, Relation};
use super::encode::{self, Column, Target, Unbound, Wire};
use super::failure;
use super::session::{Pool, Session, Stop, attend, unattended};
use super::source::SqliteSource;
use crate::shared::convert::Refused;
use crate::shared::target::{self, Known, Wires};

type Plan = target::Plan<Wire>;

/// Bytes of a batch that go into the temporary table at once.
const PIECE: usize = 1 << 20;

const STAGE: &str = "temp.weir_rows";

/// What SQLite makes of the types of Arrow.
struct Types;

impl Wires for Types {
    type Wire = Wire;
    type Kind = Target;

    fn created(&self, field: &FieldRef, _: bool) -> Result<(String, Wire)> {
        encode::created(field)
    }

    fn into(&self, field: &FieldRef, target: &Target) -> Option<Wire> {
        encode::wire(field, target)
    }
}

/// A write on its way.
struct Writing {
    pool: Arc<Pool>,
    session: Session,
    stop: Stop,
    write: Write,
    schema: Arc<Schema>,
    plan: Plan,
    /// Places of the keys in the rows.
    keys: Vec<usize>,
    /// Rows so far.
    count: u64,
}

#[async_trait]
impl Sink for SqliteSource {
    async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let keys = kit::check(write, &rows.schema)?;
        kit::refuse_deterministic(write, "tables")?;
        catalog::locate(&write.stream)?;
        let _place = ctx.bounded(self.pool.keeper.place()).await?;
        let (stop, _guard) = Stop::of(ctx);
        let (pool, write, schema) = (
            Arc::clone(&self.pool),
            write.clone(),
            Arc::clone(&rows.schema),
        );
        let begun = ctx
            .compute
            .blocking(move || Writing::begin(pool, stop, write, schema, keys));
        let writing = ctx.bounded(async { begun.await? }).await?;
        let compute = ctx.compute.clone();
        let staged = ctx.compute.spawn(async move {
            let (mut writing, mut batches) = (writing, rows.batches);
            while let Some(batch) = batches.next().await.transpose()? {
                writing = compute.blocking(move || writing.take(batch)).await??;
            }
            Ok::<_, Error>(writing)
        });
        let writing = ctx.bounded(async { staged.await? }).await?;
        // Stopped by its guard and the call's end, but never left alone after the
        // commit has begun.
        let inside = ctx.clone();
        ctx.compute
            .blocking(move || writing.finish(&inside))
            .await?
    }
}

impl Writing {
    /// Looks at the table, and makes the temporary one.
    fn begin(
        pool: Arc<Pool>,
        stop: Stop,
        write: Write,
        schema: Arc<Schema>,
        keys: Vec<usize>,
    ) -> Result<Self> {
        let (session, plan) = pool.within(&stop, || {
            let session = pool.open_to_write()?;
            attend(&session.conn, &stop)?;
            let plan = plan(&session.conn, &write, &schema)?;
            run(&session.conn, &stage(plan.columns.len()))?;
            Ok((session, plan))
        })?;
        Ok(Writing {
            pool,
            session,
            stop,
            write,
            schema,
            plan,
            keys,
            count: 0,
        })
    }

    /// Takes the rows of a batch.
    fn take(mut self, batch: RecordBatch) -> Result<Self> {
        let pool = Arc::clone(&self.pool);
        let stop = self.stop.clone();
        pool.within(&stop, || {
            self.check(&batch)?;
            for piece in pieces(batch, PIECE) {
                self.insert(&piece)?;
                self.count += piece.num_rows() as u64;
            }
            Ok(())
        })?;
        Ok(self)
    }

    /// Refuses nulls where there must be none.
    fn check(&self, batch: &RecordBatch) -> Result<()> {
        refuse_nulls(batch, &self.keys, self.count, NULL_KEY)?;
        let required = self.plan.columns.iter().enumerate();
        let required: Vec<usize> = required
            .filter(|(_, column)| column.required)
            .map(|(place, _)| place)
            .collect();
        let why = "null in a column that takes none";
        refuse_nulls(batch, &required, self.count, why)
    }

    fn insert(&self, batch: &RecordBatch) -> Result<()> {
        let bad = |row: usize, place: usize, why: &str| {
            let name = &self.plan.columns[place].name;
            bad_row(self.count + row as u64, Some(name), why)
        };
        let mut columns = Vec::with_capacity(batch.num_columns());
        let fields = self.schema.fields().iter().zip(batch.columns());
        for (place, (field, array)) in fields.enumerate() {
            let wire = self.plan.columns[place].wire;
            let column = Column::new(wire, field, array);
            columns.push(column.map_err(|Refused { row, why }| bad(row, place, why))?);
        }
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO {STAGE} VALUES (NULL, {marks})");
        let mut statement = self.session.conn.prepare(&sql).map_err(failure::of)?;
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            for (place, column) in columns.iter().enumerate() {
                let bound = column.bind(row, &mut statement, place + 1, &mut scratch);
                bound.map_err(|unbound| match unbound {
                    Unbound::Value(why) => bad(row, place, why),
                    Unbound::Sqlite(error) => failure::of(error),
                })?;
            }
            statement.raw_execute().map_err(failure::of)?;
        }
        Ok(())
    }

    /// Brings the rows over, in one transaction.
    fn finish(self, ctx: &Context) -> Result<Written> {
        self.pool.within(&self.stop, || {
            let conn = &self.session.conn;
            run(conn, "COMMIT; BEGIN IMMEDIATE")?;
            let outcome = self.bring_over(conn, ctx);
            if outcome.is_err() && !conn.is_autocommit() {
                // What cannot be taken back now is when the file is opened next.
                let _left = conn.execute_batch("ROLLBACK");
            }
            outcome
        })
    }

    fn bring_over(&self, conn: &Connection, ctx: &Context) -> Result<Written> {
        // Somebody may have changed the table while the rows were coming.
        let plan = plan(conn, &self.write, &self.schema)?;
        let wires = |plan: &Plan| plan.columns.iter().map(|c| c.wire).collect::<Vec<_>>();
        if wires(&plan) != wires(&self.plan) {
            return Err(changed(&self.write));
        }
        if let Some(create) = &plan.create {
            run(conn, create)?;
        }
        for column in plan.added() {
            let name = Dialect::Standard.quote(&column.name);
            run(
                conn,
                &format!(
                    "ALTER TABLE {} ADD COLUMN {name} {}",
                    plan.path, column.native
                ),
            )?;
        }
        if self.write.mode == WriteMode::Replace && plan.create.is_none() {
            // Rows that refer to those that come again go on referring to them.
            run(
                conn,
                &format!("PRAGMA defer_foreign_keys = ON; DELETE FROM {}", plan.path),
            )?;
        }
        let rows = conn
            .execute(&insert(&plan, &self.write), [])
            .map_err(failure::of)?;
        self.write.commit.begin(ctx)?;
        unattended(conn)?;
        run(conn, "COMMIT")?;
        Ok(Written {
            rows: rows as u64,
            created: plan.create.is_some(),
            added_columns: plan.added_names(),
        })
    }
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).map_err(failure::of)
}

/// The statements that make the temporary table, in a transaction of its own. Its
/// columns have no types, so that values stay as they were bound.
fn stage(columns: usize) -> String {
    let list: Vec<String> = (1..=columns).map(|n| format!("c{n}")).collect();
    format!(
        "BEGIN; CREATE TABLE {STAGE} (n INTEGER PRIMARY KEY, {})",
        list.join(", ")
    )
}

/// The statement that brings the rows over.
fn insert(plan: &Plan, write: &Write) -> String {
    let quote = |name: &str| Dialect::Standard.quote(name);
    let place = |name: &String| plan.columns.iter().position(|column| column.name == *name);
    let staged: Vec<String> = (1..=plan.columns.len()).map(|n| format!("c{n}")).collect();
    let staged = staged.join(", ");
    let (path, names) = (&plan.path, plan.names());
    let keys: Vec<String> = write.keys.iter().map(|key| quote(key)).collect();
    let groups: Vec<String> = write
        .keys
        .iter()
        .filter_map(place)
        .map(|place| format!("c{}", place + 1))
        .collect();
    let (keys, groups) = (keys.join(", "), groups.join(", "));
    // Of rows with one key the last holds, or for `ignore` the first.
    let one = |which: &str| format!("n IN (SELECT {which}(n) FROM {STAGE} GROUP BY {groups})");
    let (chosen, conflict) = match write.mode {
        WriteMode::Append | WriteMode::Replace | WriteMode::Fail => {
            ("true".to_owned(), String::new())
        }
        WriteMode::Ignore => (one("min"), format!(" ON CONFLICT ({keys}) DO NOTHING")),
        WriteMode::Upsert => {
            let set: Vec<String> = plan
                .others(&write.keys)
                .map(|column| {
                    let name = quote(&column.name);
                    format!("{name} = excluded.{name}")
                })
                .collect();
            let action = if set.is_empty() {
                "NOTHING".to_owned()
            } else {
                format!("UPDATE SET {}", set.join(", "))
            };
            (one("max"), format!(" ON CONFLICT ({keys}) DO {action}"))
        }
    };
    format!(
        "INSERT INTO {path} ({names}) SELECT {staged} FROM {STAGE} WHERE {chosen} ORDER BY n{conflict}"
    )
}

/// Holds the rows against the table.
fn plan(conn: &Connection, write: &Write, rows: &Schema) -> Result<Plan> {
    let name = catalog::locate(&write.stream)?;
    let path = Dialect::Standard.path(&["main", name]);
    let Some(relation) = catalog::find(conn, name)? else {
        if let Some(other) = catalog::alike(conn, name)? {
            let message = format!(
                "{} is there as `{other}`, and SQLite tells no case apart",
                write.stream
            );
            return Err(Error::new(Kind::Conflict, message)
                .code("stream_exists")
                .hint("write into the stream of that name"));
        }
        let plan = target::new_table(&Types, Dialect::Standard, path, write, rows)?;
        check_names(&plan, &[])?;
        return Ok(plan);
    };
    if write.mode != WriteMode::Fail {
        check_kind(&relation, write)?;
    }
    let known: Vec<Known<Target>> = relation.columns.iter().map(known).collect();
    let plan = target::into_table(&Types, Dialect::Standard, path, write, rows, &known)?;
    let names: Vec<&str> = relation.columns.iter().map(|c| c.name.as_str()).collect();
    check_names(&plan, &names)?;
    if write.mode.needs_keys() && !catalog::has_unique(conn, &relation, &write.keys)? {
        return Err(target::no_unique_key(&write.keys));
    }
    if write.mode == WriteMode::Replace && catalog::is_followed(conn, name)? {
        return Err(target::followed(&write.stream));
    }
    Ok(plan)
}

fn known(column: &catalog::SourceColumn) -> Known<Target> {
    let upper = column.native.to_ascii_uppercase();
    Known {
        name: column.name.clone(),
        native: column.native.clone(),
        kind: Target {
            kind: column.kind(),
            // Where the name says text, SQLite makes no number of it.
            whole: upper.contains("TEXT"),
        },
        required: column.required,
        generated: column.generated,
    }
}

fn check_kind(relation: &Relation, write: &Write) -> Result<()> {
    match relation.kind.as_str() {
        "table" => Ok(()),
        "view" => Err(target::not_a_table(&write.stream, "a view")),
        _ => Err(target::not_a_table(&write.stream, "a virtual table")),
    }
}

/// SQLite tells no case of ASCII letters apart in names.
fn check_names(plan: &Plan, known: &[&str]) -> Result<()> {
    let new = plan
        .columns
        .iter()
        .filter(|c| c.is_new || plan.create.is_some());
    let mut taken: Vec<&str> = known.to_vec();
    for column in new {
        if let Some(other) = taken
            .iter()
            .find(|name| name.eq_ignore_ascii_case(&column.name))
        {
            let message = format!(
                "the columns `{}` and `{other}` differ in case only, which SQLite does not tell apart",
                column.name
            );
            return Err(Error::new(Kind::Invalid, message).code("bad_column_name"));
        }
        taken.push(&column.name);
    }
    Ok(())
}

fn changed(write: &Write) -> Error {
    let message = format!("{} was changed while the rows were coming", write.stream);
    Error::source(SourceFault::Unavailable, message)
        .hint("nothing was written; send the rows again")
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use weir_core::StreamId;

    use super::*;

    #[test]
    fn one_statement_brings_rows_over() {
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("a\"b", DataType::Utf8, true),
        ];
        let statement = |mode: WriteMode| {
            let keys: &[&str] = if mode.needs_keys() { &["id"] } else { &[] };
            let write = Write::new(StreamId::from_parts(["t"]), mode).by(keys);
            let path = "\"t\"".to_owned();
            let rows = Schema::new(fields.clone());
            let plan = target::new_table(&Types, Dialect::Standard, path, &write, &rows);
            insert(&plan.unwrap(), &write)
        };
        assert_eq!(
            statement(WriteMode::Upsert),
            "INSERT INTO \"t\" (\"id\", \"a\"\"b\") SELECT c1, c2 FROM temp.weir_rows \
             WHERE n IN (SELECT max(n) FROM temp.weir_rows GROUP BY c1) ORDER BY n \
             ON CONFLICT (\"id\") DO UPDATE SET \"a\"\"b\" = excluded.\"a\"\"b\""
        );
        assert!(statement(WriteMode::Ignore).ends_with("ON CONFLICT (\"id\") DO NOTHING"));
        assert!(statement(WriteMode::Append).ends_with("WHERE true ORDER BY n"));
    }
}
