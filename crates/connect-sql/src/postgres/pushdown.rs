//! Filters and orders as SQL, where the server's answer is provably the one
//! that the engine would give. Everything else is left to the engine.
//!
//! The two differ in these places, and each is closed or left alone:
//!
//! - Null rules: a predicate keeps a row or it does not. In the SQL here, null
//!   counts as "does not" up to the nearest `NOT`, which is written `IS NOT TRUE`.
//! - Text compares by code point: `COLLATE "C"`, in databases in UTF-8.
//! - Values that become null when they are read (see `types`) must count as null.
//! - `NaN` counts as null, and `-0` is `0`.

use weir_core::{Comparison, Nulls, Operand, Order, Predicate, Value};

use super::bound::Bound;
use super::catalog::SourceColumn;
use super::types::Compare;
use crate::shared::literal::{date, double, fits_scale, instant, timestamp};
use crate::shared::read::Compile;

/// Timestamps from here on are beyond Arrow's range.
const END_OF_TIME: &str = "294247-01-10 04:00:54.775808+00";

/// A column as the statement speaks of it.
pub struct ColumnRef<'a> {
    /// Its reference in the statement, quoted.
    pub sql: String,
    /// The column.
    pub column: &'a SourceColumn,
}

/// Compiles predicates and orders over the columns of one read.
pub struct Compiler<'a> {
    columns: &'a [ColumnRef<'a>],
    /// The database is in UTF-8, so bytes order as code points do.
    utf8: bool,
    /// Values that cannot be represented become null.
    lenient: bool,
    /// Values bound so far; the first of them is `$first`.
    params: Vec<Bound>,
    first: usize,
}

impl<'a> Compiler<'a> {
    /// A compiler whose bound values are numbered from `first`.
    pub fn new(columns: &'a [ColumnRef<'a>], utf8: bool, lenient: bool, first: usize) -> Self {
        Compiler {
            columns,
            utf8,
            lenient,
            params: Vec::new(),
            first,
        }
    }

    /// The values bound by what was compiled.
    pub fn into_params(self) -> Vec<Bound> {
        self.params
    }

    fn sort_key(&self, key: &ColumnRef<'_>) -> Option<String> {
        let sql = &key.sql;
        let sorted = match key.column.mapping.compare {
            Compare::Bool | Compare::Int | Compare::Uuid => sql.clone(),
            Compare::Text if self.utf8 => format!("{sql}::text COLLATE \"C\""),
            // By its stored form, padding included.
            Compare::Padded(width) if self.utf8 => {
                format!("pg_catalog.rpad({sql}::text, {width}) COLLATE \"C\"")
            }
            Compare::Float
            | Compare::Decimal(_)
            | Compare::Date
            | Compare::Timestamp
            | Compare::TimestampTz => match self.is_special(key) {
                Some(special) => format!("CASE WHEN NOT ({special}) THEN {sql} END"),
                None => sql.clone(),
            },
            Compare::Text | Compare::Padded(_) | Compare::Unknown | Compare::Never => return None,
        };
        Some(sorted)
    }

    fn find(&self, name: &str) -> Option<&'a ColumnRef<'a>> {
        self.columns.iter().find(|found| found.column.name == name)
    }

    fn bind(&mut self, value: impl Into<String>, cast: &str) -> String {
        self.params.push(Bound::text(value));
        format!("${}::{cast}", self.first + self.params.len() - 1)
    }

    /// The condition under which a value that is not null is read as null.
    fn is_special(&self, of: &ColumnRef<'_>) -> Option<String> {
        let sql = &of.sql;
        let special = match of.column.mapping.compare {
            Compare::Float => format!("{sql} = 'NaN'::float8"),
            _ if !self.lenient => return None,
            Compare::Decimal(_) => format!("{sql} = 'NaN'::numeric"),
            Compare::Date => format!("NOT pg_catalog.isfinite({sql})"),
            Compare::Timestamp => {
                format!("{sql} >= '{END_OF_TIME}'::timestamp OR {sql} = '-infinity'::timestamp")
            }
            Compare::TimestampTz => {
                format!("{sql} >= '{END_OF_TIME}'::timestamptz OR {sql} = '-infinity'::timestamptz")
            }
            _ => return None,
        };
        Some(special)
    }

    fn predicate(&mut self, predicate: &Predicate) -> Option<String> {
        match predicate {
            Predicate::And(parts) => self.joined(parts, " AND ", "true"),
            Predicate::Or(parts) => self.joined(parts, " OR ", "false"),
            Predicate::Not(part) => Some(format!("(({}) IS NOT TRUE)", self.predicate(part)?)),
            Predicate::Compare {
                column,
                op,
                right: Operand::Value(value),
            } => self.compare(column, *op, value),
            Predicate::Compare {
                column,
                op,
                right: Operand::Column(other),
            } => self.columns(column, *op, other),
            // The engine settles words before; one that is left is its to judge.
            Predicate::Compare {
                right: Operand::Word(_),
                ..
            } => None,
            Predicate::In { column, values } => self.one_of(column, values),
            Predicate::Between { column, low, high } => {
                let low = self.compare(column, Comparison::Ge, low)?;
                let high = self.compare(column, Comparison::Le, high)?;
                Some(format!("({low} AND {high})"))
            }
            Predicate::Contains {
                column,
                pattern,
                negated,
            } => self.contains(column, pattern, *negated),
            Predicate::StartsWith { column, prefix } => {
                let text = self.text(column, prefix)?;
                let prefix = self.bind(prefix, "text");
                Some(format!("pg_catalog.starts_with({text}, {prefix})"))
            }
            Predicate::IsNull(column) => self.is_null(column),
            Predicate::IsNotNull(column) => {
                Some(format!("(({}) IS NOT TRUE)", self.is_null(column)?))
            }
            Predicate::IsNullOrEmpty(column) => self.is_null_or_empty(column),
            Predicate::IsBlank(column) => {
                // What counts as white space is the engine's to say.
                let is_text =
                    self.find(column)?.column.mapping.data_type == arrow::datatypes::DataType::Utf8;
                if is_text { None } else { self.is_null(column) }
            }
        }
    }

    fn joined(&mut self, parts: &[Predicate], by: &str, empty: &str) -> Option<String> {
        if parts.is_empty() {
            return Some(empty.to_owned());
        }
        let parts = parts
            .iter()
            .map(|part| self.predicate(part))
            .collect::<Option<Vec<_>>>()?;
        Some(format!("({})", parts.join(by)))
    }

    fn compare(&mut self, column: &str, op: Comparison, value: &Value) -> Option<String> {
        let found = self.find(column)?;
        let (text, cast) = self.literal(found, op, value)?;
        let bound = self.bind(text, cast);
        let left = self.left(found, op);
        let operator = operator(op);
        if op == Comparison::Ne {
            return Some(format!("({left} IS DISTINCT FROM {bound})"));
        }
        match self.is_special(found) {
            Some(special) if op != Comparison::Eq => {
                Some(format!("({left} {operator} {bound} AND NOT ({special}))"))
            }
            _ => Some(format!("({left} {operator} {bound})")),
        }
    }

    /// The left side: text that must not depend on a collation says so, but
    /// plain equality keeps the form that an index serves.
    fn left(&self, found: &ColumnRef<'_>, op: Comparison) -> String {
        let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
        match found.column.mapping.compare {
            Compare::Text if !(is_equality && found.column.deterministic) => {
                format!("{}::text COLLATE \"C\"", found.sql)
            }
            _ => found.sql.clone(),
        }
    }

    /// The text of a literal and the type to read it as, where column and
    /// literal are of one kind.
    fn literal(
        &self,
        found: &ColumnRef<'_>,
        op: Comparison,
        value: &Value,
    ) -> Option<(String, &'static str)> {
        let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
        match (found.column.mapping.compare, value) {
            (Compare::Bool, Value::Bool(value)) if is_equality => Some((value.to_string(), "bool")),
            (Compare::Int, Value::Int(value)) => Some((value.to_string(), "int8")),
            (Compare::Float, Value::Int(value)) if value.unsigned_abs() <= 1 << 53 => {
                Some((value.to_string(), "float8"))
            }
            (Compare::Float, Value::Number(text)) => {
                double(text).map(|value| (value.to_string(), "float8"))
            }
            (Compare::Decimal(_), Value::Int(value)) => Some((value.to_string(), "numeric")),
            (Compare::Decimal(scale), Value::Number(text)) if fits_scale(text, scale) => {
                Some((text.clone(), "numeric"))
            }
            (Compare::Text, Value::Text(text)) => {
                let comparable = self.utf8 || (is_equality && text.is_ascii());
                (comparable && !text.contains('\0')).then(|| (text.clone(), "text"))
            }
            // Shorter or longer text never equals the padded form, and the
            // server's own comparison ignores the padding.
            (Compare::Padded(width), Value::Text(text)) => {
                let whole = text.chars().count() == width as usize
                    && !text.ends_with(' ')
                    && !text.contains('\0');
                let agrees =
                    is_equality && found.column.deterministic && (self.utf8 || text.is_ascii());
                (whole && agrees).then(|| (text.clone(), "bpchar"))
            }
            (Compare::Uuid, Value::Text(text)) => {
                let canonical = uuid::Uuid::try_parse(text).ok()?.hyphenated().to_string();
                (canonical == *text).then_some((canonical, "uuid"))
            }
            (Compare::Date, Value::Text(text)) => date(text).map(|text| (text, "date")),
            (Compare::Timestamp, Value::Text(text)) => {
                timestamp(text).map(|text| (text, "timestamp"))
            }
            (Compare::TimestampTz, Value::Text(text)) => {
                instant(text).map(|text| (format!("{text}+00"), "timestamptz"))
            }
            _ => None,
        }
    }

    fn columns(&mut self, column: &str, op: Comparison, other: &str) -> Option<String> {
        let (left, right) = (self.find(column)?, self.find(other)?);
        let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
        let (a, b) = match (left.column.mapping.compare, right.column.mapping.compare) {
            (Compare::Int, Compare::Int) => (left.sql.clone(), right.sql.clone()),
            (Compare::Bool, Compare::Bool) if is_equality => (left.sql.clone(), right.sql.clone()),
            (Compare::Text, Compare::Text) if is_equality || self.utf8 => {
                let binary = |sql: &str| format!("{sql}::text COLLATE \"C\"");
                (binary(&left.sql), binary(&right.sql))
            }
            _ => return None,
        };
        let compared = format!("{a} {} {b}", operator(op));
        if op == Comparison::Ne {
            return Some(format!(
                "({compared} OR {} IS NULL OR {} IS NULL)",
                left.sql, right.sql
            ));
        }
        Some(format!("({compared})"))
    }

    fn one_of(&mut self, column: &str, values: &[Value]) -> Option<String> {
        let found = self.find(column)?;
        let mut items = Vec::with_capacity(values.len());
        let mut cast = None;
        for value in values {
            let (text, of) = self.literal(found, Comparison::Eq, value)?;
            items.push(format!(
                "\"{}\"",
                text.replace('\\', "\\\\").replace('"', "\\\"")
            ));
            cast = Some(of);
        }
        let Some(cast) = cast else {
            return Some("false".to_owned());
        };
        let list = self.bind(format!("{{{}}}", items.join(",")), cast);
        Some(format!(
            "({} = ANY ({list}[]))",
            self.left(found, Comparison::Eq)
        ))
    }

    /// The column as text that is searched byte by byte.
    fn text(&self, column: &str, needle: &str) -> Option<String> {
        let found = self.find(column)?;
        let is_text = found.column.mapping.compare == Compare::Text;
        let searchable = is_text && (self.utf8 || needle.is_ascii()) && !needle.contains('\0');
        searchable.then(|| format!("{}::text COLLATE \"C\"", found.sql))
    }

    fn contains(&mut self, column: &str, pattern: &str, negated: bool) -> Option<String> {
        if pattern.contains([
            '.', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '\\',
        ]) {
            return None;
        }
        let text = self.text(column, pattern)?;
        let needle = self.bind(pattern, "text");
        let found = format!("pg_catalog.strpos({text}, {needle}) > 0");
        Some(if negated {
            format!("(({found}) IS NOT TRUE)")
        } else {
            format!("({found})")
        })
    }

    fn is_null(&self, column: &str) -> Option<String> {
        let found = self.find(column)?;
        if found.column.mapping.compare == Compare::Never && self.lenient {
            return None;
        }
        match self.is_special(found) {
            Some(special) => Some(format!("({} IS NULL OR {special})", found.sql)),
            None => Some(format!("({} IS NULL)", found.sql)),
        }
    }

    fn is_null_or_empty(&self, column: &str) -> Option<String> {
        let found = self.find(column)?;
        let is_text = found.column.mapping.data_type == arrow::datatypes::DataType::Utf8;
        match found.column.mapping.compare {
            Compare::Text => Some(format!(
                "({} IS NULL OR {}::text COLLATE \"C\" = '')",
                found.sql, found.sql
            )),
            // Never empty: padded, or of a form.
            Compare::Padded(_) | Compare::Uuid => self.is_null(column),
            _ if is_text => None,
            _ => self.is_null(column),
        }
    }
}

impl Compile for Compiler<'_> {
    fn conjunct(&mut self, predicate: &Predicate) -> Option<String> {
        let bound = self.params.len();
        let sql = self.predicate(predicate);
        if sql.is_none() {
            self.params.truncate(bound);
        }
        sql
    }

    fn order(&self, order: &[Order]) -> Option<String> {
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            let found = self.find(&key.column)?;
            let direction = if key.ascending { "ASC" } else { "DESC" };
            let nulls = match key.nulls {
                Nulls::First => "NULLS FIRST",
                Nulls::Last => "NULLS LAST",
            };
            keys.push(format!("{} {direction} {nulls}", self.sort_key(found)?));
        }
        Some(keys.join(", "))
    }
}

fn operator(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq => "=",
        Comparison::Ne => "<>",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    }
}

#[cfg(test)]
mod tests;
