//! One read: what it reads, the statement for it, what of the read the statement
//! takes over, and its batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Statement};
use weir_core::read::Params;
use weir_core::task::Slot;
use weir_core::types::unique_names;
use weir_core::{BatchStream, Context, Error, Estimate, Pushed, Read, Result, Scan, Target, Value};
use weir_kit::Dialect;
use weir_kit::ahead::{Ahead, ahead};

use super::catalog::{self, SourceColumn};
use super::decode::RowBuilder;
use super::pushdown::{Push, term};
use super::session::{Pool, Stop, attend, unattended};
use super::types::{Kind, Seen};
use super::{failure, guard};
use crate::shared::read::{Clauses, check_count, outputs, places};

/// Rows whose values tell the types of computed columns.
const SAMPLE_ROWS: usize = 1_024;

/// Rows of a batch at most; its bytes follow the reader.
const BATCH_ROWS: usize = 65_536;

/// The first batch leaves early, so that the reader sees rows at once.
const FIRST_ROWS: usize = 1_024;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LATER_WAIT: Duration = Duration::from_secs(1);

/// What a read takes its rows from.
struct Origin {
    /// What stands before `SELECT`.
    with: String,
    /// What stands after `FROM`.
    from: String,
    /// The columns there, and how the statement refers to each.
    columns: Vec<SourceColumn>,
    references: Vec<String>,
    /// Values that a query's own parameters are bound to.
    params: Vec<SqlValue>,
    /// Whether filters and orders are left to the engine.
    is_query: bool,
    estimated_rows: Option<u64>,
}

/// A statement, and what it gives.
struct Plan {
    sql: String,
    params: Vec<SqlValue>,
    kinds: Vec<Kind>,
    schema: SchemaRef,
    pushed: Pushed,
    estimate: Estimate,
}

fn literal(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Bool(value) => SqlValue::Integer(i64::from(*value)),
        Value::Int(value) => SqlValue::Integer(*value),
        Value::Number(text) => match text.parse() {
            Ok(number) => SqlValue::Real(number),
            Err(_) => SqlValue::Text(text.clone()),
        },
        Value::Text(text) => SqlValue::Text(text.clone()),
    }
}

/// The values of a query's parameters in the order in which SQLite numbers them.
fn bound(statement: &Statement<'_>, params: &Params) -> Result<Vec<SqlValue>> {
    let count = statement.parameter_count();
    match params {
        Params::Positional(values) => {
            check_count(count, values.len(), "?1, ?2 …")?;
            Ok(values.iter().map(literal).collect())
        }
        Params::Named(values) => {
            let mut places = vec![None; count];
            for (name, value) in values {
                let found = [':', '@', '$'].into_iter().find_map(|sign| {
                    let index = statement.parameter_index(&format!("{sign}{name}"));
                    index.ok().flatten()
                });
                let Some(place) = found.and_then(|index| places.get_mut(index - 1)) else {
                    let message = format!("the query has no parameter `:{name}`");
                    return Err(Error::invalid("/params", message));
                };
                *place = Some(literal(value));
            }
            let all: Option<Vec<SqlValue>> = places.into_iter().collect();
            all.ok_or_else(|| {
                Error::invalid("/params", "a parameter of the query has no value")
                    .hint("give a value for each :name of the query")
            })
        }
    }
}

impl Origin {
    fn of_stream(conn: &Connection, name: &str) -> Result<Self> {
        let relation = catalog::relation(conn, name)?;
        let quote = |name: &str| Dialect::Standard.quote(name);
        let mut origin = Origin {
            with: String::new(),
            from: format!("main.{} AS t", quote(name)),
            references: relation
                .columns
                .iter()
                .map(|column| format!("t.{}", quote(&column.name)))
                .collect(),
            columns: relation.columns,
            params: Vec::new(),
            is_query: false,
            estimated_rows: catalog::estimated_rows(conn, name),
        };
        guard::reading(conn, || origin.look(conn))?;
        Ok(origin)
    }

    fn of_query(conn: &Connection, text: &str, params: &Params) -> Result<Self> {
        // Prepared alone, SQLite itself proves that it is one whole statement.
        let statement = conn
            .prepare(text)
            .map_err(|error| failure::of(error).at("/query", "refused by SQLite"))?;
        guard::check_readonly(&statement)?;
        let params = bound(&statement, params)?;
        let given = statement.columns();
        let names = unique_names(given.iter().map(rusqlite::Column::name));
        let columns: Vec<SourceColumn> = given
            .iter()
            .zip(names)
            .map(|(column, name)| SourceColumn {
                name,
                native: column.decl_type().unwrap_or_default().to_owned(),
                kind: column.decl_type().map(super::types::kind),
                nullable: true,
                key: 0,
                strict: false,
                required: false,
                generated: false,
                stored: false,
            })
            .collect();
        let aliases: Vec<String> = (1..=columns.len()).map(|n| format!("c{n}")).collect();
        // A name that the query cannot mean, as it would mean itself.
        let mut name = "weir_query".to_owned();
        while text.to_ascii_lowercase().contains(&name) {
            name.push('_');
        }
        let mut origin = Origin {
            with: format!("WITH {name}({}) AS (\n{text}\n) ", aliases.join(", ")),
            from: format!("{name} AS t"),
            references: aliases.iter().map(|alias| format!("t.{alias}")).collect(),
            columns,
            params,
            is_query: true,
            estimated_rows: None,
        };
        origin.look(conn)?;
        Ok(origin)
    }

    /// Looks at the first rows, where columns have no type of their own.
    fn look(&mut self, conn: &Connection) -> Result<()> {
        let wanted: Vec<usize> = (0..self.columns.len())
            .filter(|at| self.columns[*at].kind.is_none())
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let list: Vec<&str> = wanted
            .iter()
            .map(|at| self.references[*at].as_str())
            .collect();
        let (with, list, from) = (&self.with, list.join(", "), &self.from);
        let sql = format!("{with}SELECT {list} FROM {from} LIMIT {SAMPLE_ROWS}");
        let mut seen = vec![Seen::default(); wanted.len()];
        let mut statement = conn.prepare(&sql).map_err(failure::of)?;
        bind(&mut statement, &self.params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failure::of)? {
            for (place, seen) in seen.iter_mut().enumerate() {
                seen.look(row.get_ref(place).map_err(failure::of)?);
            }
        }
        for (at, seen) in wanted.into_iter().zip(seen) {
            self.columns[at].kind = Some(seen.kind());
        }
        Ok(())
    }

    fn known(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    /// Builds the statement, and says what it takes over.
    fn plan(&self, read: &Read, lenient: bool) -> Result<Plan> {
        let known = self.known();
        let wanted = places(read, &known)?;
        let terms: Vec<_> = self.columns.iter().map(|c| term(c, lenient)).collect();
        let mut push = Push::new(&terms);
        let clauses = Clauses::of(&mut push, read);
        let output = outputs(read, &known, wanted, &clauses);
        let list: Vec<String> = output.iter().map(|at| self.selected(*at)).collect();
        let list = if list.is_empty() {
            "NULL".to_owned()
        } else {
            list.join(", ")
        };
        let mut sql = format!("{}SELECT {list} FROM {}", self.with, self.from);
        clauses.append_to(&mut sql);
        let fields: Vec<_> = output.iter().map(|at| self.columns[*at].field()).collect();
        Ok(Plan {
            sql,
            params: self.bound_with(push),
            kinds: output.iter().map(|at| self.columns[*at].kind()).collect(),
            schema: Arc::new(Schema::new(fields)),
            pushed: clauses.pushed(read),
            estimate: Estimate {
                rows: self.estimated_rows,
                ..Estimate::default()
            },
        })
    }

    /// Filters are only pushed into tables, which have no values of their own.
    fn bound_with(&self, push: Push<'_>) -> Vec<SqlValue> {
        if self.is_query {
            self.params.clone()
        } else {
            push.compiler.dialect.params
        }
    }

    fn selected(&self, at: usize) -> String {
        let reference = &self.references[at];
        match self.columns[at].kind() {
            // SQLite's own text form of whatever it is.
            Kind::Any => format!("CAST({reference} AS TEXT)"),
            _ => reference.clone(),
        }
    }

    fn count(&self, read: &Read, lenient: bool) -> Result<Option<(String, Vec<SqlValue>)>> {
        places(read, &self.known())?;
        let terms: Vec<_> = self.columns.iter().map(|c| term(c, lenient)).collect();
        let mut push = Push::new(&terms);
        let clauses = Clauses::of(&mut push, read);
        if !clauses.has_whole_filter() {
            return Ok(None);
        }
        let mut sql = format!("{}SELECT count(*) FROM {}", self.with, self.from);
        clauses.append_to(&mut sql);
        Ok(Some((sql, self.bound_with(push))))
    }
}

fn bind(statement: &mut Statement<'_>, params: &[SqlValue]) -> Result<()> {
    for (at, value) in params.iter().enumerate() {
        statement
            .raw_bind_parameter(at + 1, value)
            .map_err(failure::of)?;
    }
    Ok(())
}

/// What a read takes its rows from; a query is checked before anything is opened.
fn origin(conn: &Connection, target: &Target) -> Result<Origin> {
    match target {
        Target::Stream(stream) => {
            let name = catalog::locate(stream)?;
            Origin::of_stream(conn, name)
        }
        Target::Query { text, params } => {
            let text = guard::check(text)?;
            guard::reading(conn, || Origin::of_query(conn, text, params))
        }
    }
}

/// The columns of a stream, with the types that its values tell.
pub fn described(conn: &Connection, name: &str) -> Result<weir_core::StreamSchema> {
    let mut relation = catalog::relation(conn, name)?;
    if relation.columns.iter().any(|column| column.kind.is_none()) {
        relation.columns = Origin::of_stream(conn, name)?.columns;
    }
    Ok(catalog::describe(conn, &relation))
}

/// Counts the rows of a read, when SQLite takes the whole filter.
pub async fn count(
    pool: &Arc<Pool>,
    ctx: &Context,
    read: &Read,
    lenient: bool,
) -> Result<Option<u64>> {
    let read = Read {
        filter: read.filter.clone(),
        ..Read::all(read.target.clone())
    };
    pool.run(ctx, move |conn| {
        let Some((sql, params)) = origin(conn, &read.target)?.count(&read, lenient)? else {
            return Ok(None);
        };
        guard::reading(conn, || {
            let mut statement = conn.prepare(&sql).map_err(failure::of)?;
            bind(&mut statement, &params)?;
            let mut rows = statement.raw_query();
            let row = rows.next().map_err(failure::of)?;
            let count = row.map(|row| row.get::<_, i64>(0)).transpose();
            let count = count.map_err(failure::of)?;
            Ok(count.and_then(|count| u64::try_from(count).ok()))
        })
    })
    .await
}

/// Prepares a read.
pub async fn scan(pool: &Arc<Pool>, ctx: &Context, read: &Read, lenient: bool) -> Result<Scan> {
    if let Target::Query { text, .. } = &read.target {
        guard::check(text)?;
    }
    let wanted = read.clone();
    let plan = pool
        .run(ctx, move |conn| {
            origin(conn, &wanted.target)?.plan(&wanted, lenient)
        })
        .await?;
    let rows = RowBuilder::new(Arc::clone(&plan.schema), &plan.kinds, lenient);
    let job = Job {
        pool: Arc::clone(pool),
        sql: plan.sql,
        params: plan.params,
        rows,
        most: read.batch_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS),
        is_query: matches!(read.target, Target::Query { .. }),
    };
    Ok(Scan {
        schema: plan.schema,
        stream: stream(job, ctx),
        pushed: plan.pushed,
        estimate: read.estimate.then_some(plan.estimate),
    })
}

/// A read that is ready to start.
struct Job {
    pool: Arc<Pool>,
    sql: String,
    params: Vec<SqlValue>,
    rows: RowBuilder,
    /// Rows in a batch at most.
    most: usize,
    /// Whether the statement is the caller's.
    is_query: bool,
}

/// The batches of `job`: made on a thread that may block, which gives its slot to
/// others while the reader is slow. Dropping the stream drops the guard, which
/// stops the thread.
fn stream(job: Job, ctx: &Context) -> BatchStream {
    let (compute, memory) = (ctx.compute.clone(), ctx.memory.clone());
    let ctx = ctx.clone();
    ahead(compute, memory, |ahead| async move {
        let place = ctx.bounded(job.pool.keeper.place()).await?;
        let (stop, _guard) = Stop::of(&ctx);
        let compute = ctx.compute.clone();
        let task = ctx.compute.blocking_with(move |slot| {
            let pool = Arc::clone(&job.pool);
            pool.within(&stop, || {
                let kept = pool.session(&place)?;
                let conn = &kept.item.conn;
                attend(conn, &stop)?;
                if !job.is_query {
                    // A virtual table comes to life with statements that would write;
                    // the one below finds it alive.
                    drop(conn.prepare(&job.sql));
                }
                guard::reading(conn, || job.produce(conn, &ahead, &stop, slot))?;
                unattended(conn)?;
                place.hand_back(kept, &compute);
                Ok(())
            })
        });
        task.await?
    })
}

impl Job {
    fn produce(
        mut self,
        conn: &Connection,
        ahead: &Ahead,
        stop: &Stop,
        slot: &mut Slot,
    ) -> Result<()> {
        let mut statement = conn.prepare(&self.sql).map_err(failure::of)?;
        guard::check_readonly(&statement)?;
        bind(&mut statement, &self.params)?;
        let mut rows = statement.raw_query();
        let (mut most, mut wait) = (self.most.min(FIRST_ROWS), FIRST_WAIT);
        let mut begun = Instant::now();
        loop {
            let row = rows.next().map_err(failure::of)?;
            let is_last = row.is_none();
            if let Some(row) = row {
                self.rows.push(row)?;
            }
            let made = self.rows.rows;
            let is_full = made >= most
                || self.rows.bytes >= ahead.batch_bytes()
                || (made % 64 == 1 && begun.elapsed() >= wait);
            if made > 0 && (is_full || is_last) {
                let batch = self.rows.finish()?;
                let sent = slot.wait(async {
                    tokio::select! {
                        biased;
                        () = stop.gone() => Ok(false),
                        sent = ahead.send(batch) => sent,
                    }
                })?;
                if !sent {
                    return Err(weir_core::context::cancelled());
                }
                (most, wait, begun) = (self.most, LATER_WAIT, Instant::now());
            }
            if is_last {
                break;
            }
        }
        if self.rows.nulled > 0 {
            let values = self.rows.nulled;
            tracing::warn!(values, "values that do not fit their column became null");
        }
        Ok(())
    }
}
