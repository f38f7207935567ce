//! One read: what it reads, the statement for it, and what of the read the
//! statement takes over.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use weir_core::types::unique_names;
use weir_core::{
    Context, Error, Estimate, PushDown, Pushed, Read, Result, Scan, SourceFault, StreamId, Target,
    Value,
};
use weir_kit::Dialect;

use super::bound::Bound;
use super::catalog;
use super::client::Statement;
use super::flow::{self, Job};
use super::guard;
use super::lease::{Lease, Pool};
use super::pushdown::{Spelling, term};
use super::types::{ColumnDef, Mapping, Rules};
use crate::shared::compare::{Compiler, Term};
use crate::shared::read::{Clauses, check_count, outputs, places, positional};

/// How parameters are written here.
const EXAMPLE: &str = "?";

/// Letters of the names of a derived table's columns.
const MOST_LETTERS: usize = 64;

/// What a read takes its rows from.
struct Origin {
    /// The statement that gives all of it.
    whole: Statement,
    /// The names of its columns, every one once.
    names: Vec<String>,
    /// What stands after `FROM`; none where it must run as it is written.
    from: Option<String>,
    /// Whether rows come in an order that the query gave them, which a table
    /// made of it would lose.
    is_ordered: bool,
    params: Vec<Bound>,
}

/// What holds for all reads of a source.
pub struct Reader {
    /// Its connections.
    pub pool: Arc<Pool>,
    /// How types are read.
    pub rules: Rules,
}

impl Reader {
    /// Database and name of a stream.
    pub fn locate<'a>(&'a self, stream: &'a StreamId) -> Result<(&'a str, &'a str)> {
        let database = self.pool.way.target.database.as_deref();
        match (stream.names()?, database) {
            ([name], Some(database)) => Ok((database, name)),
            ([database, name], _) => Ok((database, name)),
            _ => Err(
                Error::source(SourceFault::NotFound, format!("no table or view {stream}")).hint(
                    "a stream here is database.name, or a name alone where the source has a database",
                ),
            ),
        }
    }

    /// A session, and what the read takes its rows from.
    async fn origin(&self, ctx: &Context, read: &Read) -> Result<(Lease, Origin)> {
        match &read.target {
            Target::Stream(stream) => {
                let (schema, name) = self.locate(stream)?;
                let mut lease = Lease::take(&self.pool, ctx).await?;
                let whole = catalog::prepare(&mut lease, schema, name).await?;
                let names = whole.columns.iter().map(|column| column.name.clone());
                let origin = Origin {
                    names: names.collect(),
                    whole,
                    from: Some(format!("{} AS t", Dialect::Backtick.path(&[schema, name]))),
                    is_ordered: false,
                    params: Vec::new(),
                };
                Ok((lease, origin))
            }
            Target::Query { text, params } => {
                let text = guard::check(text)?;
                let values = positional(params, "MySQL", EXAMPLE)?;
                let mut lease = Lease::take(&self.pool, ctx).await?;
                let origin = of_query(&mut lease, text, values).await?;
                Ok((lease, origin))
            }
        }
    }

    fn terms(&self, origin: &Origin) -> Vec<Term> {
        let pairs = origin.whole.columns.iter().zip(&origin.names);
        pairs
            .map(|(column, name)| {
                let mapping = column.mapping(self.rules);
                term(name, &reference(&column.name), &mapping, self.rules.lenient)
            })
            .collect()
    }

    /// Counts the rows of a read in the server, when that takes the whole
    /// filter; see `weir_core::Source::count`.
    pub async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        let (mut lease, origin) = self.origin(ctx, read).await?;
        let read = Read {
            filter: read.filter.clone(),
            ..Read::all(read.target.clone())
        };
        let known: Vec<&str> = origin.names.iter().map(String::as_str).collect();
        places(&read, &known)?;
        let terms = self.terms(&origin);
        let clauses = Clauses::of(&mut Compiler::new(&terms, Spelling), &read);
        let Some(from) = origin.from.filter(|_| clauses.has_whole_filter()) else {
            return Ok(None);
        };
        let mut sql = format!("SELECT COUNT(*) FROM {from}");
        clauses.append_to(&mut sql);
        let rows = lease.rows(&sql, &origin.params).await?;
        let count = rows
            .first()
            .and_then(|row| row.first()?.as_deref()?.parse().ok());
        Ok(count)
    }

    /// Prepares a read; see `weir_core::Source::scan`.
    pub async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        let (mut lease, origin) = self.origin(ctx, read).await?;
        let known: Vec<&str> = origin.names.iter().map(String::as_str).collect();
        let wanted = places(read, &known)?;
        let terms = self.terms(&origin);
        let clauses = Clauses::of(&mut Compiler::new(&terms, Spelling), read);
        let mut tail = String::new();
        clauses.append_to(&mut tail);
        let is_whole = read.columns.is_none() && tail.is_empty();
        let from = origin
            .from
            .as_ref()
            .filter(|_| !is_whole && !origin.is_ordered);
        let (statement, output, pushed) = match from {
            Some(from) => {
                let output = outputs(read, &known, wanted, &clauses);
                let sql = select(&origin.whole.columns, &output, from, &tail);
                (lease.prepare(&sql).await?, output, clauses.pushed(read))
            }
            None => (
                origin.whole.clone(),
                (0..known.len()).collect(),
                nothing(read),
            ),
        };
        let estimate = match (read.estimate, &origin.from) {
            (true, Some(from)) => {
                let sql = select(&origin.whole.columns, &output, from, &tail);
                Some(estimate(&mut lease, &sql, &origin.params).await?)
            }
            (true, None) => Some(Estimate::default()),
            (false, _) => None,
        };
        let columns: Vec<ColumnDef> = output
            .iter()
            .map(|at| origin.whole.columns[*at].clone())
            .collect();
        let mappings: Vec<Mapping> = columns
            .iter()
            .map(|column| column.mapping(self.rules))
            .collect();
        let schema = schema_of(&mappings, output.iter().map(|at| known[*at]));
        let job = Job {
            lease,
            statement,
            columns,
            params: origin.params.clone(),
            schema: Arc::clone(&schema),
            mappings,
            lenient: self.rules.lenient,
            batch_rows: read.batch_rows,
        };
        Ok(Scan {
            schema,
            stream: flow::stream(job, ctx),
            pushed,
            estimate,
        })
    }
}

/// The engine does everything.
fn nothing(read: &Read) -> Pushed {
    Pushed {
        filter: vec![PushDown::No; read.filter.len()],
        ..Pushed::default()
    }
}

fn schema_of<'a>(mappings: &[Mapping], names: impl Iterator<Item = &'a str>) -> SchemaRef {
    let fields: Vec<_> = mappings
        .iter()
        .zip(names)
        .map(|(mapping, name)| mapping.field(name))
        .collect();
    Arc::new(Schema::new(fields))
}

fn reference(name: &str) -> String {
    format!("t.{}", Dialect::Backtick.quote(name))
}

async fn of_query(lease: &mut Lease, text: &str, values: &[Value]) -> Result<Origin> {
    // Prepared alone, the server itself proves that it is one whole statement.
    let mut whole = lease
        .prepare(text)
        .await
        .map_err(|error| error.at("/query", "refused by the source"))?;
    check_count(whole.params, values.len(), EXAMPLE)?;
    let params: Vec<Bound> = values.iter().map(Bound::value).collect();
    let from = is_table(&whole.columns).then(|| format!("(\n{text}\n) AS t"));
    if let (Some(from), false) = (&from, params.is_empty()) {
        // Only what is bound says of what type a parameter is.
        let sql = format!("SELECT * FROM {from} LIMIT 0");
        whole.columns = lease.columns(&sql, &params).await?;
    }
    let names = unique_names(whole.columns.iter().map(|column| column.name.as_str()));
    Ok(Origin {
        from,
        is_ordered: text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word.eq_ignore_ascii_case("order")),
        params,
        names,
        whole,
    })
}

/// Whether columns can be those of a table, whose names are told apart without case.
fn is_table(columns: &[ColumnDef]) -> bool {
    let mut names: Vec<String> = columns
        .iter()
        .map(|column| column.name.to_lowercase())
        .collect();
    let is_fine = |name: &String| {
        !name.is_empty()
            && name.trim() == name
            && name.chars().count() <= MOST_LETTERS
            && name.is_ascii()
    };
    let is_fine = names.iter().all(is_fine);
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    is_fine && names.len() == all
}

fn select(columns: &[ColumnDef], output: &[usize], from: &str, tail: &str) -> String {
    let list: Vec<String> = output
        .iter()
        .map(|at| reference(&columns[*at].name))
        .collect();
    format!("SELECT {} FROM {from}{tail}", list.join(", "))
}

/// The planner's own estimate: the rows it looks at, table by table.
async fn estimate(lease: &mut Lease, sql: &str, params: &[Bound]) -> Result<Estimate> {
    let place = if lease.is_mariadb() { 8 } else { 9 };
    let rows = lease.rows(&format!("EXPLAIN {sql}"), params).await?;
    let first = rows.first().and_then(|row| row.first().cloned().flatten());
    let of_first = rows
        .iter()
        .filter(|row| row.first().cloned().flatten() == first);
    let numbers = of_first.filter_map(|row| row.get(place)?.as_deref()?.parse::<u64>().ok());
    let product = numbers.reduce(u64::saturating_mul);
    Ok(Estimate {
        rows: product,
        ..Estimate::default()
    })
}
