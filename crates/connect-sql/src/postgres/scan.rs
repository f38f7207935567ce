//! One read: what it reads, the statement for it, and what of the read the
//! statement takes over.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use postgres_types::Type;
use weir_core::{
    Context, Error, Estimate, Kind, Pushed, Read, Result, Scan, SourceFault, StreamId, Target,
};
use weir_kit::Dialect;

use crate::shared::read::{Clauses, check_count, outputs, places, positional};

use super::bound::{Bound, Raw};
use super::catalog::{self, SourceColumn};
use super::decode::RowBuilder;
use super::flow::{self, Job};
use super::guard;
use super::lease::{Lease, Pool};
use super::pushdown::{ColumnRef, Compiler};

/// What a read takes its rows from.
struct Origin {
    /// What stands after `FROM`.
    from: String,
    /// The columns there, and how the statement refers to each.
    columns: Vec<SourceColumn>,
    references: Vec<String>,
    /// Values that a query's own parameters are bound to, and their types.
    params: Vec<Bound>,
    types: Vec<Type>,
}

/// What of the read the statement takes over.
struct Plan {
    sql: String,
    params: Vec<Bound>,
    /// Places of the columns it gives.
    output: Vec<usize>,
    pushed: Pushed,
}

/// How parameters are written.
const EXAMPLE: &str = "$1, $2 …";

/// What holds for all reads of a source.
pub struct Reader {
    /// Its connections.
    pub pool: Arc<Pool>,
    /// The schema of names without one.
    pub schema: String,
    /// The connected database.
    pub database: String,
    /// Values that cannot be represented become null.
    pub lenient: bool,
}

impl Reader {
    /// Schema and name of a stream.
    pub fn locate<'a>(&'a self, stream: &'a StreamId) -> Result<(&'a str, &'a str)> {
        match stream.names()? {
            [name] => Ok((&self.schema, name)),
            [schema, name] => Ok((schema, name)),
            [database, schema, name] if *database == self.database => Ok((schema, name)),
            _ => Err(
                Error::source(SourceFault::NotFound, format!("no table or view {stream}")).hint(
                    format!(
                        "a stream here is schema.name or a name in {}",
                        Dialect::Standard.quote(&self.schema)
                    ),
                ),
            ),
        }
    }

    /// A session, and what the read takes its rows from.
    async fn origin(&self, ctx: &Context, read: &Read) -> Result<(Lease, Origin)> {
        let statement = match &read.target {
            Target::Stream(_) => None,
            Target::Query { text, params } => Some((
                guard::check(text)?,
                positional(params, "PostgreSQL", EXAMPLE)?,
            )),
        };
        let mut lease = Lease::take(&self.pool, ctx).await?;
        let origin = match (&read.target, statement) {
            (_, Some((text, params))) => of_query(&mut lease, text, params).await?,
            (Target::Stream(stream), None) => {
                let (schema, name) = self.locate(stream)?;
                of_stream(&mut lease, schema, name).await?
            }
            (Target::Query { .. }, None) => {
                return Err(Error::internal("a query without its statement"));
            }
        };
        Ok((lease, origin))
    }

    /// Counts the rows of a read in the server, when that takes the whole
    /// filter; see `weir_core::Source::count`.
    pub async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        let (mut lease, origin) = self.origin(ctx, read).await?;
        let read = Read {
            filter: read.filter.clone(),
            ..Read::all(read.target.clone())
        };
        let utf8 = lease.parameter("server_encoding") == Some("UTF8");
        let known: Vec<&str> = origin
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        places(&read, &known)?;
        let references = references(&origin);
        let mut compiler = compiler(&references, &origin, utf8, self.lenient);
        let clauses = Clauses::of(&mut compiler, &read);
        if !clauses.has_whole_filter() {
            return Ok(None);
        }
        let mut sql = format!("SELECT pg_catalog.count(*) FROM {}", origin.from);
        clauses.append_to(&mut sql);
        let bound = compiler.into_params();
        let params: Vec<Bound> = origin.params.iter().cloned().chain(bound).collect();
        let statement = lease.prepare(&sql, &origin.types).await?;
        let rows = lease.all(&statement, &params).await?;
        let count = rows.first().map(|row| catalog::get::<i64>(row, 0));
        Ok(count
            .transpose()?
            .and_then(|count| u64::try_from(count).ok()))
    }

    /// Prepares a read; see `weir_core::Source::scan`.
    pub async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        let (mut lease, origin) = self.origin(ctx, read).await?;
        let utf8 = lease.parameter("server_encoding") == Some("UTF8");
        let plan = plan(&origin, read, utf8, self.lenient)?;
        let estimate = if read.estimate {
            Some(estimate(&mut lease, &plan, &origin.types).await?)
        } else {
            None
        };
        let schema = schema_of(&origin.columns, &plan.output);
        let decoders = plan
            .output
            .iter()
            .map(|at| origin.columns[*at].mapping.decoder(self.lenient))
            .collect();
        let job = Job {
            lease,
            sql: plan.sql,
            params: plan.params,
            types: origin.types,
            rows: RowBuilder::new(Arc::clone(&schema), decoders, self.lenient),
            batch_rows: read.batch_rows,
        };
        Ok(Scan {
            schema,
            stream: flow::stream(job, ctx),
            pushed: plan.pushed,
            estimate,
        })
    }
}

fn schema_of(columns: &[SourceColumn], output: &[usize]) -> SchemaRef {
    let fields: Vec<_> = output
        .iter()
        .map(|at| {
            columns[*at]
                .mapping
                .field(&columns[*at].name, &columns[*at].native)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

async fn of_stream(lease: &mut Lease, schema: &str, name: &str) -> Result<Origin> {
    let relation = catalog::relation(lease, schema, name).await?;
    let quote = |name: &str| Dialect::Standard.quote(name);
    Ok(Origin {
        from: format!("{} AS t", Dialect::Standard.path(&[schema, name])),
        references: relation
            .columns
            .iter()
            .map(|column| format!("t.{}", quote(&column.name)))
            .collect(),
        columns: relation.columns,
        params: Vec::new(),
        types: Vec::new(),
    })
}

async fn of_query(lease: &mut Lease, text: &str, values: &[weir_core::Value]) -> Result<Origin> {
    // Prepared alone, the server itself proves that it is one whole statement.
    let statement = lease
        .prepare(text, &[])
        .await
        .map_err(|error| error.at("/query", "refused by the source"))?;
    let types = statement.params().to_vec();
    check_count(types.len(), values.len(), EXAMPLE)?;
    let answer: Vec<(String, u32, i32)> = statement
        .columns()
        .iter()
        .map(|column| {
            (
                column.name().to_owned(),
                column.type_().oid(),
                column.type_modifier(),
            )
        })
        .collect();
    let columns = catalog::answer_columns(lease, &answer).await?;
    let aliases: Vec<String> = (1..=columns.len())
        .map(|number| format!("c{number}"))
        .collect();
    let list = if aliases.is_empty() {
        String::new()
    } else {
        format!("({})", aliases.join(", "))
    };
    Ok(Origin {
        from: format!("(\n{text}\n) AS t{list}"),
        references: aliases.iter().map(|alias| format!("t.{alias}")).collect(),
        columns,
        params: values.iter().map(Bound::value).collect(),
        types,
    })
}

/// A compiler of what `origin` has.
fn compiler<'a>(
    references: &'a [ColumnRef<'a>],
    origin: &Origin,
    utf8: bool,
    lenient: bool,
) -> Compiler<'a> {
    Compiler::new(references, utf8, lenient, origin.params.len() + 1)
}

fn references(origin: &Origin) -> Vec<ColumnRef<'_>> {
    let pairs = origin.columns.iter().zip(&origin.references);
    pairs
        .map(|(column, sql)| ColumnRef {
            sql: sql.clone(),
            column,
        })
        .collect()
}

/// Builds the statement, and says what it takes over.
fn plan(origin: &Origin, read: &Read, utf8: bool, lenient: bool) -> Result<Plan> {
    let known: Vec<&str> = origin
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let wanted = places(read, &known)?;
    let references = references(origin);
    let mut compiler = compiler(&references, origin, utf8, lenient);
    let clauses = Clauses::of(&mut compiler, read);
    let output = outputs(read, &known, wanted, &clauses);
    let mut sql = select(origin, &output);
    clauses.append_to(&mut sql);
    Ok(Plan {
        sql,
        output,
        pushed: clauses.pushed(read),
        params: origin
            .params
            .iter()
            .cloned()
            .chain(compiler.into_params())
            .collect(),
    })
}

fn select(origin: &Origin, output: &[usize]) -> String {
    let mut sql = String::from("SELECT ");
    for (index, place) in output.iter().enumerate() {
        if index > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&origin.references[*place]);
        if let Some(cast) = origin.columns[*place].mapping.cast {
            sql.push_str("::pg_catalog.");
            sql.push_str(cast);
        }
    }
    sql.push_str(" FROM ");
    sql.push_str(&origin.from);
    sql
}

/// The planner's own estimate.
async fn estimate(lease: &mut Lease, plan: &Plan, types: &[Type]) -> Result<Estimate> {
    let statement = lease
        .prepare(&format!("EXPLAIN (FORMAT JSON) {}", plan.sql), types)
        .await?;
    let rows = lease.all(&statement, &plan.params).await?;
    let text = match rows
        .first()
        .map(|row| catalog::get::<Raw<'_>>(row, 0))
        .transpose()?
    {
        Some(Raw(Some(text))) => text.to_vec(),
        _ => return Ok(Estimate::default()),
    };
    let explained: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
        Error::new(Kind::Source(SourceFault::Data), "the plan is not JSON").detail(error)
    })?;
    let node = &explained[0]["Plan"];
    let rows = node["Plan Rows"].as_f64();
    let bytes = rows
        .zip(node["Plan Width"].as_f64())
        .map(|(rows, width)| rows * width);
    Ok(Estimate {
        rows: rows.map(|rows| rows as u64),
        bytes: bytes.map(|bytes| bytes as u64),
        cost: node["Total Cost"].as_f64(),
    })
}
