//! What of a read its statement takes over, and which columns it must give.

use weir_core::read::Params;
use weir_core::source::unknown_column;
use weir_core::{Error, Order, Predicate, PushDown, Pushed, Read, Result, Value};

/// Filters and orders as SQL.
pub trait Compile {
    /// One conjunct, or `None` where the server's answer might differ from the
    /// engine's.
    fn conjunct(&mut self, predicate: &Predicate) -> Option<String>;

    /// The keys of an order, or `None` where it might differ in one of them.
    fn order(&self, order: &[Order]) -> Option<String>;
}

/// The clauses that the server takes over.
pub struct Clauses {
    /// One for each conjunct; `None` is left to the engine.
    filter: Vec<Option<String>>,
    order: Option<String>,
    limit: Option<u64>,
    /// The rows come in the wanted order, if one is wanted.
    is_ordered: bool,
}

impl Clauses {
    /// Compiles what `read` asks for. The values are bound in the compiler.
    pub fn of(compiler: &mut impl Compile, read: &Read) -> Self {
        let parts = read.filter.iter();
        let filter: Vec<Option<String>> = parts.map(|part| compiler.conjunct(part)).collect();
        let order = match read.order.as_slice() {
            [] => None,
            keys => compiler.order(keys),
        };
        let is_ordered = read.order.is_empty() || order.is_some();
        // Rows that the engine still drops or sorts must not be cut before.
        let is_whole = is_ordered && filter.iter().all(Option::is_some);
        Clauses {
            limit: read.limit.filter(|_| is_whole),
            filter,
            order,
            is_ordered,
        }
    }

    /// Whether the server takes the whole filter.
    pub fn has_whole_filter(&self) -> bool {
        self.filter.iter().all(Option::is_some)
    }

    /// Columns that the rest of the read speaks of.
    fn left_over<'a>(&self, read: &'a Read) -> Vec<&'a str> {
        let parts = read.filter.iter().zip(&self.filter);
        let mut names: Vec<&str> = parts
            .filter(|(_, sql)| sql.is_none())
            .flat_map(|(part, _)| part.columns())
            .collect();
        if !self.is_ordered {
            names.extend(read.order.iter().map(|key| key.column.as_str()));
        }
        names
    }

    /// Appends `WHERE`, `ORDER BY` and `LIMIT`.
    pub fn append_to(&self, sql: &mut String) {
        let filter: Vec<&str> = self.filter.iter().flatten().map(String::as_str).collect();
        if !filter.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&filter.join(" AND "));
        }
        if let Some(order) = &self.order {
            sql.push_str(" ORDER BY ");
            sql.push_str(order);
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!(" LIMIT {}", limit.min(i64::MAX as u64)));
        }
    }

    /// What the engine need not do.
    pub fn pushed(&self, read: &Read) -> Pushed {
        let push = |sql: &Option<String>| match sql {
            Some(_) => PushDown::Exact,
            None => PushDown::No,
        };
        Pushed {
            filter: self.filter.iter().map(push).collect(),
            order: self.order.is_some(),
            limit: self.limit.is_some(),
            columns: read.columns.is_some(),
        }
    }
}

/// Places of the wanted columns among `known`, after all names of the read were
/// found.
pub fn places(read: &Read, known: &[&str]) -> Result<Vec<usize>> {
    let find = |name: &str, pointer: &str| {
        let place = known.iter().position(|other| *other == name);
        place.ok_or_else(|| unknown_column(name, known, pointer))
    };
    for name in read.filter.iter().flat_map(|part| part.columns()) {
        find(name, "/filter")?;
    }
    for (index, key) in read.order.iter().enumerate() {
        find(&key.column, &format!("/order_by/{index}"))?;
    }
    match &read.columns {
        None => Ok((0..known.len()).collect()),
        Some(names) => names
            .iter()
            .enumerate()
            .map(|(index, name)| find(name, &format!("/columns/{index}")))
            .collect(),
    }
}

/// Places of the columns that the statement gives: the wanted ones (see
/// [`places`]), then those that only the engine needs for the rest of the read.
pub fn outputs(read: &Read, known: &[&str], wanted: Vec<usize>, clauses: &Clauses) -> Vec<usize> {
    let mut output = wanted;
    if read.columns.is_some() {
        for name in clauses.left_over(read) {
            let place = known.iter().position(|other| *other == name);
            output.extend(place.filter(|place| !output.contains(place)));
        }
    }
    output
}

/// The values of a query whose dialect numbers its parameters, such as `example`.
pub fn positional<'a>(params: &'a Params, system: &str, example: &str) -> Result<&'a [Value]> {
    match params {
        Params::Positional(values) => Ok(values),
        Params::Named(values) if values.is_empty() => Ok(&[]),
        Params::Named(_) => {
            let message = format!("parameters have no names in {system}");
            Err(Error::invalid("/params", message).hint(format!(
                "write {example} in the query, and give params as a list"
            )))
        }
    }
}

/// Refuses values that are not one for each parameter of the query.
pub fn check_count(wanted: usize, values: usize, example: &str) -> Result<()> {
    if wanted == values {
        return Ok(());
    }
    let message = format!("the query has {wanted} parameters, but params has {values} values");
    Err(Error::invalid("/params", message).hint(format!("give one value for each of {example}")))
}
