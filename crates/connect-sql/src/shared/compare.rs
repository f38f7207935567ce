//! Filters and orders as SQL, where the server's answer is provably the one that
//! the engine would give. Everything else is left to the engine.
//!
//! What all dialects share is here: the null rules (a predicate keeps a row or it
//! does not; null counts as "does not" up to the nearest `NOT`), which literals are
//! of one kind with a column, and values that count as null. What a dialect writes
//! differently it says as [`Terms`].

use weir_core::{Comparison, Nulls, Operand, Order, Predicate, Value};

use super::literal::{date, double, fits_scale, instant, timestamp};
use super::read::Compile;

/// How values of a column compare, where the server and the engine agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Not known to agree, but for null.
    Unknown,
    /// Not even null agrees, as some values become null when they are read.
    Never,
    /// Truth values.
    Bool,
    /// Whole numbers up to 64 bits.
    Int,
    /// Binary floating point of 64 bits.
    Float,
    /// Decimals of a scale.
    Decimal(i8),
    /// Text that can be compared by code point.
    Text,
    /// Dates.
    Date,
    /// Date and time of day, up to microseconds.
    Timestamp,
    /// Instants, up to microseconds.
    TimestampTz,
}

/// A column as the statement speaks of it.
#[derive(Debug, Clone)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// Its reference in the statement, quoted.
    pub sql: String,
    /// How it compares.
    pub compare: Compare,
    /// Whether it is read as text.
    pub is_text: bool,
    /// The condition under which a value that is not null is read as null.
    pub special: Option<String>,
}

/// A literal, in a form that needs no guessing.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// For [`Compare::Bool`].
    Bool(bool),
    /// For [`Compare::Int`].
    Int(i64),
    /// For [`Compare::Float`]; finite, and not `-0`.
    Float(f64),
    /// For [`Compare::Decimal`]: plain digits, with no more places than the column.
    Decimal(String),
    /// For [`Compare::Text`].
    Text(String),
    /// `2024-12-31`.
    Date(String),
    /// `2024-12-31 23:59:59.000000`.
    Timestamp(String),
    /// The same, in UTC.
    Instant(String),
}

/// What a dialect writes in its own way.
pub trait Terms {
    /// Binds a literal and gives what stands for it in the statement; `None` where
    /// the server would not compare it as the engine does. Bound values that are
    /// not used in the end are taken back with [`Terms::take_back`].
    fn bind(&mut self, literal: Literal) -> Option<String>;

    /// How many values are bound.
    fn bound(&self) -> usize;

    /// Forgets all bound values from the `from`th on.
    fn take_back(&mut self, from: usize);

    /// Text in a form that is compared by its bytes.
    fn by_bytes(&self, sql: &str) -> String;

    /// Text that equals a bound one; may be in a form that an index serves.
    fn text_equals(&self, sql: &str, bound: &str) -> String {
        format!("{} = {bound}", self.by_bytes(sql))
    }

    /// Two expressions that differ, null being a value as any other.
    fn differs(&self, left: &str, right: &str) -> String {
        format!("{left} IS DISTINCT FROM {right}")
    }

    /// Whether a text holds another, by bytes.
    fn contains(&self, text: &str, needle: &str) -> String;

    /// Whether a text begins with another, by bytes.
    fn starts_with(&self, text: &str, prefix: &str) -> String;

    /// A condition that does not hold, or is null.
    fn not_true(&self, condition: &str) -> String {
        format!("(({condition}) IS NOT TRUE)")
    }

    /// A key of an order.
    fn sort(&self, sql: &str, ascending: bool, nulls: Nulls) -> String {
        let direction = if ascending { "ASC" } else { "DESC" };
        let nulls = match nulls {
            Nulls::First => "NULLS FIRST",
            Nulls::Last => "NULLS LAST",
        };
        format!("{sql} {direction} {nulls}")
    }
}

/// Compiles predicates and orders over the columns of one read.
pub struct Compiler<'a, T> {
    terms: &'a [Term],
    /// The dialect, with the values bound so far.
    pub dialect: T,
}

impl<'a, T: Terms> Compiler<'a, T> {
    /// A compiler over these columns.
    pub fn new(terms: &'a [Term], dialect: T) -> Self {
        Compiler { terms, dialect }
    }

    fn find(&self, name: &str) -> Option<&'a Term> {
        self.terms.iter().find(|term| term.name == name)
    }

    fn predicate(&mut self, predicate: &Predicate) -> Option<String> {
        match predicate {
            Predicate::And(parts) => self.joined(parts, " AND ", true),
            Predicate::Or(parts) => self.joined(parts, " OR ", false),
            Predicate::Not(part) => {
                let part = self.predicate(part)?;
                Some(self.dialect.not_true(&part))
            }
            Predicate::Compare { column, op, right } => match right {
                Operand::Value(value) => self.compare(column, *op, value),
                Operand::Column(other) => self.columns(column, *op, other),
                // The engine settles words before; one that is left is its to judge.
                Operand::Word(_) => None,
            },
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
                let (text, prefix) = self.text(column, prefix)?;
                Some(format!("({})", self.dialect.starts_with(&text, &prefix)))
            }
            Predicate::IsNull(column) => self.is_null(column),
            Predicate::IsNotNull(column) => {
                let is_null = self.is_null(column)?;
                Some(self.dialect.not_true(&is_null))
            }
            Predicate::IsNullOrEmpty(column) => self.is_null_or_empty(column),
            // What counts as white space is the engine's to say.
            Predicate::IsBlank(column) if self.find(column)?.is_text => None,
            Predicate::IsBlank(column) => self.is_null(column),
        }
    }

    fn joined(&mut self, parts: &[Predicate], by: &str, empty: bool) -> Option<String> {
        if parts.is_empty() {
            return Some(if empty { "(1 = 1)" } else { "(1 = 0)" }.to_owned());
        }
        let parts = parts
            .iter()
            .map(|part| self.predicate(part))
            .collect::<Option<Vec<_>>>()?;
        Some(format!("({})", parts.join(by)))
    }

    fn compare(&mut self, column: &str, op: Comparison, value: &Value) -> Option<String> {
        let term = self.find(column)?;
        let bound = self.dialect.bind(literal(term.compare, op, value)?)?;
        let is_text = term.compare == Compare::Text;
        let left = if is_text {
            self.dialect.by_bytes(&term.sql)
        } else {
            term.sql.clone()
        };
        let compared = match op {
            Comparison::Ne => self.dialect.differs(&left, &bound),
            Comparison::Eq if is_text => self.dialect.text_equals(&term.sql, &bound),
            _ => format!("{left} {} {bound}", operator(op)),
        };
        match &term.special {
            // Null differs from every value.
            Some(special) if op == Comparison::Ne => Some(format!("({compared} OR ({special}))")),
            Some(special) => {
                let normal = self.dialect.not_true(special);
                Some(format!("({compared} AND {normal})"))
            }
            None => Some(format!("({compared})")),
        }
    }

    fn columns(&mut self, column: &str, op: Comparison, other: &str) -> Option<String> {
        let (left, right) = (self.find(column)?, self.find(other)?);
        let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
        if left.special.is_some() || right.special.is_some() {
            return None;
        }
        let (a, b) = match (left.compare, right.compare) {
            (Compare::Int, Compare::Int) => (left.sql.clone(), right.sql.clone()),
            (Compare::Bool, Compare::Bool) if is_equality => (left.sql.clone(), right.sql.clone()),
            (Compare::Text, Compare::Text) => (
                self.dialect.by_bytes(&left.sql),
                self.dialect.by_bytes(&right.sql),
            ),
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
        self.find(column)?;
        let parts = values
            .iter()
            .map(|value| self.compare(column, Comparison::Eq, value))
            .collect::<Option<Vec<_>>>()?;
        if parts.is_empty() {
            return Some("(1 = 0)".to_owned());
        }
        // Statements nest no deeper than servers follow.
        (parts.len() <= MOST_ALTERNATIVES).then(|| format!("({})", parts.join(" OR ")))
    }

    /// The column and a needle, both as text that is searched byte by byte.
    fn text(&mut self, column: &str, needle: &str) -> Option<(String, String)> {
        let term = self.find(column)?;
        if term.compare != Compare::Text || term.special.is_some() || needle.contains('\0') {
            return None;
        }
        let bound = self.dialect.bind(Literal::Text(needle.to_owned()))?;
        Some((self.dialect.by_bytes(&term.sql), bound))
    }

    fn contains(&mut self, column: &str, pattern: &str, negated: bool) -> Option<String> {
        let is_plain = !pattern.contains([
            '.', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '\\',
        ]);
        let (text, needle) = is_plain.then(|| self.text(column, pattern))??;
        let found = self.dialect.contains(&text, &needle);
        Some(if negated {
            self.dialect.not_true(&found)
        } else {
            format!("({found})")
        })
    }

    fn is_null(&self, column: &str) -> Option<String> {
        let term = self.find(column)?;
        if term.compare == Compare::Never {
            return None;
        }
        match &term.special {
            Some(special) => Some(format!("({} IS NULL OR {special})", term.sql)),
            None => Some(format!("({} IS NULL)", term.sql)),
        }
    }

    fn is_null_or_empty(&mut self, column: &str) -> Option<String> {
        let term = self.find(column)?;
        if !term.is_text {
            return self.is_null(column);
        }
        if term.compare != Compare::Text {
            return None;
        }
        let is_null = self.is_null(column)?;
        let empty = self.dialect.by_bytes(&term.sql);
        Some(format!("({is_null} OR {empty} = '')"))
    }
}

/// Values of a list of alternatives at most; longer ones are the engine's.
const MOST_ALTERNATIVES: usize = 500;

impl<T: Terms> Compile for Compiler<'_, T> {
    fn conjunct(&mut self, predicate: &Predicate) -> Option<String> {
        let bound = self.dialect.bound();
        let sql = self.predicate(predicate);
        if sql.is_none() {
            self.dialect.take_back(bound);
        }
        sql
    }

    fn order(&self, order: &[Order]) -> Option<String> {
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            let term = self.find(&key.column)?;
            let sql = match term.compare {
                Compare::Unknown | Compare::Never => return None,
                Compare::Text => self.dialect.by_bytes(&term.sql),
                _ => term.sql.clone(),
            };
            let sql = match &term.special {
                Some(special) => {
                    let normal = self.dialect.not_true(special);
                    format!("CASE WHEN {normal} THEN {sql} END")
                }
                None => sql,
            };
            keys.push(self.dialect.sort(&sql, key.ascending, key.nulls));
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

/// Whole numbers up to here are doubles without loss.
const EXACT: u64 = 1 << 53;

/// The literal, where column and value are of one kind.
fn literal(compare: Compare, op: Comparison, value: &Value) -> Option<Literal> {
    let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
    match (compare, value) {
        (Compare::Bool, Value::Bool(value)) if is_equality => Some(Literal::Bool(*value)),
        (Compare::Int, Value::Int(value)) => Some(Literal::Int(*value)),
        (Compare::Float, Value::Int(value)) if value.unsigned_abs() <= EXACT => {
            Some(Literal::Float(*value as f64))
        }
        (Compare::Float, Value::Number(text)) => double(text).map(Literal::Float),
        (Compare::Decimal(_), Value::Int(value)) => Some(Literal::Decimal(value.to_string())),
        (Compare::Decimal(scale), Value::Number(text)) => {
            fits_scale(text, scale).then(|| Literal::Decimal(text.clone()))
        }
        (Compare::Text, Value::Text(text)) => {
            (!text.contains('\0')).then(|| Literal::Text(text.clone()))
        }
        (Compare::Date, Value::Text(text)) => date(text).map(Literal::Date),
        (Compare::Timestamp, Value::Text(text)) => timestamp(text).map(Literal::Timestamp),
        (Compare::TimestampTz, Value::Text(text)) => instant(text).map(Literal::Instant),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dialect that shows what it is asked for.
    #[derive(Default)]
    struct Plain(Vec<Literal>);

    impl Terms for Plain {
        fn bind(&mut self, literal: Literal) -> Option<String> {
            self.0.push(literal);
            Some(format!("?{}", self.0.len()))
        }
        fn bound(&self) -> usize {
            self.0.len()
        }
        fn take_back(&mut self, from: usize) {
            self.0.truncate(from);
        }
        fn by_bytes(&self, sql: &str) -> String {
            format!("bytes({sql})")
        }
        fn contains(&self, text: &str, needle: &str) -> String {
            format!("instr({text}, {needle}) > 0")
        }
        fn starts_with(&self, text: &str, prefix: &str) -> String {
            format!("starts({text}, {prefix})")
        }
    }

    fn compile(predicate: &Predicate) -> (Option<String>, usize) {
        let term = |name: &str, compare| Term {
            name: name.to_owned(),
            sql: name.to_owned(),
            compare,
            is_text: compare == Compare::Text,
            special: (compare == Compare::Float).then(|| format!("isnan({name})")),
        };
        let terms = [
            term("i", Compare::Int),
            term("f", Compare::Float),
            term("t", Compare::Text),
            term("d", Compare::Decimal(2)),
            term("x", Compare::Unknown),
        ];
        let mut compiler = Compiler::new(&terms, Plain::default());
        let sql = compiler.conjunct(predicate);
        (sql, compiler.dialect.bound())
    }

    fn compare(column: &str, op: Comparison, value: Value) -> Predicate {
        Predicate::Compare {
            column: column.to_owned(),
            op,
            right: Operand::Value(value),
        }
    }

    #[test]
    fn what_is_of_one_kind_is_compiled() {
        let text = |text: &str| Value::Text(text.to_owned());
        let number = |text: &str| Value::Number(text.to_owned());
        for (predicate, sql) in [
            (
                compare("i", Comparison::Lt, Value::Int(5)),
                Some("(i < ?1)"),
            ),
            (
                compare("i", Comparison::Ne, Value::Int(5)),
                Some("(i IS DISTINCT FROM ?1)"),
            ),
            (compare("i", Comparison::Eq, number("5.5")), None),
            (
                compare("t", Comparison::Eq, text("a")),
                Some("(bytes(t) = ?1)"),
            ),
            (compare("t", Comparison::Eq, text("a\0")), None),
            (
                compare("f", Comparison::Ne, number("1.5")),
                Some("(f IS DISTINCT FROM ?1 OR (isnan(f)))"),
            ),
            (
                compare("f", Comparison::Gt, number("1.5")),
                Some("(f > ?1 AND ((isnan(f)) IS NOT TRUE))"),
            ),
            (compare("d", Comparison::Eq, number("1.255")), None),
            (compare("x", Comparison::Eq, Value::Int(1)), None),
            (
                Predicate::IsNull("f".into()),
                Some("(f IS NULL OR isnan(f))"),
            ),
            (Predicate::IsBlank("t".into()), None),
            (Predicate::Or(vec![]), Some("(1 = 0)")),
        ] {
            let (compiled, bound) = compile(&predicate);
            assert_eq!(compiled.as_deref(), sql, "{predicate:?}");
            assert_eq!(bound, usize::from(sql.is_some_and(|sql| sql.contains('?'))));
        }
    }

    #[test]
    fn what_is_not_compiled_binds_nothing() {
        let parts = vec![
            compare("i", Comparison::Eq, Value::Int(1)),
            compare("x", Comparison::Eq, Value::Int(1)),
        ];
        assert_eq!(compile(&Predicate::And(parts)), (None, 0));
    }
}
