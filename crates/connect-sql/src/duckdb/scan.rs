//! One read: what it reads, the statement for it, and what of the read the
//! statement takes over.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema};
use libduckdb::Bind;
use weir_core::{Context, Error, Estimate, Kind, Read, Result, Scan, Target, Value};

use super::catalog::{self, SourceColumn};
use super::failure;
use super::flow::{self, Job};
use super::guard;
use super::session::Session;
use super::source::DuckDbSource;
use super::terms::DuckTerms;
use super::types::{self, Lossy};
use crate::shared::compare::{Compiler, Term};
use crate::shared::read::{Clauses, check_count, outputs, places, positional};
use weir_kit::Dialect;

/// How parameters are written.
const EXAMPLE: &str = "$1, $2 …";

/// What a read takes its rows from.
struct Origin {
    /// What stands after `FROM`.
    from: String,
    columns: Vec<SourceColumn>,
    /// How the statement refers to each column.
    references: Vec<String>,
    /// Values that a query's own parameters are bound to.
    values: Vec<Bind>,
}

impl Origin {
    fn names(&self) -> Vec<&str> {
        self.columns
            .iter()
            .map(|column| column.name.as_str())
            .collect()
    }

    fn terms(&self, lossy: Lossy) -> Vec<Term> {
        let pairs = self.columns.iter().zip(&self.references);
        pairs
            .map(|(column, sql)| Term {
                name: column.name.clone(),
                sql: column.mapping.compared(sql),
                compare: column.mapping.compare,
                is_text: column.mapping.is_text(),
                special: column.mapping.special(sql, lossy),
            })
            .collect()
    }
}

/// A session, and what the read takes its rows from.
async fn origin(source: &DuckDbSource, ctx: &Context, read: &Read) -> Result<(Session, Origin)> {
    match &read.target {
        Target::Stream(stream) => {
            let (schema, name) = source.locate(stream)?;
            let mut session = source.home.read(ctx).await?;
            let origin = of_stream(&mut session, schema, name).await?;
            Ok((session, origin))
        }
        Target::Query { text, params } => {
            let text = guard::check(text)?;
            let values = positional(params, "DuckDB", EXAMPLE)?;
            let mut session = source.home.read(ctx).await?;
            let origin = of_query(&mut session, text, values).await?;
            Ok((session, origin))
        }
    }
}

async fn of_stream(session: &mut Session, schema: &str, name: &str) -> Result<Origin> {
    let relation = catalog::relation(session, schema, name).await?;
    let path = catalog::path(session, schema, name).await?;
    let reference = |column: &SourceColumn| format!("t.{}", Dialect::Standard.quote(&column.name));
    Ok(Origin {
        from: format!("{path} AS t"),
        references: relation.columns.iter().map(reference).collect(),
        columns: relation.columns,
        values: Vec::new(),
    })
}

async fn of_query(session: &mut Session, text: &str, values: &[Value]) -> Result<Origin> {
    let sql = text.to_owned();
    let bound: Vec<Bind> = values.iter().map(bind).collect();
    let given = bound.clone();
    let prepared = session.run(move |connection| {
        let prepared = connection.prepare(&sql)?;
        let (is_select, wanted) = (prepared.is_select(), prepared.parameters());
        if !is_select || wanted == 0 || wanted != given.len() {
            return Ok((is_select, wanted, prepared.columns()));
        }
        // Only values settle the types of parameters, and so the columns.
        drop(prepared);
        let mut probe = connection.prepare(&format!("SELECT * FROM (\n{sql}\n) LIMIT 0"))?;
        probe.bind(&given)?;
        Ok((is_select, wanted, probe.execute(false)?.columns()))
    });
    let (is_select, wanted, answer) = prepared
        .await
        .map_err(|error| error.at("/query", "refused by the source"))?;
    if !is_select {
        let message = "the query may only read, but DuckDB takes it for another statement";
        return Err(
            Error::new(Kind::ReadOnly, message).at("/query", "not a statement that only reads")
        );
    }
    check_count(wanted, values.len(), EXAMPLE)?;
    let columns = catalog::columns(answer);
    let aliases: Vec<String> = (1..=columns.len())
        .map(|number| format!("c{number}"))
        .collect();
    Ok(Origin {
        from: format!("(\n{text}\n) AS t({})", aliases.join(", ")),
        references: aliases.iter().map(|alias| format!("t.{alias}")).collect(),
        columns,
        values: bound,
    })
}

fn bind(value: &Value) -> Bind {
    match value {
        Value::Null => Bind::Null,
        Value::Bool(value) => Bind::Bool(*value),
        Value::Int(value) => Bind::Int(*value),
        Value::Number(text) => match text.parse::<f64>() {
            // As many digits as a double surely keeps.
            Ok(number) if text.len() <= 15 => Bind::Double(number),
            _ => Bind::Text(text.clone()),
        },
        Value::Text(text) => Bind::Text(text.clone()),
    }
}

/// Prepares a read; see `weir_core::Source::scan`.
pub async fn scan(source: &DuckDbSource, ctx: &Context, read: &Read) -> Result<Scan> {
    let lossy = source.home.config.unrepresentable;
    let (mut session, origin) = origin(source, ctx, read).await?;
    let known = origin.names();
    let wanted = places(read, &known)?;
    let terms = origin.terms(lossy);
    let values = origin.values.clone();
    let mut compiler = Compiler::new(&terms, DuckTerms { values });
    let clauses = Clauses::of(&mut compiler, read);
    let output = outputs(read, &known, wanted, &clauses);
    let mut sql = select(&origin, &output, lossy);
    clauses.append_to(&mut sql);
    let values = compiler.dialect.values;
    let estimate = match read.estimate {
        true => Some(estimate(&mut session, &sql, values.clone()).await?),
        false => None,
    };
    let fields: Vec<_> = output
        .iter()
        .map(|at| &origin.columns[*at])
        .map(|column| column.mapping.field(&column.name, &column.native))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let job = Job {
        session,
        sql,
        values,
        schema: Arc::clone(&schema),
        batch_rows: read.batch_rows,
    };
    Ok(Scan {
        schema,
        stream: flow::stream(job, ctx),
        pushed: clauses.pushed(read),
        estimate,
    })
}

fn select(origin: &Origin, output: &[usize], lossy: Lossy) -> String {
    let mut parts = Vec::with_capacity(output.len());
    for (index, place) in output.iter().enumerate() {
        let column = &origin.columns[*place];
        let value = types::read(
            &column.logical,
            &origin.references[*place],
            &column.name,
            lossy,
        );
        parts.push(format!("{value} AS o{index}"));
    }
    if parts.is_empty() {
        // DuckDB has no answer without columns; rows are counted by this one.
        parts.push("true AS o0".to_owned());
    }
    format!("SELECT {} FROM {}", parts.join(", "), origin.from)
}

/// Counts the rows of a read, when DuckDB takes the whole filter; see
/// `weir_core::Source::count`.
pub async fn count(source: &DuckDbSource, ctx: &Context, read: &Read) -> Result<Option<u64>> {
    let (mut session, origin) = origin(source, ctx, read).await?;
    let read = Read {
        filter: read.filter.clone(),
        ..Read::all(read.target.clone())
    };
    places(&read, &origin.names())?;
    let terms = origin.terms(source.home.config.unrepresentable);
    let values = origin.values.clone();
    let mut compiler = Compiler::new(&terms, DuckTerms { values });
    let clauses = Clauses::of(&mut compiler, &read);
    if !clauses.has_whole_filter() {
        return Ok(None);
    }
    let mut sql = format!("SELECT count(*) FROM {}", origin.from);
    clauses.append_to(&mut sql);
    let values = compiler.dialect.values;
    let found = session
        .run(move |connection| connection.rows(&sql, &values))
        .await?;
    let first = found.first().filter(|batch| batch.num_rows() == 1);
    let count = first.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    Ok(count.and_then(|count| u64::try_from(count.value(0)).ok()))
}

/// The planner's own estimate of rows.
async fn estimate(session: &mut Session, sql: &str, values: Vec<Bind>) -> Result<Estimate> {
    let sql = format!("EXPLAIN (FORMAT JSON) {sql}");
    let explain = move |connection: &mut libduckdb::Connection| connection.rows(&sql, &values);
    let found = session.run_as(explain, failure::of).await?;
    let text = found.first().and_then(|batch| {
        let column = batch.columns().last()?.as_string_opt::<i32>()?;
        (!column.is_empty()).then(|| column.value(0).to_owned())
    });
    let plan: serde_json::Value = text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    Ok(Estimate {
        rows: cardinality(&plan[0], 0),
        ..Estimate::default()
    })
}

/// That of the outermost step that has one.
fn cardinality(step: &serde_json::Value, depth: usize) -> Option<u64> {
    if depth > 100 {
        return None;
    }
    let own = step["extra_info"]["Estimated Cardinality"].as_str();
    let own = own.and_then(|text| text.parse().ok());
    own.or_else(|| cardinality(&step["children"][0], depth + 1))
}
